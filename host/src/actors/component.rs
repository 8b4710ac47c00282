//! The actor of one connection of a component. As that of a client, all its work happens in one
//! place, [`Component::turn`], whenever it is woken.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use engine::Event;
use stream::{ComponentEvent, ComponentStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use xmpp::{Stanza, StreamError};

use super::components::{away, bounce, pass};
use super::fence::Fence;
use super::gate::Place;
use super::hall::Hall;
use super::inbox::Parcel;
use super::link;
use super::outbox::{Outbox, Word};
use super::worker::Worker;
use crate::federation::route::{Entry, Route};

/// How long it may take to prove its domain.
const PROVED_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to read the end of our side.
const GOODBYE: Duration = Duration::from_secs(5);
/// Rounds in one turn.
const ROUNDS: usize = 8;
/// What is read at a time.
const READ_BYTES: usize = 16 << 10;
/// What is written before it goes to the socket.
const WRITE_BYTES: usize = 16 << 10;
/// Answers of ours that it has not taken before it is not read any more.
const UNTAKEN_BYTES: usize = 64 << 10;
/// Its stanzas under way before it is not read any more.
const STANZAS_UNDER_WAY: usize = 512;
/// Their bytes.
const BYTES_UNDER_WAY: usize = 1 << 20;

/// Stanzas that it is not known to have before it gets no more.
const UNANSWERED_MAX: usize = 1024;

/// See the file.
pub(super) struct Component {
    hall: Arc<Hall>,
    outbox: Arc<Outbox>,
    place: Place,
    socket: TcpStream,
    stream: ComponentStream,
    /// What waits for it, once it has proved its domain.
    route: Option<Arc<Route>>,
    /// What is written and it is not known to have.
    taken: VecDeque<Entry>,
    fence: Fence,
    /// How many stanzas went to shards.
    passed: u64,
    is_lost: bool,
    /// When it has to have proved its domain, or to be gone.
    until: Option<Pin<Box<Sleep>>>,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Some,
    Dry,
    Held,
}

impl Component {
    /// Begins to work with a connection, on this arbiter.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn start(
        hall: Arc<Hall>,
        socket: std::net::TcpStream,
        outbox: Arc<Outbox>,
        place: Place,
    ) -> io::Result<()> {
        let socket = TcpStream::from_std(socket)?;
        link::prepare(&socket)?;
        let mut chance = [0; 32];
        crypto::random(&mut chance);
        let settings = Arc::clone(&hall.components.settings);
        let mut component = Self {
            hall,
            outbox,
            place,
            socket,
            stream: ComponentStream::new(settings, chance),
            route: None,
            taken: VecDeque::new(),
            fence: Fence::default(),
            passed: 0,
            is_lost: false,
            until: Some(Box::pin(sleep_until(Instant::now() + PROVED_WITHIN))),
        };
        drop(actix::spawn(async move { poll_fn(|poller| component.turn(poller)).await }));
        Ok(())
    }

    /// Does all that can be done now. Ready: the connection is over.
    fn turn(&mut self, poller: &mut Poller<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            let seen = self.outbox.under_way().news;
            let read = self.read(poller);
            self.take_words();
            let is_dry = self.write(poller);
            if is_dry && self.stream.is_over() {
                self.shut(poller);
            }
            self.check_answer(poller, read);
            self.check_timer(poller);
            if self.is_lost {
                return Poll::Ready(());
            }
            let is_done = match read {
                // One that floods takes turns with the others of its processor.
                Read::Some => break,
                Read::Dry => true,
                Read::Held => !self.may_read(poller),
            };
            let wants_work = self.is_busy().then_some(seen);
            if is_done && self.outbox.sleep(poller.waker(), true, wants_work) {
                return Poll::Pending;
            }
        }
        poller.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_busy(&self) -> bool {
        let under_way = self.outbox.under_way();
        under_way.stanzas >= STANZAS_UNDER_WAY || under_way.bytes >= BYTES_UNDER_WAY
    }

    fn may_read(&mut self, poller: &Poller<'_>) -> bool {
        if self.stream.is_over() {
            // Nothing of it is heard. What is not read could take our last word from it.
            return true;
        }
        let has_room = self.stream.output().len() < UNTAKEN_BYTES && !self.is_busy();
        has_room && self.hall.inboxes().iter().all(|inbox| inbox.has_room(poller.waker()))
    }

    fn read(&mut self, poller: &mut Poller<'_>) -> Read {
        if !self.may_read(poller) {
            return Read::Held;
        }
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.socket).poll_read(poller, &mut buffer) {
            Poll::Pending => Read::Dry,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.stream.feed(buffer.filled());
                self.take_events();
                Read::Some
            }
            Poll::Ready(_) => {
                self.is_lost = true;
                Read::Dry
            }
        }
    }

    fn take_events(&mut self) {
        let mut run = (0, Vec::new(), 0);
        while let Some(event) = self.stream.poll() {
            match event {
                ComponentEvent::Proved(domain) => self.proved(&domain),
                ComponentEvent::Stanza(stanza) => self.take_stanza(stanza, &mut run),
                ComponentEvent::Malformed(stanza, error) => bounce(&self.hall, &stanza, &error),
                ComponentEvent::Closed => self.expect_end(),
            }
        }
        self.submit(run);
    }

    /// XEP-0114 §3: the first one that proves a domain has it.
    fn proved(&mut self, domain: &str) {
        let route = self.hall.components.route(domain).cloned();
        let Some(route) = route.filter(|route| route.attach(self.outbox.id())) else {
            tracing::warn!(domain, "A component is connected already, and a second one refused.");
            self.stream.close(Some(StreamError::Conflict));
            return self.expect_end();
        };
        tracing::info!(domain, "A component is connected.");
        self.stream.accept();
        self.place.logged_in();
        self.route = Some(route);
        self.until = None;
    }

    fn take_stanza(&mut self, stanza: Stanza, run: &mut (u16, Vec<Event>, usize)) {
        let Some(to) = stanza.to.as_ref() else { return };
        if *to == self.hall.domain
            && let Some(count) = self.fence.answered(&stanza)
        {
            return self.delivered(count);
        }
        self.hall.shared.metrics.components_stanzas_in.of(stanza.kind.name()).one();
        if !self.hall.serves(to.domain()) {
            return pass(&self.hall, stanza);
        }
        let shard = self.hall.shard_of(to);
        if run.0 != shard {
            self.submit(std::mem::take(run));
            run.0 = shard;
        }
        run.2 = run.2.saturating_add(stanza.bytes());
        run.1.push(Event::Arriving(stanza));
    }

    /// Hands what came to its shard.
    fn submit(&mut self, (shard, events, bytes): (u16, Vec<Event>, usize)) {
        if events.is_empty() {
            return;
        }
        let first = self.passed.saturating_add(1);
        self.passed = self.passed.saturating_add(u64::try_from(events.len()).unwrap_or(u64::MAX));
        let receipt = Some(self.outbox.receipt(first, events.len(), bytes));
        Worker::hand(&self.hall, shard, Parcel::Client { link: None, events, receipt });
    }

    fn take_words(&mut self) {
        while let Some(word) = self.outbox.pop() {
            let why = match word {
                Word::Close(why) => why,
                Word::Farewell => StreamError::SystemShutdown,
                // Those are for clients and links.
                _ => continue,
            };
            self.stream.close(Some(why));
            self.expect_end();
        }
    }

    fn expect_end(&mut self) {
        if self.until.is_none() {
            self.until = Some(Box::pin(sleep_until(Instant::now() + GOODBYE)));
        }
    }

    fn check_answer(&mut self, poller: &mut Poller<'_>, read: Read) {
        if read == Read::Held || self.stream.is_over() {
            return self.fence.hold();
        }
        if !self.fence.is_given_up(poller) {
            return;
        }
        if self.fence.is_mute {
            tracing::info!(
                "A component answers no ping: what is written to it counts as received."
            );
            self.delivered(self.taken.len());
        } else {
            tracing::warn!("A component does not answer any more, and its connection is closed.");
            self.stream.close(Some(StreamError::ConnectionTimeout));
            self.expect_end();
        }
        // There is more to write now.
        poller.waker().wake_by_ref();
    }

    fn check_timer(&mut self, poller: &mut Poller<'_>) {
        let Some(until) = &mut self.until else { return };
        if until.as_mut().poll(poller).is_ready() {
            self.until = None;
            if self.stream.is_over() {
                self.is_lost = true;
            } else {
                self.stream.close(Some(StreamError::ConnectionTimeout));
                self.expect_end();
                poller.waker().wake_by_ref();
            }
        }
    }

    /// Takes what waits, as far as there is room.
    fn load(&mut self, poller: &Poller<'_>) {
        let Some(route) = self.route.clone() else { return };
        while !self.stream.is_over()
            && self.stream.output().len() < WRITE_BYTES
            && self.taken.len() < UNANSWERED_MAX
        {
            let Some(entry) = route.take(self.outbox.id(), poller.waker()) else { return };
            self.hall.shared.metrics.components_stanzas_out.of(entry.stanza.kind.name()).one();
            self.stream.send(&entry.stanza);
            self.taken.push_back(entry);
        }
    }

    /// Writes what there is. Returns whether all is written.
    fn write(&mut self, poller: &mut Poller<'_>) -> bool {
        loop {
            self.load(poller);
            if self.stream.output().is_empty() && self.ask() {
                // There is room for more.
                continue;
            }
            let output = self.stream.output();
            if output.is_empty() {
                return true;
            }
            match Pin::new(&mut self.socket).poll_write(poller, output) {
                Poll::Pending => return false,
                Poll::Ready(Ok(count)) if count > 0 => drop(output.drain(..count)),
                Poll::Ready(_) => {
                    self.is_lost = true;
                    return false;
                }
            }
        }
    }

    /// Sees to it that we hear how far it has read: it does not count, but answers what it is asked,
    /// after all that was written before. Returns whether it counts as read.
    fn ask(&mut self) -> bool {
        let (Some(route), false) = (&self.route, self.stream.is_over()) else { return false };
        if self.fence.is_mute {
            let count = self.taken.len();
            self.delivered(count);
            return count > 0;
        }
        if let Some(ping) = self.fence.ask(&self.hall.domain, &route.remote, self.taken.len()) {
            self.stream.send(&ping);
        }
        false
    }

    /// The component has the first `count` stanzas that were written.
    fn delivered(&mut self, count: usize) {
        let Some(route) = &self.route else { return };
        let mut rows: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        for entry in self.taken.drain(..count.min(self.taken.len())) {
            route.forget([&entry]);
            if let Some(row) = entry.row {
                rows.entry(row.shard).or_default().push(row.key);
            }
        }
        for (shard, rows) in rows {
            if let Some(inbox) = self.hall.inbox(shard) {
                inbox.push(Parcel::Event(Box::new(Event::Left { rows })));
            }
        }
    }

    /// All is said. It ends its side too, or has its time for it.
    fn shut(&mut self, poller: &mut Poller<'_>) {
        match Pin::new(&mut self.socket).poll_shutdown(poller) {
            Poll::Pending | Poll::Ready(Ok(())) => self.expect_end(),
            Poll::Ready(Err(_)) => self.is_lost = true,
        }
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.outbox.leave();
        let Some(route) = self.route.take() else { return };
        route.detach(self.outbox.id(), self.taken.drain(..).collect());
        tracing::info!(domain = route.remote, "A component is gone.");
        if !self.hall.federation.is_closed() {
            let waiting = route.drain(true);
            link::give_back(&self.hall, &route, waiting, |_| away(&route.remote));
        }
    }
}
