//! What a long history costs: a message written down, and a page read, in archives of different length.
//!
//! Run: `cargo bench -p calypte-benches --bench archive`. The engine and the module over a store on disk; a
//! message is prepared and not committed, so that the archive stays as long as it is. TLS and actors are
//! not in it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may panic")]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::{Effect, Engine, Event, Outcome};
use store::{Options, Store};
use table::{Batch, Storage};
use tempfile::TempDir;
use xmpp::Stanza;

#[allow(dead_code, reason = "not every bench uses all of it")]
mod parts;

use parts::{ANA, BEN, Domain};

const LENGTHS: [u32; 3] = [1000, 100_000, 1_000_000];
/// Every tenth message is Ana's; the others Ben writes to himself.
const FROM_ANA: u32 = 10;
/// Rows that are written at once while the archive is made.
const ROWS: usize = 2000;
const MESSAGE: &str = "<message to='ben@a.example' type='chat' id='m'><body>The quick brown fox jumps over \
    the lazy dog near the river ban</body></message>";
const WITH_ANA: &str = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>\
    urn:xmpp:mam:2</value></field><field var='with'><value>ana@a.example</value></field></x>";
const RSM: &str = "http://jabber.org/protocol/rsm";

/// Ben's account with a history.
struct History {
    engine: Engine,
    now_ms: u64,
    reader: Arc<dyn Storage + Send + Sync>,
    // Closed when it is dropped, and then deleted.
    _store: Store,
    _folder: TempDir,
}

impl History {
    fn new(length: u32) -> Self {
        let mut domain = Domain::new(parts::bundled(&[&archive::MODULE]));
        let message = Stanza::parse(MESSAGE).unwrap();
        for number in 0..length {
            let session = if number % FROM_ANA == 0 { ANA } else { BEN };
            domain.step(Event::Sent { session, stanza: message.clone() });
        }
        let (engine, memory, now_ms) = domain.into_parts();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Options::default()).unwrap();
        let rows: Vec<_> = memory.rows().collect();
        for rows in rows.chunks(ROWS) {
            let mut batch = Batch::default();
            rows.iter().for_each(|(key, value)| batch.put(key.to_vec(), value.to_vec()));
            store.commit(batch).unwrap();
        }
        Self { engine, now_ms, reader: store.reader(), _store: store, _folder: folder }
    }

    fn step(&mut self, session: u64, stanza: &Stanza) -> Outcome {
        let event = Event::Sent { session, stanza: stanza.clone() };
        self.engine.step(self.now_ms, event, &*self.reader)
    }

    /// Asks for a page and returns how many messages came and the name of the last.
    fn page(&mut self, query: &Stanza) -> (usize, String) {
        let outcome = self.step(BEN, query);
        let given = outcome.effects.iter().filter_map(|effect| match effect {
            Effect::ToSession { stanza, .. } => Some(stanza),
            _ => None,
        });
        let (mut count, mut last) = (0, String::new());
        for stanza in given {
            count += usize::from(stanza.view().has("urn:xmpp:mam:2", "result"));
            if let Some(fin) = stanza.view().child("urn:xmpp:mam:2", "fin") {
                let set = fin.child(RSM, "set").unwrap();
                last = set.child_text(RSM, "last").unwrap().into_owned();
            }
        }
        (count, last)
    }

    /// Goes to the middle page by page and returns the name of the message there.
    fn middle(&mut self, length: u32) -> String {
        let (_, mut after) = self.page(&query("", "<max>100</max>"));
        for _ in 1..length / 200 {
            let part = format!("<max>100</max><after>{after}</after>");
            (_, after) = self.page(&query("", &part));
        }
        after
    }
}

fn query(form: &str, part: &str) -> Stanza {
    let xml = format!(
        "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>{form}<set xmlns='{RSM}'>{part}</set>\
         </query></iq>"
    );
    Stanza::parse(&xml).unwrap()
}

fn history(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("archive");
    let message = Stanza::parse(MESSAGE).unwrap();
    for length in LENGTHS {
        let mut history = History::new(length);
        let middle = history.middle(length);
        let pages = [
            ("first 50", query("", "<max>50</max>")),
            ("last 50", query("", "<max>50</max><before/>")),
            ("50 behind the middle", query("", &format!("<max>50</max><after>{middle}</after>"))),
            ("last 50 of one person in ten", query(WITH_ANA, "<max>50</max><before/>")),
        ];
        for (name, query) in &pages {
            assert_eq!(history.page(query).0, 50, "{name}");
            group.bench_function(BenchmarkId::new(*name, length), |bencher| {
                bencher.iter(|| history.page(query));
            });
        }
        group.bench_function(BenchmarkId::new("one message", length), |bencher| {
            bencher.iter(|| history.step(ANA, &message));
        });
    }
    group.finish();
}

criterion_group!(benches, history);
criterion_main!(benches);
