//! What is at the same place in the table of every module, of whatever version.

use crate::raw::{MAGIC, RawModule};
use crate::{ABI, LoadError};

/// The first fields of a [`RawModule`], the same in every version of the boundary.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    magic: u64,
    major: u16,
    minor: u16,
    pub(crate) size: u32,
    unwinds: u32,
}

impl Head {
    /// How long it is, in bytes.
    pub(crate) const SIZE: usize = 24;

    /// Reads it from a file.
    pub(crate) fn parse(bytes: &[u8; Self::SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, ..] = *bytes;
        Self {
            magic: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            major: u16::from_ne_bytes([i, j]),
            minor: u16::from_ne_bytes([k, l]),
            size: u32::from_ne_bytes([m, n, o, p]),
            unwinds: u32::from_ne_bytes([q, r, s, t]),
        }
    }

    /// Checks that this host can use the module.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.magic != MAGIC {
            return Err(LoadError::WrongMagic);
        }
        if self.major != ABI.0 || self.minor > ABI.1 {
            return Err(LoadError::WrongAbi(self.major, self.minor));
        }
        // No module is shorter than the first version of the table.
        if usize::try_from(self.size).is_ok_and(|size| size < size_of::<RawModule>()) {
            return Err(LoadError::WrongMagic);
        }
        if self.unwinds == 1 { Ok(()) } else { Err(LoadError::PanicAbort) }
    }
}
