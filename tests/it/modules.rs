//! Modules from files: a host that bundles none, and files that are refused.

use calypte_tests::{Client, DOMAIN, Form, How, MODULES, Server, Setup, attr, library, load};

const DISCO: &str = "http://jabber.org/protocol/disco#info";

fn chat(to: &str, body: &str) -> String {
    format!("<message to='{to}' type='chat'><body>{body}</body></message>")
}

/// What two people do on their first day: contacts, presence, chat, absence, a killed server.
fn people_meet(server: &mut Server) {
    let mut ana = Client::login(server, "ana");
    let mut ben = How::default().direct().tls12().login(server, "ben");
    for client in [&mut ana, &mut ben] {
        client.enable();
        client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
        client.expect(&["<iq", "roster", "result"]);
        client.send("<presence/>");
        client.ping();
    }
    for (asks, answers, name) in [(0, 1, "ben"), (1, 0, "ana")] {
        let both = [&mut ana, &mut ben];
        both[asks].send(&format!("<presence type='subscribe' to='{name}@chat.example'/>"));
        let asked = both[answers].expect(&["<presence", "type=\"subscribe\""]);
        let from = attr(&asked, "from").unwrap();
        both[answers].send(&format!("<presence type='subscribed' to='{from}'/>"));
        both[asks].expect(&["<presence", "type=\"subscribed\""]);
    }
    ben.send("<presence><status>here</status></presence>");
    ana.expect(&["<presence", "here", "from=\"ben@"]);
    ana.send(&chat("ben@chat.example", "hello"));
    ben.expect(&["hello"]);
    ben.send(&chat("ana@chat.example", "hello-too"));
    ana.expect(&["hello-too"]);
    ben.close();
    ana.expect(&["<presence", "unavailable", "from=\"ben@"]);
    ana.send(&chat("ben@chat.example", "while-away"));
    ana.acknowledged();
    server.kill();
    let memory = ana.cut();
    server.launch();
    let mut ana = How::default().resume(server, &memory).unwrap();
    let mut ben = Client::login(server, "ben");
    ben.send("<presence/>");
    let kept = ben.expect(&["while-away"]);
    assert!(kept.contains("<delay"), "{kept}");
    ana.expect(&["<presence", "from=\"ben@"]);
    ben.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    let roster = ben.expect(&["<iq", "roster", "result"]);
    assert!(roster.contains("ana@chat.example") && roster.contains("both"), "{roster}");
    ben.send(&format!("<iq type='get' id='d' to='{DOMAIN}'><query xmlns='{DISCO}'/></iq>"));
    let features = ben.expect(&["<iq", DISCO]);
    assert!(features.contains("urn:xmpp:ping"), "{features}");
}

/// Returns the modules that a server has, in the order in which they run.
fn names(server: &Server) -> Vec<String> {
    let list = server.run(&["module", "list", "--json"], "").out;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let name = |module: &serde_json::Value| module["name"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_slim_host_loads_every_module_of_the_standard_program() {
    assert_eq!(names(&Setup::new().form(Form::Bundled).prepare()), MODULES);

    let mut server = Setup::new().form(Form::Slim).start();
    assert_eq!(names(&server), MODULES);
    people_meet(&mut server);
    let setup_error = "[modules.offline]\npage = 0\n";
    refused(&mut server, setup_error, &["page must be a number from 1 to 500"]);
}

#[test]
fn a_bundled_host_does_the_same() {
    people_meet(&mut Setup::new().form(Form::Bundled).start());
}

/// Reloads with `toml` at the end of the configuration: it is refused, and nobody is disturbed.
#[track_caller]
fn refused(server: &mut Server, toml: &str, sentence: &[&str]) {
    let mut ana = Client::login(server, "ana");
    let before = server.log().len();
    let toml = toml.to_owned();
    server.change(|setup| setup.only(&toml));
    let ran = server.reload();
    assert_eq!(ran.code, 2, "{ran:?}");
    // The same is said by the command, and in the log in one line.
    for part in sentence {
        assert!(ran.err.contains(part), "{part:?} is not in {}", ran.err);
    }
    let log = server.log();
    let failed = "The reload failed; the server goes on as before.";
    let told: Vec<_> = log[before..].lines().filter(|line| line.contains(failed)).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    ana.ping();
    Client::login(server, "ben").ping();
    server.change(|setup| setup.only(""));
    let ran = server.reload();
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Changes bytes of a library where `marker` stands, once.
fn changed(bytes: &[u8], marker: &[u8], by: &[u8]) -> Vec<u8> {
    let at = bytes.windows(marker.len()).position(|part| part == marker).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + by.len()].copy_from_slice(by);
    bytes
}

/// Changes bytes of a library wherever `marker` stands.
fn all_changed(bytes: &[u8], marker: &[u8], by: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(marker.len()).position(|part| part == marker) {
        bytes[at..at + by.len()].copy_from_slice(by);
    }
    bytes
}

#[test]
fn files_that_cannot_be_used_are_refused_with_a_sentence() {
    let mut server = Server::start();
    let good = std::fs::read(library("hello")).unwrap();
    let file = server.file("libcalypte_hello.so");
    let write = |bytes: &[u8]| std::fs::write(&file, bytes).unwrap();

    write(&good);
    let whole = load(&file);
    server.change(|setup| setup.only(&whole));
    let ran = server.reload();
    assert_eq!(ran.code, 0, "the good one: {ran:?}");
    let list = server.run(&["module", "list"], "");
    assert!(list.out.contains("hello"), "{list:?}");
    server.change(|setup| setup.only(""));
    assert_eq!(server.reload().code, 0);

    write(&changed(&good, b"calypte-manifest 1\n", b"calypte-manifest 9\n"));
    refused(&mut server, &whole, &["hash"]);
    let bad_manifest = load(&file);
    refused(&mut server, &bad_manifest, &["libcalypte_hello.so", "manifest"]);
    for count in [good.len() / 2, 64, 10] {
        write(&good[..count]);
        refused(&mut server, &load(&file), &["libcalypte_hello.so"]);
    }
    write(b"#!/bin/sh\necho no library\n");
    refused(&mut server, &load(&file), &["libcalypte_hello.so"]);
    write(b"");
    refused(&mut server, &load(&file), &["libcalypte_hello.so"]);
    write(&changed(&good, b"calypte_module_v1_", b"calypte_nothing_x_"));
    refused(&mut server, &load(&file), &["libcalypte_hello.so"]);

    // Behind the magic number stands the version of the boundary. The magic may stand in code too.
    let magic = b"calypte\x01\x01\0";
    assert!(good.windows(magic.len()).any(|part| part == magic), "the table is not where it was");
    write(&all_changed(&good, magic, b"calypte\x01\x63\0"));
    refused(&mut server, &load(&file), &["libcalypte_hello.so", "99"]);

    write(&good);
    let start = whole.find("grant").unwrap();
    refused(&mut server, &whole[..start], &["right"]);
    let settings = format!("{whole}\n[modules.offline]\npage = 0\n");
    refused(&mut server, &settings, &["page must be a number from 1 to 500"]);
    std::fs::remove_file(&file).unwrap();
    refused(&mut server, &whole, &["libcalypte_hello.so"]);
}
