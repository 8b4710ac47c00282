//! The actors: listeners, clients, shards and the disk. Nothing here yet.

use crate::server::Prepared;

/// Serves until the server is told to stop.
///
/// # Errors
///
/// A sentence when an actor cannot be started.
pub(crate) fn serve(prepared: Prepared) -> Result<(), String> {
    let Prepared { shared, sockets, ready } = prepared;
    let _attendants = shared.attend(sockets.http, sockets.admin)?;
    ready();
    Err("there are no actors yet".to_owned())
}
