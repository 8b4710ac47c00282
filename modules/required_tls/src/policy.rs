//! What a domain demands of streams with it, signed with its key.
//!
//! The signed octets are: one byte version (0), two bytes length of the text, the text (JSON), one
//! byte number of signatures, and for each 32 bytes public key and 64 bytes signature. Lengths are
//! little-endian. Signed is the hash of exactly these octets of text; nothing is brought into a
//! canonical form.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use calypte::crypto::{self, SigningKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest text of a policy, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 8192;
/// The longest signed policy.
const OCTETS_MAX: usize = TEXT_BYTES_MAX + 4 + SIGNERS_MAX * 96;
/// The longest time for which a policy may be remembered, in seconds: a year.
pub(crate) const MAX_AGE_MAX: u32 = 31_536_000;
/// The shortest: an hour.
pub(crate) const MAX_AGE_MIN: u32 = 3600;
/// Keys that sign one policy: the domain's, and at a change the one before.
const SIGNERS_MAX: usize = 2;
/// Entries of a list.
const LIST_MAX: usize = 32;
/// The label of what is signed.
const LABEL: &str = "policy";

/// 32 bytes: a key, or the hash of one. In text base64url without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub(crate) struct Key(pub(crate) [u8; 32]);

/// What a domain demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// The version of this form: 0.
    pub(crate) v: u32,
    pub(crate) domain: String,
    /// Grows with each policy: year, month, day, and a count of the day.
    pub(crate) serial: u64,
    /// When it was signed; for people.
    pub(crate) issued: String,
    /// For how long others remember it after they saw it last, in seconds.
    pub(crate) max_age: u32,
    pub(crate) mode: Mode,
    pub(crate) tls_min: TlsMin,
    /// The ways of authenticating that the domain itself accepts; for people.
    #[serde(default)]
    pub(crate) auth: Vec<String>,
    pub(crate) need: Need,
    /// The domain's key.
    pub(crate) dk: Key,
    /// The hash of the key that comes after it.
    pub(crate) next: Key,
    /// Names below the domain for which the key speaks too.
    #[serde(default)]
    pub(crate) names: Vec<String>,
    /// Hashes of the keys in the certificates of the domain.
    #[serde(default)]
    pub(crate) spki: Vec<Key>,
    /// Where to connect first: `xmpps://host:port`.
    #[serde(default)]
    pub(crate) endpoints: Vec<String>,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// The address that wants daily counts of what failed; empty: none.
    #[serde(default)]
    pub(crate) report: String,
}

/// Whether the demands hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Enforce,
    /// The domain takes its demands back: it is going to be an ordinary one.
    None,
}

/// The lowest version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsMin {
    #[serde(rename = "1.2")]
    V12,
    #[serde(rename = "1.3")]
    V13,
}

/// How a peer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Need {
    /// By a proof with the domain's key, and nothing less.
    Dk,
    /// By that, or by a certificate: of a trusted authority, or with one of the listed keys.
    Cert,
}

/// A policy with its octets and those who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) policy: Policy,
    pub(crate) octets: Vec<u8>,
    /// The first is the domain's key.
    pub(crate) signers: Vec<Key>,
}

/// It is no signed policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    Long,
    Form,
    Version,
    Text,
    Field(&'static str),
    Signature,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long => f.write_str("it is too long"),
            Self::Form => f.write_str("it is no signed policy"),
            Self::Version => f.write_str("it is of another version"),
            Self::Text => f.write_str("its text cannot be read"),
            Self::Field(name) => write!(f, "its field {name} is wrong"),
            Self::Signature => f.write_str("its signature is wrong"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Key {
    /// Reads base64url.
    pub(crate) fn read(text: &str) -> Option<Self> {
        Self::of(&unb64(text)?)
    }

    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns its hash, by which a domain promises its next key.
    pub(crate) fn hash(&self) -> Self {
        Self(crypto::hash(&self.0))
    }

    /// Returns a short name for it.
    pub(crate) fn id(&self) -> String {
        b64(crypto::hash(&self.0).get(..8).unwrap_or_default())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| serde::de::Error::custom("no key"))
    }
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn unb64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl Policy {
    /// Tells whether the key speaks for a name.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.domain == name || self.names.iter().any(|own| own == name)
    }

    fn check(&self) -> Result<(), Unread> {
        let lists = [self.auth.len(), self.names.len(), self.spki.len(), self.endpoints.len()];
        let is_short = |text: &String| text.len() <= 512;
        let below = |name: &String| {
            let label = name.strip_suffix(self.domain.as_str());
            label.and_then(|label| label.strip_suffix('.')).is_some_and(|label| !label.is_empty())
        };
        let checks = [
            (self.v == 0, "v"),
            (is_name(&self.domain), "domain"),
            ((MAX_AGE_MIN..=MAX_AGE_MAX).contains(&self.max_age), "max_age"),
            (is_short(&self.issued), "issued"),
            (lists.into_iter().all(|length| length <= LIST_MAX), "lists"),
            (self.features.len() <= LIST_MAX && self.features.iter().all(is_short), "features"),
            (self.names.iter().all(|name| is_name(name) && below(name)), "names"),
            (self.endpoints.iter().all(|one| is_endpoint(one)), "endpoints"),
            (self.report.is_empty() || self.is_own(&self.report), "report"),
        ];
        match checks.into_iter().find(|(is_fine, _)| !is_fine) {
            Some((_, "v")) => Err(Unread::Version),
            Some((_, name)) => Err(Unread::Field(name)),
            None => Ok(()),
        }
    }

    /// Tells whether an address is at this domain: reports go nowhere else.
    fn is_own(&self, address: &str) -> bool {
        let jid = calypte::prelude::Jid::parse(address);
        jid.is_ok_and(|jid| self.covers(jid.domain()))
    }
}

/// Tells whether a text is a domain as it goes on the wire here: prepared, in lower case.
pub(crate) fn is_name(text: &str) -> bool {
    let jid = calypte::prelude::Jid::parse(text);
    jid.is_ok_and(|jid| jid.as_str() == text && jid.domain() == text)
}

/// Tells whether a text is `xmpps://host:port`.
pub(crate) fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("xmpps://").filter(|rest| rest.len() <= 300);
    let Some((host, port)) = rest.and_then(|rest| rest.rsplit_once(':')) else { return false };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !host.is_empty() && host.chars().all(is_plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl Signed {
    /// Signs a policy: first with its own key.
    pub(crate) fn make(policy: &Policy, keys: &[&SigningKey]) -> Option<Self> {
        let text = serde_json::to_vec(policy).ok()?;
        let mut octets = vec![0];
        octets.extend(u16::try_from(text.len()).ok()?.to_le_bytes());
        octets.extend_from_slice(&text);
        octets.push(u8::try_from(keys.len()).ok()?);
        let hash = crypto::transcript(LABEL, &[&text]);
        for key in keys {
            octets.extend(key.public());
            octets.extend(key.sign(&hash));
        }
        // What others would refuse is not made.
        Self::read(&octets).ok()
    }

    /// Reads and checks the octets: form, fields, and each signature.
    pub(crate) fn read(octets: &[u8]) -> Result<Self, Unread> {
        if octets.len() > OCTETS_MAX {
            return Err(Unread::Long);
        }
        let (text, mut rest) = cut(octets)?;
        let mut signers = Vec::new();
        let hash = crypto::transcript(LABEL, &[text]);
        while !rest.is_empty() {
            let (key, signature) = rest.split_at_checked(32).ok_or(Unread::Form)?;
            let (signature, behind) = signature.split_at_checked(64).ok_or(Unread::Form)?;
            if !crypto::is_signed(key, &hash, signature) {
                return Err(Unread::Signature);
            }
            signers.push(Key::of(key).ok_or(Unread::Form)?);
            rest = behind;
        }
        let policy: Policy = serde_json::from_slice(text).map_err(|_| Unread::Text)?;
        policy.check()?;
        if signers.first() != Some(&policy.dk) {
            return Err(Unread::Signature);
        }
        Ok(Self { policy, octets: octets.to_vec(), signers })
    }

    /// Reads base64url, as policies are written everywhere.
    pub(crate) fn read_text(text: &str) -> Result<Self, Unread> {
        if text.len() > OCTETS_MAX * 4 / 3 + 4 {
            return Err(Unread::Long);
        }
        Self::read(&unb64(text.trim()).ok_or(Unread::Form)?)
    }

    pub(crate) fn text(&self) -> String {
        b64(&self.octets)
    }
}

/// Cuts octets into the text and the signatures, which are as many as they say.
fn cut(octets: &[u8]) -> Result<(&[u8], &[u8]), Unread> {
    let (version, rest) = octets.split_first().ok_or(Unread::Form)?;
    if *version != 0 {
        return Err(Unread::Version);
    }
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(Unread::Form)?;
    let length = usize::from(u16::from_le_bytes(*length));
    if length > TEXT_BYTES_MAX {
        return Err(Unread::Long);
    }
    let (text, rest) = rest.split_at_checked(length).ok_or(Unread::Form)?;
    let (count, signatures) = rest.split_first().ok_or(Unread::Form)?;
    let count = usize::from(*count);
    let is_fine = (1..=SIGNERS_MAX).contains(&count) && signatures.len() == count * 96;
    if is_fine { Ok((text, signatures)) } else { Err(Unread::Form) }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
pub(crate) mod tests;
