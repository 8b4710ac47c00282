//! `modules/README.md`: the table of bundled modules, made from their manifests.

use engine::{HookLine, Manifest};

use super::bundled;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../modules/README.md");

const INTRO: &str = "\
# The modules

<!-- Made from the manifests of the modules. Rewrite: UPDATE=1 cargo test -p calypte-server readme -->

Every feature is a module: one folder, one crate, in the order in which they act unless the
configuration says otherwise (`calypte module order`). All of these are in the program; each can also
be built as a file of its own and loaded. `calypte module list` shows those in force, with their
settings.

A module depends on `core/calypte` only, never on another module. What they share are tables and
notices with names there. `examples/hello` is the page to start with, and `calypte module new` writes
a copy of it.
";

/// Where the part of the file begins that is written by hand; it stays as it is.
const BY_HAND: &str = "\n## Beside Prosody\n";

/// Returns the whole text. `old` is the file as it is.
fn text(manifests: &[&Manifest], old: &str) -> String {
    let mut out = INTRO.to_owned();
    out.push_str("\n| module | what it does | specifications |\n|---|---|---|\n");
    for manifest in manifests {
        let Manifest { name, about, xeps, .. } = manifest;
        let xeps: Vec<_> =
            xeps.iter().map(|(xep, version)| format!("XEP-{xep} {version}")).collect();
        let protocol = format!("{name}/PROTOCOL.md");
        let is_ours = std::path::Path::new(FILE).with_file_name(&protocol).is_file();
        let xeps = match (is_ours, xeps.is_empty()) {
            (true, _) => format!("[our own]({protocol})"),
            (false, true) => "RFC 6121".to_owned(),
            (false, false) => xeps.join(", "),
        };
        out.push_str(&format!("| [{name}]({name}/README.md) | {about} | {xeps} |\n"));
    }
    out.push_str("\n## Settings\n\n| key | default | |\n|---|---|---|\n");
    for manifest in manifests {
        for (key, [kind, default, about]) in &manifest.keys {
            let (name, about) = (&manifest.name, about.trim_end_matches('.'));
            out.push_str(&format!(
                "| `[modules.{name}]` `{key}` | `{default}` | {kind}. {about}. |\n"
            ));
        }
    }
    out.push_str("\n## Where they act\n\n| module | acts on |\n|---|---|\n");
    for manifest in manifests {
        let mut acts: Vec<String> = Vec::new();
        for act in manifest.hooks.iter().map(act) {
            if !acts.contains(&act) {
                acts.push(act);
            }
        }
        out.push_str(&format!("| {} | {} |\n", manifest.name, acts.join("<br>")));
    }
    out.extend(old.find(BY_HAND).and_then(|at| old.get(at..)));
    out
}

/// Says in words what a hook is for.
fn act(hook: &HookLine) -> String {
    let word = |index| Some(hook.word(index)).filter(|word| !matches!(*word, "" | "-"));
    match hook.kind() {
        kind @ ("message" | "presence" | "iq" | "stanza") => {
            let what = match (word(3), word(4)) {
                (Some(ns), Some(name)) => format!("`{name}` of `{ns}`"),
                _ => kind.to_owned(),
            };
            let away = if word(5).is_some() { " that nobody gets now" } else { "" };
            format!("{} {}: {what}{away}", hook.word(1), hook.word(2))
        }
        kind @ ("iq-get" | "iq-set") => {
            let whom = match hook.word(1) {
                "domain" => "the domain",
                "account" => "the account, by its own clients",
                _ => "the account, by anyone",
            };
            let verb = kind.trim_start_matches("iq-");
            let (ns, name) = (hook.word(2), hook.word(3));
            format!("answers {verb}: `{name}` of `{ns}`, asked of {whom}")
        }
        "opened" | "resumed" | "lost" | "closed" => format!("session {}", hook.kind()),
        "bound" => match word(1) {
            Some(feature) => format!("bound together with the login, offers `{feature}`"),
            None => "bound together with the login".to_owned(),
        },
        "verify" => "`calypte verify`".to_owned(),
        "inactive" => "what a client gets that is not looked at".to_owned(),
        "stream-feature" => "adds a stream feature".to_owned(),
        kind @ ("disco-info" | "disco-items") => {
            let what = if kind == "disco-info" { "what it is and can do" } else { "its items" };
            format!("service discovery of the {}: {what}", hook.word(1))
        }
        "wake" => "timers of its own".to_owned(),
        "answer" => "answers to its requests".to_owned(),
        "peer" => "streams with other domains".to_owned(),
        "token" => "checks tokens in place of passwords".to_owned(),
        "grant" => "gives tokens out".to_owned(),
        "looked" => "what the server looks up for it".to_owned(),
        kind => [Some(kind), word(1)].into_iter().flatten().collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn the_table_is_up_to_date() {
    let known = bundled::known();
    let manifests: Vec<_> = known.iter().map(|known| &known.manifest).collect();
    let old = std::fs::read_to_string(FILE).unwrap_or_default();
    let text = text(&manifests, &old);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let is_same = std::env::var_os("UPDATE").is_some() || old == text;
    assert!(is_same, "modules/README.md is old: UPDATE=1 cargo test -p calypte-server readme");
}

#[test]
fn every_module_is_bundled_and_has_a_page() {
    let known = bundled::known();
    let folder = std::path::Path::new(FILE).parent().unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().join("Cargo.toml").is_file() {
            assert!(entry.path().join("README.md").is_file(), "{entry:?} has no README.md");
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names.sort();
    let mut bundled: Vec<_> = known.iter().map(|known| known.manifest.name.clone()).collect();
    bundled.sort();
    assert_eq!(bundled, names);
}
