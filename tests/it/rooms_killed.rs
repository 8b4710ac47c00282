//! `kill -9` while people talk in a room and members are added: what the room has shown is in its
//! archive, who was made a member is one, and nobody is in the room whose server knows nothing of it.

#![allow(clippy::print_stderr, reason = "a failure can be had again by its seed")]

use std::time::Duration;

use calypte_tests::{Chance, Client, Heard, How, Memory, Server, Setup, attr};
use nix::sys::signal::Signal;

const ROOM: &str = "orchard@rooms.chat.example";
const MUC: &str = "http://jabber.org/protocol/muc";

/// What was sent to the room, and what it answered.
#[derive(Debug, Default)]
struct Said {
    messages: u32,
    shown: u32,
    members: u32,
    granted: u32,
}

impl Said {
    /// Notes what came of what was sent.
    fn hear(&mut self, xml: &str) {
        let id = attr(xml, "id").unwrap_or_default();
        assert_ne!(attr(xml, "type").as_deref(), Some("error"), "{xml}");
        if let Some(number) = id.strip_prefix("member-") {
            self.granted = self.granted.max(number.parse::<u32>().unwrap() + 1);
        } else if let Some(number) = id.strip_prefix('m') {
            self.shown = self.shown.max(number.parse::<u32>().unwrap() + 1);
        }
    }
}

/// Enters the room, and returns how many occupants it shows.
#[track_caller]
fn enter(client: &mut Client, nick: &str) -> usize {
    client.send(&format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='{MUC}'><history maxchars='0'/></x></presence>"
    ));
    let mut occupants = 0;
    loop {
        let xml = client.element();
        if xml.starts_with("<presence") {
            assert_eq!(attr(&xml, "type"), None, "{xml}");
            occupants += 1;
        }
        if xml.contains("<subject") {
            return occupants;
        }
    }
}

/// Talks and adds members until the server is gone.
fn talk(mut client: Client, said: &mut Said, chance: &mut Chance) {
    loop {
        for _ in 0..1 + chance.below(4) {
            let xml = if chance.below(4) == 0 {
                let number = said.members;
                said.members += 1;
                format!(
                    "<iq type='set' id='member-{number}' to='{ROOM}'><query xmlns='{MUC}#admin'><item \
                     affiliation='member' jid='m{number}@other.example'/></query></iq>"
                )
            } else {
                let number = said.messages;
                said.messages += 1;
                format!(
                    "<message to='{ROOM}' type='groupchat' id='m{number}'><body>{number}</body>\
                     </message>"
                )
            };
            drop(client.try_send(xml.as_bytes()));
        }
        loop {
            match client.hear(Duration::from_millis(1)) {
                None => break,
                Some(Heard::Element(xml)) => said.hear(&xml),
                Some(_) => return,
            }
        }
    }
}

/// Reads the whole archive of the room and returns the numbers of the messages, in order.
fn archive(client: &mut Client) -> Vec<u32> {
    let (mut numbers, mut after) = (Vec::new(), String::new());
    loop {
        client.send(&format!(
            "<iq type='set' id='page' to='{ROOM}'><query xmlns='urn:xmpp:mam:2'><set \
             xmlns='http://jabber.org/protocol/rsm'><max>100</max>{after}</set></query></iq>"
        ));
        loop {
            let xml = client.element();
            if let Some((_, rest)) = xml.split_once("<body>") {
                numbers.push(rest.split_once('<').unwrap().0.parse().unwrap());
            } else if xml.contains("<fin ") {
                if xml.contains("complete=\"true\"") {
                    return numbers;
                }
                let last = xml.split_once("<last>").unwrap().1.split_once('<').unwrap().0;
                after = format!("<after>{last}</after>");
                break;
            }
        }
    }
}

fn members(client: &mut Client) -> usize {
    client.send(&format!(
        "<iq type='get' id='list' to='{ROOM}'><query xmlns='{MUC}#admin'><item affiliation='member'/>\
         </query></iq>"
    ));
    client.expect(&["id=\"list\"", "result"]).matches("@other.example").count()
}

fn verify(server: &Server) {
    let ran = server.run(&["verify"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Makes the room one that stays.
fn open(client: &mut Client) {
    client.send(&format!(
        "<iq type='set' id='open' to='{ROOM}'><query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' \
         type='submit'><field var='FORM_TYPE'><value>{MUC}#roomconfig</value></field><field \
         var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>"
    ));
    client.expect(&["id=\"open\"", "result"]);
}

/// Returns how many rounds to run.
fn rounds() -> u32 {
    let by_hand = std::env::var("CALYPTE_ROUNDS").ok();
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    by_hand.map_or(if is_ci { 10 } else { 3 }, |number| number.parse().unwrap())
}

/// The listener's session comes back, and is told that it is in the room no more.
fn come_back(server: &Server, memory: &Memory) -> Client {
    let mut listener = How::default().resume(server, memory).unwrap();
    listener.expect(&["<presence", "unavailable", "\"332\""]);
    listener.drain(Duration::from_millis(200));
    listener
}

#[test]
fn a_room_is_whole_after_a_kill() {
    let limits = "rate = 1000\nburst = 10000\nmessages = 100000\naffiliations = 10000\n";
    let mut server = Setup::new().raw(&format!("[modules.rooms]\n{limits}")).start();
    let mut chance = Chance::new();
    let mut said = Said::default();
    let mut listener = How::default().resource("listener").login(&server, "ben");
    listener.enable();
    for round in 0..rounds() {
        eprintln!("round {round}, seed {}", chance.seed());
        let mut client = How::default().resource("writer").login(&server, "ana");
        // Nobody of the round before is in.
        assert_eq!(enter(&mut client, "Ana"), 1);
        if round == 0 {
            open(&mut client);
        }
        assert_eq!(enter(&mut listener, "Ben"), 2);
        let after = Duration::from_millis(50 + chance.up_to(600));
        let pid = server.pid();
        std::thread::scope(|scope| {
            let mut chance = chance.fork();
            let said = &mut said;
            scope.spawn(move || talk(client, said, &mut chance));
            std::thread::sleep(after);
            server.signal(Signal::SIGKILL);
        });
        assert_eq!(server.pid(), pid);
        while let Some(Heard::Element(xml)) = listener.hear(Duration::from_millis(200)) {
            said.hear(&xml);
        }
        let memory = listener.memory();
        server.kill();
        verify(&server);
        server.launch();
        listener = come_back(&server, &memory);
        let mut reader = How::default().resource("reader").login(&server, "ana");
        let numbers = archive(&mut reader);
        let all: Vec<_> = (0..u32::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, all, "the archive");
        assert!(numbers.len() >= usize::try_from(said.shown).unwrap(), "{said:?}");
        let listed = members(&mut reader);
        assert!(listed >= usize::try_from(said.granted).unwrap(), "{listed} of {said:?}");
        // The next round goes on where the archive and the list end.
        said.messages = u32::try_from(numbers.len()).unwrap();
        said.members = u32::try_from(listed).unwrap();
        (said.shown, said.granted) = (said.messages, said.members);
        reader.close();
    }
    assert!(said.shown > 20 && said.granted > 5, "no load: {said:?}");
}
