//! What one account publishes, told to its contacts (XEP-0163).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Conn, Flow, Res, Setting, Stop, count, listen, now_ns, report};
use crate::conn::id_of;
use crate::xml::attr;

const TUNE: &str = "http://jabber.org/protocol/tune";
/// The hash of what [`info`] says (XEP-0115 §5.1).
const VER: &str = "Np+/kcXFkNO3Wda7x6SWYqaaBHs=";
const NODE: &str = "http://test.example";
/// After how long without a word everybody knows everybody.
const QUIET: Duration = Duration::from_secs(5);

/// Logs in who publishes and those who are told, makes them contacts, and publishes one item after
/// another, each when the one before is acknowledged and everybody has it.
pub(crate) async fn run(setting: &Setting, contacts: usize) -> Res<Value> {
    let mut conns = setting.login_many(setting.first, contacts + 1, true).await?;
    let fans = conns.split_off(1);
    let publisher = conns.pop().ok_or("nobody publishes")?;
    let (publisher, fans) = befriend(publisher, fans).await?;
    let flow = Flow::new(setting.repeat);
    let (stop, stops) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for fan in fans {
        tasks.spawn(hear(fan, Arc::clone(&flow), stops.clone()));
    }
    // Each is asked what its hash stands for, or the server knows.
    tokio::time::sleep(QUIET).await;
    tasks.spawn(publish(publisher, count(contacts), Arc::clone(&flow), stops));
    let runs = setting.windows(&flow).await;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    let dropped = flow.dropped.load(Relaxed);
    Ok(report(json!({"contacts": contacts, "dropped_connections": dropped}), runs))
}

/// Has all subscribe to each other's presence with the publisher, as far as they have not.
async fn befriend(publisher: Conn, mut fans: Vec<Conn>) -> Res<(Conn, Vec<Conn>)> {
    for fan in &mut fans {
        fan.send(&format!("<presence type='subscribe' to='{}'/>", publisher.bare));
        fan.flush().await?;
    }
    let publisher = allow(publisher, true).await?;
    let mut tasks = JoinSet::new();
    for (number, fan) in fans.into_iter().enumerate() {
        tasks.spawn(async move { Ok::<_, String>((number, allow(fan, false).await?)) });
    }
    let mut fans = Vec::new();
    while let Some(done) = tasks.join_next().await {
        fans.push(super::joined(done)??);
    }
    fans.sort_by_key(|(number, _)| *number);
    Ok((publisher, fans.into_iter().map(|(_, fan)| fan).collect()))
}

/// Allows whoever asks, and asks back, until nobody says anything any more.
async fn allow(mut conn: Conn, asks_back: bool) -> Res<Conn> {
    conn.flush().await?;
    while let Some(text) = conn.next_within(QUIET).await? {
        let asks = text.starts_with(b"<presence") && attr(&text, "type") == Some(b"subscribe");
        let from = attr(&text, "from").map(String::from_utf8_lossy).unwrap_or_default();
        if asks {
            conn.send(&format!("<presence type='subscribed' to='{from}'/>"));
            if asks_back {
                conn.send(&format!("<presence type='subscribe' to='{from}'/>"));
            }
            conn.flush().await?;
        }
    }
    Ok(conn)
}

/// Says what it wants to hear of, and hears it.
async fn hear(mut fan: Conn, flow: Arc<Flow>, stop: Stop) {
    fan.send(&format!(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{NODE}' \
         ver='{VER}'/></presence>"
    ));
    listen(fan, &flow, stop, |fan| take(fan, &flow)).await;
}

fn take(fan: &mut Conn, flow: &Flow) {
    while let Some(place) = fan.pop() {
        let text = fan.get(place);
        if text.starts_with(b"<message") {
            if let Some(sent_ns) = sent_at(text) {
                flow.got(sent_ns);
            }
        } else if text.starts_with(b"<iq") && attr(text, "type") == Some(b"get") {
            let of = |name| attr(text, name).map(String::from_utf8_lossy).unwrap_or_default();
            let answer = info(&of("from"), &of("id"));
            fan.send(&answer);
        }
    }
}

/// Answers what the hash stands for.
fn info(to: &str, id: &str) -> String {
    format!(
        "<iq type='result' to='{to}' id='{id}'><query \
         xmlns='http://jabber.org/protocol/disco#info' node='{NODE}#{VER}'><identity \
         category='client' type='pc' name='Test'/><feature var='{TUNE}+notify'/></query></iq>"
    )
}

/// Reads the time in an item, such as `@1f3a9@`.
fn sent_at(text: &[u8]) -> Option<u64> {
    let mut parts = text
        .split(|byte| *byte == b'@')
        .skip(1)
        .filter_map(|part| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok());
    parts.next()
}

/// Publishes as fast as it is acknowledged and told.
async fn publish(mut conn: Conn, contacts: u64, flow: Arc<Flow>, mut stop: Stop) {
    // Last items from before.
    let (before, mut published) = (flow.told(), 0_u64);
    while !*stop.borrow() {
        let (id, sent_ns) = (format!("p{published}"), now_ns());
        conn.send(&format!(
            "<iq type='set' id='{id}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish \
             node='{TUNE}'><item id='current'><tune xmlns='{TUNE}'><artist>Yes</artist>\
             <title>@{sent_ns:x}@</title></tune></item></publish></pubsub></iq>"
        ));
        published += 1;
        tokio::select! {
            done = acknowledged(&mut conn, &id) => if done.is_err() {
                flow.dropped.fetch_add(1, Relaxed);
                return;
            },
            _ = stop.changed() => break,
        }
        while !*stop.borrow() && flow.told() < before + published * contacts {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    conn.close().await;
}

async fn acknowledged(conn: &mut Conn, id: &str) -> Res<()> {
    loop {
        let text = conn.next().await?;
        if text.starts_with(b"<iq") && id_of(&text) == Some(id) {
            let is_done = attr(&text, "type") == Some(b"result");
            return if is_done { Ok(()) } else { Err("it was refused".to_owned()) };
        }
    }
}
