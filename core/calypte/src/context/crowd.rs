//! What goes to many at a time: rooms.

use table::{Broken, Key, Record, Table};
use xmpp::StanzaError;

use super::{Context, reference};
use crate::wire::{self, Portion, op};

/// A stanza that is kept ready to be sent: what a volatile table of such holds. The server has read it
/// already, and sends it as often as is wanted without a copy.
///
/// Such a table is written with [`Context::keep_ready`] only, and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready;

impl Record for Ready {
    const VERSION: u8 = 0;

    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(_: u8, _: &[u8]) -> Result<Self, Broken> {
        Err(Broken { table: "" })
    }
}

impl Context<'_, '_> {
    /// Keeps a stanza of the owner, given as text, ready to be sent; without `from` it comes from the
    /// owner. `None` removes it.
    ///
    /// # Errors
    ///
    /// As [`Context::send`] and [`Context::put`].
    pub fn keep_ready<K: Key + ?Sized>(
        &mut self,
        table: &Table<K, Ready>,
        key: &K,
        stanza: Option<&str>,
    ) -> Result<(), StanzaError> {
        let stanza = stanza.unwrap_or("");
        self.op(op::KEEP_READY, &reference(table, key), stanza.as_bytes()).map(drop)
    }

    /// Sends stanzas that are kept ready in a table to `to`, in the order of their keys: those behind
    /// the key `after`, but for the one under `except`, until they have `bytes` together; one goes in any
    /// case. Returns the last key when there are more. As with [`Context::show_each`], none is kept on
    /// disk for it.
    ///
    /// # Errors
    ///
    /// As [`Context::send`].
    pub fn send_ready<K: Key + ?Sized>(
        &mut self,
        table: &Table<K, Ready>,
        (after, except): (&K, &K),
        to: &str,
        bytes: u64,
    ) -> Result<Option<K::Owned>, StanzaError> {
        let mut key = Vec::new();
        except.encode(&mut key);
        let portion = wire::encode(&Portion { to: to.to_owned(), except: key, bytes });
        let last = self.op(op::SEND_READY, &reference(table, after), &portion)?;
        Ok(if last.is_empty() { None } else { K::decode(&last) })
    }

    /// Sends a stanza, given as text, to all addresses that are keys of a volatile table of the
    /// owner, but for `except`. As with [`Context::show_each`], it is not kept on disk for them.
    ///
    /// It is read once, and shared by all who get it.
    ///
    /// # Errors
    ///
    /// As [`Context::send`].
    pub fn send_to_keys<V: Record>(
        &mut self,
        table: &Table<str, V>,
        except: &str,
        stanza: &str,
    ) -> Result<(), StanzaError> {
        self.op(op::SEND_TO_KEYS, &reference(table, except), stanza.as_bytes()).map(drop)
    }

    /// As [`Context::send_each`], of what is of the moment, or can be asked for again: whatever the
    /// sender of the stanza in hand was promised, it is not kept on disk for who gets it, but when
    /// their connection is lost, or on the way to another domain.
    ///
    /// # Errors
    ///
    /// As [`Context::send_each`].
    pub fn show_each(&mut self, stanza: &str, recipients: &[&str]) -> Result<(), StanzaError> {
        if recipients.is_empty() {
            return Ok(());
        }
        self.op(op::SHOW_EACH, stanza.as_bytes(), recipients.join("\0").as_bytes()).map(drop)
    }
}
