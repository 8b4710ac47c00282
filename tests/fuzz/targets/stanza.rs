//! Stanzas: what is read is written so that it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xml::Flat;
use xmpp::{Stanza, StanzaError, ns};

fuzz_target!(|text: &str| {
    let Ok(flat) = Flat::parse(text, ns::CLIENT) else { return };
    let Ok(stanza) = Stanza::read(flat) else { return };
    let written = stanza.to_xml();
    let again = Stanza::parse(&written).expect("what we write can be read");
    assert_eq!(again.to_xml(), written);
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
