//! What a host does to accounts. Passwords are kept as they are, so that scenes can look at them.

use calypte::tables::{ACCOUNTS, Account, Verifier};
use calypte::wire::{AccountFault, AccountWork, Password};
use engine::Event;
use table::{Batch, Memory, Storage, full_key};
use xmpp::Jid;

use crate::world::World;

impl World<'_> {
    /// Does what a module asks for, as the host does it: step by step.
    pub(crate) fn work(&mut self, domain: &str, shard: u16, token: u64, work: &AccountWork) {
        let done = self.try_work(domain, work, |world| {
            world.now(domain, shard, Event::AccountDone { token, fault: None });
        });
        if let Err(fault) = done {
            self.now(domain, shard, Event::AccountDone { token, fault: Some(fault) });
        }
    }

    fn try_work(
        &mut self,
        domain: &str,
        work: &AccountWork,
        done: impl FnOnce(&mut Self),
    ) -> Result<(), AccountFault> {
        let account = Jid::parse(&format!("{}@{domain}", work.name()));
        let account = account.ok().filter(|jid| jid.is_bare() && jid.local().is_some());
        let account = account.ok_or(AccountFault::BadName)?;
        let now_ms = self.now_ms;
        let server = self.servers.get_mut(domain).ok_or(AccountFault::Failed)?;
        let shard = server.shard_of(&account);
        let found = find(&server.store, &account);
        let known = found.clone().ok_or(AccountFault::Unknown);
        let mut ends = false;
        match work {
            AccountWork::Create { .. } if found.is_some() => return Err(AccountFault::Exists),
            AccountWork::Create { password, .. } => {
                let verifier = verifier(password)?;
                erase(&mut server.store, &account);
                put(&mut server.store, &account, &new(verifier, now_ms));
            }
            AccountWork::SetPassword { password, .. } => {
                let Account { disabled, created_ms, .. } = known?;
                let changed = Account { disabled, ..new(verifier(password)?, created_ms) };
                put(&mut server.store, &account, &changed);
            }
            AccountWork::SetDisabled { disabled, .. } => {
                ends = *disabled;
                put(&mut server.store, &account, &Account { disabled: *disabled, ..known? });
            }
            AccountWork::Check { password, .. } => {
                let known = found.filter(|found| !found.disabled).and_then(|found| found.sha256);
                let is_right = known.is_some_and(|one| one.stored_key == password.0.expose());
                if !is_right {
                    return Err(AccountFault::Wrong);
                }
                done(self);
                return Ok(());
            }
            AccountWork::Delete { .. } => {
                ends = true;
                put(&mut server.store, &account, &Account { disabled: true, ..known? });
                self.now(domain, shard, Event::AccountEnds { account: account.clone() });
                self.erase(domain, &account);
            }
        }
        done(self);
        self.now(domain, shard, Event::Account { account: account.clone(), is_gone: ends });
        if matches!(work, AccountWork::Delete { .. }) {
            self.erase(domain, &account);
        }
        Ok(())
    }

    /// Gives an account another password, as an operator does.
    pub(crate) fn change_password(&mut self, account: &Jid) -> Result<(), String> {
        let before = self.password(account).ok_or("there is no such account")?;
        let name = account.local().unwrap_or("").to_owned();
        let work =
            AccountWork::SetPassword { name, password: Password::new(&format!("new {before}")) };
        let changed = self.try_work(account.domain(), &work, |_| {});
        changed.map_err(|fault| fault.to_string())?;
        self.settle()
    }

    /// Removes an account, as an operator does.
    pub(crate) fn remove(&mut self, account: &Jid) -> Result<(), String> {
        let name = account.local().unwrap_or("").to_owned();
        let removed = self.try_work(account.domain(), &AccountWork::Delete { name }, |_| {});
        removed.map_err(|fault| fault.to_string())?;
        self.settle()
    }

    fn erase(&mut self, domain: &str, account: &Jid) {
        if let Some(server) = self.servers.get_mut(domain) {
            erase(&mut server.store, account);
        }
    }

    /// Returns the password of an account, `None` where there is none.
    pub(crate) fn password(&self, account: &Jid) -> Option<String> {
        let server = self.servers.get(account.domain())?;
        let found = find(&server.store, account)?;
        Some(String::from_utf8_lossy(&found.sha256?.stored_key).into_owned())
    }

    /// Returns the tables that have rows of an account.
    pub(crate) fn tables_of(&self, account: &Jid) -> Vec<String> {
        let rows = self.servers.get(account.domain()).into_iter().flat_map(|one| one.store.rows());
        let mut names: Vec<_> = rows.filter_map(|(key, _)| table_of(key, account)).collect();
        names.dedup();
        names
    }
}

/// Returns the record of an account without a password.
pub(crate) fn new(verifier: Verifier, now_ms: u64) -> Account {
    let mut password = [0; 16];
    password.iter_mut().zip(crypto::hash(&verifier.stored_key)).for_each(|(to, byte)| *to = byte);
    Account { sha256: Some(verifier), created_ms: now_ms, password, ..Account::default() }
}

/// Returns what a password is checked against, in scenes.
pub(crate) fn verifier(password: &Password) -> Result<Verifier, AccountFault> {
    let stored_key = password.0.expose().to_vec();
    if stored_key.is_empty() {
        return Err(AccountFault::BadPassword);
    }
    Ok(Verifier { salt: Vec::new(), iterations: 4096, stored_key, server_key: Vec::new() })
}

/// Writes the record of an account.
pub(crate) fn put(store: &mut Memory, account: &Jid, record: &Account) {
    let mut batch = Batch::default();
    batch.put(row(account), ACCOUNTS.encode(record));
    store.apply(&batch);
}

/// Reads the record of an account.
pub(crate) fn find(store: &Memory, account: &Jid) -> Option<Account> {
    ACCOUNTS.decode(&store.get(&row(account)).ok()??).ok()
}

fn row(account: &Jid) -> Vec<u8> {
    let key = ACCOUNTS.encode_key(account.local().unwrap_or(""));
    full_key(ACCOUNTS.name, "", &key)
}

/// Removes everything that is kept for an account.
fn erase(store: &mut Memory, account: &Jid) {
    let mut batch = Batch::default();
    for (key, _) in store.rows() {
        if table_of(key, account).is_some() {
            batch.delete(key.to_vec());
        }
    }
    batch.delete(row(account));
    store.apply(&batch);
}

/// Returns the table of a row that belongs to an account.
fn table_of(key: &[u8], account: &Jid) -> Option<String> {
    let name = key.split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    key.starts_with(&full_key(name, account.as_str(), &[])).then(|| name.to_owned())
}
