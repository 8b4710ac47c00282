//! `calypte module`

use std::path::{Path, PathBuf};

use super::{Exit, fail, module_add, module_check, module_new, no_config, say};
use crate::check::{self, Failure};
use crate::config::Config;
use crate::config::schema::Notes;
use crate::modules::{Chosen, Depth, Modules};

/// Write, check, list, order and add modules
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    New(module_new::Args),

    /// Say what a module's file is and wants, without running anything in it
    Check {
        /// The file, as `cargo build --release` writes it
        file: PathBuf,
    },

    /// Show the modules that the configuration selects, with their settings
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },

    /// Show which modules act where, in the order in which they act
    Order,

    /// Add a module's file to the configuration, with its hash and the rights it wants
    Add {
        /// The file, as `cargo build --release` writes it
        file: PathBuf,
    },
}

pub(super) fn run(path: &Path, command: &Command) -> Exit {
    match command {
        Command::New(args) => module_new::run(args),
        Command::Check { file } => module_check::run(path, file),
        Command::List { json } => with_modules(path, |modules| list(modules, *json)),
        Command::Order => with_modules(path, order),
        Command::Add { file } => module_add::run(path, file),
    }
}

/// Without a configuration these are the bundled modules.
fn with_modules(path: &Path, f: impl FnOnce(&Modules) -> String) -> Exit {
    let (config, mut notes) = match selected(path) {
        Ok(selected) => selected,
        Err(exit) => return exit,
    };
    let modules = Modules::choose(&config, Depth::Manifest, &mut notes);
    say(f(&modules).trim_end());
    let mut exit = Exit::Fine;
    for refused in &modules.refused {
        exit = fail(&refused.what);
    }
    exit
}

fn selected(path: &Path) -> Result<(Config, Notes), Exit> {
    let notes = Notes::default();
    if !path.exists() && path == Path::new(crate::config::PATH) {
        let domain = check::placeholder().ok_or(Exit::Unknown)?;
        return Ok((Config::standard(domain, Path::new("")), notes));
    }
    check::glance(path)
        .map(|config| (config, notes))
        .map_err(|failure: Failure| no_config(&failure))
}

fn list(modules: &Modules, is_json: bool) -> String {
    if is_json {
        let row = |module: &Chosen| {
            let manifest = &module.manifest;
            serde_json::json!({
                "name": manifest.name,
                "version": manifest.version,
                "about": manifest.about,
                "security": manifest.is_security,
                "from": module.origin(),
                "xeps": manifest.xeps,
                "settings": manifest.keys,
            })
        };
        return serde_json::Value::from(modules.list.iter().map(row).collect::<Vec<_>>())
            .to_string();
    }
    let mut out = String::new();
    for module in &modules.list {
        let manifest = &module.manifest;
        out.push_str(&format!(
            "{} {}  ({})\n  {}\n",
            manifest.name,
            manifest.version,
            module.origin(),
            manifest.about
        ));
        if !manifest.xeps.is_empty() {
            let xeps: Vec<String> = manifest
                .xeps
                .iter()
                .map(|(xep, version)| format!("XEP-{xep} ({version})"))
                .collect();
            out.push_str(&format!("  implements {}\n", xeps.join(", ")));
        }
        for (key, [kind, default, about]) in &manifest.keys {
            out.push_str(&format!(
                "  [modules.{}] {key} = {default}  ({kind}) {about}\n",
                manifest.name
            ));
        }
    }
    if out.is_empty() { "no modules".to_owned() } else { out }
}

/// Places in the order of a stanza's way, and phases in the order in which they run.
const PLACES: [&str; 4] = ["Sent", "Arriving", "Received", "Leaving"];
const PHASES: [&str; 4] = ["Admit", "Rewrite", "Record", "Copy"];

fn order(modules: &Modules) -> String {
    let mut out = String::new();
    for place in PLACES {
        let mut head = place;
        for phase in PHASES {
            let acts = |module: &&Chosen| {
                let hooks = &module.manifest.hooks;
                hooks.iter().any(|hook| {
                    hook.word(1).eq_ignore_ascii_case(place)
                        && hook.word(2).eq_ignore_ascii_case(phase)
                })
            };
            let names: Vec<&str> =
                modules.list.iter().filter(acts).map(|one| one.manifest.name.as_str()).collect();
            if !names.is_empty() {
                out.push_str(&format!("{head:10} {phase:8} {}\n", names.join(", ")));
                head = "";
            }
        }
    }
    let answers: Vec<String> = modules.list.iter().flat_map(requests).collect();
    if !answers.is_empty() {
        out.push_str("requests\n");
        answers.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    if out.is_empty() { "no module acts anywhere".to_owned() } else { out }
}

fn requests(module: &Chosen) -> Vec<String> {
    let name = &module.manifest.name;
    let hooks = module.manifest.hooks.iter();
    let hooks = hooks.filter(|hook| matches!(hook.kind(), "iq-get" | "iq-set"));
    let line = |hook: &engine::HookLine| {
        let (kind, whom, ns, payload) = (hook.kind(), hook.word(1), hook.word(2), hook.word(3));
        format!("{kind} to {whom}: {payload} of {ns}  {name}")
    };
    hooks.map(line).collect()
}
