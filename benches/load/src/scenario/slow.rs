//! One client stops reading while others flood it: memory of the server, and what bystanders notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::chat::{Manner, Talker};
use super::{Conn, Flow, Res, Setting, Step, Stop, now_ns, tenths, text};
use crate::xml::attr;

/// The kernel's buffer of the sleeper, in bytes.
const RECEIVE_BUFFER: u32 = 8192;
/// What a flooder queues before it waits for the server, in bytes.
const QUEUE_BYTES: usize = 64 << 10;
/// Between two messages of the bystanders.
const GAP_NS: u64 = 50_000_000;

/// The flood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flood {
    pub(crate) senders: usize,
    pub(crate) body: usize,
    pub(crate) span: Duration,
    /// The flood ends when the server has this much memory, in MiB.
    pub(crate) cap_mib: u64,
}

pub(crate) async fn run(setting: &Setting, flood: Flood) -> Res<Value> {
    let first = setting.first;
    let sleeper = setting.target.login_with(first, true, Some(RECEIVE_BUFFER)).await?;
    let senders = setting.login_many(first + 1, flood.senders, true).await?;
    let bystanders = setting.login_many(first + 1 + flood.senders, 2, true).await?;
    let (stop, stops) = watch::channel(false);
    let (sent, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let body: Arc<str> = text(flood.body).into();
    let before = setting.probe.snap();
    let mut tasks = JoinSet::new();
    for conn in senders {
        let flooder = Flooder {
            conn,
            to: sleeper.bare.clone(),
            body: Arc::clone(&body),
            sent: Arc::clone(&sent),
            refused: Arc::clone(&refused),
        };
        tasks.spawn(flooder.run(stops.clone()));
    }
    let flow = Flow::new(1);
    flow.open(1);
    talk(&mut tasks, bystanders, &flow, &stops);
    let (start, mut peak) = (Instant::now(), before.pss_kib);
    let mut is_capped = false;
    while start.elapsed() < flood.span && !is_capped {
        tokio::time::sleep(Duration::from_millis(500)).await;
        peak = peak.max(setting.probe.snap().pss_kib);
        is_capped = peak / 1024 > flood.cap_mib;
    }
    let end = setting.probe.snap();
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    let (got, was_closed) = wake(sleeper).await;
    Ok(json!({
        "senders": flood.senders,
        "sent": sent.load(Relaxed),
        "refused": refused.load(Relaxed),
        "more_mib": tenths((peak as f64 - before.pss_kib as f64) / 1024.0),
        "hit_cap": is_capped,
        "bystanders": flow.latency(1),
        "sleeper_got": got,
        "sleeper_was_disconnected": was_closed,
        "server": end.since(&before),
    }))
}

fn talk(tasks: &mut JoinSet<()>, conns: Vec<Conn>, flow: &Arc<Flow>, stops: &Stop) {
    let names: Vec<String> = conns.iter().map(|conn| conn.bare.clone()).collect();
    let manners = [Manner::Rate { start_ns: now_ns(), gap_ns: GAP_NS }, Manner::Silent];
    let body: Arc<str> = text(60).into();
    for ((conn, to), manner) in conns.into_iter().zip(names.into_iter().rev()).zip(manners) {
        let (body, flow) = (Arc::clone(&body), Arc::clone(flow));
        tasks.spawn(Talker { conn, to, body, manner, flow }.run(stops.clone()));
    }
}

struct Flooder {
    conn: Conn,
    to: String,
    body: Arc<str>,
    sent: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

impl Flooder {
    async fn run(mut self, mut stop: Stop) {
        loop {
            while self.conn.pending() < QUEUE_BYTES {
                let (to, body) = (&self.to, &self.body);
                self.conn.send(&format!(
                    "<message to='{to}' type='chat' id='f{:x}'><body>{body}</body></message>",
                    now_ns()
                ));
                self.sent.fetch_add(1, Relaxed);
            }
            tokio::select! {
                step = self.conn.step() => match step {
                    Ok(Step::Eof) | Err(_) => return,
                    Ok(_) => self.hear(),
                },
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
                _ = stop.changed() => return,
            }
        }
    }

    fn hear(&mut self) {
        while let Some(place) = self.conn.pop() {
            if attr(self.conn.get(place), "type") == Some(b"error") {
                self.refused.fetch_add(1, Relaxed);
            } else {
                self.conn.answer(place);
            }
        }
    }
}

/// The sleeper reads again, until nothing comes any more. Returns how many messages it got, and
/// whether the server had cut it off.
async fn wake(mut sleeper: Conn) -> (u64, bool) {
    let mut got = 0;
    while let Ok(step) = tokio::time::timeout(Duration::from_secs(3), sleeper.step()).await {
        while let Some(place) = sleeper.pop() {
            got += u64::from(sleeper.get(place).starts_with(b"<message"));
        }
        if sleeper.is_closed || matches!(step, Ok(Step::Eof) | Err(_)) {
            return (got, true);
        }
    }
    sleeper.close().await;
    (got, false)
}
