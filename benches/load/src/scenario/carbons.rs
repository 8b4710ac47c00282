//! Messages between people with several devices (XEP-0280).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use memchr::memmem;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::chat::{Manner, Talker};
use super::{Conn, Flow, Res, Setting, Stop, listen, report, text};

const ENABLE: &str = "<iq type='set' id='on'><enable xmlns='urn:xmpp:carbons:2'/></iq>";

/// Who talks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct People {
    pub(crate) pairs: usize,
    pub(crate) devices: usize,
    pub(crate) body: usize,
}

/// One device of each pair talks with one of the other, ping-pong; all others get copies. A delivery
/// is the message at its recipient or a copy at another device of either.
pub(crate) async fn run(setting: &Setting, people: People) -> Res<Value> {
    let flow = Flow::new(setting.repeat);
    let (stop, stops) = watch::channel(false);
    let body: Arc<str> = text(people.body).into();
    let mut tasks = JoinSet::new();
    let mut talking = Vec::new();
    for device in 0..people.devices.max(1) {
        let mut conns = setting.login_many(setting.first, people.pairs * 2, true).await?;
        for conn in &mut conns {
            conn.ask("on", ENABLE).await?;
        }
        if device == 0 {
            talking = conns;
            continue;
        }
        for conn in conns {
            tasks.spawn(copies(conn, Arc::clone(&flow), stops.clone()));
        }
    }
    let mut talking = talking.into_iter();
    while let (Some(left), Some(right)) = (talking.next(), talking.next()) {
        let names = (left.jid.clone(), right.jid.clone());
        let (first, second) = (Manner::InFlight(1), Manner::Answering);
        for (conn, to, manner) in [(left, names.1, first), (right, names.0, second)] {
            let (body, flow) = (Arc::clone(&body), Arc::clone(&flow));
            tasks.spawn(Talker { conn, to, body, manner, flow }.run(stops.clone()));
        }
    }
    let runs = setting.windows(&flow).await;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    let about = json!({
        "pairs": people.pairs,
        "devices": people.devices,
        "body": people.body,
        "dropped_connections": flow.dropped.load(Relaxed),
    });
    Ok(report(about, runs))
}

/// Counts copies.
async fn copies(conn: Conn, flow: Arc<Flow>, stop: Stop) {
    let hear = |conn: &mut Conn| {
        while let Some(place) = conn.pop() {
            match sent_at(conn.get(place)) {
                Some(sent_ns) => flow.got(sent_ns),
                None => conn.answer(place),
            }
        }
    };
    listen(conn, &flow, stop, hear).await;
}

/// Reads the time in the id of the message that was copied.
fn sent_at(text: &[u8]) -> Option<u64> {
    let inner = &text[memmem::find(text, b"<forwarded")?..];
    let inner = &inner[memmem::find(inner, b"<message")?..];
    super::stamp(inner, b'c')
}
