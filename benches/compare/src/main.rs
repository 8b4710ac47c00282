//! Calypte and Debian's Prosody (or ejabberd) under the same load, one after the other, on loopback.
//!
//! The figures are work for each second of the server's processor time, unless they say another unit.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measuring program has a clock, waits, and prints what it found"
)]

mod scenario;
mod servers;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use serde_json::Value;

use scenario::{FULL, Figure, HISTORIES, QUICK, Scenario};
use servers::{Servers, Which};

/// Accounts that the scenarios need.
const ACCOUNTS: usize = 2000;

/// Compare Calypte with Debian's Prosody, in rooms and files also with ejabberd; prints a table
///
/// Needs `prosody` and `ejabberd` (apt-get install prosody ejabberd) and release builds of
/// calypte-server and calypte-load beside this program.
#[derive(Debug, Parser)]
struct Cli {
    /// A minute instead of ten; fails when we are not as much better as we have to be
    #[arg(long)]
    quick: bool,
    /// Long histories instead; takes its time, and some GiB of memory for Prosody
    #[arg(long, conflicts_with = "quick")]
    histories: bool,
    /// Rounds, each with both servers
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The first port to use
    #[arg(long, default_value_t = 17_300)]
    port: u16,
    /// Only scenarios whose arguments begin so
    #[arg(long, default_value = "")]
    only: String,
}

/// What was found for one figure: pairs of ours and theirs.
struct Found {
    figure: Figure,
    pairs: Vec<(f64, f64)>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn beside(name: &str) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = program.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is missing", path.display())) }
}

fn run(cli: &Cli) -> Result<bool, String> {
    let load = beside("calypte-load")?;
    let accounts = if cli.quick { 200 } else { ACCOUNTS };
    let servers = Servers::new(&beside("calypte")?, cli.port, accounts)?;
    let scenarios = match (cli.quick, cli.histories) {
        (true, _) => QUICK,
        (_, true) => HISTORIES,
        _ => FULL,
    };
    println!(
        "| | Calypte | the other | times better | gate | stretch |\n|---|---|---|---|---|---|"
    );
    let mut is_good = true;
    for scenario in scenarios.iter().filter(|scenario| scenario.args.starts_with(&cli.only)) {
        let rounds = if scenario.is_steady { 1 } else { cli.rounds.max(1) };
        let mut all: Vec<_> = scenario
            .figures
            .iter()
            .map(|figure| Found { figure: *figure, pairs: Vec::new() })
            .collect();
        for _ in 0..rounds {
            let ours = measure(&servers, Which::Calypte, &load, scenario)?;
            let theirs = measure(&servers, scenario.beside, &load, scenario)?;
            for found in &mut all {
                let read = |answer: &Value| {
                    let number = answer.pointer(found.figure.path).and_then(Value::as_f64);
                    number.ok_or_else(|| format!("no {} in {answer}", found.figure.path))
                };
                found.pairs.push((read(&ours)?, read(&theirs)?));
            }
        }
        for found in &all {
            is_good &= found.show();
        }
    }
    Ok(is_good)
}

fn measure(
    servers: &Servers,
    which: Which,
    load: &PathBuf,
    scenario: &Scenario,
) -> Result<Value, String> {
    if let (Which::Prosody, Some((account, messages))) = (which, scenario.past) {
        servers.prosody_past(account, messages)?;
    }
    let server = servers.start(which, scenario.with)?;
    let mut command = Command::new(load);
    let instead = scenario.instead.filter(|_| which != Which::Calypte);
    let args = instead.unwrap_or(scenario.args);
    command.args(args.split(' ')).args(["--domain", servers::DOMAIN]).arg("--ca");
    command.arg(servers.ca()).args(["--to", &server.to.to_string()]);
    command.args(["--pids", &server.pid().to_string()]).stderr(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    drop(server);
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{which:?}: `{args}` ended with {}", output.status))
}

/// Returns the smallest, the median and the largest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let last = values.len().saturating_sub(1);
    (at(0), f64::midpoint(at(last / 2), at(values.len() / 2)), at(last))
}

fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn words((least, median, most): (f64, f64, f64)) -> String {
    if least >= most {
        return number(median);
    }
    format!("{} ({}–{})", number(median), number(least), number(most))
}

impl Found {
    /// Prints the line of the table. Returns false when we are below our floor.
    fn show(&self) -> bool {
        let Figure { name, is_cost, goals, floor, .. } = self.figure;
        let ours = spread(self.pairs.iter().map(|(ours, _)| *ours));
        let theirs = spread(self.pairs.iter().map(|(_, theirs)| *theirs));
        let better =
            spread(self.pairs.iter().map(
                |(ours, theirs)| {
                    if is_cost { theirs / ours } else { ours / theirs }
                },
            ));
        let (gate, stretch) = goals.map_or_else(Default::default, |(gate, stretch)| {
            let is_there = if is_cost { ours.1 <= gate } else { ours.1 >= gate };
            let mark = if is_there { "reached" } else { "**not**" };
            (format!("{} {mark}", number(gate)), number(stretch))
        });
        let (ours, theirs) = (words(ours), words(theirs));
        println!("| {name} | {ours} | {theirs} | {} | {gate} | {stretch} |", words(better));
        // Written so that a figure that is no number is below it too.
        let is_good = floor.is_none_or(|floor| better.1 >= floor);
        if let (Some(floor), false) = (floor, is_good) {
            eprintln!("{name}: not {floor} times as good as Prosody");
        }
        is_good
    }
}
