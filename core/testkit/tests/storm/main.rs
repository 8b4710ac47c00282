//! Storms: seeded runs of servers and clients that are cut off, killed and restarted at every point
//! between what an engine decides, what the disk has, and what is let go.
//!
//! What holds in each: a message of a client that counts (XEP-0198), once acknowledged, reaches a
//! device of its recipient; messages of a pair keep their order; a session that is resumed sees
//! nothing twice; nobody is answered with an error. `CALYPTE_SEEDS=5000` runs more of them,
//! `CALYPTE_SEED=17` one, and tells what happens in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and tell"
)]

mod chance;
mod client;
mod server;
mod world;

use world::{Shape, World};

/// How many seeds are always run, for each shape.
const SEEDS: u64 = 60;
/// How many things happen in a run before all come back and read what is there.
const ACTS: u32 = 1500;

fn run(seed: u64, shape: Shape) -> [u64; 3] {
    let mut world = World::new(seed, shape);
    for _ in 0..ACTS {
        world.act();
    }
    world.calm();
    world.check()
}

/// Runs the seeds of a shape; the first that fails says how it is run again.
fn storm(name: &str, shape: Shape) {
    let kills = u64::from(shape.domains == 1);
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("CALYPTE_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("CALYPTE_SEEDS").unwrap_or(SEEDS),
    };
    let mut sums = [0; 3];
    for seed in seeds.clone() {
        let outcome = std::panic::catch_unwind(|| run(seed, shape));
        assert!(
            outcome.is_ok(),
            "again with: CALYPTE_SEED={seed} cargo test -p calypte-testkit --test storm {name}"
        );
        sums =
            std::array::from_fn(|index| sums[index] + outcome.as_ref().map_or(0, |all| all[index]));
    }
    // A storm in which nothing happens proves nothing.
    let runs = seeds.end - seeds.start;
    eprintln!("{name}: {runs} runs, {sums:?} messages acknowledged, resumptions, kills");
    let [promised, resumed, crashes] = sums;
    assert!(
        runs < 20 || (promised > 10 * runs && resumed > runs && crashes >= kills * runs),
        "{sums:?}"
    );
}

#[test]
fn one_shard() {
    storm("one_shard", Shape { domains: 1, shards: 1, devices: 1, to_full: false });
}

#[test]
fn three_shards() {
    storm("three_shards", Shape { domains: 1, shards: 3, devices: 1, to_full: false });
}

#[test]
fn two_devices() {
    storm("two_devices", Shape { domains: 1, shards: 2, devices: 2, to_full: false });
}

#[test]
fn full_addresses() {
    storm("full_addresses", Shape { domains: 1, shards: 3, devices: 2, to_full: true });
}

#[test]
fn two_domains() {
    storm("two_domains", Shape { domains: 2, shards: 2, devices: 1, to_full: false });
}
