//! Programs that speak for a domain of their own beside a server, over federation: bridges, and the
//! servers of apps that wake phones.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use calypte_tests::{Component, Foreign, How, Lab, Server, Setup, Which, attr, play, wait};

use crate::Case;
use crate::rooms::{told, well};
use crate::story::Person;

pub(crate) const CASES: &[Case] = &[
    Case { name: "prosody_talks_with_our_bridge", needs: &[Which::Prosody], play: bridge },
    Case { name: "biboumi_brings_people_of_irc", needs: &[Which::Prosody], play: biboumi },
    Case { name: "an_app_server_wakes_a_phone", needs: &[Which::Prosody], play: push },
];

const IRC: &str = "irc.c.example";
const PUSH: &str = "push.p.example";
const PORT: u16 = 5347;

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

fn with_bridge(lab: &Lab, address: IpAddr) -> Server {
    let tables = format!("[[components]]\ndomain = \"{IRC}\"\nsecret_file = \"secret\"\n");
    let setup = Setup::within(lab, "c.example", address)
        .set("listen.components", &format!("[\"127.0.0.1:{PORT}\"]"));
    let mut server = setup.raw(&tables).prepare();
    let path = server.file("secret");
    std::fs::write(&path, "sesame\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    // Its name leads to us.
    lab.publish(IRC, address);
    server.launch();
    server
}

/// Somebody at a Prosody writes with somebody behind a bridge of ours. Our certificate does not have the
/// name of the bridge, so both domains prove themselves by dialback.
fn bridge(lab: &Lab) {
    let ours = with_bridge(lab, lab.v4(1));
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).dialback().start();
    let mut ben = Person::login(&theirs, "ben");
    let friend = format!("friend@{IRC}");
    // Nobody is there yet, and he is told.
    ben.write(&friend, "early");
    ben.bounced("early");
    let mut irc = Component::connect(local(), IRC, "sesame");
    ben.write(&friend, "hello");
    let got = irc.expect(&["hello", "</message>"]);
    assert_eq!(attr(&got, "to").as_deref(), Some(&*friend), "{got}");
    assert!(got.contains("from=\"ben@p.example/"), "{got}");
    irc.say(&format!(
        "<message from='{friend}/irc' to='ben@p.example' type='chat'><body>back</body></message>"
    ));
    let got = ben.client.expect(&["<message", "<body>back</body>"]);
    assert!(got.contains(&format!("{friend}/irc")), "{got}");
    // Requests and subscriptions pass in both directions, too.
    let asked = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    ben.client.send(&format!("<iq type='get' id='what' to='{IRC}'>{asked}</iq>"));
    let got = irc.expect(&["disco#info", "</iq>"]);
    let (id, from) = (attr(&got, "id").unwrap(), attr(&got, "from").unwrap());
    irc.say(&format!(
        "<iq type='result' id='{id}' from='{IRC}' to='{from}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>\
         <identity category='gateway' type='irc'/></query></iq>"
    ));
    ben.client.expect(&["<iq", "what", "gateway"]);
    irc.say(&format!(
        "<iq type='get' id='their' from='{IRC}' to='p.example'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    irc.expect(&["their", "result"]);
    // It dies with what it had not read.
    wait("it answers", || {
        irc.hear();
        irc.answered() > 0
    });
    ben.write(&friend, "unread");
    wait("it is written", || {
        ours.metric("calypte_component_stanzas_out_total{kind=\"message\"}") > 1.0
    });
    drop(irc);
    ben.bounced("unread");
}

/// biboumi is our bridge to a channel of IRC, where people of ours, of a Prosody and of IRC meet.
fn biboumi(lab: &Lab) {
    let ours = with_bridge(lab, lab.v4(1));
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).dialback();
    let _theirs = theirs.people(&["carl"]).start();
    let mut irc = told(lab, "irc.py", "irc");
    irc.env("COMPONENT_PORT", PORT.to_string()).env("COMPONENT_SECRET", "sesame");
    let steps = "discovery commands enter talk private names leave logout";
    well(play(irc, steps, |_| String::new()), &ours);
}

/// Our user's phone is asleep, and an app's server behind a Prosody is to wake it.
fn push(lab: &Lab) {
    let ours = Setup::within(lab, "c.example", lab.v4(1))
        .set("federation.dialback", "[\"push.p.example\"]")
        .start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).dialback();
    let theirs = theirs.component(PUSH, "sesame").start();
    lab.publish(PUSH, lab.v4(2));
    let address = (theirs.address(), PORT).into();
    wait("it lets components in", || TcpStream::connect(address).is_ok());
    let mut app = Component::connect(address, PUSH, "sesame");
    let mut ben = Person::login(&ours, "ben");
    let mut ana = Person::login(&ours, "ana");
    ana.client.send(&format!(
        "<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='{PUSH}' node='n1'>\
         <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
         <field var='secret'><value>s3cret</value></field></x></enable></iq>"
    ));
    ana.client.expect(&["<iq", "id=\"e\"", "result"]);
    ana.client.enable();
    // It is gone, and its session waits for it.
    let memory = ana.client.memory();
    drop(ana.client.socket().shutdown(std::net::Shutdown::Both));
    wait("it hibernates", || ours.metric("calypte_sessions_detached") > 0.0);
    ben.write("ana@c.example", "first");
    let asked = app.expect(&["<publish ", "n1", "</iq>"]);
    assert!(asked.contains("s3cret") && asked.contains("from='ana@c.example'"), "{asked}");
    assert!(!asked.contains("first") && !asked.contains("ben@"), "{asked}");
    // The app is not there any more: it is not asked again.
    let id = attr(&asked, "id").unwrap();
    app.say(&format!(
        "<iq type='error' id='{id}' from='{PUSH}' to='ana@c.example'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
    wait("it is given up", || ours.metric("calypte_push_given_up_total") > 0.0);
    ben.write("ana@c.example", "second");
    ben.client.ping();
    std::thread::sleep(std::time::Duration::from_secs(4));
    app.say(&format!(
        "<iq type='get' id='last' from='{PUSH}' to='p.example'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    let got = app.expect(&["last"]);
    assert!(!got.contains("<publish "), "{got}");
    // Nothing is lost by that.
    let mut ana = How::default().resume(&ours, &memory).unwrap();
    ana.expect(&["<message", "first"]);
    ana.expect(&["<message", "second"]);
}
