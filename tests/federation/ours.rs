//! Our own servers among themselves: what people say to each other, and what they are told when it
//! cannot be.

use std::time::{Duration, Instant};

use calypte_tests::{Heard, Lab, Server, Setup, wait};

use crate::Case;
use crate::story::{Person, Ways, ask, become_contacts, chat, get_back, go_away, see_each_other};

pub(crate) const CASES: &[Case] = &[
    Case { name: "ours_tell_the_story", needs: &[], play: story },
    Case { name: "ours_take_either_way_to_tls", needs: &[], play: either_way },
    Case { name: "ours_say_what_cannot_be_reached", needs: &[], play: unreachable },
    Case { name: "ours_refuse_a_wrong_certificate", needs: &[], play: wrong_certificate },
    Case { name: "ours_dial_back_where_it_is_allowed", needs: &[], play: dialback },
    Case { name: "ours_block_and_unblock", needs: &[], play: blocked },
    Case { name: "ours_know_what_is_too_large", needs: &[], play: too_large },
    Case { name: "ours_close_what_is_idle", needs: &[], play: idle },
    Case { name: "ours_keep_what_waits_over_a_stop", needs: &[], play: stopped },
];

/// What our senders are told, and nothing else.
pub(crate) const EXACT: Ways = Ways { unreachable: &["remote-server-timeout"] };

const OUT: &str = "calypte_s2s_out_authenticated_total";

/// Returns how a server of ours in the lab is to be. What waits is given up soon.
fn setup(lab: &Lab, domain: &str, number: u8) -> Setup {
    Setup::within(lab, domain, lab.v4(number)).set("federation.retry_for", "\"3 seconds\"")
}

fn story(lab: &Lab) {
    let one = setup(lab, "one.example", 1).start();
    let two = setup(lab, "two.example", 2).start();
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    become_contacts(&mut ana, &mut ben);
    become_contacts(&mut ben, &mut ana);
    see_each_other(&mut ana, &mut ben);
    chat(&mut ana, &mut ben);
    ask(&mut ana, &mut ben);
    ask(&mut ben, &mut ana);
    get_back(lab, &mut ana, &ben.domain, EXACT);
    get_back(lab, &mut ben, &ana.domain, EXACT);
    go_away(ana, ben);
    // One stream carries both ways, and both proved on it that they hold their domains' keys.
    let of = |server: &Server, how: &str| server.metric(&format!("{OUT}{{how=\"{how}\"}}"));
    assert!(of(&one, "extension") + of(&two, "extension") >= 1.0, "{}", one.http("/metrics"));
    let others = ["external", "dialback"].map(|how| of(&one, how) + of(&two, how));
    assert_eq!(others, [0.0, 0.0], "{}", one.http("/metrics"));
    for (server, other) in [(&one, "two.example"), (&two, "one.example")] {
        let list = server.run(&["command", "tls-list"], "").out;
        assert!(list.contains(&format!("{other} TOFU")) && !list.contains("ALARM"), "{list}");
    }
    wait("all is acknowledged", || {
        [&one, &two].iter().all(|server| server.metric("calypte_s2s_waiting") == 0.0)
    });
}

fn either_way(lab: &Lab) {
    for (index, other) in ["_xmpps-server._tcp", "_xmpp-server._tcp"].into_iter().enumerate() {
        let number = u8::try_from(index).unwrap() * 2 + 1;
        let (one, two) = (format!("one{index}.example"), format!("two{index}.example"));
        let (first, second) =
            (setup(lab, &one, number).start(), setup(lab, &two, number + 1).start());
        lab.names().remove(&format!("{other}.{one}"));
        lab.names().remove(&format!("{other}.{two}"));
        let (mut ana, mut ben) = (Person::login(&first, "ana"), Person::login(&second, "ben"));
        ana.tells(&mut ben, &["there".to_owned()]);
        ben.tells(&mut ana, &["and back".to_owned()]);
    }
}

fn unreachable(lab: &Lab) {
    let one = setup(lab, "one.example", 1).start();
    let mut ana = Person::login(&one, "ana");
    // DNS says that there is none: at once.
    let begin = Instant::now();
    ana.write("ben@nowhere.plain", "nowhere");
    let said = ana.bounced("nowhere");
    assert!(said.contains("<remote-server-not-found"), "{said}");
    assert!(said.contains("nowhere.plain cannot be reached"), "{said}");
    lab.names().address("mute.example", lab.v4(9));
    lab.names().service("_xmpp-server._tcp", "mute.example", (0, 0, 0, "."));
    lab.names().service("_xmpps-server._tcp", "mute.example", (0, 0, 0, "."));
    ana.write("ben@mute.example", "mute");
    let said = ana.bounced("mute");
    assert!(said.contains("<remote-server-not-found"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(3), "it was waited for");
    // Nobody listens: after the time that messages wait. Requests are answered as well.
    lab.publish("dark.example", lab.v4(9));
    let begin = Instant::now();
    ana.write("ben@dark.example", "dark");
    let answer = ana.asks("get", "dark.example", "<ping xmlns='urn:xmpp:ping'/>");
    assert!(answer.contains("<remote-server-timeout"), "{answer}");
    let said = ana.bounced("dark");
    assert!(said.contains("<remote-server-timeout") && said.contains("\"wait\""), "{said}");
    assert!(begin.elapsed() >= Duration::from_secs(2), "it was not waited for");
    // Its server answers, and it is another domain's.
    let _two = setup(lab, "two.example", 2).start();
    lab.publish("alias.example", lab.v4(2));
    ana.write("ben@alias.example", "alias");
    let said = ana.bounced("alias");
    assert!(said.contains("<remote-server-not-found") && said.contains("another domain"), "{said}");
    // Said in clear, that is not believed at once.
    lab.publish("cousin.example", lab.v4(2));
    lab.names().remove("_xmpps-server._tcp.cousin.example");
    let begin = Instant::now();
    ana.write("ben@cousin.example", "cousin");
    let said = ana.bounced("cousin");
    assert!(said.contains("<remote-server-timeout") && said.contains("another domain"), "{said}");
    assert!(begin.elapsed() >= Duration::from_secs(2), "one packet gave it up");
}

/// One does not trust the authority of two.
fn wrong_certificate(lab: &Lab) {
    let one = setup(lab, "one.example", 1).set("federation.trust", "[]").start();
    let two = setup(lab, "two.example", 2).start();
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    ana.write(&ben.bare(), "out");
    ben.write(&ana.bare(), "in");
    let said = ana.bounced("out");
    assert!(said.contains("<remote-server-timeout") && said.contains("certificate"), "{said}");
    let said = ben.bounced("in");
    assert!(said.contains("<remote-server-timeout"), "{said}");
    assert!(ana.client.try_expect(&["<body>in"], Duration::from_millis(100)).is_none());
    assert!(ben.client.try_expect(&["<body>out"], Duration::from_millis(100)).is_none());
}

fn dialback(lab: &Lab) {
    let one = setup(lab, "one.example", 1)
        .set("federation.trust", "[]")
        .set("federation.dialback", "[\"two.example\"]")
        .start();
    let two = setup(lab, "two.example", 2).start();
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    ben.tells(&mut ana, &["in".to_owned()]);
    ana.tells(&mut ben, &["out".to_owned()]);
    assert!(one.metric("calypte_s2s_in_authenticated_total{how=\"dialback\"}") > 0.0);
    // Somebody else is not allowed that.
    let three = setup(lab, "three.example", 3).start();
    let mut cy = Person::login(&three, "ana");
    cy.write(&ana.bare(), "other");
    let said = cy.bounced("other");
    assert!(said.contains("<remote-server-timeout"), "{said}");
}

fn blocked(lab: &Lab) {
    let mut one = setup(lab, "one.example", 1).start();
    let two = setup(lab, "two.example", 2).start();
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    ana.tells(&mut ben, &["before".to_owned()]);
    one.change(|setup| setup.set("federation.block", "[\"two.example\"]"));
    assert_eq!(one.reload().code, 0);
    ana.write(&ben.bare(), "blocked");
    let said = ana.bounced("blocked");
    assert!(said.contains("<not-allowed"), "{said}");
    // What is on its way when the domain is blocked may still arrive.
    wait("the way from there ends", || one.metric("calypte_s2s_connections_in") == 0.0);
    ben.write(&ana.bare(), "from-there");
    let said = ben.bounced("from-there");
    assert!(said.contains("<remote-server-timeout"), "{said}");
    assert!(ana.client.try_expect(&["<body>from-there"], Duration::from_millis(100)).is_none());
    one.change(|setup| setup.set("federation.block", "[]"));
    assert_eq!(one.reload().code, 0);
    ana.tells(&mut ben, &["after".to_owned()]);
}

fn too_large(lab: &Lab) {
    let one = setup(lab, "one.example", 1).start();
    let two = setup(lab, "two.example", 2).set("limits.stanza", "\"16 KiB\"").start();
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    ana.tells(&mut ben, &["small".to_owned()]);
    ana.write(&ben.bare(), &format!("large {}", "x".repeat(20_000)));
    ana.write(&ben.bare(), "behind");
    let said = ana.bounced("large");
    assert!(said.contains("<policy-violation"), "{said}");
    // The stream goes on, and nothing that waited behind is late.
    ben.client.expect(&["<body>behind</body>"]);
    assert_eq!(one.metric("calypte_s2s_stream_errors_total{whose=\"theirs\"}"), 0.0);
}

fn idle(lab: &Lab) {
    let short =
        |domain, number| setup(lab, domain, number).set("federation.idle_for", "\"1 second\"");
    let (one, two) = (short("one.example", 1).start(), short("two.example", 2).start());
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    for round in 0..2 {
        ana.tells(&mut ben, &[format!("there-{round}")]);
        ben.tells(&mut ana, &[format!("back-{round}")]);
        wait("idle connections are closed", || {
            let open = |server: &Server| {
                server.metric("calypte_s2s_connections_in")
                    + server.metric("calypte_s2s_connections_out")
            };
            open(&one) + open(&two) == 0.0
        });
    }
    let failures =
        |server: &Server| server.metric("calypte_s2s_stream_errors_total{whose=\"ours\"}");
    assert_eq!(failures(&one) + failures(&two), 0.0);
}

/// What cannot leave has its row, and leaves after a restart.
fn stopped(lab: &Lab) {
    let mut one = setup(lab, "one.example", 1).set("federation.retry_for", "\"1 hour\"").start();
    lab.publish("two.example", lab.v4(2));
    let mut ana = Person::login(&one, "ana");
    for number in 0..20 {
        ana.write("ben@two.example", &format!("text-{number}"));
    }
    ana.client.ping();
    assert!(one.stop().success());
    // He is there before the restart, so that nothing has to be tried twice.
    let two = setup(lab, "two.example", 2).start();
    let mut ben = Person::login(&two, "ben");
    one.launch();
    for number in 0..20 {
        let said = ben.client.expect(&["<message", "<body>"]);
        assert!(said.contains(&format!("<body>text-{number}</body>")), "{said} at {number}");
    }
    assert!(!matches!(ben.client.hear(Duration::from_millis(300)), Some(Heard::Gone)));
}
