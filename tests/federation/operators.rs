//! What operators see of other domains, and what their commands do.

use calypte_tests::{Lab, Ran, Server, Setup, wait};

use crate::Case;
use crate::story::Person;

pub(crate) const CASES: &[Case] = &[
    Case { name: "operators_see_how_they_are_found", needs: &[], play: found },
    Case { name: "operators_follow_an_attempt", needs: &[], play: follow },
    Case { name: "operators_decide_about_domains", needs: &[], play: decide },
];

fn server(lab: &Lab, domain: &str, number: u8) -> Server {
    Setup::within(lab, domain, lab.v4(number)).start()
}

#[track_caller]
fn line<'a>(ran: &'a Ran, parts: &[&str]) -> &'a str {
    let mut lines = ran.out.lines();
    let found = lines.find(|line| parts.iter().all(|part| line.contains(part)));
    found.unwrap_or_else(|| panic!("{parts:?} is not in {ran:?}"))
}

fn found(lab: &Lab) {
    let one = server(lab, "one.example", 1);
    for (service, port) in [("_xmpps-server._tcp", 5270), ("_xmpp-server._tcp", 5269)] {
        lab.names().service(service, "rooms.one.example", (5, 0, port, "xmpp.one.example"));
    }
    let ran = one.run(&["doctor"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(line(&ran, &["_xmpps-server._tcp.rooms.one.example", "leads to"]).starts_with("ok "));
    assert!(line(&ran, &["address", &lab.v4(1).to_string()]).starts_with("ok "));
    assert!(line(&ran, &["certificate", "valid until"]).starts_with("ok "));
    for port in ["5222 (STARTTLS)", "5223 (TLS)", "5269 (STARTTLS)", "5270 (TLS)"] {
        assert!(line(&ran, &[port, "shows our certificate"]).starts_with("ok "));
    }
    assert!(line(&ran, &["_xmpps-client._tcp.one.example", "`calypte dns`"]).starts_with("better"));

    // Another port than that of the server, where nobody answers.
    lab.names().remove("_xmpp-server._tcp.one.example");
    lab.names().service("_xmpp-server._tcp", "one.example", (10, 0, 5299, "xmpp.one.example"));
    let ran = one.run(&["doctor"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(line(&ran, &["_xmpp-server", "leads to 10 0 5299"]).starts_with("WRONG"));
    assert!(line(&ran, &["port 5299 (STARTTLS)"]).starts_with("WRONG"));

    let ran = one.run(&["dns", "--json"], "");
    assert!(ran.out.contains("\"10 5 5269 one.example.\""), "{ran:?}");
}

fn follow(lab: &Lab) {
    let mut one = server(lab, "one.example", 1);
    let mut two = server(lab, "two.example", 2);
    // The running server goes to the end.
    for command in [&["doctor", "two.example"][..], &["peer", "trace", "two.example"]] {
        let ran = one.run(command, "");
        assert_eq!(ran.code, 0, "{ran:?}");
        for stage in ["dns", "connect", "tls", "certificate", "auth"] {
            assert!(line(&ran, &[stage]).starts_with("ok "), "{ran:?}");
        }
    }
    let ran = one.run(&["peer", "trace", "nobody.example"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(line(&ran, &["dns"]).starts_with("FAILED"), "{ran:?}");

    // Without one it goes as far as the certificate, and does not say that all is well.
    one.kill();
    let ran = one.run(&["doctor", "two.example"], "");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(line(&ran, &["certificate", "an authority vouches for it"]).starts_with("ok "));
    assert!(line(&ran, &["login"]).starts_with("unseen"));
    let ran = one.run(&["doctor", "nobody.example"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(line(&ran, &["the domain does not exist in DNS"]).starts_with("WRONG"));
    two.kill();
    let ran = one.run(&["doctor", "two.example"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(line(&ran, &["connect", "xmpp.two.example", "refused"]).starts_with("WRONG"));
}

fn decide(lab: &Lab) {
    let one = server(lab, "one.example", 1);
    let two = server(lab, "two.example", 2);
    let ran = one.run(&["peer", "list"], "");
    assert!(ran.out.contains("no other domain has been heard of"), "{ran:?}");
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    ana.tells(&mut ben, &["hello".to_owned()]);
    let ran = one.run(&["peer", "list"], "");
    assert!(line(&ran, &["two.example", "connected", "domain key TLSv1.3"]).len() < 100, "{ran:?}");
    let ran = one.run(&["tls", "list"], "");
    assert!(ran.code == 0 && ran.out.contains("two.example"), "{ran:?}");
    let ran = one.run(&["dns"], "");
    assert!(line(&ran, &["_calypte.one.example.", "TXT"]).contains("v=0"), "{ran:?}");
    wait("the acknowledgement", || {
        let ran = one.run(&["status"], "");
        line(&ran, &["servers"]).contains("connected, nothing waits")
    });

    let ran = one.run(&["peer", "block", "two.example"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    wait("the end of the stream", || {
        let ran = one.run(&["peer", "list"], "");
        ran.out.contains("blocked two.example") && !ran.out.contains("connected")
    });
    let ran = one.run(&["doctor", "two.example"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(line(&ran, &["policy"]).starts_with("FAILED"), "{ran:?}");
    let ran = one.run(&["peer", "forget", "two.example"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    ana.tells(&mut ben, &["again".to_owned()]);
    for (args, why) in [
        (["peer", "block", "one.example"], "is this server"),
        (["peer", "block", "a@two.example"], "is not a domain"),
    ] {
        let ran = one.run(&args, "");
        assert!(ran.code == 2 && ran.err.contains(why), "{ran:?}");
    }
    let ran = one.run(&["peer", "retry", "far.example"], "");
    assert!(ran.out.contains("nothing waits for far.example"), "{ran:?}");
}
