//! Files that are put on the server and fetched (XEP-0363), each client over one HTTPS connection.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Conn, Res, Setting, joined, note, tenths};
use crate::conn::Io;
use crate::http::{Http, PIECE};
use crate::probe::Snap;
use crate::target::Target;
use crate::xml::{attr, has};

/// How often the memory of the server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const UPLOAD: &str = "urn:xmpp:http:upload:0";

/// What is sent and fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) bytes: u64,
    pub(crate) files: usize,
    pub(crate) clients: usize,
    pub(crate) fetches: usize,
}

/// One who sends and fetches.
struct Sender {
    number: usize,
    target: Arc<Target>,
    /// What was sent, by number.
    sent: Vec<String>,
}

/// An address to send to, and the one to fetch from.
struct Slot {
    put: String,
    headers: Vec<(String, String)>,
    get: String,
}

pub(crate) async fn run(setting: &Setting, load: Load) -> Res<Value> {
    let mut conns = setting.login_many(setting.first, load.clients, true).await?;
    let mut service = setting.target.domain.clone();
    let first = conns.first_mut().ok_or("nobody sends anything")?;
    let info = format!(
        "<iq type='get' id='info' to='{service}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    );
    if !has(&first.ask("info", &info).await?, UPLOAD) {
        service = format!("upload.{service}");
    }
    let sender = |number| Sender { number, target: Arc::clone(&setting.target), sent: Vec::new() };
    let senders = (0..load.clients).map(sender).collect();
    // Slots are asked for before: what is measured is files.
    let mut slots = Vec::new();
    for conn in &mut conns {
        let mut own = Vec::new();
        for number in 0..load.files {
            own.push(ask(conn, &service, number, load.bytes).await?);
        }
        slots.push(own);
    }
    let mut slots = slots.into_iter();
    let all = load.bytes * super::count(load.files * load.clients);
    let (senders, up) = stage(setting, all, senders, |sender| {
        let slots = slots.next().unwrap_or_default();
        async move { put(sender, slots, load.bytes).await }
    })
    .await?;
    note(format!("all is there: {up}"));
    let all = all * super::count(load.fetches);
    let (senders, down) =
        stage(setting, all, senders, |sender| async move { get(sender, load).await }).await?;
    note(format!("all is fetched: {down}"));
    drop(senders);
    super::close_all(conns).await;
    Ok(json!({
        "bytes": load.bytes,
        "files": load.files * load.clients,
        "clients": load.clients,
        "up": up,
        "down": down,
    }))
}

/// Asks for a slot.
async fn ask(conn: &mut Conn, service: &str, number: usize, bytes: u64) -> Res<Slot> {
    let id = format!("s{number}");
    let answer = conn
        .ask(
            &id,
            &format!(
                "<iq type='get' id='{id}' to='{service}'><request xmlns='{UPLOAD}' \
                 filename='f{number}.bin' size='{bytes}' content-type='application/octet-stream'/>\
                 </iq>"
            ),
        )
        .await?;
    read_slot(&answer).ok_or_else(|| format!("no slot: {}", String::from_utf8_lossy(&answer)))
}

fn read_slot(answer: &[u8]) -> Option<Slot> {
    let text = std::str::from_utf8(answer).ok()?;
    let path = |name: &str| {
        let at = text.find(&format!("<{name} "))?;
        let url = std::str::from_utf8(attr(&answer[at..], "url")?).ok()?;
        let (_, rest) = url.split_once("://")?;
        Some(rest[rest.find('/')?..].replace("&amp;", "&"))
    };
    let header = |element: &str| {
        let name = std::str::from_utf8(attr(element.as_bytes(), "name")?).ok()?.to_owned();
        let (_, rest) = element.split_once('>')?;
        Some((name, rest.split('<').next()?.trim().to_owned()))
    };
    let (put, get) = (path("put")?, path("get")?);
    let headers = text.match_indices("<header ").filter_map(|(at, _)| header(&text[at..]));
    Some(Slot { put, headers: headers.collect(), get })
}

/// Has all do something at the same time. Returns them, and what it took: bytes in megabytes (10⁶).
async fn stage<F>(
    setting: &Setting,
    bytes: u64,
    senders: Vec<Sender>,
    mut act: impl FnMut(Sender) -> F,
) -> Res<(Vec<Sender>, Value)>
where
    F: Future<Output = Res<Sender>> + Send + 'static,
{
    setting.quiet(10.0).await;
    let before = setting.probe.snap();
    let (stop, stops) = watch::channel(false);
    let most = tokio::spawn(watch_memory(Arc::new(setting.clone()), stops));
    let mut tasks = JoinSet::new();
    for sender in senders {
        tasks.spawn(act(sender));
    }
    let mut senders = Vec::new();
    while let Some(done) = tasks.join_next().await {
        senders.push(joined(done)??);
    }
    let after = setting.probe.snap();
    stop.send_replace(true);
    let most_kib = joined(most.await)?.max(after.pss_kib);
    // What the server does behind is its work as well.
    let quiet = setting.quiet(30.0).await;
    senders.sort_by_key(|sender| sender.number);
    let megabytes = bytes as f64 / 1e6;
    let found = json!({
        "mb": tenths(megabytes),
        "mb_per_s": tenths(megabytes / after.wall_since(&before)),
        "mb_per_cpu_s": rate(megabytes, &quiet, &before),
        "more_mib": tenths(most_kib.saturating_sub(before.pss_kib) as f64 / 1024.0),
        "server": quiet.since(&before),
    });
    Ok((senders, found))
}

fn rate(megabytes: f64, after: &Snap, before: &Snap) -> f64 {
    tenths(megabytes / after.cpu_since(before))
}

/// Returns the most memory that the server has until told to stop, in KiB.
async fn watch_memory(setting: Arc<Setting>, mut stop: super::Stop) -> u64 {
    let mut most = 0;
    loop {
        most = most.max(setting.probe.snap().pss_kib);
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => return most,
        }
    }
}

impl Sender {
    /// Connects. Nobody keeps a connection that is silent for long.
    async fn connect(&self) -> Res<Http> {
        let io: Box<dyn Io> = Box::new(self.target.secure(self.number, None).await?);
        Ok(Http::new(io, self.target.domain.clone()))
    }
}

async fn put(mut sender: Sender, slots: Vec<Slot>, bytes: u64) -> Res<Sender> {
    let mut http = sender.connect().await?;
    for (number, slot) in slots.into_iter().enumerate() {
        let mut pieces = Pieces::of(&sender, number);
        http.put(&slot.put, &slot.headers, bytes, |piece| pieces.write(piece)).await?;
        sender.sent.push(slot.get);
    }
    Ok(sender)
}

async fn get(sender: Sender, load: Load) -> Res<Sender> {
    let mut http = sender.connect().await?;
    for _ in 0..load.fetches {
        for number in 0..sender.sent.len() {
            let mut pieces = Pieces::of(&sender, number);
            let mut is_same = true;
            let path = &sender.sent[number];
            http.get(path, load.bytes, |piece| is_same &= pieces.is_next(piece)).await?;
            if !is_same {
                return Err(format!("file {number} of client {} is another one", sender.number));
            }
        }
    }
    Ok(sender)
}

/// The bytes of a file: the same block again and again, which is another one in each file, so that no
/// server keeps two as one.
struct Pieces {
    block: Vec<u8>,
    at: usize,
}

impl Pieces {
    fn of(sender: &Sender, file: usize) -> Self {
        Self::new(super::count(sender.number) << 32 | super::count(file))
    }

    fn new(seed: u64) -> Self {
        // Nobody can make it smaller by packing it: xorshift64*.
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
        };
        Self { block: (0..PIECE / 8).flat_map(|_| next()).collect(), at: 0 }
    }

    /// Hands what comes next in parts to `each`.
    fn go(&mut self, length: usize, mut each: impl FnMut(usize, &[u8])) {
        let mut done = 0;
        while done < length {
            let end = (self.at + length - done).min(self.block.len());
            each(done, &self.block[self.at..end]);
            done += end - self.at;
            self.at = end % self.block.len();
        }
    }

    fn write(&mut self, piece: &mut [u8]) {
        self.go(piece.len(), |at, part| piece[at..at + part.len()].copy_from_slice(part));
    }

    fn is_next(&mut self, piece: &[u8]) -> bool {
        let mut is_same = true;
        self.go(piece.len(), |at, part| is_same &= &piece[at..at + part.len()] == part);
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read() {
        let answer = b"<iq type='result' id='s1'><slot xmlns='urn:xmpp:http:upload:0'>\
            <put url='https://a.test:5281/file_share/x/f.bin?a=1&amp;b=2'>\
            <header name='Authorization'>Bearer abc</header></put>\
            <get url=\"https://a.test/up/f.bin\"/></slot></iq>";
        let slot = read_slot(answer).unwrap();
        assert_eq!((&*slot.put, &*slot.get), ("/file_share/x/f.bin?a=1&b=2", "/up/f.bin"));
        assert_eq!(slot.headers, [("Authorization".to_owned(), "Bearer abc".to_owned())]);
    }

    #[test]
    fn files_differ_and_are_known_again() {
        let mut file = vec![0; 3 * PIECE + 5];
        Pieces::new(1).write(&mut file);
        let mut pieces = Pieces::new(1);
        assert!(file.chunks(1000).all(|piece| pieces.is_next(piece)));
        assert!(!Pieces::new(2).is_next(&file));
    }
}
