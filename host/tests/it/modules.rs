//! A module from its first line to a server that runs it: what a module author does.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::place::Place;

/// The checkout.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Builds of new modules go where those of the checkout are, so that they share what is built.
fn target() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_calypte"));
    program.ancestors().nth(2).unwrap().to_owned()
}

fn cargo(folder: &Path, args: &[&str]) {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(["--offline", "--quiet", "--target-dir"])
        .arg(target())
        .current_dir(folder)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
}

/// Makes a new module outside the checkout. The lock file is that of the checkout, so that nothing
/// has to be looked up.
fn new(place: &Place, name: &str) -> PathBuf {
    let source = source();
    let out = place.run(&["module", "new", name, "--source", source.to_str().unwrap()], "");
    let out = out.succeeds();
    assert!(out.contains(&format!("scenes/{name}.scene")), "{out}");
    let folder = place.file(name);
    std::fs::copy(source.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

#[test]
fn a_new_module_passes_its_tests_and_is_loaded() {
    let place = Place::with_config();
    let folder = new(&place, "two-words");
    let mut files: Vec<String> = walk(&folder);
    files.retain(|file| file != "Cargo.lock");
    files.sort();
    assert_eq!(files, ["Cargo.toml", "scenes/two-words.scene", "src/lib.rs", "tests/scenes.rs"]);
    cargo(&folder, &["test"]);

    cargo(&folder, &["build"]);
    let file = target().join("debug/libcalypte_two_words.so");
    let file = file.to_str().unwrap();
    let checked = place.calypte(&["module", "check", file], "").succeeds();
    for expected in [
        "two-words 0.1.0  Greets whoever asks for it.",
        "iq-get domain urn:example:two-words:0 two-words",
        "greeting (text, default \"Good to see you!\")",
        "messages: ",
        "loadable; `calypte module add",
    ] {
        assert!(checked.contains(expected), "{expected} is not in {checked}");
    }
    place.calypte(&["module", "add", file], "").succeeds();
    let checked = place.calypte(&["module", "check", file], "").succeeds();
    assert!(checked.contains("loadable, and granted all that two-words wants"), "{checked}");
    let list = place.calypte(&["module", "list"], "").succeeds();
    assert!(list.contains(&format!("two-words 0.1.0  ({file})")), "{list}");
    let order = place.calypte(&["module", "order"], "").succeeds();
    let mut rewrites = order.lines().filter(|line| line.contains("Rewrite"));
    assert!(rewrites.any(|line| line.contains("two-words")), "{order}");
    place.calypte(&["check"], "").succeeds();
    serves_in_dev(&place, &folder);
}

/// Starts the throwaway server with the module and ends it as Ctrl-C does.
fn serves_in_dev(place: &Place, folder: &Path) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_calypte"))
        .args(["dev", "--module"])
        .arg(folder)
        .current_dir(place.path())
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().map(Result::unwrap);
    let pid = child.id().to_string();
    drop(Command::new("kill").args(["-INT", &pid]).status());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {said}");
    assert!(first.is_some_and(|line| line.starts_with("A throwaway server")), "{said}");
    assert_eq!(rest.last().map(String::as_str), Some("stopped; nothing is left of it"));
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    let place = Place::with_config();
    let said = place.calypte(&["module", "add", "nothing.so"], "").fails(2);
    assert!(said.contains("nothing.so: there is no such file; check the path"), "{said}");
}

#[test]
fn new_refuses_with_a_sentence_and_writes_nothing() {
    let place = Place::new();
    let source = source();
    let source = source.to_str().unwrap();
    for (args, expected) in [
        (&["Hello"][..], "\"Hello\" is no name for a module"),
        (&["../up"], "is no name for a module"),
        (&["roster"], "is the name of a module that Calypte brings"),
        (&["cert.pem"], "is no name for a module"),
        (&["fine"], "say where one is with --source FOLDER"),
        (&["fine", "--source", "."], "is not Calypte's source"),
    ] {
        let err = place.run(&[&["module", "new"], args].concat(), "").fails(2);
        assert!(err.starts_with("error: ") && err.contains(expected), "{args:?}: {err}");
    }
    assert!(!place.file("fine").exists() && !place.file("Hello").exists());

    // What is there stays as it is.
    std::fs::create_dir(place.file("mine")).unwrap();
    place.write("mine/Cargo.toml", "precious");
    let err = place.run(&["module", "new", "mine", "--source", source], "").fails(2);
    assert!(err.contains("mine is there already"), "{err}");
    assert_eq!(walk(&place.file("mine")), ["Cargo.toml"]);
    assert_eq!(std::fs::read_to_string(place.file("mine/Cargo.toml")).unwrap(), "precious");
}

/// Returns the files below a folder, by their paths from there.
fn walk(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files
}
