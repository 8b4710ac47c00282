//! The store: tables on sled, one writer, group commit, verification and backup.
//!
//! What is durable survives `kill -9` and power loss. The README says what was measured about sled
//! and what is done about it.

mod backup;
mod crashing;
mod error;
mod mark;
mod open;
mod reader;
mod row;
mod space;
mod writer;

pub use backup::{Report, Summary, each_row, restore, verify};
pub use crashing::Crashing;
pub use error::StoreError;
pub use open::{Health, Options, Store};
