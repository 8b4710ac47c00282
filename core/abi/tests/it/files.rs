//! Files that are not what they should be, and who may change them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use abi::{Allowed, Library, LoadError};

use crate::fixtures::{self, library};
use crate::loaded::{blake3, open};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn other_files_are_refused() {
    let work = fixtures::empty("files");
    let file = |name: &str, bytes: &[u8]| {
        let path = work.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = fs::read(library("good").build()).unwrap();
    let mut foreign = whole.clone();
    foreign[18] = 0xB7;
    foreign[19] = 0xB7;
    let cases = [
        (work.join("missing.so"), LoadError::NotFound),
        (file("text.so", b"#!/bin/sh\n"), LoadError::NotElf),
        (file("empty.so", b""), LoadError::NotElf),
        (file("start.so", &whole[..5]), LoadError::Truncated),
        (file("half.so", &whole[..whole.len() / 2]), LoadError::Truncated),
        (file("most.so", &whole[..whole.len() - 1]), LoadError::Truncated),
        (file("foreign.so", &foreign), LoadError::WrongMachine),
    ];
    let folder = work.join("loaded");
    for (path, error) in cases {
        assert_eq!(Library::check(&path).unwrap_err(), error, "{path:?}");
        assert_eq!(open(&path, &folder).unwrap_err(), error, "{path:?}");
    }
    assert!(!folder.exists());
    // A program is no library. This one has modules inside, so it has a manifest.
    assert!(Library::check(&std::env::current_exe().unwrap()).is_err());
    for special in [work.as_path(), Path::new("/dev/zero")] {
        assert!(matches!(Library::check(special), Err(LoadError::Unreadable(_))), "{special:?}");
    }
}

#[test]
fn a_pipe_does_not_stop_the_server() {
    let pipe = fixtures::empty("pipe").join("pipe.so");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(matches!(Library::check(&pipe), Err(LoadError::Unreadable(_))));
}

#[test]
fn huge_files_are_refused_unread() {
    let path = fixtures::empty("huge").join("huge.so");
    // Sparse: it takes no room.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(Library::check(&path), Err(LoadError::TooBig { .. })));
}

#[test]
fn a_changed_file_is_refused() {
    let work = fixtures::empty("changed");
    let path = work.join("good.so");
    let mut bytes = fs::read(library("good").build()).unwrap();
    let expected = blake3(&bytes);
    // One letter of the manifest, so that everything else about the file is right.
    let at = bytes.windows(10).position(|part| part == b"name good\n").unwrap();
    bytes[at + 5] = b'w';
    fs::write(&path, &bytes).unwrap();
    let folder = work.join("loaded");
    let allowed = Allowed { hash: blake3, expected: Some(expected), folder: &folder };
    let error = Library::open(&path, &allowed).unwrap_err();
    assert_eq!(error, LoadError::WrongHash { expected, found: blake3(&bytes) });
    assert!(error.to_string().contains(&blake3::Hash::from(expected).to_hex().to_string()));
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let work = fixtures::empty("rights");
    let path = work.join("good.so");
    fs::copy(library("good").build(), &path).unwrap();
    let folder = work.join("loaded");
    mode(&path, 0o666);
    assert!(matches!(open(&path, &folder), Err(LoadError::Permissions(_))));
    mode(&path, 0o644);
    // Without a hash the file's folder counts as well.
    let allowed = Allowed { hash: blake3, expected: None, folder: &folder };
    mode(&work, 0o777);
    assert!(matches!(Library::open(&path, &allowed), Err(LoadError::Permissions(_))));
    open(&path, &folder).unwrap();
    mode(&work, 0o1777);
    Library::open(&path, &allowed).unwrap();
}

#[test]
fn the_copy_is_private() {
    let work = fixtures::empty("private");
    let path = work.join("good.so");
    fs::copy(library("good").build(), &path).unwrap();
    let folder = work.join("loaded");
    let loaded = open(&path, &folder).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(loaded.copy()).unwrap().permissions().mode() & 0o777, 0o600);
    // What is loaded stays whole when its file is overwritten.
    fs::write(&path, vec![0; 100_000]).unwrap();
    loaded.instance("{}").unwrap();
    // A folder or a link that others made is not used.
    fs::copy(library("good").build(), &path).unwrap();
    mode(&folder, 0o770);
    assert!(matches!(open(&path, &folder), Err(LoadError::Permissions(_))));
    mode(&folder, 0o700);
    let link = work.join("link");
    symlink(&folder, &link).unwrap();
    assert!(matches!(open(&path, &link), Err(LoadError::Permissions(_))));
    assert!(matches!(open(&path, &path), Err(LoadError::Permissions(_))));
    let nowhere = work.join("no/where");
    assert!(matches!(open(&path, &nowhere), Err(LoadError::PrivateCopy(_))));
}

#[test]
fn a_link_in_place_of_the_copy_is_not_followed() {
    let work = fixtures::empty("planted");
    let folder = work.join("loaded");
    let first = open(&library("good").build(), &folder).unwrap();
    let victim = work.join("victim");
    fs::write(&victim, b"precious").unwrap();
    fs::remove_file(first.copy()).unwrap();
    symlink(&victim, first.copy()).unwrap();
    open(&library("good").build(), &folder).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn the_loaders_refusal_is_told() {
    // All that we look at is right, but the code needs a function that nobody has.
    let file = fixtures::Fixture {
        flags: &["--cfg=needs_more", "-Clink-arg=-Wl,-z,undefs"],
        ..library("good")
    };
    let error = open(&file.build(), &fixtures::empty("refusal").join("loaded")).unwrap_err();
    let LoadError::Refused(text) = &error else { panic!("{error}") };
    assert!(text.contains("calypte_has_no_such_function"), "{text}");
}

#[test]
fn a_file_of_somebody_else_needs_a_hash() {
    let work = fixtures::empty("owner");
    let path = work.join("good.so");
    fs::copy(library("good").build(), &path).unwrap();
    let folder = work.join("loaded");
    let allowed = Allowed { hash: blake3, expected: None, folder: &folder };
    Library::open(&path, &allowed).unwrap();
    for foreign in [&path, &work] {
        // Only root can give files away.
        if chown(foreign, Some(65_534), None).is_err() {
            return;
        }
        assert!(matches!(Library::open(&path, &allowed), Err(LoadError::Permissions(_))));
        open(&path, &folder).unwrap();
        chown(foreign, Some(0), None).unwrap();
    }
    // What others could change while it is loaded is not used, hash or not.
    chown(&folder, Some(65_534), None).unwrap();
    assert!(matches!(open(&path, &folder), Err(LoadError::Permissions(_))));
}
