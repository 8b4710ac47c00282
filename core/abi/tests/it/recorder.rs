//! A host that notes what it was asked.

use abi::{Call, Host};

/// Answers operation 7 with both arguments behind each other, fails 99, panics over 66.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) ops: Vec<(u32, Vec<u8>, Vec<u8>)>,
    pub(crate) logs: Vec<(u32, String)>,
}

impl Host for Recorder {
    fn op(&mut self, op: u32, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> u32 {
        assert!(out.is_empty(), "the last answer is still there");
        self.ops.push((op, a.to_vec(), b.to_vec()));
        match op {
            7 => {
                out.extend_from_slice(a);
                out.extend_from_slice(b);
                0
            }
            66 => panic!("the host's own mistake"),
            _ => op,
        }
    }

    fn log(&mut self, level: u32, text: &str) {
        self.logs.push((level, text.to_owned()));
    }
}

/// A call of a hook with these parts.
pub(crate) fn call<'a>(hook: u32, parts: &'a [&'a [u8]]) -> Call<'a> {
    Call { hook, now_ms: 0x0102_0304_0506_0708, parts, words: &[] }
}
