//! What is published, and who tries to make others believe something else of it or to drown them in it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte_tests::{Client, Server, Setup, attr};

const TUNE: &str = "http://jabber.org/protocol/tune";
const MOOD: &str = "http://jabber.org/protocol/mood";
const INFO: &str = "http://jabber.org/protocol/disco#info";
/// How long nothing has to come until nothing more is believed to come.
const SILENCE: Duration = Duration::from_millis(300);

/// Returns the hash of features (XEP-0115 §5.1), which are in order already.
fn ver(features: &[String]) -> String {
    let text = format!("client/pc//<{}<", features.join("<"));
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// Shows a hash.
fn show(client: &mut Client, ver: &str) {
    client.send(&format!(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
         node='urn:some:client' ver='{ver}'/></presence>"
    ));
}

/// Says that the hash stands for these features, to whoever asks: the own account, and those of contacts
/// that do not know it yet.
fn answer(client: &mut Client, ver: &str, features: &[String]) {
    let features: String = features
        .iter()
        .map(|feature| format!("<feature var='{}'/>", feature.replace('<', "&lt;")))
        .collect();
    while let Some(asked) = client.try_expect(&["<iq", "get", INFO, ver], 3 * SILENCE) {
        let [id, from, node] = ["id", "from", "node"].map(|name| attr(&asked, name).unwrap());
        client.send(&format!(
            "<iq type='result' id='{id}' to='{from}'><query xmlns='{INFO}' node='{node}'>\
             <identity category='client' type='pc'/>{features}</query></iq>"
        ));
        client.ping();
    }
}

fn publish(client: &mut Client, node: &str, payload: &str) {
    client.send(&format!(
        "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='{node}'><item id='current'>{payload}</item></publish></pubsub></iq>"
    ));
    client.expect(&["<iq", r#"id="p""#, "result"]);
}

#[test]
fn nobody_poisons_the_hash_that_another_client_shows() {
    let server = Setup::new().account("mallory").start();
    let mut ana = Client::login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    let mut mallory = Client::login(&server, "mallory");
    ana.befriend(&mut ben);
    ana.befriend(&mut mallory);
    let wishes = |node: &str| vec![INFO.to_owned(), format!("{node}+notify")];
    let plain = wishes(TUNE);
    let other = [wishes(TUNE), vec!["urn:x".to_owned()]].concat();
    // Another answer than the one that was hashed, and one that has the same hash in another way: one
    // feature that holds the sign between two of them.
    let glued = vec![other.join("<")];
    for (round, (true_one, forged)) in [(plain, wishes(MOOD)), (other, glued)].iter().enumerate() {
        let hash = ver(true_one);
        show(&mut mallory, &hash);
        answer(&mut mallory, &hash, forged);
        // What ben wants is what was hashed, whatever she said.
        show(&mut ben, &hash);
        answer(&mut ben, &hash, true_one);
        publish(&mut ana, TUNE, &format!("<tune xmlns='{TUNE}'><title>{round}</title></tune>"));
        publish(&mut ana, MOOD, &format!("<mood xmlns='{MOOD}'><text>{round}</text></mood>"));
        ben.expect(&["<message", TUNE, &format!("<title>{round}</title>")]);
        let got = ben.drain(SILENCE).concat();
        assert!(!got.contains(MOOD), "{got}");
        // What has not the hash counts for her alone.
        let got = mallory.drain(SILENCE).concat();
        assert_eq!(got.contains("<text>0</text>"), round == 0, "{got}");
        assert!(!got.contains("<title>0</title>"), "{got}");
    }
}

#[test]
fn a_flood_of_items_is_refused_and_harms_nobody() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    ana.befriend(&mut ben);
    // By default 300 a minute and twice as many at once.
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    for number in 0..900 {
        ana.send(&format!(
            "<iq type='set' id='n{number}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='blog'><item id='{number}'><x xmlns='urn:x'/></item></publish></pubsub></iq>"
        ));
        if number % 100 == 99 {
            for _ in 0..100 {
                let answer = ana.expect(&["<iq", r#"id="n"#]);
                refused += usize::from(answer.contains("<resource-constraint"));
            }
            slowest = slowest.max(ben.ping());
        }
    }
    assert!((100..=300).contains(&refused), "{refused}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // Nor does one item have room for everything.
    let large = "x".repeat(300 << 10);
    ana.send(&format!(
        "<iq type='set' id='l'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='blog'>\
         <item id='l'><x xmlns='urn:x'>{large}</x></item></publish></pubsub></iq>"
    ));
    match ana.hear(Duration::from_secs(20)) {
        // Refused as a stanza, or as an item.
        Some(calypte_tests::Heard::Element(xml)) => assert!(xml.contains("error"), "{xml}"),
        other => assert!(other.is_some(), "nothing came"),
    }
    assert!(ben.ping() < Duration::from_secs(5));
    assert!(server.memory_peak() < 512 << 20, "{}", server.memory_peak());
    let ran = server.run(&["status"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
}
