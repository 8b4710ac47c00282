//! Tests of the whole server, and rules about the source.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic"
)]

mod acme;
mod certificates;
mod circles;
mod components;
mod disks;
mod ending;
mod files;
mod floods;
mod histories;
mod hostile;
mod imported;
mod imposture;
mod killed;
mod login;
mod modules;
mod published;
mod registering;
mod removed;
mod rooms_killed;
mod serving;
mod speaking;
mod tidy;
mod tokens;
mod web;
mod woken;
