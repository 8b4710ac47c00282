//! `calypte peer`

use std::path::Path;

use super::{Exit, ask, say};
use crate::admin::AdminRequest;

/// See the connections with other servers, and decide about them
///
/// All of it needs the running server. What is allowed or blocked here holds at once, also over
/// restarts, and comes before `[federation]` in the configuration.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the domains that we talk with or want to, what waits for them, and what went wrong
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Follow an attempt to reach a domain, stage by stage
    ///
    /// Connects anew, beside what is connected already, and sends no message. Exits with 2 when the
    /// attempt fails.
    Trace {
        /// The domain
        domain: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Try now what waits for a domain, instead of after the pause
    Retry {
        /// The domain
        domain: String,
    },
    /// Never talk with a domain and those below it; its streams are ended
    Block {
        /// The domain
        domain: String,
    },
    /// Talk with a domain and those below it, whatever the configuration says
    Allow {
        /// The domain
        domain: String,
    },
    /// Take back `block` or `allow`: the configuration decides again
    Forget {
        /// The domain
        domain: String,
    },
}

pub(super) fn run(path: &Path, command: &Command) -> Exit {
    let rule = |domain: &String, allow| AdminRequest::PeerRule { domain: domain.clone(), allow };
    let (request, json) = match command {
        Command::List { json } => (AdminRequest::PeerList, *json),
        Command::Trace { domain, json } => {
            (AdminRequest::PeerTrace { domain: domain.clone() }, *json)
        }
        Command::Retry { domain } => (AdminRequest::PeerRetry { domain: domain.clone() }, false),
        Command::Block { domain } => (rule(domain, Some(false)), false),
        Command::Allow { domain } => (rule(domain, Some(true)), false),
        Command::Forget { domain } => (rule(domain, None), false),
    };
    match ask(path, &request) {
        Ok((text, data)) => {
            let is_fine = data.get("fine").and_then(serde_json::Value::as_bool) != Some(false);
            say(if json { data.to_string() } else { text });
            if is_fine { Exit::Fine } else { Exit::Errors }
        }
        Err(exit) => exit,
    }
}
