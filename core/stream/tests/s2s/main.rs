//! Streams between servers: two of ours against each other, and each against hostile input.

#![allow(clippy::unwrap_used, clippy::panic, clippy::string_slice, reason = "a test may panic")]

mod answered;
mod duo;
mod hostile;
mod namespaces;
mod paths;
mod pieces;
