//! Modules inside the program. All of it also runs under Miri.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::{
    Call, Guest, HOST_FAULT, Host, HostRef, Instance, LoadError, PARTS, Panicked, RawModule,
};

use crate::recorder::{Recorder, call};

static DROPS: AtomicU32 = AtomicU32::new(0);

struct Inside {
    text: String,
    calls: Cell<u32>,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload was dropped");
    }
}

impl Guest for Inside {
    fn create(config: &str) -> Result<Self, String> {
        match config {
            "refuse" => Err("too long".to_owned()),
            "panic" => panic!("a constant"),
            text => Ok(Self { text: text.to_owned(), calls: Cell::new(0) }),
        }
    }

    fn call(&self, call: &Call<'_>, host: &mut HostRef<'_>) -> u32 {
        self.calls.set(self.calls.get() + 1);
        match call.hook {
            0 => {
                let sum: usize = call.parts.iter().map(|part| part.len()).sum();
                sum as u32 + call.words.iter().sum::<u32>()
            }
            1 => {
                let first = host.op(7, self.text.as_bytes(), call.parts[0]).unwrap();
                // The first answer is a copy, so the second cannot change it.
                let second = host.op(7, b"x", &call.now_ms.to_le_bytes()).unwrap();
                assert_eq!(second, b"x\x08\x07\x06\x05\x04\x03\x02\x01");
                host.log(3, std::str::from_utf8(&first).unwrap());
                first.len() as u32
            }
            2 => panic_any(Bomb),
            3 => {
                let faults = [host.op(66, b"", b""), host.op(7, b"", b"")];
                host.log(3, "nobody hears this any more");
                u32::from(faults == [Err(HOST_FAULT), Err(HOST_FAULT)])
            }
            4 => host.op(5, b"", b"").unwrap_err(),
            _ => self.calls.get(),
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::Relaxed);
        if self.text == "bad end" {
            panic!("at the end");
        }
    }
}

mod made {
    //! Stands for a module's crate.
    abi::abi_export!(super::Inside, "inside", "4.5.6", &["calypte-manifest 1\n", "name inside\n"]);
}

#[test]
fn parts_and_words_arrive() {
    let instance = Instance::bundled(&made::MODULE, "{}").unwrap();
    let host = &mut Recorder::default();
    let parts: [&[u8]; PARTS] = [b"1"; PARTS];
    assert_eq!(instance.call(&Call { words: &[100, 200], ..call(0, &parts) }, host), Ok(312));
    assert_eq!(instance.call(&call(0, &[]), host), Ok(0));
    assert_eq!(instance.call(&call(0, &[b"", b"23"]), host), Ok(2));
    assert_eq!((instance.name(), instance.version()), ("inside", "4.5.6"));
}

#[test]
fn the_manifest_has_the_facts() {
    let text = "calypte-manifest 1\nname inside\nversion 4.5.6\nabi 1.0\npanic unwind\n";
    assert_eq!(made::MODULE.manifest(), text);
    let (major, minor) = abi::ABI;
    let manifest = abi::ManifestText::new(text.to_owned()).unwrap();
    assert_eq!(manifest.get("abi"), Some(format!("{major}.{minor}").as_str()));
    assert_eq!(manifest.get("nothing"), None);
    assert_eq!(manifest.all("name").collect::<Vec<_>>(), ["inside"]);
}

#[test]
fn operations_reach_the_host() {
    let instance = Instance::bundled(&made::MODULE, "abc").unwrap();
    let mut host = Recorder::default();
    assert_eq!(instance.call(&call(1, &[b"def"]), &mut host), Ok(6));
    assert_eq!(host.ops[0], (7, b"abc".to_vec(), b"def".to_vec()));
    assert_eq!(host.logs, [(3, "abcdef".to_owned())]);
    assert_eq!(instance.call(&call(4, &[]), &mut host), Ok(5));
}

#[test]
fn setup_says_why_not() {
    let error = Instance::bundled(&made::MODULE, "refuse").unwrap_err();
    assert_eq!(error, LoadError::Setup("too long".to_owned()));
    let error = Instance::bundled(&made::MODULE, "panic").unwrap_err();
    assert_eq!(error, LoadError::SetupPanicked("a constant".to_owned()));
}

#[test]
fn a_panic_stays_inside() {
    let instance = Instance::bundled(&made::MODULE, "{}").unwrap();
    let host = &mut Recorder::default();
    // The payload panics when it is dropped.
    assert_eq!(instance.call(&call(2, &[]), host), Err(Panicked));
    assert_eq!(instance.call(&call(9, &[]), host), Ok(2));
    drop(instance);
    let before = DROPS.load(Ordering::Relaxed);
    drop(Instance::bundled(&made::MODULE, "bad end").unwrap());
    assert!(DROPS.load(Ordering::Relaxed) > before);
}

#[test]
fn the_hosts_own_panic_goes_around_the_module() {
    let instance = Instance::bundled(&made::MODULE, "{}").unwrap();
    let mut host = Recorder::default();
    let result = catch_unwind(AssertUnwindSafe(|| instance.call(&call(3, &[]), &mut host)));
    let payload = result.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the host's own mistake"));
    assert_eq!(host.ops.len(), 1);
    assert_eq!(host.logs, []);
    assert_eq!(instance.call(&call(9, &[]), &mut host), Ok(2));
}

#[test]
fn instances_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let instance = Instance::bundled(&made::MODULE, "{}").unwrap();
    is_send(&instance);
    let thread = std::thread::spawn(move || {
        instance.call(&call(9, &[]), &mut Recorder::default()).unwrap();
        instance
    });
    let instance = thread.join().unwrap();
    assert_eq!(instance.call(&call(9, &[]), &mut Recorder::default()), Ok(2));
}

/// Answers by calling the same instance again.
struct Nested(Rc<Instance>);

impl Host for Nested {
    fn op(&mut self, _: u32, _: &[u8], b: &[u8], out: &mut Vec<u8>) -> u32 {
        let count = self.0.call(&call(9, &[]), &mut Recorder::default()).unwrap();
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(b);
        4
    }

    fn log(&mut self, _: u32, _: &str) {}
}

#[test]
fn an_instance_may_be_called_again_by_the_host() {
    let instance = Rc::new(Instance::bundled(&made::MODULE, "{}").unwrap());
    let mut host = Nested(Rc::clone(&instance));
    assert_eq!(instance.call(&call(4, &[]), &mut host), Ok(4));
    assert_eq!(instance.call(&call(9, &[]), &mut host), Ok(3));
}

#[test]
fn a_table_without_manifest_is_fine() {
    static BARE: RawModule = RawModule::of::<Inside>("bare", "0");
    let instance = Instance::bundled(&BARE, "").unwrap();
    assert_eq!((instance.name(), instance.manifest()), ("bare", ""));
}
