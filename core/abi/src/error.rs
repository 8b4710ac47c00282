//! Why a module cannot be used: one sentence each, for the operator.

use core::fmt;

use crate::ABI;

/// Why a module cannot be used. Each is a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file.
    NotFound,
    /// The file cannot be read, or is no ordinary file.
    Unreadable(String),
    /// The file or its manifest is larger than any module.
    TooBig {
        /// What is too large.
        what: &'static str,
        /// How large it may be, in bytes.
        limit: u64,
    },
    /// Somebody else could change the file or the folder; the text says which and what to do.
    Permissions(String),
    /// The file is not a Linux library.
    NotElf,
    /// The file is for another machine.
    WrongMachine,
    /// The file is cut off or damaged.
    Truncated,
    /// The file is a library, but it has no manifest.
    NoManifest,
    /// The file has more than one module.
    Several,
    /// The file has a manifest but no module.
    SymbolMissing,
    /// What should be the module's table is something else.
    WrongMagic,
    /// The module was built for another version of the boundary: major, minor.
    WrongAbi(u16, u16),
    /// The module or this program was built so that a panic ends the process.
    PanicAbort,
    /// The file is not the one that the operator has allowed.
    WrongHash {
        /// The hash in the configuration.
        expected: [u8; 32],
        /// The hash of the file.
        found: [u8; 32],
    },
    /// The checked bytes cannot be kept in the server's own folder.
    PrivateCopy(String),
    /// The system's loader does not take the file.
    Refused(String),
    /// The module does not start with these settings; its own words.
    Setup(String),
    /// The module panicked when it was started.
    SetupPanicked(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(
                f,
                "the file cannot be read ({why}); it must be an ordinary file that the server's \
                 user may read"
            ),
            Self::TooBig { what, limit } => write!(
                f,
                "{what} is larger than {limit} bytes; if this is a module, build it in release mode"
            ),
            Self::WrongMachine => write!(
                f,
                "this is a library for another kind of machine; build the module for {}",
                std::env::consts::ARCH
            ),
            Self::WrongAbi(major, minor) => wrong_abi(f, (*major, *minor)),
            Self::WrongHash { expected, found } => wrong_hash(f, expected, found),
            Self::PrivateCopy(why) => write!(
                f,
                "the checked copy cannot be written ({why}); the server's folder for loaded \
                 modules must be on a disk with room and be its own"
            ),
            Self::Refused(why) => write!(
                f,
                "the system does not load it ({why}); install what it needs, or move the server's \
                 folder for loaded modules off a `noexec` disk"
            ),
            Self::Setup(why) => {
                write!(f, "the module does not start with these settings: {why}")
            }
            Self::SetupPanicked(why) => {
                write!(f, "the module failed when it was started ({why}); tell its author")
            }
            Self::Permissions(what) => f.write_str(what),
            constant => f.write_str(constant.sentence()),
        }
    }
}

impl LoadError {
    /// Returns the sentence of a case that has nothing to add.
    fn sentence(&self) -> &'static str {
        match self {
            Self::NotFound => "there is no such file; check the path",
            Self::NotElf => {
                "this is not a Linux library; give the `.so` file that `cargo build --release` made"
            }
            Self::Truncated => {
                "the file is cut off or damaged; copy it again from where it was built"
            }
            Self::NoManifest => {
                "this library has no manifest, so it is not a module; a module has the line \
                 `calypte::export!(Name)`, and nothing may have removed its sections"
            }
            Self::Several => {
                "this library has more than one module; a module's crate must not depend on \
                 another module's crate"
            }
            Self::SymbolMissing => {
                "this library has a manifest but no module; build it again as a `cdylib`, and \
                 remove none of its dynamic symbols"
            }
            Self::WrongMagic => {
                "this library says that it has a module, but it has none that can be read; build \
                 it again with the calypte crate of this server"
            }
            Self::PanicAbort => {
                "the module was built with `panic = \"abort\"`, so its first mistake would end \
                 the server; build it again with `panic = \"unwind\"`"
            }
            _ => "the module cannot be used",
        }
    }
}

impl std::error::Error for LoadError {}

fn wrong_abi(f: &mut fmt::Formatter<'_>, (major, minor): (u16, u16)) -> fmt::Result {
    write!(
        f,
        "the module is for version {major}.{minor} of the boundary and this server has {}.{}; ",
        ABI.0, ABI.1
    )?;
    f.write_str(if (major, minor) > ABI {
        "update the server, or ask the module's author to build it for this version"
    } else {
        "ask the module's author to build it again with the calypte crate of this server"
    })
}

fn wrong_hash(f: &mut fmt::Formatter<'_>, expected: &[u8], found: &[u8]) -> fmt::Result {
    f.write_str("the file is not the one that was allowed: the configuration says blake3 ")?;
    hex(f, expected)?;
    f.write_str(", and the file has ")?;
    hex(f, found)?;
    f.write_str("; if you have replaced it yourself, write the second into the configuration")
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_to_do() {
        let text = || "because".to_owned();
        let all = [
            LoadError::NotFound,
            LoadError::Unreadable(text()),
            LoadError::TooBig { what: "the file", limit: 1 },
            LoadError::NotElf,
            LoadError::WrongMachine,
            LoadError::Truncated,
            LoadError::NoManifest,
            LoadError::Several,
            LoadError::SymbolMissing,
            LoadError::WrongMagic,
            LoadError::WrongAbi(1, 9),
            LoadError::WrongAbi(0, 9),
            LoadError::PanicAbort,
            LoadError::WrongHash { expected: [1; 32], found: [0xAB; 32] },
            LoadError::PrivateCopy(text()),
            LoadError::Refused(text()),
            LoadError::SetupPanicked(text()),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for error in all {
            let text = error.to_string();
            assert!(text.contains("; ") && !text.ends_with('.') && !text.contains('\n'), "{text}");
            assert!(!text.contains("cannot be used"), "{error:?} has no sentence");
            assert!(seen.insert(text));
        }
        assert_eq!(LoadError::Setup(text()).to_string().rsplit(' ').next(), Some("because"));
        assert!(LoadError::WrongAbi(1, 9).to_string().contains("; update the server"));
        assert!(LoadError::WrongAbi(0, 9).to_string().contains("; ask the module's author"));
    }
}
