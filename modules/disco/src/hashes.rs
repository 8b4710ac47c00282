//! Hashes of what the domain can do, so that who knows the hash need not ask.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte::crypto::{Hash, digest};
use calypte::prelude::*;

/// What the nodes of XEP-0390 start with.
const HASH_NODE: &str = "urn:xmpp:caps#sha-256.";

/// The hashes of one answer.
#[derive(Debug)]
pub(crate) struct Hashes {
    /// What we call ourselves.
    name: String,
    /// SHA-1 by XEP-0115.
    verification: Option<String>,
    /// SHA-256 by XEP-0390.
    sha256: Option<String>,
}

impl Hashes {
    /// Sums up an answer. An answer that a module made unfit has no hash.
    pub(crate) fn of(answer: &Element, cx: &mut Context<'_, '_>) -> Result<Self, StanzaError> {
        let flat = Flat::parse(&answer.to_xml(""), "").map_err(|_| StanzaError::INTERNAL)?;
        let (name, ..) = cx.software()?;
        let sum = |hash, input: &[u8]| STANDARD.encode(digest(hash, input));
        let verification = caps::verification(flat.root());
        let sha256 = caps::hash_input(flat.root()).map(|input| sum(Hash::Sha256, &input));
        let verification = verification.map(|text| sum(Hash::Sha1, text.as_bytes()));
        Ok(Self { name, verification, sha256 })
    }

    /// Lists the nodes under which the answer is found as well.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let old = self.verification.as_ref().map(|ver| format!("{}#{ver}", self.name));
        let new = self.sha256.as_ref().map(|hash| format!("{HASH_NODE}{hash}"));
        old.into_iter().chain(new).collect()
    }

    /// Returns the stream feature of XEP-0115.
    pub(crate) fn caps(&self) -> Option<Element> {
        let ver = self.verification.as_ref()?;
        let caps = Element::new(ns::CAPS, "c").with_attr("hash", "sha-1");
        Some(caps.with_attr("node", &self.name).with_attr("ver", ver))
    }

    /// Returns the stream feature of XEP-0390.
    pub(crate) fn caps_hashes(&self) -> Option<Element> {
        let hash = Element::new(ns::HASHES, "hash").with_attr("algo", "sha-256");
        let hash = hash.with_text(self.sha256.as_ref()?);
        Some(Element::new(ns::CAPS_HASHES, "c").with_child(hash))
    }
}
