//! `calypte reload`

use std::path::Path;

use super::{Exit, complain, fail, no_config, say};
use crate::admin::{self, AdminReply, AdminRequest};
use crate::check;

/// Put a changed configuration, renewed certificates or new modules into force
///
/// Nobody is disconnected. Waits for the verdict: prints what is in force now and what needs a
/// restart. When something is wrong the server goes on as before, and this exits with 2.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(path: &Path, _: &Args) -> Exit {
    let config = match check::glance(path) {
        Ok(config) => config,
        Err(failure) => return no_config(&failure),
    };
    match admin::ask(&config.admin_socket(), &AdminRequest::Reload, &mut |_, _| {}) {
        Ok(Some(AdminReply::Done { text, .. })) => {
            say(text);
            Exit::Fine
        }
        Ok(Some(AdminReply::Failed { why })) => {
            complain(why);
            Exit::Errors
        }
        Ok(_) => {
            complain(format_args!(
                "error: no server runs for {}; `calypte run` starts it",
                config.domain
            ));
            Exit::Unknown
        }
        Err(why) => fail(why),
    }
}
