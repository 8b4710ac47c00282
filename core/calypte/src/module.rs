//! What a module is.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::Hook;

/// A feature of the server.
///
/// One instance runs per shard, behind `&self`: what changes is kept in tables, in volatile tables
/// or in session values, so that a module can be reloaded and a run can be replayed.
pub trait Module: Sized + Send + 'static {
    /// The name, as in `[modules.name]`. Tables of the module start with it.
    const NAME: &'static str;
    /// One sentence for operators.
    const ABOUT: &'static str;
    /// The specifications it implements.
    const XEPS: &'static [Xep] = &[];
    /// What service discovery says it can do.
    const FEATURES: &'static [Feature] = &[];
    /// What service discovery says that the domain and the accounts are.
    const IDENTITIES: &'static [Identity] = &[];
    /// A security module is never switched off when it fails; what it guards is refused instead.
    const SECURITY: bool = false;
    /// Its settings, as the operator sees them.
    const KEYS: &'static [ConfigKey] = &[];
    /// Where it acts.
    const HOOKS: &'static [Hook<Self>];
    /// The settings, `[modules.name]`. [`NoConfig`] when there are none.
    type Config: DeserializeOwned;

    /// Makes an instance.
    ///
    /// # Errors
    ///
    /// [`SetupError`] with a sentence for the operator; the server then starts without the module,
    /// or not at all when the module is a security module.
    fn setup(config: Self::Config) -> Result<Self, SetupError>;
}

/// A specification and its version.
#[derive(Clone, Copy, Debug)]
pub struct Xep(pub &'static str, pub &'static str);

/// A feature in answers of service discovery (XEP-0030).
#[derive(Clone, Copy, Debug)]
pub enum Feature {
    /// Of the domain.
    Domain(&'static str),
    /// Of each account.
    Account(&'static str),
    /// Of both.
    Everywhere(&'static str),
}

/// What an address is, in answers of service discovery (XEP-0030 §3.1): category and type, as
/// `pubsub` and `pep`.
#[derive(Clone, Copy, Debug)]
pub enum Identity {
    /// The domain is this, too.
    Domain(&'static str, &'static str),
    /// Each account is this, too.
    Account(&'static str, &'static str),
}

/// A key of `[modules.name]`.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// The key.
    pub name: &'static str,
    /// `text`, `number`, `yes/no`, `list`, `time` or `size`.
    pub kind: &'static str,
    /// The value when the operator gives none, as written in the file.
    pub default: &'static str,
    /// What it does, with unit and range.
    pub about: &'static str,
}

/// Settings of a module that has none.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A module cannot start with these settings: a sentence that says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError(pub String);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetupError {}
