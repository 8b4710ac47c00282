//! `calypte user`

use std::path::Path;

use store::Store;

use super::password::{self, Source};
use super::{Exit, fail, no_config, say, user_import};
use crate::accounts;
use crate::admin::{self, AdminReply, AdminRequest};
use crate::check;
use crate::config::Config;
use crate::{operate, start};

/// Make and change accounts, with the server running or stopped
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an account
    ///
    /// Asks for the password twice; without a terminal it reads one line of standard input.
    Add {
        /// The name before the @
        name: String,
        #[command(flatten)]
        password: Source,
    },

    /// Make many accounts, from a file
    ///
    /// Nothing is made when a line is wrong. Accounts that exist already are left as they are and
    /// named at the end.
    Import(user_import::Args),

    /// Change a password; devices that are connected stay
    Passwd {
        /// The name before the @
        name: String,
        #[command(flatten)]
        password: Source,
    },

    /// Show all accounts
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },

    /// Refuse logins and end the sessions; nothing is removed
    Disable {
        /// The name before the @
        name: String,
    },

    /// Allow logins again
    Enable {
        /// The name before the @
        name: String,
    },

    /// Remove an account and everything that is kept for it
    Delete {
        /// The name before the @
        name: String,

        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) fn run(path: &Path, command: &Command) -> Exit {
    let config = match check::glance(path) {
        Ok(config) => config,
        Err(failure) => return no_config(&failure),
    };
    match try_run(&config, command) {
        Ok(()) => Exit::Fine,
        Err(why) => fail(why),
    }
}

fn try_run(config: &Config, command: &Command) -> Result<(), String> {
    if let Command::Import(args) = command {
        return user_import::run(config, args);
    }
    let account = |name: &str| {
        accounts::address(name, &config.domain)
            .map(|jid| jid.to_string())
            .map_err(|error| error.to_string())
    };
    let mut shown = None;
    let mut record = |account: &str, source: &Source| {
        let (password, is_new) = source.read(account)?;
        let record = accounts::record(password::text(&password), config.login.iterations);
        let record = record.map_err(|error| error.to_string())?;
        shown = is_new.then_some(password);
        Ok::<_, String>(operate::encode(&record))
    };
    let mut is_json = false;
    let request = match command {
        Command::Add { name, password } => {
            let account = account(name)?;
            AdminRequest::UserAdd { record: record(&account, password)?, account }
        }
        Command::Passwd { name, password } => {
            let account = account(name)?;
            AdminRequest::UserPasswd { record: record(&account, password)?, account }
        }
        // Done above.
        Command::Import(_) => return Ok(()),
        Command::List { json } => {
            is_json = *json;
            AdminRequest::UserList
        }
        Command::Disable { name } => AdminRequest::UserDisable { account: account(name)? },
        Command::Enable { name } => AdminRequest::UserEnable { account: account(name)? },
        Command::Delete { name, yes } => {
            let account = account(name)?;
            if !yes {
                confirm(&account)?;
            }
            AdminRequest::UserDelete { account }
        }
    };
    let (text, data) = carry_out(config, request)?;
    say(if is_json { data.to_string() } else { text });
    if let Some(password) = shown {
        say(format_args!("password: {}", password::text(&password)));
    }
    Ok(())
}

/// Asks the running server, or opens the store when none runs.
pub(super) fn carry_out(
    config: &Config,
    request: AdminRequest,
) -> Result<(String, serde_json::Value), String> {
    let reply = match admin::ask(&config.admin_socket(), &request, &mut |_, _| {})? {
        Some(reply) => reply,
        None if !Store::is_at(&config.store()) && !makes_accounts(&request) => {
            operate::nobody(request, &config.domain).map_err(|error| error.to_string())?
        }
        None => {
            let store = start::open_store(config)?;
            operate::users(request, &config.domain, &store, &|_, _| true, &|| false)
                .map_err(|error| error.to_string())?
        }
    };
    match reply {
        AdminReply::Done { text, data } => Ok((text, data)),
        AdminReply::Failed { why } => Err(why),
        AdminReply::Progress { .. } => Err("the server gave no answer".to_owned()),
    }
}

/// Tells whether a request is one that a new store is made for. What only looks makes none: run by
/// root, it would leave a folder that the server may not use.
const fn makes_accounts(request: &AdminRequest) -> bool {
    matches!(request, AdminRequest::UserAdd { .. } | AdminRequest::UserImport { .. })
}

fn confirm(account: &str) -> Result<(), String> {
    use std::io::{IsTerminal, Write, stderr, stdin};

    if !stdin().is_terminal() {
        return Err(format!("{account} would be removed with everything kept for it; add --yes"));
    }
    drop(write!(stderr(), "Remove {account} and everything kept for it? Type the address: "));
    let mut line = String::new();
    let read = stdin().read_line(&mut line).map_err(|error| error.to_string())?;
    if read != 0 && line.trim() == account {
        Ok(())
    } else {
        Err("not the same address; nothing was removed".to_owned())
    }
}
