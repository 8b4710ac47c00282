//! What operators are told about DNS, without any network.

use crate::place::Place;

#[test]
fn dns_prints_a_zone_file() {
    let place = Place::with_config();
    let text = std::fs::read_to_string(place.file("calypte.toml")).unwrap();
    let listen = "[listen]\npublic = [\"192.0.2.7\", \"2001:db8::7\"]\n";
    place.write("calypte.toml", &format!("{text}{listen}"));
    let zone = place.calypte(&["dns"], "").succeeds();
    for line in [
        "chat.example.                          3600 IN A    192.0.2.7",
        "chat.example.                          3600 IN AAAA 2001:db8::7",
        "_xmpps-client._tcp.chat.example.       3600 IN SRV  5 5 5223 chat.example.",
        "_xmpp-server._tcp.chat.example.        3600 IN SRV  10 5 5269 chat.example.",
        "_xmpps-server._tcp.rooms.chat.example. 3600 IN SRV  5 5 5270 chat.example.",
    ] {
        assert!(zone.lines().any(|have| have == line), "{line} is not in {zone}");
    }
    // What needs a decision is not in force when it is pasted.
    let keys: Vec<_> = zone.lines().filter(|line| line.contains(" IN TLSA ")).collect();
    assert_eq!(keys.len(), 4, "{zone}");
    assert!(keys.iter().all(|line| line.starts_with(";_52")), "{zone}");

    let json = place.calypte(&["dns", "--host", "xmpp.example.net", "--json"], "").succeeds();
    let records: serde_json::Value = serde_json::from_str(&json).unwrap();
    let of = |kind: &str| {
        let mut all = records.as_array().unwrap().iter();
        all.find(|record| record["type"] == kind).unwrap().clone()
    };
    assert_eq!(of("A")["name"], "xmpp.example.net.");
    assert_eq!(of("SRV")["grade"], "needed");
    assert_eq!(of("CAA")["ready"], false);
    let said = place.calypte(&["dns", "--host", "https://x"], "").fails(2);
    assert!(said.contains("is no name of a machine"), "{said}");
}

#[test]
fn without_a_server_there_is_nobody_to_ask_about_others() {
    let place = Place::with_config();
    for args in [&["peer", "list"][..], &["tls", "list"], &["peer", "block", "far.example"]] {
        assert!(place.calypte(args, "").fails(3).contains("no server runs"));
    }
    let said = place.calypte(&["doctor", "ana@far.example"], "").fails(2);
    assert!(said.contains("is not a domain"), "{said}");
}
