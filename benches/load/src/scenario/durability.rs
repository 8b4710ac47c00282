//! Messages that were acknowledged (XEP-0198) before a crash, and are or are not there after it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Conn, Res, Setting, Step, count, joined, note};
use crate::conn::id_of;
use crate::probe::thousandths;
use crate::target::Target;

/// How it goes.
#[derive(Clone, Debug)]
pub(crate) struct Crash {
    pub(crate) senders: usize,
    pub(crate) recipients: usize,
    pub(crate) rounds: usize,
    /// A command that crashes the server; empty: kill -9 of its processes.
    pub(crate) kill: String,
    /// A command that starts it again and returns.
    pub(crate) restart: String,
    pub(crate) in_flight: u32,
}

type Sent = Vec<String>;

pub(crate) async fn run(setting: &Setting, crash: Crash) -> Res<Value> {
    if !setting.target.sm {
        return Err("durability needs --sm: what is tested is <a/>".to_owned());
    }
    let (mut rounds, mut acked_all, mut lost_all, mut twice_all) = (Vec::new(), 0, 0, 0);
    for round in 0..crash.rounds {
        let after = Duration::from_millis(500 + 2500 * count(round * 7 % 10) / 10);
        let (acked, sent) = flood(setting, &crash, round, after).await?;
        let restart_s = restart(setting, &crash.restart).await?;
        let there = collect(setting, &crash, &format!("d{round:x}-")).await?;
        let lost = acked.iter().filter(|id| !there.contains_key(*id)).count();
        let twice = there.values().filter(|times| **times > 1).count();
        (acked_all, lost_all) = (acked_all + acked.len(), lost_all + lost);
        twice_all += twice;
        let result = json!({
            "killed_after_ms": count(after.as_millis().try_into().unwrap_or(0)),
            "sent": sent,
            "acked": acked.len(),
            "there": there.len(),
            "lost": lost,
            "twice": twice,
            "restart_s": restart_s,
        });
        note(format!("round {round}: {result}"));
        rounds.push(result);
    }
    Ok(json!({"acked": acked_all, "lost": lost_all, "twice": twice_all, "rounds": rounds}))
}

/// Sends until the server is killed. Returns the ids that were acknowledged, and how many were sent.
async fn flood(
    setting: &Setting,
    crash: &Crash,
    round: usize,
    after: Duration,
) -> Res<(Sent, usize)> {
    let conns = setting.login_many(setting.first, crash.senders, false).await?;
    let is_killed = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for (which, conn) in conns.into_iter().enumerate() {
        let first = setting.first + crash.senders;
        let to = (first..first + crash.recipients).map(|number| setting.target.bare(number));
        let tag = format!("d{round:x}-{which:x}");
        let sender = send(conn, to.collect(), tag, crash.in_flight, Arc::clone(&is_killed));
        senders.spawn(sender);
    }
    tokio::time::sleep(after).await;
    if crash.kill.is_empty() {
        for pid in setting.probe.pids() {
            // One that is gone already is as good.
            let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    } else {
        shell(&crash.kill).await?;
    }
    is_killed.store(true, Relaxed);
    let (mut acked, mut sent) = (Vec::new(), 0);
    while let Some(done) = senders.join_next().await {
        let (mut ids, all) = joined(done)?;
        acked.append(&mut ids);
        sent += all;
    }
    Ok((acked, sent))
}

async fn send(
    mut conn: Conn,
    to: Vec<String>,
    tag: String,
    in_flight: u32,
    is_killed: Arc<AtomicBool>,
) -> (Sent, usize) {
    let acked = |conn: &Conn| conn.sm.as_ref().map_or(0, |sm| sm.acked);
    let before = conn.sm.as_ref().map_or(0, |sm| sm.sent);
    let mut ids = Vec::new();
    loop {
        let done = acked(&conn).saturating_sub(before);
        while !is_killed.load(Relaxed) && ids.len() < usize::try_from(done + in_flight).unwrap_or(0)
        {
            let id = format!("{tag}-{:x}", ids.len());
            let to = &to[ids.len() * 7 % to.len()];
            conn.send(&format!(
                "<message to='{to}' type='chat' id='{id}'><body>{id} counts</body></message>"
            ));
            conn.request_ack();
            ids.push(id);
        }
        let step = conn.step().await;
        // What had arrived before the connection broke counts too.
        while conn.pop().is_some() {}
        if matches!(step, Err(_) | Ok(Step::Eof)) {
            break;
        }
    }
    let sent = ids.len();
    ids.truncate(usize::try_from(acked(&conn).saturating_sub(before)).unwrap_or(0));
    (ids, sent)
}

/// Starts the server and returns how long it took until somebody could log in.
async fn restart(setting: &Setting, command: &str) -> Res<f64> {
    let start = Instant::now();
    shell(command).await?;
    loop {
        let login = setting.target.login(setting.first, false);
        match tokio::time::timeout(Duration::from_secs(5), login).await {
            Ok(Ok(conn)) => {
                let took = start.elapsed().as_secs_f64();
                conn.close().await;
                return Ok(thousandths(took));
            }
            _ if start.elapsed() > Duration::from_secs(90) => {
                return Err("the server is not back after 90 s".to_owned());
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn shell(command: &str) -> Res<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || shell.status()).await;
    let status = joined(status)?.map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("`{command}` ended with {status}")) }
}

/// Lets all recipients come. Returns how often each id came.
async fn collect(setting: &Setting, crash: &Crash, tag: &str) -> Res<BTreeMap<String, u32>> {
    let turns = Arc::new(Semaphore::new(setting.at_once));
    let mut recipients = JoinSet::new();
    let first = setting.first + crash.senders;
    for number in first..first + crash.recipients {
        let (target, turns, tag) =
            (Arc::clone(&setting.target), Arc::clone(&turns), tag.to_owned());
        recipients.spawn(async move {
            let _turn = turns.acquire_owned().await;
            take(&target, number, &tag).await
        });
    }
    let mut all = BTreeMap::new();
    while let Some(done) = recipients.join_next().await {
        for id in joined(done)?? {
            *all.entry(id).or_insert(0) += 1;
        }
    }
    Ok(all)
}

async fn take(target: &Target, number: usize, tag: &str) -> Res<Vec<String>> {
    let mut conn = target.login(number, true).await?;
    let domain = &target.domain;
    conn.send(&format!(
        "<iq type='get' id='done' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    let (mut ids, mut is_answered) = (Vec::new(), false);
    loop {
        // All is there when the ping behind the presence is answered and it stays quiet.
        let wait = Duration::from_secs(if is_answered { 1 } else { 60 });
        let Some(text) = conn.next_within(wait).await? else { break };
        let id = id_of(&text).unwrap_or("").to_owned();
        if text.starts_with(b"<iq") && id == "done" {
            is_answered = true;
        } else if text.starts_with(b"<message") && id.starts_with(tag) {
            ids.push(id);
        }
    }
    conn.close().await;
    Ok(ids)
}
