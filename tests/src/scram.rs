//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), written so that tests can get it wrong.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One exchange.
#[derive(Clone, Debug)]
pub struct Scram {
    /// The GS2 header: `n,,`, `y,,` or `p=tls-exporter,,`, with an `a=` where it has one.
    pub gs2: String,
    /// The data of the channel binding.
    pub binding: Vec<u8>,
    /// The user, not escaped.
    pub username: String,
    /// The password.
    pub password: String,
    /// The client's nonce.
    pub nonce: String,
}

impl Scram {
    /// Returns an exchange with a fresh nonce.
    #[must_use]
    pub fn new(username: &str, password: &str, gs2: &str, binding: &[u8]) -> Self {
        let mut nonce = [0; 18];
        rand::fill(&mut nonce).unwrap();
        Self {
            gs2: gs2.to_owned(),
            binding: binding.to_vec(),
            username: username.to_owned(),
            password: password.to_owned(),
            nonce: STANDARD.encode(nonce),
        }
    }

    fn bare(&self) -> String {
        let username = self.username.replace('=', "=3D").replace(',', "=2C");
        format!("n={username},r={}", self.nonce)
    }

    /// Returns the first message.
    #[must_use]
    pub fn first(&self) -> String {
        format!("{}{}", self.gs2, self.bare())
    }

    /// Returns the answer to `challenge`, and what the server must prove with.
    #[must_use]
    pub fn last(&self, challenge: &str) -> (String, String) {
        let mut bound = self.gs2.clone().into_bytes();
        bound.extend_from_slice(&self.binding);
        let nonce = field(challenge, 'r');
        assert!(nonce.starts_with(&self.nonce), "a foreign nonce: {challenge}");
        let bare = format!("c={},r={nonce}", STANDARD.encode(bound));
        let salt = STANDARD.decode(field(challenge, 's')).unwrap();
        let iterations: NonZeroU32 = field(challenge, 'i').parse().unwrap();
        let mut salted = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, &salt, self.password.as_bytes(), &mut salted);
        let client_key = mac(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, &client_key);
        let message = format!("{},{challenge},{bare}", self.bare());
        let signature = mac(stored.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server = mac(&mac(&salted, b"Server Key"), message.as_bytes());
        (format!("{bare},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server)))
    }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// Returns a field of a SCRAM message.
pub(crate) fn field(message: &str, name: char) -> &str {
    let mut fields = message.split(',');
    let found = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name}= in {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677 §3.
    #[test]
    fn computes_what_the_rfc_computes() {
        let mut scram = Scram::new("user", "pencil", "n,,", b"");
        scram.nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, server) = scram.last(challenge);
        assert!(last.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{last}");
        assert_eq!(server, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
