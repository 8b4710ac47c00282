//! What each kind of certificate gets, in both directions, with DANE and without. The table stands in
//! README.md, and is compared.

use std::path::Path;

use calypte_tests::{Kind, Lab, Manners, PATIENCE, Peer, Setup, Station};

use crate::Case;
use crate::story::Person;

pub(crate) const CASES: &[Case] = &[Case {
    name: "every_kind_of_certificate_gets_what_the_readme_says",
    needs: &[],
    play: table,
}];

/// What the README calls a kind.
fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Both | Kind::WithRooms => "for servers and clients",
        Kind::ServerOnly => "for servers only, as public authorities issue it",
        Kind::ClientOnly => "for clients only",
        Kind::NoUsage => "says no use",
        Kind::Expired => "expired",
        Kind::Early => "not yet valid",
        Kind::WrongName => "name of somebody else",
        Kind::CommonName => "name as common name only",
        Kind::SelfSigned => "self-signed",
        Kind::Wildcard => "wildcard",
        Kind::XmppAddr => "name as xmppAddr only",
        Kind::SrvName => "name as SRVName only",
        Kind::Chain => "by an intermediate authority",
        Kind::BrokenChain => "by an intermediate authority that is not shown",
    }
}

/// What DNS says of its key, secured by DNSSEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dane {
    None,
    Right,
    Wrong,
}

/// A domain with servers that show one kind of certificate.
struct Stand {
    kind: Kind,
    domain: String,
    station: Station,
    peer: Peer,
}

impl Stand {
    fn new(lab: &Lab, kind: Kind, number: u8, dane: Dane) -> Self {
        let zone = if dane == Dane::None { "plain" } else { "example" };
        let domain = format!("k{number}.hosts.{zone}");
        let shown = lab.authority().issue(kind, &domain);
        let manners = Manners { dialback: false, ..Manners::default() };
        let station = Station::start(lab, &domain, lab.v4(10 + number), &shown, manners);
        let key = match dane {
            Dane::None => None,
            Dane::Right => Some(shown.spki_sha256.clone()),
            Dane::Wrong => Some(lab.authority().issue(kind, &domain).spki_sha256),
        };
        if let Some(key) = key {
            lab.names().key(&format!("xmpp.{domain}"), 5269, &key);
        }
        let peer = Peer::new(lab, &domain, "c.example", lab.v4(1)).shows(&shown);
        Self { kind, domain, station, peer }
    }

    /// Calls us and tries to write to ana.
    fn comes_in(&self, ana: &mut Person) -> String {
        let Ok(mut client) = self.peer.secured() else { return "no TLS".to_owned() };
        client.send(&self.peer.header());
        let offered = client.try_expect(&["<stream:features"], PATIENCE).unwrap_or_default();
        if !offered.contains(">EXTERNAL<") {
            return "refused".to_owned();
        }
        if self.peer.prove(&mut client, None).is_err() {
            return "refused".to_owned();
        }
        let body = format!("in from {}", self.domain);
        client.send(&format!(
            "<message from='x@{}' to='{}'><body>{body}</body></message>",
            self.domain,
            ana.bare()
        ));
        ana.client.expect(&["<message", &format!("<body>{body}</body>")]);
        "yes".to_owned()
    }

    /// Tells what became of what ana wrote.
    fn went_out(&self, ana: &mut Person) -> String {
        let id = self.domain.as_str();
        // Either is certain to come: what was sent, or its error.
        for _ in 0..1000 {
            if self.station.heard().contains(&format!("<body>{id}</body>")) {
                return "yes".to_owned();
            }
            let moment = std::time::Duration::from_millis(50);
            if let Some(error) = ana.client.try_expect(&["error", id], moment) {
                assert!(error.contains("<remote-server-timeout"), "{error}");
                return "refused".to_owned();
            }
        }
        "nothing".to_owned()
    }
}

fn table(lab: &Lab) {
    let ours = Setup::within(lab, "c.example", lab.v4(1))
        .set("federation.retry_for", "\"3 seconds\"")
        .start();
    let mut ana = Person::login(&ours, "ana");
    let mut columns = Vec::new();
    for (dane, numbers) in [(Dane::None, 10..), (Dane::Right, 50..), (Dane::Wrong, 90..)] {
        let stands: Vec<_> = Kind::ALL
            .into_iter()
            .zip(numbers)
            .map(|(kind, number)| Stand::new(lab, kind, number, dane))
            .collect();
        for stand in &stands {
            ana.write(&format!("x@{}", stand.domain), &stand.domain);
        }
        let outs: Vec<_> = stands.iter().map(|stand| stand.went_out(&mut ana)).collect();
        let ins: Vec<_> = stands.iter().map(|stand| stand.comes_in(&mut ana)).collect();
        columns.push(ins);
        columns.push(outs);
        assert_eq!(stands.iter().map(|stand| stand.kind).collect::<Vec<_>>(), Kind::ALL);
    }
    let mut text = String::new();
    for (row, kind) in Kind::ALL.into_iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|column| column[row].as_str()).collect();
        text.push_str(&format!("| {} | {} |\n", label(kind), cells.join(" | ")));
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("federation/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let begin = readme.find("| for servers and clients").expect("the README has the table");
    let said: String = readme[begin..]
        .lines()
        .take_while(|line| line.starts_with('|'))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(said == text, "the README says\n{said}and it is\n{text}");
}
