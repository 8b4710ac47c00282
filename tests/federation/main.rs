//! Federation with real programs: see README.md here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic"
)]

use calypte_tests::{Lab, Which};
use libtest_mimic::{Arguments, Trial};

mod attacks;
mod bridges;
mod foreign;
mod hardship;
mod impostors;
mod matrix;
mod operators;
mod others;
mod ours;
mod rooms;
mod story;
mod trees;

/// A test, and the programs of others that it needs.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    needs: &'static [Which],
    play: fn(&Lab),
}

fn main() {
    let is_asked = ["CALYPTE_INTEROP", "CI"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| value == "1" || value == "true"));
    let cases = [
        foreign::CASES,
        ours::CASES,
        hardship::CASES,
        operators::CASES,
        others::CASES,
        matrix::CASES,
        impostors::CASES,
        attacks::CASES,
        bridges::CASES,
        trees::CASES,
        rooms::CASES,
    ]
    .concat();
    let trials = cases.into_iter().map(|case| {
        let missing = || case.needs.iter().find_map(|which| which.obstacle());
        let obstacle = Lab::obstacle().or_else(missing);
        let is_ignored = !is_asked && (obstacle.is_some() || !case.needs.is_empty());
        let kind = match (is_ignored, &obstacle) {
            (true, Some(why)) => why.clone(),
            (true, None) => "needs CALYPTE_INTEROP=1".to_owned(),
            (false, _) => String::new(),
        };
        let trial = Trial::test(case.name, move || match obstacle {
            Some(why) => Err(why.into()),
            None => {
                Lab::run(case.play);
                Ok(())
            }
        });
        trial.with_kind(kind).with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
