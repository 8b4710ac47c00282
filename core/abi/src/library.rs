//! Modules in files of their own.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library as System, RTLD_LOCAL, RTLD_NOW};

use crate::head::Head;
use crate::raw::{LOADED, RawModule};
use crate::{Instance, LoadError, ManifestText, elf, private};

/// Which file may be loaded, and where the checked copy of it goes.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// The hash function, blake3.
    pub hash: fn(&[u8]) -> [u8; 32],
    /// The hash in the operator's configuration. Without one, the file and its folder must belong
    /// to root or to this user.
    pub expected: Option<[u8; 32]>,
    /// A folder of the server's own; it is made if it is missing. What is in it can be removed at
    /// any time.
    pub folder: &'a Path,
}

/// A module that was loaded from a file. It is never unloaded, not even when this is dropped.
#[derive(Debug)]
pub struct Library {
    module: &'static RawModule,
    manifest: ManifestText,
    hash: [u8; 32],
    copy: PathBuf,
}

impl Library {
    /// Reads the manifest of a file, without running anything in it.
    ///
    /// # Errors
    ///
    /// All that can be known without loading it: what is wrong with the file, its manifest, its
    /// version or the way it was built.
    pub fn check(path: &Path) -> Result<ManifestText, LoadError> {
        Self::check_bytes(&private::read(path)?.bytes)
    }

    /// Reads the manifest of a file's content.
    ///
    /// # Errors
    ///
    /// As [`Library::check`].
    pub fn check_bytes(bytes: &[u8]) -> Result<ManifestText, LoadError> {
        Ok(elf::read(bytes)?.manifest)
    }

    /// Loads a file after it was checked.
    ///
    /// The bytes are read once; those that were checked are copied to a file that nobody else can
    /// change, and that is what is loaded.
    ///
    /// # Errors
    ///
    /// As [`Library::check`], and when the hash, the owner or the rights are wrong, or when the
    /// system refuses. Nothing of the file has run then, except in the last case.
    pub fn open(path: &Path, allowed: &Allowed<'_>) -> Result<Self, LoadError> {
        let contents = private::read(path)?;
        private::check(path, &contents, allowed.expected.is_some())?;
        let hash = (allowed.hash)(&contents.bytes);
        if let Some(expected) = allowed.expected
            && expected != hash
        {
            return Err(LoadError::WrongHash { expected, found: hash });
        }
        let found = elf::read(&contents.bytes)?;
        let copy = private::copy(allowed.folder, &file_name(&found, &hash), &contents.bytes)?;
        match load(&copy, &found) {
            Ok(module) => Ok(Self { module, manifest: found.manifest, hash, copy }),
            Err(error) => {
                private::remove(&copy);
                Err(error)
            }
        }
    }

    /// Makes an instance from its settings (JSON).
    ///
    /// # Errors
    ///
    /// [`LoadError::Setup`] or [`LoadError::SetupPanicked`].
    pub fn instance(&self, config: &str) -> Result<Instance, LoadError> {
        Instance::new(self.module, config, LOADED)
    }

    /// Returns the name of the module.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.module.name()
    }

    /// Returns the version of the module.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.module.version()
    }

    /// Returns the manifest of the module.
    #[must_use]
    pub fn manifest(&self) -> &ManifestText {
        &self.manifest
    }

    /// Returns the hash of the file.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns the path of the copy that was loaded, for a debugger.
    #[must_use]
    pub fn copy(&self) -> &Path {
        &self.copy
    }
}

fn load(copy: &Path, found: &elf::Found) -> Result<&'static RawModule, LoadError> {
    // SAFETY: this runs the file's initialisers. The operator has allowed the file, by its hash or
    // by its owner; a native module is trusted as the server itself is.
    let system = unsafe { System::open(Some(copy), RTLD_NOW | RTLD_LOCAL) };
    let system = system.map_err(|error| {
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        LoadError::Refused(why)
    })?;
    // SAFETY: what the symbol is gets checked below.
    let symbol = unsafe { system.get::<*const RawModule>(found.symbol.as_str()) };
    let symbol = symbol.map(|symbol| symbol.as_raw_ptr());
    // It stays for ever: its threads, its constants and its panic hook may be in use.
    let _handle = system.into_raw();
    let table = symbol.map_err(|_| LoadError::SymbolMissing)?.cast_const().cast::<RawModule>();
    if table.is_null() || !table.is_aligned() {
        return Err(LoadError::WrongMagic);
    }
    // SAFETY: the symbol is in the library, and in the file it was as long as it says.
    let head = Head::parse(unsafe { &*table.cast::<[u8; Head::SIZE]>() });
    head.check()?;
    // SAFETY: it says that it is a table of this version, and it stays for ever.
    let module = unsafe { &*table };
    // The table points to the text in the section, so this also finds a symbol of somewhere else.
    let is_same = module.manifest().trim_end_matches('\0') == found.manifest.as_str();
    if is_same { Ok(module) } else { Err(LoadError::WrongMagic) }
}

/// A name that tells a person which module it is, and the system that another content is another
/// library.
fn file_name(found: &elf::Found, hash: &[u8; 32]) -> String {
    let mut name = found.symbol.clone();
    name.push('-');
    for byte in hash.iter().take(16) {
        // Writing to a string cannot fail.
        let _always = write!(name, "{byte:02x}");
    }
    name.push_str(".so");
    name
}
