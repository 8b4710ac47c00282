//! Damaged and hostile libraries: they are refused, never a panic, never a long wait.

use std::fs;

use abi::Library;

use crate::fixtures::library;

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn no_cut_is_taken_for_a_module() {
    let whole = fs::read(library("good").build()).unwrap();
    assert!(Library::check_bytes(&whole).is_ok());
    let mut chance = Chance(1);
    let near = (0..2000).chain(whole.len() - 2000..whole.len());
    for end in near.chain((0..2000).map(|_| chance.below(whole.len()))) {
        assert!(Library::check_bytes(&whole[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn no_damage_makes_it_panic() {
    let whole = fs::read(library("good").build()).unwrap();
    let sections = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    let mut bytes = whole.clone();
    let mut chance = Chance(2);
    for round in 0..40_000 {
        let mut changed = Vec::new();
        for _ in 0..=chance.below(4) {
            // Most of what is read is in the headers at both ends.
            let at = match round % 4 {
                0 => chance.below(64),
                1 => 64 + chance.below(56 * 14),
                2 => sections + chance.below(whole.len() - sections),
                _ => chance.below(16_384),
            };
            let values = [0, 1, 0x7F, 0x80, 0xFF, chance.below(256) as u8];
            bytes[at] = values[chance.below(values.len())];
            changed.push(at);
        }
        drop(Library::check_bytes(&bytes));
        for at in changed {
            bytes[at] = whole[at];
        }
    }
    assert_eq!(bytes, whole);
}

#[test]
fn noise_is_refused() {
    let mut chance = Chance(3);
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..chance.below(512)).map(|_| chance.below(256) as u8).collect();
        assert!(Library::check_bytes(&bytes).is_err());
        // The same behind a right beginning.
        let start = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0";
        bytes.splice(0..0, start.iter().copied());
        assert!(Library::check_bytes(&bytes).is_err());
    }
}
