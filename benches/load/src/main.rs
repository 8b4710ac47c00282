//! Load for any XMPP server on loopback. One run is one scenario and prints one JSON object.
//!
//! The main figure is work for each second of the server's processor time, with all its threads and
//! children: it changes little when other programs use the machine, and rates by the wall clock do.
#![allow(
    clippy::disallowed_types,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a measuring program has a clock, prints what it found, and may end with a panic"
)]

mod conn;
mod hist;
mod http;
mod limits;
mod probe;
mod scenario;
mod scram;
mod stub;
mod target;
mod web;
mod xml;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use conn::Res;
use probe::Probe;
use scenario::{
    Setting, carbons, chat, durability, files, history, idle, login, offline, pep, room, slow,
};
use scram::Mech;
use target::{Target, Tls, Way};

const NOT_HERE: &str = "only servers on loopback are measured";

/// Load for XMPP servers on loopback; one JSON object on standard output
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Where the server listens; only loopback
    #[arg(long, global = true, default_value = "127.0.0.1:5223")]
    to: SocketAddr,
    /// The domain of the accounts
    #[arg(long, global = true, default_value = "a.test")]
    domain: String,
    /// How TLS begins
    #[arg(long, global = true, value_enum, default_value = "direct")]
    tls: Tls,
    /// PEM file with the authority that signed the server's certificate
    #[arg(long, global = true, default_value = "ca.pem")]
    ca: String,
    /// Names of accounts; {} stands for the number
    #[arg(long, global = true, default_value = "u{}")]
    users: String,
    /// Their password
    #[arg(long, global = true, default_value = "secret")]
    password: String,
    /// How to log in
    #[arg(long, global = true, value_enum, default_value = "scram-sha-1")]
    mech: Mech,
    /// Which way to a session: two steps, one, or one by a token that the first login gets
    #[arg(long, global = true, value_enum, default_value = "sasl")]
    way: Way,
    /// Turn acknowledgements on (XEP-0198)
    #[arg(long, global = true)]
    sm: bool,
    /// Ask for one after so many stanzas
    #[arg(long, global = true, default_value_t = 10)]
    sm_every: u32,
    /// Offer the post-quantum key exchange first
    #[arg(long, global = true)]
    post_quantum: bool,
    /// Processes of the server, by id or by file with the id; children count
    #[arg(long, global = true, default_value = "")]
    pids: String,
    /// From how many loopback addresses clients come
    #[arg(long, global = true, default_value_t = 20)]
    sources: u32,
    /// Threads of the clients
    #[arg(long, global = true, default_value_t = 2)]
    threads: usize,
    /// Number of the first account
    #[arg(long, global = true, default_value_t = 0)]
    first: usize,
    /// Logins at the same time
    #[arg(long, global = true, default_value_t = 50)]
    at_once: usize,
    /// Measured windows or rounds
    #[arg(long, global = true, default_value_t = 3)]
    repeat: usize,
    /// Length of a window, in seconds
    #[arg(long, global = true, default_value_t = 5.0)]
    window: f64,
    /// What passes before the first, in seconds
    #[arg(long, global = true, default_value_t = 2.0)]
    warm_up: f64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// TLS, SASL, bind, roster, presence, until the own presence comes back
    Login {
        /// How many accounts
        #[arg(long, default_value_t = 500)]
        accounts: usize,
    },
    /// Memory of sessions that do nothing
    Idle {
        /// How many accounts
        #[arg(long, default_value_t = 2000)]
        accounts: usize,
        /// Seconds until the second look
        #[arg(long, default_value_t = 60.0)]
        hold: f64,
    },
    /// Messages between pairs
    Chat {
        /// How many pairs
        #[arg(long, default_value_t = 50)]
        pairs: usize,
        /// Bytes of a body
        #[arg(long, default_value_t = 60)]
        body: usize,
        /// Messages of a pair that are under way; 1 is ping-pong
        #[arg(long, default_value_t = 1)]
        in_flight: usize,
        /// Instead: messages a second, by the clock, all together
        #[arg(long)]
        rate: Option<f64>,
        /// The second of each pair is at this server, of `--other-domain`
        #[arg(long, requires = "other_domain")]
        other_to: Option<SocketAddr>,
        /// See `--other-to`
        #[arg(long)]
        other_domain: Option<String>,
    },
    /// Messages for people who are away, and their logins
    Offline {
        /// How many send
        #[arg(long, default_value_t = 10)]
        senders: usize,
        /// To how many
        #[arg(long, default_value_t = 100)]
        recipients: usize,
        /// Messages for each of them
        #[arg(long, default_value_t = 50)]
        each: usize,
        /// Bytes of a body
        #[arg(long, default_value_t = 60)]
        body: usize,
    },
    /// Messages between pairs of people with several devices, which get copies (XEP-0280)
    Carbons {
        /// How many pairs
        #[arg(long, default_value_t = 20)]
        pairs: usize,
        /// Devices of each person
        #[arg(long, default_value_t = 3)]
        devices: usize,
        /// Bytes of a body
        #[arg(long, default_value_t = 60)]
        body: usize,
    },
    /// What an archive takes and gives, once it holds so many messages (XEP-0313)
    History {
        /// Messages that are put into the archive of one account
        #[arg(long, default_value_t = 1000)]
        messages: usize,
        /// The id of the message in the middle, when the archive was filled before
        #[arg(long)]
        middle: Option<String>,
        /// How many fill it, and then read it
        #[arg(long, default_value_t = 8)]
        clients: usize,
        /// Bytes of a body
        #[arg(long, default_value_t = 60)]
        body: usize,
    },
    /// What one account publishes, told to its contacts (XEP-0163)
    Pep {
        /// How many contacts are told
        #[arg(long, default_value_t = 100)]
        contacts: usize,
    },
    /// What one says in a room, told to all, and what it takes that all enter (XEP-0045)
    Room {
        /// How many people
        #[arg(long, default_value_t = 50)]
        occupants: usize,
        /// The room service, in front of the domain
        #[arg(long, default_value = "rooms")]
        service: String,
        /// Bytes of a body
        #[arg(long, default_value_t = 60)]
        body: usize,
        /// Let the room keep what is said, where it can
        #[arg(long)]
        history: bool,
    },
    /// Files that are put on the server, and fetched (XEP-0363); with `--tls wss`, from the port for HTTPS
    Files {
        /// Bytes of a file
        #[arg(long, default_value_t = 1 << 20)]
        bytes: u64,
        /// How many files each client sends
        #[arg(long, default_value_t = 20)]
        files: usize,
        /// How many clients, each over a connection of its own for files
        #[arg(long, default_value_t = 4)]
        clients: usize,
        /// How often each fetches what it sent
        #[arg(long, default_value_t = 4)]
        fetches: usize,
    },
    /// Acknowledged messages that a crash loses
    Durability {
        /// How many send
        #[arg(long, default_value_t = 4)]
        senders: usize,
        /// To how many
        #[arg(long, default_value_t = 50)]
        recipients: usize,
        /// Crashes
        #[arg(long, default_value_t = 10)]
        rounds: usize,
        /// A shell command that crashes the server; without it, kill -9
        #[arg(long, default_value = "")]
        kill: String,
        /// A shell command that starts it again
        #[arg(long)]
        restart: String,
        /// Messages of a sender that are not acknowledged
        #[arg(long, default_value_t = 20)]
        in_flight: u32,
    },
    /// One client stops reading while others flood it
    Slow {
        /// How many flood
        #[arg(long, default_value_t = 8)]
        senders: usize,
        /// Bytes of a body
        #[arg(long, default_value_t = 1000)]
        body: usize,
        /// How long
        #[arg(long, default_value_t = 40.0)]
        seconds: f64,
        /// Memory of the server at which it ends, in MiB
        #[arg(long, default_value_t = 3000)]
        cap_mib: u64,
    },
    /// A server that does only what no server can avoid, and takes any password (PLAIN)
    Stub(Certificate),
    /// What the machine itself can do
    Limits {
        #[command(flatten)]
        certificate: Certificate,
        /// A folder on the disk whose sync is measured
        #[arg(long, default_value = ".")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Certificate {
    /// The chain, in PEM
    #[arg(long)]
    chain: String,
    /// Its key, in PEM
    #[arg(long)]
    key: String,
}

fn main() {
    let cli = Cli::parse();
    conn::now_ns();
    match run(cli) {
        Ok(value) => println!("{value}"),
        Err(why) => {
            eprintln!("{why}");
            std::process::exit(1);
        }
    }
}

fn run(cli: Cli) -> Res<Value> {
    let Cli { common, command } = cli;
    if !common.to.ip().is_loopback() {
        return Err(NOT_HERE.to_owned());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(common.threads)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    match command {
        Command::Stub(Certificate { chain, key }) => {
            let served = stub::serve(common.to, &common.domain, &chain, &key);
            runtime.block_on(served).map(|()| Value::Null)
        }
        Command::Limits { certificate: Certificate { chain, key }, folder } => {
            limits::run(&common.ca, &chain, &key, &common.domain, &folder)
        }
        scenario => {
            let sm = common.sm;
            let mech = common.mech.name();
            let result = runtime.block_on(measure(&setting(common)?, scenario))?;
            Ok(json!({"mech": mech, "sm": sm, "result": result}))
        }
    }
}

fn setting(common: Common) -> Res<Setting> {
    let probe = Probe::new(&common.pids);
    if !probe.is_empty() && probe.pids().is_empty() {
        return Err(format!("no process lives among --pids {}", common.pids));
    }
    let config = target::client_config(&common.ca, common.post_quantum)?;
    let target = Target {
        addr: common.to,
        domain: common.domain,
        tls: common.tls,
        config,
        users: common.users,
        password: common.password,
        mech: common.mech,
        sources: common.sources,
        sm: common.sm,
        sm_every: common.sm_every,
        way: common.way,
        tokens: Arc::default(),
    };
    Ok(Setting {
        target: Arc::new(target),
        probe,
        first: common.first,
        at_once: common.at_once.max(1),
        repeat: common.repeat.max(1),
        window: Duration::from_secs_f64(common.window),
        warm_up: Duration::from_secs_f64(common.warm_up),
    })
}

async fn measure(setting: &Setting, command: Command) -> Res<Value> {
    match command {
        Command::Login { accounts } => login::run(setting, accounts).await,
        Command::Idle { accounts, hold } => {
            idle::run(setting, accounts, Duration::from_secs_f64(hold)).await
        }
        Command::Chat { pairs, body, in_flight, rate, other_to, other_domain } => {
            let other = other_to.zip(other_domain);
            let talk = chat::Talk { pairs, body, in_flight, rate };
            match other {
                Some((to, _)) if !to.ip().is_loopback() => Err(NOT_HERE.to_owned()),
                other => chat::run(setting, talk, other).await,
            }
        }
        Command::Offline { senders, recipients, each, body } => {
            offline::run(setting, offline::Load { senders, recipients, each, body }).await
        }
        Command::Carbons { pairs, devices, body } => {
            carbons::run(setting, carbons::People { pairs, devices, body }).await
        }
        Command::History { messages, middle, clients, body } => {
            history::run(setting, history::Past { messages, clients, body }, middle).await
        }
        Command::Pep { contacts } => pep::run(setting, contacts).await,
        Command::Room { occupants, service, body, history } => {
            room::run(setting, &room::Party { occupants, service, body, history }).await
        }
        Command::Files { bytes, files, clients, fetches } => {
            files::run(setting, files::Load { bytes, files, clients, fetches }).await
        }
        Command::Durability { senders, recipients, rounds, kill, restart, in_flight } => {
            let crash = durability::Crash { senders, recipients, rounds, kill, restart, in_flight };
            durability::run(setting, crash).await
        }
        Command::Slow { senders, body, seconds, cap_mib } => {
            let span = Duration::from_secs_f64(seconds);
            slow::run(setting, slow::Flood { senders, body, span, cap_mib }).await
        }
        Command::Stub(_) | Command::Limits { .. } => Ok(Value::Null),
    }
}
