//! Messages for people who are away, and their way to them when they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Conn, Res, Setting, Step, close_all, count, joined, note, per, spread, stamp, text};
use crate::hist::Hist;
use crate::xml::attr;

/// Messages until a sender waits for the acknowledgement.
const BARRIER: usize = 20;

/// How many write to how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) senders: usize,
    pub(crate) recipients: usize,
    /// Messages for each recipient.
    pub(crate) each: usize,
    pub(crate) body: usize,
}

pub(crate) async fn run(setting: &Setting, load: Load) -> Res<Value> {
    let (mut stores, mut floods) = (Vec::new(), Vec::new());
    for round in 0..setting.repeat {
        let store = store(setting, load, round).await?;
        note(format!("stored: {} per CPU second", store["per_cpu_s"]));
        stores.push(store);
        let flood = collect(setting, load).await?;
        note(format!("collected {}: {} per CPU second", flood["received"], flood["per_cpu_s"]));
        floods.push(flood);
    }
    Ok(json!({
        "senders": load.senders,
        "recipients": load.recipients,
        "each": load.each,
        "body": load.body,
        "store_per_cpu_s": spread(&stores, "/per_cpu_s"),
        "store_per_s": spread(&stores, "/per_s"),
        "barrier_p50_us": spread(&stores, "/barrier/p50_us"),
        "collect_per_cpu_s": spread(&floods, "/per_cpu_s"),
        "collect_per_s": spread(&floods, "/per_s"),
        "stores": stores,
        "collects": floods,
    }))
}

async fn store(setting: &Setting, load: Load, round: usize) -> Res<Value> {
    let conns = setting.login_many(setting.first, load.senders, false).await?;
    let body: Arc<str> = text(load.body).into();
    let (barrier, bounced) = (Arc::new(Hist::default()), Arc::new(AtomicU64::new(0)));
    let before = setting.probe.snap_cpu();
    let mut senders = JoinSet::new();
    for (which, conn) in conns.into_iter().enumerate() {
        let first = setting.first + load.senders;
        let mine = (0..load.recipients).filter(|number| number % load.senders == which);
        let to = mine.map(|number| setting.target.bare(first + number)).collect();
        let (barrier, bounced) = (Arc::clone(&barrier), Arc::clone(&bounced));
        let sender = Sender { conn, body: Arc::clone(&body), barrier, bounced };
        senders.spawn(sender.run(to, load.each, round));
    }
    let mut conns = Vec::new();
    while let Some(done) = senders.join_next().await {
        conns.push(joined(done)??);
    }
    let acked = setting.probe.snap_cpu();
    // What the server puts off is its work too.
    let quiet = setting.quiet(60.0).await;
    close_all(conns).await;
    let total = count(load.recipients * load.each);
    Ok(json!({
        "server": quiet.since(&before),
        "stored": total,
        "bounced": bounced.load(Relaxed),
        "per_s": per(total, acked.wall_since(&before)),
        "per_cpu_s": per(total, quiet.cpu_since(&before)),
        "barrier": barrier.json(),
    }))
}

struct Sender {
    conn: Conn,
    body: Arc<str>,
    barrier: Arc<Hist>,
    bounced: Arc<AtomicU64>,
}

impl Sender {
    async fn run(mut self, to: Vec<String>, each: usize, round: usize) -> Res<Conn> {
        let mut sent = 0;
        for number in 0..each {
            for to in &to {
                let body = &self.body;
                self.conn.send(&format!(
                    "<message to='{to}' type='chat' id='o{round:x}{number:06x}'>\
                     <body>{body}</body></message>"
                ));
                sent += 1;
                if sent % BARRIER == 0 || sent == each * to.len() {
                    self.wait().await?;
                }
            }
        }
        self.wait().await?;
        Ok(self.conn)
    }

    /// Waits until the server has acknowledged all.
    async fn wait(&mut self) -> Res<()> {
        let start = Instant::now();
        self.conn.request_ack();
        loop {
            while let Some(place) = self.conn.pop() {
                if attr(self.conn.get(place), "type") == Some(b"error") {
                    self.bounced.fetch_add(1, Relaxed);
                }
            }
            let sm = self.conn.sm.as_ref().ok_or("offline needs --sm")?;
            if sm.acked >= sm.sent {
                break;
            }
            if self.conn.step().await? == Step::Eof {
                return Err("the server closed a connection".to_owned());
            }
        }
        self.barrier.record_us(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        Ok(())
    }
}

async fn collect(setting: &Setting, load: Load) -> Res<Value> {
    let (received, disordered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let latency = Arc::new(Hist::default());
    let turns = Arc::new(Semaphore::new(setting.at_once));
    let before = setting.probe.snap_cpu();
    let mut recipients = JoinSet::new();
    for number in 0..load.recipients {
        let (target, turns) = (Arc::clone(&setting.target), Arc::clone(&turns));
        let (received, disordered) = (Arc::clone(&received), Arc::clone(&disordered));
        let latency = Arc::clone(&latency);
        let number = setting.first + load.senders + number;
        recipients.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let start = Instant::now();
            let mut conn = target.login(number, true).await?;
            let (got, wrong) = take(&mut conn, load.each).await?;
            received.fetch_add(got, Relaxed);
            disordered.fetch_add(wrong, Relaxed);
            latency.record_us(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            Ok::<_, String>(conn)
        });
    }
    let mut conns = Vec::new();
    while let Some(done) = recipients.join_next().await {
        conns.push(joined(done)??);
    }
    let after = setting.probe.snap_cpu();
    close_all(conns).await;
    setting.quiet(60.0).await;
    let received = received.load(Relaxed);
    Ok(json!({
        "server": after.since(&before),
        "received": received,
        "expected": load.recipients * load.each,
        "out_of_order": disordered.load(Relaxed),
        "per_s": per(received, after.wall_since(&before)),
        "per_cpu_s": per(received, after.cpu_since(&before)),
        "login_to_last": latency.json(),
    }))
}

/// Takes what waited. Returns how many came, and how many of them too early.
async fn take(conn: &mut Conn, expected: usize) -> Res<(u64, u64)> {
    let (mut got, mut wrong, mut last) = (0, 0, 0);
    while got < count(expected) {
        while let Some(place) = conn.pop() {
            let Some(number) = stamp(conn.get(place), b'o') else { continue };
            wrong += u64::from(got > 0 && number <= last);
            got += 1;
            last = number;
        }
        if got >= count(expected) {
            break;
        }
        match tokio::time::timeout(Duration::from_secs(10), conn.step()).await {
            Err(_) => break,
            Ok(Ok(Step::Eof)) => return Err("closed while collecting".to_owned()),
            Ok(step) => drop(step?),
        }
    }
    Ok((got, wrong))
}
