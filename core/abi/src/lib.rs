//! Loading modules and being loaded as one: the binary boundary.
//!
//! Both sides are safe to use: a module implements [`Guest`] and exports it with [`abi_export!`],
//! the host makes an [`Instance`] and calls it. Between them are tables of `repr(C)` that only grow
//! at their ends, and bytes. `README.md` says who owns which memory.

#[cfg(feature = "load")]
mod elf;
mod error;
mod export;
mod guest;
#[cfg(feature = "load")]
mod head;
mod host;
#[cfg(feature = "load")]
mod library;
pub mod manifest;
#[cfg(feature = "load")]
mod private;
mod raw;

pub use error::LoadError;
pub use guest::{Call, Guest, HostRef, panic_text};
pub use host::{Host, Instance, Panicked};
#[cfg(feature = "load")]
pub use library::{Allowed, Library};
pub use manifest::ManifestText;
pub use raw::RawModule;

/// The version of the boundary: major, minor.
///
/// Another major is refused. A minor only adds, so a host takes modules of its own minor and of all
/// earlier ones.
pub const ABI: (u16, u16) = (1, 0);

/// How many parts a call can have.
pub const PARTS: usize = 12;

/// The status of a call in which the module panicked. A module cannot return it for anything else.
pub const PANICKED: u32 = u32::MAX;

/// What [`HostRef::op`] returns as an error when the host itself failed while it answered.
pub const HOST_FAULT: u32 = u32::MAX;

/// Levels of [`Host::log`] and [`HostRef::log`].
pub mod level {
    /// Data at risk, or a feature is off.
    pub const ERROR: u32 = 1;
    /// Look at it this week.
    pub const WARN: u32 = 2;
    /// What happens in the life of the server.
    pub const INFO: u32 = 3;
    /// The way of one stanza.
    pub const DEBUG: u32 = 4;
}
