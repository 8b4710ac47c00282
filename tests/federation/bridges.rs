//! Programs that speak for a domain of their own beside our server, over federation.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

use calypte_tests::{Component, Foreign, Lab, Server, Setup, Which, attr, wait};

use crate::Case;
use crate::story::Person;

pub(crate) const CASES: &[Case] =
    &[Case { name: "prosody_talks_with_our_bridge", needs: &[Which::Prosody], play: bridge }];

const IRC: &str = "irc.c.example";
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
