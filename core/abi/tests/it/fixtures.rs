//! Compiles the modules of `tests/fixtures`, once per change of what they are made from.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// What to compile: a file of `tests/fixtures`, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fixture {
    /// The file, without `.rs`.
    pub(crate) source: &'static str,
    /// `cdylib` or `bin`.
    pub(crate) kind: &'static str,
    /// More for the compiler.
    pub(crate) flags: &'static [&'static str],
    /// More for the compiler, but not for what it uses.
    pub(crate) own: &'static [&'static str],
    /// Modules that it uses, by name; they are built with the same flags.
    pub(crate) uses: &'static [&'static str],
}

/// A library that is built in the ordinary way.
pub(crate) const fn library(source: &'static str) -> Fixture {
    Fixture { source, kind: "cdylib", flags: &["-Copt-level=1"], own: &[], uses: &[] }
}

/// The one that is made without our crate.
const FORGED: &str = "forged";

/// A hand-made library with one deviation.
pub(crate) const fn forged(cfg: &'static [&'static str]) -> Fixture {
    Fixture { source: FORGED, kind: "cdylib", flags: cfg, own: &[], uses: &[] }
}

impl Fixture {
    /// Compiles it and returns the file.
    pub(crate) fn build(self) -> PathBuf {
        self.try_build().unwrap_or_else(|text| panic!("{self:?} does not compile: {text}"))
    }

    /// Compiles it and returns the file, or what the compiler said.
    pub(crate) fn try_build(self) -> Result<PathBuf, String> {
        static BUILT: Mutex<BTreeMap<Fixture, Result<PathBuf, String>>> =
            Mutex::new(BTreeMap::new());
        // One at a time: the compiler takes all cores by itself.
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        built.entry(self).or_insert_with(|| self.compile()).clone()
    }

    fn compile(self) -> Result<PathBuf, String> {
        let source = |name: &str| folder("tests/fixtures").join(name).with_extension("rs");
        // What is put together has the same flags.
        let place = output().join(key(&format!("{self:?}")));
        let mut externs = Vec::new();
        if self.source != FORGED {
            run(&folder("src/lib.rs"), &place, ("abi", "rlib"), self.flags, &[])?;
            externs.push(format!("--extern=abi={}", place.join("libabi.rlib").display()));
        }
        for name in self.uses {
            run(&source(name), &place, (name, "rlib"), self.flags, &externs)?;
            externs.push(format!("--extern={name}={}/lib{name}.rlib", place.display()));
        }
        let flags = [self.flags, self.own].concat();
        run(&source(self.source), &place, (self.source, self.kind), &flags, &externs)?;
        Ok(place.join(match self.kind {
            "bin" => self.source.to_owned(),
            _ => format!("lib{}.so", self.source),
        }))
    }
}

/// Where the canary leaves its trace.
pub(crate) fn trace() -> PathBuf {
    output().join("canary-was-loaded")
}

/// A folder for one test, empty.
pub(crate) fn empty(name: &str) -> PathBuf {
    let path = output().join(format!("work-{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(&path).unwrap();
    path
}

fn run(
    source: &Path,
    place: &Path,
    (name, kind): (&str, &str),
    flags: &[&str],
    externs: &[String],
) -> Result<(), String> {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut command = Command::new(compiler);
    command.args(["--edition=2024", "--cap-lints=allow", "--crate-name", name]);
    command.arg("--crate-type").arg(kind).arg(source);
    command.arg("--out-dir").arg(place).arg("-L").arg(place).args(flags).args(externs);
    // As cargo does; and where the canary leaves its trace.
    command.env("CARGO_CRATE_NAME", name).env("CANARY", trace());
    let done = command.output().map_err(|error| format!("there is no compiler: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&done.stderr).into_owned())
}

fn folder(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(inside)
}

/// This process's folder for what it compiles; those of earlier ones are removed.
fn output() -> &'static Path {
    static OUTPUT: OnceLock<PathBuf> = OnceLock::new();
    OUTPUT.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi");
        for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_running = Path::new("/proc").join(&name).exists();
            if !is_running {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
        let own = all.join(std::process::id().to_string());
        drop(fs::remove_dir_all(&own));
        fs::create_dir_all(&own).unwrap();
        own
    })
}

fn key(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect()
}
