//! How bytes are cut makes no difference.

use proptest::prelude::*;
use stream::s2s::{DialbackOutcome, PeerEvent, Role};

use crate::duo::{End, THEIRS, offer, settings};

/// What a peer says in a whole life: dialback, stanzas in many forms, an end.
fn life() -> String {
    let header = "<?xml version='1.0' encoding='utf-8'?>\n<s:stream xmlns='jabber:server' \
         xmlns:d='jabber:server:dialback' xmlns:s='http://etherx.jabber.org/streams' \
         from='bücher.example' to='b.example' version='1.0'>";
    [
        header,
        "\n<bidi xmlns='urn:xmpp:bidi'/><d:result from='bücher.example' to='b.example'>k</d:result>",
        "<enable xmlns='urn:xmpp:sm:3'/> <iq from='bücher.example' to='b.example' type='get' \
         id='&gt;'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<message from='u@bücher.example' to='v@b.example'><body xmlns='jabber:server'>\u{1F9A6}]]\
         <![CDATA[<x>]]></body></message>",
        "<r xmlns='urn:xmpp:sm:3'/><presence from='u@bücher.example' to='v v@b.example'/>",
        "</s:stream>",
    ]
    .concat()
}

/// What a receiver says and tells when it is fed these pieces.
fn heard(pieces: &[&[u8]]) -> (String, Vec<String>) {
    let mut end = End::new(settings(THEIRS, b"receiver"), Role::Receiver, true);
    for piece in pieces {
        end.peering.feed(piece);
        while let Some(event) = end.peering.poll() {
            match &event {
                PeerEvent::Opened { .. } => end.peering.answer_opened(offer()),
                PeerEvent::Dialback { local, remote, .. } => {
                    end.peering.answer_dialback(local, remote, DialbackOutcome::Valid);
                }
                _ => {}
            }
            end.events.push(event);
        }
    }
    let events = end.events.iter().map(|event| format!("{event:?}")).collect();
    (end.written(), events)
}

#[test]
fn a_life_goes_to_its_end() {
    let (said, events) = heard(&[life().as_bytes()]);
    assert_eq!(events.len(), 9, "{events:?}");
    assert!(said.ends_with("</stream:stream>") && !said.contains("stream:error"), "{said}");
}

proptest! {
    #[test]
    fn cuts_change_nothing(mut cuts in prop::collection::vec(0..1200usize, 0..40)) {
        let life = life();
        let bytes = life.as_bytes();
        cuts.extend([0, bytes.len()]);
        cuts.retain(|cut| *cut <= bytes.len());
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(heard(&pieces), heard(&[bytes]));
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..1200usize) {
        let life = life();
        let cut = cut.min(life.len());
        heard(&[&life.as_bytes()[..cut], &bytes]);
    }
}
