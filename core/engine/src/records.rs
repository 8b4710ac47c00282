//! The engine's own rows: sessions that may come back, what waits for them or for other domains,
//! timers, crossings.

use bincode::{Decode, Encode};
use table::{Table, record};

/// Sessions that can be resumed, by their token.
pub(crate) const RESUMABLE: Table<str, Resumable> = Table::account("engine.resumable");

/// How many stanzas of such a session were handled, by its token.
pub(crate) const HANDLED: Table<str, Count> = Table::account("engine.handled");

/// Stanzas that such a session has not acknowledged, by token and number.
pub(crate) const UNACKED: Table<(String, u64), Kept> = Table::account("engine.unacked");

/// Timers, by module and name.
pub(crate) const WAKES: Table<(String, String), At> = Table::account("engine.wakes");

/// Stanzas that cross from shard to shard, by time, sender's shard and order.
pub(crate) const CROSSING: Table<(u64, u64), Kept> = Table::domain("engine.crossing");

/// Stanzas that wait for another domain, by time, virtual shard and order: see
/// [`crate::leaving`].
pub(crate) const LEAVING: Table<(u64, u64), Kept> = Table::domain("engine.leaving");

/// A session that can be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Resumable {
    pub(crate) resource: String,
    pub(crate) available: bool,
    pub(crate) priority: i8,
    pub(crate) ready_since: Option<u64>,
    pub(crate) presence: Option<String>,
    pub(crate) values: Vec<(String, Vec<u8>)>,
}

record!(Resumable, 1);

/// A count modulo 2³².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Count(pub(crate) u32);

record!(Count, 1);

/// A stanza and when it was received.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Kept {
    pub(crate) since_ms: u64,
    pub(crate) xml: String,
}

record!(Kept, 1);

/// A time in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct At(pub(crate) u64);

record!(At, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let kept = Kept { since_ms: 5, xml: "<a/>".into() };
        assert_eq!(UNACKED.encode(&kept), b"\x01\x05\x04<a/>");
        assert_eq!(CROSSING.encode(&kept), b"\x01\x05\x04<a/>");
        assert_eq!(LEAVING.encode(&kept), b"\x01\x05\x04<a/>");
        assert_eq!(HANDLED.encode(&Count(300)), b"\x01\xfb\x2c\x01");
        assert_eq!(WAKES.encode(&At(7)), b"\x01\x07");
        let resumable = Resumable {
            resource: "r".into(),
            available: true,
            priority: -1,
            ready_since: Some(7),
            presence: None,
            values: vec![("n".into(), vec![9])],
        };
        assert_eq!(RESUMABLE.encode(&resumable), b"\x01\x01r\x01\xff\x01\x07\x00\x01\x01n\x01\x09");
    }
}
