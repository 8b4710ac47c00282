//! What stands in the files.

use super::{File, check, entries, files, refuses, root};

/// A file that is longer has more than one subject.
const LINES_MAX: usize = 500;
/// Where `unsafe` may stand.
const UNSAFE: &str = "core/abi/";
/// Macros that write to the log.
const LOGS: [&str; 6] = ["trace!(", "debug!(", "info!(", "warn!(", "error!(", "cx.log("];
/// Names of what tells who talks to whom.
const PRIVATE: [&str; 8] =
    ["jid", "account", "owner", "contact", "from", "to", "sender", "recipient"];

fn length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let is_long = lines > LINES_MAX;
    is_long
        .then(|| format!("{} has {lines} lines of at most {LINES_MAX}", file.path))
        .into_iter()
        .collect()
}

/// Returns a line without its comment and the texts in it.
fn code(line: &str) -> String {
    let line = line.replace("\\\"", "");
    let mut out = String::new();
    for (index, part) in line.split('"').enumerate() {
        if index % 2 == 0 {
            out.push_str(part.split("//").next().unwrap_or(""));
            if part.contains("//") {
                break;
            }
        }
    }
    out
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

fn no_unsafe(file: &File) -> Vec<String> {
    if file.path.starts_with(UNSAFE) {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    let bad = lines.filter(|(_, line)| words(&code(line)).any(|word| word == "unsafe"));
    bad.map(|(index, _)| format!("{}:{} is unsafe outside {UNSAFE}", file.path, index + 1))
        .collect()
}

/// Finds the calls of log macros: where, and what stands in their parentheses.
fn logged(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for name in LOGS {
        for (at, _) in text.match_indices(name) {
            let inside = &text[at + name.len()..];
            let mut open = 1_i32;
            let end = inside.find(|c| {
                open += i32::from(c == '(') - i32::from(c == ')');
                open == 0
            });
            found.push((text[..at].lines().count(), &inside[..end.unwrap_or(0)]));
        }
    }
    found
}

/// Tells whether an address is shown as it goes on the wire: `%jid`, `{jid}`.
fn shows_address(inside: &str) -> bool {
    let is_private = |text: &str| {
        let name = words(text.trim_start()).next().unwrap_or("");
        // Fields and methods end with what they are.
        let path = text.split([',', ')', '}', '?', ' ']).next().unwrap_or("");
        let last = words(path.trim_end_matches("()")).filter(|word| !word.is_empty()).last();
        PRIVATE.contains(&name)
            || last.is_some_and(|last| PRIVATE.contains(&last) || last.ends_with("jid"))
    };
    let shown = inside.split('%').skip(1).any(is_private);
    shown || inside.split('{').skip(1).any(|part| !part.contains(":?") && is_private(part))
}

fn private_logs(file: &File) -> Vec<String> {
    let bad = logged(&file.text).into_iter().filter(|(_, inside)| shows_address(inside));
    bad.map(|(line, _)| format!("{}:{line} writes an address to the log", file.path)).collect()
}

/// The tables of a module start with its name, as the engine demands when they are written.
fn tables(file: &File) -> Vec<String> {
    let Some(rest) = file.path.strip_prefix("modules/") else { return Vec::new() };
    let module = rest.split('/').next().unwrap_or("");
    let kinds = ["account(", "domain(", "volatile_account(", "volatile_domain("];
    let mut problems = Vec::new();
    for part in file.text.split("Table::").skip(1) {
        let Some(inside) = kinds.iter().find_map(|kind| part.strip_prefix(kind)) else { continue };
        let name = inside.split('"').nth(1).unwrap_or("");
        if name != module && !name.starts_with(&format!("{module}.")) {
            problems.push(format!("{}: the table {name} is not named after {module}", file.path));
        }
    }
    problems
}

/// Checks a rule for all source files, and that it refuses a file that breaks it.
#[track_caller]
fn holds(rule: impl Fn(&File) -> Vec<String>, bad: &[(&str, &str, &str)]) {
    let all = files(".rs");
    // These files hold what is refused.
    let all = all.iter().filter(|file| !file.path.starts_with("tests/it/tidy/"));
    check(&all.flat_map(&rule).collect::<Vec<_>>());
    for (path, text, expected) in bad {
        refuses(&rule(&File::new(path, text)), expected);
    }
}

#[test]
fn no_file_is_too_long() {
    let long = "\n".repeat(LINES_MAX + 1);
    holds(length, &[("core/xml/src/lib.rs", &long, "core/xml/src/lib.rs has")]);
}

#[test]
fn unsafe_stands_in_one_crate_only() {
    let bad = "// unsafe is fine here\nlet a = \"unsafe\";\nunsafe { go() }";
    holds(no_unsafe, &[("core/xml/src/lib.rs", bad, "core/xml/src/lib.rs:3")]);
}

#[test]
fn the_log_hides_addresses() {
    let fine =
        "info!(%error, ?jid, account = ?jid, at, shown, \"Done to {jid:?}.\"); let a = b % to;";
    assert!(private_logs(&File::new("a.rs", fine)).is_empty());
    let expected = "writes an address";
    let bad = [
        "tracing::info!(%jid, \"Hello.\");",
        "warn!(who = %session.jid, \"Hello.\");",
        "warn!(who = %stanza.from(), \"Hello.\");",
        "\nerror!(\"Hello {account}.\");",
        "cx.log(&format!(\"gone: {contact}\"));",
    ];
    let bad = bad.map(|text| ("host/src/a.rs", text, expected));
    holds(private_logs, &bad);
}

#[test]
fn tables_are_named_after_their_modules() {
    let fine = "const A: Table<str, A> = Table::account(\"mine.a\");";
    assert!(tables(&File::new("modules/mine/src/lib.rs", fine)).is_empty());
    let bad = "const A: Table<str, A> = Table::volatile_account(\n    \"roster.a\",\n);";
    let near = "const A: Table<str, A> = Table::domain(\"miner\");";
    let path = "modules/mine/src/lib.rs";
    holds(tables, &[(path, bad, "roster.a"), (path, near, "miner")]);
}
/// Folders that a reader comes to must say what is in them.
fn readmes(folders: &[String], has: impl Fn(&str) -> bool) -> Vec<String> {
    let silent = folders.iter().filter(|folder| !has(folder));
    silent.map(|folder| format!("{folder} has no README.md")).collect()
}

#[test]
fn each_folder_has_a_readme() {
    let mut folders: Vec<_> = ["core", "modules", "examples"].map(str::to_owned).to_vec();
    let manifests = files("/Cargo.toml").into_iter().map(|file| file.folder().to_owned());
    // One page tells of all packages of the benches.
    let is_looked_at = |folder: &String| !folder.starts_with("benches/");
    folders.extend(manifests.filter(is_looked_at));
    check(&readmes(&folders, |folder| root().join(folder).join("README.md").is_file()));
    refuses(&readmes(&["core/xml".to_owned()], |_| false), "core/xml has no README.md");
}

/// A table of scenes names all of them, and no others.
fn scenes(table: &str, there: &[String]) -> Vec<String> {
    let named = |name: &str| table.contains(&format!("({name})"));
    let silent = there.iter().filter(|name| !named(name));
    let silent = silent.map(|name| format!("the table does not say what {name} shows"));
    let links = table.split('(').skip(1).filter_map(|rest| rest.split(')').next());
    let gone = links.filter(|link| link.ends_with(".scene"));
    let gone = gone.filter(|link| !there.iter().any(|name| name == link));
    silent.chain(gone.map(|link| format!("the table names {link}, which is not there"))).collect()
}

#[test]
fn the_table_of_scenes_is_whole() {
    let folder = root().join("modules/rooms/scenes");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let there = entries(&folder).into_iter().map(|(name, _)| name);
    let there: Vec<_> = there.filter(|name| name.ends_with(".scene")).collect();
    check(&scenes(&table, &there));
    refuses(&scenes("", &["a.scene".to_owned()]), "a.scene");
    refuses(&scenes("| x | [b](b.scene) |", &[]), "b.scene");
}
