//! Rules about the source that no lint knows.
//!
//! Each rule is a function from what it reads to what is wrong, so that it is tried on what it has
//! to refuse as well as on the source.

use std::fs;
use std::path::{Path, PathBuf};

mod manifests;
mod text;

/// What the top level holds, besides files that start with a dot and what git ignores.
const TOP: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "benches",
    "core",
    "examples",
    "host",
    "modules",
    "tests",
];

/// A file below the top level.
struct File {
    /// Its path from the top level.
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Returns the folder of the crate, such as `core/xml`.
    fn folder(&self) -> &str {
        self.path.strip_suffix("/Cargo.toml").unwrap_or("")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the entries of a folder that are ours: neither hidden nor made by a build.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_made = ["target", "node_modules", "__pycache__", "corpus", "artifacts"];
        if !name.starts_with('.') && !is_made.contains(&name.as_str()) {
            all.push((name, entry.path()));
        }
    }
    all.sort();
    all
}

/// Reads all files with this ending.
fn files(ending: &str) -> Vec<File> {
    fn walk(folder: &Path, path: &str, ending: &str, all: &mut Vec<File>) {
        for (name, place) in entries(folder) {
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            if place.is_dir() {
                walk(&place, &path, ending, all);
            } else if path.ends_with(ending) {
                all.push(File::new(&path, &fs::read_to_string(&place).unwrap()));
            }
        }
    }
    let mut all = Vec::new();
    walk(&root(), "", ending, &mut all);
    assert!(all.len() > 10, "the source is not where it should be");
    all
}

#[track_caller]
fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Checks that a rule finds exactly one problem, and that it is this one.
#[track_caller]
fn refuses(problems: &[String], expected: &str) {
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(expected), "{}", problems[0]);
}

fn top_level(names: &[&str]) -> Vec<String> {
    let strange = names.iter().filter(|name| !TOP.contains(name));
    let missing = TOP.iter().filter(|name| !names.contains(name));
    let strange = strange.map(|name| format!("{name} does not belong to the top level"));
    strange.chain(missing.map(|name| format!("{name} is missing at the top level"))).collect()
}

#[test]
fn the_top_level_is_what_was_ordered() {
    let entries = entries(&root());
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    check(&top_level(&names));
    refuses(&top_level(&[&TOP[..], &["docs"]].concat()), "docs does not belong");
    refuses(&top_level(&TOP[1..]), "Cargo.lock is missing");
}
