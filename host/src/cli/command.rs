//! `calypte command`

use std::path::Path;

use super::{Exit, complain, fail, no_config, say};
use crate::admin::{self, AdminReply, AdminRequest};
use crate::check;

/// Run a command of a module in the running server, or list the commands
///
/// Users run the same commands from their clients (ad-hoc commands), and so do the accounts under
/// `admins` in the configuration. Exits with 3 when no server runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command; none lists them all
    node: Option<String>,

    /// What it needs to know, each as name=value
    fields: Vec<String>,

    /// The account that a user's command is run for
    #[arg(long = "for", value_name = "NAME")]
    account: Option<String>,

    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Exit {
    let config = match check::glance(path) {
        Ok(config) => config,
        Err(failure) => return no_config(&failure),
    };
    let request = match &args.node {
        None => AdminRequest::CommandList,
        Some(node) => AdminRequest::Command {
            node: node.clone(),
            account: args.account.clone(),
            fields: args.fields.clone(),
        },
    };
    match admin::ask(&config.admin_socket(), &request, &mut |_, _| {}) {
        Ok(Some(AdminReply::Done { text, data })) => {
            let data = if data.is_null() { serde_json::Value::String(text.clone()) } else { data };
            say(if args.json { data.to_string() } else { text });
            Exit::Fine
        }
        Ok(Some(AdminReply::Failed { why })) => fail(why),
        Ok(_) => {
            complain(format_args!("no server runs for {}; `calypte run` starts it", config.domain));
            Exit::Unknown
        }
        Err(why) => fail(why),
    }
}
