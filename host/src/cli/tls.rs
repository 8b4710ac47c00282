//! `calypte tls`

use std::path::Path;

use super::{Exit, fail, run_command};

/// See what is known of other domains' TLS, and decide about alarms
///
/// These are the commands of the module `required_tls`; they need the running server. A domain that
/// was seen with a policy or a valid certificate is never talked to with less; what asks for less is
/// an alarm, and what is sent to the domain waits until you decide.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the domains that are remembered, alarms first
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Show all that is remembered of a domain: keys, policy, sources, what raised an alarm
    Show {
        /// The domain
        domain: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// End an alarm: the domain has this key now, as its operator told you by another way
    Accept {
        /// The domain
        domain: String,
        /// Its domain key, as `calypte tls own` prints it over there
        #[arg(long, value_name = "KEY")]
        dk: Option<String>,
    },
    /// Forget a domain: the next contact is the first
    Forget {
        /// The domain
        domain: String,
    },
    /// Show our own domain key and policy, to be told to others
    Own {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Change to the next domain key, which others know already
    Rotate {
        /// Even when others may not have seen the next key yet
        #[arg(long)]
        force: bool,
    },
    /// Print our domain keys, to be kept where the server is not
    Backup,
    /// Take domain keys that were kept, from standard input
    Restore,
    /// Take our policy back, before the server moves to other software
    Retire {
        /// Put it in force again
        #[arg(long)]
        undo: bool,
    },
    /// Show what went well and wrong since yesterday, by reason
    Report {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(path: &Path, command: &Command) -> Exit {
    let domain = |domain: &String| format!("domain={domain}");
    let json = || "format=json".to_owned();
    let (node, mut fields, is_json) = match command {
        Command::List { json } => ("tls-list", Vec::new(), *json),
        Command::Show { domain: name, json } => ("tls-show", vec![domain(name)], *json),
        Command::Accept { domain: name, dk } => {
            let dk = dk.iter().map(|dk| format!("dk={dk}"));
            ("tls-accept", [domain(name)].into_iter().chain(dk).collect(), false)
        }
        Command::Forget { domain: name } => ("tls-forget", vec![domain(name)], false),
        Command::Own { json } => ("tls-own", Vec::new(), *json),
        Command::Rotate { force } => {
            let force = force.then(|| "force=yes".to_owned());
            ("tls-rotate", force.into_iter().collect(), false)
        }
        Command::Backup => ("tls-backup", Vec::new(), false),
        Command::Restore => {
            let mut line = String::new();
            // Not an argument: others on this machine see those.
            if let Err(error) = std::io::stdin().read_line(&mut line) {
                return fail(error);
            }
            let keys = line.trim().trim_start_matches("keys:").trim();
            ("tls-restore", vec![format!("keys={keys}")], false)
        }
        Command::Retire { undo } => {
            let undo = undo.then(|| "undo=yes".to_owned());
            ("tls-retire", undo.into_iter().collect(), false)
        }
        Command::Report { json } => ("tls-report", Vec::new(), *json),
    };
    if is_json {
        fields.push(json());
    }
    run_command(path, node, fields)
}
