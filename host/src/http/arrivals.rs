//! Connections that others accepted and that turned out to be for HTTP.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::places::{Place, Places};

/// One of them. Its socket is watched by nobody.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The socket.
    pub(crate) socket: TcpStream,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// Its place, which bounds how many there are.
    pub(crate) place: Place,
}

/// Where they go, and how many there are on all ports for HTTP.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// The places of all.
    pub(crate) places: Arc<Places>,
    sender: UnboundedSender<Arrived>,
    receiver: Mutex<Option<UnboundedReceiver<Arrived>>>,
}

impl Default for Arrivals {
    fn default() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { places: Arc::default(), sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Arrivals {
    /// Hands one over. Where nobody serves HTTP it is dropped.
    pub(crate) fn put(&self, arrived: Arrived) {
        drop(self.sender.send(arrived));
    }

    /// Returns what comes, once.
    pub(super) fn take(&self) -> Option<UnboundedReceiver<Arrived>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
