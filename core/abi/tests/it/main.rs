//! Modules on both sides of the boundary, inside the program and in files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bundled;
// Miri has no compiler to run and no loader.
#[cfg(not(miri))]
mod files;
#[cfg(not(miri))]
mod fixtures;
#[cfg(not(miri))]
mod hostile;
#[cfg(not(miri))]
mod loaded;
mod recorder;
