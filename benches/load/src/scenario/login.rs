//! Logins: TLS, SASL, bind, roster, presence, until the own presence comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Setting, close_all, count, joined, note, per, report, tenths};
use crate::conn::{Conn, Res};
use crate::hist::Hist;
use crate::xml::attr;

/// Logs `accounts` accounts in, in rounds. The first round fills our own cache of derived keys and
/// is not counted.
pub(crate) async fn run(setting: &Setting, accounts: usize) -> Res<Value> {
    let mut runs = Vec::new();
    for round in 0..=setting.repeat {
        let run = one_round(setting, accounts).await?;
        if round > 0 {
            note(format!("round {round}: {} per CPU second", run["per_cpu_s"]));
            runs.push(run);
        }
    }
    Ok(report(json!({"accounts": accounts}), runs))
}

async fn one_round(setting: &Setting, accounts: usize) -> Res<Value> {
    let (latency, missed) = (Arc::new(Hist::default()), Arc::new(AtomicU64::new(0)));
    let turns = Arc::new(Semaphore::new(setting.at_once));
    let before = setting.probe.snap_cpu();
    let mut logins = JoinSet::new();
    for number in setting.first..setting.first + accounts {
        let (target, turns) = (Arc::clone(&setting.target), Arc::clone(&turns));
        let (latency, missed) = (Arc::clone(&latency), Arc::clone(&missed));
        logins.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let start = Instant::now();
            let mut conn = target.login(number, true).await?;
            if !sees_itself(&mut conn).await? {
                missed.fetch_add(1, Relaxed);
            }
            latency.record_us(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            Ok::<_, String>(conn)
        });
    }
    let mut conns = Vec::new();
    while let Some(done) = logins.join_next().await {
        conns.push(joined(done)??);
    }
    let after = setting.probe.snap_cpu();
    close_all(conns).await;
    let over = setting.quiet(10.0).await;
    let each = |seconds: f64| tenths(seconds * 1e6 / accounts as f64);
    Ok(json!({
        "server": after.since(&before),
        "latency": latency.json(),
        "without_own_presence": missed.load(Relaxed),
        "per_s": per(count(accounts), after.wall_since(&before)),
        "per_cpu_s": per(count(accounts), after.cpu_since(&before)),
        "cpu_us_each": each(after.cpu_since(&before)),
        "logout_cpu_us_each": each(over.cpu_since(&after)),
    }))
}

async fn sees_itself(conn: &mut Conn) -> Res<bool> {
    loop {
        let Some(text) = conn.next_within(Duration::from_secs(5)).await? else { return Ok(false) };
        let from = attr(&text, "from");
        if text.starts_with(b"<presence") && from == Some(conn.jid.as_bytes()) {
            return Ok(true);
        }
    }
}
