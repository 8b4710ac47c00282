//! The built program: found, or built by cargo when it is missing or older than its source.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// How the modules come into the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Inside the binary.
    #[default]
    Bundled,
    /// The binary has none; each is loaded from its `.so`.
    Slim,
}

/// The modules that the standard program has, in its order.
pub const MODULES: &[&str] = &[
    "blocklist",
    "required_tls",
    "clients",
    "register",
    "invites",
    "roster",
    "presence",
    "disco",
    "pep",
    "displayed",
    "vcard",
    "private",
    "bookmarks",
    "rooms",
    "archive",
    "carbons",
    "offline",
    "csi",
    "push",
    "basics",
    "contact",
    "extdisco",
    "upload",
    "pages",
    "circles",
    "commands",
];

impl Form {
    /// Returns what `CALYPTE_FORM` says: `slim`, or `bundled` as without it.
    pub(crate) fn wanted() -> Self {
        match std::env::var("CALYPTE_FORM").as_deref() {
            Ok("slim") => Self::Slim,
            Ok("bundled") | Err(_) => Self::Bundled,
            Ok(other) => panic!("CALYPTE_FORM is slim or bundled, not {other}"),
        }
    }

    /// Returns the program. Builds it first when it is not there or not up to date.
    #[must_use]
    pub fn program(self) -> &'static Path {
        static BUNDLED: OnceLock<PathBuf> = OnceLock::new();
        static SLIM: OnceLock<PathBuf> = OnceLock::new();
        let cell = match self {
            Self::Bundled => &BUNDLED,
            Self::Slim => &SLIM,
        };
        cell.get_or_init(|| {
            let program = self.folder().join("calypte");
            // Cargo has a fresh look at the slim form, for its libraries have sources of their own.
            if self == Self::Slim || !is_fresh(&program) {
                self.build();
            }
            assert!(program.exists(), "{} was not built", program.display());
            program
        })
    }

    /// Returns the folder with the built files.
    fn folder(self) -> PathBuf {
        match self {
            // As this program was built, so that what is measured is a release.
            Self::Bundled => profile(),
            Self::Slim => target().join("slim/debug"),
        }
    }

    fn build(self) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(root()).args(["build", "--quiet", "--package", "calypte-server"]);
        if self == Self::Bundled && profile().ends_with("release") {
            command.arg("--release");
        }
        if self == Self::Slim {
            // A folder of its own, so that both programs exist.
            command.arg("--target-dir").arg(target().join("slim"));
            command.arg("--no-default-features");
            for module in MODULES.iter().chain(&["hello"]) {
                command.args(["--package", &format!("calypte-{module}")]);
            }
        }
        assert!(command.status().unwrap().success(), "the program cannot be built");
    }
}

/// Returns the built library of a module, or of the example `hello`.
#[must_use]
pub fn library(module: &str) -> PathBuf {
    Form::Slim.program().with_file_name(format!("libcalypte_{module}.so"))
}

/// Returns the folder of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the folder of the profile that this test was built with: `TARGET/debug/deps/it-…`.
fn profile() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().to_owned()
}

/// Returns the target folder.
fn target() -> PathBuf {
    profile().parent().unwrap().to_owned()
}

/// Tells whether a program is newer than each file it was made from, as cargo noted them.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok();
    let Some(built): Option<SystemTime> = changed(program) else { return false };
    let Ok(noted) = std::fs::read_to_string(program.with_extension("d")) else { return false };
    let mut sources = noted.split_whitespace().skip(1);
    let is_older = |path: &str| changed(Path::new(path)).is_some_and(|time| time <= built);
    sources.all(is_older)
}
