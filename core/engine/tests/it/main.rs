//! The engine seen from outside.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod delivery;
mod leaving;
mod sessions;
mod world;
