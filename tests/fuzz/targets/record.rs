//! Records of tables: any bytes give a record or an error, and a record keeps its bytes.

#![no_main]

use calypte::tables::{ACCOUNTS, ROSTER};
use libfuzzer_sys::fuzz_target;
use table::{Key, Record, Table};

fn check<K: Key + ?Sized, V: Record + PartialEq + std::fmt::Debug>(
    table: &Table<K, V>,
    bytes: &[u8],
) {
    let Ok(record) = table.decode(bytes) else { return };
    let written = table.encode(&record);
    assert_eq!(table.decode(&written).ok(), Some(record));
    let _ = K::decode(bytes);
}

fuzz_target!(|bytes: &[u8]| {
    check(&ACCOUNTS, bytes);
    check(&ROSTER, bytes);
});
