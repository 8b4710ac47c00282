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
            Self::NotFound => f.write_str("there is no such file; check the path"),
            Self::Unreadable(why) => write!(f, "the file cannot be read ({why}); it must be an ordinary file that the server's user may read"),
            Self::TooBig { what, limit } => write!(f, "{what} is larger than {limit} bytes; this is not a module, or it must be built in release mode"),
            Self::Permissions(what) => f.write_str(what),
            Self::NotElf => f.write_str("this is not a Linux library; give the `.so` file that `cargo build --release` made"),
            Self::WrongMachine => write!(f, "this is a library for another kind of machine; build the module for {}", std::env::consts::ARCH),
            Self::Truncated => f.write_str("the file is cut off or damaged; copy it again from where it was built"),
            Self::NoManifest => f.write_str("this library has no manifest, so it is not a module; a module has the line `calypte::export!(Name)`, and the file must not be stripped of its sections"),
            Self::Several => f.write_str("this library has more than one module; a module's crate must not depend on another module's crate"),
            Self::SymbolMissing => f.write_str("this library has a manifest but no module; build it again as a `cdylib` and do not strip its dynamic symbols"),
            Self::WrongMagic => f.write_str("this library says that it has a module, but it is none; build it again with the calypte crate of this server"),
            Self::WrongAbi(major, minor) => wrong_abi(f, (*major, *minor)),
            Self::PanicAbort => f.write_str("the module was built with `panic = \"abort\"`, so its first mistake would end the server; build it again with `panic = \"unwind\"`"),
            Self::WrongHash { expected, found } => {
                f.write_str("the file is not the one that was allowed: the configuration says blake3 ")?;
                hex(f, expected)?;
                f.write_str(", the file has ")?;
                hex(f, found)?;
                f.write_str("; if you replaced it yourself, write the new value there")
            }
            Self::PrivateCopy(why) => write!(f, "the checked copy cannot be kept ({why}); the server's folder for loaded modules must be on a disk with room and be its own"),
            Self::Refused(why) => write!(f, "the system does not load it ({why}); install what it needs, or move the server's folder off a `noexec` disk"),
            Self::Setup(why) => write!(f, "the module does not start with these settings: {why}"),
            Self::SetupPanicked(why) => write!(f, "the module failed when it was started ({why}); tell its author"),
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
    if (major, minor) > ABI {
        f.write_str("update the server, or ask the module's author to build it for this version")
    } else {
        f.write_str(
            "ask the module's author to build it again with the calypte crate of this server",
        )
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
