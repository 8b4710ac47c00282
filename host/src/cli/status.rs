//! `calypte status`

use std::path::Path;

use super::{Exit, complain, fail, no_config, say};
use crate::admin::{self, AdminReply, AdminRequest};
use crate::check;

/// Show how the server is
///
/// Exits with 0 when clients can log in, 2 when they cannot, and 3 when no server runs or it cannot be
/// asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Exit {
    let config = match check::glance(path) {
        Ok(config) => config,
        Err(failure) => {
            no_config(&failure);
            return Exit::Unknown;
        }
    };
    match admin::ask(&config.admin_socket(), &AdminRequest::Status, &mut |_, _| {}) {
        Ok(Some(AdminReply::Done { text, data })) => {
            say(if args.json { data.to_string() } else { text });
            let is_ready = data.get("ready").and_then(serde_json::Value::as_bool) == Some(true);
            if is_ready { Exit::Fine } else { Exit::Errors }
        }
        Ok(Some(AdminReply::Failed { why })) => fail(why),
        Ok(_) => {
            complain(format_args!("no server runs for {}; `calypte run` starts it", config.domain));
            Exit::Unknown
        }
        Err(why) => {
            complain(format_args!("error: {why}"));
            Exit::Unknown
        }
    }
}
