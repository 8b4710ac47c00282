//! The program from outside: configurations that are wrong, and commands with the server stopped.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::panic, reason = "a test may panic")]

mod configs;
mod https;
mod modules;
mod place;
mod questions;
mod records;
mod running;
mod users;
