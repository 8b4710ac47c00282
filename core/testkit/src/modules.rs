//! The modules of a test program: inside it, and in files of their own.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use abi::{Allowed, Instance, Library, RawModule};
use engine::{Manifest, Pipeline};

/// How modules get into the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// They are part of the program.
    Bundled,
    /// They are loaded from their `.so` files.
    Loaded,
}

/// The modules that scenes can name.
#[derive(Debug)]
pub(crate) struct Catalog {
    modules: Vec<&'static RawModule>,
    /// Those that were loaded; a library is never unloaded, so once is enough.
    libraries: Mutex<BTreeMap<String, Arc<Library>>>,
}

impl Catalog {
    pub(crate) fn new(modules: &[&'static RawModule]) -> Self {
        Self { modules: modules.to_vec(), libraries: Mutex::default() }
    }

    /// Makes the modules of one shard.
    pub(crate) fn pipeline(
        &self,
        form: Form,
        names: &[String],
        settings: &toml::Table,
    ) -> Result<Pipeline, String> {
        let unknown = settings.keys().find(|key| !names.contains(key));
        if let Some(unknown) = unknown {
            return Err(format!("settings for {unknown}, which does not run"));
        }
        let mut pipeline = Pipeline::default();
        for name in names {
            let config = match settings.get(name) {
                Some(value) => serde_json::to_string(value).map_err(|error| error.to_string())?,
                None => String::new(),
            };
            let (instance, manifest) = self.instance(form, name, &config)?;
            let setting = |key: &str| {
                let value = settings.get(name)?.get(key)?;
                value.as_str().map(str::to_owned)
            };
            pipeline.add(instance, Manifest::read(&manifest)?.with_settings(setting));
        }
        Ok(pipeline)
    }

    fn instance(&self, form: Form, name: &str, config: &str) -> Result<(Instance, String), String> {
        let known = self.modules.iter().find(|module| module.name() == name);
        let module = *known.ok_or_else(|| {
            format!("this program has no module {name}; add it to testkit::main in tests/scenes.rs")
        })?;
        let fail = |error| format!("module {name}: {error}");
        match form {
            Form::Bundled => {
                let instance = Instance::bundled(module, config).map_err(fail)?;
                Ok((instance, module.manifest().to_owned()))
            }
            Form::Loaded => {
                let library = self.library(name)?;
                let instance = library.instance(config).map_err(fail)?;
                Ok((instance, library.manifest().as_str().to_owned()))
            }
        }
    }

    fn library(&self, name: &str) -> Result<Arc<Library>, String> {
        let mut libraries = self.libraries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = libraries.get(name) {
            return Ok(Arc::clone(library));
        }
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let folder = program.parent().ok_or("the test program is nowhere")?;
        let path = match find(folder, name) {
            Some(path) => path,
            None => build(folder, name)?,
        };
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        let allowed = Allowed {
            hash: crypto::hash,
            expected: Some(crypto::hash(&bytes)),
            folder: &folder.join("scene-modules"),
        };
        let library = Library::open(&path, &allowed);
        let library = library.map_err(|error| format!("{}: {error}", path.display()))?;
        let library = Arc::new(library);
        libraries.insert(name.to_owned(), Arc::clone(&library));
        Ok(library)
    }
}

/// Finds the newest library of a module near the test program.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let file = format!("libcalypte_{}.so", name.replace('-', "_"));
    let places = [folder.join(&file), folder.join("..").join(&file)];
    let newest = places.into_iter().filter_map(|path| {
        let changed = path.metadata().ok()?.modified().ok()?;
        Some((changed, path))
    });
    newest.max().map(|(_, path)| path)
}

/// Builds the library of a module.
fn build(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let package = format!("calypte-{name}");
    let profile = folder.parent().ok_or("the test program is nowhere")?;
    let target = profile.parent().ok_or("the test program is nowhere")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", &package, "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    let found = find(folder, name).filter(|_| status.success());
    found.ok_or_else(|| format!("`cargo build -p {package}` made no library"))
}
