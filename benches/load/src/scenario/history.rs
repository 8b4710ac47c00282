//! What an archive takes and gives, once it holds so many messages (XEP-0313).

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Conn, Res, Setting, close_all, count, joined, note, per, spread, stamp, tenths, text};
use crate::conn::id_of;
use crate::xml::{attr, has, text_of};

/// Messages of a sender that its recipient has not got.
const IN_FLIGHT: usize = 32;
/// How many are measured once the archive is as long as it is to be.
const MORE: usize = 2000;
/// Messages on a page.
const PAGE: usize = 50;

/// What there is before anything is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    pub(crate) messages: usize,
    pub(crate) clients: usize,
    pub(crate) body: usize,
}

/// Fills the archive of the account behind those of the senders, measures what some messages more
/// take, each kept for its sender and its recipient, and what pages of 50 take.
///
/// `middle`: the id of the message in the middle, when the archive was filled before.
pub(crate) async fn run(setting: &Setting, past: Past, middle: Option<String>) -> Res<Value> {
    let owner = setting.first + past.clients;
    let mut reader = setting.target.login(owner, true).await?;
    let half = past.messages / 2;
    fill(setting, past, &mut reader, half).await?;
    let middle = match middle {
        Some(id) => id,
        None => newest(&mut reader).await?,
    };
    fill(setting, past, &mut reader, past.messages.saturating_sub(half)).await?;
    setting.quiet(60.0).await;
    note(format!("{} are there", past.messages));
    let before = setting.probe.snap_cpu();
    fill(setting, past, &mut reader, MORE).await?;
    let cpu = setting.quiet(60.0).await.cpu_since(&before);
    reader.close().await;
    let mut about = json!({
        "messages": past.messages,
        "clients": past.clients,
        "body": past.body,
        "keep_per_cpu_s": per(count(MORE), cpu),
    });
    let kinds = [
        ("first", String::new()),
        ("last", "<before/>".to_owned()),
        ("middle", format!("<after>{middle}</after>")),
    ];
    for (name, place) in kinds {
        let mut runs = Vec::new();
        for _ in 0..setting.repeat {
            runs.push(pages(setting, past, owner, &place).await?);
        }
        note(format!("pages, {name}: {}", spread(&runs, "/cpu_us_each")));
        about[name] = json!({
            "page_cpu_us": spread(&runs, "/cpu_us_each"),
            "pages_per_s": spread(&runs, "/per_s"),
        });
    }
    Ok(about)
}

/// Has all senders send, `messages` together, and takes them.
async fn fill(setting: &Setting, past: Past, reader: &mut Conn, messages: usize) -> Res<()> {
    let mut senders = setting.login_many(setting.first, past.clients, false).await?;
    let (to, body) = (reader.bare.clone(), text(past.body));
    let message = |number| {
        format!("<message to='{to}' type='chat' id='h{number:x}'><body>{body}</body></message>")
    };
    let (mut sent, mut got) = (0, 0);
    let most = IN_FLIGHT * senders.len();
    while got < messages {
        for sender in &mut senders {
            while sent < messages && sent - got < most {
                sender.send(&message(sent));
                sent += 1;
                if sent % IN_FLIGHT == 0 {
                    break;
                }
            }
            sender.flush().await?;
        }
        let text = reader.next().await?;
        got += usize::from(stamp(&text, b'h').is_some());
        while let Some(place) = reader.pop() {
            got += usize::from(stamp(reader.get(place), b'h').is_some());
        }
    }
    close_all(senders).await;
    Ok(())
}

fn query(id: &str, place: &str) -> String {
    format!(
        "<iq type='set' id='{id}'><query xmlns='urn:xmpp:mam:2'>\
         <set xmlns='http://jabber.org/protocol/rsm'><max>{PAGE}</max>{place}</set></query></iq>"
    )
}

/// Returns the id of the newest message.
async fn newest(reader: &mut Conn) -> Res<String> {
    let answer = reader.ask("newest", &query("newest", "<before/>")).await?;
    let last = text_of(&answer, "last").ok_or("the archive is empty")?;
    Ok(String::from_utf8_lossy(last).into_owned())
}

/// Has all clients read the same page of the account again and again for a window.
async fn pages(setting: &Setting, past: Past, owner: usize, place: &str) -> Res<Value> {
    let mut readers = Vec::new();
    for _ in 0..past.clients {
        readers.push(setting.target.login(owner, false).await?);
    }
    let (before, start) = (setting.probe.snap_cpu(), Instant::now());
    let until = start + setting.window;
    let place: Arc<str> = place.into();
    let mut tasks = JoinSet::new();
    for mut reader in readers {
        let place = Arc::clone(&place);
        tasks.spawn(async move {
            let mut pages = 0_u64;
            while Instant::now() < until {
                let id = format!("p{pages}");
                read(&mut reader, &id, &query(&id, &place)).await?;
                pages += 1;
            }
            Ok::<_, String>((pages, reader))
        });
    }
    let (mut pages, mut readers) = (0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (read, reader) = joined(done)??;
        pages += read;
        readers.push(reader);
    }
    let after = setting.probe.snap_cpu();
    close_all(readers).await;
    Ok(json!({
        "pages": pages,
        "per_s": per(pages, after.wall_since(&before)),
        "cpu_us_each": tenths(after.cpu_since(&before) * 1e6 / pages.max(1) as f64),
    }))
}

/// Reads one page and sees to it that it is whole.
async fn read(reader: &mut Conn, id: &str, query: &str) -> Res<()> {
    reader.send(query);
    let mut messages = 0;
    loop {
        let text = reader.next().await?;
        if text.starts_with(b"<message") && has(&text, "urn:xmpp:mam:2") {
            messages += 1;
        } else if text.starts_with(b"<iq") && id_of(&text) == Some(id) {
            let is_whole = messages == PAGE && attr(&text, "type") == Some(b"result");
            return if is_whole { Ok(()) } else { Err(format!("{messages} messages on a page")) };
        }
    }
}
