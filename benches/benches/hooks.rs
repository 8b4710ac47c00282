//! What a module costs: one that does not want the stanza, and one or ten that look at it, inside
//! the program and loaded from a file.
//!
//! Run: `cargo bench -p calypte-benches --bench hooks`. The time is that of a whole message through
//! the engine; the price of a hook is the difference to "no module".
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may panic")]

use abi::{Allowed, Library};
use calypte_benches as watch;
use criterion::{Criterion, criterion_group, criterion_main};
use engine::{Manifest, Pipeline};
use xmpp::Stanza;

#[allow(dead_code, reason = "not every bench uses all of it")]
mod parts;

const MARKED: &str = "<message to='ben@a.example' type='chat' id='m1'><body>The quick brown fox jumps \
    over the lazy dog near the river bank.</body><mark xmlns='urn:calypte:bench'/></message>";
const PLAIN: &str = "<message to='ben@a.example' type='chat' id='m1'><body>The quick brown fox jumps \
    over the lazy dog near the river bank.</body><other xmlns='urn:calypte:bench'/></message>";

fn loaded(library: &Library, count: usize) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for _ in 0..count {
        let manifest = Manifest::read(library.manifest().as_str()).unwrap();
        pipeline.add(library.instance("").unwrap(), manifest);
    }
    pipeline
}

fn hooks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hooks");
    let program = std::env::current_exe().unwrap();
    let file = program.with_file_name("libcalypte_benches.so");
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let allowed =
        Allowed { hash: crypto::hash, expected: Some(crypto::hash(&bytes)), folder: folder.path() };
    let library = Library::open(&file, &allowed).unwrap();
    let mut measure = |name: &str, pipeline: Pipeline, xml: &str| {
        let mut domain = parts::Domain::new(pipeline);
        let stanza = Stanza::parse(xml).unwrap();
        assert_eq!(domain.send(&stanza), 1);
        group.bench_function(name, |bencher| bencher.iter(|| domain.send(&stanza)));
    };
    measure("no module", Pipeline::default(), MARKED);
    measure("10 that do not want it, bundled", parts::bundled(&[&watch::MODULE; 10]), PLAIN);
    measure("10 that do not want it, loaded", loaded(&library, 10), PLAIN);
    measure("1 that looks, bundled", parts::bundled(&[&watch::MODULE]), MARKED);
    measure("1 that looks, loaded", loaded(&library, 1), MARKED);
    measure("10 that look, bundled", parts::bundled(&[&watch::MODULE; 10]), MARKED);
    measure("10 that look, loaded", loaded(&library, 10), MARKED);
    group.finish();
}

criterion_group!(benches, hooks);
criterion_main!(benches);
