//! A server that serves: chat, lost connections, a lost server, signals, reloads.

use std::time::Duration;

use calypte_tests::{Client, Heard, How, PATIENCE, Server, Setup, wait};
use nix::sys::signal::Signal;

fn chat(to: &str, body: &str) -> String {
    format!("<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>")
}

#[test]
fn two_people_chat_on_two_devices_each() {
    let server = Server::start();
    let on = |resource: &str, name: &str| How::default().resource(resource).login(&server, name);
    let mut ana = [on("phone", "ana"), on("laptop", "ana")];
    let mut ben = [on("phone", "ben"), on("laptop", "ben")];
    for (index, resource) in ["phone", "laptop"].into_iter().enumerate() {
        ana[index].send(&chat(&format!("ben@chat.example/{resource}"), &format!("to-{resource}")));
        let got = ben[index].expect(&["<message", &format!("to-{resource}")]);
        let from = format!("ana@chat.example/{resource}");
        assert!(got.contains(&from), "{got}");
        ben[index].send(&chat(&from, &format!("back-{resource}")));
        ana[index].expect(&["<message", &format!("back-{resource}")]);
    }
    for client in ana.iter_mut().chain(&mut ben) {
        client.ping();
        let rest = client.drain(Duration::from_millis(50));
        assert!(rest.iter().all(|xml| !xml.contains("<body")), "{rest:?}");
    }
}

#[test]
fn a_cut_connection_loses_nothing() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    ana.enable();
    let mut ben = Client::login(&server, "ben");
    ben.enable();
    let to_ben = ben.jid().to_owned();
    ana.send(&chat(&to_ben, "before"));
    ben.expect(&["before"]);
    let memory = ben.cut();
    for number in 0..20 {
        ana.send(&chat(&to_ben, &format!("while-away-{number}")));
    }
    assert_eq!(ana.acknowledged(), 21);
    let mut ben = How::default().resume(&server, &memory).unwrap();
    for number in 0..20 {
        assert!(ben.element().contains(&format!(">while-away-{number}<")));
    }
    ana.send(&chat(&to_ben, "after"));
    assert!(ben.element().contains("after"));
    ben.send(&chat(ana.jid(), "answer"));
    assert_eq!(ben.acknowledged(), 1);
    ana.expect(&["answer"]);
}

#[test]
fn a_killed_server_loses_nothing() {
    let mut server = Server::start();
    let mut ana = How::default().sasl2().login(&server, "ana");
    let mut ben = How::default().sasl2().login(&server, "ben");
    let to_ben = ben.jid().to_owned();
    ana.send(&chat(&to_ben, "seen"));
    ben.expect(&["seen"]);
    ben.answer_requests(false);
    let memory = ben.cut();
    for number in 0..5 {
        ana.send(&chat(&to_ben, &format!("kept-{number}")));
    }
    assert_eq!(ana.acknowledged(), 6);
    server.kill();
    let memory_of_ana = ana.cut();
    server.launch();
    let mut ben = How::default().resume(&server, &memory).unwrap();
    for number in 0..5 {
        assert!(ben.element().contains(&format!(">kept-{number}<")));
    }
    let mut ana = How::default().resume(&server, &memory_of_ana).unwrap();
    assert_eq!(ana.told(), 6);
    ana.send(&chat(&to_ben, "more"));
    assert!(ben.element().contains("more"));
}

#[test]
fn sigterm_says_goodbye_and_sessions_come_back() {
    let mut server = Server::start();
    let mut ana = Client::login(&server, "ana");
    ana.enable();
    let mut ben = Client::login(&server, "ben");
    ben.enable();
    let to_ben = ben.jid().to_owned();
    let memory = ben.cut();
    ana.send(&chat(&to_ben, "last-words"));
    server.signal(Signal::SIGTERM);
    let error = ana.ended().unwrap_or_default();
    assert!(error.contains("<system-shutdown"), "{error}");
    assert!(server.ended().success());
    server.launch();
    let mut ben = How::default().resume(&server, &memory).unwrap();
    assert!(ben.element().contains("last-words"));
}

#[test]
fn stopping_takes_bounded_time() {
    let names: Vec<_> = (0..50).map(|number| format!("user{number}")).collect();
    let server = Setup::new().set("server.goodbye", "\"3 seconds\"");
    let server = names.iter().fold(server, |server, name| server.account(name));
    let mut server = server.start();
    let clients = names.iter().flat_map(|name| std::iter::repeat_n(name, 20));
    let mut clients: Vec<_> = clients.map(|name| Client::login(&server, name)).collect();
    assert_eq!(server.metric("calypte_sessions"), 1000.0);
    // Nobody reads, nobody answers: all it can do is to wait as long as it is told to.
    let start = std::time::Instant::now();
    assert!(server.stop().success());
    let took = start.elapsed();
    // A busy machine takes its time as well, but not for each client.
    assert!(took < Duration::from_secs(30), "{took:?}");
    for client in clients.iter_mut().step_by(100) {
        assert!(client.ended().unwrap_or_default().contains("<system-shutdown"));
    }
}

#[test]
fn a_reload_keeps_sessions_and_swaps_certificates() {
    let mut server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let first = ana.certificate();
    for by_signal in [false, true] {
        server.renew_certificate();
        server.change(|setup| setup.set("limits.stanza", "\"20 KiB\""));
        if by_signal {
            let before = server.metric("calypte_reloads_total");
            server.signal(Signal::SIGHUP);
            wait("the reload", || server.metric("calypte_reloads_total") > before);
        } else {
            let ran = server.reload();
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(ran.out.contains("limits.stanza"), "{ran:?}");
        }
        ana.ping();
        let mut ben = How::default().direct().login(&server, "ben");
        assert_ne!(ben.certificate(), first);
        ben.ping();
        // The session from before the reload chats with the one from after it.
        ana.send(&chat(ben.jid(), "hello"));
        ben.expect(&["hello"]);
    }
}

#[test]
fn a_broken_configuration_leaves_the_old_one_serving() {
    let mut server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let good = std::fs::read_to_string(server.file("calypte.toml")).unwrap();
    let pem = std::fs::read_to_string(server.file("cert.pem")).unwrap();
    for (config, certificate, why) in [
        (format!("{good}\n[limit]\n"), pem.clone(), "limit"),
        (good.replace("domain", "domian"), pem.clone(), "domian"),
        (good[..good.len() / 2].to_owned(), pem.clone(), ""),
        (good.clone(), pem[..pem.len() / 2].to_owned(), "cert.pem"),
        (String::new(), pem.clone(), "domain"),
    ] {
        std::fs::write(server.file("calypte.toml"), &config).unwrap();
        std::fs::write(server.file("cert.pem"), &certificate).unwrap();
        let before = server.log().len();
        server.signal(Signal::SIGHUP);
        let failed = "The reload failed; the server goes on as before.";
        wait("the answer to SIGHUP", || server.log()[before..].contains(failed));
        let log = server.log();
        let mut told = log[before..].lines().filter(|line| line.contains(failed));
        assert!(told.any(|line| line.contains(why)), "{why}: {log}");
        ana.ping();
        Client::login(&server, "ben").close();
    }
    std::fs::write(server.file("cert.pem"), pem).unwrap();
    server.change(|setup| setup);
    assert_eq!(server.reload().code, 0);
}

#[test]
fn a_store_has_one_server() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let ran = server.run(&["run"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    let errors: Vec<_> = ran.err.lines().filter(|line| line.starts_with("error")).collect();
    assert!(errors.len() == 1 && errors[0].contains("another calypte"), "{ran:?}");
    ana.ping();
}

#[test]
fn a_shard_that_panics_takes_nobody_else_along() {
    let names: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
    let mut setup = Setup::new().env("CALYPTE_FAULT", "panic-now");
    for name in &names {
        setup = setup.account(name);
    }
    let server = setup.start();
    let mut clients: Vec<_> = names.iter().map(|name| Client::login(&server, name)).collect();
    for client in &mut clients {
        client.enable();
    }
    clients[0].send(&chat("nobody@chat.example", "panic-now"));
    let error = clients[0].ended().unwrap_or_default();
    assert!(error.contains("<internal-server-error"), "{error}");
    let mut unharmed = 0;
    for (name, mut client) in names.iter().zip(clients) {
        client.try_send(b"<r xmlns='urn:xmpp:sm:3'/>").unwrap_or_default();
        match client.hear(PATIENCE) {
            Some(Heard::Element(xml)) if xml.starts_with("<a ") => unharmed += 1,
            _ => {
                // It was in the shard that fell; its session is on disk.
                let memory = client.cut();
                let mut again = How::default().resume(&server, &memory).unwrap();
                assert_eq!(again.memory().name, *name);
                again.ping();
            }
        }
    }
    assert!(unharmed > 0, "both shards fell");
    assert!(server.metric("calypte_actor_restarts_total") >= 1.0);
    Client::login(&server, "ana").ping();
}
