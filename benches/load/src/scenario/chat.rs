//! Messages between pairs of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Conn, Flow, Res, Setting, Step, Stop, now_ns, report, stamp, text};

/// How a pair talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// So many messages are in flight, and each is answered by one.
    InFlight(usize),
    /// One side sends at fixed times, whatever comes.
    Rate {
        /// When it begins, by our clock.
        start_ns: u64,
        /// How long between two messages.
        gap_ns: u64,
    },
    /// It sends nothing by itself.
    Answering,
    /// It does not even answer.
    Silent,
}

/// What the pairs do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    pub(crate) pairs: usize,
    pub(crate) body: usize,
    pub(crate) in_flight: usize,
    /// Messages a second, all pairs together, instead of `in_flight`.
    pub(crate) rate: Option<f64>,
}

/// One side of a pair.
pub(super) struct Talker {
    pub(super) conn: Conn,
    pub(super) to: String,
    pub(super) body: Arc<str>,
    pub(super) manner: Manner,
    pub(super) flow: Arc<Flow>,
}

impl Talker {
    fn say(&mut self, sent_ns: u64) {
        let (to, body) = (&self.to, &self.body);
        self.conn.send(&format!(
            "<message to='{to}' type='chat' id='c{sent_ns:x}'><body>{body}</body></message>"
        ));
    }

    fn hear(&mut self) {
        while let Some(place) = self.conn.pop() {
            let Some(sent_ns) = stamp(self.conn.get(place), b'c') else {
                self.conn.answer(place);
                continue;
            };
            self.flow.got(sent_ns);
            if matches!(self.manner, Manner::InFlight(_) | Manner::Answering) {
                self.say(now_ns());
            }
        }
    }

    /// Talks until told to stop.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let (mut next, mut gap) = (u64::MAX, 0);
        match self.manner {
            Manner::InFlight(count) => (0..count).for_each(|_| self.say(now_ns())),
            Manner::Rate { start_ns, gap_ns } => (next, gap) = (start_ns, gap_ns),
            Manner::Answering | Manner::Silent => {}
        }
        loop {
            let wait = Duration::from_nanos(next.saturating_sub(now_ns()));
            tokio::select! {
                step = self.conn.step() => match step {
                    Ok(Step::Eof) | Err(_) => {
                        if !*stop.borrow() {
                            self.flow.dropped.fetch_add(1, Relaxed);
                        }
                        return;
                    }
                    Ok(_) => self.hear(),
                },
                () = tokio::time::sleep(wait), if gap > 0 => {
                    let now = now_ns();
                    while next <= now {
                        // That a timer is late, by up to 2 ms, is not the server's fault.
                        self.say(if now - next < 2_000_000 { now } else { next });
                        next += gap;
                    }
                }
                _ = stop.changed() => break,
            }
        }
        self.conn.close().await;
    }
}

/// Logs the pairs in, the first of each in front of the second.
async fn login(
    setting: &Setting,
    pairs: usize,
    other: Option<(SocketAddr, String)>,
) -> Res<Vec<Conn>> {
    let Some(other) = other else {
        return setting.login_many(setting.first, pairs * 2, true).await;
    };
    let left = setting.login_many(setting.first, pairs, true).await?;
    let right = setting.at(other).login_many(setting.first, pairs, true).await?;
    Ok(left.into_iter().zip(right).flat_map(|(left, right)| [left, right]).collect())
}

/// `other`: where the second of each pair is, when it is at another server.
pub(crate) async fn run(
    setting: &Setting,
    talk: Talk,
    other: Option<(SocketAddr, String)>,
) -> Res<Value> {
    let flow = Flow::new(setting.repeat);
    let (stop, stops) = watch::channel(false);
    let body: Arc<str> = text(talk.body).into();
    let mut conns = login(setting, talk.pairs, other).await?.into_iter();
    let mut talkers = JoinSet::new();
    let start_ns = now_ns() + 200_000_000;
    let mut pair = 0;
    while let (Some(left), Some(right)) = (conns.next(), conns.next()) {
        let (first, second) = match talk.rate {
            None => (Manner::InFlight(talk.in_flight), Manner::Answering),
            Some(rate) => {
                let gap_ns = (1e9 * talk.pairs as f64 / rate) as u64;
                let start_ns = start_ns + gap_ns * pair / super::count(talk.pairs);
                (Manner::Rate { start_ns, gap_ns }, Manner::Silent)
            }
        };
        let names = (left.bare.clone(), right.bare.clone());
        for (conn, to, manner) in [(left, names.1, first), (right, names.0, second)] {
            let (body, flow) = (Arc::clone(&body), Arc::clone(&flow));
            let talker = Talker { conn, to, body, manner, flow };
            talkers.spawn(talker.run(stops.clone()));
        }
        pair += 1;
    }
    let runs = setting.windows(&flow).await;
    stop.send_replace(true);
    while talkers.join_next().await.is_some() {}
    let about = json!({
        "pairs": talk.pairs,
        "body": talk.body,
        "in_flight": talk.in_flight,
        "rate": talk.rate,
        "dropped_connections": flow.dropped.load(Relaxed),
    });
    Ok(report(about, runs))
}
