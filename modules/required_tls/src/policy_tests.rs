use calypte::crypto::Secret;

use super::*;

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new(vec![byte; 32])).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy {
        v: 0,
        domain: "a.example".to_owned(),
        serial: 2_026_112_501,
        issued: "2026-11-25T00:00:00Z".to_owned(),
        max_age: 15_552_000,
        mode: Mode::Enforce,
        tls_min: TlsMin::V13,
        auth: vec!["dk".to_owned()],
        need: Need::Dk,
        dk: Key(key(1).public()),
        next: Key(key(2).public()).hash(),
        names: vec!["rooms.a.example".to_owned()],
        spki: vec![Key([9; 32])],
        endpoints: vec!["xmpps://xmpp.a.example:5270".to_owned()],
        features: vec!["urn:calypte:tls:0".to_owned()],
        report: "a.example".to_owned(),
    }
}

/// Signs any text.
fn sign(text: &[u8], keys: &[&SigningKey]) -> Vec<u8> {
    let mut octets = vec![0];
    octets.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
    octets.extend_from_slice(text);
    octets.push(u8::try_from(keys.len()).unwrap());
    let hash = crypto::transcript(LABEL, &[text]);
    for key in keys {
        octets.extend(key.public());
        octets.extend(key.sign(&hash));
    }
    octets
}

#[track_caller]
fn refused(change: impl Fn(&mut serde_json::Value), expected: Unread) {
    let mut value = serde_json::to_value(policy()).unwrap();
    change(&mut value);
    let octets = sign(value.to_string().as_bytes(), &[&key(1)]);
    assert_eq!(Signed::read(&octets).unwrap_err(), expected);
}

#[test]
fn comes_back_as_signed() {
    let signed = Signed::make(&policy(), &[&key(1), &key(2)]).unwrap();
    let read = Signed::read_text(&signed.text()).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.signers, [Key(key(1).public()), Key(key(2).public())]);
    assert!(read.policy.covers("rooms.a.example") && !read.policy.covers("x.a.example"));
}

#[test]
fn a_name_without_a_dot_is_a_domain_too() {
    // `localhost`, or a machine in a house without a domain of its own.
    let policy = Policy {
        domain: "localhost".to_owned(),
        names: Vec::new(),
        report: String::new(),
        ..policy()
    };
    assert!(Signed::make(&policy, &[&key(1)]).is_some());
}

#[test]
fn no_bit_can_be_changed() {
    let octets = Signed::make(&policy(), &[&key(1)]).unwrap().octets;
    for at in 0..octets.len() {
        let mut changed = octets.clone();
        changed[at] ^= 1;
        assert!(Signed::read(&changed).is_err(), "octet {at}");
        assert!(Signed::read(&octets[..at]).is_err(), "cut at {at}");
    }
    let longer = [&octets[..], &[0]].concat();
    assert_eq!(Signed::read(&longer).unwrap_err(), Unread::Form);
}

#[test]
fn another_key_does_not_count() {
    assert!(Signed::make(&policy(), &[&key(2)]).is_none());
    assert!(Signed::make(&policy(), &[&key(2), &key(1)]).is_none());
    assert!(Signed::make(&policy(), &[]).is_none());
    let text = serde_json::to_vec(&policy()).unwrap();
    assert_eq!(Signed::read(&sign(&text, &[&key(2)])).unwrap_err(), Unread::Signature);
    let three = sign(&text, &[&key(1), &key(2), &key(3)]);
    assert_eq!(Signed::read(&three).unwrap_err(), Unread::Form);
}

#[test]
fn unknown_fields_are_signed_and_passed_over() {
    let mut value = serde_json::to_value(policy()).unwrap();
    value["colour"] = "red".into();
    let octets = sign(value.to_string().as_bytes(), &[&key(1)]);
    let read = Signed::read(&octets).unwrap();
    assert_eq!((read.policy, &read.octets), (policy(), &octets));
}

#[test]
fn fields_are_bounded() {
    refused(|value| value["v"] = 1.into(), Unread::Version);
    refused(|value| value["domain"] = "A.example".into(), Unread::Field("domain"));
    refused(|value| value["domain"] = "".into(), Unread::Field("domain"));
    refused(|value| value["domain"] = "x@a.example".into(), Unread::Field("domain"));
    refused(|value| value["max_age"] = 31_536_001.into(), Unread::Field("max_age"));
    refused(|value| value["max_age"] = 0.into(), Unread::Field("max_age"));
    refused(|value| value["names"] = vec!["b.example"].into(), Unread::Field("names"));
    refused(|value| value["names"] = vec!["xa.example"].into(), Unread::Field("names"));
    refused(|value| value["report"] = "b.example".into(), Unread::Field("report"));
    refused(
        |value| value["spki"] = vec![Key([1; 32]).to_string(); 33].into(),
        Unread::Field("lists"),
    );
    refused(|value| value["endpoints"] = vec!["xmpp://a:1"].into(), Unread::Field("endpoints"));
    refused(|value| value["endpoints"] = vec!["xmpps://a b:1"].into(), Unread::Field("endpoints"));
    refused(|value| value["mode"] = "testing".into(), Unread::Text);
    refused(|value| value["tls_min"] = "1.0".into(), Unread::Text);
    refused(|value| value["dk"] = "short".into(), Unread::Text);
    refused(|value| value["serial"] = (-1).into(), Unread::Text);
    refused(|value| value["spki"] = serde_json::Value::Null, Unread::Text);
}

#[test]
fn texts_are_bounded() {
    let mut long = policy();
    long.issued = "x".repeat(TEXT_BYTES_MAX);
    assert!(Signed::make(&long, &[&key(1)]).is_none());
    assert_eq!(Signed::read(&vec![0; OCTETS_MAX + 1]).unwrap_err(), Unread::Long);
    assert_eq!(Signed::read_text(&"A".repeat(20_000)).unwrap_err(), Unread::Long);
    assert_eq!(Signed::read_text("not base64!").unwrap_err(), Unread::Form);
    assert_eq!(Signed::read_text("").unwrap_err(), Unread::Form);
    let twice = r#"{"v":0,"v":0}"#;
    assert_eq!(Signed::read(&sign(twice.as_bytes(), &[&key(1)])).unwrap_err(), Unread::Text);
    let deep = "[".repeat(8000);
    assert_eq!(Signed::read(&sign(deep.as_bytes(), &[&key(1)])).unwrap_err(), Unread::Text);
}

/// The example of PROTOCOL.md: others can check themselves against it.
#[test]
fn the_example_is_true() {
    let page = include_str!("../PROTOCOL.md");
    let signed = Signed::make(&policy(), &[&key(1)]).unwrap();
    let lines: String = page.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.contains(&signed.text()), "{}", signed.text());
    assert!(lines.contains(&policy().dk.to_string()));
}
