//! What is measured. Each scenario returns one JSON object.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::conn::{Conn, Res, Step, now_ns, stamp};
use crate::hist::Hist;
use crate::probe::{Probe, Snap};
use crate::target::Target;

pub(crate) mod carbons;
pub(crate) mod chat;
pub(crate) mod durability;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod idle;
pub(crate) mod login;
pub(crate) mod offline;
pub(crate) mod pep;
pub(crate) mod room;
pub(crate) mod slow;

/// What all scenarios share.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) target: Arc<Target>,
    pub(crate) probe: Probe,
    /// The number of the first account.
    pub(crate) first: usize,
    /// Logins at a time.
    pub(crate) at_once: usize,
    pub(crate) repeat: usize,
    /// Length of a measured window.
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
}

/// A stop that all tasks of a scenario see.
pub(crate) type Stop = watch::Receiver<bool>;

pub(crate) fn note(text: impl AsRef<str>) {
    eprintln!("[{:8.2}] {}", now_ns() as f64 / 1e9, text.as_ref());
}

fn tenths(value: f64) -> f64 {
    if value.is_finite() { (value * 10.0).round() / 10.0 } else { 0.0 }
}

fn per(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { tenths(count as f64 / seconds) } else { 0.0 }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Returns the median of a field of all runs, with the smallest and the largest.
fn spread(runs: &[Value], path: &str) -> Value {
    let value = |run: &Value| run.pointer(path).and_then(Value::as_f64);
    let mut values: Vec<f64> = runs.iter().filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(min), Some(median), Some(max)) => json!({"median": median, "min": min, "max": max}),
        _ => Value::Null,
    }
}

/// Returns what a scenario found: what it was told, and the spread of what its runs have.
fn report(mut about: Value, runs: Vec<Value>) -> Value {
    for (name, path) in [
        ("per_cpu_s", "/per_cpu_s"),
        ("per_s", "/per_s"),
        ("cpu_us_each", "/cpu_us_each"),
        ("p50_us", "/latency/p50_us"),
        ("p99_us", "/latency/p99_us"),
        ("p999_us", "/latency/p999_us"),
    ] {
        let value = spread(&runs, path);
        if !value.is_null() {
            about[name] = value;
        }
    }
    about["runs"] = Value::Array(runs);
    about
}

/// Returns about `bytes` bytes of plain English.
fn text(bytes: usize) -> String {
    "The quick brown fox jumps over the lazy dog near the river bank. "
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

fn joined<T>(done: Result<T, tokio::task::JoinError>) -> Res<T> {
    done.map_err(|error| error.to_string())
}

impl Setting {
    /// Returns the same for accounts of another domain.
    fn at(&self, (addr, domain): (SocketAddr, String)) -> Self {
        let target = Target { addr, domain, tokens: Arc::default(), ..Target::clone(&self.target) };
        Self { target: Arc::new(target), ..self.clone() }
    }

    /// Logs `accounts` accounts in, from `first` on, and returns them in order.
    async fn login_many(
        &self,
        first: usize,
        accounts: usize,
        is_available: bool,
    ) -> Res<Vec<Conn>> {
        let turns = Arc::new(Semaphore::new(self.at_once));
        let mut logins = JoinSet::new();
        for number in first..first + accounts {
            let (target, turns) = (Arc::clone(&self.target), Arc::clone(&turns));
            logins.spawn(async move {
                let _turn = turns.acquire_owned().await;
                (number, target.login(number, is_available).await)
            });
        }
        let mut conns = Vec::with_capacity(accounts);
        while let Some(done) = logins.join_next().await {
            let (number, conn) = joined(done)?;
            conns.push((number, conn?));
        }
        conns.sort_by_key(|(number, _)| *number);
        Ok(conns.into_iter().map(|(_, conn)| conn).collect())
    }

    /// Waits until the server has nothing to do any more, and returns that moment.
    async fn quiet(&self, at_most_s: f64) -> Snap {
        let start = Instant::now();
        let mut last = self.probe.snap_cpu();
        while !self.probe.is_empty() && start.elapsed().as_secs_f64() < at_most_s {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.probe.snap_cpu();
            if now.cpu_since(&last) < 0.03 {
                return now;
            }
            last = now;
        }
        last
    }

    /// Measures `repeat` windows of a flow.
    async fn windows(&self, flow: &Flow) -> Vec<Value> {
        tokio::time::sleep(self.warm_up).await;
        let mut runs = Vec::new();
        for number in 1..=self.repeat {
            let before = self.probe.snap();
            flow.open(number);
            tokio::time::sleep(self.window).await;
            flow.open(0);
            let after = self.probe.snap();
            let (delivered, cpu) = (flow.delivered(number), after.cpu_since(&before));
            let run = json!({
                "server": after.since(&before),
                "delivered": delivered,
                "per_s": per(delivered, after.wall_since(&before)),
                "per_cpu_s": per(delivered, cpu),
                "cpu_us_each": tenths(cpu * 1e6 / delivered.max(1) as f64),
                "latency": flow.latency(number),
            });
            note(format!(
                "window {number}: {delivered} delivered, {}/s, {} per CPU second",
                run["per_s"], run["per_cpu_s"]
            ));
            runs.push(run);
        }
        runs
    }
}

async fn close_all(conns: Vec<Conn>) {
    let mut goodbyes = JoinSet::new();
    for conn in conns {
        goodbyes.spawn(conn.close());
    }
    while goodbyes.join_next().await.is_some() {}
}

/// Hears what comes until told to stop. A connection that ends before that counts as dropped.
async fn listen(mut conn: Conn, flow: &Flow, mut stop: Stop, mut hear: impl FnMut(&mut Conn)) {
    loop {
        tokio::select! {
            step = conn.step() => match step {
                Ok(Step::Eof) | Err(_) => {
                    if !*stop.borrow() {
                        flow.dropped.fetch_add(1, Relaxed);
                    }
                    return;
                }
                Ok(_) => hear(&mut conn),
            },
            _ = stop.changed() => break,
        }
    }
    conn.close().await;
}

/// Deliveries, by window; those outside all windows are in window 0.
#[derive(Debug)]
struct Flow {
    open: AtomicU32,
    windows: Vec<(AtomicU64, Hist)>,
    dropped: AtomicU64,
}

impl Flow {
    fn new(windows: usize) -> Arc<Self> {
        let windows = (0..=windows).map(|_| Default::default()).collect();
        Arc::new(Self { open: AtomicU32::new(0), windows, dropped: AtomicU64::new(0) })
    }

    fn open(&self, window: usize) {
        self.open.store(u32::try_from(window).unwrap_or(0), Relaxed);
    }

    /// A message that was sent at `sent_ns` is here.
    fn got(&self, sent_ns: u64) {
        let window = usize::try_from(self.open.load(Relaxed)).unwrap_or(0);
        let (delivered, latency) = &self.windows[window];
        delivered.fetch_add(1, Relaxed);
        if window > 0 {
            latency.record_us(now_ns().saturating_sub(sent_ns) / 1000);
        }
    }

    fn delivered(&self, window: usize) -> u64 {
        self.windows[window].0.load(Relaxed)
    }

    /// Returns how many there were so far, in and outside all windows.
    fn told(&self) -> u64 {
        (0..self.windows.len()).map(|window| self.delivered(window)).sum()
    }

    fn latency(&self, window: usize) -> Value {
        self.windows[window].1.json()
    }
}
