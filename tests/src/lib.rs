//! What whole-server tests need: the built program in a folder of its own ([`Server`]), and a
//! blocking client that says exactly what a test wants ([`Client`]).
//!
//! Nothing of the server's own code is used here, so that both cannot be wrong in the same way.
//! Everything panics with a sentence when it does not go as a test expects.
//!
//! ```no_run
//! use calypte_tests::{Client, Server};
//!
//! let server = Server::start();
//! let mut ana = Client::login(&server, "ana");
//! let mut ben = Client::login(&server, "ben");
//! ana.send("<message to='ben@chat.example' type='chat'><body>Hi</body></message>");
//! ben.expect(&["<message", "Hi"]);
//! ```

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::expect_used, reason = "a test may panic")]
#![allow(clippy::panic, reason = "a test may panic")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::string_slice, reason = "a test may panic")]
#![allow(clippy::missing_panics_doc, reason = "all of it panics when a test fails")]

mod acme;
mod authority;
mod chance;
mod client;
mod component;
mod cut;
mod disk;
mod foreign;
mod host;
mod lab;
mod peer;
mod program;
mod scram;
mod script;
mod server;
mod setup;
pub mod web;

use std::time::{Duration, Instant};

pub use acme::{Acme, Ask};
pub use authority::{Authority, Certificate, Kind};
pub use chance::Chance;
pub use client::{Client, Heard, How, Mechanism, Memory, Port, attr};
pub use component::Component;
pub use disk::Disk;
pub use foreign::{Foreign, Which};
pub use host::Host;
pub use lab::{Conduct, Edit, Impostor, Lab, Manners, Names, Road, Station, UNSIGNED};
pub use peer::Peer;
pub use program::{Form, MODULES, library};
pub use scram::Scram;
pub use script::{installed, play, python};
pub use server::{Ran, Server, free_ports};
pub use setup::{Setup, load};

/// The domain of every test server.
pub const DOMAIN: &str = "chat.example";

/// How long something that will happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the password of the account `name`.
#[must_use]
pub fn password(name: &str) -> String {
    format!("pa55-{name}-Wort")
}

/// Waits until `is_so`, for at most [`PATIENCE`].
#[track_caller]
pub fn wait(what: &str, is_so: impl FnMut() -> bool) {
    within(PATIENCE, what, is_so);
}

/// Waits until `is_so`, for at most so long.
#[track_caller]
pub(crate) fn within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !is_so() {
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}
