//! Stanzas: what is read is written so that it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xml::{Flat, Node};
use xmpp::{Stanza, StanzaError, ns};

fuzz_target!(|text: &str| {
    let Ok(flat) = Flat::parse(text, ns::CLIENT) else { return };
    let Ok(stanza) = Stanza::read(flat) else { return };
    let written = stanza.to_xml();
    let again = Stanza::parse(&written).expect("what we write can be read");
    // The text may differ: what might be a declaration is written out, also inside an attribute.
    let (first, second) = (read(&written), read(&again.to_xml()));
    assert!(means_the_same(first.root(), second.root()), "{written}");
    assert_eq!((&again.from, &again.to, &again.id), (&stanza.from, &stanza.to, &stanza.id));
    Stanza::parse(&stanza.to_forwarded_xml()).expect("so can what is forwarded");
    let _ = format!("{:?}", stanza.summary());
    let view = stanza.view();
    let _ = (view.message_kind(), view.presence_kind(), view.iq_kind(), view.payloads().count());
    for reply in [stanza.error_reply(&StanzaError::BAD_REQUEST), stanza.result_reply("")] {
        if let Some(reply) = reply {
            Stanza::parse(&reply.to_xml()).expect("so can an answer");
        }
    }
});

fn read(text: &str) -> Flat {
    Flat::parse(text, ns::CLIENT).expect("what we write can be read")
}

fn means_the_same(a: Node<'_>, b: Node<'_>) -> bool {
    let attrs = |node: Node<'_>| {
        let mut all: Vec<_> =
            node.attrs().map(|(ns, name, value)| [ns.into(), name.into(), value]).collect();
        all.sort();
        all.iter().map(|attr| attr.join("\0")).collect::<Vec<_>>()
    };
    let (mut left, mut right) = (a.children(), b.children());
    a.is(b.ns(), b.name())
        && attrs(a) == attrs(b)
        && a.text() == b.text()
        && loop {
            match (left.next(), right.next()) {
                (None, None) => break true,
                (Some(a), Some(b)) if means_the_same(a, b) => {}
                _ => break false,
            }
        }
}
