//! The price of one chat message between two people of one shard, from `Event::Sent` to
//! `Effect::ToSession`, and with its way through the reader and the writer.
//!
//! Run: `cargo bench -p calypte-benches --bench stanza_path`. TLS, actors and the disk are not in it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may panic")]

use criterion::{Criterion, criterion_group, criterion_main};
use engine::{Effect, Event, Pipeline};
use xml::Flat;
use xmpp::{Stanza, ns};

#[allow(dead_code, reason = "not every bench uses all of it")]
mod parts;

use parts::{ANA, BEN, Domain};

const MESSAGE: &str = "<message to='ben@a.example' type='chat' id='c1234567890'><body>The quick brown \
    fox jumps over the lazy dog near the river ban</body></message>";

fn standard() -> Pipeline {
    parts::bundled(&[
        &roster::MODULE,
        &presence::MODULE,
        &disco::MODULE,
        &offline::MODULE,
        &basics::MODULE,
    ])
}

fn path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stanza path");
    let stanza = Stanza::parse(MESSAGE).unwrap();

    for (name, pipeline) in [("no module", Pipeline::default()), ("standard modules", standard())] {
        let mut domain = Domain::new(pipeline);
        assert_eq!(domain.send(&stanza), 1);
        group.bench_function(name, |bencher| bencher.iter(|| domain.send(&stanza)));
    }

    // Both count: two rows for each message, which the clients settle at once.
    let mut domain = Domain::new(standard());
    for session in [ANA, BEN] {
        domain.step(Event::Enable { session, resume: true });
    }
    let mut h = 0_u32;
    let mut send = || {
        let sent = domain.send(&stanza);
        h = h.wrapping_add(1);
        domain.step(Event::Acked { session: BEN, h });
        sent
    };
    assert_eq!(send(), 1);
    group.bench_function("standard modules, XEP-0198", |bencher| bencher.iter(&mut send));

    // It waits in a row until the other domain has it.
    let mut domain = Domain::new(standard());
    let stanza = Stanza::parse(&MESSAGE.replace("a.example", "b.example")).unwrap();
    let mut leave = || {
        let outcome = domain.step(Event::Sent { session: ANA, stanza: stanza.clone() });
        let Some(Effect::Leaving { row: Some(row), .. }) = outcome.effects.into_iter().next()
        else {
            return 0;
        };
        domain.step(Event::Left { rows: vec![row] }).writes.ops.len()
    };
    assert_eq!(leave(), 1);
    group.bench_function("standard modules, to another domain", |bencher| {
        bencher.iter(&mut leave);
    });

    let mut domain = Domain::new(standard());
    group.bench_function("standard modules, read and written", |bencher| {
        bencher.iter(|| {
            let stanza = Stanza::read(Flat::parse(MESSAGE, ns::CLIENT).unwrap()).unwrap();
            let outcome = domain.step(Event::Sent { session: ANA, stanza });
            let Some(Effect::ToSession { stanza, .. }) = outcome.effects.first() else { return 0 };
            stanza.to_xml().len()
        });
    });
    group.finish();
}

criterion_group!(benches, path);
criterion_main!(benches);
