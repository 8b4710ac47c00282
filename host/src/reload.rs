//! Putting a changed configuration into force without dropping a session.

use std::sync::{Arc, Mutex, PoisonError};

use crate::check::{self, Failure, Tolerance};
use crate::log;
use crate::modules::Depth;
use crate::server::Shared;
use crate::tls::{Files, Served};

/// Two reloads at once would not know what they replace.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Reads configuration, certificates and modules again and puts them into force together, or
/// nothing at all. Returns what changed, for the operator.
///
/// # Errors
///
/// What is wrong; the server goes on as before.
pub(crate) fn reload(shared: &Shared) -> Result<String, String> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = try_reload(shared);
    match &outcome {
        Ok(told) => {
            shared.metrics.reloads.one();
            let told = told.replace('\n', "; ");
            tracing::info!(told, "The configuration was reloaded.");
        }
        Err(failure) => {
            let lines = match failure {
                Failure::Unreadable(why) => vec![why.clone()],
                Failure::Broken(problems) => problems.errors(),
            };
            for why in lines {
                tracing::error!(why, "The reload failed; the server goes on as before.");
            }
        }
    }
    outcome.map_err(|failure| match failure {
        Failure::Unreadable(why) => why,
        Failure::Broken(problems) => {
            format!("{problems}\nnothing was changed; the server goes on as before")
        }
    })
}

/// Serves the certificate of `files` to new connections, when it is another one and `judge` accepts
/// it. Returns what is served now, and nothing when it is the one in force.
///
/// # Errors
///
/// Why it is not served; the server goes on as before.
pub(crate) fn certificate(
    shared: &Shared,
    files: &Files,
    judge: impl FnOnce(&Served) -> Result<(), String>,
) -> Result<Option<Arc<Served>>, String> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let served = Served::open(files)?;
    if served.certified.cert == shared.tls.current().certified.cert {
        return Ok(None);
    }
    judge(&served)?;
    shared.tls.replace(served);
    Ok(Some(shared.tls.current()))
}

fn try_reload(shared: &Shared) -> Result<String, Failure> {
    let Some(path) = &shared.config_path else {
        let why = "a server of `calypte dev` has no configuration to reload";
        return Err(Failure::Unreadable(why.to_owned()));
    };
    let old = shared.config.load_full();
    let folder = crate::start::modules_folder(&old);
    let checked = check::open(path, Depth::Open(&folder), Tolerance::None)?;
    let changes = old.changes(&checked.config);
    // What needs a restart stays as it is, so that the parts of the server agree.
    let mut new = checked.config;
    new.domain = old.domain.clone();
    new.data = old.data.clone();
    new.listen = old.listen.clone();
    new.acme = old.acme.clone();
    new.components = old.components.clone();
    new.server.shards = old.server.shards;
    let level = new.log.level;

    let before = (shared.config.load_full(), shared.modules.load_full());
    let certificate_before = shared.tls.current();
    shared.config.store(Arc::new(new));
    shared.modules.store(Arc::new(checked.modules));
    if let Some(served) = checked.served {
        shared.tls.replace(served);
    }
    if let Some(Err(why)) = shared.running().map(|running| running.reconfigure()) {
        shared.config.store(before.0);
        shared.modules.store(before.1);
        shared.tls.restore(certificate_before);
        return Err(Failure::Unreadable(why));
    }
    log::set_level(level);
    let days = shared.tls.current().days_left();
    Ok(tell(&changes, days))
}

fn tell(changes: &[(String, bool)], days: i64) -> String {
    let names = |live: bool| {
        let list: Vec<&str> =
            changes.iter().filter(|(_, now)| *now == live).map(|(name, _)| name.as_str()).collect();
        list.join(", ")
    };
    let mut told = match names(true).as_str() {
        "" => "reloaded; nothing changed in the configuration".to_owned(),
        now => format!("reloaded; in force now: {now}"),
    };
    match names(false).as_str() {
        "" => {}
        later => told.push_str(&format!("\nafter a restart: {later}")),
    }
    told.push_str(&format!("\nthe certificate is valid for {days} days"));
    told
}
