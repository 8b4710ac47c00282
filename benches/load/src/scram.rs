//! SCRAM as a client does it (RFC 5802). Keys are kept, so that their derivation does not spoil the
//! second login.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::conn::Res;

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Mech {
    Plain,
    #[value(name = "scram-sha-1")]
    Scram1,
    #[value(name = "scram-sha-256")]
    Scram256,
}

impl Mech {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram1 => "SCRAM-SHA-1",
            Self::Scram256 => "SCRAM-SHA-256",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Scram256 => hmac::HMAC_SHA256,
            _ => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        }
    }
}

struct Keys {
    client: Vec<u8>,
    stored: Vec<u8>,
    server: Vec<u8>,
}

/// An exchange that waits for the server's challenge.
pub(crate) struct Exchange {
    mech: Mech,
    nonce: String,
    first: String,
}

/// An exchange that waits for the server's signature.
pub(crate) struct Proved {
    mech: Mech,
    keys: Arc<Keys>,
    message: String,
}

impl Exchange {
    pub(crate) fn new(mech: Mech, user: &str) -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).unwrap();
        let nonce = BASE64.encode(bytes);
        let first = format!("n={user},r={nonce}");
        Self { mech, nonce, first }
    }

    /// Returns the first message.
    pub(crate) fn first(&self) -> String {
        BASE64.encode(format!("n,,{}", self.first))
    }

    /// Answers the challenge.
    pub(crate) fn answer(self, challenge: &[u8], password: &str) -> Res<(String, Proved)> {
        let challenge = BASE64.decode(challenge).map_err(|error| error.to_string())?;
        let challenge = String::from_utf8_lossy(&challenge);
        let part = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key));
        let part = |key: &str| part(key).ok_or_else(|| format!("a challenge without {key}"));
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if !nonce.starts_with(&self.nonce) {
            return Err("the server changed our nonce".to_owned());
        }
        let iterations = iterations.parse().map_err(|_| "a wrong i=".to_owned())?;
        let keys = keys(self.mech, password, salt, iterations);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.first);
        let key = hmac::Key::new(self.mech.hmac(), &keys.stored);
        let signature = hmac::sign(&key, message.as_bytes());
        let proof: Vec<u8> =
            keys.client.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let answer = BASE64.encode(format!("{without_proof},p={}", BASE64.encode(proof)));
        Ok((answer, Proved { mech: self.mech, keys, message }))
    }
}

impl Proved {
    /// Checks that the server knows the account too.
    pub(crate) fn check(&self, last: &[u8]) -> Res<()> {
        let key = hmac::Key::new(self.mech.hmac(), &self.keys.server);
        let wanted = format!("v={}", BASE64.encode(hmac::sign(&key, self.message.as_bytes())));
        let said = BASE64.decode(last).unwrap_or_default();
        if said.starts_with(wanted.as_bytes()) {
            Ok(())
        } else {
            Err("the server's signature is wrong".to_owned())
        }
    }
}

fn keys(mech: Mech, password: &str, salt: &str, iterations: NonZeroU32) -> Arc<Keys> {
    type Known = Mutex<BTreeMap<(Mech, String, NonZeroU32), Arc<Keys>>>;
    static KNOWN: OnceLock<Known> = OnceLock::new();

    let known = || KNOWN.get_or_init(Known::default).lock().unwrap_or_else(PoisonError::into_inner);
    let which = (mech, salt.to_owned(), iterations);
    if let Some(keys) = known().get(&which) {
        return Arc::clone(keys);
    }
    let (algorithm, digest, bytes) = match mech {
        Mech::Scram256 => (pbkdf2::PBKDF2_HMAC_SHA256, &digest::SHA256, 32),
        _ => (pbkdf2::PBKDF2_HMAC_SHA1, &digest::SHA1_FOR_LEGACY_USE_ONLY, 20),
    };
    let mut salted = vec![0; bytes];
    let salt = BASE64.decode(salt).unwrap_or_default();
    pbkdf2::derive(algorithm, iterations, &salt, password.as_bytes(), &mut salted);
    let sign =
        |what: &[u8]| hmac::sign(&hmac::Key::new(mech.hmac(), &salted), what).as_ref().to_vec();
    let client = sign(b"Client Key");
    let stored = digest::digest(digest, &client).as_ref().to_vec();
    let keys = Arc::new(Keys { stored, server: sign(b"Server Key"), client });
    known().insert(which, Arc::clone(&keys));
    keys
}
