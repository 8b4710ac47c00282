//! The actor of one connection: bytes in, events to the account's shard, bytes out.
//!
//! All it does happens in [`Client::turn`], which runs when the socket, the outbox, the timer or a
//! password check has news. A turn reads what is there, hands all of it to the shard together, and
//! writes once.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use actix::prelude::*;
use calypte::wire::LoginFacts;
use crypto::Secret;
use engine::Event;
use stream::{Channel, Facts, Stream};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use xmpp::{Jid, StreamError};

use super::gate::Place;
use super::hall::Hall;
use super::inbox::Parcel;
use super::outbox::Outbox;
use super::worker::Worker;

mod answers;
mod login;
mod pace;
mod transport;
mod turn;

use pace::Pace;
pub(crate) use transport::Port;
use transport::Transport;

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
    stream: Box<Stream>,
    /// Whether TLS holds bytes that are not on the socket.
    wants_flush: bool,
    stage: Stage,
    /// What is known of its TLS, until it logs in.
    facts: Option<Box<Facts>>,
    /// How it logged in, until the session is opened.
    login: Option<Box<LoginFacts>>,
    /// The account, once it is proved.
    account: Option<Jid>,
    /// Whether the shard has a session of this connection, or is asked for one.
    is_linked: bool,
    /// The mechanism is answered when this is done.
    check: Option<Pin<Box<dyn Future<Output = Option<Secret>>>>>,
    batch: Batch,
    acks: Acks,
    pace: Pace,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
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
        let pace = Pace::new(&hall.shared.config.load().limits);
        Ok(Self {
            hall,
            outbox,
            place,
            io: Transport::new(port, socket),
            stream,
            wants_flush: false,
            stage: Stage::Open,
            facts: None,
            login: None,
            account: None,
            is_linked: false,
            check: None,
            batch: Batch::default(),
            acks: Acks::default(),
            pace,
            timer: None,
        })
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

    /// Tells the shard that the connection is over, once.
    fn unlink(&mut self, may_come_back: bool) {
        if std::mem::take(&mut self.is_linked) {
            let session = self.outbox.id();
            self.batch.events.push(if may_come_back {
                Event::Detached { session }
            } else {
                Event::Closed { session }
            });
        }
        self.submit();
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
            let wait = if self.account.is_some() { GOODBYE } else { GOODBYE_TO_STRANGERS };
            self.stage = Stage::Ending(Instant::now() + wait);
        }
    }

    /// The connection is lost, or not worth a word.
    fn drop_off(&mut self) {
        self.unlink(true);
        self.stage = Stage::Over;
    }
}

fn new_stream(hall: &Hall, channel: Channel) -> Box<Stream> {
    let mut chance = [0; 32];
    crypto::random(&mut chance);
    Box::new(Stream::new(hall.settings(), channel, chance))
}

/// The one future of the actor.
struct Turns;

impl ActorFuture<Client> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        client: &mut Client,
        context: &mut Context<Client>,
        poller: &mut Poller<'_>,
    ) -> Poll<()> {
        let turn = client.turn(poller);
        if turn.is_ready() {
            context.stop();
        }
        turn
    }
}

impl Actor for Client {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Turns);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.outbox.leave();
        // Only after a panic: otherwise the shard knows. It may be the one that panicked, so it is
        // not called from here.
        if let (true, Some(account)) = (self.is_linked, &self.account) {
            let event = Event::Detached { session: self.outbox.id() };
            if let Some(inbox) = self.hall.inbox(self.hall.shard_of(account)) {
                inbox.push(Parcel::Client { link: None, events: vec![event], receipt: None });
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.outbox.id()).finish_non_exhaustive()
    }
}
