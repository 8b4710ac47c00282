//! What service discovery shows beside Debian's Prosody with all its modules: each difference has its
//! reason in `modules/README.md`, and each reason there has its difference.

use std::collections::BTreeSet;
use std::path::Path;

use calypte_tests::{Client, Foreign, Host, Lab, Setup, Which, attr, password};

use crate::Case;

pub(crate) const CASES: &[Case] = &[Case {
    name: "prosody_shows_what_we_explain",
    needs: &[Which::Prosody],
    play: differences_are_explained,
}];

const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// The part of the file that is written by hand.
const HEADING: &str = "## Beside Prosody";

/// Where something is shown, and what.
type Shown = (String, String);

fn differences_are_explained(lab: &Lab) {
    let setup = Setup::within(lab, "c.example", lab.v4(1)).raw(
        "[modules.contact]\nabuse = [\"mailto:abuse@c.example\"]\n\
         [modules.extdisco]\nservices = [{ type = \"turn\", host = \"t.example\", secret = \"s\" }]\n",
    );
    let ours = tree(&setup.start());
    let theirs = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(2)).everything().start();
    let theirs = tree(&theirs);
    let is = |who: &str, (place, what): &Shown| format!("{who} | {place} | `{what}`");
    let mut differences: BTreeSet<_> =
        ours.difference(&theirs).map(|shown| is("Calypte", shown)).collect();
    differences.extend(theirs.difference(&ours).map(|shown| is("Prosody", shown)));
    let explained = explained();
    let missing: Vec<_> = differences.difference(&explained).cloned().collect();
    let stale: Vec<_> = explained.difference(&differences).cloned().collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "modules/README.md, {HEADING}\n\nnot explained:\n{}\n\nno difference any more:\n{}\n",
        missing.join("\n"),
        stale.join("\n")
    );
}

/// Reads the table: who shows it, where (places separated by commas), what (in backticks), why.
fn explained() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/README.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, part) = text.split_once(HEADING).unwrap_or_default();
    let mut all = BTreeSet::new();
    for line in part.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [who, places, what, why] = cells[..] else { panic!("four cells: {line}") };
        if !matches!(who, "Calypte" | "Prosody") {
            continue;
        }
        assert!(why.len() > 10, "a reason: {line}");
        for place in places.split(", ") {
            for word in what.split('`').skip(1).step_by(2) {
                all.insert(format!("{who} | {place} | `{word}`"));
            }
        }
    }
    all
}

/// Collects what a server shows to one of its users, and what an account shows to a contact.
fn tree(server: &dyn Host) -> BTreeSet<Shown> {
    let mut all = BTreeSet::new();
    let domain = server.domain().to_owned();
    let how = server.how();
    let mut ana = how.secured(server);
    offered(&ana.open_stream(), "before login", &mut all);
    how.prove(&mut ana, "ana", &password("ana")).unwrap();
    offered(&ana.open_stream(), "after login", &mut all);
    how.bind(&mut ana).unwrap();
    let mut ben = how.login(server, "ben");
    befriend(&mut ana, &mut ben, &domain);
    let account = format!("ana@{domain}");
    ask(&mut ana, "domain", &domain, None, &mut all);
    ask(&mut ana, "commands", &domain, Some(COMMANDS), &mut all);
    ask(&mut ana, "own account", &account, None, &mut all);
    ask(&mut ben, "contact's account", &account, None, &mut all);
    all
}

fn befriend(ana: &mut Client, ben: &mut Client, domain: &str) {
    for client in [&mut *ana, &mut *ben] {
        // Only who asked for the roster hears of changes.
        client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
        client.expect(&["<iq", "roster"]);
        client.send("<presence/>");
    }
    subscribe(ana, ben, ["ana", "ben"], domain);
    subscribe(ben, ana, ["ben", "ana"], domain);
}

fn subscribe(one: &mut Client, other: &mut Client, [name, their]: [&str; 2], domain: &str) {
    one.send(&format!("<presence type='subscribe' to='{their}@{domain}'/>"));
    other.expect(&["<presence", "subscribe", &format!("{name}@{domain}")]);
    other.send(&format!("<presence type='subscribed' to='{name}@{domain}'/>"));
    one.expect(&["<presence", "subscribed", &format!("{their}@{domain}")]);
}

/// Notes stream features by their names and namespaces.
fn offered(features: &str, place: &str, all: &mut BTreeSet<Shown>) {
    let mut depth = 0_usize;
    for tag in features.split('<').skip(1) {
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
            continue;
        }
        let name = tag.split([' ', '/', '>']).next().unwrap_or("");
        if depth == 1 && !name.starts_with('?') {
            let ns = attr(&format!("<{tag}"), "xmlns").unwrap_or_default();
            all.insert((place.to_owned(), format!("{name} {ns}")));
        }
        let is_closed = tag.split('>').next().is_some_and(|start| start.ends_with('/'));
        // The header of the stream stays open, and is none of it.
        let is_other = name.starts_with('?') || name == "stream:stream";
        depth += usize::from(!is_closed && !is_other);
    }
}

/// Notes what an address says of itself, or of a node.
fn ask(client: &mut Client, place: &str, to: &str, node: Option<&str>, all: &mut BTreeSet<Shown>) {
    let domain = to.split('@').next_back().unwrap().to_owned();
    for kind in ["info", "items"] {
        let node = node.map(|node| format!(" node='{node}'")).unwrap_or_default();
        let id = format!("tree-{kind}-{}", all.len());
        client.send(&format!(
            "<iq type='get' id='{id}' to='{to}'>\
             <query xmlns='http://jabber.org/protocol/disco#{kind}'{node}/></iq>"
        ));
        let said = client.expect(&["<iq", &id]);
        let mut note = |what: String| {
            let what = what.replace(&domain, "DOMAIN").replace(client_part(&what), "");
            all.insert((place.to_owned(), what.trim_end().to_owned()));
        };
        if attr(&said, "type").as_deref() == Some("error") {
            note(format!("{kind} is refused"));
            continue;
        }
        let mut form = String::new();
        for tag in said.split('<').skip(1) {
            let full = format!("<{tag}");
            let of = |name| attr(&full, name).unwrap_or_default();
            match tag.split([' ', '/', '>']).next() {
                Some("identity") => note(format!("{}/{}", of("category"), of("type"))),
                Some("feature") => note(of("var")),
                Some("item") => note(format!("item {} {}", of("jid"), of("node"))),
                Some("field") => form = of("var"),
                Some("value") if form == "FORM_TYPE" => form.clear(),
                Some("value") => note(format!("form {form}")),
                _ => {}
            }
        }
    }
}

/// Returns the resource in what is shown, which each server chooses by itself.
fn client_part(what: &str) -> &str {
    let is_item = what.starts_with("item ") && what.contains('@');
    let resource = what.split(' ').nth(1).and_then(|jid| jid.find('/').map(|at| &jid[at..]));
    resource.filter(|_| is_item).unwrap_or("\0")
}
