//! Memory of sessions that do nothing, and what stays when they are gone.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Setting, Stop, note, tenths};
use crate::conn::{Conn, Res, Step};
use crate::probe::Snap;

pub(crate) async fn run(setting: &Setting, accounts: usize, hold: Duration) -> Res<Value> {
    let before = setting.probe.snap();
    let conns = setting.login_many(setting.first, accounts, true).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let there = setting.probe.snap();
    let each =
        |snap: &Snap| tenths((snap.pss_kib as f64 - before.pss_kib as f64) / accounts as f64);
    note(format!("{accounts} sessions: {} KiB each", each(&there)));
    let (stop, stops) = watch::channel(false);
    let mut sessions = JoinSet::new();
    for conn in conns {
        sessions.spawn(stay(conn, stops.clone()));
    }
    tokio::time::sleep(hold).await;
    let held = setting.probe.snap();
    stop.send_replace(true);
    let mut alive = 0;
    while let Some(done) = sessions.join_next().await {
        alive += u32::from(done.unwrap_or(false));
    }
    setting.quiet(20.0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let gone = setting.probe.snap();
    Ok(json!({
        "accounts": accounts,
        "alive_at_the_end": alive,
        "empty_kib": before.pss_kib,
        "kib_each_at_login": each(&there),
        "kib_each": each(&held),
        "kib_each_left_behind": each(&gone),
        "idle_cpu_ms_per_s": tenths(held.cpu_since(&there) / held.wall_since(&there) * 1000.0),
        "login": there.since(&before),
        "hold": held.since(&there),
    }))
}

/// Answers what the server asks until told to stop. Returns whether the server let it.
async fn stay(mut conn: Conn, mut stop: Stop) -> bool {
    loop {
        tokio::select! {
            step = conn.step() => match step {
                Ok(Step::Eof) | Err(_) => return false,
                Ok(_) => while let Some(place) = conn.pop() {
                    conn.answer(place);
                },
            },
            _ = stop.changed() => {
                conn.close().await;
                return true;
            }
        }
    }
}
