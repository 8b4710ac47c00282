//! Somebody on the road between two domains who have met, and between us and a server that knows
//! nothing of this. In every case no byte of a message is readable for him, the operator finds an
//! alarm, the sender is told, and when he has gone all goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use calypte_tests::{
    Authority, Conduct, Foreign, Impostor, Kind, Lab, PATIENCE, Peer, Road, Server, Setup, Which,
    wait,
};
use rustls::version::TLS12;

use crate::Case;
use crate::story::Person;

pub(crate) const CASES: &[Case] = &[
    Case { name: "attack_strip_starttls", needs: &[], play: strip },
    Case { name: "attack_failure_to_starttls", needs: &[], play: fail },
    Case { name: "attack_closed_ports", needs: &[], play: shut },
    Case { name: "attack_silence", needs: &[], play: silent },
    Case { name: "attack_plaintext_host", needs: &[], play: plaintext },
    Case { name: "attack_valid_certificate", needs: &[], play: impostor },
    Case { name: "attack_old_tls", needs: &[], play: old_tls },
    Case { name: "attack_feature_removed", needs: &[], play: featureless },
    Case { name: "attack_old_policy", needs: &[], play: replay },
    Case { name: "attack_observed_by_witness", needs: &[], play: observed },
    Case { name: "attack_between_prosody_and_us", needs: &[Which::Prosody], play: plain_peer },
];

const ONE: &str = "one.example";
/// Its names are not signed, so that somebody can change them.
const TWO: &str = "two.plain";
/// What nobody may read.
const NEEDLE: &str = "needle-5f1c9a";

struct Scene<'a> {
    lab: &'a Lab,
    one: Server,
    two: Server,
    /// The roads to two and to one.
    roads: [Road; 2],
    ana: Person,
    ben: Person,
}

fn setup(lab: &Lab, domain: &str, number: u8, other: &str) -> Setup {
    let module = format!("[modules.required_tls]\nconfirm = false\nwitnesses = [\"{other}\"]\n");
    Setup::within(lab, domain, lab.v4(number))
        .set("federation.retry_for", "\"4 seconds\"")
        .set("federation.connect_within", "\"5 seconds\"")
        .raw(&module)
}

/// Returns what the operator is shown.
fn listed(server: &Server) -> String {
    let ran = server.run(&["command", "tls-list"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out
}

/// Tells whether there is a row of an alarm; any domain will do when none is given.
fn has_alarm(rows: &str, domain: &str, reason: &str) -> bool {
    let mut rows = rows.lines().filter_map(|row| row.strip_prefix("ALARM "));
    rows.any(|row| row.starts_with(domain) && row.contains(&format!(" {reason}: ")))
}

/// Takes the feature of the protocol out of what is offered.
fn without_feature(text: &str) -> String {
    let Some(start) = text.find("<calypte") else { return text.to_owned() };
    let end = text[start..].find("</calypte>").expect("it is whole") + "</calypte>".len();
    format!("{}{}", &text[..start], &text[start + end..])
}

/// Returns the feature in what is offered.
fn feature(text: &str) -> String {
    let start = text.find("<calypte").expect("it is offered");
    let end = text[start..].find("</calypte>").expect("it is whole") + "</calypte>".len();
    text[start..start + end].to_owned()
}

impl<'a> Scene<'a> {
    /// Both have met.
    fn new(lab: &'a Lab) -> Self {
        let one = setup(lab, ONE, 1, TWO).start();
        let two = setup(lab, TWO, 2, ONE).start();
        let to_one = Road::new(lab, ONE, lab.v4(11), lab.v4(1));
        let roads = [Road::new(lab, TWO, lab.v4(12), lab.v4(2)), to_one];
        let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
        ana.tells(&mut ben, &["first".to_owned()]);
        ben.tells(&mut ana, &["back".to_owned()]);
        assert!(listed(&one).contains(&format!("{TWO} TOFU")), "{}", listed(&one));
        Self { lab, one, two, roads, ana, ben }
    }

    /// Somebody is on both roads from now on.
    fn conduct(&self, ports: &[u16], conduct: &Conduct) {
        for road in &self.roads {
            road.conduct(ports, conduct);
        }
    }

    /// Somebody with certificates of both, changed for this attack, is on both roads from now on.
    fn impose(&self, change: impl Fn(Impostor) -> Impostor) {
        for (road, (from, to)) in self.roads.iter().zip([(ONE, TWO), (TWO, ONE)]) {
            let who = change(Impostor::new(self.lab, from, to));
            road.conduct(&[5269, 5270], &Conduct::Impostor(Arc::new(who)));
        }
    }

    fn has_seen(&self, needle: &str) -> bool {
        self.roads.iter().any(|road| road.has_seen(needle))
    }

    /// Ana writes while somebody is there; he reads nothing, she is told, and an alarm has one of these
    /// reasons.
    #[track_caller]
    fn holds(&mut self, reasons: &[&str]) {
        self.roads.iter().for_each(Road::forget);
        // Not every message is a reason to try at once again.
        insist(&format!("an alarm of {reasons:?}"), || {
            self.ana.write(&self.ben.bare(), NEEDLE);
            let said = self.ana.bounced(NEEDLE);
            assert!(said.contains("<remote-server-"), "{said}");
            let rows = listed(&self.one) + &listed(&self.two);
            reasons.is_empty() || reasons.iter().any(|reason| has_alarm(&rows, "", reason))
        });
        assert!(!self.has_seen(NEEDLE), "somebody read it");
        let came = self.ben.client.try_expect(&[NEEDLE], Duration::from_millis(100));
        assert!(came.is_none(), "{came:?}");
    }

    /// He has gone.
    #[track_caller]
    fn goes_on(mut self) {
        self.conduct(&[5222, 5223, 5269, 5270], &Conduct::Honest);
        goes_through(&mut self.ana, &mut self.ben);
        goes_through(&mut self.ben, &mut self.ana);
    }
}

/// Writes until it arrives; what came before, and what came back, may stand in front of it.
#[track_caller]
fn goes_through(one: &mut Person, two: &mut Person) {
    insist("that a message arrives", || {
        one.write(&two.bare(), "afterwards");
        let second = Duration::from_secs(1);
        two.client.try_expect(&["<body>afterwards</body>"], second).is_some()
    });
}

/// Does it until it is so.
#[track_caller]
fn insist(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + 3 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what} did not happen");
    }
}

fn strip(lab: &Lab) {
    let mut scene = Scene::new(lab);
    scene.conduct(&[5270], &Conduct::Shut);
    scene.conduct(&[5269], &Conduct::Strip);
    scene.holds(&["stripped"]);
    scene.goes_on();
}

fn fail(lab: &Lab) {
    let mut scene = Scene::new(lab);
    scene.conduct(&[5270], &Conduct::Shut);
    scene.conduct(&[5269], &Conduct::Fail);
    scene.holds(&["stripped", "tls"]);
    scene.goes_on();
}

/// A closed port is no attack for itself; the other one is taken.
fn shut(lab: &Lab) {
    let mut scene = Scene::new(lab);
    scene.conduct(&[5270], &Conduct::Shut);
    scene.ana.write(&scene.ben.bare(), "otherwise");
    scene.ben.client.expect(&["<body>otherwise</body>"]);
    scene.conduct(&[5269], &Conduct::Shut);
    scene.holds(&[]);
    scene.goes_on();
}

fn silent(lab: &Lab) {
    let mut scene = Scene::new(lab);
    scene.conduct(&[5269, 5270], &Conduct::Silent);
    scene.holds(&[]);
    scene.goes_on();
}

/// The names lead to somebody who speaks no TLS.
fn plaintext(lab: &Lab) {
    let mut scene = Scene::new(lab);
    let attacker = Road::new(lab, "attacker.plain", lab.v4(13), lab.v4(2));
    attacker.conduct(&[5269, 5270], &Conduct::Plain);
    for service in ["_xmpps-server._tcp", "_xmpp-server._tcp"] {
        lab.names().remove(&format!("{service}.{TWO}"));
    }
    lab.names().service("_xmpp-server._tcp", TWO, (0, 0, 5269, "xmpp.attacker.plain"));
    // What was looked up before is forgotten by now.
    std::thread::sleep(Duration::from_millis(1500));
    scene.conduct(&[5269, 5270], &Conduct::Shut);
    scene.holds(&["stripped"]);
    assert!(!attacker.has_seen(NEEDLE), "{}", attacker.seen());
    assert!(attacker.has_seen("<stream:stream"), "nobody came to the attacker");
    lab.publish(TWO, lab.v4(12));
    std::thread::sleep(Duration::from_millis(1500));
    scene.goes_on();
}

fn impostor(lab: &Lab) {
    let mut scene = Scene::new(lab);
    scene.impose(|who| who);
    scene.holds(&["proof", "spki"]);
    assert!(scene.has_seen("<proof"), "he was not in between");
    scene.goes_on();
}

fn old_tls(lab: &Lab) {
    let mut scene = Scene::new(lab);
    scene.impose(|who| Impostor { versions: vec![&TLS12], ..who });
    scene.holds(&["tls"]);
    scene.goes_on();
}

fn featureless(lab: &Lab) {
    let mut scene = Scene::new(lab);
    scene.impose(|who| Impostor { edit: Box::new(without_feature), ..who });
    scene.holds(&["feature"]);
    scene.goes_on();
}

/// The other domain has a newer policy than the one that he shows.
fn replay(lab: &Lab) {
    let mut scene = Scene::new(lab);
    let shown = lab.authority().issue(Kind::Both, "who.example");
    let peer = Peer::new(lab, "who.example", TWO, lab.v4(2)).shows(&shown);
    let old = feature(&peer.open().1);
    scene.two.renew_certificate();
    assert_eq!(scene.two.reload().code, 0);
    wait("a newer policy", || feature(&peer.open().1) != old);
    scene.roads.iter().for_each(Road::cut);
    scene.ana.write(&scene.ben.bare(), "newer");
    scene.ben.client.expect(&["<body>newer</body>"]);
    let new = feature(&peer.open().1);
    scene.impose(|who| {
        let (old, new) = (old.clone(), new.clone());
        Impostor { edit: Box::new(move |text: &str| text.replace(&new, &old)), ..who }
    });
    scene.holds(&["serial", "proof", "spki"]);
    scene.goes_on();
}

/// Only clients of the other domain are intercepted. Its witness, who comes the same way, sees it.
fn observed(lab: &Lab) {
    let scene = Scene::new(lab);
    let who = Impostor::new(lab, ONE, TWO);
    scene.roads[0].conduct(&[5222], &Conduct::Impostor(Arc::new(who)));
    wait("that the witness tells", || has_alarm(&listed(&scene.two), TWO, "observed"));
    scene.goes_on();
}

/// A server that knows nothing of all this had a valid certificate once, and needs one from then on.
fn plain_peer(lab: &Lab) {
    let ours = setup(lab, ONE, 1, TWO).start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.plain", lab.v4(2)).start();
    let road = Road::new(lab, "p.plain", lab.v4(12), lab.v4(2));
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    ana.tells(&mut ben, &["first".to_owned()]);
    road.conduct(&[5270], &Conduct::Shut);
    let stranger = Authority::default();
    let forged = Impostor {
        as_server: stranger.issue(Kind::Both, "p.plain"),
        ..Impostor::new(lab, ONE, "p.plain")
    };
    let forged = Conduct::Impostor(Arc::new(forged));
    for (conduct, reason) in [
        (Conduct::Strip, "stripped"),
        (Conduct::Fail, "stripped"),
        (Conduct::Plain, "stripped"),
        (forged, "certificate"),
    ] {
        road.conduct(&[5269], &conduct);
        road.forget();
        insist(&format!("an alarm of {reason}"), || {
            ana.write("ben@p.plain", NEEDLE);
            ana.bounced(NEEDLE);
            has_alarm(&listed(&ours), "p.plain", reason)
        });
        assert!(!road.has_seen(NEEDLE), "{conduct:?}: {}", road.seen());
    }
    road.conduct(&[5269, 5270], &Conduct::Honest);
    goes_through(&mut ana, &mut ben);
}
