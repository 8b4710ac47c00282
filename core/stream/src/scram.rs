//! SCRAM (RFC 5802, RFC 7677) from the server's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::{Hash, Secret, digest, equal, hmac, keyed_hash, pbkdf2};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::Profile as _;
use unicode_normalization::UnicodeNormalization as _;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// The most that one message of the exchange may have, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What a password is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The salt.
    pub salt: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: u32,
    /// `StoredKey`.
    pub stored_key: Vec<u8>,
    /// `ServerKey`.
    pub server_key: Vec<u8>,
}

/// A [`Verifier`] for each hash in which the password is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifiers {
    /// For SCRAM-SHA-1.
    pub sha1: Option<Verifier>,
    /// For SCRAM-SHA-256.
    pub sha256: Option<Verifier>,
    /// For SCRAM-SHA-512.
    pub sha512: Option<Verifier>,
}

/// A password holds what RFC 8265 forbids or what clients prepare in different ways, or nothing at
/// all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPassword;

impl std::fmt::Display for BadPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "a password needs at least one character, no control characters, and none that \
             programs write in different ways, such as full-width letters",
        )
    }
}

impl std::error::Error for BadPassword {}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Prepares a password as RFC 8265 §4 says.
fn prepare(password: &str) -> Result<Secret, BadPassword> {
    if password.is_empty() || password.chars().any(char::is_control) {
        return Err(BadPassword);
    }
    if password.is_ascii() {
        return Ok(Secret::new(password.as_bytes().to_vec()));
    }
    let prepared = OpaqueString::new().enforce(password.to_owned()).map_err(|_| BadPassword)?;
    Ok(Secret::new(prepared.into_owned().into_bytes()))
}

/// Prepares a new password. Half of the clients do it by SASLprep (RFC 4013), which also replaces
/// `ﬁ` by `fi`; a password that the two ways turn into different ones could be used by half of them.
fn prepare_new(password: &str) -> Result<Secret, BadPassword> {
    let prepared = prepare(password)?;
    let text = std::str::from_utf8(prepared.expose()).map_err(|_| BadPassword)?;
    if text.nfkc().eq(text.chars()) { Ok(prepared) } else { Err(BadPassword) }
}

impl Verifier {
    fn derive(hash: Hash, password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let salted = Secret::new(pbkdf2(hash, password.expose(), salt, iterations));
        Self::of_salted(hash, &salted, salt.to_vec(), iterations)
    }

    /// Derives it from `SaltedPassword` (RFC 5802 §3).
    pub(crate) fn of_salted(hash: Hash, salted: &Secret, salt: Vec<u8>, iterations: u32) -> Self {
        let client_key = hmac(hash, salted.expose(), b"Client Key");
        let server_key = hmac(hash, salted.expose(), b"Server Key");
        Self { salt, iterations, stored_key: digest(hash, &client_key), server_key }
    }

    /// Makes up what an unknown user could have, always the same for a name.
    fn fake(hash: Hash, secret: &Secret, username: &str, iterations: u32) -> Self {
        let key = crypto::derive_key("calypte v0 salt of unknown users", secret.expose());
        let salt = keyed_hash(&key, format!("{hash:?} {username}").as_bytes());
        let key = hmac(hash, &key, username.as_bytes());
        let salt = salt.get(..SALT_BYTES).unwrap_or_default().to_vec();
        Self { salt, iterations, stored_key: key.clone(), server_key: key }
    }
}

impl Verifiers {
    /// Derives verifiers from a password, with a salt of its own for each hash.
    ///
    /// Takes about 0.3 µs for each iteration.
    ///
    /// # Errors
    ///
    /// [`BadPassword`].
    pub fn derive(
        password: &str,
        salts: &[[u8; SALT_BYTES]; 3],
        iterations: u32,
    ) -> Result<Self, BadPassword> {
        let password = prepare_new(password)?;
        let derive = |hash, salt| Some(Verifier::derive(hash, &password, salt, iterations));
        let [sha1, sha256, sha512] = salts;
        Ok(Self {
            sha1: derive(Hash::Sha1, sha1),
            sha256: derive(Hash::Sha256, sha256),
            sha512: derive(Hash::Sha512, sha512),
        })
    }

    /// Checks a password, as for PLAIN, and returns a client key when it is the right one: that of
    /// SCRAM-SHA-256 where the password is known so. Takes about 0.1 µs for each iteration.
    #[must_use]
    pub fn check(&self, password: &Secret) -> Option<Secret> {
        let text = std::str::from_utf8(password.expose()).unwrap_or("");
        let password = prepare(text).ok()?;
        let hashes = [Hash::Sha256, Hash::Sha512, Hash::Sha1];
        let known = hashes.into_iter().find_map(|hash| Some((hash, self.of(hash)?)));
        let (hash, Verifier { salt, iterations, stored_key, .. }) = known?;
        let salted = pbkdf2(hash, password.expose(), salt, *iterations);
        let client_key = Secret::new(hmac(hash, &salted, b"Client Key"));
        let derived = digest(hash, client_key.expose());
        equal(&derived, stored_key).then_some(client_key)
    }

    /// Returns what is known for a hash.
    #[must_use]
    pub fn of(&self, hash: Hash) -> Option<&Verifier> {
        match hash {
            Hash::Sha1 => self.sha1.as_ref(),
            Hash::Sha256 => self.sha256.as_ref(),
            Hash::Sha512 => self.sha512.as_ref(),
        }
    }
}

/// What the client said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    /// How the channel is bound.
    pub(crate) binding: Binding,
    /// On whose behalf.
    pub(crate) authzid: Option<String>,
    pub(crate) username: String,
    nonce: String,
    /// The message up to the name, and the rest.
    gs2: String,
    bare: String,
}

/// The flag of RFC 5801 §4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// `n`: the client cannot.
    None,
    /// `y`: the client could, but thinks that we cannot.
    Thought,
    /// `p`: of this type.
    Type(String),
}

/// Between our challenge and the client's proof.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    hash: Hash,
    verifier: Verifier,
    is_known: bool,
    first: ClientFirst,
    nonce: String,
    server_first: String,
    bound: Vec<u8>,
}

/// A proof that held.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) server_final: String,
    pub(crate) client_key: Secret,
}

/// Why an exchange fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message is none.
    Malformed,
    /// The proof does not hold.
    Wrong,
}

impl ClientFirst {
    pub(crate) fn read(message: &[u8]) -> Result<Self, Refusal> {
        let text = text(message)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let binding = match flag {
            "n" => Binding::None,
            "y" => Binding::Thought,
            _ => {
                let name = flag.strip_prefix("p=").ok_or(Refusal::Malformed)?;
                Binding::Type(name.to_owned())
            }
        };
        let authzid = match authzid.strip_prefix("a=") {
            Some(name) => Some(unescape(name)?),
            None if authzid.is_empty() => None,
            None => return Err(Refusal::Malformed),
        };
        let mut attributes = bare.split(',');
        let username = attributes.next().and_then(|first| first.strip_prefix("n="));
        let nonce = attributes.next().and_then(|second| second.strip_prefix("r="));
        let (Some(username), Some(nonce)) = (username, nonce) else {
            return Err(Refusal::Malformed);
        };
        let is_printable = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if nonce.is_empty() || !nonce.bytes().all(is_printable) || username.is_empty() {
            return Err(Refusal::Malformed);
        }
        let gs2 = text.get(..text.len().saturating_sub(bare.len())).unwrap_or("").to_owned();
        let (nonce, bare) = (nonce.to_owned(), bare.to_owned());
        Ok(Self { binding, authzid, username: unescape(username)?, nonce, gs2, bare })
    }
}

/// What a challenge is made of, besides what the client said.
pub(crate) struct Ground<'a> {
    pub(crate) hash: Hash,
    /// The name of the user, prepared.
    pub(crate) name: &'a str,
    /// The channel's value for the type that the client named.
    pub(crate) bound: Vec<u8>,
    /// Our part of the nonce.
    pub(crate) nonce: &'a str,
    /// What the downgrade protection hashes.
    pub(crate) protected: &'a str,
    /// What made-up salts derive from.
    pub(crate) secret: &'a Secret,
    pub(crate) iterations: u32,
}

impl Challenge {
    /// Returns the exchange and the challenge to send. A user who does not exist, or whose password
    /// is not known for this hash, gets one too.
    pub(crate) fn new(
        first: ClientFirst,
        known: Option<&Verifiers>,
        ground: Ground<'_>,
    ) -> (Self, String) {
        let Ground { hash, name, bound, nonce, protected, secret, iterations } = ground;
        let known = known.and_then(|verifiers| verifiers.of(hash));
        let fake = || Verifier::fake(hash, secret, name, iterations);
        let verifier = known.cloned().unwrap_or_else(fake);
        let nonce = format!("{}{nonce}", first.nonce);
        let server_first = format!(
            "r={nonce},s={},i={},h={}",
            STANDARD.encode(&verifier.salt),
            verifier.iterations,
            STANDARD.encode(digest(hash, protected.as_bytes())),
        );
        let message = server_first.clone();
        let is_known = known.is_some();
        (Self { hash, verifier, is_known, first, nonce, server_first, bound }, message)
    }

    /// Checks the client's proof.
    pub(crate) fn prove(self, message: &[u8]) -> Result<Proved, Refusal> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Refusal::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|first| first.strip_prefix("c="));
        let nonce = attributes.next().and_then(|second| second.strip_prefix("r="));
        let (Some(binding), Some(nonce)) = (binding, nonce) else {
            return Err(Refusal::Malformed);
        };
        let binding = STANDARD.decode(binding).map_err(|_| Refusal::Malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| Refusal::Malformed)?;
        if proof.len() != self.hash.bytes() {
            return Err(Refusal::Malformed);
        }
        let expected = [self.first.gs2.as_bytes(), &self.bound].concat();
        let is_same_channel = equal(&binding, &expected);
        let is_same_nonce = equal(nonce.as_bytes(), self.nonce.as_bytes());
        let signed = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let signature = hmac(self.hash, &self.verifier.stored_key, signed.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let is_key = equal(&digest(self.hash, &client_key), &self.verifier.stored_key);
        // All is computed before anything is decided, so time tells nothing.
        if !(is_key && is_same_channel && is_same_nonce && self.is_known) {
            return Err(Refusal::Wrong);
        }
        let ours = hmac(self.hash, &self.verifier.server_key, signed.as_bytes());
        let server_final = format!("v={}", STANDARD.encode(ours));
        Ok(Proved { server_final, client_key: Secret::new(client_key) })
    }
}

fn text(message: &[u8]) -> Result<&str, Refusal> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    let text = std::str::from_utf8(message).map_err(|_| Refusal::Malformed)?;
    if text.contains('\0') { Err(Refusal::Malformed) } else { Ok(text) }
}

/// Undoes `=2C` and `=3D` (RFC 5802 §5.1).
fn unescape(name: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(name.len());
    let mut parts = name.split('=');
    out.push_str(parts.next().unwrap_or(""));
    for part in parts {
        if let Some(rest) = part.strip_prefix("2C") {
            out.push(',');
            out.push_str(rest);
        } else {
            out.push('=');
            out.push_str(part.strip_prefix("3D").ok_or(Refusal::Malformed)?);
        }
    }
    Ok(out)
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
