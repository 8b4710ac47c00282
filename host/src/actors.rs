//! The actors: one for each shard, listener, client and connection with another server, and the
//! supervisor that owns them.
//!
//! A connection is read and written by its own actor. What it sends goes to the shard of its
//! account, without a message when that is on the same arbiter; what a shard has for it goes to its
//! outbox, from any arbiter, and wakes it once. README.md has the whole way.

use std::panic;
use std::sync::Arc;

use crate::server::Prepared;

mod client;
mod component;
mod components;
mod doorman;
mod fence;
pub(crate) mod gate;
mod hall;
mod inbox;
mod link;
mod listener;
mod looks;
mod outbox;
mod pace;
mod questions;
mod reading;
pub(crate) mod requests;
mod shard;
mod supervisor;
mod verdicts;
mod worker;
mod works;

pub(crate) use client::{Line, Port, Socket, Transport, facts_of};
pub(crate) use gate::Guests;
use hall::Hall;
pub(crate) use link::Step;
pub(crate) use listener::Entrance;
pub(crate) use outbox::{Outbox, Word};
use supervisor::{Control, Supervisor};

/// Serves until the server is told to stop.
///
/// # Errors
///
/// A sentence when an actor cannot be started.
pub(crate) fn serve(prepared: Prepared) -> Result<(), String> {
    let Prepared { shared, mut sockets, ready } = prepared;
    note_panics();
    let guests = sockets.ports.guests();
    let hall = Hall::new(Arc::clone(&shared))?;
    let system = actix::System::new();
    let outcome = system.block_on(async {
        let stopped = Supervisor::launch(&hall, guests).await?;
        shared.set_running(Arc::new(Control::new(&hall)));
        let attendants = shared.attend(sockets)?;
        ready();
        // It ends by sending, or by a panic.
        let _ = stopped.await;
        drop(attendants);
        Ok(())
    });
    // All that was decided is on disk before the process ends.
    let flushed = shared.store.commit(table::Batch::default());
    outcome.and_then(|()| flushed.map_err(|error| error.to_string()))
}

/// Says in the log where something panicked, and nothing of what it was working on: the words of a
/// panic may hold what a user wrote.
fn note_panics() {
    panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "A part of the server panicked; what it was doing is undone.");
    }));
}
