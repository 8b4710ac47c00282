//! The tables that cross the boundary. They only grow, at their ends; see README.md.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::{fmt, slice, str};

use crate::ABI;
use crate::guest::{self, Guest};

/// The first bytes of every [`RawModule`].
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"calypte\x01");

/// Bytes of somebody else, for as long as README.md says.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    ptr: *const u8,
    len: usize,
    of: PhantomData<&'a [u8]>,
}

impl<'a> Bytes<'a> {
    pub(crate) const EMPTY: Self = Self::of(&[]);

    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len(), of: PhantomData }
    }

    /// Returns the bytes.
    ///
    /// # Safety
    ///
    /// The other side gives memory that holds `len` bytes and does not change during `'a`.
    #[inline]
    pub(crate) unsafe fn get(self) -> &'a [u8] {
        if self.len == 0 || self.ptr.is_null() {
            return &[];
        }
        // SAFETY: the caller vouches for the other side.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// A call, as the host passes it.
#[repr(C)]
pub(crate) struct RawCall<'a> {
    pub(crate) size: u32,
    pub(crate) hook: u32,
    pub(crate) now_ms: u64,
    pub(crate) parts: *const Bytes<'a>,
    pub(crate) parts_len: usize,
    pub(crate) words: *const u32,
    pub(crate) words_len: usize,
}

/// What a module can ask of the host during a call.
#[repr(C)]
pub(crate) struct RawHost {
    pub(crate) size: u32,
    pub(crate) reserved: u32,
    /// The host's own; a module only hands it back.
    pub(crate) context: *mut c_void,
    /// Writes the answer to the last argument; it is the host's, until the next operation.
    pub(crate) op:
        unsafe extern "C" fn(*mut c_void, u32, Bytes<'_>, Bytes<'_>, *mut Bytes<'_>) -> u32,
    pub(crate) log: unsafe extern "C" fn(*mut c_void, u32, Bytes<'_>),
}

/// What a module is made from, and where it says why it cannot be made.
#[repr(C)]
pub(crate) struct RawSetup<'a> {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) config: Bytes<'a>,
    /// The host's own; a module only hands it back.
    pub(crate) context: *mut c_void,
    pub(crate) fail: unsafe extern "C" fn(*mut c_void, Bytes<'_>),
    /// The module writes its instance here.
    pub(crate) instance: *mut c_void,
}

/// Set in [`RawSetup::flags`] when the module is a library with a standard library of its own.
pub(crate) const LOADED: u32 = 1;

/// The instance was made.
pub(crate) const MADE: u32 = 0;
/// The settings do not suit the module; it said why.
pub(crate) const UNSUITED: u32 = 1;

/// A module, as the host sees it. Only [`RawModule::of`] makes one.
#[repr(C)]
pub struct RawModule {
    magic: u64,
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) size: u32,
    /// 1 when panics unwind, so that they can be caught.
    pub(crate) unwinds: u32,
    reserved: u32,
    // All above is the head, the same for ever.
    name: Bytes<'static>,
    version: Bytes<'static>,
    manifest: Bytes<'static>,
    pub(crate) create: unsafe extern "C" fn(*mut RawSetup<'_>) -> u32,
    pub(crate) call: unsafe extern "C" fn(*const c_void, *const RawCall<'_>, *const RawHost) -> u32,
    pub(crate) destroy: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: all it points to is constant data of the program or of a library that stays loaded.
unsafe impl Sync for RawModule {}
// SAFETY: as above.
unsafe impl Send for RawModule {}

impl RawModule {
    /// Describes a guest. Modules use [`abi_export!`](crate::abi_export), which calls this.
    #[must_use]
    pub const fn of<G: Guest>(name: &'static str, version: &'static str) -> Self {
        Self {
            magic: MAGIC,
            major: ABI.0,
            minor: ABI.1,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the table is some 100 bytes long"
            )]
            size: size_of::<Self>() as u32,
            unwinds: cfg!(panic = "unwind") as u32,
            reserved: 0,
            name: Bytes::of(name.as_bytes()),
            version: Bytes::of(version.as_bytes()),
            manifest: Bytes::EMPTY,
            create: guest::create::<G>,
            call: guest::call::<G>,
            destroy: guest::destroy::<G>,
        }
    }

    /// Adds the manifest, and whether the crate that exports it lets panics unwind.
    #[doc(hidden)]
    #[must_use]
    pub const fn with(mut self, manifest: &'static [u8], unwinds: bool) -> Self {
        self.manifest = Bytes::of(manifest);
        self.unwinds &= unwinds as u32;
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.text(self.name)
    }

    /// Returns the module's own version.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.text(self.version)
    }

    /// Returns the manifest, as in the section of the file.
    #[must_use]
    pub fn manifest(&self) -> &'static str {
        self.text(self.manifest)
    }

    fn text(&self, bytes: Bytes<'static>) -> &'static str {
        // SAFETY: `of` and `with` took them from static slices; a library's are the same, since its
        // table was made by them and it stays loaded.
        str::from_utf8(unsafe { bytes.get() }).unwrap_or("")
    }
}

impl fmt::Debug for RawModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawModule")
            .field("name", &self.name())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Modules that were built years ago have these numbers in them. A new field goes to the end,
    /// and then its line goes to the end here; no line ever changes.
    #[test]
    fn nothing_has_moved() {
        assert_eq!(MAGIC.to_ne_bytes(), *b"calypte\x01");
        let module = [
            offset_of!(RawModule, magic),
            offset_of!(RawModule, major),
            offset_of!(RawModule, minor),
            offset_of!(RawModule, size),
            offset_of!(RawModule, unwinds),
            offset_of!(RawModule, reserved),
            offset_of!(RawModule, name),
            offset_of!(RawModule, version),
            offset_of!(RawModule, manifest),
            offset_of!(RawModule, create),
            offset_of!(RawModule, call),
            offset_of!(RawModule, destroy),
            size_of::<RawModule>(),
        ];
        assert_eq!(module, [0, 8, 10, 12, 16, 20, 24, 40, 56, 72, 80, 88, 96]);
        let setup = [
            offset_of!(RawSetup<'_>, size),
            offset_of!(RawSetup<'_>, flags),
            offset_of!(RawSetup<'_>, config),
            offset_of!(RawSetup<'_>, context),
            offset_of!(RawSetup<'_>, fail),
            offset_of!(RawSetup<'_>, instance),
            size_of::<RawSetup<'_>>(),
        ];
        assert_eq!(setup, [0, 4, 8, 24, 32, 40, 48]);
        let call = [
            offset_of!(RawCall<'_>, size),
            offset_of!(RawCall<'_>, hook),
            offset_of!(RawCall<'_>, now_ms),
            offset_of!(RawCall<'_>, parts),
            offset_of!(RawCall<'_>, parts_len),
            offset_of!(RawCall<'_>, words),
            offset_of!(RawCall<'_>, words_len),
            size_of::<RawCall<'_>>(),
        ];
        assert_eq!(call, [0, 4, 8, 16, 24, 32, 40, 48]);
        let host = [
            offset_of!(RawHost, size),
            offset_of!(RawHost, reserved),
            offset_of!(RawHost, context),
            offset_of!(RawHost, op),
            offset_of!(RawHost, log),
            size_of::<RawHost>(),
        ];
        assert_eq!(host, [0, 4, 8, 16, 24, 32]);
        let bytes =
            [offset_of!(Bytes<'_>, ptr), offset_of!(Bytes<'_>, len), size_of::<Bytes<'_>>()];
        assert_eq!(bytes, [0, 8, 16]);
        assert_eq!((LOADED, MADE, UNSUITED, crate::PANICKED), (1, 0, 1, u32::MAX));
    }
}
