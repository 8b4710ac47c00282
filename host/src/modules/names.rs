//! Which modules run, and in which order: `[modules]` against the modules that there are.

use super::Known;
use crate::config::Config;
use crate::config::problem::{Problem, Severity, nearest};
use crate::config::schema::Notes;

/// Returns the names of the modules to run, in order. `is_partial` says that some files could not
/// be read, so that an unknown name may be right.
pub(super) fn check(
    config: &Config,
    known: &[Known],
    is_partial: bool,
    notes: &mut Notes,
) -> Vec<String> {
    let lists = &config.modules;
    let enable = lists.enable.as_deref().unwrap_or_default();
    for (key, names) in [("enable", enable), ("disable", &lists.disable), ("order", &lists.order)] {
        for name in names {
            unknown(name, &format!("modules.{key}#{name}"), known, is_partial, notes);
        }
    }
    for name in config.settings.keys() {
        unknown(name, &format!("modules.{name}"), known, is_partial, notes);
    }
    for name in enable.iter().filter(|name| lists.disable.contains(name)) {
        let what = format!("module {name} is both in `modules.enable` and in `modules.disable`");
        let at = notes.place(&format!("modules.disable#{name}"));
        notes.problems.push(Problem::error(at, what, "take it out of one of the lists"));
    }
    let all = || known.iter().map(|module| module.manifest.name.clone());
    let mut names: Vec<String> = match &lists.enable {
        Some(names) => names.clone(),
        None => all().collect(),
    };
    names.retain(|name| !lists.disable.contains(name));
    let mut ordered: Vec<String> =
        lists.order.iter().filter(|name| names.contains(name)).cloned().collect();
    ordered.extend(names);
    let mut seen = std::collections::BTreeSet::new();
    ordered.retain(|name| seen.insert(name.clone()));
    ordered
}

fn unknown(name: &str, key: &str, known: &[Known], is_partial: bool, notes: &mut Notes) {
    let names = || known.iter().map(|module| module.manifest.name.as_str());
    if names().any(|other| other == name) {
        return;
    }
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            "`calypte module list` shows all; for one from a file write [[modules.load]]".to_owned()
        }
    };
    let what = format!("there is no module {name}");
    let severity = if is_partial { Severity::Warning } else { Severity::Error };
    notes.problems.push(Problem { severity, ..Problem::error(notes.place(key), what, hint) });
}
