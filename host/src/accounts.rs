//! Accounts in the store: making, changing, listing and removing them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte::tables::{ACCOUNTS, Account, Verifier};
use crypto::Hash;
use store::{Store, StoreError};
use stream::scram;
use table::{Batch, Storage};
use thiserror::Error;
use xmpp::Jid;

/// One change at a time: it looks before it writes.
static CHANGING: Mutex<()> = Mutex::new(());
/// How many rows are read at once.
const PAGE: usize = 500;
/// The most work that a record from elsewhere may make of a login, in iterations.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Why an account could not be made or changed.
#[derive(Debug, Error)]
pub(crate) enum AccountError {
    /// The name has characters that no address may have.
    #[error("{0:?} cannot be the name of an account; use letters, digits, dots and hyphens")]
    Name(String),
    /// A whole address of another server was given.
    #[error("{0} is not an address of this server, which is {1}")]
    Elsewhere(String, String),
    /// It is there already.
    #[error("{0} exists already; `calypte user passwd {0}` changes the password")]
    Exists(String),
    /// It is being removed.
    #[error("{0} is being removed; try again in a moment")]
    Ending(String),
    /// It is not there.
    #[error("there is no account {0}; `calypte user list` shows all")]
    Unknown(String),
    /// The password has characters that clients could not send.
    #[error("this password cannot be used: {0}")]
    Password(String),
    /// There is no such account that may log in, or it has another password.
    #[error("name or password is wrong")]
    Wrong,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record cannot be read.
    #[error("the record of the account cannot be read: {0}")]
    Broken(String),
}

mod ending;

pub(crate) use ending::RemovalThread;

/// What the running server has to know of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was made or changed.
    Changed,
    /// It is about to be removed: its contacts have to be told.
    Ends,
    /// It was disabled or removed: its sessions have to go.
    Gone,
}

/// One account, for lists.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Listed {
    /// The address.
    pub(crate) address: String,
    /// Whether logins are refused.
    pub(crate) disabled: bool,
    /// When it was made, in milliseconds since 1970.
    pub(crate) created_ms: u64,
}

/// The accounts of a domain.
pub(crate) struct Accounts<'a> {
    domain: &'a Jid,
    store: &'a Store,
}

impl<'a> Accounts<'a> {
    /// Works on the accounts of `domain` in `store`.
    pub(crate) fn new(domain: &'a Jid, store: &'a Store) -> Self {
        Self { domain, store }
    }

    /// Makes an account. Whatever an account of the same name left behind is removed.
    pub(crate) fn add(&self, account: &Jid, record: &Account) -> Result<(), AccountError> {
        match self.add_all(&[(account.clone(), record.clone())])?.is_empty() {
            true => Ok(()),
            false if self.is_ending(account)? => Err(AccountError::Ending(account.to_string())),
            false => Err(AccountError::Exists(account.to_string())),
        }
    }

    /// Makes accounts in one commit and returns those that are there already, which stay as they
    /// are.
    pub(crate) fn add_all(&self, wanted: &[(Jid, Account)]) -> Result<Vec<Jid>, AccountError> {
        for (account, _) in wanted {
            self.make_way(account)?;
        }
        let _turn = turn();
        let (mut batch, mut known, mut seen) = (Batch::default(), Vec::new(), BTreeSet::new());
        for (account, record) in wanted {
            if !seen.insert(account) || self.find(account)?.is_some() {
                known.push(account.clone());
                continue;
            }
            ending::forget_end(account, &mut batch);
            put(&mut batch, account, record);
        }
        self.store.commit(batch)?;
        Ok(known)
    }

    /// Replaces the password of an account.
    pub(crate) fn set_password(&self, account: &Jid, new: &Account) -> Result<(), AccountError> {
        self.change(account, |old| Account {
            disabled: old.disabled,
            created_ms: old.created_ms,
            ..new.clone()
        })
    }

    /// Keeps the password that `password` stands for in one more form. One that is known in this form,
    /// or was changed, stays as it is.
    pub(crate) fn add_form(
        &self,
        account: &Jid,
        password: [u8; 16],
        hash: Hash,
        verifier: scram::Verifier,
    ) -> Result<(), AccountError> {
        self.change(account, |mut record| {
            let form = match hash {
                Hash::Sha1 => &mut record.sha1,
                Hash::Sha256 => &mut record.sha256,
                Hash::Sha512 => &mut record.sha512,
            };
            if form.is_none() && record.password == password {
                *form = Some(keep(verifier));
            }
            record
        })
    }

    /// Allows or refuses logins.
    pub(crate) fn set_disabled(&self, account: &Jid, disabled: bool) -> Result<(), AccountError> {
        self.change(account, |old| Account { disabled, ..old })
    }

    /// Returns the record of an account.
    pub(crate) fn find(&self, account: &Jid) -> Result<Option<Account>, AccountError> {
        let value = self.read(|storage| storage.get(&row(account)))?;
        let broken = |error| AccountError::Broken(format!("{error:?}"));
        value.map(|bytes| ACCOUNTS.decode(&bytes).map_err(broken)).transpose()
    }

    /// Returns all accounts in the order of their names.
    pub(crate) fn list(&self) -> Result<Vec<Listed>, AccountError> {
        let mut accounts = Vec::new();
        let prefix = table::full_key(ACCOUNTS.name, "", &[]);
        let end = after(&prefix);
        let mut from = prefix.clone();
        loop {
            let rows = self.read(|storage| storage.scan(&from, &end, PAGE, false))?;
            for (key, value) in &rows {
                let name = key.get(prefix.len()..).unwrap_or_default();
                let name = String::from_utf8_lossy(name);
                let Ok(record) = ACCOUNTS.decode(value) else {
                    return Err(AccountError::Broken(format!("it is that of {name}")));
                };
                accounts.push(Listed {
                    address: format!("{name}@{}", self.domain),
                    disabled: record.disabled,
                    created_ms: record.created_ms,
                });
            }
            match rows.last() {
                Some((key, _)) if rows.len() == PAGE => from = next(key),
                _ => return Ok(accounts),
            }
        }
    }

    fn change(
        &self,
        account: &Jid,
        f: impl FnOnce(Account) -> Account,
    ) -> Result<(), AccountError> {
        let _turn = turn();
        let old = self.find(account)?.ok_or_else(|| AccountError::Unknown(account.to_string()))?;
        if self.is_ending(account)? {
            return Err(AccountError::Ending(account.to_string()));
        }
        let mut batch = Batch::default();
        put(&mut batch, account, &f(old));
        Ok(self.store.commit(batch)?)
    }

    fn read<T>(
        &self,
        f: impl FnOnce(&dyn Storage) -> Result<T, table::Fault>,
    ) -> Result<T, AccountError> {
        let reader = self.store.reader();
        f(&*reader).map_err(|fault| AccountError::Broken(format!("{fault:?}")))
    }
}

/// Returns the address that an operator means with `name`: the name alone or the whole address.
///
/// # Errors
///
/// [`AccountError::Name`] and [`AccountError::Elsewhere`].
pub(crate) fn address(name: &str, domain: &Jid) -> Result<Jid, AccountError> {
    let whole = if name.contains('@') { name.to_owned() } else { format!("{name}@{domain}") };
    let wrong = || AccountError::Name(name.to_owned());
    let jid = Jid::parse(&whole).map_err(|_| wrong())?;
    if jid.domain() != domain.domain() {
        return Err(AccountError::Elsewhere(name.to_owned(), domain.to_string()));
    }
    if jid.local().is_none() || !jid.is_bare() { Err(wrong()) } else { Ok(jid) }
}

/// Returns the record of a new account with `password`. The password is not kept.
///
/// # Errors
///
/// [`AccountError::Password`] when clients could not send it.
pub(crate) fn record(password: &str, iterations: u32) -> Result<Account, AccountError> {
    if password.is_empty() {
        return Err(AccountError::Password("it is empty".to_owned()));
    }
    let mut salts = [[0; scram::SALT_BYTES]; 3];
    for salt in &mut salts {
        crypto::random(salt);
    }
    let derived = scram::Verifiers::derive(password, &salts, iterations)
        .map_err(|why| AccountError::Password(why.to_string()))?;
    let name = name();
    Ok(Account {
        sha1: derived.sha1.map(keep),
        sha256: derived.sha256.map(keep),
        sha512: derived.sha512.map(keep),
        disabled: false,
        created_ms: crate::clock::now_ms(),
        password: name,
    })
}

fn turn() -> MutexGuard<'static, ()> {
    // Nothing is kept under it.
    CHANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the record of an account whose password is known in one form only: as other servers keep
/// it, written as RFC 5803 says. `None` when it is not.
pub(crate) fn record_of_form(text: &str) -> Option<Account> {
    let mut parts = text.split('$');
    let (mechanism, salted, keys) = (parts.next()?, parts.next()?, parts.next()?);
    let ((iterations, salt), (stored_key, server_key)) =
        (salted.split_once(':')?, keys.split_once(':')?);
    let hash = match mechanism {
        "SCRAM-SHA-1" => Hash::Sha1,
        "SCRAM-SHA-256" => Hash::Sha256,
        "SCRAM-SHA-512" => Hash::Sha512,
        _ => return None,
    };
    let iterations =
        iterations.parse().ok().filter(|count| (1..=ITERATIONS_MAX).contains(count))?;
    let key = |text| STANDARD.decode(text).ok().filter(|key| key.len() == hash.bytes());
    let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
    let form =
        Verifier { salt, iterations, stored_key: key(stored_key)?, server_key: key(server_key)? };
    if parts.next().is_some() {
        return None;
    }
    let mut record =
        Account { created_ms: crate::clock::now_ms(), password: name(), ..Account::default() };
    match hash {
        Hash::Sha1 => record.sha1 = Some(form),
        Hash::Sha256 => record.sha256 = Some(form),
        Hash::Sha512 => record.sha512 = Some(form),
    }
    Some(record)
}

/// Returns a name for a password.
fn name() -> [u8; 16] {
    let mut name = [0; 16];
    crypto::random(&mut name);
    name
}

fn keep(verifier: scram::Verifier) -> Verifier {
    let scram::Verifier { salt, iterations, stored_key, server_key } = verifier;
    Verifier { salt, iterations, stored_key, server_key }
}

fn put(batch: &mut Batch, account: &Jid, record: &Account) {
    batch.put(row(account), ACCOUNTS.encode(record));
}

fn row(account: &Jid) -> Vec<u8> {
    let name = account.local().unwrap_or("");
    table::full_key(ACCOUNTS.name, "", &ACCOUNTS.encode_key(name))
}

/// Returns the first key behind `key`.
fn next(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

/// Returns the first key behind all that begin with `prefix`.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(byte) = end.pop() {
        if byte < 0xff {
            end.push(byte + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[test]
    fn other_servers_keep_passwords_in_one_form() {
        let text = "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:\
                    D+CSWLOshSulAsxiupA+qs2/fTE=";
        let account = record_of_form(text).unwrap();
        assert!(account.sha1.is_some() && account.sha256.is_none() && account.sha512.is_none());
        for wrong in [
            "pa55",
            "SCRAM-SHA-1",
            "SCRAM-MD5$1:a$b:c",
            &text.replace("4096", "0"),
            &text.replace("D+CS", "D+"),
            &format!("{text}$"),
        ] {
            assert!(record_of_form(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_are_prepared() {
        let domain = jid("chat.example");
        assert_eq!(address("Ana", &domain).unwrap().as_str(), "ana@chat.example");
        assert_eq!(address("ana@Chat.Example", &domain).unwrap().as_str(), "ana@chat.example");
        for wrong in ["", "a b", "ana@other.example", "@chat.example", "ana@chat.example/x"] {
            assert!(address(wrong, &domain).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_key_behind_a_prefix() {
        assert_eq!(after(b"a\0"), b"a\x01");
        assert_eq!(after(b"a\xff"), b"b");
    }
}
