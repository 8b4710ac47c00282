//! What one says in a room, told to all (XEP-0045).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::{
    Conn, Flow, Res, Setting, Step, Stop, count, listen, now_ns, report, stamp, tenths, text,
};
use crate::hist::Hist;
use crate::xml::has;

/// How long everybody may take to enter.
const ENTER_MAX: Duration = Duration::from_secs(300);

/// Who meets where.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) occupants: usize,
    pub(crate) service: String,
    pub(crate) body: usize,
    /// Whether the room keeps what is said.
    pub(crate) history: bool,
}

/// Has all enter, `at_once` at a time, and then one of them speak: each message when everybody has
/// the one before.
pub(crate) async fn run(setting: &Setting, party: &Party) -> Res<Value> {
    let room = format!("party{}@{}.{}", party.occupants, party.service, setting.target.domain);
    let flow = Flow::new(setting.repeat);
    let (stop, stops) = watch::channel(false);
    let conns = setting.login_many(setting.first, party.occupants, true).await?;
    let mut tasks = JoinSet::new();
    let latency = Arc::new(Hist::default());
    let turns = Arc::new(Semaphore::new(setting.at_once));
    setting.quiet(10.0).await;
    let before = setting.probe.snap_cpu();
    let mut conns = conns.into_iter().enumerate();
    let (_, first) = conns.next().ok_or("nobody enters")?;
    // Whoever comes first says how the room is to be, so that others may enter.
    let speaker = open(first, &room, party.history).await?;
    for (number, conn) in conns {
        let turn = tokio::time::timeout(ENTER_MAX, Arc::clone(&turns).acquire_owned()).await;
        let turn =
            turn.map_err(|_| "nobody enters any more")?.map_err(|error| error.to_string())?;
        let entering = Some((turn, Instant::now()));
        let (flow, latency) = (Arc::clone(&flow), Arc::clone(&latency));
        let occupant = Occupant { flow, latency, entering };
        tasks.spawn(occupant.sit(conn, enter(&room, number), stops.clone()));
    }
    let all = u32::try_from(setting.at_once).map_err(|error| error.to_string())?;
    let all = tokio::time::timeout(ENTER_MAX, turns.acquire_many(all)).await;
    drop(all.map_err(|_| "not everybody enters")?);
    let over = setting.quiet(60.0).await;
    let cpu_ms = tenths(over.cpu_since(&before) * 1000.0);
    super::note(format!("all are in: {cpu_ms} ms"));
    tasks.spawn(speak(speaker, room, party.clone(), Arc::clone(&flow), stops));
    let runs = setting.windows(&flow).await;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    let about = json!({
        "occupants": party.occupants,
        "body": party.body,
        "history": party.history,
        "enter_cpu_ms": cpu_ms,
        "enter": latency.json(),
        "dropped_connections": flow.dropped.load(Relaxed),
    });
    Ok(report(about, runs))
}

fn enter(room: &str, number: usize) -> String {
    format!(
        "<presence to='{room}/n{number}'><x xmlns='http://jabber.org/protocol/muc'>\
         <history maxstanzas='0'/></x></presence>"
    )
}

/// Tells whether it is the own presence, with which the room says who is in it.
fn is_in(text: &[u8]) -> bool {
    text.starts_with(b"<presence") && (has(text, "code='110'") || has(text, "code=\"110\""))
}

/// Enters as the first, and opens the room to all.
async fn open(mut conn: Conn, room: &str, history: bool) -> Res<Conn> {
    conn.send(&enter(room, 0));
    while !is_in(&conn.next().await?) {}
    let owner = "http://jabber.org/protocol/muc#owner";
    let form = format!("<iq type='get' id='form' to='{room}'><query xmlns='{owner}'/></iq>");
    let form = conn.ask("form", &form).await?;
    let (archiving, wanted) = ("muc#roomconfig_enablearchiving", u8::from(history));
    // Where there is no such field, nothing is kept.
    let archiving = if has(&form, archiving) {
        format!("<field var='{archiving}'><value>{wanted}</value></field>")
    } else {
        String::new()
    };
    conn.ask(
        "open",
        &format!(
            "<iq type='set' id='open' to='{room}'><query xmlns='{owner}'>\
             <x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
             <field var='muc#roomconfig_membersonly'><value>0</value></field>{archiving}</x>\
             </query></iq>"
        ),
    )
    .await?;
    Ok(conn)
}

/// One who listens.
struct Occupant {
    flow: Arc<Flow>,
    latency: Arc<Hist>,
    /// Its turn to enter, until it is in, and when that began.
    entering: Option<(OwnedSemaphorePermit, Instant)>,
}

impl Occupant {
    async fn sit(mut self, mut conn: Conn, enters: String, stop: Stop) {
        conn.send(&enters);
        let flow = Arc::clone(&self.flow);
        listen(conn, &flow, stop, |conn| self.hear(conn)).await;
    }

    fn hear(&mut self, conn: &mut Conn) {
        while let Some(place) = conn.pop() {
            let text = conn.get(place);
            if let Some(sent_ns) = stamp(text, b'c') {
                self.flow.got(sent_ns);
            } else if let Some((_, start)) = self.entering.take_if(|_| is_in(text)) {
                let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.latency.record_us(took);
            } else {
                conn.answer(place);
            }
        }
    }
}

/// Speaks as fast as everybody hears it.
async fn speak(mut conn: Conn, room: String, party: Party, flow: Arc<Flow>, mut stop: Stop) {
    let (body, everybody) = (text(party.body), count(party.occupants));
    let mut heard = 0;
    while !*stop.borrow() {
        let sent_ns = now_ns();
        conn.send(&format!(
            "<message to='{room}' type='groupchat' id='c{sent_ns:x}'><body>{body}</body></message>"
        ));
        heard += everybody;
        while !*stop.borrow() && flow.told() < heard {
            tokio::select! {
                step = conn.step() => match step {
                    Ok(Step::Eof) | Err(_) => {
                        flow.dropped.fetch_add(1, Relaxed);
                        return;
                    }
                    Ok(_) => while let Some(place) = conn.pop() {
                        match stamp(conn.get(place), b'c') {
                            Some(sent_ns) => flow.got(sent_ns),
                            None => conn.answer(place),
                        }
                    },
                },
                () = tokio::time::sleep(Duration::from_micros(200)) => {}
                _ = stop.changed() => {}
            }
        }
    }
    conn.close().await;
}
