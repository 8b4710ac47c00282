//! Who is logged in to the own page. A cookie names the account and has 130 bits of chance, of which
//! only a hash is kept.

use bincode::{Decode, Encode};
use calypte::crypto;
use calypte::prelude::*;
use tables::{ACCOUNTS, Account};

/// Sessions of accounts, by the local part.
const SESSIONS: Table<str, Sessions> = Table::domain("pages.sessions");
/// Sessions of one account; the oldest ends when there is one more.
const SESSIONS_MAX: usize = 8;
/// Letters of a token, five bits each.
const LETTERS: u32 = 26;
/// The cookie: for this server only, by HTTPS only, for all paths.
const COOKIE: &str = "__Host-calypte";

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Sessions(Vec<Session>);

record!(Sessions, 1);

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Session {
    /// The hash of the token.
    token: [u8; 32],
    /// Of the account: it ends with its password.
    password: [u8; 16],
    created_ms: u64,
    expires_ms: u64,
}

impl Session {
    fn is_good(&self, account: &Account, now_ms: u64) -> bool {
        self.expires_ms > now_ms
            && self.password == account.password
            && self.created_ms == account.created_ms
    }
}

/// Which password of which account was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Bound {
    password: [u8; 16],
    created_ms: u64,
}

impl Bound {
    /// Returns how an account is now.
    pub(crate) fn of(cx: &mut Context<'_, '_>, name: &str) -> Result<Option<Self>, StanzaError> {
        let account = cx.get(&ACCOUNTS, name)?.filter(|account| !account.disabled);
        Ok(account
            .map(|account| Self { password: account.password, created_ms: account.created_ms }))
    }

    /// Tells whether the password that was looked at is still that of the account.
    pub(crate) fn is_same(before: Option<Self>, now: Option<Self>) -> bool {
        now.is_some() && before == now
    }
}

/// Somebody who is logged in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// The local part.
    pub(crate) name: String,
    token: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User")
    }
}

impl User {
    /// Returns who sent a request.
    pub(crate) fn of(
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Self>, StanzaError> {
        let all = asked.header("cookie").unwrap_or_default();
        let mut cookies = all.split(';').filter_map(|one| one.trim().split_once('='));
        match cookies.find(|(name, _)| *name == COOKIE) {
            Some((_, value)) => Self::find(cx, value),
            None => Ok(None),
        }
    }

    /// Returns whose session has a cookie with this value.
    pub(crate) fn find(cx: &mut Context<'_, '_>, value: &str) -> Result<Option<Self>, StanzaError> {
        let Some(user) = Self::read(value) else { return Ok(None) };
        let account = cx.get(&ACCOUNTS, &*user.name)?.filter(|account| !account.disabled);
        let Some(account) = account else { return Ok(None) };
        let (now_ms, hash) = (cx.now_ms(), user.hash());
        let Sessions(all) = cx.get(&SESSIONS, &*user.name)?.unwrap_or_default();
        let mut good = all.iter().filter(|one| one.is_good(&account, now_ms));
        Ok(good.any(|one| crypto::equal(&one.token, &hash)).then_some(user))
    }

    fn read(value: &str) -> Option<Self> {
        let (name, token) = value.split_once('.')?;
        let bytes = name.as_bytes().chunks(2).map(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        let name = String::from_utf8(bytes.collect::<Option<_>>()?).ok()?;
        (!name.is_empty()).then(|| Self { name, token: token.to_owned() })
    }

    /// Begins a session of an account that may log in.
    pub(crate) fn log_in(
        cx: &mut Context<'_, '_>,
        name: &str,
        for_ms: u64,
    ) -> Result<Self, StanzaError> {
        let account = cx.get(&ACCOUNTS, name)?.ok_or(StanzaError::NOT_AUTHORIZED)?;
        let user = Self { name: name.to_owned(), token: cx.random_name(LETTERS)? };
        let now_ms = cx.now_ms();
        let Sessions(mut all) = cx.get(&SESSIONS, name)?.unwrap_or_default();
        all.retain(|one| one.is_good(&account, now_ms));
        if all.len() >= SESSIONS_MAX {
            all.remove(0);
        }
        all.push(Session {
            token: user.hash(),
            password: account.password,
            created_ms: account.created_ms,
            expires_ms: now_ms.saturating_add(for_ms),
        });
        cx.put(&SESSIONS, name, &Sessions(all))?;
        Ok(user)
    }

    /// Ends the session.
    pub(crate) fn log_out(&self, cx: &mut Context<'_, '_>) -> Done {
        let hash = self.hash();
        let Sessions(mut all) = cx.get(&SESSIONS, &*self.name)?.unwrap_or_default();
        all.retain(|one| one.token != hash);
        if all.is_empty() {
            return cx.delete(&SESSIONS, &*self.name);
        }
        cx.put(&SESSIONS, &*self.name, &Sessions(all))
    }

    /// Returns what the cookie says.
    pub(crate) fn value(&self) -> String {
        let name: String = self.name.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}.{}", self.token)
    }

    /// Returns the header that sets the cookie.
    pub(crate) fn cookie(&self, for_ms: u64) -> String {
        let seconds = for_ms / 1000;
        format!(
            "{COOKIE}={}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict",
            self.value()
        )
    }

    /// Returns what a form of this session has to bring along: no other page knows it.
    pub(crate) fn form_key(&self) -> String {
        let key = crypto::derive_key("calypte pages form", self.token.as_bytes());
        key.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Tells whether a form brought it along.
    pub(crate) fn sent(&self, asked: &Asked<'_>) -> bool {
        let given = asked.form("key").unwrap_or_default();
        crypto::equal(given.as_bytes(), self.form_key().as_bytes())
    }

    fn hash(&self) -> [u8; 32] {
        crypto::hash(self.token.as_bytes())
    }
}

/// Returns the header that takes the cookie away.
pub(crate) fn no_cookie() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict")
}

/// Forgets the sessions of an account that ends.
pub(crate) fn forget(cx: &mut Context<'_, '_>, name: &str) -> Done {
    cx.delete(&SESSIONS, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let one = Session { token: [7; 32], password: [8; 16], created_ms: 1, expires_ms: 2 };
        let bytes = [&b"\x01\x01"[..], &[7; 32], &[8; 16], b"\x01\x02"].concat();
        assert_eq!(SESSIONS.encode(&Sessions(vec![one])), bytes);
    }

    #[test]
    fn a_password_changed_meanwhile_opens_nothing() {
        let old = Bound { password: [8; 16], created_ms: 1 };
        assert!(Bound::is_same(Some(old), Some(old)));
        assert!(!Bound::is_same(Some(old), Some(Bound { password: [9; 16], ..old })));
        assert!(!Bound::is_same(Some(old), Some(Bound { created_ms: 2, ..old })));
        assert!(!Bound::is_same(Some(old), None));
        assert!(!Bound::is_same(None, Some(old)));
        assert!(!Bound::is_same(None, None));
    }

    #[test]
    fn cookies_are_read_or_nothing() {
        let user = User { name: "jos\u{e9}".to_owned(), token: "abc".to_owned() };
        assert_eq!(user.value(), "6a6f73c3a9.abc");
        assert_eq!(User::read("6a6f73c3a9.abc"), Some(user));
        for wrong in ["", ".", "abc", ".abc", "zz.abc", "6.abc.", "+1.abc", "c3.abc"] {
            let read = User::read(wrong);
            assert!(read.is_none() || read.is_some_and(|user| user.name.is_ascii()), "{wrong}");
        }
        assert!(!format!("{:?}", User::read("61.abc")).contains("abc"));
    }
}
