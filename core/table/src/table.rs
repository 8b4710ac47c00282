//! Tables: constants that say what is kept where.

use std::fmt;
use std::marker::PhantomData;

use crate::{Broken, Key, Record};

/// Whose a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each account, room or other owner has its own.
    Account,
    /// The domain has one.
    Domain,
}

/// What is kept: by what, of what type, for whom, and whether it outlives the process.
pub struct Table<K: ?Sized, V> {
    /// The name; its first word is the module's.
    pub name: &'static str,
    /// Whose it is.
    pub scope: Scope,
    /// Whether it is lost with the process.
    pub volatile: bool,
    types: PhantomData<fn(&K) -> V>,
}

impl<K: ?Sized, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

impl<K: ?Sized, V> Table<K, V> {
    const fn new(name: &'static str, scope: Scope, volatile: bool) -> Self {
        Self { name, scope, volatile, types: PhantomData }
    }

    /// A durable table of each owner.
    #[must_use]
    pub const fn account(name: &'static str) -> Self {
        Self::new(name, Scope::Account, false)
    }

    /// A durable table of the domain.
    #[must_use]
    pub const fn domain(name: &'static str) -> Self {
        Self::new(name, Scope::Domain, false)
    }

    /// A table of each owner that is lost with the process.
    #[must_use]
    pub const fn volatile_account(name: &'static str) -> Self {
        Self::new(name, Scope::Account, true)
    }

    /// A table of the domain that is lost with the process. Each shard has its own.
    #[must_use]
    pub const fn volatile_domain(name: &'static str) -> Self {
        Self::new(name, Scope::Domain, true)
    }

    /// Tells whether the domain has one for all.
    #[must_use]
    pub const fn is_domain(&self) -> bool {
        matches!(self.scope, Scope::Domain)
    }
}

impl<K: Key + ?Sized, V: Record> Table<K, V> {
    /// Writes a key.
    #[must_use]
    pub fn encode_key(&self, key: &K) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    }

    /// Writes a record: its version, then its fields.
    #[must_use]
    pub fn encode(&self, value: &V) -> Vec<u8> {
        let mut out = vec![V::VERSION];
        out.append(&mut value.encode());
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// [`Broken`] with the table's name.
    pub fn decode(&self, bytes: &[u8]) -> Result<V, Broken> {
        let broken = Broken { table: self.name };
        let (version, body) = bytes.split_first().ok_or(broken)?;
        V::decode(*version, body).map_err(|_| broken)
    }
}

/// Returns the key of a row in the whole store: table, owner, key.
///
/// `owner` is a bare address, or empty for a table of the domain. Neither holds a zero byte.
#[must_use]
pub fn full_key(table: &str, owner: &str, key: &[u8]) -> Vec<u8> {
    [table.as_bytes(), &[0], owner.as_bytes(), &[0], key].concat()
}
