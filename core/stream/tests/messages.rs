//! A stream whose elements come one by one (RFC 7395), seen from the client.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use crypto::Secret;
use stream::{Facts, Message, Settings, Stream, StreamEvent};
use xmpp::{Stanza, StreamError};

const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.example' version='1.0'/>";

struct Client(Stream);

fn settings() -> Settings {
    Settings {
        domain: "a.example".into(),
        stanza_bytes: 20_000,
        plain_allowed: true,
        iterations: 10,
        resume_seconds: 300,
        salt_secret: Secret::new(vec![1; 32]),
        more_features: Vec::new(),
        early_features: Vec::new(),
        inline_features: Vec::new(),
        takes_tokens: false,
    }
}

impl Client {
    fn new() -> Self {
        Self(Stream::of_messages(Arc::new(settings()), Facts::default(), [9; 32]))
    }

    /// Sends a message and returns what happened.
    fn says(&mut self, text: &str) -> Vec<StreamEvent> {
        self.0.feed_message(text.to_owned());
        let mut events = Vec::new();
        while let Some(event) = self.0.poll() {
            match &event {
                StreamEvent::Password { .. } => {
                    self.0.answer_password(Some(Secret::new(vec![1; 32])));
                }
                StreamEvent::Bind { .. } => {
                    let jid = "user@a.example/web".parse().unwrap();
                    self.0.answer_bind(Ok(jid), stream::Bound::default());
                }
                _ => {}
            }
            events.push(event);
        }
        events
    }

    fn hears(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.0.next_message()).collect()
    }

    fn bound() -> Self {
        let mut client = Self::new();
        client.says(OPEN);
        let plain = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHVzZXIAcGVuY2ls</auth>";
        client.says(plain);
        client.says(OPEN);
        client.says(
            "<iq xmlns='jabber:client' id='b' type='set'>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        );
        assert!(client.0.session().is_some());
        client
    }
}

#[test]
fn each_element_says_its_namespaces() {
    let mut client = Client::new();
    client.says(OPEN);
    let heard = client.hears();
    assert!(matches!(&heard[0], Message::Open(text)
        if text.starts_with("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'")));
    assert!(matches!(&heard[1], Message::Element(text)
        if text.starts_with("<stream:features xmlns:stream='http://etherx.jabber.org/streams'>")
            && !text.contains("-PLUS")));
    let mut client = Client::bound();
    client.hears();
    client.0.send(&Stanza::parse("<message from='b@a.example'><body>x</body></message>").unwrap());
    let text = "<message xmlns=\"jabber:client\" from=\"b@a.example\"><body>x</body></message>";
    assert_eq!(client.hears(), [Message::Element(text.into())]);
    assert_eq!(client.0.unwritten(), 0);
    client.says("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    assert!(matches!(client.hears().as_slice(), [Message::Close(_)]));
}

#[test]
fn a_message_is_one_element() {
    for (text, error) in [
        ("<message xmlns='jabber:client'/><presence/>", StreamError::NotWellFormed),
        ("<message xmlns='jabber:client'>", StreamError::NotWellFormed),
        (" <message xmlns='jabber:client'/>", StreamError::NotWellFormed),
        ("", StreamError::NotWellFormed),
        ("<!-- x --><message/>", StreamError::RestrictedXml),
        ("<x:message/>", StreamError::BadNamespacePrefix),
        // There is one stream, and it is open.
        (OPEN, StreamError::NotWellFormed),
    ] {
        let mut client = Client::bound();
        let events = client.says(text);
        assert!(
            matches!(events.as_slice(), [StreamEvent::Failed(found)] if *found == error),
            "{text}: {events:?}"
        );
        let heard = client.hears();
        assert!(matches!(heard.last(), Some(Message::Close(_))), "{text}: {heard:?}");
    }
    // Nothing comes before the stream.
    let mut client = Client::new();
    let events = client.says("<message xmlns='jabber:client'/>");
    assert!(matches!(events.as_slice(), [StreamEvent::Failed(StreamError::NotWellFormed)]));
}

#[test]
fn messages_are_bounded() {
    let mut client = Client::new();
    assert_eq!(client.0.message_bytes_max(), 10_000);
    client.says(OPEN);
    let long = format!("<a xmlns='u:a'>{}</a>", "x".repeat(15_000));
    let events = client.says(&long);
    assert!(matches!(events.as_slice(), [StreamEvent::Failed(StreamError::PolicyViolation)]));
    let mut client = Client::bound();
    assert_eq!(client.0.message_bytes_max(), 20_000);
    let long =
        format!("<message xmlns='jabber:client'><body>{}</body></message>", "x".repeat(15_000));
    assert!(matches!(client.says(&long).as_slice(), [StreamEvent::Stanza(_)]));
}
