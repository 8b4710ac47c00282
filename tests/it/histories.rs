//! `kill -9` while histories, contact lists and published items are written: what was acknowledged is
//! there, and `calypte verify` finds that indexes agree with records; one that does not is named.

#![allow(clippy::print_stderr, reason = "a failure can be had again by its seed")]

use std::time::Duration;

use calypte_tests::{Chance, Client, Heard, How, Server, Setup, attr};
use nix::sys::signal::Signal;
use store::{Options, Store};
use table::Batch;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const NODE: &str = "urn:example:notes";

/// What a client said and what it was told of it.
#[derive(Debug, Default)]
struct Said {
    /// Messages that were sent, and those that are known to be handled.
    messages: u32,
    kept: u32,
    /// Contacts that were sent, and those whose change was answered.
    contacts: u32,
    listed: u32,
    /// Items that were sent to be published, and those whose publication was answered.
    items: u32,
    published: u32,
}

/// Writes messages, contacts and items until the server is gone.
fn write(mut client: Client, said: &mut Said, chance: &mut Chance) {
    // What of each stanza of this session is a message.
    let mut is_message = Vec::new();
    let before = said.kept.max(said.messages);
    said.messages = before;
    loop {
        for _ in 0..1 + chance.below(4) {
            let kind = chance.below(4);
            let xml = if kind == 0 {
                let number = said.items;
                said.items += 1;
                is_message.push(false);
                format!(
                    "<iq type='set' id='item-{number}'><pubsub xmlns='{PUBSUB}'><publish node='{NODE}'>\
                     <item id='i{number}'><n xmlns='urn:example:notes'>{number}</n></item></publish>\
                     <publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                     <value>{PUBSUB}#publish-options</value></field><field \
                     var='pubsub#max_items'><value>max</value></field></x></publish-options></pubsub></iq>"
                )
            } else if kind == 1 {
                let number = said.contacts;
                said.contacts += 1;
                is_message.push(false);
                format!(
                    "<iq type='set' id='contact-{number}'><query xmlns='jabber:iq:roster'><item \
                     jid='contact-{number}@other.example'/></query></iq>"
                )
            } else {
                let number = said.messages;
                said.messages += 1;
                is_message.push(true);
                format!(
                    "<message to='ben@chat.example' type='chat' id='m{number}'><body>{number}</body>\
                     </message>"
                )
            };
            drop(client.try_send(xml.as_bytes()));
        }
        drop(client.try_send(b"<r xmlns='urn:xmpp:sm:3'/>"));
        loop {
            match client.hear(Duration::from_millis(1)) {
                None => break,
                Some(Heard::Element(xml)) => {
                    let id = attr(&xml, "id").unwrap_or_default();
                    if let Some(number) = id.strip_prefix("contact-")
                        && xml.contains("result")
                    {
                        said.listed = said.listed.max(number.parse::<u32>().unwrap() + 1);
                    }
                    if let Some(number) = id.strip_prefix("item-") {
                        assert!(xml.contains("result"), "{xml}");
                        said.published = said.published.max(number.parse::<u32>().unwrap() + 1);
                    }
                }
                Some(_) => return,
            }
            let handled = usize::try_from(client.told()).unwrap().min(is_message.len());
            let kept = is_message[..handled].iter().filter(|is_message| **is_message).count();
            said.kept = said.kept.max(before + u32::try_from(kept).unwrap());
        }
    }
}

/// Reads the whole history of `name` and returns the numbers of the messages, in order.
fn history(client: &mut Client) -> Vec<u32> {
    let (mut numbers, mut after) = (Vec::new(), String::new());
    loop {
        client.send(&format!(
            "<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'><set \
             xmlns='http://jabber.org/protocol/rsm'><max>100</max>{after}</set></query></iq>"
        ));
        loop {
            let xml = client.element();
            if let Some((_, rest)) = xml.split_once("<body>") {
                numbers.push(rest.split_once('<').unwrap().0.parse().unwrap());
            } else if xml.contains("<fin ") {
                if xml.contains("complete=\"true\"") || xml.contains("complete='true'") {
                    return numbers;
                }
                let last = xml.split_once("<last>").unwrap().1.split_once('<').unwrap().0;
                after = format!("<after>{last}</after>");
                break;
            }
        }
    }
}

fn contacts(client: &mut Client) -> usize {
    client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    client.expect(&["roster", "result"]).matches("contact-").count()
}

/// Reads what is published and returns how much it is; nothing is missing in between.
fn items(client: &mut Client) -> u32 {
    client.send(&format!(
        "<iq type='get' id='items'><pubsub xmlns='{PUBSUB}'><items node='{NODE}'/></pubsub></iq>"
    ));
    let xml = client.expect(&["id=\"items\""]);
    let number = |item: &str| item.split('"').next().unwrap().parse().unwrap();
    let mut numbers: Vec<u32> = xml.split("<item id=\"i").skip(1).map(number).collect();
    numbers.sort_unstable();
    let count = u32::try_from(numbers.len()).unwrap();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "what is published");
    count
}

/// Returns how many rounds to run.
fn rounds() -> u32 {
    let by_hand = std::env::var("CALYPTE_ROUNDS").ok();
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    by_hand.map_or(if is_ci { 10 } else { 3 }, |number| number.parse().unwrap())
}

fn verify(server: &Server) -> calypte_tests::Ran {
    server.run(&["verify"], "")
}

#[test]
fn histories_contacts_and_items_are_whole_after_a_kill() {
    let setup = Setup::new().raw("[modules.pep]\nrate = 60000\nitems = 10000\n");
    let mut server = setup.start();
    let mut chance = Chance::new();
    let mut said = Said::default();
    for round in 0..rounds() {
        eprintln!("round {round}, seed {}", chance.seed());
        let mut client = How::default().resource("writer").login(&server, "ana");
        client.enable();
        let after = Duration::from_millis(50 + chance.up_to(600));
        let pid = server.pid();
        std::thread::scope(|scope| {
            let mut chance = chance.fork();
            let said = &mut said;
            scope.spawn(move || write(client, said, &mut chance));
            std::thread::sleep(after);
            server.signal(Signal::SIGKILL);
        });
        assert_eq!(server.pid(), pid);
        server.kill();
        let ran = verify(&server);
        assert_eq!(ran.code, 0, "{ran:?}");
        server.launch();
        for name in ["ana", "ben"] {
            let mut reader = How::default().resource("reader").login(&server, name);
            let numbers = history(&mut reader);
            let all: Vec<_> = (0..u32::try_from(numbers.len()).unwrap()).collect();
            // What came after the last acknowledgement may be there or not, but nothing has a gap.
            assert_eq!(numbers, all, "the history of {name}");
            assert!(numbers.len() >= usize::try_from(said.kept).unwrap(), "{name}: {said:?}");
            if name == "ana" {
                let listed = contacts(&mut reader);
                assert!(listed >= usize::try_from(said.listed).unwrap(), "{listed} of {said:?}");
                let published = items(&mut reader);
                assert!(published >= said.published, "{published} of {said:?}");
                // The next round goes on where the history and the lists end.
                (said.items, said.published) = (published, published);
                said.messages = u32::try_from(numbers.len()).unwrap();
                said.contacts = u32::try_from(listed).unwrap();
                (said.kept, said.listed) = (said.messages, said.contacts);
            }
            reader.close();
        }
    }
    let is_much = said.kept > 20 && said.listed > 5 && said.published > 5;
    assert!(is_much, "no load: {said:?}");
}

#[test]
fn a_broken_index_is_named() {
    let mut server = Setup::new().start();
    let mut ana = Client::login(&server, "ana");
    for number in 0..3 {
        ana.send(&format!(
            "<message to='ben@chat.example' type='chat'><body>{number}</body></message>"
        ));
    }
    ana.ping();
    ana.close();
    assert!(server.stop().success());
    let ran = verify(&server);
    assert_eq!(ran.code, 0, "{ran:?}");
    {
        let store = Store::open(&server.file("data/store"), Options::default()).unwrap();
        let prefix = table::full_key("archive.with", "ben@chat.example", &[]);
        let mut end = prefix.clone();
        end.push(0xff);
        let reader = store.reader();
        let rows = table::Storage::scan(&*reader, &prefix, &end, 10, false).unwrap();
        assert_eq!(rows.len(), 3);
        let mut batch = Batch::default();
        batch.delete(rows[1].0.clone());
        let mut other = rows[2].0.clone();
        // Not that of one of the others, which may be numbered one behind another.
        *other.last_mut().unwrap() ^= 0x40;
        batch.put(other, rows[2].1.clone());
        store.commit(batch).unwrap();
        store.close();
    }
    let ran = verify(&server);
    assert_ne!(ran.code, 0, "{ran:?}");
    let text = format!("{}{}", ran.out, ran.err);
    assert!(text.contains("archive, ben@chat.example: 1 of 3 messages are not listed"), "{text}");
    assert!(text.contains("archive, ben@chat.example: 1 rows of archive.with are of"), "{text}");
    assert!(!text.contains("ana@chat.example:"), "{text}");
}
