//! The host's side: instances, and what they may ask for.

use core::ffi::c_void;
use core::fmt;
use core::ptr::NonNull;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::raw::{Bytes, LOADED, MADE, RawCall, RawHost, RawModule, RawSetup};
use crate::{Call, HOST_FAULT, LoadError, PANICKED, PARTS};

/// What the host does for a module during a call.
pub trait Host {
    /// Does an operation: 0 and the answer in `out`, which comes empty, or an error code.
    fn op(&mut self, op: u32, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> u32;

    /// Writes a line of the module to the log.
    fn log(&mut self, level: u32, text: &str);
}

/// A module panicked. What it had asked for in this call is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the module panicked")
    }
}

impl std::error::Error for Panicked {}

/// An instance of a module. It moves between threads, but is used by one at a time.
pub struct Instance {
    module: &'static RawModule,
    held: NonNull<c_void>,
}

// SAFETY: `Guest: Send`, and a library's guests are made by the same glue.
unsafe impl Send for Instance {}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(&self.module).finish()
    }
}

impl Instance {
    /// Makes an instance of a module that is part of this program, from its settings (JSON).
    ///
    /// # Errors
    ///
    /// [`LoadError::Setup`], [`LoadError::SetupPanicked`] or [`LoadError::PanicAbort`].
    pub fn bundled(module: &'static RawModule, config: &str) -> Result<Self, LoadError> {
        Self::new(module, config, 0)
    }

    pub(crate) fn new(
        module: &'static RawModule,
        config: &str,
        flags: u32,
    ) -> Result<Self, LoadError> {
        debug_assert!(flags & !LOADED == 0, "an unknown flag");
        if module.unwinds != 1 {
            return Err(LoadError::PanicAbort);
        }
        let mut why = String::new();
        let mut setup = RawSetup {
            size: size_of_u32::<RawSetup<'_>>(),
            flags,
            config: Bytes::of(config.as_bytes()),
            context: (&raw mut why).cast(),
            fail: failed,
            instance: core::ptr::null_mut(),
        };
        // SAFETY: the table is a checked one, `setup` and `why` are ours until the call returns.
        let status = unsafe { (module.create)(&raw mut setup) };
        match (status, NonNull::new(setup.instance)) {
            (MADE, Some(held)) => Ok(Self { module, held }),
            (MADE, None) => Err(LoadError::Setup("the module made nothing".to_owned())),
            (PANICKED, _) => Err(LoadError::SetupPanicked(why)),
            _ => Err(LoadError::Setup(why)),
        }
    }

    /// Calls a hook and returns its status.
    ///
    /// # Errors
    ///
    /// [`Panicked`]; the instance can be called again.
    ///
    /// # Panics
    ///
    /// When `host` panics, after the module has returned.
    pub fn call(&self, call: &Call<'_>, host: &mut dyn Host) -> Result<u32, Panicked> {
        debug_assert!(call.parts.len() <= PARTS, "a call has at most {PARTS} parts");
        let mut parts = [Bytes::EMPTY; PARTS];
        for (to, from) in parts.iter_mut().zip(call.parts) {
            *to = Bytes::of(from);
        }
        let raw_call = RawCall {
            size: size_of_u32::<RawCall<'_>>(),
            hook: call.hook,
            now_ms: call.now_ms,
            parts: parts.as_ptr(),
            parts_len: call.parts.len().min(PARTS),
            words: call.words.as_ptr(),
            words_len: call.words.len(),
        };
        let mut serving = Serving { host, out: Vec::new(), panic: None };
        let raw_host = RawHost {
            size: size_of_u32::<RawHost>(),
            reserved: 0,
            context: (&raw mut serving).cast(),
            op,
            log,
        };
        // SAFETY: `held` was made by this table and is used by this thread only, since an instance
        // cannot be shared; all that is passed lives until the call returns.
        let status = unsafe {
            (self.module.call)(self.held.as_ptr(), &raw const raw_call, &raw const raw_host)
        };
        if let Some(payload) = serving.panic {
            resume_unwind(payload);
        }
        if status == PANICKED { Err(Panicked) } else { Ok(status) }
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
    pub fn manifest(&self) -> &'static str {
        self.module.manifest()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: `held` was made by this table, and this is its last use.
        unsafe { (self.module.destroy)(self.held.as_ptr()) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the tables are some 100 bytes long")]
const fn size_of_u32<T>() -> u32 {
    size_of::<T>() as u32
}

/// The host during one call.
struct Serving<'a> {
    host: &'a mut dyn Host,
    /// The last answer, until the next operation.
    out: Vec<u8>,
    /// The host's own panic, which must not cross the module's frames.
    panic: Option<Box<dyn Any + Send>>,
}

impl Serving<'_> {
    fn guard<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> Option<R> {
        if self.panic.is_some() {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(|| f(self))) {
            Ok(done) => Some(done),
            Err(payload) => {
                self.panic = Some(payload);
                None
            }
        }
    }
}

/// # Safety
///
/// Called by a module with the context of its call, bytes of its own, and a place for the answer.
unsafe extern "C" fn op(
    context: *mut c_void,
    number: u32,
    a: Bytes<'_>,
    b: Bytes<'_>,
    out: *mut Bytes<'_>,
) -> u32 {
    // SAFETY: the context is the one of a running call; nobody else uses it meanwhile.
    let serving = unsafe { &mut *context.cast::<Serving<'_>>() };
    // SAFETY: the module keeps both until this returns.
    let (a, b) = unsafe { (a.get(), b.get()) };
    let code = serving.guard(|serving| {
        serving.out.clear();
        serving.host.op(number, a, b, &mut serving.out)
    });
    let code = code.unwrap_or(HOST_FAULT);
    if code == 0 {
        // SAFETY: the module gives a place of its own; the answer stays as long as README.md says.
        unsafe { out.write(Bytes::of(&serving.out)) };
    }
    code
}

/// # Safety
///
/// Called by a module with the context of its call and bytes of its own.
unsafe extern "C" fn log(context: *mut c_void, level: u32, text: Bytes<'_>) {
    // SAFETY: as in `op`.
    let (serving, text) = unsafe { (&mut *context.cast::<Serving<'_>>(), text.get()) };
    serving.guard(|serving| serving.host.log(level, &String::from_utf8_lossy(text)));
}

/// # Safety
///
/// Called by a module with the context of its setup and bytes of its own.
unsafe extern "C" fn failed(context: *mut c_void, text: Bytes<'_>) {
    // SAFETY: the context is the text of a running setup; the module keeps its bytes until this
    // returns.
    let (why, text) = unsafe { (&mut *context.cast::<String>(), text.get()) };
    *why = String::from_utf8_lossy(text).into_owned();
}
