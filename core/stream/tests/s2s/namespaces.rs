//! What leaves means in `jabber:server` what it meant in `jabber:client`, and what comes back the
//! same, as an independent parser reads it.

use rxml::{Event, Parse, Parser};
use stream::s2s::Choice;
use xmpp::Stanza;

use crate::duo::Duo;

const AROUND: &str = "from='u@a.example' to='v@b.example'";

/// Returns the elements of a text as rxml reads them: how deep, namespace, name.
fn elements(text: &str, ns: &str) -> Vec<(usize, String, String)> {
    let document = format!("<?xml version='1.0'?><around xmlns='{ns}'>{text}</around>");
    let mut bytes = document.as_bytes();
    let mut parser = Parser::default();
    let (mut found, mut depth) = (Vec::new(), 0);
    while let Some(event) = parser.parse(&mut bytes, true).unwrap() {
        match event {
            Event::StartElement(_, (ns, name), _) => {
                found.push((depth, ns.to_string(), name.to_string()));
                depth += 1;
            }
            Event::EndElement(_) => depth -= 1,
            _ => {}
        }
    }
    found.remove(0);
    found
}

/// What the standard says has to leave: the stanza and all of its own in `jabber:server`, foreign
/// content with all that is inside as it is.
fn expected(inside: Vec<(usize, String, String)>) -> Vec<(usize, String, String)> {
    let mut foreign = None;
    let outside = |(depth, ns, name): (usize, String, String)| {
        if foreign.is_some_and(|above| depth <= above) {
            foreign = None;
        }
        if foreign.is_none() && ns != "jabber:client" {
            foreign = Some(depth);
        }
        let is_own = foreign.is_none();
        (depth, if is_own { "jabber:server".to_owned() } else { ns }, name)
    };
    inside.into_iter().map(outside).collect()
}

#[test]
fn what_leaves_means_the_same() {
    let forwarded = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' \
         from='x@y'><body>jabber:client</body></message></forwarded>";
    for inside in [
        "<body>x &amp; y</body>",
        "<body xmlns='jabber:client'>x</body>",
        "<body>jabber:client</body><x xmlns='urn:x'><body/></x>",
        forwarded,
        &format!("<sent xmlns='urn:xmpp:carbons:2'>{forwarded}</sent><body>x</body>"),
        &format!("<body xmlns='jabber:client'/>{forwarded}"),
        "<c:body xmlns:c='jabber:client'>x</c:body>",
        "<x:a xmlns:x='urn:x'><c:body xmlns:c='jabber:client'/><x:b/></x:a><body/>",
        "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        "",
    ] {
        for start in
            [format!("<message {AROUND}>"), format!("<message {AROUND} xmlns:c='jabber:client'>")]
        {
            let xml = format!("{start}{inside}</message>");
            let stanza = Stanza::parse(&xml).unwrap();
            let mut duo = Duo::choosing(true, &[Choice::External { bidi: false }]);
            let before = duo.initiator.secret.len();
            assert!(duo.initiator.peering.send(&stanza));
            duo.run();
            let sent = &duo.initiator.secret[before..];
            let was = elements(&xml, "jabber:client");
            assert_eq!(elements(sent, "jabber:server"), expected(was.clone()), "{sent}");
            let came = duo.receiver.stanzas()[0].to_xml();
            assert_eq!(elements(&came, "jabber:client"), was, "{came}");
        }
    }
}

#[test]
fn what_comes_is_a_client_s_in_whatever_form() {
    for stanza in [
        format!("<message {AROUND}><body>x</body></message>"),
        format!("<message xmlns='jabber:server' {AROUND}><body>x</body></message>"),
        format!("<message {AROUND}><body xmlns='jabber:server'>x</body></message>"),
        format!("<message xmlns='jabber:client' {AROUND}><body>x</body></message>"),
        format!("<s:message xmlns:s='jabber:server' {AROUND}><s:body>x</s:body></s:message>"),
        format!(
            "<s:message xmlns:s='jabber:server' xmlns='urn:x' {AROUND}><s:body>x</s:body></s:message>"
        ),
    ] {
        let mut duo = Duo::choosing(true, &[Choice::External { bidi: false }]);
        duo.receiver.peering.feed(stanza.as_bytes());
        duo.run();
        let came = duo.receiver.stanzas()[0];
        assert_eq!(came.view().body().as_deref(), Some("x"), "{stanza}");
        let plain = [
            (1, "jabber:client".to_owned(), "message".to_owned()),
            (2, "jabber:client".to_owned(), "body".to_owned()),
        ];
        assert_eq!(elements(&came.to_xml(), "jabber:client"), plain, "{stanza}");
    }
}
