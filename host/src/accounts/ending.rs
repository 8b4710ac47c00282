//! Removing accounts: decided in one commit, and then done piece by piece, also after a restart.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use calypte::tables::{ACCOUNTS, Account};
use table::{Batch, Broken, Record, Table};
use xmpp::Jid;

use super::{AccountError, Accounts, News, after, next, put, row, turn};
use crate::server::Shared;

/// Accounts that are being removed, by the local part. A row is there until nothing is kept for the
/// account any more.
const ENDING: Table<str, Ending> = Table::domain("accounts.ending");
/// Rows that are removed in one commit, about.
const PIECE_ROWS: usize = 1000;
/// Rows that are read at once: each may be large.
const READ_ROWS: usize = 100;
/// Rest after a piece, in which others change accounts.
const PAUSE: Duration = Duration::from_millis(5);

/// One account at a time is taken away. What is left of it is erased beside others.
static ENDS: Mutex<()> = Mutex::new(());

/// That an account is being removed says all.
struct Ending;

impl Record for Ending {
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(_: u8, _: &[u8]) -> Result<Self, Broken> {
        Ok(Self)
    }
}

impl Accounts<'_> {
    /// Removes an account and everything that is kept for it.
    ///
    /// `tell` lets the running server tell its contacts and end its sessions, and says whether that
    /// was dealt with; `done` is called in between, when the account is gone. What a stop interrupts,
    /// which is when `is_over`, and what was not dealt with goes on with [`RemovalThread`].
    pub(crate) fn delete(
        &self,
        account: &Jid,
        tell: &dyn Fn(News) -> bool,
        done: &mut dyn FnMut(),
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), AccountError> {
        {
            let _one = ENDS.lock().unwrap_or_else(PoisonError::into_inner);
            self.begin_end(account)?;
            if is_over() || !self.end(account, tell, done)? {
                return Err(AccountError::Ending(account.to_string()));
            }
        }
        self.clear(account, is_over)
    }

    /// Goes on with removals that a stop of the server interrupted, until `is_over`.
    pub(super) fn go_on(
        &self,
        tell: &dyn Fn(&Jid, News) -> bool,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), AccountError> {
        let prefix = table::full_key(ENDING.name, "", &[]);
        let rows =
            self.read(|storage| storage.scan(&prefix, &after(&prefix), usize::MAX, false))?;
        for (key, _) in rows {
            let name = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default());
            let Ok(account) = super::address(&name, self.domain) else { continue };
            {
                let _one = ENDS.lock().unwrap_or_else(PoisonError::into_inner);
                if is_over() {
                    break;
                }
                if !self.go_on_with_end(&account, &|news| tell(&account, news))? {
                    tracing::warn!("An account could not be removed yet; a restart tries again.");
                    continue;
                }
            }
            self.clear(&account, is_over)?;
            tracing::info!("An account was removed whose removal a stop had interrupted.");
        }
        Ok(())
    }

    /// Tells whether only the rest is to be erased.
    fn go_on_with_end(
        &self,
        account: &Jid,
        tell: &dyn Fn(News) -> bool,
    ) -> Result<bool, AccountError> {
        if !self.is_ending(account)? {
            return Ok(true);
        }
        if self.find(account)?.is_some() {
            return self.end(account, tell, &mut || {});
        }
        // Of what was not erased yet, the start has made sessions and timers again.
        let is_told = tell(News::Gone);
        self.store.commit(Batch::default())?;
        Ok(is_told)
    }

    /// From here on the account ends, whatever happens.
    fn begin_end(&self, account: &Jid) -> Result<(), AccountError> {
        let _turn = turn();
        let old = self.find(account)?.ok_or_else(|| AccountError::Unknown(account.to_string()))?;
        let mut batch = Batch::default();
        // Nobody logs in any more.
        put(&mut batch, account, &Account { disabled: true, ..old });
        batch.put(ending_row(account), ENDING.encode(&Ending));
        Ok(self.store.commit(batch)?)
    }

    /// Tells its contacts, takes the account away and ends its sessions. Returns false when one of
    /// these was not dealt with, and what comes after it has to wait for the next start.
    fn end(
        &self,
        account: &Jid,
        tell: &dyn Fn(News) -> bool,
        done: &mut dyn FnMut(),
    ) -> Result<bool, AccountError> {
        if !tell(News::Ends) {
            return Ok(false);
        }
        {
            let _turn = turn();
            // What its contacts are told is on its way.
            self.store.commit(Batch::default())?;
            let mut batch = Batch::default();
            batch.delete(row(account));
            self.store.commit(batch)?;
        }
        done();
        let is_told = tell(News::Gone);
        // What its sessions wrote while they ended can be read after this.
        self.store.commit(Batch::default())?;
        Ok(is_told)
    }

    /// Erases what is left of an account that is gone, a piece at a time.
    fn clear(&self, account: &Jid, is_over: &dyn Fn() -> bool) -> Result<(), AccountError> {
        while !is_over() {
            let mut batch = self.piece(account)?;
            let is_last = batch.is_empty();
            {
                let _turn = turn();
                if self.find(account)?.is_some() || !self.is_ending(account)? {
                    // Somebody has made it anew, and what was left is gone.
                    break;
                }
                if is_last {
                    forget_end(account, &mut batch);
                }
                self.store.submit(batch);
            }
            self.rest()?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Erases what an account left behind that had the name before.
    pub(super) fn make_way(&self, account: &Jid) -> Result<(), AccountError> {
        while self.find(account)?.is_none() {
            let batch = self.piece(account)?;
            if batch.is_empty() {
                break;
            }
            {
                let _turn = turn();
                if self.find(account)?.is_some() {
                    break;
                }
                self.store.submit(batch);
            }
            self.rest()?;
        }
        Ok(())
    }

    /// Waits for what was submitted, and leaves others the time for their changes.
    #[expect(clippy::disallowed_methods, reason = "on a thread of its own, which may block")]
    fn rest(&self) -> Result<(), AccountError> {
        self.store.commit(Batch::default())?;
        std::thread::sleep(PAUSE);
        Ok(())
    }

    /// Tells whether an account is being removed.
    pub(super) fn is_ending(&self, account: &Jid) -> Result<bool, AccountError> {
        Ok(self.read(|storage| storage.get(&ending_row(account)))?.is_some())
    }

    /// Collects the removal of some rows that `account` owns, in whatever table; of none when there
    /// are none.
    fn piece(&self, account: &Jid) -> Result<Batch, AccountError> {
        let mut batch = Batch::default();
        let mut from = Vec::new();
        // From table to table: the name of the next one stands in the first key behind the last.
        while batch.ops.len() < PIECE_ROWS {
            let found = self.read(|storage| storage.scan(&from, &[0xff], 1, false))?;
            let Some((key, _)) = found.first() else { break };
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            let Ok(name) = std::str::from_utf8(name) else { break };
            let prefix = table::full_key(name, account.as_str(), &[]);
            self.collect(&prefix, &mut batch)?;
            from = name.as_bytes().to_vec();
            from.push(1);
        }
        Ok(batch)
    }

    fn collect(&self, prefix: &[u8], batch: &mut Batch) -> Result<(), AccountError> {
        let end = after(prefix);
        let mut from = prefix.to_vec();
        while batch.ops.len() < PIECE_ROWS {
            let rows = self.read(|storage| storage.scan(&from, &end, READ_ROWS, false))?;
            for (key, _) in &rows {
                batch.delete(key.clone());
            }
            match rows.last() {
                Some((key, _)) if rows.len() == READ_ROWS => from = next(key),
                _ => break,
            }
        }
        Ok(())
    }
}

/// Forgets that an account was being removed.
pub(super) fn forget_end(account: &Jid, batch: &mut Batch) {
    batch.delete(ending_row(account));
}

fn ending_row(account: &Jid) -> Vec<u8> {
    // The same key in both tables.
    let name = account.local().unwrap_or("");
    table::full_key(ENDING.name, "", &ACCOUNTS.encode_key(name))
}

/// The thread that goes on with removals once the server runs. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct RemovalThread {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RemovalThread {
    /// Goes on with what a stop interrupted, if there is anything.
    ///
    /// # Errors
    ///
    /// What the system says when there can be no thread.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(shared), Arc::clone(&is_over));
        let thread = std::thread::Builder::new().name("removals".to_owned()).spawn(move || {
            let domain = shared.config.load().domain.clone();
            let tell = |account: &Jid, news| {
                shared.running().is_some_and(|running| running.account_changed(account, news))
            };
            let accounts = Accounts::new(&domain, &shared.store);
            if let Err(error) =
                accounts.go_on(&tell, &|| over.load(Relaxed) || shared.is_stopping())
            {
                tracing::error!(%error, "An account could not be removed; a restart tries again.");
            }
        })?;
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for RemovalThread {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whether it panicked stands in the log.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use calypte::tables::{Contact, ROSTER};
    use store::Store;

    use super::*;
    use crate::accounts::record;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn contact(store: &Store, owner: &str, contact: &str) {
        let mut batch = Batch::default();
        let key = table::full_key(ROSTER.name, owner, &ROSTER.encode_key(contact));
        batch.put(key, ROSTER.encode(&Contact::default()));
        store.commit(batch).unwrap();
    }

    fn contacts(store: &Store, owner: &str) -> usize {
        let prefix = table::full_key(ROSTER.name, owner, &[]);
        store.reader().scan(&prefix, &after(&prefix), 5000, false).unwrap().len()
    }

    fn ending(store: &Store) -> usize {
        let prefix = table::full_key(ENDING.name, "", &[]);
        store.reader().scan(&prefix, &after(&prefix), 10, false).unwrap().len()
    }

    fn with_store(test: impl FnOnce(&Accounts<'_>, &Store)) {
        let folder = tempfile::tempdir().unwrap();
        let domain = jid("chat.example");
        let config = crate::config::Config::standard(domain.clone(), folder.path());
        let store = crate::start::open_store(&config).unwrap();
        test(&Accounts::new(&domain, &store), &store);
    }

    /// Makes `ana` with more than a piece, and others beside her.
    fn fill(accounts: &Accounts<'_>, store: &Store) -> Jid {
        let password = record("secret", 4096).unwrap();
        for name in ["an", "ana", "ana2"] {
            accounts.add(&jid(&format!("{name}@chat.example")), &password).unwrap();
        }
        let mut batch = Batch::default();
        for number in 0..PIECE_ROWS + 10 {
            let friend = ROSTER.encode_key(&*format!("friend{number}@far.example"));
            let key = table::full_key(ROSTER.name, "ana@chat.example", &friend);
            batch.put(key, ROSTER.encode(&Contact::default()));
        }
        store.commit(batch).unwrap();
        contact(store, "an@chat.example", "friend@far.example");
        contact(store, "ana2@chat.example", "friend@far.example");
        jid("ana@chat.example")
    }

    fn others_are_whole(store: &Store) {
        assert_eq!(contacts(store, "an@chat.example"), 1);
        assert_eq!(contacts(store, "ana2@chat.example"), 1);
    }

    #[test]
    fn a_deleted_account_leaves_nothing_and_takes_nothing_from_others() {
        with_store(|accounts, store| {
            let ana = fill(accounts, store);
            let (told, mut is_done) = (RefCell::new(Vec::new()), false);
            let tell = |news| {
                told.borrow_mut().push(news);
                if news == News::Gone {
                    // What its sessions write while they end goes too.
                    contact(store, "ana@chat.example", "late@far.example");
                }
                true
            };
            accounts.delete(&ana, &tell, &mut || is_done = true, &|| false).unwrap();
            assert!(is_done && *told.borrow() == [News::Ends, News::Gone]);
            assert_eq!((contacts(store, "ana@chat.example"), ending(store)), (0, 0));
            others_are_whole(store);
            let names: Vec<String> =
                accounts.list().unwrap().into_iter().map(|listed| listed.address).collect();
            assert_eq!(names, ["an@chat.example", "ana2@chat.example"]);
            // What was written since is not inherited.
            contact(store, "ana@chat.example", "later@far.example");
            accounts.add(&ana, &record("secret", 4096).unwrap()).unwrap();
            assert_eq!(contacts(store, "ana@chat.example"), 0);
        });
    }

    #[test]
    fn what_a_stop_interrupts_goes_on() {
        with_store(|accounts, store| {
            let ana = fill(accounts, store);
            // It was decided, and no more.
            accounts.begin_end(&ana).unwrap();
            let why = accounts.set_disabled(&ana, false).unwrap_err();
            assert!(matches!(why, AccountError::Ending(_)), "{why}");
            let told = RefCell::new(Vec::new());
            // It stops again when a piece is gone.
            let left = RefCell::new(2);
            let is_over = || {
                *left.borrow_mut() -= 1;
                *left.borrow() < 0
            };
            let tell = |who: &Jid, news| {
                told.borrow_mut().push((who.clone(), news));
                true
            };
            accounts.go_on(&tell, &is_over).unwrap();
            assert_eq!(told.take(), [(ana.clone(), News::Ends), (ana.clone(), News::Gone)]);
            assert_eq!((contacts(store, "ana@chat.example"), ending(store)), (10, 1));
            assert!(accounts.find(&ana).unwrap().is_none());
            // The next start may have made sessions of what is left: they end, and nothing is left.
            let tell = |who: &Jid, news| {
                assert_eq!(contacts(store, "ana@chat.example"), 10);
                tell(who, news)
            };
            accounts.go_on(&tell, &|| false).unwrap();
            assert_eq!(told.take(), [(ana, News::Gone)]);
            assert_eq!((contacts(store, "ana@chat.example"), ending(store)), (0, 0));
            others_are_whole(store);
            accounts.go_on(&tell, &|| false).unwrap();
            assert!(told.take().is_empty());
        });
    }

    #[test]
    fn an_account_stays_until_its_contacts_are_told() {
        with_store(|accounts, store| {
            let ana = fill(accounts, store);
            let left = || (contacts(store, "ana@chat.example"), ending(store));
            let mut done = || panic!("it is not gone");
            // A shard is down, and the server stops.
            let tell = |news| {
                assert_eq!(news, News::Ends);
                false
            };
            let why = accounts.delete(&ana, &tell, &mut done, &|| false).unwrap_err();
            assert!(matches!(why, AccountError::Ending(_)), "{why}");
            let tell = |news| panic!("{news:?}");
            let why = accounts.delete(&ana, &tell, &mut done, &|| true).unwrap_err();
            assert!(matches!(why, AccountError::Ending(_)), "{why}");
            accounts.go_on(&|_, _| false, &|| false).unwrap();
            assert!(accounts.find(&ana).unwrap().is_some_and(|found| found.disabled));
            assert_eq!(left(), (PIECE_ROWS + 10, 1));
            // Nor is anything erased before its sessions have ended.
            accounts.go_on(&|_, news| news == News::Ends, &|| false).unwrap();
            assert!(accounts.find(&ana).unwrap().is_none());
            accounts.go_on(&|_, _| false, &|| false).unwrap();
            assert_eq!(left(), (PIECE_ROWS + 10, 1));
            accounts.go_on(&|_, _| true, &|| false).unwrap();
            assert_eq!(left(), (0, 0));
        });
    }

    #[test]
    fn others_change_while_much_is_erased() {
        with_store(|accounts, store| {
            let ana = fill(accounts, store);
            let mut batch = Batch::default();
            for number in 0..8 * PIECE_ROWS {
                let friend = ROSTER.encode_key(&*format!("more{number}@far.example"));
                let key = table::full_key(ROSTER.name, "ana@chat.example", &friend);
                batch.put(key, ROSTER.encode(&Contact::default()));
            }
            store.commit(batch).unwrap();
            accounts.begin_end(&ana).unwrap();
            accounts.end(&ana, &|_| true, &mut || {}).unwrap();
            let (tell, told) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let erase = scope.spawn(|| {
                    let is_over = || tell.send(()).is_err();
                    accounts.clear(&ana, &is_over)
                });
                told.recv().unwrap();
                for disabled in [true, false] {
                    accounts.set_disabled(&jid("an@chat.example"), disabled).unwrap();
                }
                assert!(told.try_iter().count() < 8, "the others waited for all of it");
                erase.join().unwrap().unwrap();
            });
            assert_eq!((contacts(store, "ana@chat.example"), ending(store)), (0, 0));
        });
    }

    #[test]
    fn a_name_is_taken_anew_while_the_rest_is_erased() {
        with_store(|accounts, store| {
            let ana = fill(accounts, store);
            let password = record("secret", 4096).unwrap();
            accounts.begin_end(&ana).unwrap();
            let why = accounts.add(&ana, &password).unwrap_err();
            assert!(matches!(why, AccountError::Ending(_)), "{why}");
            accounts.end(&ana, &|_| true, &mut || {}).unwrap();
            accounts.add(&ana, &password).unwrap();
            assert_eq!((contacts(store, "ana@chat.example"), ending(store)), (0, 0));
            // The removal that was under way leaves the new one alone.
            contact(store, "ana@chat.example", "new@far.example");
            accounts.clear(&ana, &|| false).unwrap();
            assert_eq!(contacts(store, "ana@chat.example"), 1);
        });
    }
}
