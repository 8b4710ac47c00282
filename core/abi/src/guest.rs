//! The module's side: the trait behind the table, and the glue that lets no panic out.

use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::{fmt, slice, str};
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::raw::{Bytes, LOADED, MADE, RawCall, RawHost, RawSetup, UNSUITED};
use crate::{HOST_FAULT, PANICKED, PARTS, level};

/// A module behind the boundary. Its instances move between threads, but one uses each at a time.
pub trait Guest: Sized + Send + 'static {
    /// Makes an instance from the operator's settings, a JSON object.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    fn create(config: &str) -> Result<Self, String>;

    /// Handles one call and returns its status, anything but [`PANICKED`].
    fn call(&self, call: &Call<'_>, host: &mut HostRef<'_>) -> u32;
}

/// What a hook is called with. Nothing of it outlives the call.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Which hook, by its place in the module's list.
    pub hook: u32,
    /// The time of the event, in milliseconds since 1970.
    pub now_ms: u64,
    /// Texts and bytes, at most [`PARTS`]; what is beyond does not cross.
    pub parts: &'a [&'a [u8]],
    /// The table of a flat stanza.
    pub words: &'a [u32],
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The parts are addresses and what people wrote.
        f.debug_struct("Call").field("hook", &self.hook).finish_non_exhaustive()
    }
}

/// The host, for the time of one call.
pub struct HostRef<'a> {
    raw: &'a RawHost,
}

impl fmt::Debug for HostRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostRef")
    }
}

impl HostRef<'_> {
    /// Asks the host to do something and returns a copy of its answer.
    ///
    /// # Errors
    ///
    /// The host's code, never 0; [`HOST_FAULT`] when the host failed over it.
    #[inline]
    pub fn op(&mut self, op: u32, a: &[u8], b: &[u8]) -> Result<Vec<u8>, u32> {
        let mut out = Bytes::EMPTY;
        // SAFETY: the host keeps its context for the time of the call, which `self` cannot outlive.
        let code = unsafe {
            (self.raw.op)(self.raw.context, op, Bytes::of(a), Bytes::of(b), &raw mut out)
        };
        if code != 0 {
            return Err(code);
        }
        // SAFETY: the answer is the host's and stays until the next operation.
        Ok(unsafe { out.get() }.to_vec())
    }

    /// Writes a line to the host's log. Never put addresses or content into it.
    pub fn log(&mut self, level: u32, text: &str) {
        log(self.raw, level, text);
    }
}

fn log(host: &RawHost, level: u32, text: &str) {
    // SAFETY: who holds a reference to the host's table is inside a call.
    unsafe { (host.log)(host.context, level, Bytes::of(text.as_bytes())) }
}

/// An instance and what its glue needs to know.
struct Held<G> {
    guest: G,
    is_loaded: bool,
}

/// Makes an instance.
///
/// # Safety
///
/// `setup` is a host's, valid and used by nobody else until this returns.
pub(crate) unsafe extern "C" fn create<G: Guest>(setup: *mut RawSetup<'_>) -> u32 {
    // SAFETY: the caller vouches for it.
    let setup = unsafe { &mut *setup };
    let is_loaded = setup.flags & LOADED != 0;
    if is_loaded {
        forward_panics();
    }
    // SAFETY: the host keeps the settings until this returns.
    let config = unsafe { setup.config.get() };
    let speaker = Sink::Setup { context: setup.context, fail: setup.fail };
    let made = {
        let _guard = is_loaded.then(|| Speaking::by(speaker));
        catch_unwind(|| match str::from_utf8(config) {
            Ok(config) => G::create(config),
            Err(_) => Err("the settings are not UTF-8".to_owned()),
        })
    };
    match made {
        Ok(Ok(guest)) => {
            setup.instance = Box::into_raw(Box::new(Held { guest, is_loaded })).cast();
            MADE
        }
        Ok(Err(text)) => {
            speaker.say(&text);
            UNSUITED
        }
        Err(payload) => {
            let payload = ManuallyDrop::new(payload);
            // In a library, the hook has said it already, with the place.
            if !is_loaded {
                speaker.say(message(&**payload).unwrap_or("a panic without words"));
            }
            PANICKED
        }
    }
}

/// Passes a call to an instance.
///
/// # Safety
///
/// `instance` was made by [`create`] of the same `G` and is not used by another thread; `call` and
/// `host` are valid until this returns.
pub(crate) unsafe extern "C" fn call<G: Guest>(
    instance: *const c_void,
    call: *const RawCall<'_>,
    host: *const RawHost,
) -> u32 {
    // SAFETY: the caller vouches for all three.
    let (held, call, host) = unsafe { (&*instance.cast::<Held<G>>(), &*call, &*host) };
    let _guard = held.is_loaded.then(|| Speaking::by(Sink::Host(host)));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut parts: [&[u8]; PARTS] = [&[]; PARTS];
        let len = call.parts_len.min(PARTS);
        for (index, part) in parts.iter_mut().take(len).enumerate() {
            // SAFETY: the host gives `parts_len` parts and keeps them until this returns.
            *part = unsafe { (*call.parts.add(index)).get() };
        }
        let words = if call.words_len == 0 || call.words.is_null() {
            &[]
        } else {
            // SAFETY: the host gives `words_len` words and keeps them until this returns.
            unsafe { slice::from_raw_parts(call.words, call.words_len) }
        };
        let parts = parts.get(..len).unwrap_or_default();
        let call = Call { hook: call.hook, now_ms: call.now_ms, parts, words };
        held.guest.call(&call, &mut HostRef { raw: host })
    }));
    result.unwrap_or_else(|payload| {
        // Dropping it could panic again, and that would end the server.
        let _payload = ManuallyDrop::new(payload);
        PANICKED
    })
}

/// Ends an instance.
///
/// # Safety
///
/// `instance` was made by [`create`] of the same `G` and is not used any more.
pub(crate) unsafe extern "C" fn destroy<G: Guest>(instance: *mut c_void) {
    // SAFETY: the caller vouches for it.
    let held = unsafe { Box::from_raw(instance.cast::<Held<G>>()) };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(held))) {
        let _payload = ManuallyDrop::new(payload);
    }
}

/// Who hears of a panic in a library.
#[derive(Clone, Copy)]
enum Sink {
    Nobody,
    Host(*const RawHost),
    Setup { context: *mut c_void, fail: unsafe extern "C" fn(*mut c_void, Bytes<'_>) },
}

impl Sink {
    /// Tells it, and returns whether there was somebody to tell.
    fn say(self, text: &str) -> bool {
        match self {
            Self::Nobody => return false,
            // SAFETY: `Speaking` sets it for the time of a call only.
            Self::Host(host) => log(unsafe { &*host }, level::ERROR, text),
            // SAFETY: as above, for the time of `create`.
            Self::Setup { context, fail } => unsafe { fail(context, Bytes::of(text.as_bytes())) },
        }
        true
    }
}

thread_local! {
    static SINK: Cell<Sink> = const { Cell::new(Sink::Nobody) };
}

/// Sets who hears of panics, until it is dropped.
struct Speaking(Sink);

impl Speaking {
    fn by(sink: Sink) -> Self {
        Self(SINK.replace(sink))
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        SINK.set(self.0);
    }
}

/// Sends this library's panics to the host instead of to the standard error.
fn forward_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SINK.get().say(&panic_text(info)) {
                before(info);
            }
        }));
    });
}

/// Returns a line about a panic that may go to a log.
///
/// A release build gives the place, and the message only when it is a constant of the program: what
/// is put together at run time may hold what people wrote.
#[must_use]
pub fn panic_text(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => *text,
        None if cfg!(debug_assertions) => message(payload).unwrap_or("no words"),
        None => "the message may hold what people wrote, so only a debug build shows it",
    };
    match info.location() {
        Some(place) => format!("panicked at {place}: {text}"),
        None => format!("panicked: {text}"),
    }
}

fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

const _: () = assert!(HOST_FAULT != 0, "0 means done");

#[cfg(test)]
mod tests {
    use crate::{Call, Guest, Host, HostRef, Instance, LoadError, Panicked, RawModule};

    struct Fails;

    impl Guest for Fails {
        fn create(config: &str) -> Result<Self, String> {
            assert!(config != "panic", "a constant of setup");
            Ok(Self)
        }

        fn call(&self, call: &Call<'_>, host: &mut HostRef<'_>) -> u32 {
            if call.hook == 1 && host.op(0, b"", b"") == Err(1) {
                return 1;
            }
            panic!("a constant of hook {}", call.hook)
        }
    }

    static FAILS: RawModule = RawModule::of::<Fails>("fails", "0");

    /// Calls a second instance while it answers.
    struct Lines(Vec<String>, Option<Instance>);

    impl Host for Lines {
        fn op(&mut self, _: u32, _: &[u8], _: &[u8], _: &mut Vec<u8>) -> u32 {
            let mut inner = Self(Vec::new(), None);
            let inside = self.1.as_ref().unwrap();
            assert_eq!(inside.call(&call(2), &mut inner), Err(Panicked));
            assert_eq!(inner.0.len(), 1);
            2
        }

        fn log(&mut self, _: u32, text: &str) {
            self.0.push(text.to_owned());
        }
    }

    fn call(hook: u32) -> Call<'static> {
        Call { hook, now_ms: 0, parts: &[], words: &[] }
    }

    /// As in a library, but where Miri can see it. This takes the panic hook of the whole program,
    /// so it is one test.
    #[test]
    fn panics_are_heard_by_who_called() {
        let loaded = |config| Instance::new(&FAILS, config, super::LOADED);
        let LoadError::SetupPanicked(text) = loaded("panic").unwrap_err() else { panic!("no") };
        assert!(text.contains("guest.rs:") && text.ends_with("a constant of setup"), "{text}");
        let instance = loaded("").unwrap();
        let mut host = Lines(Vec::new(), Some(loaded("").unwrap()));
        // The one inside must not take away who hears of the one outside.
        assert_eq!(instance.call(&call(1), &mut host), Err(Panicked));
        let [text] = &host.0[..] else { panic!("one line, not {:?}", host.0) };
        assert!(text.ends_with("a constant of hook 1") == cfg!(debug_assertions), "{text}");
        // Outside of a call nobody hears it but the hook that was there before.
        drop(std::panic::catch_unwind(|| std::panic::panic_any(0)));
        assert_eq!(host.0.len(), 1);
    }
}
