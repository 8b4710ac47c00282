//! The actor of one connection: bytes in, events to the account's shard, bytes out.
//!
//! It begins on any arbiter. As soon as the account is proved it goes to the arbiter of the account's
//! shard, so that what it sends needs no message and no other processor has to wake up.
//!
//! All it does happens in [`Client::turn`], which runs when the socket, the outbox, the timer or a
//! password check has news. A turn reads what is there, hands all of it to the shard together, and
//! writes once.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::Duration;

use actix::prelude::*;
use calypte::wire::LoginFacts;
use crypto::Secret;
use engine::Event;
use stream::{Channel, Facts, Stream};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use xmpp::{Jid, Stanza, StreamError};

use super::gate::Place;
use super::hall::Hall;
use super::inbox::Parcel;
use super::outbox::Outbox;
use super::pace::Pace;
use super::requests::Posted;
use super::worker::Worker;

mod answers;
mod framing;
mod login;
mod socket;
mod transport;
mod turn;

use framing::{Framing, Requests, WebSocket};
pub(super) use login::verifiers;
pub(crate) use socket::Socket;
pub(crate) use transport::{Port, Transport, facts as facts_of};

/// How long a client may take to end its side after we ended ours.
const GOODBYE: Duration = Duration::from_secs(3);
/// The same for one that has not logged in, and may have come only to take a place.
const GOODBYE_TO_STRANGERS: Duration = Duration::from_millis(500);

/// See the file.
pub(crate) struct Client {
    hall: Arc<Hall>,
    outbox: Arc<Outbox>,
    place: Place,
    io: Transport,
    framing: Framing,
    stream: Box<Stream>,
    /// Whether TLS holds bytes that are not on the socket.
    wants_flush: bool,
    stage: Stage,
    /// What is known of its TLS, until it logs in.
    facts: Option<Box<Facts>>,
    /// How it logged in, until the session is opened.
    login: Option<Box<LoginFacts>>,
    /// What stands for the password that was asked for.
    password: Option<[u8; 16]>,
    /// What it asked before it logged in, and the token of the question, where one waits.
    early: Option<(Stanza, u64)>,
    /// The account, once it is proved.
    account: Option<Jid>,
    /// The full address of a client whose binding is not answered.
    binding: Option<Jid>,
    /// Whether the shard has a session of this connection, or is asked for one.
    is_linked: bool,
    /// The mechanism is answered when this is done.
    check: Option<Pin<Box<dyn Future<Output = Checked> + Send>>>,
    batch: Batch,
    acks: Acks,
    pace: Pace,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// What became of work on a thread of its own.
#[derive(Debug)]
enum Checked {
    /// A password was checked; its client key when it is right.
    Password(Option<Secret>),
    /// One more form of a password is kept, or is not worth to be.
    Kept,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Reading and writing.
    Open,
    /// TLS begins when the go-ahead is written; not reading.
    Securing,
    /// Waiting for the answer of a shard; not reading.
    Asking,
    /// About to go to the arbiter of its shard; not reading.
    Moving,
    /// Our side is ended; what is left is written until then.
    Ending(Instant),
    /// Nothing is left to do.
    Over,
}

/// What goes to the shard together.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<Event>,
    stanzas: usize,
    bytes: usize,
}

/// Numbers of stanzas, in both directions.
#[derive(Debug, Default)]
struct Acks {
    /// How many stanzas of this connection went to the shard.
    taken: u64,
    /// With acknowledgements: what `taken` was when the count was this.
    base: Option<(u64, u32)>,
    /// The client asked for the count when `taken` was this.
    asked_at: Option<u64>,
    /// Stanzas written since we asked.
    unasked: u32,
}

impl Client {
    /// Returns the actor of an accepted connection.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(
        hall: Arc<Hall>,
        port: Port,
        socket: std::net::TcpStream,
        outbox: Arc<Outbox>,
        place: Place,
    ) -> io::Result<Self> {
        let socket = TcpStream::from_std(socket)?;
        let stream = new_stream(&hall, Channel::Plain);
        let io = Transport::new(port, socket);
        Ok(Self::with(hall, (io, Framing::Document), stream, outbox, place))
    }

    /// Returns the actor of a client that HTTP let through. It is not on an arbiter yet.
    pub(crate) fn over_websocket(hall: Arc<Hall>, line: Line, caller: Caller) -> Self {
        let Line { io, facts, answer, heard } = line;
        let mut stream = new_stream_of_messages(&hall, facts.clone());
        let mut socket = WebSocket::new(answer);
        socket.hear(&heard, &mut stream);
        let framing = Framing::WebSocket(Box::new(socket));
        let Caller { outbox, place } = caller;
        let mut client = Self::with(hall, (io, framing), stream, outbox, place);
        client.facts = Some(Box::new(facts));
        client
    }

    /// Returns the actor of a client that comes by requests, with the first of them. It is not on
    /// an arbiter yet.
    pub(crate) fn by_requests(
        hall: Arc<Hall>,
        first: Posted,
        facts: Facts,
        caller: Caller,
    ) -> Self {
        let mut stream = new_stream_of_messages(&hall, facts.clone());
        let mut requests = Requests::new(&hall.requests, hall.domain.as_str(), first);
        requests.obey(&mut stream);
        let framing = Framing::Requests(Box::new(requests));
        let Caller { outbox, place } = caller;
        let io = Transport::Elsewhere;
        let mut client = Self::with(hall, (io, framing), stream, outbox, place);
        client.facts = Some(Box::new(facts));
        client
    }

    fn with(
        hall: Arc<Hall>,
        (io, framing): (Transport, Framing),
        stream: Box<Stream>,
        outbox: Arc<Outbox>,
        place: Place,
    ) -> Self {
        let pace = Pace::new(&hall.shared.config.load().limits);
        Self {
            hall,
            outbox,
            place,
            io,
            framing,
            stream,
            wants_flush: false,
            stage: Stage::Open,
            facts: None,
            login: None,
            password: None,
            early: None,
            account: None,
            binding: None,
            is_linked: false,
            check: None,
            batch: Batch::default(),
            acks: Acks::default(),
            pace,
            timer: None,
        }
    }

    /// Begins to work, on this arbiter.
    pub(crate) fn start(self: Box<Self>) {
        drop(Attendant(Some(self)).start());
    }

    /// Goes to the arbiter of its shard.
    fn leave(mut self: Box<Self>) {
        // It belongs to this runtime.
        self.timer = None;
        let Some(account) = &self.account else { return };
        let Some(arbiter) = self.hall.arbiter(self.hall.shard_of(account)) else { return };
        if let Err(error) = self.io.leave() {
            tracing::debug!(conn = self.outbox.id(), %error, "A connection broke.");
            return;
        }
        arbiter.spawn_fn(move || self.arrive());
    }

    /// Goes on where it came to.
    pub(crate) fn arrive(mut self: Box<Self>) {
        if let Err(error) = self.io.arrive() {
            tracing::debug!(conn = self.outbox.id(), %error, "A connection broke.");
            return;
        }
        self.stage = Stage::Open;
        self.take_events();
        self.submit();
        self.start();
    }

    /// Hands what came in to the shard of the account.
    fn submit(&mut self) {
        let Batch { events, stanzas, bytes } = std::mem::take(&mut self.batch);
        let (Some(account), false) = (&self.account, events.is_empty()) else { return };
        let shard = self.hall.shard_of(account);
        let receipt = (stanzas > 0).then(|| {
            let first = self.acks.taken.saturating_add(1);
            self.acks.taken =
                self.acks.taken.saturating_add(u64::try_from(stanzas).unwrap_or(u64::MAX));
            self.outbox.receipt(first, stanzas, bytes)
        });
        let begins = |event: &Event| matches!(event, Event::Opened { .. } | Event::Resume { .. });
        let link = events.iter().any(begins).then(|| Arc::clone(&self.outbox));
        self.is_linked |= link.is_some();
        Worker::hand(&self.hall, shard, Parcel::Client { link, events, receipt });
    }

    /// Tells the shard that the connection is over, once. That waits for its turn there: when all
    /// connections end together, each says goodbye before the shard works on their ends.
    fn unlink(&mut self, may_come_back: bool) {
        self.submit();
        if std::mem::take(&mut self.is_linked) {
            let session = self.outbox.id();
            self.put_in(if may_come_back {
                Event::Detached { session }
            } else {
                Event::Closed { session }
            });
        }
    }

    fn put_in(&self, event: Event) {
        let shard = self.account.as_ref().map(|account| self.hall.shard_of(account));
        if let Some(inbox) = shard.and_then(|shard| self.hall.inbox(shard)) {
            inbox.push(Parcel::Client { link: None, events: vec![event], receipt: None });
        }
    }

    /// Ends our side of the stream.
    fn end(&mut self, why: Option<StreamError>, may_come_back: bool) {
        self.unlink(may_come_back);
        if !matches!(self.stage, Stage::Ending(_) | Stage::Over) {
            if why.is_some() {
                self.hall.shared.metrics.stream_errors.one();
            }
            self.check = None;
            // Before TLS is there, there is nobody to say goodbye to.
            if self.io.is_mute() {
                self.stage = Stage::Over;
                return;
            }
            self.stream.close(why);
            self.gather();
            let wait = if self.account.is_some() { GOODBYE } else { GOODBYE_TO_STRANGERS };
            self.stage = Stage::Ending(Instant::now() + wait);
        }
    }

    /// Gives what the stream has to say to what carries it.
    fn gather(&mut self) {
        if let Framing::WebSocket(socket) = &mut self.framing {
            socket.gather(&mut self.stream);
        }
    }

    /// Returns how much is to be written.
    fn unwritten(&self) -> usize {
        let of_socket = match &self.framing {
            Framing::WebSocket(socket) => socket.output.len(),
            Framing::Document | Framing::Requests(_) => 0,
        };
        self.stream.unwritten().saturating_add(of_socket)
    }

    /// The connection is lost, or not worth a word.
    fn drop_off(&mut self) {
        self.unlink(true);
        self.stage = Stage::Over;
    }
}

fn new_stream(hall: &Hall, channel: Channel) -> Box<Stream> {
    Box::new(Stream::new(hall.settings(), channel, new_chance()))
}

fn new_stream_of_messages(hall: &Hall, facts: Facts) -> Box<Stream> {
    Box::new(Stream::of_messages(hall.settings(), facts, new_chance()))
}

fn new_chance() -> [u8; 32] {
    let mut chance = [0; 32];
    crypto::random(&mut chance);
    chance
}

/// A connection that HTTP hands over to be a WebSocket. Its socket is on its way.
pub(crate) struct Line {
    /// The connection.
    pub(crate) io: Transport,
    /// What is known of its TLS, as far as that is the client's.
    pub(crate) facts: Facts,
    /// What HTTP has to say first.
    pub(crate) answer: Vec<u8>,
    /// What the client said behind its request.
    pub(crate) heard: Vec<u8>,
}

/// A client that was let in.
pub(crate) struct Caller {
    /// What is said to it.
    pub(crate) outbox: Arc<Outbox>,
    /// Its place.
    pub(crate) place: Place,
}

/// The actor. Its client is gone when it went to another arbiter.
struct Attendant(Option<Box<Client>>);

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turned {
    /// The connection is over.
    Over,
    /// It wants to go to the arbiter of its shard.
    Leaves,
}

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
        let Some(client) = &mut attendant.0 else { return Poll::Ready(()) };
        let turned = ready!(client.turn(poller));
        context.stop();
        if let (Turned::Leaves, Some(client)) = (turned, attendant.0.take()) {
            client.leave();
        }
        Poll::Ready(())
    }
}

impl Actor for Attendant {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Turns);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.outbox.leave();
        if let Some((_, token)) = &self.early {
            self.hall.questions.forget(*token);
        }
        // Only after a panic: otherwise the shard knows. It may be the one that panicked, so it is
        // not called from here.
        if self.is_linked {
            self.put_in(Event::Detached { session: self.outbox.id() });
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.outbox.id()).finish_non_exhaustive()
    }
}
