//! Dialback keys (XEP-0185).

use crypto::{Hash, Secret};

/// Makes the key with which `originating` proves itself to `receiving` on the stream `id`.
pub(crate) fn make(secret: &Secret, receiving: &str, originating: &str, id: &str) -> String {
    let hashed = hex(&crypto::digest(Hash::Sha256, secret.expose()));
    let text = format!("{receiving} {originating} {id}");
    hex(&crypto::hmac(Hash::Sha256, hashed.as_bytes(), text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xep_0185() {
        let secret = Secret::new(b"s3cr3tf0rd14lb4ck".to_vec());
        assert_eq!(
            make(&secret, "xmpp.example.com", "example.org", "D60000229F"),
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"
        );
    }
}
