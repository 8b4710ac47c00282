//! Logging in, in every way that clients do.

use calypte_tests::{Client, How, Mechanism, Server, Setup};
use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};

#[test]
fn every_way_in() {
    let server = Setup::new().set("login.plain", "true").start();
    for direct in [false, true] {
        for tls12 in [false, true] {
            for mechanism in [Mechanism::ScramPlus, Mechanism::Scram, Mechanism::Plain] {
                for sasl2 in [false, true] {
                    let mut how = How::default().by(mechanism);
                    how = if direct { how.direct() } else { how };
                    how = if tls12 { how.tls12() } else { how };
                    how = if sasl2 { how.sasl2() } else { how };
                    let mut client = how.login(&server, "ana");
                    let version = if tls12 { TLSv1_2 } else { TLSv1_3 };
                    assert_eq!(client.tls_version(), Some(version), "{how:?}");
                    assert!(client.jid().starts_with("ana@chat.example/"), "{how:?}");
                    client.ping();
                    client.close();
                }
            }
        }
    }
    assert_eq!(server.metric("calypte_login_failures_total"), 0.0);
    assert!(server.log().lines().all(|line| !line.contains("pa55")));
}

#[test]
fn a_wrong_password_is_refused() {
    let server = Server::start();
    for how in [How::default(), How::default().by(Mechanism::Scram), How::default().sasl2()] {
        let said = how.try_login(&server, "ana", "wrong").unwrap_err();
        assert!(said.contains("<not-authorized"), "{said}");
    }
    Client::login(&server, "ana").ping();
}

#[test]
fn the_resource_is_what_was_asked_for() {
    let server = Server::start();
    let ana = How::default().resource("phone").login(&server, "ana");
    assert_eq!(ana.jid(), "ana@chat.example/phone");
}
