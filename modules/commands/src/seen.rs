//! Who is online, and who was here when: accounts write it, the domain reads it.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::Commands;

/// By the local part.
pub(crate) const SEEN: Table<str, Seen> = Table::domain("commands.seen");
/// Since when a session is there, in milliseconds since 1970.
pub(crate) const SINCE: &str = "commands.since";

/// When somebody was here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Seen {
    /// When a session began last, in milliseconds since 1970.
    pub(crate) login_ms: u64,
    /// The run of the server, by when it began, in which the account is online; 0: it is not.
    /// Sessions that a crash ended are of another run.
    pub(crate) run_ms: u64,
}

record!(Seen, 1);

impl Commands {
    /// A session begins.
    pub(crate) fn opened(&self, cx: &mut Context<'_, '_>) -> Done {
        let now_ms = cx.now_ms();
        cx.set_value(SINCE, &now_ms.to_le_bytes())?;
        write(cx, Some(now_ms))
    }

    /// A session is back; maybe the server is another by now.
    pub(crate) fn resumed(&self, cx: &mut Context<'_, '_>) -> Done {
        write(cx, None)
    }

    /// A session is over.
    pub(crate) fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        let own = cx.session()?.resource;
        if cx.sessions()?.iter().any(|session| session.resource != own) {
            return Ok(());
        }
        let owner = cx.owner_jid();
        let name = owner.local().unwrap_or("");
        // Not when the account has been removed.
        let Some(seen) = cx.get(&SEEN, name)? else { return Ok(()) };
        if self.0.last_login {
            return cx.put(&SEEN, name, &Seen { run_ms: 0, ..seen });
        }
        cx.delete(&SEEN, name)
    }

    /// The account is about to be removed.
    pub(crate) fn account_ends(&self, _: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let owner = cx.owner_jid();
        cx.delete(&SEEN, owner.local().unwrap_or(""))
    }
}

fn write(cx: &mut Context<'_, '_>, login_ms: Option<u64>) -> Done {
    let (owner, run_ms) = (cx.owner_jid(), run(cx)?);
    let name = owner.local().unwrap_or("");
    let before = cx.get(&SEEN, name)?;
    let login_ms =
        login_ms.or_else(|| before.map(|seen| seen.login_ms)).unwrap_or_else(|| cx.now_ms());
    let seen = Seen { login_ms, run_ms };
    if before == Some(seen) { Ok(()) } else { cx.put(&SEEN, name, &seen) }
}

/// Returns when the server was started, in milliseconds since 1970.
pub(crate) fn run(cx: &mut Context<'_, '_>) -> Result<u64, StanzaError> {
    cx.software().map(|(_, _, started_ms)| started_ms.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        assert_eq!(SEEN.encode(&Seen { login_ms: 5, run_ms: 3 }), [1, 5, 3]);
    }
}
