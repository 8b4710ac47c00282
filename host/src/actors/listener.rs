//! Accepts connections and hands them to the arbiters in turn.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::net::TcpListener;

use super::client::{Client, Port};
use super::component::Component;
use super::doorman::{self, Wanted};
use super::gate::Guests;
use super::hall::Hall;
use super::link::Link;
use super::outbox::Outbox;
use crate::config::federation::With;
use crate::http::Arrived;

/// How long to wait when the system has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Who comes to a port, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entrance {
    /// These, in this way.
    Of(Guests, Port),
    /// All that begins with TLS.
    All,
}

impl Entrance {
    /// Returns the words for the log: for whom it is, and how TLS begins.
    pub(super) fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Of(Guests::Components, _) => (Guests::Components.name(), "none"),
            Self::Of(guests, port) => (guests.name(), port.name()),
            Self::All => ("all", Port::Direct.name()),
        }
    }
}

/// One bound port.
pub(crate) struct Listener {
    hall: Arc<Hall>,
    arbiters: Vec<ArbiterHandle>,
    entrance: Entrance,
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
        entrance: Entrance,
        socket: StdListener,
    ) -> io::Result<Self> {
        let socket = Some(TcpListener::from_std(socket)?);
        let (hall, arbiters) = (Arc::clone(hall), arbiters.to_vec());
        Ok(Self { hall, arbiters, entrance, socket, next: 0 })
    }

    /// Returns the next arbiter in turn.
    fn arbiter(&mut self) -> Option<ArbiterHandle> {
        self.next = self.next.wrapping_add(1);
        let index = self.next.checked_rem(self.arbiters.len()).unwrap_or(0);
        self.arbiters.get(index).cloned()
    }
}

/// Lets a connection in, or drops it.
fn welcome(
    hall: Arc<Hall>,
    arbiter: &ArbiterHandle,
    (guests, port): (Guests, Port),
    stream: StdStream,
    peer: SocketAddr,
) {
    let limit = hall.shared.config.load().limits.queue.bytes();
    let outbox = Outbox::new(hall.next_id(), limit);
    let Some(place) = hall.gate(guests).enter(peer.ip(), &outbox) else { return };
    arbiter.spawn_fn(move || {
        let begun = match guests {
            Guests::Clients => Client::new(hall, port, stream, outbox, place)
                .map(|client| Box::new(client).start()),
            Guests::Components => Component::start(hall, stream, outbox, place),
            Guests::Servers => Link::incoming(hall, port, stream, outbox, place).map(Link::start),
        };
        if let Err(error) = begun {
            tracing::debug!(%error, "A connection was lost before it began.");
        }
    });
}

/// Lets a connection in that has to say first what it is for.
async fn sort(
    hall: Arc<Hall>,
    arbiter: ArbiterHandle,
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
) {
    let config = hall.shared.config.load_full();
    let Some(place) = hall.shared.arrivals.places.enter(peer.ip(), &config.limits) else {
        return hall.shared.metrics.web_refused.one();
    };
    let Some(wanted) = doorman::wanted(&stream).await else {
        return hall.shared.metrics.web_refused.one();
    };
    let socket = match stream.into_std() {
        Ok(socket) => socket,
        Err(error) => return tracing::debug!(%error, "A connection was lost before it began."),
    };
    let guests = match wanted {
        Wanted::Client => Guests::Clients,
        Wanted::Server if config.federation.with != With::Nobody => Guests::Servers,
        Wanted::Server => return,
        Wanted::Web => return hall.shared.arrivals.put(Arrived { socket, peer, place }),
    };
    drop(place);
    welcome(hall, &arbiter, (guests, Port::Direct), socket, peer);
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
        let Some(arbiter) = self.arbiter() else { return };
        let hall = Arc::clone(&self.hall);
        let ready = stream.set_nodelay(true);
        let ready = match self.entrance {
            Entrance::All => ready.map(|()| drop(actix::spawn(sort(hall, arbiter, stream, peer)))),
            // The reactor of another arbiter is going to watch it.
            Entrance::Of(guests, port) => ready
                .and_then(|()| stream.into_std())
                .map(|stream| welcome(hall, &arbiter, (guests, port), stream, peer)),
        };
        if let Err(error) = ready {
            tracing::debug!(%error, "A connection was lost before it began.");
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
