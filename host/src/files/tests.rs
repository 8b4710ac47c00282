use calypte::tables::FileBlob;
use table::{Batch, Memory, full_key};

use super::*;

fn secret() -> Secret {
    Secret::new(vec![7; 32])
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn row(memory: &mut Memory, whole: &Whole) {
    let blob = FileBlob { name: whole.name, bytes: whole.bytes, links: 1 };
    let mut batch = Batch::default();
    let key = full_key(FILE_BLOBS.name, "ana@a.example", &whole.digest);
    batch.put(key, FILE_BLOBS.encode(&blob));
    memory.apply(&batch);
}

fn write(files: &Files, content: &[u8]) -> Whole {
    let mut writing = files.begin(&[1; 32]).unwrap();
    for part in content.chunks(10_000) {
        writing.write(part).unwrap();
    }
    let whole = writing.finish().unwrap();
    files.count(&whole);
    whole
}

#[test]
fn what_is_written_is_read_from_anywhere() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::open(data.path(), &secret(), &Memory::default()).unwrap();
    for length in [1, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let content = bytes(length);
        let whole = write(&files, &content);
        assert_eq!(whole.digest, crypto::keyed_hash(&[1; 32], &content));
        let size = u64::try_from(length).unwrap();
        assert_eq!(whole.bytes, size);
        let reading = files.read(&whole.name, size).unwrap();
        for at in [0, 1, length / 2, length - 1, length] {
            let mut got = Vec::new();
            while let part = reading.from(u64::try_from(at + got.len()).unwrap()).unwrap()
                && !part.is_empty()
            {
                got.extend(part);
            }
            assert_eq!(got, content[at..], "{length} from {at}");
        }
        let on_disk = fs::metadata(files.path(&whole.name)).unwrap().len();
        assert_eq!(on_disk, sealed_bytes(size));
    }
}

#[test]
fn the_disk_shows_nothing_and_changes_are_noticed() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::open(data.path(), &secret(), &Memory::default()).unwrap();
    let content = b"wherefore art thou ".repeat(10_000);
    let whole = write(&files, &content);
    let path = files.path(&whole.name);
    let sealed = fs::read(&path).unwrap();
    assert!(!sealed.windows(9).any(|part| part == b"wherefore"));
    let chunk = CHUNK_BYTES + TAG_BYTES;
    let mut moved = sealed.clone();
    let (first, second) = moved[16..].split_at_mut(chunk);
    first.swap_with_slice(&mut second[..chunk]);
    let mut flipped = sealed.clone();
    flipped[20] ^= 1;
    for changed in [moved, flipped] {
        fs::write(&path, changed).unwrap();
        let error = files.read(&whole.name, whole.bytes).unwrap().from(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
    fs::write(&path, &sealed[..16 + 2 * chunk]).unwrap();
    assert!(files.read(&whole.name, whole.bytes).is_err());
    // Cut off where a chunk ends, with a row that says so.
    let cut = u64::try_from(2 * CHUNK_BYTES).unwrap();
    let reading = files.read(&whole.name, cut).unwrap();
    assert!(reading.from(0).is_ok());
    assert!(reading.from(cut - 1).is_err());
    // Of another server, and of another file.
    fs::write(&path, &sealed).unwrap();
    let other = Files::at(files.folder.clone(), &Secret::new(vec![8; 32]));
    assert!(other.read(&whole.name, whole.bytes).unwrap().from(0).is_err());
    fs::rename(&path, files.path(&[9; 16])).unwrap();
    assert!(files.read(&[9; 16], whole.bytes).unwrap().from(0).is_err());
}

#[test]
fn a_start_leaves_what_stands_in_rows_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let mut rows = Memory::default();
    let files = Files::open(data.path(), &secret(), &rows).unwrap();
    let (kept, lost) = (write(&files, b"kept"), write(&files, b"no row"));
    row(&mut rows, &kept);
    // What a process that was killed leaves.
    fs::write(files.folder.join(format!("{}{PART}", "0".repeat(32))), "half").unwrap();
    fs::write(files.folder.join("README"), "the operator's").unwrap();
    let files = Files::open(data.path(), &secret(), &rows).unwrap();
    assert!(files.has(&kept.name) && !files.has(&lost.name));
    assert_eq!((files.count.get(), fs::read_dir(&files.folder).unwrap().count()), (1, 2));
    files.remove(&kept.name);
    files.remove(&kept.name);
    assert_eq!((files.count.get(), files.bytes.get()), (0, 0));
}

#[test]
fn a_row_that_cannot_be_read_stops_no_start_and_costs_no_file() {
    let data = tempfile::tempdir().unwrap();
    let mut rows = Memory::default();
    let secret = crate::secret_key::read(data.path()).unwrap();
    let files = Files::open(data.path(), &secret, &rows).unwrap();
    let (kept, unclear) = (write(&files, b"kept"), write(&files, b"unclear"));
    row(&mut rows, &kept);
    let mut batch = Batch::default();
    batch.put(full_key(FILE_BLOBS.name, "ben@a.example", &unclear.digest), b"\xff".to_vec());
    rows.apply(&batch);
    fs::write(files.folder.join(format!("{}{PART}", "0".repeat(32))), "half").unwrap();
    let files = Files::open(data.path(), &secret, &rows).unwrap();
    assert!(files.has(&kept.name) && files.has(&unclear.name));
    assert_eq!(list(&files.folder).unwrap().len(), 2);
    let found = check(data.path(), &rows, &mut |_, _| {}).unwrap();
    let wrong = found.wrong.join("\n");
    assert!(found.files == 1 && wrong.contains("a file of ben@a.example, of which"), "{wrong}");
}

#[test]
fn nothing_is_deleted_while_files_are_copied() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::open(data.path(), &secret(), &Memory::default()).unwrap();
    let whole = write(&files, b"whole");
    let (first, second) = (files.hold(), files.hold());
    files.remove(&whole.name);
    drop(first);
    assert!(files.has(&whole.name));
    drop(second);
    assert!(!files.has(&whole.name));
    assert_eq!((files.count.get(), files.bytes.get()), (0, 0));
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::open(data.path(), &secret(), &Memory::default()).unwrap();
    let mut writing = files.begin(&[1; 32]).unwrap();
    writing.write(&bytes(100_000)).unwrap();
    assert_eq!(fs::read_dir(&files.folder).unwrap().count(), 1);
    drop(writing);
    assert_eq!(fs::read_dir(&files.folder).unwrap().count(), 0);
}

#[test]
fn a_check_names_what_does_not_agree() {
    let data = tempfile::tempdir().unwrap();
    let mut rows = Memory::default();
    let secret = crate::secret_key::read(data.path()).unwrap();
    let files = Files::open(data.path(), &secret, &rows).unwrap();
    let all = [write(&files, b"whole"), write(&files, b"gone"), write(&files, b"changed")];
    for whole in &all {
        row(&mut rows, whole);
    }
    write(&files, b"no row");
    let found = check(data.path(), &rows, &mut |_, _| {}).unwrap();
    assert_eq!((found.files, found.bytes), (3, 16));
    assert_eq!(found.wrong, ["1 files stand in no row of the store"]);
    files.remove(&all[1].name);
    fs::write(files.path(&all[2].name), "else").unwrap();
    let found = check(data.path(), &rows, &mut |_, _| {}).unwrap();
    assert_eq!(found.files, 1);
    let wrong = found.wrong.join("\n");
    let gone = format!("a file of ana@a.example, {}: it is not there", hex::write(&all[1].name));
    assert!(wrong.contains(&gone) && wrong.contains(&hex::write(&all[2].name)), "{wrong}");
}

#[test]
fn nothing_is_left_when_the_folder_cannot_be_kept() {
    let data = tempfile::tempdir().unwrap();
    let files = Files::open(data.path(), &secret(), &Memory::default()).unwrap();
    let mut writing = files.begin(&[1; 32]).unwrap();
    writing.write(b"wherefore").unwrap();
    let path = writing.path.clone();
    let failed = writing.finish_by(|_| {
        assert!(path.exists());
        Err(io::Error::other("broken"))
    });
    assert!(failed.is_err());
    assert!(list(&files.folder).unwrap().is_empty());
}
