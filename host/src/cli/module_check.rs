//! `calypte module check`

use std::path::Path;

use abi::{Library, ManifestText};
use engine::Manifest;

use super::{Exit, complain, fail, say};
use crate::modules::{self, rights};
use crate::{check, hex};

/// Reads the file and prints what it is. Nothing in it runs: loading a library would run its
/// constructors, so this never loads it.
pub(super) fn run(config: &Path, file: &Path) -> Exit {
    let bytes = match modules::read(file) {
        Ok(bytes) => bytes,
        Err(why) => {
            complain(format_args!("error: {}: {why}", file.display()));
            return Exit::Unknown;
        }
    };
    let text = match Library::check_bytes(&bytes) {
        Ok(text) => text,
        Err(error) => return fail(format_args!("{}: {error}", file.display())),
    };
    let manifest = match Manifest::read(text.as_str()) {
        Ok(manifest) => manifest,
        Err(why) => return fail(format_args!("{}: {why}", file.display())),
    };
    say(describe(&manifest, &text, &bytes, config, file).trim_end());
    Exit::Fine
}

fn describe(
    manifest: &Manifest,
    text: &ManifestText,
    bytes: &[u8],
    config: &Path,
    file: &Path,
) -> String {
    let mut out = format!("{} {}  {}\n", manifest.name, manifest.version, manifest.about);
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:9} {value}\n"));
    line("blake3", hex::write(&crypto::hash(bytes)));
    let (major, minor) = abi::ABI;
    let built = text.get("abi").unwrap_or("?");
    line("boundary", format!("{built} (this server has {major}.{minor})"));
    if manifest.is_security {
        line("security", "yes: when it fails, what it guards is refused".to_owned());
    }
    for (xep, version) in &manifest.xeps {
        line("xep", format!("{xep} version {version}"));
    }
    for hook in &manifest.hooks {
        let words: Vec<&str> = (1..6)
            .map(|index| hook.word(index))
            .filter(|word| !matches!(*word, "" | "-"))
            .collect();
        line("hook", format!("{} {}", hook.kind(), words.join(" ")).trim_end().to_owned());
    }
    for (key, [kind, default, about]) in &manifest.keys {
        line("setting", format!("{key} ({kind}, default {default}) {about}"));
    }
    let wanted = rights::wanted(manifest, text.as_str());
    for right in &wanted {
        line(
            "right",
            format!("{right}: {}", rights::meaning(right)).trim_end_matches(": ").to_owned(),
        );
    }
    line("result", verdict(&wanted, &manifest.name, bytes, config, file));
    out
}

/// Says whether the configuration, if there is one, loads this file.
fn verdict(
    wanted: &std::collections::BTreeSet<String>,
    name: &str,
    bytes: &[u8],
    config: &Path,
    file: &Path,
) -> String {
    let found = check::glance(config).ok();
    let same = |path: &Path| path.canonicalize().ok() == file.canonicalize().ok();
    let load = found.as_ref().and_then(|config| config.loads.iter().find(|load| same(&load.file)));
    match load {
        None => format!("loadable; `calypte module add {}` adds it", file.display()),
        Some(load) if load.blake3.0 != crypto::hash(bytes) => {
            "the configuration has another hash; run `calypte module add` again".to_owned()
        }
        Some(load) => {
            let missing = rights::missing(wanted, &load.grant);
            match missing.as_slice() {
                [] => format!("loadable, and granted all that {name} wants"),
                _ => format!("refused until these rights are granted: {}", missing.join(", ")),
            }
        }
    }
}
