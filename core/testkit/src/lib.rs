//! Scenes: transcripts between clients and servers that are tests, written as plain text.
//!
//! The README has the language. A module's `tests/scenes.rs` is one call of [`main`].

mod accounts;
mod files;
mod fits;
mod modules;
mod peers;
mod play;
mod script;
mod server;
mod streams;
mod tokens;
mod ways;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use abi::RawModule;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::modules::{Catalog, Form};

pub use script::{Line, Scene, ScriptError};
pub use ways::Way;

/// Plays every `*.scene` file in `folder`, each as two tests: with the modules as part of this
/// program, and with the modules loaded from their `.so` files. Both play it with one shard and
/// with three.
///
/// `modules` are those that scenes may name. Call it from `main` of a test target with
/// `harness = false`.
///
/// # Panics
///
/// When `folder` cannot be read or has no scenes.
#[expect(clippy::expect_used, reason = "the main function of a test program")]
pub fn main(folder: &str, modules: &[&'static RawModule]) {
    let catalog = Arc::new(Catalog::new(modules));
    let entries = std::fs::read_dir(Path::new(folder)).expect("the folder with scenes");
    let mut tests = Vec::new();
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        if path.extension().is_some_and(|extension| extension == "scene") {
            for (form, suffix) in [(Form::Bundled, "bundled"), (Form::Loaded, "so")] {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let (catalog, path) = (Arc::clone(&catalog), path.clone());
                let name = format!("{name}::{suffix}");
                tests.push(Trial::test(name, move || run(&path, &catalog, form)));
            }
        }
    }
    assert!(!tests.is_empty(), "{folder} has no scenes");
    tests.sort_by(|a, b| a.name().cmp(b.name()));
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn run(path: &PathBuf, catalog: &Catalog, form: Form) -> Result<(), Failed> {
    let scene = Scene::read(&std::fs::read_to_string(path)?)?;
    for shards in [1, 3] {
        let played = play::play(&scene, catalog, form, shards);
        let told = if shards == 1 { "1 shard" } else { "3 shards" };
        played.map_err(|error| format!("with {told}, {error}"))?;
    }
    Ok(())
}
