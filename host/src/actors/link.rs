//! The actor of one connection with another server, whoever began it.
//!
//! What comes in goes to the shards of the recipients; what goes out is taken from the routes that
//! the connection carries, in order, and stays with it until the peer has it. As that of a client,
//! all its work happens in [`Link::turn`].

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::Duration;

use actix::prelude::*;
use stream::s2s::{PeerSettings, Peering, Role};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use xmpp::StreamError;

use super::client::Port;
use super::gate::Place;
use super::hall::Hall;
use super::outbox::Outbox;
use super::pace::Pace;
use crate::federation::identity::Identity;
use crate::federation::resolve::Target;
use crate::federation::trouble::{Failed, Trouble};
use crate::federation::view::Introduction;

mod answers;
mod auth;
mod check;
mod courier;
mod dial;
mod freight;
mod intake;
mod send;
mod trace;
mod transport;
mod turn;

use auth::Asking;
use check::Check;
use dial::{Errand, Reached};
use freight::Freight;
use intake::Intake;
use transport::{Channel, Transport};

pub(crate) use check::Checks;
pub(crate) use courier::attend;
pub(crate) use send::{Leaving, part_with, send};
pub(super) use send::{give_back, offer};
pub(crate) use trace::{Step, trace};

/// How long a peer may take to end its side after we ended ours.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long what came may take to be dealt with before the stream ends.
const SETTLE: Duration = Duration::from_secs(2);
/// After so long without a byte, or with what was sent not received, the system gives up.
const SOCKET_WITHIN: Duration = Duration::from_secs(120);

/// See the file.
pub(crate) struct Link {
    hall: Arc<Hall>,
    outbox: Arc<Outbox>,
    /// Of a connection that came to us.
    place: Option<Place>,
    io: Transport,
    peering: Box<Peering>,
    /// Whether TLS holds bytes that are not on the socket.
    wants_flush: bool,
    stage: Stage,
    /// Why it is about to end, as soon as what came is dealt with, or at this time.
    parting: Option<(StreamError, Instant)>,
    /// What is known of its TLS.
    channel: Arc<Channel>,
    /// What its certificate proves about a name that was asked for.
    identity: Option<(String, Identity)>,
    /// The two domains in the header of a peer that came to us; the second is empty when it did
    /// not say.
    opened: Option<(String, String)>,
    /// Whether modules let the peer prove itself by dialback.
    may_dial_back: bool,
    /// Whether an extension proved the peer.
    is_extended: bool,
    /// Why we connected.
    errand: Option<Box<Mission>>,
    /// A question of the stream that is not answered yet. Nothing is taken from the stream
    /// meanwhile.
    asking: Option<Asking>,
    /// Keys that are being checked.
    checks: Vec<Check>,
    intake: Intake,
    freight: Freight,
    pace: Pace,
    /// When the last stanza passed.
    busy_at: Instant,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// What a connection of ours is for.
struct Mission {
    errand: Arc<Errand>,
    target: Target,
    /// Taken when it is known what came of it.
    told: Option<oneshot::Sender<Result<Reached, Trouble>>>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Reading and writing.
    Open,
    /// TLS begins when what there is is written; not reading.
    Securing,
    /// Our side is ended. What the peer still says is heard until then.
    Ending(Instant),
    /// Nothing is left to do.
    Over,
}

impl Link {
    /// Returns the actor of a connection that came to us.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn incoming(
        hall: Arc<Hall>,
        port: Port,
        socket: std::net::TcpStream,
        outbox: Arc<Outbox>,
        place: Place,
    ) -> io::Result<Self> {
        let socket = TcpStream::from_std(socket)?;
        prepare(&socket)?;
        let io = match port {
            Port::StartTls => Transport::Plain(socket),
            Port::Direct => Transport::Silent(socket),
        };
        let peering = peering(hall.federation.settings(), Role::Receiver, port == Port::Direct);
        Ok(Self::new(hall, outbox, io, peering, Some(place), None))
    }

    /// Returns the actor of a connection that we began.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn outgoing(
        hall: &Arc<Hall>,
        socket: TcpStream,
        errand: &Arc<Errand>,
        target: Target,
        told: oneshot::Sender<Result<Reached, Trouble>>,
    ) -> Result<Self, String> {
        prepare(&socket).map_err(|error| error.to_string())?;
        let is_direct = target.is_direct;
        let (local, remote) = (errand.local.clone(), errand.remote.clone());
        let peering =
            peering(hall.federation.settings(), Role::Initiator { local, remote }, is_direct);
        let mut io = Transport::Plain(socket);
        if is_direct {
            io.connect(&hall.shared.tls.current(), &errand.remote, true)?;
        }
        let limit = hall.shared.config.load().limits.queue.bytes();
        let outbox = Outbox::new(hall.next_id(), limit);
        let mission = Mission { errand: Arc::clone(errand), target, told: Some(told) };
        Ok(Self::new(Arc::clone(hall), outbox, io, peering, None, Some(Box::new(mission))))
    }

    fn new(
        hall: Arc<Hall>,
        outbox: Arc<Outbox>,
        io: Transport,
        peering: Box<Peering>,
        place: Option<Place>,
        errand: Option<Box<Mission>>,
    ) -> Self {
        let config = hall.shared.config.load();
        let pace = Pace::of_peer(&config.limits, config.federation.connect_within.0);
        let remote = errand.as_ref().map(|mission| mission.errand.remote.as_str());
        let introduction = Introduction { remote, is_outgoing: errand.is_some() };
        hall.federation.enter(&outbox, introduction);
        if errand.is_some() {
            hall.shared.metrics.s2s_out.add(1);
        }
        Self {
            outbox,
            place,
            io,
            peering,
            wants_flush: false,
            stage: Stage::Open,
            parting: None,
            channel: Arc::default(),
            identity: None,
            opened: None,
            may_dial_back: true,
            is_extended: false,
            errand,
            asking: None,
            checks: Vec::new(),
            intake: Intake::default(),
            freight: Freight::default(),
            pace,
            busy_at: Instant::now(),
            timer: None,
            hall,
        }
    }

    /// Begins to work, on this arbiter.
    pub(crate) fn start(self) {
        drop(Attendant(Box::new(self)).start());
    }

    /// Tells who waits for it what came of the attempt. Only the first word counts.
    fn report(&mut self, outcome: Result<Reached, Trouble>) {
        if let Some(told) = self.errand.as_mut().and_then(|mission| mission.told.take()) {
            // Who waited may have given up.
            drop(told.send(outcome));
        }
    }

    /// Tells whether somebody waits to hear what comes of the attempt.
    fn is_trying(&self) -> bool {
        self.errand.as_ref().is_some_and(|mission| mission.told.is_some())
    }

    /// The attempt failed.
    fn fail(&mut self, failed: Failed, text: impl Into<String>) {
        if self.is_trying() {
            self.report(Err(Trouble::new(failed, text)));
        }
    }

    /// Ends our side of the stream once what came is dealt with, so that the last count says so.
    fn part(&mut self, why: StreamError) {
        self.hall.federation.note_ending(self.outbox.id());
        self.parting.get_or_insert_with(|| (why, Instant::now() + SETTLE));
    }

    /// Ends our side of the stream.
    fn end(&mut self, why: Option<StreamError>) {
        if matches!(self.stage, Stage::Ending(_) | Stage::Over) {
            return;
        }
        self.submit();
        self.hall.federation.note_ending(self.outbox.id());
        self.release();
        self.asking = None;
        self.checks.clear();
        // Before TLS is there, there is nobody to say goodbye to.
        if self.io.is_mute() {
            self.stage = Stage::Over;
            return;
        }
        self.last_ack();
        self.peering.close(why);
        self.stage = Stage::Ending(Instant::now() + GOODBYE);
    }

    /// The connection is lost, or not worth a word.
    fn drop_off(&mut self) {
        self.submit();
        self.stage = Stage::Over;
        self.fail(Failed::Closed, "the connection was lost");
    }
}

fn peering(settings: Arc<PeerSettings>, role: Role, is_tls: bool) -> Box<Peering> {
    let mut chance = [0; 32];
    crypto::random(&mut chance);
    Box::new(Peering::new(settings, role, is_tls, chance))
}

pub(super) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_user_timeout(Some(SOCKET_WITHIN))?;
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(SOCKET_WITHIN))
}

/// The actor.
struct Attendant(Box<Link>);

/// The one future of the actor.
struct Turns;

impl ActorFuture<Attendant> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        attendant: &mut Attendant,
        context: &mut Context<Attendant>,
        poller: &mut Poller<'_>,
    ) -> Poll<()> {
        ready!(attendant.0.turn(poller));
        context.stop();
        Poll::Ready(())
    }
}

impl Actor for Attendant {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Turns);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.hall.federation.leave(self.outbox.id());
        self.outbox.leave();
        self.release();
        if self.errand.is_some() {
            self.hall.shared.metrics.s2s_out.add(-1);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.outbox.id()).finish_non_exhaustive()
    }
}
