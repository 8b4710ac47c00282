//! What a hook can ask for and do.

use abi::HostRef;
use table::{Key, Table};
use xml::Element;
use xmpp::{Jid, JidRef, StanzaError, StreamError, ns};

use crate::notice::Notice;
use crate::wire::{self, Look, Range, SessionRow, op};

/// The key and the value of a row.
type RawRow = (Vec<u8>, Vec<u8>);

/// Rows read at a time, so that what crosses the boundary at once stays small.
const PAGE: u32 = 128;

mod about;
mod crowd;
mod later;
mod timers;

pub use crowd::Ready;
pub use later::Ticket;

/// The owner's data, sessions and way out, for the time of one call.
///
/// What a hook does here takes effect together, after the writes among it are on disk, or not at
/// all when the call fails.
#[derive(Debug)]
pub struct Context<'a, 'h> {
    pub(crate) owner: &'a str,
    pub(crate) session: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) now_ms: u64,
    pub(crate) host: &'a mut HostRef<'h>,
}

impl Context<'_, '_> {
    /// Returns the bare address of the account, room or domain that the call is for.
    #[must_use]
    pub fn owner(&self) -> JidRef<'_> {
        JidRef::trusted(self.owner)
    }

    /// Returns the domain that is served here.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.domain
    }

    /// Returns the time of the event, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Returns the full address of the session that caused the call, where one did.
    #[must_use]
    pub fn session_jid(&self) -> Option<JidRef<'_>> {
        (!self.session.is_empty()).then(|| JidRef::trusted(self.session))
    }

    /// Returns the session that caused the call.
    ///
    /// # Errors
    ///
    /// `not-authorized` when no session of the owner caused it.
    pub fn session(&mut self) -> Result<SessionRow, StanzaError> {
        let resource = JidRef::trusted(self.session).resource().unwrap_or("");
        match self.host.op(op::SESSION, resource.as_bytes(), &[]) {
            Ok(bytes) => wire::decode(&bytes).ok_or(StanzaError::INTERNAL),
            Err(wire::fault::MISSING) => Err(StanzaError::NOT_AUTHORIZED),
            Err(_) => Err(StanzaError::INTERNAL),
        }
    }

    /// Lists the owner's sessions, by resource.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn sessions(&mut self) -> Result<Vec<SessionRow>, StanzaError> {
        let bytes = self.op(op::SESSIONS, &[], &[])?;
        wire::decode(&bytes).ok_or(StanzaError::INTERNAL)
    }

    /// Lists the resources that the stanza is going to reach.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn targets(&mut self) -> Result<Vec<String>, StanzaError> {
        let bytes = self.op(op::TARGETS, &[], &[])?;
        let text = String::from_utf8(bytes).map_err(|_| StanzaError::INTERNAL)?;
        Ok(text.split('\0').filter(|one| !one.is_empty()).map(str::to_owned).collect())
    }

    /// Lists the owner's sessions that the stanza is not going to reach, without its own sender.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn bystanders(&mut self) -> Result<Vec<SessionRow>, StanzaError> {
        let targets = self.targets()?;
        let own = JidRef::trusted(self.session).resource().unwrap_or("").to_owned();
        let mut rows = self.sessions()?;
        rows.retain(|row| row.resource != own && !targets.contains(&row.resource));
        Ok(rows)
    }

    /// Keeps a value with the session that caused the call; empty removes it.
    ///
    /// Values survive resumption and a restart of the server, and end with the session.
    ///
    /// # Errors
    ///
    /// `not-authorized` when no session of the owner caused the call.
    pub fn set_value(&mut self, name: &str, value: &[u8]) -> Result<(), StanzaError> {
        let resource =
            JidRef::trusted(self.session).resource().ok_or(StanzaError::NOT_AUTHORIZED)?;
        let key = [resource.as_bytes(), b"\0", name.as_bytes()].concat();
        self.op(op::SET_VALUE, &key, value).map(drop)
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// Our own fault: the store cannot be read, or the record is broken.
    pub fn get<K: Key + ?Sized, V: table::Record>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, StanzaError> {
        let bytes = match self.host.op(op::GET, &reference(table, key), &[]) {
            Ok(bytes) => bytes,
            Err(wire::fault::MISSING) => return Ok(None),
            Err(_) => return Err(StanzaError::INTERNAL),
        };
        table.decode(&bytes).map(Some).map_err(|_| self.broken(table.name))
    }

    /// Writes a record.
    ///
    /// # Errors
    ///
    /// Our own fault only: the table is another module's, or the step's budget is spent.
    pub fn put<K: Key + ?Sized, V: table::Record>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), StanzaError> {
        self.op(op::PUT, &reference(table, key), &table.encode(value)).map(drop)
    }

    /// Deletes a record. It need not exist.
    ///
    /// # Errors
    ///
    /// As [`Context::put`].
    pub fn delete<K: Key + ?Sized, V: table::Record>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<(), StanzaError> {
        self.op(op::DELETE, &reference(table, key), &[]).map(drop)
    }

    /// Reads all records of the owner's table, in the order of their keys, up to `limit`.
    ///
    /// # Errors
    ///
    /// As [`Context::get`].
    pub fn all<K: Key + ?Sized, V: table::Record>(
        &mut self,
        table: &Table<K, V>,
        limit: u32,
    ) -> Result<Vec<(K::Owned, V)>, StanzaError> {
        let mut all = Vec::new();
        let mut from = Vec::new();
        loop {
            let left = limit.saturating_sub(u32::try_from(all.len()).unwrap_or(u32::MAX));
            let range = Range { to: None, limit: left.min(PAGE), reverse: false };
            let rows = self.rows(table, &from, &range)?;
            let is_last = rows.len() < PAGE.try_into().unwrap_or(usize::MAX);
            if let Some((key, _)) = rows.last() {
                // The first key behind it.
                from.clone_from(key);
                from.push(0);
            }
            self.read_rows(table, rows, &mut all)?;
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Reads records from the raw key `from` on.
    ///
    /// # Errors
    ///
    /// As [`Context::get`].
    pub fn scan<K: Key + ?Sized, V: table::Record>(
        &mut self,
        table: &Table<K, V>,
        from: &[u8],
        range: &Range,
    ) -> Result<Vec<(K::Owned, V)>, StanzaError> {
        let rows = self.rows(table, from, range)?;
        let mut out = Vec::with_capacity(rows.len());
        self.read_rows(table, rows, &mut out)?;
        Ok(out)
    }

    fn rows<K: ?Sized, V>(
        &mut self,
        table: &Table<K, V>,
        from: &[u8],
        range: &Range,
    ) -> Result<Vec<RawRow>, StanzaError> {
        let first = wire::table_ref(table.name, table.is_domain(), table.volatile, from);
        let bytes = self.op(op::SCAN, &first, &wire::encode(range))?;
        wire::decode(&bytes).ok_or(StanzaError::INTERNAL)
    }

    fn read_rows<K: Key + ?Sized, V: table::Record>(
        &mut self,
        table: &Table<K, V>,
        rows: Vec<RawRow>,
        out: &mut Vec<(K::Owned, V)>,
    ) -> Result<(), StanzaError> {
        for (key, value) in rows {
            let key = K::decode(&key).ok_or_else(|| self.broken(table.name))?;
            let value = table.decode(&value).map_err(|_| self.broken(table.name))?;
            out.push((key, value));
        }
        Ok(())
    }

    /// Sends a stanza. Without `from` it comes from the owner.
    ///
    /// # Errors
    ///
    /// Our own fault: it is no stanza, it comes from an address that is not the owner's, or the
    /// step's budget is spent.
    pub fn send(&mut self, stanza: &Element) -> Result<(), StanzaError> {
        self.op(op::SEND, stanza.to_xml(ns::CLIENT).as_bytes(), &[]).map(drop)
    }

    /// Sends a stanza given as text.
    ///
    /// # Errors
    ///
    /// As [`Context::send`].
    pub fn send_xml(&mut self, stanza: &str) -> Result<(), StanzaError> {
        self.op(op::SEND, stanza.as_bytes(), &[]).map(drop)
    }

    /// Sends a stanza given as text to each of `recipients`, whatever its `to` says.
    ///
    /// It is read once, however many get it.
    ///
    /// # Errors
    ///
    /// As [`Context::send`], and when a recipient is no address.
    pub fn send_each(&mut self, stanza: &str, recipients: &[&str]) -> Result<(), StanzaError> {
        if recipients.is_empty() {
            return Ok(());
        }
        self.op(op::SEND_EACH, stanza.as_bytes(), recipients.join("\0").as_bytes()).map(drop)
    }

    /// Hands a stanza to one session of the owner, past all rules of delivery.
    ///
    /// # Errors
    ///
    /// Our own fault only. A session that is gone is no error.
    pub fn deliver(&mut self, resource: &str, stanza: &Element) -> Result<(), StanzaError> {
        self.deliver_xml(resource, &stanza.to_xml(ns::CLIENT))
    }

    /// Hands a stanza given as text to one session of the owner.
    ///
    /// # Errors
    ///
    /// As [`Context::deliver`].
    pub fn deliver_xml(&mut self, resource: &str, stanza: &str) -> Result<(), StanzaError> {
        self.op(op::DELIVER, resource.as_bytes(), stanza.as_bytes()).map(drop)
    }

    /// Hands a stanza given as text to one session of the owner, which is not kept on disk for it:
    /// for what the client asks for again after a restart of the server, such as the results of a
    /// query.
    ///
    /// # Errors
    ///
    /// As [`Context::deliver`].
    pub fn show(&mut self, resource: &str, stanza: &str) -> Result<(), StanzaError> {
        self.op(op::SHOW, resource.as_bytes(), stanza.as_bytes()).map(drop)
    }

    /// Hands a stanza that was kept, given as text, to one session of the owner.
    ///
    /// What the client does not acknowledge is kept on disk again, where the session is
    /// [resumable](SessionRow::resumable): so the module may delete it in the same call. It comes
    /// back as a new stanza does, with [`Context::since_ms`], when the session ends without it.
    ///
    /// # Errors
    ///
    /// Our own fault only. A session that is gone is no error.
    pub fn hand_over(
        &mut self,
        resource: &str,
        since_ms: u64,
        stanza: &str,
    ) -> Result<(), StanzaError> {
        let to = [&since_ms.to_le_bytes(), resource.as_bytes()].concat();
        self.op(op::HAND_OVER, &to, stanza.as_bytes()).map(drop)
    }

    /// Returns when the stanza was first received, in milliseconds since 1970, if it waited in a
    /// session that ended without it; `None` for a new one.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn since_ms(&mut self) -> Result<Option<u64>, StanzaError> {
        let bytes = self.op(op::SINCE, &[], &[])?;
        Ok(bytes.try_into().ok().map(u64::from_le_bytes))
    }

    /// Begins or ends to keep messages from a session: as long as it is held, those of type `chat`
    /// and `normal` count as if it were away. So older ones can be handed to it first.
    ///
    /// It ends with the session, and when modules are loaded anew.
    ///
    /// # Errors
    ///
    /// Our own fault only. A session that is gone is no error.
    pub fn hold(&mut self, resource: &str, held: bool) -> Result<(), StanzaError> {
        self.op(op::HOLD, resource.as_bytes(), &[u8::from(held)]).map(drop)
    }

    /// Sends a `get` or `set` whose answer comes to the module's `answer` hook with `cookie`.
    ///
    /// # Errors
    ///
    /// As [`Context::send`].
    pub fn request(&mut self, iq: &Element, cookie: &[u8]) -> Result<(), StanzaError> {
        self.op(op::REQUEST, iq.to_xml(ns::CLIENT).as_bytes(), cookie).map(drop)
    }

    /// Has the host do slow work. What it finds comes to the module's `looked` hook with `cookie`.
    ///
    /// Each comes back once, within a minute; a restart forgets them.
    ///
    /// # Errors
    ///
    /// `resource-constraint` when too many are under way; our own fault: the module has no such
    /// hook, or what is asked for cannot be.
    pub fn look(&mut self, look: &Look, cookie: &[u8]) -> Result<(), StanzaError> {
        self.op(op::LOOK, &wire::encode(look), cookie).map(drop)
    }

    /// Closes a session of the owner.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn close(&mut self, resource: &str, why: StreamError) -> Result<(), StanzaError> {
        self.op(op::CLOSE, resource.as_bytes(), why.name().as_bytes()).map(drop)
    }

    /// Tells the other modules that something happened to the owner.
    ///
    /// # Errors
    ///
    /// Our own fault only: another module's notice ([`crate::notice::GUARDED`]).
    pub fn tell<N: Notice>(&mut self, notice: &N) -> Result<(), StanzaError> {
        self.op(op::NOTICE, N::NAME.as_bytes(), &wire::encode(notice)).map(drop)
    }

    /// Returns random bytes. They come with the event, so a run can be replayed.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn random(&mut self, bytes: u32) -> Result<Vec<u8>, StanzaError> {
        self.op(op::RANDOM, &bytes.to_le_bytes(), &[])
    }

    /// Returns a random name of lower-case letters and digits that carry five bits each.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn random_name(&mut self, letters: u32) -> Result<String, StanzaError> {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let letter = |byte: u8| LETTERS.get(usize::from(byte) % 32).copied().unwrap_or(b'a');
        Ok(self.random(letters)?.into_iter().map(|byte| char::from(letter(byte))).collect())
    }

    /// Returns 32 bytes that nobody knows but this module on this server, always the same ones. They
    /// are not in the store: who has a copy of it does not have them. A server that was restored without
    /// its `secret.key` has others.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn secret(&mut self) -> Result<[u8; 32], StanzaError> {
        self.op(op::SECRET, &[], &[])?.try_into().map_err(|_| StanzaError::INTERNAL)
    }

    /// Adds to the module's counter `name`, shown as `calypte_<module>_<name>_total`.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn count(&mut self, name: &str, by: u64) -> Result<(), StanzaError> {
        self.op(op::COUNT, name.as_bytes(), &by.to_le_bytes()).map(drop)
    }

    /// Tells whether the owner is an account of this domain.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn is_account(&mut self) -> Result<bool, StanzaError> {
        Ok(self.op(op::IS_ACCOUNT, &[], &[])? == [1])
    }

    /// Tells whether `address` is the owner or one of its sessions.
    #[must_use]
    pub fn is_own(&self, address: Option<JidRef<'_>>) -> bool {
        address.is_none_or(|address| address.bare_str() == self.owner)
    }

    /// Writes a line to the log, at level `info`. Never put addresses or content into it.
    pub fn log(&mut self, text: &str) {
        self.host.log(LOG_INFO, text);
    }

    /// Writes a line to the log that an operator should look at this week. No addresses of people
    /// and no content.
    pub fn warn(&mut self, text: &str) {
        self.host.log(LOG_WARN, text);
    }

    /// Returns the owner as an address of its own.
    #[must_use]
    pub fn owner_jid(&self) -> Jid {
        self.owner().to_jid()
    }

    pub(crate) fn op(&mut self, number: u32, a: &[u8], b: &[u8]) -> Result<Vec<u8>, StanzaError> {
        self.host.op(number, a, b).map_err(|fault| {
            let text = format!("operation {number} failed: {}", wire::fault::why(fault));
            self.host.log(LOG_WARN, &text);
            match fault {
                wire::fault::BUDGET => StanzaError::RESOURCE_CONSTRAINT,
                _ => StanzaError::INTERNAL,
            }
        })
    }

    fn broken(&mut self, table: &str) -> StanzaError {
        self.host.log(LOG_WARN, &format!("table {table} holds a broken record"));
        StanzaError::INTERNAL
    }
}

/// Something an operator should look at this week.
const LOG_WARN: u32 = 2;
/// What happens in the life of the server.
const LOG_INFO: u32 = 3;

pub(crate) fn reference<K: Key + ?Sized, V>(table: &Table<K, V>, key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    wire::table_ref(table.name, table.is_domain(), table.volatile, &bytes)
}
