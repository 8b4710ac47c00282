//! What the operator's commands do, in the running server.

use std::sync::mpsc;
use std::time::Duration;

use calypte::wire::Question;
use calypte::{Command, Who};
use serde_json::json;
use table::Record as _;
use xmpp::Jid;

use crate::accounts::{self, AccountError, Accounts, News};
use crate::admin::{AdminReply, AdminRequest};
use crate::clock;
use crate::federation::rules::PeerRule;
use crate::files;
use crate::reload;
use crate::server::{Asking, Shared};

mod peers;

/// How long a module may take for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Does what is asked. `progress` is told how far it is.
pub(crate) fn answer(
    request: AdminRequest,
    shared: &Shared,
    progress: &mut dyn FnMut(u64, u64),
) -> AdminReply {
    let outcome = match request {
        AdminRequest::Status => Ok(status(shared)),
        AdminRequest::Reload => reload::reload(shared).map(AdminReply::done),
        AdminRequest::CommandList => Ok(commands(shared)),
        AdminRequest::Command { node, account, fields } => {
            command(shared, &node, account.as_deref(), &fields)
        }
        AdminRequest::PeerList => peers::list(shared),
        AdminRequest::PeerRule { domain, allow } => {
            let rule = allow.map(|allow| if allow { PeerRule::Allow } else { PeerRule::Block });
            peers::set_rule(shared, &domain, rule)
        }
        AdminRequest::PeerRetry { domain } => peers::retry(shared, &domain),
        AdminRequest::PeerTrace { domain } => peers::trace(shared, &domain),
        AdminRequest::Backup { to, files } => backup(shared, &to, files.as_deref(), progress),
        user => {
            let domain = shared.config.load().domain.clone();
            let told = |account: &Jid, news| {
                shared.running().is_some_and(|running| running.account_changed(account, news))
            };
            let is_over = || shared.is_stopping();
            users(user, &domain, &shared.store, &told, &is_over).map_err(|error| error.to_string())
        }
    };
    outcome.unwrap_or_else(|why| AdminReply::Failed { why })
}

/// Does what is asked about accounts, with the server running or stopped. `tell` is called when
/// sessions of an account have to know, and says whether that was dealt with.
pub(crate) fn users(
    request: AdminRequest,
    domain: &Jid,
    store: &store::Store,
    tell: &dyn Fn(&Jid, News) -> bool,
    is_over: &dyn Fn() -> bool,
) -> Result<AdminReply, AccountError> {
    let accounts = Accounts::new(domain, store);
    let address = |account: &str| accounts::address(account, domain);
    let text = match request {
        AdminRequest::UserList => return Ok(list(&accounts.list()?)),
        AdminRequest::UserAdd { account, record } => {
            let account = address(&account)?;
            accounts.add(&account, &decode(&record)?)?;
            tell(&account, News::Changed);
            format!("{account} can log in now")
        }
        AdminRequest::UserImport { accounts: list } => {
            let mut wanted = Vec::with_capacity(list.len());
            for (account, record) in list {
                wanted.push((address(&account)?, decode(&record)?));
            }
            let known = accounts.add_all(&wanted)?;
            let known: Vec<_> = known.iter().map(Jid::as_str).collect();
            let text = format!("{} can log in now", wanted.len().saturating_sub(known.len()));
            return Ok(AdminReply::Done { text, data: json!(known) });
        }
        AdminRequest::UserPasswd { account, record } => {
            let account = address(&account)?;
            accounts.set_password(&account, &decode(&record)?)?;
            tell(&account, News::Changed);
            format!("{account} has a new password")
        }
        AdminRequest::UserDisable { account } => {
            let account = address(&account)?;
            accounts.set_disabled(&account, true)?;
            tell(&account, News::Gone);
            format!("{account} cannot log in until `calypte user enable`")
        }
        AdminRequest::UserEnable { account } => {
            let account = address(&account)?;
            accounts.set_disabled(&account, false)?;
            tell(&account, News::Changed);
            format!("{account} can log in again")
        }
        AdminRequest::UserDelete { account } => {
            let account = address(&account)?;
            accounts.delete(&account, &|news| tell(&account, news), &mut || {}, is_over)?;
            format!("{account} and everything kept for it are removed")
        }
        _ => "nothing to do".to_owned(),
    };
    Ok(AdminReply::done(text))
}

/// Answers what is asked about accounts where there is no store yet.
pub(crate) fn nobody(request: AdminRequest, domain: &Jid) -> Result<AdminReply, AccountError> {
    match request {
        AdminRequest::UserPasswd { account, .. }
        | AdminRequest::UserDisable { account }
        | AdminRequest::UserEnable { account }
        | AdminRequest::UserDelete { account } => {
            let account = accounts::address(&account, domain)?;
            Err(AccountError::Unknown(account.to_string()))
        }
        _ => Ok(list(&[])),
    }
}

fn list(list: &[accounts::Listed]) -> AdminReply {
    let width = list.iter().map(|one| one.address.chars().count()).max().unwrap_or(0);
    let line = |one: &accounts::Listed| {
        let since = clock::date(i64::try_from(one.created_ms / 1000).unwrap_or(0));
        let state = if one.disabled { "  disabled" } else { "" };
        format!("{:width$}  since {since}{state}", one.address)
    };
    let text = match list.len() {
        0 => "no accounts yet; `calypte user add NAME` makes one".to_owned(),
        _ => list.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    AdminReply::Done { text, data: json!(list) }
}

/// Returns a record as text for the socket.
pub(crate) fn encode(record: &calypte::tables::Account) -> String {
    crate::hex::write(&record.encode())
}

fn decode(text: &str) -> Result<calypte::tables::Account, AccountError> {
    let broken = || AccountError::Broken("the command and the server differ in version".to_owned());
    let bytes = crate::hex::read_all(text).ok_or_else(broken)?;
    calypte::tables::Account::decode(calypte::tables::Account::VERSION, &bytes)
        .map_err(|_| broken())
}

fn status(shared: &Shared) -> AdminReply {
    let (metrics, config) = (&shared.metrics, shared.config.load());
    let health = shared.store.health();
    let (served, trouble) = (shared.tls.current(), shared.acme.trouble());
    let modules = shared.modules.load();
    let up = shared.started.elapsed().as_secs();
    let names: Vec<&str> = modules.list.iter().map(|one| one.manifest.name.as_str()).collect();
    let refused: Vec<&str> = modules.refused.iter().map(|one| one.what.as_str()).collect();
    let data = json!({
        "domain": config.domain.as_str(),
        "version": env!("CARGO_PKG_VERSION"),
        "up_seconds": up,
        "ready": shared.is_ready(),
        "connections": metrics.connections.get(),
        "sessions": metrics.sessions.get(),
        "detached": metrics.detached.get(),
        "store_writable": health.writable,
        "store_free_bytes": health.free_bytes,
        "store_broken": health.broken,
        "certificate_days": served.days_left(),
        "certificate_trouble": trouble,
        "modules": names,
        "refused": refused,
    });
    let mut text = format!(
        "{} is {}, up {} (calypte {})\n",
        config.domain,
        if shared.is_ready() { "serving" } else { "not serving" },
        crate::text::duration(up),
        env!("CARGO_PKG_VERSION"),
    );
    text.push_str(&format!(
        "clients      {} connected, {} sessions, {} of them waiting to come back\n",
        metrics.connections.get(),
        metrics.sessions.get(),
        metrics.detached.get(),
    ));
    let peers = shared.running().map(|running| running.peers()).unwrap_or_default();
    text.push_str(&format!("servers      {}\n", peers::summary(&peers)));
    let store = if health.writable { "writable" } else { "NOT WRITABLE" };
    let free = crate::text::bytes(health.free_bytes);
    text.push_str(&format!("store        {store}, {free} free\n"));
    for (table, count) in &health.broken {
        text.push_str(&format!("BROKEN       {count} records of table {table}\n"));
    }
    text.push_str(&format!("certificate  valid for {} days\n", served.days_left()));
    if let Some(why) = &trouble {
        text.push_str(&format!("NOT RENEWED  {why}\n"));
    }
    text.push_str(&format!("modules      {}", names.join(", ")));
    for why in refused {
        text.push_str(&format!("\nREFUSED      {why}"));
    }
    AdminReply::Done { text, data }
}

fn commands(shared: &Shared) -> AdminReply {
    let all = shared.modules.load().commands();
    let width = all.iter().map(|one| one.node.chars().count()).max().unwrap_or(0);
    let who = |who| match who {
        Who::User => "user",
        Who::Admin => "operator",
    };
    let line = |one: &Command| format!("{:width$}  {:8}  {}", one.node, who(one.who), one.title);
    let row = |one: &Command| json!({"node": one.node, "who": who(one.who), "title": one.title});
    let text = match all.len() {
        0 => "no module offers a command".to_owned(),
        _ => all.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    AdminReply::Done { text, data: all.iter().map(row).collect() }
}

/// Runs a command of a module.
fn command(
    shared: &Shared,
    node: &str,
    account: Option<&str>,
    fields: &[String],
) -> Result<AdminReply, String> {
    let (node, owner) = command_owner(shared, node, account)?;
    if let Some(field) = fields.iter().find(|field| !field.contains('=') || field.contains('\n')) {
        return Err(format!("{field} is no field; write name=value"));
    }
    let running = shared.running().ok_or("the server starts or stops")?;
    let question = Question { body: fields.join("\n").into_bytes(), ..Question::default() };
    let asking = Asking { kind: "command", name: node.clone(), owner, question };
    let (sender, receiver) = mpsc::sync_channel(1);
    let taker = Box::new(move |answer| drop(sender.try_send(answer)));
    let token = running.ask(asking, taker).ok_or("too many questions wait for an answer")?;
    match receiver.recv_timeout(ANSWER_WITHIN).map(|answer| answer.body) {
        Ok(Ok(text)) => Ok(AdminReply::done(String::from_utf8_lossy(&text))),
        Ok(Err(error)) => {
            let why = error.text.as_deref().unwrap_or_else(|| error.condition.name());
            Err(format!("{node} was refused: {why}"))
        }
        Err(_) => {
            running.forget(token);
            Err(format!("{node} gave no answer in time"))
        }
    }
}

/// Returns the whole name of a command, and for whom it runs. What stands behind the `#` of a name is
/// enough.
fn command_owner(
    shared: &Shared,
    node: &str,
    account: Option<&str>,
) -> Result<(String, Jid), String> {
    let all = shared.modules.load().commands();
    let short = |one: &&Command| one.node.rsplit_once('#').is_some_and(|(_, name)| name == node);
    let found = all.iter().find(|one| one.node == node).or_else(|| all.iter().find(short));
    let Some(known) = found else {
        return Err(format!("no module offers the command {node}; `calypte command` lists them"));
    };
    let domain = shared.config.load().domain.clone();
    let node = &known.node;
    let owner = match (known.who, account) {
        (Who::Admin, None) => Ok(domain),
        (Who::Admin, Some(_)) => Err(format!("{node} is for the server; leave out --for")),
        (Who::User, None) => Err(format!("{node} is for one account; say --for NAME")),
        (Who::User, Some(name)) => {
            let account = accounts::address(name, &domain).map_err(|error| error.to_string())?;
            let found = Accounts::new(&domain, &shared.store).find(&account);
            match found.map_err(|error| error.to_string())? {
                Some(_) => Ok(account),
                None => Err(format!("there is no account {account}")),
            }
        }
    };
    Ok((node.clone(), owner?))
}

fn backup(
    shared: &Shared,
    to: &std::path::Path,
    into: Option<&std::path::Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<AdminReply, String> {
    let (kept, config) = ((&*shared.store, Some(&shared.files)), shared.config.load_full());
    files::back_up(kept, &config.data, to, into, progress).map(AdminReply::done)
}
