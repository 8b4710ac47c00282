//! The reader of a stream: all checks and the table of each stanza, in pieces as TLS hands them out.
//!
//! Run: `cargo bench -p calypte-benches --bench reader`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may panic")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use xml::{Item, Limits, Reader};

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream to='a.example' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What clients send, about as often as they do: 471 bytes each in the middle.
const MIX: &[&str] = &[
    "<message to='ben@a.example' type='chat' id='c1234567890'><body>The quick brown fox jumps over \
     the lazy dog near the river ban</body></message>",
    "<message to='ben@a.example/phone.82b1' type='chat' id='7f0d'><body>On my way &amp; soon there \
     \u{1f44b}</body><active xmlns='http://jabber.org/protocol/chatstates'/><request \
     xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/><origin-id \
     xmlns='urn:xmpp:sid:0' id='7f0d6a51-0c5e-4be5-9a63-6a3f1d6c9a3b'/></message>",
    "<iq type='get' id='d1' to='a.example'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<presence><show>away</show><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' \
     hash='sha-1' node='https://example.org/client' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>",
    "<message to='ben@a.example' type='chat' id='e2e1'><encrypted \
     xmlns='eu.siacs.conversations.axolotl'><header sid='1543210987'><key rid='31415926'>\
     MwohBQ4TcOaAKdzcyPdJ/RfeUpLKUwiPF0+vfvs1V7uWiQM+EAEYACIwyLhqYvDvZ9K2JwQYxWlQSvDkfXKQ0Yf2Wkg\
     SUG5Ll3Vr1kA2oVvY0fZCQf2Zh0</key><key rid='27182818' prekey='true'>MwohBQ4TcOaAKdzcyPdJ/RfeU\
     pLKUwiPF0+vfvs1V7uWiQM+EAEYACIwyLhqYvDvZ9K2JwQYxWlQSvDkfXKQ0Yf2WkgSUG5Ll3Vr1kA2oVvY0</key>\
     <iv>7sOPG6cZ8qCkXQ8o</iv></header><payload>q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8S\
     NFZ4kKvN7xI0VniQ</payload></encrypted><store xmlns='urn:xmpp:hints'/></message>",
];

fn read(reader: &mut Reader, bytes: &[u8], piece: usize) -> usize {
    let mut count = 0;
    for piece in bytes.chunks(piece) {
        reader.push(piece).unwrap();
        while let Some(item) = reader.next().unwrap() {
            count += usize::from(matches!(item, Item::Element(_)));
        }
    }
    count
}

fn reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reader");
    let bytes = MIX.concat().repeat(20).into_bytes();
    group.throughput(Throughput::Bytes(u64::try_from(bytes.len()).unwrap()));
    for piece in [16_384, 1448, 137] {
        let mut reader = Reader::new(Limits::client());
        assert_eq!(read(&mut reader, HEADER, HEADER.len()), 0);
        assert_eq!(read(&mut reader, &bytes, piece), MIX.len() * 20);
        group.bench_function(format!("pieces of {piece} bytes"), |bencher| {
            bencher.iter(|| read(&mut reader, &bytes, piece));
        });
    }
    group.finish();
}

criterion_group!(benches, reader);
criterion_main!(benches);
