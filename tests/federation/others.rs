//! Our server with those of others.

use std::time::Duration;

use calypte_tests::{Foreign, Host, Kind, Lab, Road, Server, Setup, Which, attr, wait};

use crate::Case;
use crate::foreign::LOOSE;
use crate::ours::EXACT;
use crate::story::{Person, tell};

pub(crate) const CASES: &[Case] = &[
    Case { name: "prosody_tells_the_story", needs: &[Which::Prosody], play: prosody },
    Case { name: "prosody_tells_it_by_starttls", needs: &[Which::Prosody], play: prosody_starttls },
    Case { name: "ejabberd_tells_the_story", needs: &[Which::Ejabberd], play: ejabberd },
    Case { name: "ejabberd_needs_dialback", needs: &[Which::Ejabberd], play: server_only },
    Case { name: "prosody_meets_a_public_certificate", needs: &[Which::Prosody], play: public },
    Case { name: "pyjabber_is_told_the_truth", needs: &[Which::Pyjabber], play: pyjabber },
    Case { name: "prosody_and_we_come_and_go", needs: &[Which::Prosody], play: come_and_go },
    Case { name: "prosody_sends_too_much_at_once", needs: &[Which::Prosody], play: too_big },
    Case { name: "prosody_after_a_long_silence", needs: &[Which::Prosody], play: silence },
    Case { name: "a_user_of_prosody_blocks_ours", needs: &[Which::Prosody], play: blocked },
    Case { name: "prosody_is_refused", needs: &[Which::Prosody], play: refused },
];

fn ours(lab: &Lab) -> Setup {
    Setup::within(lab, "c.example", lab.v4(1)).set("federation.retry_for", "\"3 seconds\"")
}

/// Returns how often somebody proved itself in this way.
fn proved(server: &Server, direction: &str, how: &str) -> f64 {
    server.metric(&format!("calypte_s2s_{direction}_authenticated_total{{how=\"{how}\"}}"))
}

fn prosody(lab: &Lab) {
    let ours = ours(lab).start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).start();
    tell(lab, &ours, &theirs, [EXACT, LOOSE]);
    assert!(proved(&ours, "in", "external") > 0.0 && proved(&ours, "out", "external") > 0.0);
    assert_eq!(proved(&ours, "in", "dialback") + proved(&ours, "out", "dialback"), 0.0);
}

/// The same without direct TLS.
fn prosody_starttls(lab: &Lab) {
    let ours = ours(lab).start();
    lab.names().remove("_xmpps-server._tcp.c.example");
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2));
    let theirs = theirs.starttls_only(lab).start();
    tell(lab, &ours, &theirs, [EXACT, LOOSE]);
}

fn ejabberd(lab: &Lab) {
    let ours = ours(lab).start();
    let theirs = Foreign::new(Which::Ejabberd, lab, "e.example", lab.v4(2)).start();
    tell(lab, &ours, &theirs, [EXACT, LOOSE]);
    assert!(proved(&ours, "in", "external") > 0.0 && proved(&ours, "out", "external") > 0.0);
    assert_eq!(proved(&ours, "in", "dialback") + proved(&ours, "out", "dialback"), 0.0);
}

/// ejabberd 23.01 believes no client whose certificate is for servers only. So we prove ourselves by
/// dialback there; it proves itself to us by its certificate.
fn server_only(lab: &Lab) {
    let ours = ours(lab).shows(Kind::ServerOnly).start();
    let theirs = Foreign::new(Which::Ejabberd, lab, "e.example", lab.v4(2));
    let theirs = theirs.shows(Kind::ServerOnly).dialback().start();
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    ana.tells(&mut ben, &["there".to_owned()]);
    ben.tells(&mut ana, &["back".to_owned()]);
    assert!(proved(&ours, "out", "dialback") > 0.0, "{}", ours.http("/metrics"));
    assert!(proved(&ours, "in", "external") > 0.0, "{}", ours.http("/metrics"));
    assert_eq!(proved(&ours, "in", "dialback"), 0.0);
}

/// What public authorities issue today is for servers only; both sides show it.
fn public(lab: &Lab) {
    let ours = ours(lab).shows(Kind::ServerOnly).start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2));
    let theirs = theirs.shows(Kind::ServerOnly).dialback().start();
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    ana.tells(&mut ben, &["there".to_owned()]);
    ben.tells(&mut ana, &["back".to_owned()]);
    assert!(proved(&ours, "in", "external") > 0.0);
    assert_eq!(proved(&ours, "in", "dialback"), 0.0);
}

/// It reaches us. It cannot be reached (see README.md), and our people are told.
fn pyjabber(lab: &Lab) {
    let ours = ours(lab).start();
    let theirs = Foreign::new(Which::Pyjabber, lab, "y.example", lab.v4(2)).start();
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    ana.write(&ben.bare(), "refused");
    let said = ana.bounced("refused");
    assert!(said.contains("<remote-server-timeout"), "{said}");
    ben.write(&ana.bare(), "out");
    ana.client.expect(&["<message", "<body>out</body>"]);
}

/// The road is cut, and each side stops, starts and is killed. What we took is delivered.
fn come_and_go(lab: &Lab) {
    let hours = |setup: Setup| setup.set("federation.retry_for", "\"1 hour\"");
    let mut ours = hours(ours(lab)).start();
    let mut theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).start();
    let road = Road::new(lab, "p.example", lab.v4(12), lab.v4(2));
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    ana.tells(&mut ben, &["first".to_owned()]);
    for round in 0..3 {
        road.cut();
        // What was not acknowledged comes again, so something older may be in front.
        ana.write(&ben.bare(), &format!("after-cut-{round}"));
        ben.client.expect(&["<message", &format!("<body>after-cut-{round}</body>")]);
    }
    // They are away for a while.
    theirs.stop();
    for round in 0..3 {
        ana.write("ben@p.example", &format!("waits-{round}"));
    }
    ana.client.ping();
    theirs.launch();
    let mut ben = Person::login(&theirs, "ben");
    for round in 0..3 {
        ben.client.expect(&["<message", &format!("<body>waits-{round}</body>")]);
    }
    ben.write(&ana.bare(), "after-their-stop");
    ana.client.expect(&["<message", "<body>after-their-stop</body>"]);
    // We are killed with messages on the way.
    theirs.kill();
    for round in 0..3 {
        ana.write("ben@p.example", &format!("kept-{round}"));
    }
    ana.client.ping();
    ours.kill();
    ours.launch();
    theirs.launch();
    let mut ben = Person::login(&theirs, "ben");
    for round in 0..3 {
        ben.client.expect(&["<message", &format!("<body>kept-{round}</body>")]);
    }
    assert!(ours.stop().success());
    ours.launch();
    let mut ana = Person::login(&ours, "ana");
    ben.write(&ana.bare(), "after-our-stop");
    ana.client.expect(&["<message", "<body>after-our-stop</body>"]);
    wait("all is acknowledged", || ours.metric("calypte_s2s_waiting") == 0.0);
}

/// Far too large a stanza ends the stream with the reason; the next one comes by another.
fn too_big(lab: &Lab) {
    let ours = ours(lab).start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).start();
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    ben.tells(&mut ana, &["before".to_owned()]);
    let huge = "x".repeat(400 * 1024);
    let to = ana.bare();
    ben.client.send(&format!("<message to='{to}' id='huge'><body>{huge}</body></message>"));
    wait("that Prosody is told", || theirs.log().contains("policy-violation"));
    ben.tells(&mut ana, &["after".to_owned()]);
}

/// Connections that nothing passes are closed, and nobody notices.
fn silence(lab: &Lab) {
    let ours = ours(lab).set("federation.idle_for", "\"1 second\"").start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).start();
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    for round in 0..2 {
        ana.tells(&mut ben, &[format!("there-{round}")]);
        ben.tells(&mut ana, &[format!("back-{round}")]);
        wait("idle connections are closed", || {
            let open = |way: &str| ours.metric(&format!("calypte_s2s_connections_{way}"));
            open("in") + open("out") == 0.0
        });
    }
}

/// What their user blocks (XEP-0191) comes back as from somebody who is not there.
fn blocked(lab: &Lab) {
    let ours = ours(lab).start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).start();
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    let (them, us) = (ben.bare(), ana.bare());
    let done = ben.asks(
        "set",
        &them,
        &format!("<block xmlns='urn:xmpp:blocking'><item jid='{us}'/></block>"),
    );
    assert_eq!(attr(&done, "type").as_deref(), Some("result"), "{done}");
    ana.write(&them, "unwanted");
    let said = ana.bounced("unwanted");
    assert!(said.contains("<service-unavailable"), "{said}");
}

/// Who is not let in gets a definite answer, and so do our people.
fn refused(lab: &Lab) {
    let ours = ours(lab).set("federation.with", "\"listed\"").start();
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).start();
    let (mut ana, mut ben) = (Person::login(&ours, "ana"), Person::login(&theirs, "ben"));
    ana.write(&ben.bare(), "out");
    let said = ana.bounced("out");
    assert!(said.contains("<not-allowed"), "{said}");
    ben.write(&ana.bare(), "in");
    ben.bounced("in");
    assert!(theirs.log().contains(ours.domain()));
    assert!(ana.client.try_expect(&["<body>in"], Duration::from_millis(200)).is_none());
}
