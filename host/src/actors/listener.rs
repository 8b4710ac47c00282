//! Accepts connections and hands them to the arbiters in turn.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::net::TcpListener;

use super::client::{Client, Port};
use super::component::Component;
use super::gate::Guests;
use super::hall::Hall;
use super::link::Link;
use super::outbox::Outbox;

/// How long to wait when the system has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// One bound port.
pub(crate) struct Listener {
    hall: Arc<Hall>,
    arbiters: Vec<ArbiterHandle>,
    guests: Guests,
    port: Port,
    socket: Option<TcpListener>,
    next: usize,
}

impl Listener {
    /// Returns the actor of a bound port.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(
        hall: &Arc<Hall>,
        arbiters: &[ArbiterHandle],
        (guests, port): (Guests, Port),
        socket: StdListener,
    ) -> io::Result<Self> {
        let socket = Some(TcpListener::from_std(socket)?);
        let (hall, arbiters) = (Arc::clone(hall), arbiters.to_vec());
        Ok(Self { hall, arbiters, guests, port, socket, next: 0 })
    }

    /// Lets a connection in, or drops it.
    fn welcome(&mut self, stream: StdStream, peer: SocketAddr) {
        let limit = self.hall.shared.config.load().limits.queue.bytes();
        let outbox = Outbox::new(self.hall.next_id(), limit);
        let Some(place) = self.hall.gate(self.guests).enter(peer.ip(), &outbox) else { return };
        self.next = self.next.wrapping_add(1);
        let index = self.next.checked_rem(self.arbiters.len()).unwrap_or(0);
        let Some(arbiter) = self.arbiters.get(index) else { return };
        let (hall, guests, port) = (Arc::clone(&self.hall), self.guests, self.port);
        arbiter.spawn_fn(move || {
            let begun = match guests {
                Guests::Clients => Client::new(hall, port, stream, outbox, place)
                    .map(|client| Box::new(client).start()),
                Guests::Components => Component::start(hall, stream, outbox, place),
                Guests::Servers => {
                    Link::incoming(hall, port, stream, outbox, place).map(Link::start)
                }
            };
            if let Err(error) = begun {
                tracing::debug!(%error, "A connection was lost before it began.");
            }
        });
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(socket) = self.socket.take() else { return };
        let connections = futures_util::stream::unfold(socket, |socket| async {
            loop {
                match socket.accept().await {
                    Ok((stream, peer)) => return Some(((stream, peer), socket)),
                    Err(error) if is_of_one(&error) => {}
                    Err(error) => {
                        tracing::error!(%error, "No connection can be accepted for a moment.");
                        tokio::time::sleep(REST).await;
                    }
                }
            }
        });
        context.add_stream(connections);
    }
}

/// Whether the error is that of one connection, which is gone again.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl StreamHandler<(tokio::net::TcpStream, SocketAddr)> for Listener {
    fn handle(
        &mut self,
        (stream, peer): (tokio::net::TcpStream, SocketAddr),
        _: &mut Self::Context,
    ) {
        // The reactor of another arbiter is going to watch it.
        match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => self.welcome(stream, peer),
            Err(error) => tracing::debug!(%error, "A connection was lost before it began."),
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

/// Accept nobody any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Close;

impl Handler<Close> for Listener {
    type Result = ();

    fn handle(&mut self, _: Close, context: &mut Self::Context) {
        context.stop();
    }
}
