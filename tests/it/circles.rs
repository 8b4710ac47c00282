//! Circles from the command line: people have each other and their room, also after a kill.

use calypte_tests::{Client, Server, Setup};

const MUC: &str = "http://jabber.org/protocol/muc";

/// Returns the address of the room that is among somebody's bookmarks.
fn bookmarked(client: &mut Client) -> String {
    client.send(
        "<iq type='get' id='marks'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items \
         node='urn:xmpp:bookmarks:1'/></pubsub></iq>",
    );
    let marks = client.expect(&["id=\"marks\"", "autojoin=\"true\""]);
    marks.split_once("<item id=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

fn enter(client: &mut Client, room: &str, nick: &str) {
    client.send(&format!("<presence to='{room}/{nick}'><x xmlns='{MUC}'/></presence>"));
    client.expect(&["<presence", "\"110\"", "affiliation=\"member\""]);
    client.expect(&["<subject"]);
}

fn run(server: &Server, args: &[&str]) -> String {
    let ran = server.run(args, "");
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out
}

#[test]
fn a_circle_has_its_room() {
    let mut server = Setup::new().raw("[modules.register]\npolicy = \"invite\"\n").start();
    let made = run(&server, &["circle", "create", "family"]);
    assert!(made.contains("Its room is family-"), "{made}");
    let added = run(&server, &["circle", "add", "family", "ana", "ben"]);
    assert!(added.contains("2 people are in it."), "{added}");
    // What was still to be told is told when the server is there again.
    server.kill();
    server.launch();
    let mut ana = Client::login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    calypte_tests::wait("both know of it", || {
        run(&server, &["circle", "show", "family"]) == "ana\nben\n" && {
            ben.send("<iq type='get' id='list'><query xmlns='jabber:iq:roster'/></iq>");
            ben.expect(&["id=\"list\""]).contains("<group>family</group>")
        }
    });
    let room = bookmarked(&mut ben);
    assert!(made.contains(&room), "{made} {room}");
    enter(&mut ana, &room, "Ana");
    enter(&mut ben, &room, "Ben");
    ben.send(&format!("<message to='{room}' type='groupchat'><body>supper</body></message>"));
    ana.expect(&["groupchat", "supper"]);

    let ran = server.run(&["invite", "--circle", "garden"], "");
    assert_ne!(ran.code, 0, "{ran:?}");
    run(&server, &["invite", "--circle", "family"]);
    let open = run(&server, &["invite", "list"]);
    assert!(open.contains("into circle family"), "{open}");

    run(&server, &["circle", "remove", "family", "ben"]);
    ben.expect(&["<presence", "unavailable", "\"321\""]);
    run(&server, &["circle", "delete", "family"]);
    ana.expect(&["<presence", "unavailable", "<destroy"]);
}

#[test]
fn many_at_once_know_each_other_after_a_kill() {
    let people: Vec<_> = (0..25).map(|number| format!("p{number}")).collect();
    let setup = people.iter().fold(Setup::new(), |setup, name| setup.account(name));
    let mut server = setup.start();
    run(&server, &["circle", "create", "house"]);
    let add: Vec<_> =
        ["circle", "add", "house"].into_iter().chain(people.iter().map(|p| &**p)).collect();
    run(&server, &add);
    // Not all of them were told yet.
    server.kill();
    server.launch();
    for name in [&people[0], &people[24]] {
        let mut client = Client::login(&server, name);
        calypte_tests::wait("all are contacts", || {
            client.send("<iq type='get' id='list'><query xmlns='jabber:iq:roster'/></iq>");
            client.expect(&["id=\"list\""]).matches("<group>house</group>").count() == 24
        });
        let room = bookmarked(&mut client);
        enter(&mut client, &room, name);
    }
}
