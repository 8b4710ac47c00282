//! The modules in force: which, with what settings, in which order, and which were refused.

use std::fs::DirBuilder;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use abi::{Allowed, Instance, Library, RawModule};
use calypte::Command;
use engine::{Manifest, Pipeline};

use crate::config::Config;
use crate::config::modules::Load;
use crate::config::schema::Notes;

mod bundled;
mod names;
#[cfg(all(test, feature = "bundled"))]
mod readme;
pub(crate) mod rights;
mod settings;

/// The modules of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// Those that run, in the operator's order.
    pub(crate) list: Vec<Chosen>,
    /// Files that are not used.
    pub(crate) refused: Vec<Refused>,
}

/// A module that runs.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// What it says about itself.
    pub(crate) manifest: Manifest,
    /// Its settings as JSON.
    pub(crate) settings: String,
    /// Its code.
    code: Code,
}

/// Where the code of a module is.
#[derive(Clone, Debug)]
pub(crate) enum Code {
    /// In this program.
    Bundled(&'static RawModule),
    /// In a file, checked and loaded.
    Loaded(PathBuf, Arc<Library>),
    /// In a file of which only the manifest was read.
    Unloaded(PathBuf),
}

/// A file that is not used, and why.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// Where the configuration names it.
    pub(crate) at: Range<usize>,
    /// A sentence without its full stop.
    pub(crate) what: String,
    /// What to do.
    pub(crate) hint: String,
    /// Whether the server must not start without it.
    pub(crate) is_required: bool,
}

/// How far to go with modules from files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth<'a> {
    /// Read the manifest; run nothing.
    Manifest,
    /// Load them, through private copies in this folder.
    Open(&'a Path),
}

/// A module that could run.
struct Known {
    manifest: Manifest,
    code: Code,
    is_required: bool,
    at: Range<usize>,
}

impl Modules {
    /// Returns the commands that modules offer, in the operator's order.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let hooks = self.list.iter().flat_map(|one| &one.manifest.hooks);
        let hooks = hooks.filter(|hook| hook.kind() == "command");
        let words = |hook: &engine::HookLine| hook.words.get(1..).unwrap_or_default().join("\t");
        hooks.filter_map(|hook| Command::read(&words(hook))).collect()
    }

    /// Returns the labels below the domain that modules serve.
    pub(crate) fn served_labels(&self) -> Vec<String> {
        let hooks = self.list.iter().flat_map(|one| &one.manifest.hooks);
        hooks.filter(|hook| hook.kind() == "serve").map(|hook| hook.word(1).to_owned()).collect()
    }

    /// Tells whether a module keeps files that people send each other.
    pub(crate) fn keeps_files(&self) -> bool {
        let mut hooks = self.list.iter().flat_map(|one| &one.manifest.hooks);
        hooks.any(|hook| hook.kind() == "files")
    }

    /// Tells whether a module answers HTTP requests at this path, and with `is_public` those of the
    /// world. The longest path decides, as it does who answers.
    pub(crate) fn serves_path(&self, path: &str, is_public: bool) -> bool {
        let hooks = self.list.iter().flat_map(|one| &one.manifest.hooks);
        let below = |hook: &&engine::HookLine| {
            let rest = path.strip_prefix(hook.word(1));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let hooks = hooks.filter(|hook| hook.kind() == "http").filter(below);
        let longest = hooks.max_by_key(|hook| hook.word(1).len());
        longest.is_some_and(|hook| !is_public || hook.word(2) == "public")
    }

    /// Finds the modules of `config` and checks what it says about them. What is wrong in the
    /// configuration goes to `notes`; files that cannot be used are in [`Modules::refused`].
    pub(crate) fn choose(config: &Config, depth: Depth<'_>, notes: &mut Notes) -> Self {
        let mut known = bundled::known();
        let mut refused = Vec::new();
        for load in &config.loads {
            match open(load, depth, notes) {
                Ok(module) => {
                    match known.iter().find(|other| other.manifest.name == module.manifest.name) {
                        Some(other) => refused.push(double(&module, other)),
                        None => known.push(module),
                    }
                }
                Err(why) => refused.push(why),
            }
        }
        // A module of a refused file may well be the one that the lists name.
        let lists = names::check(config, &known, !refused.is_empty(), notes);
        let mut list = Vec::new();
        for name in lists {
            let Some(index) = known.iter().position(|module| module.manifest.name == name) else {
                continue;
            };
            let module = known.swap_remove(index);
            settings::check(config, &module.manifest, notes);
            let settings = config.settings.get(&name).cloned().unwrap_or_default();
            let named = |key: &str| settings.get(key)?.as_str().map(str::to_owned);
            let manifest = module.manifest.with_settings(named);
            let settings = serde_json::Value::Object(settings).to_string();
            let at = module.at.clone();
            let is_required = module.is_required || manifest.is_security;
            let chosen = Chosen { manifest, settings, code: module.code };
            match chosen.instance() {
                Ok(_) => list.push(chosen),
                Err(why) => {
                    let place = notes.place(&format!("modules.{name}"));
                    let is_bundled = matches!(chosen.code, Code::Bundled(_));
                    let what = format!("module {name} cannot be used: {why}");
                    let hint =
                        format!("see `calypte module list` for its settings, [modules.{name}]");
                    let at = if place.is_empty() { at } else { place };
                    refused.push(Refused {
                        at,
                        what,
                        hint,
                        is_required: is_required || is_bundled,
                    });
                }
            }
        }
        Self { list, refused }
    }

    /// Makes new instances of all modules, for one shard.
    ///
    /// # Errors
    ///
    /// A sentence that names the module which does not start.
    pub(crate) fn pipeline(&self) -> Result<Pipeline, String> {
        let mut pipeline = Pipeline::default();
        for module in &self.list {
            let name = &module.manifest.name;
            let instance = module.instance().map_err(|why| format!("module {name}: {why}"))?;
            if let Some(instance) = instance {
                pipeline.add(instance, module.manifest.clone());
            }
        }
        Ok(pipeline)
    }
}

impl Chosen {
    /// Makes an instance; `None` when the code is not loaded.
    fn instance(&self) -> Result<Option<Instance>, String> {
        let made = match &self.code {
            Code::Bundled(module) => Instance::bundled(module, &self.settings),
            Code::Loaded(_, library) => library.instance(&self.settings),
            Code::Unloaded(_) => return Ok(None),
        };
        made.map(Some).map_err(|error| error.to_string())
    }

    /// Returns where the module comes from, for lists.
    pub(crate) fn origin(&self) -> String {
        match &self.code {
            Code::Bundled(_) => "bundled".to_owned(),
            Code::Loaded(file, _) | Code::Unloaded(file) => file.display().to_string(),
        }
    }
}

/// Reads or loads one file.
fn open(load: &Load, depth: Depth<'_>, notes: &Notes) -> Result<Known, Refused> {
    let place = |key: &str| notes.place(&format!("modules.load.{}.{key}", load.number));
    let file = load.file.display();
    let refuse = |key: &str, why: String, hint: &str| Refused {
        at: place(key),
        what: format!("the module in {file} is not used: {why}"),
        hint: hint.to_owned(),
        is_required: load.required,
    };
    let hint = "`calypte module check FILE` tells more";
    let bytes = read(&load.file).map_err(|why| refuse("file", why, hint))?;
    let found = crypto::hash(&bytes);
    if found != load.blake3.0 {
        let why = format!(
            "it is not the file that was allowed, its hash is {}",
            crate::hex::write(&found)
        );
        return Err(refuse("blake3", why, "if you replaced it, run `calypte module add` again"));
    }
    let text =
        Library::check_bytes(&bytes).map_err(|error| refuse("file", error.to_string(), hint))?;
    let manifest = Manifest::read(text.as_str()).map_err(|why| refuse("file", why, hint))?;
    // Nothing is served without what guards it.
    let is_required = load.required || manifest.is_security;
    let refuse =
        |key: &str, why: String, hint: &str| Refused { is_required, ..refuse(key, why, hint) };
    let missing = rights::missing(&rights::wanted(&manifest, text.as_str()), &load.grant);
    if !missing.is_empty() {
        let list = missing.iter().map(|right| format!("{right:?}")).collect::<Vec<_>>().join(", ");
        let why = format!("it wants rights that are not granted: {list}");
        return Err(refuse("grant", why, "add them to grant, or do not load it"));
    }
    let code = match depth {
        Depth::Manifest => Code::Unloaded(load.file.clone()),
        Depth::Open(folder) => {
            // At the first start there is no data folder yet. What is wrong with it is said below.
            if let Some(data) = folder.parent() {
                drop(DirBuilder::new().recursive(true).mode(0o700).create(data));
            }
            let allowed = Allowed { hash: crypto::hash, expected: Some(load.blake3.0), folder };
            let library = Library::open(&load.file, &allowed)
                .map_err(|error| refuse("file", error.to_string(), hint))?;
            Code::Loaded(load.file.clone(), Arc::new(library))
        }
    };
    Ok(Known { manifest, code, is_required: load.required, at: place("file") })
}

fn double(module: &Known, other: &Known) -> Refused {
    let name = &module.manifest.name;
    let hint = match &other.code {
        Code::Bundled(_) => {
            "the module of this name is bundled; give yours another name".to_owned()
        }
        Code::Loaded(file, _) | Code::Unloaded(file) => {
            format!("it is in {} already", file.display())
        }
    };
    let what = format!("there are two modules with the name {name}");
    Refused { at: module.at.clone(), what, hint, is_required: module.is_required }
}

/// Returns the names of the modules inside this program.
pub(crate) fn bundled_names() -> impl Iterator<Item = String> {
    bundled::known().into_iter().map(|module| module.manifest.name)
}

/// Returns the bytes of a module's file.
///
/// # Errors
///
/// A part of a sentence when it cannot be read.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, String> {
    // Far beyond any module.
    const BYTES_MAX: u64 = 256 << 20;
    let facts = std::fs::metadata(file).map_err(|error| unreadable(&error))?;
    if !facts.is_file() {
        return Err("it is not an ordinary file".to_owned());
    }
    if facts.len() > BYTES_MAX {
        return Err("it is larger than 256 MiB, and no module is".to_owned());
    }
    std::fs::read(file).map_err(|error| unreadable(&error))
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; check the path".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}
