//! One shard of one domain, without I/O, clock or chance of its own.
//!
//! [`Engine::step`] takes an event and returns what to write and what to do once that is on disk.
//! Time comes with the event and randomness from a seed, so a run can be replayed.

mod answer;
mod blanks;
mod calls;
mod commands;
mod crowd;
mod discovery;
mod event;
mod forms;
mod frame;
mod inactive;
mod later;
mod leaving;
mod manifest;
mod peers;
mod pipeline;
mod receive;
mod records;
mod refusals;
mod requests;
mod restore;
mod resume;
mod rows;
mod send;
mod session;
mod shard;
mod step;
mod tokens;
mod verify;
mod wakes;

pub use event::{Ask, Effect, Event, Leg, Limits, Outcome, Setup};
pub use leaving::LeavingCount;
pub use manifest::{HookLine, Manifest};
pub use pipeline::{HookCount, ModuleState, Pipeline};
pub use shard::{SHARDS, shard_of};
pub use step::Engine;
