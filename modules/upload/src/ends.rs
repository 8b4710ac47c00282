//! What ends: slots and files with time, and all of an account with the account.

use std::collections::BTreeSet;

use calypte::prelude::*;
use calypte::wire::Range;
use tables::{ACCOUNTS, FILE_BLOBS, FILE_LINKS};

use crate::Upload;
use crate::rows::{self, ENDS, EXPECTED, FILES, SLOTS, SPACE, USED, read_end};

/// The most that ends in one step.
const AT_ONCE: u32 = 500;

impl Upload {
    /// Ends what is over.
    pub(crate) fn expire(&self, _: &str, cx: &mut Context<'_, '_>) -> Done {
        let to = rows::end_key(cx.now_ms().saturating_add(1), &[]);
        let over = cx.scan(&ENDS, &[], &Range { to: Some(to), limit: AT_ONCE, reverse: false })?;
        for (key, end) in over {
            let Some((_, link)) = read_end(&key) else { continue };
            if end.is_slot {
                rows::end_slot(cx, link)?;
            } else {
                rows::end_file(cx, link)?;
                cx.count("expired", 1)?;
            }
            // Also when there is nothing that it was the end of.
            cx.delete(&ENDS, &*key)?;
        }
        rows::set_timer(cx)
    }

    /// The account is about to be removed: its files go, and what the domain knows of them. The rows go
    /// as well, since the server may be killed before the account is removed.
    pub(crate) fn account_ends(&self, _: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        for (digest, blob) in cx.all(&FILE_BLOBS, u32::MAX)? {
            cx.drop_file(&blob.name)?;
            cx.delete(&FILE_BLOBS, &*digest)?;
        }
        for (link, _) in cx.all(&FILES, u32::MAX)? {
            cx.delete(&FILES, &*link)?;
            cx.delete(&FILE_LINKS, &*link)?;
        }
        for (link, _) in cx.all(&SLOTS, u32::MAX)? {
            cx.delete(&SLOTS, &*link)?;
            cx.delete(&FILE_LINKS, &*link)?;
        }
        for (key, _) in cx.all(&ENDS, u32::MAX)? {
            cx.delete(&ENDS, &*key)?;
        }
        let account = cx.owner().as_str().to_owned();
        cx.delete(&USED, "")?;
        cx.delete(&EXPECTED, &*account)?;
        cx.delete(&SPACE, &*account)
    }

    /// Forgets what the domain knows of accounts that were removed while the server was stopped.
    pub(crate) fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        let mut gone = BTreeSet::new();
        let takes = cx.all(&SPACE, u32::MAX)?.into_iter().map(|(account, _)| account);
        let expects = cx.all(&EXPECTED, u32::MAX)?.into_iter().map(|(account, _)| account);
        for account in takes.chain(expects) {
            let local = JidRef::trusted(&account).local().unwrap_or_default().to_owned();
            if cx.get(&ACCOUNTS, &*local)?.is_none() {
                cx.delete(&SPACE, &*account)?;
                cx.delete(&EXPECTED, &*account)?;
                gone.insert(account);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        for (link, whose) in cx.all(&FILE_LINKS, u32::MAX)? {
            if gone.contains(&whose.account) {
                cx.delete(&FILE_LINKS, &*link)?;
            }
        }
        Ok(())
    }
}
