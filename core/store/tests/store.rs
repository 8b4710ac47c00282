//! What the store promises, with real files, kills and a real full disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic, wait and speak"
)]

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use store::{Options, Store, StoreError, restore, verify};
use table::Batch;

fn small() -> Options {
    Options { ballast_bytes: 0, reserve_bytes: 0, ..Options::default() }
}

fn batch(rows: &[(&str, &[u8])]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in rows {
        batch.put(format!("test\0\0{key}").into_bytes(), value.to_vec());
    }
    batch
}

fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.reader().get(format!("test\0\0{key}").as_bytes()).unwrap()
}

fn quiet(path: &Path) -> Result<u64, StoreError> {
    verify(path, &mut |_, _| {}).map(|report| report.records)
}

#[test]
fn what_was_committed_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let long = vec![7; 100_000];
    let store = Store::open(folder.path(), small()).unwrap();
    store.commit(batch(&[("a", b"1"), ("long", &long)])).unwrap();
    store.commit(batch(&[("a", b"2")])).unwrap();
    store.close();
    let store = Store::open(folder.path(), small()).unwrap();
    assert_eq!(get(&store, "a").unwrap(), b"2");
    assert_eq!(get(&store, "long").unwrap(), long);
    store.commit(batch(&[("long", b"short")])).unwrap();
    store.close();
    assert_eq!(quiet(folder.path()).unwrap(), 2);
    let blobs = std::fs::read_dir(folder.path().join("sled/blobs")).map(Iterator::count);
    assert_eq!(blobs.unwrap_or(0), 0);
}

#[test]
fn scans_are_in_order_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small()).unwrap();
    store.commit(batch(&[("a", b"1"), ("b", &vec![9; 20_000]), ("c", b"3")])).unwrap();
    let keys = |limit, reverse| -> Vec<u8> {
        let rows = store.reader().scan(b"test\0\0", b"test\0\x01", limit, reverse).unwrap();
        rows.iter().map(|(key, _)| *key.last().unwrap()).collect()
    };
    assert_eq!(keys(9, false), b"abc");
    assert_eq!(keys(2, true), b"cb");
    // Pieces of long values stand elsewhere and are no rows.
    assert!(store.reader().scan(b"u", b"\xfd", 9, false).unwrap().is_empty());
}

#[test]
fn readers_see_tables_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small()).unwrap();
    store.commit(batch(&[("a", b"1"), ("long", &vec![7; 100_000])])).unwrap();
    for reverse in [false, true] {
        let rows = store.reader().scan(&[], &[0xff], 10, reverse).unwrap();
        assert_eq!(rows.len(), 2);
    }
    assert_eq!(store.health().broken.len(), 0);
}

#[test]
fn tickets_are_durable_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small()).unwrap();
    let newest = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&newest);
    store.on_durable(Box::new(move |ticket| {
        assert!(seen.swap(ticket, Ordering::SeqCst) < ticket);
    }));
    let last = (0..2000).fold(0, |_, n| store.submit(batch(&[("n", &[n as u8])])));
    let deadline = Instant::now() + Duration::from_secs(30);
    while store.durable() < last {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(last, 2000);
    assert!(store.health().last_commit < 2000, "many batches share a sync");
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(folder.path(), small()).unwrap();
    let error = Store::open(folder.path(), small()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("format"), "99\n").unwrap();
    let error = Store::open(folder.path(), small()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_store_that_lost_commits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        let status = Command::new("cp").arg("-rT").arg(from).arg(to).status().unwrap();
        assert!(status.success());
    };
    let store = Store::open(folder.path(), small()).unwrap();
    store.commit(batch(&[("a", b"1")])).unwrap();
    store.close();
    copy(&folder.path().join("sled"), old.path());
    let store = Store::open(folder.path(), small()).unwrap();
    store.commit(batch(&[("a", b"2")])).unwrap();
    store.close();
    std::fs::remove_dir_all(folder.path().join("sled")).unwrap();
    copy(old.path(), &folder.path().join("sled"));
    let error = Store::open(folder.path(), small()).unwrap_err();
    assert!(matches!(error, StoreError::Lost { found: 1, promised: 2, .. }), "{error}");
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small()).unwrap();
    for n in 0..200_u32 {
        store.commit(batch(&[(&format!("key{n}"), &[n as u8; 300])])).unwrap();
    }
    store.close();
    let db = folder.path().join("sled/db");
    let whole = std::fs::read(&db).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let file = std::fs::File::options().write(true).open(&db).unwrap();
    let (mut seed, mut found, mut intact) = (7_u64, 0, 0);
    for _ in 0..60 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = usize::try_from(seed >> 33).unwrap() % used;
        file.write_all_at(&[whole[at] ^ 0x10], at as u64).unwrap();
        let path = folder.path().to_owned();
        match quiet(&path) {
            // Old versions of rows are still in the file; a bit there is nobody's.
            Ok(records) => {
                assert_eq!(records, 200, "a row is gone and nobody says so (byte {at})");
                intact += 1;
            }
            Err(_) => found += 1,
        }
        std::fs::write(&db, &whole).unwrap();
        for extra in std::fs::read_dir(folder.path().join("sled")).unwrap().flatten() {
            if extra.file_name().to_string_lossy().starts_with("snap.") {
                std::fs::remove_file(extra.path()).unwrap();
            }
        }
    }
    assert!(found > 5, "{found} found, {intact} intact");
}

#[test]
fn backups_come_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a"), small()).unwrap();
    for n in 0..3000_u32 {
        store.submit(batch(&[(&n.to_string(), &n.to_le_bytes().repeat(50))]));
    }
    store.commit(batch(&[("long", &vec![1; 50_000])])).unwrap();
    let file = folder.path().join("backup");
    let summary = store.backup(&file, &mut |_, _| {}).unwrap();
    assert_eq!(summary.records, 3001);
    assert_eq!(quiet(&file).unwrap(), 3001);
    let into = folder.path().join("b");
    assert_eq!(restore(&file, &into, &mut |_, _| {}).unwrap().records, 3001);
    let again = Store::open(&into, small()).unwrap();
    let rows = |store: &Store| store.reader().scan(b"\x01", b"\xfe", usize::MAX, false).unwrap();
    assert_eq!(rows(&again), rows(&store));
    again.close();
    let error = restore(&file, &into, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, StoreError::NotEmpty { .. }), "{error}");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(quiet(&file).is_err());
    std::fs::write(&file, &bytes[..middle]).unwrap();
    assert!(quiet(&file).is_err());
}

#[test]
fn a_backup_is_private_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a"), small()).unwrap();
    store.commit(batch(&[("a", b"1")])).unwrap();
    let (first, second) = (folder.path().join("x.1"), folder.path().join("x.2"));
    store.backup(&first, &mut |_, _| {}).unwrap();
    store.commit(batch(&[("b", b"2")])).unwrap();
    let error = store.backup(&first, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, StoreError::Taken { .. }), "{error}");
    store.backup(&second, &mut |_, _| {}).unwrap();
    assert_eq!((quiet(&first).unwrap(), quiet(&second).unwrap()), (1, 2));
    for file in [&first, &second] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let error = quiet(&folder.path().join("x.3")).unwrap_err();
    assert!(matches!(error, StoreError::Nothing { .. }), "{error}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 3, "a store and two backups");
}

#[test]
fn a_restore_that_fails_leaves_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a"), small()).unwrap();
    store.commit(batch(&[("a", b"1")])).unwrap();
    let file = folder.path().join("backup");
    store.backup(&file, &mut |_, _| {}).unwrap();
    let into = folder.path().join("b");
    // Something else is in the way, so the name cannot be given at the end.
    std::fs::create_dir(&into).unwrap();
    std::fs::write(into.join("notes"), "mine").unwrap();
    let error = restore(&file, &into, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, StoreError::NotEmpty { .. }), "{error}");
    assert!(!Store::is_at(&into) && into.join("notes").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "store, backup and notes");
}

/// The child of the next test: commits numbers and says so after each.
#[test]
fn child_commits_until_it_is_killed() {
    let Ok(path) = std::env::var("CALYPTE_STORE_CHILD") else { return };
    let store = Store::open(Path::new(&path), small()).unwrap();
    let first = get(&store, "last").map_or(0, |v| u64::from_le_bytes(v.try_into().unwrap()));
    for n in first + 1.. {
        let long = vec![n as u8; 200 + (n % 20) as usize * 1000];
        let number = n.to_le_bytes();
        store.commit(batch(&[("last", &number), (&format!("row{n}"), &long)])).unwrap();
        println!("committed {n}.");
    }
}

#[test]
fn kill_9_loses_nothing() {
    use std::io::{BufRead as _, BufReader};
    let rounds = std::env::var("CALYPTE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_commits_until_it_is_killed", "--exact", "--nocapture"])
            .env("CALYPTE_STORE_CHILD", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut number = || loop {
            let line = lines.next()?.ok()?;
            if let Some(n) = line.split_once("committed ").and_then(|(_, n)| n.strip_suffix('.')) {
                return n.parse::<u64>().ok();
            }
        };
        for _ in 0..(20 + round * 7) % 90 {
            acknowledged = number().expect("the child commits");
        }
        child.kill().unwrap();
        while let Some(more) = number() {
            acknowledged = more;
        }
        child.wait().unwrap();
        let store = Store::open(folder.path(), small()).unwrap();
        let last = get(&store, "last").map(|v| u64::from_le_bytes(v.try_into().unwrap()));
        assert!(last >= Some(acknowledged), "{last:?} of {acknowledged}");
        for n in 1..=acknowledged {
            assert!(get(&store, &format!("row{n}")).is_some(), "row {n} of {acknowledged}");
        }
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=120m", "tmpfs"])
        .arg(&disk)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "in CI a disk can be mounted");
        eprintln!("skipped: mounting a small disk needs root");
        return;
    }
    let outcome = std::panic::catch_unwind(|| fill(&disk));
    Command::new("umount").arg("-l").arg(&disk).status().unwrap();
    outcome.unwrap();
}

fn fill(disk: &Path) {
    let options = Options { ballast_bytes: 1 << 20, reserve_bytes: 16 << 20, ..Options::default() };
    let store = Store::open(&disk.join("store"), options).unwrap();
    let hog = disk.join("hog");
    store.commit(batch(&[("before", b"1")])).unwrap();
    std::fs::write(&hog, vec![1; 8 << 20]).unwrap();
    let free = store.health().free_bytes;
    std::fs::write(disk.join("hog2"), vec![1; usize::try_from(free - (4 << 20)).unwrap()]).unwrap();
    let mut last = 0;
    for n in 0..500_u32 {
        last = store.submit(batch(&[(&n.to_string(), &[1; 200])]));
        std::thread::sleep(Duration::from_micros(300));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.health().writable {
        assert!(Instant::now() < deadline, "the store notices");
        last = store.submit(batch(&[("more", b"x")]));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(store.durable() < last, "nothing is promised without room");
    std::fs::remove_file(&hog).unwrap();
    std::fs::remove_file(disk.join("hog2")).unwrap();
    while store.durable() < last {
        assert!(Instant::now() < deadline, "writing goes on by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(store.health().writable);
    store.close();
    assert!(quiet(&disk.join("store")).unwrap() >= 501);
}
