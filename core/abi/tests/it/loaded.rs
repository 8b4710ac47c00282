//! Modules in files, from check to call.

use std::fs;
use std::path::Path;
use std::process::Command;

use abi::{Allowed, Instance, Library, LoadError, ManifestText, Panicked, level};

use crate::fixtures::{self, Fixture, forged, library};
use crate::recorder::{Recorder, call};

const GOOD: Fixture = library("good");

pub(crate) fn blake3(bytes: &[u8]) -> [u8; 32] {
    blake3::hash(bytes).into()
}

pub(crate) fn open(file: &Path, folder: &Path) -> Result<Library, LoadError> {
    let expected = fs::read(file).ok().map(|bytes| blake3(&bytes));
    Library::open(file, &Allowed { hash: blake3, expected, folder })
}

fn good(test: &str, config: &str) -> Result<Instance, LoadError> {
    open(&GOOD.build(), &fixtures::empty(test).join("loaded"))?.instance(config)
}

#[test]
fn a_good_module_works() {
    let file = GOOD.build();
    let manifest = Library::check(&file).unwrap();
    assert_eq!(manifest.get("name"), Some("good"));
    assert_eq!(manifest.get("version"), Some("1.2.3"));
    assert_eq!(manifest.get("abi"), Some("1.0"));
    assert_eq!(manifest.all("xep").collect::<Vec<_>>(), ["0000 1.0", "0001 2.0"]);

    let folder = fixtures::empty("good").join("loaded");
    let loaded = open(&file, &folder).unwrap();
    assert_eq!((loaded.name(), loaded.version()), ("good", "1.2.3"));
    assert_eq!(loaded.manifest(), &manifest);
    assert_eq!(loaded.hash(), blake3(&fs::read(&file).unwrap()));
    assert_eq!(loaded.copy().parent(), Some(folder.as_path()));

    let (one, two) = (loaded.instance("{}").unwrap(), loaded.instance("{}").unwrap());
    drop(loaded);
    let mut host = Recorder::default();
    assert_eq!(one.call(&call(0, &[b"a", b"b"]), &mut host), Ok(2));
    assert_eq!(one.call(&call(1, &[b"ab", b"cd"]), &mut host), Ok(12));
    assert_eq!(host.ops.len(), 2);
    assert_eq!(host.logs, [(level::INFO, "abcd".to_owned())]);
    assert_eq!(one.call(&call(5, &[]), &mut host), Ok(99));
    assert_eq!(one.call(&abi::Call { words: &[1, 2, 3], ..call(6, &[]) }, &mut host), Ok(6));
    // Instances share nothing.
    assert_eq!(one.call(&call(8, &[]), &mut host), Ok(5));
    assert_eq!(two.call(&call(8, &[]), &mut host), Ok(1));
}

#[test]
fn setup_errors_come_back_as_text() {
    let text = "`greeting` is too long; use at most 10 letters".to_owned();
    assert_eq!(good("setup", "refuse").unwrap_err(), LoadError::Setup(text));
    let LoadError::SetupPanicked(text) = good("setup", "panic").unwrap_err() else {
        panic!("it must be a panic");
    };
    // The place, from the library's own hook.
    assert!(text.contains("good.rs:"), "{text}");
    // The server lives, and the next attempt works.
    good("setup", "{}").unwrap();
}

#[test]
fn panics_stay_inside_and_go_to_the_log() {
    let instance = good("panic", "{}").unwrap();
    let mut host = Recorder::default();
    for hook in [2, 3, 4] {
        assert_eq!(instance.call(&call(hook, &[b"somebody"]), &mut host), Err(Panicked));
    }
    // It cannot pass for something else either.
    assert_eq!(instance.call(&call(7, &[]), &mut host), Err(Panicked));
    assert_eq!(instance.call(&call(8, &[]), &mut host), Ok(5));
    assert!(host.logs.iter().all(|(level, _)| *level == level::ERROR));
    let lines: Vec<&str> = host.logs.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("good.rs:") && lines[0].ends_with(": a constant"), "{lines:?}");
    // This fixture has debug assertions off, as a release build.
    assert!(lines[1].contains("good.rs:") && !lines[1].contains("somebody"), "{lines:?}");
}

#[test]
fn a_panic_does_not_take_the_hosts_hook() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SEEN: AtomicU32 = AtomicU32::new(0);
    const MARK: &str = "seen by the host's hook";
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() == Some(&MARK) {
            SEEN.fetch_add(1, Ordering::Relaxed);
        } else {
            before(info);
        }
    }));
    let instance = good("hook", "{}").unwrap();
    assert_eq!(instance.call(&call(2, &[]), &mut Recorder::default()), Err(Panicked));
    drop(std::panic::catch_unwind(|| std::panic::panic_any(MARK)));
    assert_eq!(SEEN.load(Ordering::Relaxed), 1);
}

#[test]
fn another_version_is_refused_before_it_is_loaded() {
    let folder = fixtures::empty("forged").join("loaded");
    let cases: [(&'static [&'static str], LoadError); 9] = [
        (&["--cfg=wrong_magic"], LoadError::WrongMagic),
        (&["--cfg=wrong_major"], LoadError::WrongAbi(2, 0)),
        (&["--cfg=next_symbol"], LoadError::WrongAbi(2, 0)),
        (&["--cfg=newer_minor"], LoadError::WrongAbi(1, 7)),
        (&["--cfg=short"], LoadError::WrongMagic),
        (&["--cfg=too_long"], LoadError::WrongMagic),
        (&["--cfg=abort"], LoadError::PanicAbort),
        (&["--cfg=no_symbol"], LoadError::SymbolMissing),
        (&["--cfg=no_manifest"], LoadError::NoManifest),
    ];
    for (flags, error) in cases {
        let file = forged(flags).build();
        assert_eq!(Library::check(&file).unwrap_err(), error, "{flags:?}");
        assert_eq!(open(&file, &folder).unwrap_err(), error, "{flags:?}");
        assert!(!folder.exists(), "{flags:?} was copied to be loaded");
    }
}

#[test]
fn a_table_of_lies_is_refused_after_it_is_loaded() {
    let file = forged(&[]).build();
    assert_eq!(Library::check(&file).unwrap().get("name"), Some("forged"));
    let folder = fixtures::empty("lies").join("loaded");
    assert_eq!(open(&file, &folder).unwrap_err(), LoadError::WrongMagic);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "the copy is of no use");
}

#[test]
fn aborting_builds_are_refused() {
    let aborting = Fixture { flags: &["-Cpanic=abort"], ..GOOD };
    let file = aborting.build();
    assert_eq!(Library::check(&file).unwrap_err(), LoadError::PanicAbort);
    // Only the module's own crate aborts; cargo does not build so, but somebody might.
    let mixed = Fixture { own: &["-Cpanic=abort"], ..GOOD };
    assert_eq!(Library::check(&mixed.build()).unwrap_err(), LoadError::PanicAbort);
    let program = Fixture { source: "program", kind: "bin", uses: &["good", "other"], ..aborting };
    let done = Command::new(program.build()).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(text, format!("{0}\n{0}\n", LoadError::PanicAbort));
}

#[test]
fn checking_does_not_load() {
    let file = library("canary").build();
    drop(fs::remove_file(fixtures::trace()));
    Library::check(&file).unwrap();
    let folder = fixtures::empty("canary").join("loaded");
    let wrong = Allowed { hash: blake3, expected: Some([0; 32]), folder: &folder };
    assert!(matches!(Library::open(&file, &wrong), Err(LoadError::WrongHash { .. })));
    assert!(!fixtures::trace().exists(), "the module ran");
    // The trap works: loading does leave the trace.
    open(&file, &folder).unwrap();
    assert!(fixtures::trace().exists());
}

#[test]
fn a_module_that_uses_a_module_is_refused() {
    let file = Fixture { flags: &["--cfg=with_good"], uses: &["good"], ..library("other") };
    assert_eq!(Library::check(&file.build()).unwrap_err(), LoadError::Several);
}

#[test]
fn many_modules_fit_into_one_program() {
    let manifest = |name: &str, version: &str, more: &str| {
        format!("calypte-manifest 1\nname {name}\n{more}version {version}\nabi 1.0\npanic unwind\n")
    };
    let good = manifest("good", "1.2.3", "xep 0000 1.0\nxep 0001 2.0\n");
    let expected =
        format!("good 1.2.3 3\n{good}other 0.1.0 42\n{}", manifest("other", "0.1.0", ""));
    for flags in [&["-Copt-level=0"][..], &["-Copt-level=3", "-Clto=fat"][..]] {
        let program =
            Fixture { source: "program", kind: "bin", flags, own: &[], uses: &["good", "other"] };
        let done = Command::new(program.build()).output().unwrap();
        assert_eq!(String::from_utf8(done.stdout).unwrap(), expected, "{flags:?}");
    }
}

#[test]
fn the_manifest_survives_the_linker() {
    let ways: [&'static [&'static str]; 2] = [
        &["-Copt-level=3", "-Clto=thin", "-Cstrip=symbols"],
        &["-Copt-level=3", "-Clto=fat", "-Ccodegen-units=1", "-Cstrip=symbols"],
    ];
    for flags in ways {
        let file = Fixture { flags, ..GOOD }.build();
        let manifest = Library::check(&file).map(|text| text.get("name").map(str::to_owned));
        assert_eq!(manifest, Ok(Some("good".to_owned())), "{flags:?}");
        let loaded = open(&file, &fixtures::empty("linker").join("loaded")).unwrap();
        let instance = loaded.instance("{}").unwrap();
        assert_eq!(instance.call(&call(0, &[]), &mut Recorder::default()), Ok(0));
    }
}

#[test]
fn nothing_outlives_its_call() {
    for (source, because) in [
        ("keeps_host", "borrowed data escapes outside of method"),
        ("keeps_parts", "borrowed data escapes outside of method"),
        ("shares_host", "cannot be s"),
    ] {
        let said = library(source).try_build().unwrap_err();
        assert!(said.contains(because), "{source}: {said}");
    }
}

#[test]
fn manifests_begin_with_their_line() {
    let joined = abi::manifest::bytes::<5>(&["ab", "", "cde"]);
    assert_eq!(joined, *b"abcde");
    assert_eq!(abi::manifest::len(&["ab", "", "cde"]), 5);
    let said = library("no_first_line").try_build().unwrap_err();
    assert!(said.contains("a manifest begins with its first line"), "{said}");
    assert!(ManifestText::new("calypte-manifest 2\n".to_owned()).is_none());
    assert!(ManifestText::new(String::new()).is_none());
}
