//! What people on two servers do with each other. It is told for any two, so that the story is proved
//! between the servers of others before it is told of ours.

use std::time::Duration;

use calypte_tests::{Client, Host, Lab, PATIENCE, attr};

const DISCO: &str = "http://jabber.org/protocol/disco#info";
const NICK: &str = "http://jabber.org/protocol/nick";
/// What a client says about itself, and the hash of it (XEP-0115 §5).
const ABOUT: &str = "client/pc//story<http://jabber.org/protocol/nick+notify<";

/// Somebody who is logged in.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) domain: String,
    name: String,
}

/// What differs between servers and is right in each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// Conditions for a domain whose servers do not answer.
    pub(crate) unreachable: &'static [&'static str],
}

impl Person {
    /// Logs `name` in and becomes available.
    #[track_caller]
    pub(crate) fn login(host: &dyn Host, name: &str) -> Self {
        let mut client = host.how().login(host, name);
        let hash = caps(ABOUT);
        // Who has not asked for the roster is told nothing of subscriptions (RFC 6121 §2.1.6).
        client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
        client.expect(&["<iq", "jabber:iq:roster", "result"]);
        client.send(&format!(
            "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
             node='https://story.example' ver='{hash}'/></presence>"
        ));
        Self { client, domain: host.domain().to_owned(), name: name.to_owned() }
    }

    pub(crate) fn bare(&self) -> String {
        format!("{}@{}", self.name, self.domain)
    }

    #[track_caller]
    pub(crate) fn write(&mut self, to: &str, body: &str) {
        let id = body.split_whitespace().next().unwrap_or_default();
        self.client.send(&format!(
            "<message to='{to}' type='chat' id='{id}'><body>{body}</body></message>"
        ));
    }

    /// Sends texts and waits for them at the other end; they have to come in this order.
    #[track_caller]
    pub(crate) fn tells(&mut self, other: &mut Self, bodies: &[String]) {
        for body in bodies {
            self.write(&other.bare(), body);
        }
        for body in bodies {
            let said = other.client.expect(&["<message", "<body>"]);
            assert!(said.contains(&format!("<body>{body}</body>")), "{said} in place of {body}");
        }
    }

    /// Asks and returns the answer, good or bad.
    #[track_caller]
    pub(crate) fn asks(&mut self, kind: &str, to: &str, payload: &str) -> String {
        let id = format!("i{}", payload.len() + to.len() * 1000);
        self.client.send(&format!("<iq type='{kind}' to='{to}' id='{id}'>{payload}</iq>"));
        loop {
            let said = self.client.expect(&["<iq", &id]);
            if attr(&said, "id").as_deref() == Some(&id) {
                return said;
            }
        }
    }

    /// Waits for an error that answers what was sent with `id`, and returns it.
    #[track_caller]
    pub(crate) fn bounced(&mut self, id: &str) -> String {
        loop {
            let said = self.client.expect(&["error", id]);
            if attr(&said, "id").as_deref() == Some(id) {
                assert_eq!(attr(&said, "type").as_deref(), Some("error"), "{said}");
                return said;
            }
        }
    }

    /// Sees presence of somebody.
    #[track_caller]
    pub(crate) fn sees(&mut self, from: &str, parts: &[&str]) -> String {
        let all = [&["<presence", from], parts].concat();
        self.client.expect(&all)
    }

    /// Tells whoever asks what this client can do, until nothing comes for a moment.
    fn answers_disco(&mut self) {
        while let Some(asked) =
            self.client.try_expect(&["<iq", DISCO, "get"], Duration::from_secs(5))
        {
            let (id, from) = (attr(&asked, "id").unwrap(), attr(&asked, "from").unwrap());
            let node = attr(&asked[asked.find("<query").unwrap()..], "node");
            let node = node.map(|node| format!(" node='{node}'")).unwrap_or_default();
            self.client.send(&format!(
                "<iq type='result' id='{id}' to='{from}'><query xmlns='{DISCO}'{node}><identity \
                 category='client' type='pc' name='story'/><feature var='{NICK}+notify'/></query></iq>"
            ));
        }
    }
}

/// XEP-0115 §5.1.
fn caps(about: &str) -> String {
    use aws_lc_rs::digest;
    use base64::Engine as _;
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, about.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// The whole story.
pub(crate) fn tell(lab: &Lab, one: &dyn Host, two: &dyn Host, ways: [Ways; 2]) {
    let (mut ana, mut ben) = (Person::login(one, "ana"), Person::login(two, "ben"));
    become_contacts(&mut ana, &mut ben);
    become_contacts(&mut ben, &mut ana);
    see_each_other(&mut ana, &mut ben);
    chat(&mut ana, &mut ben);
    ask(&mut ana, &mut ben);
    ask(&mut ben, &mut ana);
    publish(&mut ana, &mut ben);
    get_back(lab, &mut ana, &ben.domain, ways[0]);
    get_back(lab, &mut ben, &ana.domain, ways[1]);
    chat(&mut ana, &mut ben);
    go_away(ana, ben);
}

/// `one` asks to see `two`, who allows it.
#[track_caller]
pub(crate) fn become_contacts(one: &mut Person, two: &mut Person) {
    one.client.send(&format!("<presence to='{}' type='subscribe'/>", two.bare()));
    two.sees(&one.bare(), &["subscribe"]);
    two.client.send(&format!("<presence to='{}' type='subscribed'/>", one.bare()));
    one.sees(&two.bare(), &["subscribed"]);
    // What is available now is shown at once.
    one.sees(two.client.jid().to_owned().as_str(), &["caps"]);
    let roster = one.asks("get", &one.bare(), "<query xmlns='jabber:iq:roster'/>");
    let mut items = roster.split("<item").skip(1);
    let item = items.find(|item| attr(item, "jid") == Some(two.bare()));
    let item = item.expect("the contact is there");
    let subscription = attr(item, "subscription").unwrap_or_default();
    assert!(["to", "both"].contains(&subscription.as_str()), "{roster}");
}

#[track_caller]
pub(crate) fn see_each_other(ana: &mut Person, ben: &mut Person) {
    ana.client.send("<presence><show>away</show><status>Tea &amp; cake</status></presence>");
    let seen = ben.sees(&ana.bare(), &["away", "Tea &amp; cake"]);
    assert_eq!(attr(&seen, "from").as_deref(), Some(ana.client.jid()));
    ben.client.send("<presence><show>dnd</show></presence>");
    ana.sees(&ben.bare(), &["dnd"]);
}

#[track_caller]
pub(crate) fn chat(ana: &mut Person, ben: &mut Person) {
    let texts: Vec<_> = (0..20).map(|number| format!("text {number}.")).collect();
    ana.tells(ben, &texts);
    ben.tells(ana, &texts);
    // Nearly as much as anybody takes, and with characters of all lengths.
    let long = "long é 🐦 ".repeat(180 * 1024 / 14);
    ana.tells(ben, std::slice::from_ref(&long));
    ben.tells(ana, &[long]);
}

#[track_caller]
pub(crate) fn ask(one: &mut Person, two: &mut Person) {
    let server = two.domain.clone();
    let info = one.asks("get", &server, &format!("<query xmlns='{DISCO}'/>"));
    assert!(info.contains("<identity") && info.contains("server"), "{info}");
    for ping in [server.clone(), two.client.jid().to_owned()] {
        // The other client answers by itself once it reads.
        one.client.send(&format!(
            "<iq type='get' to='{ping}' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        let moment = Duration::from_millis(20);
        let pong = (0..1000).find_map(|_| {
            two.client.serve(moment);
            one.client.try_expect(&["<iq", "ping"], moment)
        });
        let pong = pong.expect("an answer to a ping");
        assert_eq!(attr(&pong, "type").as_deref(), Some("result"), "{pong}");
    }
    let version = one.asks("get", &server, "<query xmlns='jabber:iq:version'/>");
    assert!(version.contains("<name>"), "{version}");
}

/// Ben publishes his nickname, which ana's client wants to know.
#[track_caller]
fn publish(ana: &mut Person, ben: &mut Person) {
    ana.client.send(&format!(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
         node='https://story.example' ver='{}'/></presence>",
        caps(ABOUT)
    ));
    let item = format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{NICK}'><item \
         id='current'><nick xmlns='{NICK}'>Benno</nick></item></publish></pubsub>"
    );
    // His server may have to ask her client first, and forgets what was published before it knew.
    let event = (0..30).find_map(|_| {
        ana.answers_disco();
        let done = ben.asks("set", &ben.bare(), &item);
        assert_eq!(attr(&done, "type").as_deref(), Some("result"), "{done}");
        ana.client.try_expect(&["<message", "pubsub#event", "Benno"], Duration::from_secs(1))
    });
    let event = event.expect("what ben published");
    assert_eq!(attr(&event, "from").as_deref(), Some(ben.bare().as_str()), "{event}");
}

/// What cannot be delivered comes back, with the reason.
#[track_caller]
pub(crate) fn get_back(lab: &Lab, one: &mut Person, domain: &str, ways: Ways) {
    one.write(&format!("nobody@{domain}"), "stranger");
    let said = one.bounced("stranger");
    assert!(said.contains("<service-unavailable"), "{said}");
    let said = one.asks("get", &format!("nobody@{domain}"), "<query xmlns='urn:strange'/>");
    assert!(said.contains("error"), "{said}");

    one.write("x@nowhere.plain", "nowhere");
    let said = one.bounced("nowhere");
    assert!(said.contains("<remote-server-not-found"), "{said}");
    let said = one.asks("get", "nowhere.plain", "<ping xmlns='urn:xmpp:ping'/>");
    assert!(said.contains("<remote-server-not-found"), "{said}");

    // It has servers, says its zone, and nobody listens there.
    lab.publish("shut.example", lab.v4(99));
    one.client
        .send("<iq type='get' to='shut.example' id='shut'><ping xmlns='urn:xmpp:ping'/></iq>");
    let said = one.client.expect(&["<iq", "shut.example", "error"]);
    assert!(ways.unreachable.iter().any(|condition| said.contains(condition)), "{said}");

    // It has none, says its zone.
    for service in ["_xmpp-server._tcp", "_xmpps-server._tcp"] {
        lab.names().service(service, "none.example", (0, 0, 0, "."));
    }
    lab.names().address("none.example", lab.v4(98));
    one.write("x@none.example", "none");
    let said = one.bounced("none");
    assert!(said.contains("<remote-server-not-found"), "{said}");
    lab.names().remove("_xmpp-server._tcp.none.example");
    lab.names().remove("_xmpps-server._tcp.none.example");
}

#[track_caller]
pub(crate) fn go_away(ana: Person, mut ben: Person) {
    let jid = ana.client.jid().to_owned();
    ana.client.close();
    ben.sees(&jid, &["unavailable"]);
    assert!(ben.client.try_expect(&["<body>"], PATIENCE / 100).is_none());
    ben.client.close();
}
