//! Accounts that clients make, change and remove.

use std::time::Duration;

use calypte_tests::{Client, How, Server, Setup, password};

fn server(policy: &str) -> Server {
    Setup::new().raw(&format!("[modules.register]\npolicy = \"{policy}\"\n")).start()
}

fn register(client: &mut Client, id: &str, name: &str, password: &str) -> String {
    client.send(&format!(
        "<iq type='set' id='{id}'><query xmlns='jabber:iq:register'><username>{name}</username>\
         <password>{password}</password></query></iq>"
    ));
    client.expect(&["<iq", &format!("id=\"{id}\"")])
}

#[test]
fn a_stranger_registers_and_logs_in_on_the_same_stream() {
    let server = server("open");
    let how = How::default();
    let mut client = how.secured(&server);
    let features = client.open_stream();
    assert!(features.contains("http://jabber.org/features/iq-register"), "{features}");
    let said = register(&mut client, "a", "carl", &password("carl"));
    assert!(said.contains("type=\"result\""), "{said}");
    how.prove(&mut client, "carl", &password("carl")).unwrap();
    client.open_stream();
    how.bind(&mut client).unwrap();
    client.ping();
    // The name is taken, and the account is as good as any other after a crash.
    let said = register(&mut how.open(&server), "b", "Carl", "something else");
    assert!(said.contains("<conflict"), "{said}");
    let log = server.log();
    assert!(!log.contains(&password("carl")) && !log.contains("something else"), "{log}");
}

#[test]
fn what_was_registered_survives_a_kill() {
    let mut server = server("open");
    let said = register(&mut How::default().open(&server), "a", "carl", &password("carl"));
    assert!(said.contains("type=\"result\""), "{said}");
    server.kill();
    server.launch();
    How::default().login(&server, "carl").ping();
}

#[test]
fn without_leave_a_stanza_before_login_ends_the_stream() {
    let server = server("closed");
    let mut client = How::default().secured(&server);
    let features = client.open_stream();
    assert!(!features.contains("register"), "{features}");
    client.send("<iq type='get' id='a'><query xmlns='jabber:iq:register'/></iq>");
    client.expect(&["not-authorized"]);
}

#[test]
fn a_stranger_asks_only_so_often() {
    let server = server("open");
    let mut client = How::default().open(&server);
    for _ in 0..16 {
        client.send("<iq type='get' id='a'><query xmlns='jabber:iq:register'/></iq>");
        client.expect(&["<iq", "instructions"]);
    }
    client.send("<iq type='get' id='a'><query xmlns='jabber:iq:register'/></iq>");
    client.expect(&["policy-violation"]);
}

#[test]
fn another_password_counts_at_once_and_is_in_no_file() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let said = register(&mut ana, "a", "ana", "a new pa55word");
    assert!(said.contains("type=\"result\""), "{said}");
    assert!(How::default().try_login(&server, "ana", &password("ana")).is_err());
    How::default().try_login(&server, "ana", "a new pa55word").unwrap().ping();
    let grep = std::process::Command::new("grep")
        .args(["-rlaF", "a new pa55word"])
        .arg(server.file(""))
        .output()
        .unwrap();
    assert!(grep.stdout.is_empty(), "{}", String::from_utf8_lossy(&grep.stdout));
}

#[test]
fn an_account_is_removed_while_its_devices_are_connected() {
    let server = Server::start();
    let how = How::default();
    let (mut ana, mut phone) = (how.login(&server, "ana"), how.login(&server, "ana"));
    ana.send("<iq type='set' id='a'><query xmlns='jabber:iq:register'><remove/></query></iq>");
    ana.expect(&["<iq", "type=\"result\""]);
    for client in [&mut ana, &mut phone] {
        client.expect(&["not-authorized"]);
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(how.try_login(&server, "ana", &password("ana")).is_err());
    assert!(!server.run(&["user", "list"], "").out.contains("ana@"));
}

#[test]
fn the_operator_invites_and_the_token_is_good_once() {
    let server = server("invite");
    let ran = server.run(&["invite", "--for", "carl", "--from", "ana"], "");
    assert!(ran.out.contains("xmpp:carl@chat.example?register;preauth="), "{ran:?}");
    let token = ran.out.split("preauth=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(server.run(&["invite", "list"], "").out.contains("for carl"));
    let mut client = How::default().open(&server);
    let said = register(&mut client, "a", "carl", &password("carl"));
    assert!(said.contains("<not-allowed"), "{said}");
    client.send(&format!(
        "<iq type='set' id='b'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>"
    ));
    client.expect(&["<iq", "id=\"b\"", "type=\"result\""]);
    let said = register(&mut client, "c", "carl", &password("carl"));
    assert!(said.contains("type=\"result\""), "{said}");
    let mut carl = How::default().login(&server, "carl");
    carl.send("<iq type='get' id='d'><query xmlns='jabber:iq:roster'/></iq>");
    carl.expect(&["ana@chat.example", "subscription=\"both\""]);
    assert!(server.run(&["invite", "list"], "").out.contains("No invitation is open."));
}

#[test]
fn tokens_cannot_be_guessed() {
    let server = server("invite");
    let ran = server.run(&["invite"], "");
    let token = ran.out.split("preauth=").nth(1).unwrap().split_whitespace().next().unwrap();
    let show = |client: &mut Client, token: &str| {
        client.send(&format!(
            "<iq type='set' id='g'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>"
        ));
        client.expect(&["<iq", "id=\"g\""])
    };
    let how = How::default();
    // Ten an hour are looked at, over whatever connections; all wrong ones get the same answer.
    let mut answers: Vec<String> = Vec::new();
    for number in 0..10 {
        let mut client = how.open(&server);
        // No token has a nought.
        let guess = format!("{}0{number}", &token[..token.len() - 2]);
        let answer = show(&mut client, &guess);
        assert!(answer.contains("<item-not-found"), "{answer}");
        answers.push(answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    // From then on the right one is not looked at either, or guessing would go on.
    let mut client = how.open(&server);
    for guess in ["", "x", token] {
        let answer = show(&mut client, guess);
        assert!(answer.contains("<resource-constraint"), "{answer}");
    }
    let said = register(&mut client, "r", "eve", &password("eve"));
    assert!(said.contains("<not-allowed"), "{said}");
    let log = server.log();
    assert!(!log.contains(token), "{log}");
}

#[test]
fn the_operator_does_accounts_by_command() {
    let server = server("closed");
    let add = ["command", "add-user", "accountjid=carl", &format!("password={}", password("carl"))];
    assert!(server.run(&add, "").out.contains("Added: carl."));
    assert!(server.run(&add, "").err.contains("there is an account of that name"));
    let mut carl = How::default().login(&server, "carl");
    let online = server.run(&["command", "get-online-users-list"], "");
    assert!(online.out.contains("carl@chat.example"), "{online:?}");
    let own = server.run(&["command", "sessions", "--for", "carl"], "");
    assert!(own.out.contains(" since "), "{own:?}");
    let disable = ["command", "disable-user", "accountjids=carl"];
    let asked = server.run(&disable, "");
    assert!(asked.err.contains("confirm"), "{asked:?}");
    let done = server.run(&[&disable[..], &["confirm=1"]].concat(), "");
    assert!(done.out.contains("Disabled: carl."), "{done:?}");
    carl.expect(&["not-authorized"]);
    let online = server.run(&["command", "get-online-users-num"], "");
    assert!(online.out.ends_with("0\n"), "{online:?}");
}
