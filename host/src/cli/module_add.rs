//! `calypte module add`

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use abi::Library;
use engine::Manifest;

use super::{Exit, fail, say};
use crate::config::Draft;
use crate::config::problem::Severity;
use crate::hex;
use crate::modules::{self, rights};

/// Writes the table of the file into the configuration, or brings the one that is there up to date.
pub(super) fn run(config: &Path, file: &Path) -> Exit {
    match try_run(config, file) {
        Ok(text) => {
            say(text);
            Exit::Fine
        }
        Err(why) => fail(why),
    }
}

fn try_run(config: &Path, file: &Path) -> Result<String, String> {
    let told = file.display();
    let bytes = modules::read(file).map_err(|why| format!("{told}: {why}"))?;
    let file = file.canonicalize().map_err(|error| format!("{told}: {error}"))?;
    let text = Library::check_bytes(&bytes).map_err(|error| format!("{told}: {error}"))?;
    let manifest = Manifest::read(text.as_str()).map_err(|why| format!("{told}: {why}"))?;
    let wanted = rights::wanted(&manifest, text.as_str());
    let draft = Draft::open(config)?;
    if draft.notes.problems.iter().any(|problem| problem.severity == Severity::Error) {
        let told = config.display();
        return Err(format!("{told} has problems; see `calypte check` and mend them first"));
    }
    let hash = hex::write(&crypto::hash(&bytes));
    let grant = wanted.iter().map(|right| format!("{right:?}")).collect::<Vec<_>>().join(", ");
    let grant = format!("[{grant}]");

    let loads = draft.config.as_ref().map(|config| config.loads.as_slice()).unwrap_or_default();
    let known = loads.iter().find(|load| load.file.canonicalize().ok().as_ref() == Some(&file));
    let (new, verb) = match known {
        Some(load) => (update(&draft, load.number, &hash, &grant)?, "is up to date"),
        None => {
            let path = file.to_str().ok_or("the path of the file is not text")?;
            (format!("{}{}", draft.text, table(&draft.text, path, &hash, &grant)), "was added")
        }
    };
    replace(config, &new)?;
    let mut out = format!("{} {} {verb} in {}", manifest.name, manifest.version, config.display());
    for right in &wanted {
        out.push_str(&format!("\n  granted  {right}: {}", rights::meaning(right)));
    }
    let enabled = draft.config.as_ref().and_then(|config| config.modules.enable.as_ref());
    if enabled.is_some_and(|names| !names.contains(&manifest.name)) {
        out.push_str(&format!(
            "\n  but `modules.enable` does not name it; add {:?}",
            manifest.name
        ));
    }
    out.push_str("\nput it into force with `calypte reload`");
    Ok(out)
}

fn table(text: &str, path: &str, hash: &str, grant: &str) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let path = toml::Value::from(path);
    format!("{gap}\n[[modules.load]]\nfile = {path}\nblake3 = \"{hash}\"\ngrant = {grant}\n")
}

/// Replaces the values of a table that is there; everything else in the file stays.
fn update(draft: &Draft, number: usize, hash: &str, grant: &str) -> Result<String, String> {
    let place = |key: &str| draft.notes.place(&format!("modules.load.{number}.{key}"));
    // The place of a key that is not there is that of its table, which begins with `[[`.
    let is_value = |at: &Range<usize>, first: &[char]| {
        let text = draft.text.get(at.clone()).unwrap_or_default();
        text.starts_with(first) && !text.starts_with("[[")
    };
    let (hash_at, grant_at) = (place("blake3"), place("grant"));
    if !is_value(&hash_at, &['"', '\'']) {
        return Err("the table in the configuration cannot be changed; edit it by hand".to_owned());
    }
    let mut new = draft.text.clone();
    let quoted = format!("\"{hash}\"");
    let mut changes = if is_value(&grant_at, &['[']) {
        vec![(hash_at, quoted), (grant_at, grant.to_owned())]
    } else {
        vec![(hash_at, format!("{quoted}\ngrant = {grant}"))]
    };
    // From the back, so that the places in front stay right.
    changes.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    for (at, value) in changes {
        new.replace_range(at, &value);
    }
    Ok(new)
}

/// Writes the file beside the old one and swaps them, so that it is never half written.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    let path = path.canonicalize().map_err(failed)?;
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    let mode = std::fs::metadata(&path).map_err(failed)?.permissions();
    let mut file = std::fs::File::create(&beside).map_err(failed)?;
    file.set_permissions(mode).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&beside, &path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NEW: &str = "1111111111111111111111111111111111111111111111111111111111111111";

    fn draft(text: &str) -> Draft {
        Draft::read(Path::new("x.toml"), text.to_owned())
    }

    #[test]
    fn a_table_is_added_at_the_end() {
        let text = "domain = \"chat.example\" # ours";
        let new = format!("{text}{}", table(text, "/a \"b\".so", NEW, "[\"messages\"]"));
        let config = draft(&new).config.unwrap();
        assert_eq!(config.loads.len(), 1);
        assert_eq!(config.loads[0].file, Path::new("/a \"b\".so"));
        assert_eq!(config.loads[0].blake3.0, [0x11; 32]);
        assert_eq!(config.loads[0].grant, ["messages"]);
        assert!(new.starts_with(text));
    }

    #[test]
    fn a_table_that_is_there_is_brought_up_to_date() {
        let old = "0".repeat(64);
        for grant in ["", "grant = [\"x\", \"y\"] # theirs\n"] {
            let first = format!("file = \"a.so\"\nblake3 = \"{old}\"\n");
            let second = format!("file = \"b.so\"\n{grant}blake3 = '{old}' # mine\n");
            let text =
                format!("domain = \"d\"\n[[modules.load]]\n{first}[[modules.load]]\n{second}");
            let new = update(&draft(&text), 1, NEW, "[\"messages\"]").unwrap();
            let config = draft(&new).config.unwrap();
            assert_eq!(config.loads[0].blake3.0, [0; 32]);
            assert_eq!(config.loads[1].blake3.0, [0x11; 32]);
            assert_eq!(config.loads[1].grant, ["messages"]);
            assert!(new.contains("# mine"), "{new}");
        }
    }
}
