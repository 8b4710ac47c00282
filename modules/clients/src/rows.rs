//! What is kept of an app.

use bincode::{Decode, Encode};
use calypte::crypto;
use calypte::prelude::*;
use calypte::wire::SessionRow;

/// The apps of an account, by their names here.
pub(crate) const CLIENTS: Table<str, Client> = Table::account("clients.known");
/// The app that is logging in, under [`NOW`], for what follows in the same step.
pub(crate) const LOGIN: Table<str, Name> = Table::volatile_account("clients.login");
pub(crate) const NOW: &str = "now";

/// The value of a session that says which app it is of.
pub(crate) const NAME: &str = "clients.name";
/// The value of a session: since when it is there, in milliseconds since 1970.
pub(crate) const SINCE: &str = "clients.since";

/// Apps of an account that are remembered; the one that is away longest goes first.
pub(crate) const CLIENTS_MAX: u32 = 64;

/// Stands for a password: another one has another.
pub(crate) type Password = [u8; 16];

/// An app on a device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Client {
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    pub(crate) software: Option<String>,
    pub(crate) device: Option<String>,
    /// The last password that it logged in with.
    pub(crate) password: Option<Password>,
    /// The token that it used last. It stays when the app gives it up, and is good for nothing then.
    pub(crate) current: Option<Slot>,
    /// The one that it was given and has not used.
    pub(crate) next: Option<Slot>,
}

record!(Client, 1);

/// A token: all but the secret of the server.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Slot {
    pub(crate) serial: [u8; 16],
    /// The only mechanism that it is good for.
    pub(crate) mechanism: String,
    /// The password that it stands for.
    pub(crate) password: Password,
    pub(crate) made_ms: u64,
    pub(crate) expires_ms: u64,
    /// The highest count that it was used with.
    pub(crate) count: u64,
}

/// The name of an app here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Name(pub(crate) String);

record!(Name, 1);

impl Client {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            first_ms: now_ms,
            last_ms: now_ms,
            software: None,
            device: None,
            password: None,
            current: None,
            next: None,
        }
    }

    /// Tells whether it can log in by a token.
    pub(crate) fn has_token(&self, password: Option<Password>, now_ms: u64) -> bool {
        let slots = self.current.iter().chain(&self.next);
        slots.into_iter().any(|slot| slot.is_good(password, now_ms))
    }

    /// Tells whether it may know the password.
    pub(crate) fn knows(&self, password: Option<Password>) -> bool {
        self.password.is_some() && self.password == password
    }
}

impl Slot {
    /// Tells whether it can be used, while the account has this password.
    pub(crate) fn is_good(&self, password: Option<Password>, now_ms: u64) -> bool {
        self.expires_ms > now_ms && Some(self.password) == password
    }

    /// Ends it at the wish of its app, which has logged in with it.
    pub(crate) fn give_up(&mut self) {
        self.expires_ms = 0;
    }

    /// Tells whether its app wanted it to end.
    pub(crate) fn is_given_up(&self) -> bool {
        self.expires_ms == 0
    }
}

/// Returns the name of an app here. Its own id for itself is nobody else's business, and any length.
pub(crate) fn name_of(id: &str, cx: &Context<'_, '_>) -> String {
    name("app", id, cx)
}

/// Returns the name of a session that does not say which app it is of.
pub(crate) fn name_of_session(resource: &str, cx: &Context<'_, '_>) -> String {
    name("session", resource, cx)
}

fn name(kind: &str, id: &str, cx: &Context<'_, '_>) -> String {
    let hash = crypto::hash(format!("{kind}\0{}\0{id}", cx.owner().as_str()).as_bytes());
    hex(hash.get(..12).unwrap_or_default())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns what stands for the account's password, `None` when there is no account that may log in.
pub(crate) fn password(cx: &mut Context<'_, '_>) -> Result<Option<Password>, StanzaError> {
    let owner = cx.owner_jid();
    let Some(local) = owner.local() else { return Ok(None) };
    let account = cx.get(&tables::ACCOUNTS, local)?;
    Ok(account.filter(|account| !account.disabled).map(|account| account.password))
}

/// Returns what is kept with a session under a name.
pub(crate) fn value<'a>(session: &'a SessionRow, name: &str) -> Option<&'a [u8]> {
    session.values.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice())
}

/// Returns the name of the app that a session is of.
pub(crate) fn app_of(session: &SessionRow) -> Option<&str> {
    std::str::from_utf8(value(session, NAME)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let slot = Slot {
            serial: [7; 16],
            mechanism: "HT".into(),
            password: [8; 16],
            made_ms: 1,
            expires_ms: 2,
            count: 3,
        };
        let client = Client {
            software: Some("S".into()),
            password: Some([9; 16]),
            next: Some(slot),
            ..Client::new(5)
        };
        let slot = [&[7; 16][..], b"\x02HT", &[8; 16], b"\x01\x02\x03"].concat();
        let expected =
            [&b"\x01\x05\x05\x01\x01S\x00\x01"[..], &[9; 16], b"\x00\x01", &slot].concat();
        assert_eq!(CLIENTS.encode(&client), expected);
    }

    #[test]
    fn a_token_ends_with_its_time_or_its_password() {
        let slot = Slot {
            serial: [0; 16],
            mechanism: String::new(),
            password: [1; 16],
            made_ms: 0,
            expires_ms: 10,
            count: 0,
        };
        assert!(slot.is_good(Some([1; 16]), 9));
        assert!(!slot.is_good(Some([1; 16]), 10));
        assert!(!slot.is_good(Some([2; 16]), 9));
        assert!(!slot.is_good(None, 9));
    }
}
