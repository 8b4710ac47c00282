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
/// The backup is one file and one moment of the store, and a folder beside it, `TO.files`, with the files
/// that people sent each other, as far as that moment names them. Only its owner may read both: the first
/// holds messages and what passwords are checked against, the second is sealed. Look at both with
/// `calypte verify`.
///
/// `secret.key` in the folder of data is not in it: it opens the files, and belongs to another place.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// Where to write it; must not exist yet
    to: PathBuf,
    #[command(flatten)]
    files: FilesArgs,
}

/// Where files that people sent are in a backup
#[derive(Debug, clap::Args)]
struct FilesArgs {
    /// The folder with files that people sent, in place of the one beside the backup. Several backups can
    /// share one: only new files are copied, and none is deleted
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
    /// Leave files out that people sent
    #[arg(long, conflicts_with = "files")]
    without_files: bool,
}

impl FilesArgs {
    /// Returns the folder for a backup, if files are wanted.
    fn folder(&self, backup: &Path) -> Option<PathBuf> {
        let folder = || self.files.clone().unwrap_or_else(|| files::beside(backup));
        (!self.without_files).then(folder)
    }
}

/// Check that a backup, or the store of a stopped server, is whole
///
/// Reads every record. Of a backup it also looks whether each file that it names is there, as long as it
/// was. Of a store it asks the modules of the configuration whether what they keep
/// of each account agrees: the history and its index, for example.
/// And it opens every file that people sent: one that is missing or was changed is named, with the
/// account.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// The backup; the store of the configuration without it
    backup: Option<PathBuf>,
    #[command(flatten)]
    files: FilesArgs,
}

/// Fill the store of a new server from a backup
///
/// Refuses to touch a store that is there already, and to leave out files that the backup names. Copy
/// `secret.key` of the old server into the folder of data before the new one starts: without it, nobody
/// can open the files.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup
    from: PathBuf,
    #[command(flatten)]
    files: FilesArgs,
    /// Restore also when files are missing, without those
    #[arg(long)]
    incomplete: bool,
}

pub(super) fn backup(path: &Path, args: &BackupArgs) -> Exit {
    with_config(path, |config| {
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| error.to_string());
        let to = absolute(&args.to)?;
        let into = args.files.folder(&to).map(|folder| absolute(&folder)).transpose()?;
        let request = AdminRequest::Backup { to: to.clone(), files: into.clone() };
        match admin::ask(&config.admin_socket(), &request, &mut progress("backup"))? {
            Some(AdminReply::Done { text, .. }) => Ok(text),
            Some(AdminReply::Failed { why }) => Err(why),
            Some(AdminReply::Progress { .. }) => Err("the server gave no answer".to_owned()),
            None if !Store::is_at(&config.store()) => {
                Err(format!("there is no store at {} yet", config.store().display()))
            }
            None => {
                let store = start::open_store(config)?;
                let (data, into) = (&config.data, into.as_deref());
                files::back_up((&store, None), data, &to, into, &mut progress("backup"))
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
        Some(backup) => tell(look(backup).and_then(|whole| {
            let folder = args.files.folder(backup);
            Ok(whole + &folder.map_or(Ok(String::new()), |folder| look_for(backup, &folder))?)
        })),
        None => with_config(path, |config| {
            let whole = look(&config.store())?;
            agree(path, config)?;
            Ok(format!("{whole}{}", check_files(config)?))
        }),
    }
}

/// Looks whether all files are there that a backup names, and says how many, if there are any.
fn look_for(backup: &Path, folder: &Path) -> Result<String, String> {
    let found = files::look(backup, folder)?;
    match (found.files, found.missing) {
        (0, 0) => Ok(String::new()),
        (files, 0) => Ok(format!(", {files} files of {} bytes", found.bytes)),
        _ => Err(format!("of {} {}", folder.display(), found.wrong())),
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
        let RestoreArgs { from, files, incomplete } = args;
        let into = config.store();
        let mut text = String::new();
        // One that is there is refused below, before anything is touched.
        if let Some(folder) = files.folder(from).filter(|_| !Store::is_at(&into)) {
            let found = files::look(from, &folder)?;
            if found.missing > 0 && !incomplete {
                let wrong = found.wrong();
                return Err(format!("{wrong}\nsay --incomplete to go on without"));
            }
            start::make_folder(&config.data)?;
            let found = files::restore(from, &folder, &config.data, &mut progress("files"))?;
            if found.files > 0 {
                text = format!(", and {} files are there", found.files);
            }
            if found.missing > 0 {
                text.push_str(&format!("\n{}", found.wrong()));
            }
        }
        start::make_folder(&config.data)?;
        let done = store::restore(from, &into, &mut progress("restore"));
        let done = done.map_err(|error| error.to_string())?;
        Ok(format!("{} holds {} records now{text}", into.display(), done.records))
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
