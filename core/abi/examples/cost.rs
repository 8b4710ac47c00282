//! What a call costs: `cargo build --release -p calypte-abi --examples`, then run `cost`.
#![allow(
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement needs a clock and says what it found"
)]

use std::hint::black_box;
use std::time::Instant;

use abi::{Allowed, Call, Host, Instance, Library};

#[path = "probe.rs"]
mod probe;

struct Quiet;

impl Host for Quiet {
    fn op(&mut self, _: u32, a: &[u8], _: &[u8], out: &mut Vec<u8>) -> u32 {
        out.extend_from_slice(a);
        0
    }

    fn log(&mut self, _: u32, _: &str) {}
}

const ROUNDS: u32 = 5_000_000;

/// Returns the best of some runs, in nanoseconds a round.
fn best(mut f: impl FnMut()) -> f64 {
    let runs = (0..7).map(|_| {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            f();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    });
    runs.fold(f64::MAX, f64::min)
}

fn measure(what: &str, instance: &Instance) {
    let stanza = [b'x'; 419];
    let words = [0; 64];
    let parts: [&[u8]; 10] = [&stanza, b"a@b", b"c@d/e", b"id", b"chat", b"", b"", b"b", b"c", b""];
    for (name, hook, parts) in [
        ("no parts", 0, &parts[..0]),
        ("10 parts", 0, &parts),
        ("10 parts, 1 operation", 1, &parts),
    ] {
        let call = Call { hook, now_ms: 1, parts, words: &words };
        let ns = best(|| {
            let _status = black_box(instance.call(black_box(&call), &mut Quiet));
        });
        println!("{what}, {name}: {ns:.1} ns");
    }
}

fn main() {
    measure("bundled", &Instance::bundled(&probe::MODULE, "{}").unwrap());
    let file = std::env::current_exe().unwrap().with_file_name("libprobe.so");
    let folder = std::env::temp_dir().join(format!("calypte-cost-{}", std::process::id()));
    let hash = |bytes: &[u8]| blake3::hash(bytes).into();
    let start = Instant::now();
    let manifest = Library::check(&file).unwrap();
    println!("check: {:?} for {:?}", start.elapsed(), manifest.get("name"));
    let allowed = Allowed { hash, expected: None, folder: &folder };
    let start = Instant::now();
    let loaded = Library::open(&file, &allowed).unwrap();
    println!("open: {:?}", start.elapsed());
    measure("loaded", &loaded.instance("{}").unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}
