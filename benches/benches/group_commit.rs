//! Durable batches, as so many senders have them in flight: two rows of a message and a count each,
//! from the hand-over to the store until all are on disk.
//!
//! Run: `cargo bench -p calypte-benches --bench group_commit`. It measures the disk below the folder
//! for temporary files (`TMPDIR`); on a disk in memory it says nothing.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may panic")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use store::{Options, Store};
use table::Batch;

fn batch(number: u64) -> Batch {
    let mut batch = Batch::default();
    let number = number.to_be_bytes();
    for table in ["offline\0ana@a.example\0", "engine.unacked\0ben@a.example\0"] {
        batch.put([table.as_bytes(), &number].concat(), vec![b'x'; 300]);
    }
    batch.put(b"engine.handled\0ben@a.example\0token".to_vec(), number.to_vec());
    batch
}

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group commit");
    group.sample_size(20);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let mut number = 0;
    for in_flight in [1_u64, 16, 128] {
        group.throughput(Throughput::Elements(in_flight));
        group.bench_function(format!("{in_flight} in flight"), |bencher| {
            bencher.iter(|| {
                for _ in 1..in_flight {
                    number += 1;
                    store.submit(batch(number));
                }
                number += 1;
                store.commit(batch(number)).unwrap();
            });
        });
    }
    group.finish();
    store.close();
}

criterion_group!(benches, commit);
criterion_main!(benches);
