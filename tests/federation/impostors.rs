//! Servers that speak for others, too early, too much or too slowly.

use std::time::{Duration, Instant};

use calypte_tests::{
    Client, Heard, Kind, Lab, Manners, PATIENCE, Peer, Server, Setup, Station, attr,
};

use crate::Case;
use crate::story::Person;

pub(crate) const CASES: &[Case] = &[
    Case { name: "nobody_is_heard_before_a_proof", needs: &[], play: early },
    Case { name: "nobody_speaks_for_another_domain", needs: &[], play: foreign_from },
    Case { name: "a_certificate_proves_its_own_name_only", needs: &[], play: external },
    Case { name: "a_key_proves_one_pair_on_one_stream", needs: &[], play: keys },
    Case { name: "a_second_domain_needs_a_proof_of_its_own", needs: &[], play: piggyback },
    Case { name: "errors_are_never_answered", needs: &[], play: errors },
    Case { name: "slow_names_delay_nobody_else", needs: &[], play: slow_names },
    Case { name: "thousands_of_silent_servers_delay_nobody", needs: &[], play: thousands },
];

const SERVED_WITHIN: Duration = Duration::from_secs(1);

struct Scene {
    server: Server,
    ana: Person,
}

impl Scene {
    fn new(lab: &Lab, change: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = Setup::within(lab, "c.example", lab.v4(1));
        let server = change(setup.set("federation.retry_for", "\"3 seconds\"")).start();
        let ana = Person::login(&server, "ana");
        Self { server, ana }
    }

    /// Checks that nothing came to ana, and that a local client is served at once.
    #[track_caller]
    fn is_unharmed(&mut self) {
        let took = self.ana.client.ping();
        assert!(took < SERVED_WITHIN, "a ping took {took:?}");
        let came = self.ana.client.try_expect(&["<message"], Duration::from_millis(50));
        assert!(came.is_none(), "{came:?}");
        let begin = Instant::now();
        Client::login(&self.server, "ben").ping();
        assert!(begin.elapsed() < 3 * SERVED_WITHIN, "a login took {:?}", begin.elapsed());
    }
}

/// One that has a right certificate.
fn evil(lab: &Lab) -> Peer {
    let shown = lab.authority().issue(Kind::Both, "evil.example");
    Peer::new(lab, "evil.example", "c.example", lab.v4(1)).shows(&shown)
}

/// Where answers to it go.
fn home(lab: &Lab) -> Station {
    let shown = lab.authority().issue(Kind::Both, "evil.example");
    Station::start(lab, "evil.example", lab.v4(2), &shown, Manners::default())
}

fn message(from: &str, to: &str) -> String {
    let from = if from.is_empty() { String::new() } else { format!(" from='{from}'") };
    let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
    format!("<message{from}{to} type='chat'><body>forged</body></message>")
}

/// Waits for the end of the stream, with one of these conditions.
#[track_caller]
fn ends(client: &mut Client, conditions: &[&str], why: &str) {
    let error = client.ended().unwrap_or_default();
    let is_right = conditions.iter().any(|condition| error.contains(&format!("<{condition}")));
    assert!(is_right, "{error} in place of {conditions:?} to {why}");
}

fn early(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup);
    let peer = evil(lab);
    let said = message("x@evil.example", "ana@c.example");
    let key = "<db:result from='evil.example' to='c.example'>0123</db:result>";
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let refused = ["not-authorized", "policy-violation", "unsupported-stanza-type"];
    for what in [said.as_str(), key, auth] {
        let mut client = peer.connect();
        let offered = client.open_with(&peer.header());
        assert!(offered.contains("<starttls") && !offered.contains("EXTERNAL"), "{offered}");
        client.send(what);
        ends(&mut client, &refused, what);
    }
    let (mut client, _) = peer.open();
    client.send(&said);
    ends(&mut client, &["not-authorized"], "a stanza before the proof");
    // What stands behind the wish for TLS is never used.
    let mut client = peer.connect();
    client.open_with(&peer.header());
    client.send(&format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{said}"));
    while let Some(Heard::Element(xml)) = client.hear(Duration::from_millis(300)) {
        assert!(xml.contains("proceed") || xml.contains("error"), "{xml}");
    }
    // More than anybody may say before a proof.
    let (mut client, _) = peer.open();
    drop(client.try_send(format!("<x xmlns='y'>{}", "z".repeat(1 << 20)).as_bytes()));
    assert!(client.ended().is_none_or(|error| error.contains("<policy-violation")));
    // A domain that is not here.
    let mut client = peer.connect();
    client.send(&peer.header().replace("to='c.example'", "to='other.example'"));
    ends(&mut client, &["host-unknown"], "a foreign domain");
    scene.is_unharmed();
}

fn foreign_from(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup);
    let peer = evil(lab);
    let ana = "ana@c.example";
    let from = ["invalid-from"];
    let cases: [(&str, &str, &[&str]); 13] = [
        ("x@other.example", ana, &from),
        ("ben@c.example", ana, &from),
        ("c.example", ana, &from),
        ("x@sub.evil.example", ana, &from),
        ("x@notevil.example", ana, &from),
        ("x@evil.example.other.example", ana, &from),
        ("evil.example@other.example", ana, &from),
        ("other.example/evil.example", ana, &from),
        ("example", ana, &from),
        ("", ana, &["improper-addressing", "invalid-from"]),
        ("x@evil.example", "", &["improper-addressing"]),
        ("x@evil.example", "x@other.example", &["host-unknown", "improper-addressing"]),
        ("x@evil.example", "x@sub.c.example", &["host-unknown", "improper-addressing"]),
    ];
    for (from, to, conditions) in cases {
        let (mut client, _) = peer.open();
        peer.prove(&mut client, None).unwrap();
        client.send(&message(from, to));
        ends(&mut client, conditions, &format!("from {from} to {to}"));
    }
    scene.is_unharmed();
    // The same name in another dress is the same name, or refused; never something else.
    for from in ["x@EVIL.example", "x@evil.example."] {
        let (mut client, _) = peer.open();
        peer.prove(&mut client, None).unwrap();
        client.send(&message(from, ana));
        let came = scene.ana.client.try_expect(&["<message", "forged"], Duration::from_secs(1));
        if let Some(came) = came {
            assert_eq!(attr(&came, "from").as_deref(), Some("x@evil.example"), "{came}");
        }
    }
    scene.is_unharmed();
}

fn external(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup);
    let peer = evil(lab);
    for authzid in ["other.example", "c.example", "sub.evil.example", "x@evil.example", "example"] {
        let (mut client, _) = peer.open();
        let said = peer.prove(&mut client, Some(authzid)).unwrap_err();
        let conditions = ["<invalid-authzid", "<not-authorized"];
        assert!(conditions.iter().any(|condition| said.contains(condition)), "{said}: {authzid}");
        client.send(&message(&format!("x@{authzid}"), "ana@c.example"));
        ends(&mut client, &["not-authorized"], authzid);
    }
    // It says that it is another one from the beginning.
    let mut other = peer.clone();
    other.from = "other.example".to_owned();
    let mut client = other.secured().unwrap();
    client.send(&other.header());
    // It may still be offered the proof of a domain key, which it does not have.
    client.send(&message("x@other.example", "ana@c.example"));
    ends(&mut client, &["policy-violation", "not-authorized"], "another name than it shows");
    // Its own name, said or not, is believed.
    let home = home(lab);
    for (index, authzid) in [None, Some("evil.example")].into_iter().enumerate() {
        let (mut client, _) = peer.open();
        peer.prove(&mut client, authzid).unwrap();
        client.send(&message(&format!("x{index}@evil.example"), "nobody@c.example"));
        home.hears(&format!("x{index}@evil.example"));
    }
    scene.is_unharmed();
}

/// As the one who is asked, and as the one who asks.
fn keys(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup.set("federation.dialback", "[\"*\"]"));
    // We prove ourselves to a station, which learns a key of ours.
    let shown = lab.authority().issue(Kind::Both, "evil.example");
    let manners = Manners { external: false, ..Manners::default() };
    let station = Station::start(lab, "evil.example", lab.v4(2), &shown, manners);
    scene.ana.write("x@evil.example", "hello");
    station.hears("<body>hello</body>");
    let heard = station.heard();
    let at = heard.find("<db:result").expect("a key");
    let key = heard[at..].split(['>', '<']).nth(2).unwrap().to_owned();
    let ask = |from: &str, to: &str, id: &str, key: &str| {
        let (mut client, _) = evil(lab).open();
        client.send(&format!("<db:verify from='{from}' to='{to}' id='{id}'>{key}</db:verify>"));
        match client.hear(PATIENCE) {
            Some(Heard::Element(said)) if said.starts_with("<db:verify") => {
                attr(&said, "type").unwrap_or_default()
            }
            other => format!("{other:?}"),
        }
    };
    let id = (1..10).map(|number| format!("station{number}"));
    let id = id.into_iter().find(|id| ask("evil.example", "c.example", id, &key) == "valid");
    let id = id.expect("the key is right for the stream that it was made for");
    assert_eq!(ask("evil.example", "c.example", "another", &key), "invalid");
    assert_eq!(ask("other.example", "c.example", &id, &key), "invalid");
    assert_eq!(ask("evil.example", "c.example", &id, &format!("{key}0")), "invalid");
    assert_ne!(ask("evil.example", "other.example", &id, &key), "valid");
    drop(station);

    // Somebody says that he is the victim, whose server knows no such key.
    let shown = lab.authority().issue(Kind::SelfSigned, "victim.example");
    let manners = Manners { verifies: Some(false), ..Manners::default() };
    let victim = Station::start(lab, "victim.example", lab.v4(3), &shown, manners);
    let thief = Peer::new(lab, "victim.example", "c.example", lab.v4(1));
    let (mut client, offered) = thief.open();
    assert!(!offered.contains("EXTERNAL"), "{offered}");
    client.send("<db:result from='victim.example' to='c.example'>0123456789abcdef</db:result>");
    let said = client.element();
    assert!(said.contains("<db:result") && said.contains("invalid"), "{said}");
    victim.hears("<db:verify");
    drop(client.try_send(message("x@victim.example", "ana@c.example").as_bytes()));
    client.ended();
    scene.is_unharmed();
}

fn piggyback(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup.set("federation.dialback", "[\"*\"]"));
    let shown = lab.authority().issue(Kind::Both, "second.example");
    let manners = Manners { verifies: Some(false), ..Manners::default() };
    let _second = Station::start(lab, "second.example", lab.v4(3), &shown, manners);
    let (peer, home) = (evil(lab), home(lab));
    let (mut client, _) = peer.open();
    peer.prove(&mut client, None).unwrap();
    // The first is let in, the second is not, and the first goes on.
    client.send("<db:result from='second.example' to='c.example'>0123456789abcdef</db:result>");
    let said = client.expect(&["<db:result"]);
    assert!(said.contains("invalid") || said.contains("error"), "{said}");
    client.send(&message("x@evil.example", "nobody@c.example"));
    home.hears("<service-unavailable");
    client.send(&message("x@second.example", "ana@c.example"));
    ends(&mut client, &["invalid-from"], "a second domain without a proof");
    scene.is_unharmed();
}

fn errors(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup);
    let (peer, home) = (evil(lab), home(lab));
    let (mut client, _) = peer.open();
    peer.prove(&mut client, None).unwrap();
    let error = "<error type='cancel'><item-not-found \
                 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for kind in ["message", "iq", "presence"] {
        for to in ["nobody@c.example", "ana@c.example/nowhere", "c.example", "ana@c.example"] {
            client.send(&format!(
                "<{kind} type='error' id='e' from='x@evil.example' to='{to}'>{error}</{kind}>"
            ));
        }
    }
    client.send("<iq type='result' id='r' from='x@evil.example' to='nobody@c.example'/>");
    // It is one reply for one stanza, and a reply at all; it would come behind the others.
    client.send(&message("last@evil.example", "nobody@c.example"));
    home.hears("last@evil.example");
    let heard = home.heard();
    assert_eq!(heard.matches("<error").count(), 1, "{heard}");
    assert!(!heard.contains("x@evil.example"), "{heard}");
    scene.ana.client.try_expect(&["error"], Duration::from_millis(100));
    scene.is_unharmed();
}

/// Dialback asks for the names of whoever is named; a hundred that never answer hold up nobody.
fn slow_names(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup.set("federation.dialback", "[\"*\"]"));
    lab.names().slow_down("slow.example", None);
    let mut clients = Vec::new();
    for number in 0..100 {
        let from = format!("d{number}.slow.example");
        let peer = Peer::new(lab, &from, "c.example", lab.v4(1));
        let (mut client, _) = peer.open();
        for other in 0..10 {
            let from = if other == 0 { from.clone() } else { format!("o{other}.{from}") };
            client.send(&format!("<db:result from='{from}' to='c.example'>0123</db:result>"));
        }
        clients.push(client);
    }
    scene.is_unharmed();
    for number in 0..20 {
        scene.ana.write(&format!("x@d{number}.slow.example"), "slow");
    }
    scene.is_unharmed();
    // Who can be found is reached in the meantime.
    let shown = lab.authority().issue(Kind::Both, "fast.example");
    let fast = Station::start(lab, "fast.example", lab.v4(2), &shown, Manners::default());
    scene.ana.write("x@fast.example", "quick");
    fast.hears("<body>quick</body>");
}

fn thousands(lab: &Lab) {
    let mut scene = Scene::new(lab, |setup| setup);
    let peer = evil(lab);
    let before = scene.server.memory();
    let silent: Vec<_> = (0..2000).map(|_| peer.connect()).collect();
    scene.is_unharmed();
    // Some of them drip.
    let mut dripping: Vec<_> = silent.into_iter().take(200).collect();
    for byte in peer.header().as_bytes().chunks(1).take(40) {
        for client in &mut dripping {
            drop(client.try_send(byte));
        }
    }
    scene.is_unharmed();
    let more = scene.server.memory().saturating_sub(before);
    assert!(more < 64 << 20, "2000 connections take {} MiB", more >> 20);
}
