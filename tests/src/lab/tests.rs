#![allow(clippy::print_stderr, reason = "who skips a test says so")]

use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use super::*;

fn addresses(name: &str) -> Vec<IpAddr> {
    let found = (name, 1).to_socket_addrs().map(|all| all.map(|at| at.ip()).collect());
    found.unwrap_or_default()
}

#[test]
fn names_are_answered_and_can_be_changed() {
    if let Some(why) = Lab::obstacle() {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        return eprintln!("skipped: {why}");
    }
    Lab::run(|lab| {
        lab.publish("a.example", lab.v4(1));
        lab.publish("b.plain", lab.v4(2));
        assert_eq!(addresses("xmpp.a.example"), [lab.v4(1)]);
        assert_eq!(addresses("b.plain"), [lab.v4(2)]);
        assert_eq!(addresses("c.example"), [] as [IpAddr; 0]);
        lab.names().remove("a.example");
        lab.names().address("a.example", lab.v6(3));
        assert_eq!(addresses("a.example"), [lab.v6(3)]);
        lab.names().slow_down("b.plain", Some(Duration::from_millis(300)));
        let start = Instant::now();
        assert_eq!(addresses("b.plain"), [lab.v4(2)]);
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(lab.names().asked().contains(&"A b.plain".to_owned()));
    });
}
