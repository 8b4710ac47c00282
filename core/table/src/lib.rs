//! Typed tables: keys in order, versioned records, batches. No I/O.

mod key;
mod overlay;
mod record;
mod storage;
mod table;

pub use key::Key;
pub use overlay::Overlay;
pub use record::{Broken, Record, decode_body, encode_body};
pub use storage::{Batch, Fault, Memory, Rows, Storage, Ticket};
pub use table::{Scope, Table, full_key};

#[doc(hidden)]
pub use bincode;
