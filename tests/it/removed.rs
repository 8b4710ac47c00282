//! Accounts that are removed, and a server that is killed meanwhile: it goes on until nothing is left.

use std::time::Duration;

use calypte_tests::{Chance, Client, Server, Setup, wait};

/// Contacts of the account that is removed.
const CONTACTS: u32 = 2500;

/// Returns how many rows the stopped server keeps.
fn rows(server: &Server, to: &str) -> String {
    let ran = server.run(&["backup", to], "");
    assert_eq!(ran.code, 0, "{ran:?}");
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
    assert!(server.stop().success());
    let before = rows(&server, "before");
    let mut chance = Chance::new();
    for round in 0..3 {
        server.launch();
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
        wait("nothing is left", || {
            assert!(server.stop().success());
            let copy = format!("after{round}");
            let now = rows(&server, &copy);
            std::fs::remove_file(server.file(&copy)).unwrap();
            server.launch();
            now == before
        });
        assert!(server.stop().success());
    }
    assert!(!server.log().contains("carol@"), "the log tells who it was");
}
