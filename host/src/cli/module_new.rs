//! `calypte module new`

use std::fs;
use std::path::{Path, PathBuf};

use super::{Exit, fail, say};

/// Write a new module: a crate with a scene that passes
///
/// Makes a folder with the name of the module in the current one, with four files. It answers a
/// request, changes a message on its way and keeps a table, each in a few lines to change.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name: small letters, digits and hyphens
    name: String,
    /// Where Calypte's source is; found by itself inside a checkout
    #[arg(long, value_name = "FOLDER")]
    source: Option<PathBuf>,
}

/// The module that new ones are copies of, file by file.
const EXAMPLE: [(&str, &str); 3] = [
    ("src/lib.rs", include_str!("../../../examples/hello/src/lib.rs")),
    ("scenes/hello.scene", include_str!("../../../examples/hello/scenes/hello.scene")),
    ("tests/scenes.rs", include_str!("../../../examples/hello/tests/scenes.rs")),
];

/// Its manifest, for a module among those of a checkout.
const MEMBER: &str = include_str!("../../../examples/hello/Cargo.toml");

/// The manifest of a module with a folder of its own. Profiles are those of Calypte.
const STANDALONE: &str = r#"[package]
name = "calypte-hello"
description = "Greets whoever asks for it."
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["rlib", "cdylib"]
doctest = false

[[test]]
name = "scenes"
harness = false

[dependencies]
calypte = { path = SOURCE/core/calypte }
serde = { version = "1", features = ["derive"] }
bincode = { version = "=2.0.1", features = ["derive"] }

[dev-dependencies]
testkit = { package = "calypte-testkit", path = SOURCE/core/testkit }

[lints.rust]
unsafe_code = "forbid"

[profile.dev]
debug = "line-tables-only"

[profile.dev.package."*"]
debug = false

[profile.release]
# A panic is caught where the module is called; with "abort" it would take the server down.
panic = "unwind"

[workspace]
"#;

/// The longest name.
const NAME_BYTES_MAX: usize = 32;

pub(super) fn run(args: &Args) -> Exit {
    match try_run(args) {
        Ok(text) => {
            say(text);
            Exit::Fine
        }
        Err(why) => fail(why),
    }
}

fn try_run(args: &Args) -> Result<String, String> {
    let name = args.name.as_str();
    check(name)?;
    let here = std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?;
    let source = source(args.source.as_deref(), &here)?;
    let is_member = here.canonicalize().ok() == Some(source.join("modules"));
    let manifest = if is_member { renamed(MEMBER, name) } else { standalone(&source, name)? };
    // From here on only the disk can fail.
    let folder = here.join(name);
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{name} is there already; choose another name, or remove it")
        }
        _ => format!("{name} cannot be made: {error}"),
    })?;
    write(&folder, "Cargo.toml", &manifest)?;
    for (path, text) in EXAMPLE {
        write(
            &folder,
            &path.replace("hello.scene", &format!("{name}.scene")),
            &renamed(text, name),
        )?;
    }
    Ok(format!(
        "{name} is written: Cargo.toml, src/lib.rs, scenes/{name}.scene, tests/scenes.rs\n\n  \
         cd {name}\n  \
         cargo test                plays the scene\n  \
         calypte dev --module .    starts a throwaway server with it"
    ))
}

fn check(name: &str) -> Result<(), String> {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts_right = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts_right || !name.chars().all(is_fine) || name.ends_with('-') || name.contains("--") {
        return Err(format!(
            "{name:?} is no name for a module: use small letters, digits and single hyphens, and \
             begin with a letter"
        ));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("{name:?} is too long: {NAME_BYTES_MAX} letters at most"));
    }
    if crate::modules::bundled_names().any(|bundled| bundled == name) {
        return Err(format!("{name} is the name of a module that Calypte brings; choose another"));
    }
    Ok(())
}

/// Returns the folder of the checkout, with all links resolved.
fn source(given: Option<&Path>, here: &Path) -> Result<PathBuf, String> {
    let is_source = |folder: &Path| folder.join("core/calypte/Cargo.toml").is_file();
    let found = match given {
        Some(folder) if is_source(folder) => Some(folder),
        Some(folder) => {
            return Err(format!(
                "{} is not Calypte's source: it has no core/calypte",
                folder.display()
            ));
        }
        None => here.ancestors().find(|folder| is_source(folder)),
    };
    let found =
        found.ok_or("this is no checkout of Calypte; say where one is with --source FOLDER")?;
    found.canonicalize().map_err(|error| format!("{}: {error}", found.display()))
}

fn standalone(source: &Path, name: &str) -> Result<String, String> {
    let text = source.to_str().ok_or("the path of the source is not text")?;
    let path = |folder: &str| toml::Value::from(format!("{text}/{folder}")).to_string();
    let mut manifest = renamed(STANDALONE, name);
    for folder in ["core/calypte", "core/testkit"] {
        manifest = manifest.replace(&format!("SOURCE/{folder}"), &path(folder));
    }
    Ok(manifest)
}

/// Puts the name of the module where the example has its own.
fn renamed(text: &str, name: &str) -> String {
    let upper = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    let mut type_name: String = name.split('-').map(upper).collect();
    if words(EXAMPLE[0].1).any(|word| word == type_name) {
        // A module `request` is no `Request`.
        type_name.push_str("Module");
    }
    let crate_name = format!("calypte_{}", name.replace('-', "_"));
    let text = text.replace("calypte_hello", &crate_name);
    text.replace("Hello", &type_name).replace("hello", name)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

fn write(folder: &Path, path: &str, text: &str) -> Result<(), String> {
    let file = folder.join(path);
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", file.display());
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(&file, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["hello", "a", "my-module2"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", "Hello", "2nd", "-a", "a-", "a--b", "a_b", "a.b", "../a", "ä", "a b"] {
            let why = check(name).unwrap_err();
            assert!(why.contains("is no name for a module"), "{why}");
        }
        assert!(check(&"a".repeat(33)).unwrap_err().contains("too long"));
    }

    #[test]
    #[cfg(feature = "bundled")]
    fn names_of_bundled_modules_are_taken() {
        assert!(check("roster").unwrap_err().contains("choose another"));
    }

    #[test]
    fn paths_stay_as_they_are() {
        let manifest = standalone(Path::new("/home/hello/\"x\""), "mine").unwrap();
        let read: toml::Table = manifest.parse().unwrap();
        let path = read["dependencies"]["calypte"]["path"].as_str();
        assert_eq!(path, Some("/home/hello/\"x\"/core/calypte"));
        assert_eq!(read["package"]["name"].as_str(), Some("calypte-mine"));
    }

    #[test]
    fn a_type_hides_no_other() {
        for name in ["self", "request", "config", "guest", "result"] {
            let lib = renamed(EXAMPLE[0].1, name);
            let types = words(&lib).filter(|word| word.to_lowercase() == format!("{name}module"));
            assert!(types.count() > 3, "{name}: {lib}");
        }
    }

    #[test]
    fn everything_is_renamed() {
        for (path, text) in EXAMPLE.into_iter().chain([("Cargo.toml", MEMBER)]) {
            let new = renamed(text, "two-words");
            assert!(!new.to_lowercase().contains("hello"), "{path}: {new}");
        }
        let lib = renamed(EXAMPLE[0].1, "two-words");
        assert!(lib.contains("pub struct TwoWords(") && lib.contains("\"two-words.guests\""));
        assert!(renamed(EXAMPLE[2].1, "two-words").contains("&calypte_two_words::MODULE"));
    }
}
