//! Accounts that are removed, and a server that is killed meanwhile: it goes on until nothing is left.

use std::time::{Duration, Instant};

use calypte_tests::{Chance, Client, PATIENCE, Server, Setup, wait};

/// Contacts of the account that is removed.
const CONTACTS: u32 = 2500;

/// Returns how much the server keeps.
fn rows(server: &Server) -> String {
    let ran = server.run(&["backup", "copy"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    std::fs::remove_file(server.file("copy")).unwrap();
    ran.out.split("holds ").nth(1).unwrap().trim().to_owned()
}

fn list(server: &Server) -> String {
    server.run(&["user", "list"], "").out
}

/// Makes an account that keeps much.
fn fill(server: &Server) {
    server.add("carol");
    let mut carol = Client::login(server, "carol");
    for number in 0..CONTACTS {
        carol.send(&format!(
            "<iq type='set' id='a{number}'><query xmlns='jabber:iq:roster'>\
             <item jid='c{number}@chat.example'/></query></iq>"
        ));
        if number % 100 == 99 {
            carol.expect(&["<iq", &format!(r#"id="a{number}""#)]);
        }
    }
    carol.close();
}

#[test]
fn the_removal_of_an_account_outlives_a_kill() {
    let setup = Setup::new().raw("[modules.roster]\ncontacts = 10000\n");
    let mut server = setup.start();
    // What the server notes for itself when somebody is there and goes, and when it was killed, is there
    // from now on.
    fill(&server);
    let ran = server.run(&["user", "delete", "carol", "--yes"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    server.kill();
    server.launch();
    let before = rows(&server);
    let mut chance = Chance::new();
    for _ in 0..3 {
        fill(&server);
        std::thread::scope(|scope| {
            let server = &server;
            scope.spawn(|| server.run(&["user", "delete", "carol", "--yes"], ""));
            std::thread::sleep(Duration::from_millis(chance.up_to(150)));
            server.signal(nix::sys::signal::Signal::SIGKILL);
        });
        server.kill();
        server.launch();
        if list(&server).contains("carol@") && !list(&server).contains("disabled") {
            // It was killed before anything began.
            let ran = server.run(&["user", "delete", "carol", "--yes"], "");
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        wait("she is gone", || !list(&server).contains("carol@"));
        let mut now = String::new();
        let until = Instant::now() + PATIENCE;
        while now != before {
            assert!(Instant::now() < until, "{now} and not {before}; seed {}", chance.seed());
            now = rows(&server);
        }
    }
    assert!(!server.log().contains("carol@"), "the log tells who it was");
}
