//! Streams between servers: in pieces as at once, nothing in clear, stanzas of proved pairs only.

#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;

use crypto::Secret;
use libfuzzer_sys::fuzz_target;
use stream::s2s::{
    Choice, DialbackOutcome, Extended, Offer, PeerEvent, PeerSettings, Peering, Role,
};
use xml::{Element, Limits, Reader};
use xmpp::Stanza;

/// What the caller decides, a bit for each.
#[derive(Clone, Copy)]
struct Will(u8);

impl Will {
    fn is(self, bit: u8) -> bool {
        self.0 & (1 << bit) != 0
    }
}

struct End {
    peering: Peering,
    will: Will,
    is_tls: bool,
    clear: String,
    secret: String,
    said: Vec<String>,
    proved: BTreeSet<(String, String)>,
}

impl End {
    fn new(will: Will) -> Self {
        let role = if will.is(0) {
            Role::Initiator { local: "a.example".into(), remote: "b.example".into() }
        } else {
            Role::Receiver
        };
        let settings = PeerSettings {
            domains: vec!["a.example".into(), "rooms.a.example".into()],
            stanza_bytes: 16_384,
            dialback_secret: Secret::new(b"secret".to_vec()),
        };
        let peering = Peering::new(Arc::new(settings), role, will.is(1), [1; 32]);
        let (clear, secret, said) = (String::new(), String::new(), Vec::new());
        Self { peering, will, is_tls: will.is(1), clear, secret, said, proved: BTreeSet::new() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.peering.feed(bytes);
        while let Some(event) = self.peering.poll() {
            self.said.push(format!("{event:?}"));
            self.answer(event);
        }
        self.write();
    }

    fn write(&mut self) {
        let bytes = std::mem::take(self.peering.output());
        let text = String::from_utf8(bytes).expect("we write UTF-8");
        if self.is_tls { &mut self.secret } else { &mut self.clear }.push_str(&text);
    }

    fn answer(&mut self, event: PeerEvent) {
        let will = self.will;
        match event {
            PeerEvent::StartTls => {
                self.write();
                self.is_tls = true;
                self.peering.secured();
            }
            PeerEvent::Opened { .. } => self.peering.answer_opened(Offer {
                external: will.is(2),
                dialback: will.is(3),
                bidi: will.is(4),
                acks: will.is(5),
                more: vec![Element::new("urn:calypte:core:0", "calypte")],
            }),
            PeerEvent::Offered(offered) => self.peering.answer_offered(match will.0 >> 6 {
                0 if offered.external => Choice::External { bidi: will.is(4) },
                0 | 1 => Choice::Dialback { bidi: will.is(4) },
                2 => Choice::Nothing,
                _ => {
                    let element = Element::new("urn:calypte:tls:0", "proof");
                    Choice::Extension { element, bidi: will.is(4) }
                }
            }),
            PeerEvent::External { .. } => self.peering.answer_external(will.is(6)),
            PeerEvent::Dialback { local, remote, .. } if will.is(6) => {
                self.peering.answer_dialback(&local, &remote, DialbackOutcome::Valid);
            }
            PeerEvent::Dialback { local, remote, .. } => {
                self.peering.answer_dialback(&local, &remote, DialbackOutcome::Invalid);
            }
            PeerEvent::Extension(_) => {
                let meaning = if will.is(7) { Extended::Proved } else { Extended::Again };
                self.peering.answer_extension(None, meaning);
            }
            PeerEvent::Authenticated { local, remote, .. } => {
                let to = Stanza::parse(&format!("<message from='{local}' to='{remote}'/>"));
                let is_sent = self.peering.send(&to.expect("a stanza"));
                assert_eq!(is_sent, self.peering.may_send(&local, &remote));
                self.proved.insert((local, remote));
            }
            PeerEvent::Stanza(stanza) if !will.is(0) => {
                let (from, to) = (stanza.from.expect("from"), stanza.to.expect("to"));
                let pair = (to.domain().to_owned(), from.domain().to_owned());
                assert!(self.proved.contains(&pair), "{pair:?}");
            }
            PeerEvent::Closed | PeerEvent::Failed(..) | PeerEvent::Ended(_) => {
                assert!(self.peering.is_over());
            }
            _ => {}
        }
    }
}

/// What is written can be read.
fn check_written(text: &str) {
    for stream in text.split("<?xml version='1.0'?>").skip(1) {
        let mut reader = Reader::new(Limits::ours());
        reader.push(stream.as_bytes()).expect("it fits");
        while reader.next().expect("it can be read").is_some() {}
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [will, size, text @ ..] = bytes else { return };
    let mut at_once = End::new(Will(*will));
    let mut in_pieces = End::new(Will(*will));
    at_once.feed(text);
    for piece in text.chunks(usize::from(*size).max(1)) {
        in_pieces.feed(piece);
    }
    for end in [&mut at_once, &mut in_pieces] {
        end.write();
        for secret in ["<db:", "<auth", "<message", "<bidi", "<proof", "<enable", "<mechanisms"] {
            assert!(!end.clear.contains(secret), "{}", end.clear);
        }
        check_written(&end.clear);
        check_written(&end.secret);
    }
    // An error may show before the bytes that make it certain; what came before is the same. In
    // clear, what is behind STARTTLS at once is an attack, and in pieces it is not fed.
    let is_error = |said: &String| said.starts_with("Failed");
    for said in [&mut at_once.said, &mut in_pieces.said] {
        said.retain(|said| !is_error(said));
    }
    if *will & 2 != 0 {
        assert_eq!(at_once.said, in_pieces.said);
    }
});
