//! Storms: seeded runs of servers and clients that are cut off, killed and restarted at every point
//! between what an engine decides, what the disk has, and what is let go; and of connections between
//! servers, with the real streams at both ends, that are slow, lost, and overtaken by their successors.
//!
//! What holds in each: a message of a client that counts (XEP-0198), once acknowledged, reaches a
//! device of its recipient; messages of a pair keep their order; a session that is resumed sees
//! nothing twice; nobody is answered with an error. Between domains a message may be given up instead:
//! then its sender hears that, once, and only when a connection was lost with the message on it may
//! both be true, or may it be read again; `check.rs` has it exactly. `CALYPTE_SEEDS=5000` runs more of
//! them, `CALYPTE_SEED=17` one, and tells what happens in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and tell"
)]

mod chance;
mod check;
mod client;
mod server;
mod ways;
mod wire;
mod world;

use std::panic::catch_unwind;

use check::Sums;
use world::{Flaw, Shape, World};

/// How many seeds are always run, for each shape.
const SEEDS: u64 = 60;
/// The same for more than one domain.
const SEEDS_BETWEEN: u64 = 70;
/// How many things happen in a run before all come back and read what is there.
const ACTS: u32 = 1500;
/// A flaw is noticed within so many seeds.
const SEEDS_WITH_FLAW: u64 = 200;

fn run(seed: u64, shape: Shape) -> Sums {
    let mut world = World::new(seed, shape);
    for _ in 0..ACTS {
        world.act();
    }
    world.calm();
    world.check()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap())
}

/// Runs the seeds of a shape; the first that fails says how it is run again.
fn storm(name: &str, shape: Shape) {
    let is_between = shape.domains > 1;
    let seeds = match number("CALYPTE_SEED") {
        Some(one) => one..one + 1,
        None => {
            let always = if is_between { SEEDS_BETWEEN } else { SEEDS };
            0..number("CALYPTE_SEEDS").unwrap_or(always)
        }
    };
    let mut sums = Sums::default();
    for seed in seeds.clone() {
        let Ok(more) = catch_unwind(|| run(seed, shape)) else {
            panic!(
                "again with: CALYPTE_SEED={seed} cargo test -p calypte-testkit --test storm {name}"
            );
        };
        sums.add(more);
    }
    // A storm in which nothing happens proves nothing.
    let runs = seeds.end - seeds.start;
    eprintln!("{name}: {runs} runs, {sums:?}");
    let between = [sums.cuts, sums.errors, sums.repeated];
    let is_wild = sums.promised > 10 * runs && sums.resumed > runs && sums.kills > runs;
    let is_wild_between = !is_between || between.iter().all(|sum| *sum > runs / 2);
    assert!(runs < 20 || (is_wild && is_wild_between), "{sums:?}");
}

#[test]
fn one_shard() {
    storm("one_shard", Shape::one(1));
}

#[test]
fn three_shards() {
    storm("three_shards", Shape::one(3));
}

#[test]
fn two_devices() {
    storm("two_devices", Shape { devices: 2, ..Shape::one(2) });
}

#[test]
fn full_addresses() {
    storm("full_addresses", Shape { devices: 2, to_full: true, ..Shape::one(3) });
}

#[test]
fn two_domains() {
    storm("two_domains", Shape::one(2).domains(2));
}

#[test]
fn three_domains() {
    storm("three_domains", Shape::one(1).domains(3));
}

#[test]
fn full_queues() {
    storm("full_queues", Shape { leaving_bytes: 2500, ..Shape::one(2).domains(2) });
}

/// Runs seeds with a flaw until one of them fails.
fn notices(flaw: Flaw) {
    let shape = Shape { flaw, ..Shape::one(3).domains(2) };
    let noticed = (0..SEEDS_WITH_FLAW).find(|seed| catch_unwind(|| run(*seed, shape)).is_err());
    assert!(noticed.is_some(), "{flaw:?}");
    eprintln!("{flaw:?} is noticed with seed {noticed:?}");
}

#[test]
fn a_forgotten_row_is_noticed() {
    notices(Flaw::NoRow);
}

#[test]
fn an_early_acknowledgement_is_noticed() {
    notices(Flaw::AcksEarly);
}

#[test]
fn a_count_with_gaps_is_noticed() {
    notices(Flaw::CountsGaps);
}

#[test]
fn a_wrong_order_is_noticed() {
    notices(Flaw::ResendsLast);
}
