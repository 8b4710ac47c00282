//! Changes of accounts that modules ask for, and looks at passwords: these are hashed on threads of their own, as many at
//! a time as there are processors, and the store is written there too.

use std::sync::{Arc, LazyLock};

use calypte::tables::{Account, Verifier};
use calypte::wire::{AccountFault, AccountWork, Password};
use crypto::Hash;
use engine::Event;
use tokio::sync::Semaphore;

use super::client::verifiers;
use super::hall::Hall;
use super::inbox::Parcel;
use crate::accounts::{self, AccountError, Accounts, News};

/// How many are under way at the same time.
static PLACES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// Does the work, and says to `shard` what came of it.
pub(super) fn start(hall: &Arc<Hall>, shard: u16, token: u64, work: AccountWork) {
    let hall = Arc::clone(hall);
    drop(actix::spawn(async move {
        let Ok(_place) = PLACES.acquire().await else { return };
        let done = tokio::task::spawn_blocking(move || run(&hall, shard, token, &work));
        // One that panicked is given up by the engine.
        drop(done.await);
    }));
}

fn run(hall: &Hall, shard: u16, token: u64, work: &AccountWork) {
    let mut is_told = false;
    let mut tell = |fault| {
        if let Some(inbox) = hall.inbox(shard).filter(|_| !is_told) {
            inbox.push(Parcel::Event(Box::new(Event::AccountDone { token, fault })));
        }
        is_told = true;
    };
    let outcome = change(hall, work, &mut || tell(None));
    tell(outcome.err().map(|error| fault(work, &error)));
}

/// Changes the account. `done` is called when that is on disk and before sessions end for it.
fn change(hall: &Hall, work: &AccountWork, done: &mut dyn FnMut()) -> Result<(), AccountError> {
    let shared = &hall.shared;
    let accounts = Accounts::new(&hall.domain, &shared.store);
    let account = accounts::address(work.name(), &hall.domain)?;
    let record = |password: &Password| {
        let text = std::str::from_utf8(password.0.expose()).unwrap_or_default();
        accounts::record(text, shared.config.load().login.iterations)
    };
    let tell = |news: News| {
        shared.running().is_some_and(|running| running.account_changed(&account, news))
    };
    match work {
        // Who is an operator is made by the operator, on the machine.
        AccountWork::Create { .. } if shared.config.load().admins.contains(&account) => {
            return Err(AccountError::Exists(account.to_string()));
        }
        AccountWork::Create { password, .. } => {
            accounts.add(&account, &record(password)?)?;
            tell(News::Changed);
        }
        AccountWork::SetPassword { password, .. } => {
            accounts.set_password(&account, &record(password)?)?;
            tell(News::Changed);
        }
        AccountWork::SetDisabled { disabled, .. } => {
            accounts.set_disabled(&account, *disabled)?;
            done();
            tell(if *disabled { News::Gone } else { News::Changed });
        }
        AccountWork::Delete { .. } => {
            accounts.delete(&account, &tell, done, &|| shared.is_stopping())?;
        }
        AccountWork::Check { password, .. } => {
            let found = accounts.find(&account)?.filter(|found| !found.disabled);
            let record = found.unwrap_or_else(|| nobody(shared.config.load().login.iterations));
            if verifiers(record).check(&password.0).is_none() {
                return Err(AccountError::Wrong);
            }
        }
    }
    Ok(())
}

/// Returns the record of an account that no password is right for, so that to look takes as long.
fn nobody(iterations: u32) -> Account {
    let keys = || vec![0; Hash::Sha256.bytes()];
    let sha256 = Verifier { salt: vec![0; 16], iterations, stored_key: keys(), server_key: keys() };
    Account { sha256: Some(sha256), ..Account::default() }
}

fn fault(work: &AccountWork, error: &AccountError) -> AccountFault {
    match error {
        AccountError::Name(_) | AccountError::Elsewhere(..) => AccountFault::BadName,
        AccountError::Exists(_) => AccountFault::Exists,
        AccountError::Ending(_) if matches!(work, AccountWork::Create { .. }) => {
            AccountFault::Exists
        }
        // It could not be removed yet.
        AccountError::Ending(_) if matches!(work, AccountWork::Delete { .. }) => {
            AccountFault::Failed
        }
        AccountError::Unknown(_) | AccountError::Ending(_) => AccountFault::Unknown,
        AccountError::Password(_) => AccountFault::BadPassword,
        AccountError::Wrong => AccountFault::Wrong,
        AccountError::Store(_) | AccountError::Broken(_) => {
            tracing::error!(%error, "An account could not be changed.");
            AccountFault::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_is_there_for_new_ones_only() {
        let name = || "ana".to_owned();
        let ending = AccountError::Ending("ana@chat.example".to_owned());
        let create = AccountWork::Create { name: name(), password: Password::new("pa55") };
        assert_eq!(fault(&create, &ending), AccountFault::Exists);
        let set = AccountWork::SetPassword { name: name(), password: Password::new("pa55") };
        assert_eq!(fault(&set, &ending), AccountFault::Unknown);
        let disable = AccountWork::SetDisabled { name: name(), disabled: true };
        assert_eq!(fault(&disable, &ending), AccountFault::Unknown);
        let delete = AccountWork::Delete { name: name() };
        assert_eq!(fault(&delete, &ending), AccountFault::Failed);
    }
}
