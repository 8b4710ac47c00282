//! Messages between people on two servers, beside Prosody: work for each second of the processor time
//! of both servers; and the memory that an established, idle connection takes.
//!
//! `cargo build --release -p calypte-server -p calypte-load`, then
//! `cargo bench -p calypte-tests --bench across`; needs root and Prosody, because each pair of servers
//! has a network of its own (`tests/src/lab.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a measuring program prints what it found, and may end with a panic"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use calypte_tests::{Client, Foreign, Form, Kind, Lab, Peer, Server, Setup, Which, password};

const PAIRS: usize = 50;
const ROUNDS: usize = 3;
const LINKS: u32 = 400;
const DOMAINS: [&str; 2] = ["one.example", "two.example"];

fn main() {
    // `cargo test --all-targets` runs this, too, and it takes minutes.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    if let Some(why) = Lab::obstacle().or_else(|| Which::Prosody.obstacle()) {
        return eprintln!("nothing is measured: {why}");
    }
    println!("| | Calypte | Prosody |\n|---|---|---|");
    for (name, args) in [
        ("ping-pong: messages", "chat --pairs 50 --repeat 1"),
        ("16 in flight: messages", "chat --pairs 50 --in-flight 16 --repeat 1"),
    ] {
        let mut found = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            found[0].push(measure(ours, args));
            found[1].push(measure(theirs, args));
        }
        println!("| {name} | {} | {} |", words(&mut found[0]), words(&mut found[1]));
    }
    let (ours, theirs) = (idle(ours), idle(theirs));
    println!("| idle connection: KiB | {ours:.1} | {theirs:.1} |");
}

/// What keeps two servers running, and their processes.
type Running = (Box<dyn std::any::Any>, Vec<u32>);

fn at(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, number).into()
}

fn names() -> Vec<String> {
    (0..PAIRS).map(|number| format!("u{number}")).collect()
}

fn ours(lab: &Lab) -> Running {
    let start = |domain: &str, number| -> Server {
        let server = Setup::within(lab, domain, at(number))
            .set("limits.logging_in", "10000")
            .set("limits.peers", "10000")
            .set("limits.peers_per_address", "10000")
            .set("limits.traffic", "\"1 GiB\"")
            .set("limits.burst", "\"1 GiB\"")
            .set("login.plain", "true")
            // As Prosody is configured here: no history, no copies, no block lists.
            .set("modules.disable", "[\"archive\", \"carbons\", \"blocklist\"]")
            .set("log.level", "\"info\"");
        let mut server = server.prepare();
        let lines: String =
            names().iter().map(|name| format!("{name} {}\n", password("bench"))).collect();
        assert_eq!(server.run(&["user", "import", "-"], &lines).code, 0);
        server.launch();
        server
    };
    let both = [start(DOMAINS[0], 1), start(DOMAINS[1], 2)];
    let pids = both.iter().map(Server::pid).collect();
    (Box::new(both), pids)
}

fn theirs(lab: &Lab) -> Running {
    let start = |domain: &str, number| {
        Foreign::new(Which::Prosody, lab, domain, at(number)).measured(names()).start()
    };
    let both = [start(DOMAINS[0], 1), start(DOMAINS[1], 2)];
    let pids = both.iter().map(Foreign::pid).collect();
    (Box::new(both), pids)
}

/// Runs a measurement in a lab of its own and returns what it found.
fn within(found: impl FnOnce(&Lab) -> f64 + Send + 'static) -> f64 {
    let (tell, told) = std::sync::mpsc::channel();
    Lab::run(move |lab| tell.send(found(lab)).unwrap());
    told.recv().unwrap()
}

fn measure(start: fn(&Lab) -> Running, args: &'static str) -> f64 {
    within(move |lab| {
        let (running, pids) = start(lab);
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        let load = program("calypte-load");
        let output = Command::new(load)
            .args(args.split(' '))
            .args(["--domain", DOMAINS[0], "--to", "127.0.1.1:5223", "--mech", "plain"])
            .args(["--other-domain", DOMAINS[1], "--other-to", "127.0.1.2:5223"])
            .args(["--password", &password("bench"), "--pids", &pids.join(",")])
            .arg("--ca")
            .arg(lab.ca())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        drop(running);
        let text = String::from_utf8(output.stdout).unwrap();
        let from = text.find("\"per_cpu_s\":{").expect("the load says what it found");
        let rest = &text[from..];
        let from = rest.find("\"median\":").unwrap() + "\"median\":".len();
        rest[from..].split([',', '}']).next().unwrap().parse().unwrap()
    })
}

fn program(name: &str) -> PathBuf {
    let program = Form::Bundled.program().with_file_name(name);
    assert!(
        program.exists(),
        "{} is not there: cargo build --release -p {name}",
        program.display()
    );
    program
}

/// Connects many servers that prove themselves and say nothing, and returns what each takes, in KiB.
fn idle(start: fn(&Lab) -> Running) -> f64 {
    within(move |lab| {
        let (running, pids) = start(lab);
        let connect = |number: u32| -> Client {
            let domain = format!("k{number}.example");
            let shown = lab.authority().issue(Kind::ServerOnly, &domain);
            let peer = Peer::new(lab, &domain, DOMAINS[0], at(1)).shows(&shown);
            let (mut client, _) = peer.open();
            peer.prove(&mut client, None).unwrap();
            client
        };
        // The first ones pay for what all need.
        let first: Vec<_> = (0..50).map(connect).collect();
        let before = memory_kib(pids[0]);
        let rest: Vec<_> = (50..50 + LINKS).map(connect).collect();
        std::thread::sleep(std::time::Duration::from_secs(2));
        let more = memory_kib(pids[0]) - before;
        drop((first, rest, running));
        more / f64::from(LINKS)
    })
}

fn memory_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn words(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{:.0} ({least:.0}–{most:.0})", values[values.len() / 2])
}
