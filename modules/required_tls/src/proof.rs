//! Who speaks on a stream: a signature with the domain's key over what only the two ends of the TLS
//! channel know.
//!
//! A man in the middle has two channels with two exporter values, so he can pass on neither side's
//! proof, whatever certificate he has. There is nothing to replay either: the value is new on each
//! connection. So the time in a proof is signed for the record and not compared with our clock; a
//! bound would only cut off servers with a wrong clock, and who sets clocks could use it.

use calypte::crypto::{self, SigningKey};
use calypte::prelude::*;

use crate::policy::{Key, Signed, b64, unb64};

/// The namespace of what this module sends.
pub(crate) const NS: &str = "urn:calypte:tls:0";
/// The label of what is signed.
const LABEL: &str = "s2s proof";

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Initiator,
    Receiver,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Initiator => "i",
            Self::Receiver => "r",
        }
    }
}

/// The two ends of a stream and what binds a proof to it.
#[derive(Clone, Copy)]
pub(crate) struct Channel<'a> {
    /// Who proves.
    pub(crate) from: &'a str,
    /// Whom it is proved to.
    pub(crate) to: &'a str,
    pub(crate) role: Role,
    pub(crate) exporter: &'a [u8],
}

impl Channel<'_> {
    fn hash(&self, time: &str, spki_seen: &[u8]) -> [u8; 32] {
        let role = self.role.name().as_bytes();
        let (from, to) = (self.from.as_bytes(), self.to.as_bytes());
        crypto::transcript(LABEL, &[from, to, role, self.exporter, time.as_bytes(), spki_seen])
    }
}

/// A proof to be written.
pub(crate) struct Proof<'a> {
    pub(crate) channel: Channel<'a>,
    pub(crate) key: &'a SigningKey,
    /// The prover's own policy.
    pub(crate) policy: &'a Signed,
    pub(crate) now_ms: u64,
    /// The hash of the peer's certificate key; empty: none was shown.
    pub(crate) spki_seen: &'a [u8],
    /// The serial of the peer's policy that we hold, when it is not older than the one shown.
    pub(crate) newer: Option<u64>,
    /// Whether the peer need not authenticate in another way.
    pub(crate) is_accepting: bool,
}

impl Proof<'_> {
    /// Signs and writes it.
    pub(crate) fn write(&self) -> String {
        let time = (self.now_ms / 1000).to_string();
        let signature = self.key.sign(&self.channel.hash(&time, self.spki_seen));
        let mut proof = Element::new(NS, "proof")
            .with_attr("v", "0")
            .with_attr("from", self.channel.from)
            .with_attr("to", self.channel.to)
            .with_attr("role", self.channel.role.name())
            .with_attr("dk", &Key(self.key.public()).id())
            .with_attr("ts", &time)
            .with_attr("spki", &b64(self.spki_seen));
        if let Some(serial) = self.newer {
            proof.push_attr("newer", &serial.to_string());
        }
        if !self.is_accepting {
            proof.push_attr("accepted", "no");
        }
        let policy = Element::new(NS, "policy").with_text(&self.policy.text());
        let signature = Element::new(NS, "sig").with_text(&b64(&signature));
        proof.with_child(policy).with_child(signature).to_xml("")
    }
}

/// A proof that came, not checked yet.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) signed: Signed,
    time: String,
    /// The hash of our certificate's key as the peer saw it; empty: none.
    pub(crate) spki_seen: Vec<u8>,
    signature: Vec<u8>,
    pub(crate) newer: Option<u64>,
    pub(crate) is_accepting: bool,
}

impl Claim {
    /// Reads one that belongs to this end of this stream; `None` for anything else.
    pub(crate) fn read(xml: &str, channel: &Channel<'_>) -> Option<Self> {
        let flat = Flat::parse(xml, "").ok()?;
        let node = flat.root();
        let is = |name: &str, value: &str| node.attr(name).as_deref() == Some(value);
        let is_ours = node.is(NS, "proof")
            && is("v", "0")
            && is("from", channel.from)
            && is("to", channel.to)
            && is("role", channel.role.name());
        if !is_ours {
            return None;
        }
        let signed = Signed::read_text(&node.child_text(NS, "policy")?).ok()?;
        let time = node.attr("ts")?.into_owned();
        let is_time = time.len() <= 20 && time.bytes().all(|byte| byte.is_ascii_digit());
        let spki_seen = unb64(&node.attr("spki")?)?;
        let is_spki = matches!(spki_seen.len(), 0 | 32);
        (is_time && is_spki).then_some(())?;
        Some(Self {
            signed,
            time,
            spki_seen,
            signature: unb64(&node.child_text(NS, "sig")?)?,
            newer: node.attr("newer").and_then(|text| text.parse().ok()),
            is_accepting: !is("accepted", "no"),
        })
    }

    /// Tells whether the key of the policy that came with it speaks on this channel.
    pub(crate) fn is_right(&self, channel: &Channel<'_>) -> bool {
        let hash = channel.hash(&self.time, &self.spki_seen);
        self.signed.policy.covers(channel.from)
            && channel.exporter.len() == 32
            && crypto::is_signed(&self.signed.policy.dk.0, &hash, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use calypte::crypto::Secret;

    use super::*;
    use crate::policy::tests::policy;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&Secret::new(vec![byte; 32])).unwrap()
    }

    const EXPORTER: [u8; 32] = [5; 32];

    fn channel() -> Channel<'static> {
        let (from, to, role) = ("a.example", "b.example", Role::Initiator);
        Channel { from, to, role, exporter: &EXPORTER }
    }

    fn written(channel: Channel<'_>, with: &SigningKey) -> String {
        let policy = Signed::make(&policy(), &[&key(1)]).unwrap();
        let proof = Proof {
            channel,
            key: with,
            policy: &policy,
            now_ms: 1_795_417_000_000,
            spki_seen: &[8; 32],
            newer: None,
            is_accepting: true,
        };
        proof.write()
    }

    /// Tells whether a proof counts on a channel.
    fn counts(xml: &str, on: &Channel<'_>) -> bool {
        Claim::read(xml, on).is_some_and(|claim| claim.is_right(on))
    }

    #[test]
    fn counts_on_its_own_channel_only() {
        let xml = written(channel(), &key(1));
        assert!(counts(&xml, &channel()));
        let other = Channel { exporter: &[6; 32], ..channel() };
        assert!(!counts(&xml, &other));
        assert!(!counts(&xml, &Channel { exporter: &[], ..channel() }));
        assert!(!counts(&xml, &Channel { role: Role::Receiver, ..channel() }));
        assert!(!counts(&xml, &Channel { from: "b.example", to: "a.example", ..channel() }));
        assert!(!counts(&xml, &Channel { to: "c.example", ..channel() }));
        assert!(!counts(&written(channel(), &key(2)), &channel()));
    }

    #[test]
    fn what_is_written_on_it_is_signed() {
        let xml = written(channel(), &key(1));
        for (before, after) in [
            ("role=\"i\"", "role=\"r\""),
            ("ts=\"1795417000\"", "ts=\"1795417001\""),
            ("ts=\"1795417000\"", "ts=\"-1\""),
            ("to=\"b.example\"", "to=\"c.example\""),
            ("v=\"0\"", "v=\"1\""),
            (&b64(&[8; 32]), &b64(&[7; 32])),
            (&b64(&[8; 32]), ""),
            (&b64(&[8; 32]), "AA"),
        ] {
            let changed = xml.replace(before, after);
            assert_ne!(changed, xml, "{before}");
            let to = if after.contains("c.example") { "c.example" } else { "b.example" };
            let role = if after.contains("role") { Role::Receiver } else { Role::Initiator };
            assert!(!counts(&changed, &Channel { to, role, ..channel() }), "{before}");
        }
    }

    #[test]
    fn the_key_speaks_for_its_own_names() {
        let from = "rooms.a.example";
        let xml = written(Channel { from, ..channel() }, &key(1));
        assert!(counts(&xml, &Channel { from, ..channel() }));
        let from = "other.a.example";
        let xml = written(Channel { from, ..channel() }, &key(1));
        assert!(!counts(&xml, &Channel { from, ..channel() }));
    }

    #[test]
    fn nonsense_is_no_proof() {
        for xml in ["", "<proof", "<proof xmlns='urn:calypte:tls:0'/>", "<a/>"] {
            assert!(Claim::read(xml, &channel()).is_none(), "{xml}");
        }
    }

    /// The example of PROTOCOL.md.
    #[test]
    fn the_example_is_true() {
        let page = include_str!("../PROTOCOL.md");
        let time = "1795417000";
        let hash = channel().hash(time, &[8; 32]);
        let lines: String = page.lines().collect();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(lines.contains(&hex), "{hex}");
        let signature = b64(&key(1).sign(&hash));
        assert!(lines.contains(&signature), "{signature}");
    }
}
