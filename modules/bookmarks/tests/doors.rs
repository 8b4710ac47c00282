//! Whatever is changed behind which door, and in which order: all doors show the same.
//!
//! Each seed makes a scene: a walk of changes, and what each door has to show after each.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const SEEDS: u64 = 8;
const STEPS: u32 = 40;
const ROOMS: u64 = 6;
const ME: &str = "juliet@capulet.example";
const NEW: &str = "urn:xmpp:bookmarks:1";
const OLD: &str = "storage:bookmarks";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

/// XEP-0402 §3.3: what a client makes sure of.
const OPTIONS: &str = "<publish-options><x xmlns=\"jabber:x:data\" type=\"submit\">\
    <field var=\"FORM_TYPE\"><value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
    <field var=\"pubsub#max_items\"><value>max</value></field>\
    <field var=\"pubsub#access_model\"><value>whitelist</value></field></x></publish-options>";

/// A room, its name, and whether it is joined.
type Entry = (String, (u64, bool));

/// A walk, with what is there according to the XEPs.
struct Walk {
    chance: u64,
    count: u32,
    /// In the order in which they were published.
    items: Vec<Entry>,
    /// In the order of the list.
    list: Vec<Entry>,
    scene: String,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let scene = format!(
            "# Seed {seed}.\ncapulet.example runs bookmarks, pep, private\nold is {ME}/old\nnew is {ME}/new\n"
        );
        let chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { chance, count: 0, items: Vec::new(), list: Vec::new(), scene }
    }

    /// Returns a number below `below`.
    fn dice(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) % below
    }

    fn entry(&mut self) -> Entry {
        let room = format!("r{}@chat.example", self.dice(ROOMS));
        (room, (self.dice(3), self.dice(2) == 1))
    }

    fn says(&mut self, who: &str, kind: &str, payload: &str, answer: &str) {
        self.count += 1;
        let id = self.count;
        writeln!(
            self.scene,
            "{who} sends\n  <iq type=\"{kind}\" id=\"{id}\">{payload}</iq>\n\
             {who} receives\n  <iq type=\"result\" id=\"{id}\" from=\"{ME}\">{answer}</iq>"
        )
        .unwrap();
    }

    fn publish(&mut self, who: &str, node: &str, id: &str, payload: &str) {
        let around = |item: &str, more: &str| {
            format!(
                "<pubsub xmlns=\"{PUBSUB}\"><publish node=\"{node}\">{item}</publish>{more}</pubsub>"
            )
        };
        let options = if node == NEW { OPTIONS } else { "" };
        let item = around(&format!("<item id=\"{id}\">{payload}</item>"), options);
        self.says(who, "set", &item, &around(&format!("<item id=\"{id}\"/>"), ""));
    }

    fn step(&mut self) {
        match self.dice(10) {
            0..=2 => self.add(),
            3 if !self.items.is_empty() => self.take(),
            4 if self.dice(3) == 0 => self.purge(),
            5 if !self.list.is_empty() => self.delete_list(),
            6 => writeln!(self.scene, "capulet.example restarts\nold is {ME}/old\nnew is {ME}/new")
                .unwrap(),
            _ => self.replace(),
        }
        self.look();
    }

    /// An item is published.
    fn add(&mut self) {
        let (room, said) = self.entry();
        self.publish("new", NEW, &room, &conference(NEW, None, said));
        self.items.retain(|(its, _)| *its != room);
        self.items.push((room.clone(), said));
        match self.list.iter_mut().find(|(its, _)| *its == room) {
            Some(listed) => listed.1 = said,
            None => self.list.push((room, said)),
        }
    }

    /// An item is taken back.
    fn take(&mut self) {
        let at = usize::try_from(self.dice(self.items.len() as u64)).unwrap();
        let (room, _) = self.items.remove(at);
        self.list.retain(|(its, _)| *its != room);
        let retract = format!(
            "<pubsub xmlns=\"{PUBSUB}\"><retract node=\"{NEW}\"><item id=\"{room}\"/></retract></pubsub>"
        );
        self.says("new", "set", &retract, "");
    }

    /// All items are taken back.
    fn purge(&mut self) {
        let purge = format!("<pubsub xmlns=\"{PUBSUB}#owner\"><purge node=\"{NEW}\"/></pubsub>");
        self.says("new", "set", &purge, "");
        self.items.clear();
        self.list.clear();
    }

    /// A client that has gone over to items deletes the list: it is there again.
    fn delete_list(&mut self) {
        let delete = format!("<pubsub xmlns=\"{PUBSUB}#owner\"><delete node=\"{OLD}\"/></pubsub>");
        self.says("new", "set", &delete, "");
    }

    /// A list is replaced, behind one of the old doors.
    fn replace(&mut self) {
        let mut list = self.list.clone();
        for _ in 0..self.dice(4) {
            let (room, said) = self.entry();
            match list.iter().position(|(its, _)| *its == room) {
                Some(at) if self.dice(2) == 0 => drop(list.remove(at)),
                Some(at) => list[at].1 = said,
                None => list.insert(0, (room, said)),
            }
        }
        if self.dice(2) == 0 {
            self.publish("old", OLD, "current", &storage(&list));
        } else {
            let query = format!("<query xmlns=\"jabber:iq:private\">{}</query>", storage(&list));
            self.says("old", "set", &query, "");
        }
        let new: BTreeMap<_, _> = list.iter().cloned().collect();
        self.items.retain(|(room, _)| new.contains_key(room));
        for (room, said) in new {
            if !self.items.contains(&(room.clone(), said)) {
                self.items.retain(|(its, _)| *its != room);
                self.items.push((room, said));
            }
        }
        self.list = list;
    }

    /// What each door shows.
    fn look(&mut self) {
        let get = |node: &str, items: &str| {
            format!("<pubsub xmlns=\"{PUBSUB}\"><items node=\"{node}\">{items}</items></pubsub>")
        };
        let items: String = self
            .items
            .iter()
            .map(|(room, said)| {
                format!("<item id=\"{room}\">{}</item>", conference(NEW, None, *said))
            })
            .collect();
        let list = storage(&self.list);
        self.says("new", "get", &get(NEW, ""), &get(NEW, &items));
        let item = format!("<item id=\"current\">{list}</item>");
        self.says("old", "get", &get(OLD, ""), &get(OLD, &item));
        let query = |list: &str| format!("<query xmlns=\"jabber:iq:private\">{list}</query>");
        self.says("old", "get", &query(&storage(&[])), &query(&list));
    }
}

fn conference(ns: &str, jid: Option<&str>, (name, is_joined): (u64, bool)) -> String {
    let jid = jid.map(|jid| format!(" jid=\"{jid}\"")).unwrap_or_default();
    let autojoin = if is_joined { " autojoin=\"true\"" } else { "" };
    format!(
        "<conference xmlns=\"{ns}\"{jid} name=\"n{name}\"{autojoin}><nick>J{name}</nick></conference>"
    )
}

fn storage(list: &[Entry]) -> String {
    let list: String = list.iter().map(|(room, said)| conference(OLD, Some(room), *said)).collect();
    format!("<storage xmlns=\"{OLD}\">{list}</storage>")
}

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bookmarks-doors");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    for seed in 0..SEEDS {
        let mut walk = Walk::new(seed);
        walk.add();
        for _ in 0..STEPS {
            walk.step();
        }
        fs::write(folder.join(format!("seed-{seed}.scene")), walk.scene).unwrap();
    }
    let folder = folder.to_str().unwrap().to_owned();
    testkit::main(&folder, &[&calypte_bookmarks::MODULE, &pep::MODULE, &private::MODULE]);
}
