//! `[modules.NAME]` against the keys in the module's manifest.

use calypte::config::{Size, Span};
use engine::Manifest;
use serde_json::Value as Json;

use crate::config::Config;
use crate::config::problem::{Problem, nearest};
use crate::config::schema::Notes;

/// Notes unknown keys and values of the wrong kind.
pub(super) fn check(config: &Config, manifest: &Manifest, notes: &mut Notes) {
    let module = &manifest.name;
    for (key, value) in config.settings.get(module).into_iter().flatten() {
        let path = format!("modules.{module}.{key}");
        if key.starts_with("x-") {
            continue;
        }
        let Some([kind, default, about]) = manifest.keys.get(key) else {
            let names = || manifest.keys.keys().map(String::as_str);
            let hint = match nearest(key, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if manifest.keys.is_empty() => format!("{module} has no settings"),
                None => format!("{module} knows: {}", names().collect::<Vec<_>>().join(", ")),
            };
            let at = notes.place(&format!("{path}#key"));
            notes.problems.push(Problem::error(at, format!("unknown key `{path}`"), hint));
            continue;
        };
        if let Err(expected) = suits(kind, value) {
            // There may be secrets inside.
            let is = match value {
                Json::Object(_) => "a table".to_owned(),
                Json::Array(_) => "a list".to_owned(),
                one => one.to_string(),
            };
            let what = format!("`{path}` must be {expected}, but is {is}");
            let hint =
                if default.is_empty() { about.clone() } else { format!("such as {default}") };
            notes.problems.push(Problem::error(notes.place(&path), what, hint));
        }
    }
}

/// Checks a value against the word that a manifest has for its kind. Kinds of a newer version are
/// left to the module.
fn suits(kind: &str, value: &Json) -> Result<(), &'static str> {
    let (fits, expected) = match kind {
        "text" => (value.is_string(), "a text"),
        "number" => (value.is_number(), "a number"),
        "yes/no" => (value.is_boolean(), "true or false"),
        "list" => (value.is_array(), "a list"),
        "time" => {
            let time = value.as_str().is_some_and(|text| text.parse::<Span>().is_ok());
            (time, "a time with its unit, such as \"5 minutes\"")
        }
        "size" => {
            let size = value.as_str().is_some_and(|text| text.parse::<Size>().is_ok());
            (size, "a size with its unit, such as \"256 KiB\"")
        }
        _ => return Ok(()),
    };
    if fits { Ok(()) } else { Err(expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, good: &str, bad: &str) {
        assert_eq!(suits(kind, &serde_json::from_str(good).unwrap()), Ok(()));
        assert!(suits(kind, &serde_json::from_str(bad).unwrap()).is_err());
    }

    #[test]
    fn kinds_are_checked() {
        check("text", "\"a\"", "1");
        check("number", "1", "\"1\"");
        check("yes/no", "true", "\"yes\"");
        check("list", "[]", "\"a\"");
        check("time", "\"5 minutes\"", "5");
        check("size", "\"1 MiB\"", "\"1\"");
    }
}
