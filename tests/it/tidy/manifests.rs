//! What the manifests say: who depends on whom, and by which rules each crate is built.

use toml::Table;

use super::{File, check, files, refuses};

/// Crates of `core` by row; each may use rows above its own (`core/README.md`).
const ROWS: [&[&str]; 5] = [
    &["xml", "table", "crypto", "abi"],
    &["xmpp", "store"],
    &["calypte", "stream"],
    &["engine", "client"],
    &["testkit"],
];
/// The row of a module.
const MODULES: usize = 3;
/// The row of programs and what proves them.
const LAST: usize = 5;
/// Crates from elsewhere that belong to one of ours.
const OWNED: [(&str, &str); 12] = [
    ("actix", "host"),
    ("actix-rt", "host"),
    ("actix-web", "host"),
    ("clap", "host"),
    ("rustls", "host"),
    ("tokio", "host"),
    ("tokio-rustls", "host"),
    ("blake3", "core/crypto"),
    ("chacha20poly1305", "core/crypto"),
    ("crossbeam-epoch", "core/store"),
    ("sled", "core/store"),
    ("libloading", "core/abi"),
];

fn row(folder: &str) -> usize {
    match folder.split_once('/') {
        Some(("core", rest)) => {
            // Fixtures of a core crate's tests are modules.
            if rest.contains('/') {
                return MODULES;
            }
            ROWS.iter().position(|row| row.contains(&rest)).unwrap_or(usize::MAX)
        }
        Some(("modules", _)) => MODULES,
        _ => LAST,
    }
}

fn is_module(folder: &str) -> bool {
    folder.starts_with("modules/")
        || folder == "examples/hello"
        || (folder.starts_with("core/") && folder.matches('/').count() > 1)
}

/// Returns where a crate of ours is, as the workspace names it.
fn place(workspace: &Table, name: &str) -> Option<String> {
    let all = workspace.get("workspace")?.get("dependencies")?;
    Some(all.get(name)?.get("path")?.as_str()?.to_owned())
}

/// Returns what a crate needs to be built. What only its tests need is not asked for.
fn needed(manifest: &Table) -> Vec<&String> {
    let tables = ["dependencies", "build-dependencies"];
    let tables = tables.into_iter().filter_map(|table| manifest.get(table)?.as_table());
    tables.flat_map(Table::keys).collect()
}

fn arrows(workspace: &Table, file: &File) -> Vec<String> {
    let folder = file.folder();
    let manifest: Table = file.text.parse().unwrap();
    let mut problems = Vec::new();
    if row(folder) == usize::MAX {
        problems.push(format!("{folder} has no row in core/README.md"));
    }
    for name in needed(&manifest) {
        if let Some(to) = place(workspace, name) {
            if is_module(folder) && to != "core/calypte" {
                problems.push(format!("{folder} is a module and depends on {to}"));
            } else if row(&to) >= row(folder) {
                problems.push(format!("{folder} must not depend on {to}"));
            }
        }
        let owner = OWNED.iter().find(|(owned, _)| owned == name);
        if let Some((owned, owner)) = owner.filter(|(_, owner)| *owner != folder) {
            // Programs that prove the others speak to them over the network.
            if row(folder) != LAST {
                problems.push(format!("{folder} uses {owned}, which belongs to {owner}"));
            }
        }
    }
    problems
}

fn lints(file: &File) -> Vec<String> {
    let manifest: Table = file.text.parse().unwrap();
    let folder = file.folder();
    let lints = manifest.get("lints");
    let is_shared = lints.and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true);
    let is_right = is_shared || folder == "core/abi";
    (!is_right)
        .then(|| format!("{folder} does not use the lints of the workspace"))
        .into_iter()
        .collect()
}

fn both_forms(file: &File) -> Vec<String> {
    let manifest: Table = file.text.parse().unwrap();
    let kinds = manifest.get("lib").and_then(|lib| lib.get("crate-type")?.as_array());
    let has =
        |kind: &str| kinds.is_some_and(|kinds| kinds.iter().any(|one| one.as_str() == Some(kind)));
    let is_right = !is_module(file.folder()) || (has("rlib") && has("cdylib"));
    let folder = file.folder();
    (!is_right)
        .then(|| format!("{folder} is not built both as rlib and as cdylib"))
        .into_iter()
        .collect()
}

/// Returns the manifests of all crates of the workspace.
fn crates() -> Vec<File> {
    let mut all = files("/Cargo.toml");
    all.retain(|file| !file.path.starts_with("tests/fuzz/"));
    all
}

fn workspace() -> Table {
    let text = std::fs::read_to_string(super::root().join("Cargo.toml")).unwrap();
    text.parse().unwrap()
}

/// Checks a rule for all crates, and that it refuses a manifest that breaks it.
#[track_caller]
fn holds(rule: impl Fn(&File) -> Vec<String>, bad: &[(&str, &str, &str)]) {
    check(&crates().iter().flat_map(&rule).collect::<Vec<_>>());
    for (path, text, expected) in bad {
        refuses(&rule(&File::new(path, text)), expected);
    }
}

#[test]
fn each_crate_depends_on_rows_above_its_own() {
    let workspace = workspace();
    let rule = |file: &File| arrows(&workspace, file);
    holds(
        rule,
        &[
            (
                "core/xml/Cargo.toml",
                "[dependencies]\nxmpp.workspace = true",
                "must not depend on core/xmpp",
            ),
            (
                "core/table/Cargo.toml",
                "[dependencies]\nxml.workspace = true",
                "must not depend on core/xml",
            ),
            (
                "core/engine/Cargo.toml",
                "[build-dependencies]\ntestkit.workspace = true",
                "core/testkit",
            ),
            ("modules/roster/Cargo.toml", "[dependencies]\nxmpp.workspace = true", "is a module"),
            ("modules/roster/Cargo.toml", "[dependencies]\ndisco.workspace = true", "is a module"),
            ("core/engine/Cargo.toml", "[dependencies]\ntokio.workspace = true", "belongs to host"),
            (
                "core/engine/Cargo.toml",
                "[dependencies]\nsled.workspace = true",
                "belongs to core/store",
            ),
            ("core/new/Cargo.toml", "", "has no row"),
        ],
    );
}

#[test]
fn each_crate_has_the_lints_of_the_workspace() {
    holds(lints, &[("core/xml/Cargo.toml", "[lints.rust]\nunsafe_code = \"allow\"", "core/xml")]);
}

#[test]
fn each_module_is_built_bundled_and_to_be_loaded() {
    let bad = "[lib]\ncrate-type = [\"rlib\"]";
    holds(both_forms, &[("modules/roster/Cargo.toml", bad, "modules/roster")]);
}
