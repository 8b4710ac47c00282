//! `calypte backup`, `calypte verify`, `calypte restore`

use std::path::{Path, PathBuf};

use crypto::Secret;
use engine::{Engine, Limits, Setup};
use store::{Options, Store};

use super::{Exit, fail, no_config, progress, say};
use crate::admin::{self, AdminReply, AdminRequest};
use crate::config::{Config, Draft};
use crate::modules::{Depth, Modules};
use crate::{check, clock, files, start};

/// Write a backup of everything the server keeps, with the server running or stopped
///
/// The backup is one file and one moment of the store. Only its owner may read it: it holds messages
/// and what passwords are checked against. Look at it with `calypte verify`.
///
/// Files that people sent each other are not in it. Copy the folder `files` in the folder of data after
/// the backup, and keep `secret.key`, which opens them, at another place.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// Where to write it; must not exist yet
    to: PathBuf,
}

/// Check that a backup, or the store of a stopped server, is whole
///
/// Reads every record. Of a store it also asks the modules of the configuration whether what they keep
/// of each account agrees: the history and its index, for example.
/// And it opens every file that people sent: one that is missing or was changed is named, with the
/// account.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// The backup; the store of the configuration without it
    backup: Option<PathBuf>,
}

/// Fill the store of a new server from a backup
///
/// Refuses to touch a store that is there already. Files that people sent, and `secret.key`, are to be
/// copied into the folder of data before the server starts.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup
    from: PathBuf,
}

pub(super) fn backup(path: &Path, args: &BackupArgs) -> Exit {
    with_config(path, |config| {
        let to = std::path::absolute(&args.to).map_err(|error| error.to_string())?;
        let request = AdminRequest::Backup { to: to.clone() };
        match admin::ask(&config.admin_socket(), &request, &mut progress("backup"))? {
            Some(AdminReply::Done { text, .. }) => Ok(text),
            Some(AdminReply::Failed { why }) => Err(why),
            Some(AdminReply::Progress { .. }) => Err("the server gave no answer".to_owned()),
            None if !Store::is_at(&config.store()) => {
                Err(format!("there is no store at {} yet", config.store().display()))
            }
            None => {
                let store = start::open_store(config)?;
                let summary = store.backup(&to, &mut progress("backup"));
                let summary = summary.map_err(|error| error.to_string())?;
                let files = files::beside_backup(&config.data);
                Ok(format!("{} holds {} records{files}", to.display(), summary.records))
            }
        }
    })
}

pub(super) fn verify(path: &Path, args: &VerifyArgs) -> Exit {
    let look = |what: &Path| {
        let report =
            store::verify(what, &mut progress("verify")).map_err(|error| error.to_string())?;
        Ok(format!("{} is whole: {} records", what.display(), report.records))
    };
    match &args.backup {
        Some(backup) => tell(look(backup)),
        None => with_config(path, |config| {
            let whole = look(&config.store())?;
            agree(path, config)?;
            Ok(format!("{whole}{}", check_files(config)?))
        }),
    }
}

/// Looks whether all files are there and whole, and says how many that are, if there are any.
fn check_files(config: &Config) -> Result<String, String> {
    let options = Options { ballast_bytes: 0, ..Options::default() };
    let store = Store::open(&config.store(), options).map_err(|error| error.to_string())?;
    let found = files::check(&config.data, &*store.reader(), &mut progress("files"))?;
    match (found.files, found.wrong.is_empty()) {
        (_, false) => Err(format!("files are not as they were:\n  {}", found.wrong.join("\n  "))),
        (0, true) => Ok(String::new()),
        (files, true) => Ok(format!(", {files} files of {} bytes", found.bytes)),
    }
}

/// Asks the modules whether what they keep agrees.
fn agree(path: &Path, config: &Config) -> Result<(), String> {
    let mut draft = Draft::open(path)?;
    let folder = start::modules_folder(config);
    let depth = Depth::Open(&folder);
    let modules = Modules::choose(config, depth, &mut draft.notes);
    let options = Options { ballast_bytes: 0, ..Options::default() };
    let store = Store::open(&config.store(), options).map_err(|error| error.to_string())?;
    let now_ms = clock::now_ms();
    let setup = Setup {
        domain: config.domain.clone(),
        shard: 0,
        shards: 1,
        limits: Limits::default(),
        software: (String::new(), String::new()),
        started_ms: now_ms,
        admins: Vec::new(),
        components: Vec::new(),
        web_url: None,
        // What comes of these is written nowhere.
        seed: [0; 32],
        secret: Secret::new(vec![0; 32]),
    };
    let found = Engine::verify(setup, modules.pipeline()?, &*store.reader(), now_ms);
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("what modules keep does not agree:\n  {}", found.join("\n  ")))
}

pub(super) fn restore(path: &Path, args: &RestoreArgs) -> Exit {
    with_config(path, |config| {
        start::make_folder(&config.data)?;
        let into = config.store();
        let done = store::restore(&args.from, &into, &mut progress("restore"));
        let done = done.map_err(|error| error.to_string())?;
        Ok(format!("{} holds {} records now", into.display(), done.records))
    })
}

fn with_config(path: &Path, f: impl FnOnce(&Config) -> Result<String, String>) -> Exit {
    match check::glance(path) {
        Ok(config) => tell(f(&config)),
        Err(failure) => no_config(&failure),
    }
}

fn tell(outcome: Result<String, String>) -> Exit {
    match outcome {
        Ok(text) => {
            say(text);
            Exit::Fine
        }
        Err(why) => fail(why),
    }
}
