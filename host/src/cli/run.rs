//! `calypte run`

use std::io::IsTerminal;
use std::path::Path;

use super::{Exit, complain, fail, no_config};
use crate::check::{self, Failure, Tolerance};
use crate::config::Draft;
use crate::modules::Depth;
use crate::{acme, actors, log, start};

/// Start the server
///
/// Checks everything first, as `calypte check` does, and starts only when all ports are bound and
/// the store is open. Runs until SIGTERM or Ctrl-C; SIGHUP is `calypte reload`. Logs go to standard
/// error.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(path: &Path, _: &Args) -> Exit {
    match try_run(path) {
        Ok(()) => Exit::Fine,
        Err(exit) => exit,
    }
}

fn try_run(path: &Path) -> Result<(), Exit> {
    let unreadable = |why| no_config(&Failure::Unreadable(why));
    // Absolute, so that a reload finds it whatever becomes of the working folder.
    let path = std::path::absolute(path).map_err(fail)?;
    let draft = Draft::open(&path).map_err(unreadable)?;
    let folder = match &draft.config {
        Some(config) => start::modules_folder(config),
        None => return Err(no_config(&Failure::Broken(draft.finish().err().ok_or(Exit::Errors)?))),
    };
    let mut checked = check::check(draft, Depth::Open(&folder), Tolerance::Optional)
        .map_err(|problems| no_config(&Failure::Broken(problems)))?;
    log::start(&checked.config.log);
    if !checked.warnings.is_empty() && std::io::stderr().is_terminal() {
        complain(checked.warnings.for_terminal());
    } else {
        for what in checked.warnings.lines() {
            tracing::warn!(what, "Something in the configuration wants a look.");
        }
    }
    if checked.served.is_none() {
        checked.served = Some(acme::first(&checked.config).map_err(fail)?);
    }
    let domain = checked.config.domain.clone();
    let listen = checked.config.listen.clone();
    let ready = Box::new(move || {
        let (c2s, c2s_tls, http) = (&listen.c2s, &listen.c2s_tls, &listen.http);
        let (https, alpn) = (&listen.https, &listen.alpn);
        tracing::info!(%domain, ?c2s, ?c2s_tls, ?http, ?https, ?alpn, "The server is ready.");
    });
    let prepared = start::prepare(checked, Some(path), ready).map_err(fail)?;
    actors::serve(prepared).map_err(fail)?;
    tracing::info!("The server has stopped.");
    Ok(())
}
