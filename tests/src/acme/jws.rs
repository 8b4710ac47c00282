//! Signed requests (RFC 7515, RFC 7638), with ES256 as every authority knows it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What was signed.
pub(super) struct Signed {
    pub(super) header: Value,
    pub(super) payload: Value,
    text: String,
    signature: Vec<u8>,
}

impl Signed {
    /// Reads the three parts. An empty payload is `null`.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let part = |name: &str| body[name].as_str();
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let header: Value = serde_json::from_slice(&bytes(part("protected")?)?).ok()?;
        let payload = match part("payload")? {
            "" => Value::Null,
            text => serde_json::from_slice(&bytes(text)?).ok()?,
        };
        if header["alg"] != json!("ES256") {
            return None;
        }
        let text = format!("{}.{}", part("protected")?, part("payload")?);
        Some(Self { header, payload, text, signature: bytes(part("signature")?)? })
    }

    /// Tells whether the holder of this key signed it.
    pub(super) fn is_by(&self, key: &Value) -> bool {
        let part = |name: &str| {
            key[name]
                .as_str()
                .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                .unwrap_or_default()
        };
        // An uncompressed point (SEC 1 §2.3.3).
        let point = [&[4][..], &part("x"), &part("y")].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(self.text.as_bytes(), &self.signature).is_ok()
    }
}

/// Returns the name of a key: the hash of its members in this order (RFC 7638 §3.2).
pub(super) fn thumbprint(key: &Value) -> String {
    let text = format!(
        r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#,
        key["crv"], key["kty"], key["x"], key["y"]
    );
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// Returns bytes that nobody can guess.
pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}
