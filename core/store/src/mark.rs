//! The last commit, said twice: in the store, and in a file beside it.
//!
//! The file is written after a commit is on disk, so the store can be ahead of it and never behind.
//! A store that is behind has lost what it acknowledged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of a mark: number, chain, checksum.
const MARK_BYTES: usize = 8 + 32 + 8;

/// The number of a commit and the hash of all commits up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) number: u64,
    pub(crate) chain: [u8; 32],
}

impl Mark {
    /// Returns the mark of the commit after this one, which wrote what `hash` stands for.
    pub(crate) fn next(self, hash: [u8; 32]) -> Self {
        let number = self.number.wrapping_add(1);
        let link = [&self.chain[..], &hash, &number.to_le_bytes()].concat();
        Self { number, chain: crypto::hash(&link) }
    }

    pub(crate) fn encode(self) -> [u8; MARK_BYTES] {
        let mut out = [0; MARK_BYTES];
        let body = [&self.number.to_le_bytes()[..], &self.chain].concat();
        let sum = crypto::hash(&body);
        let bytes = body.iter().chain(&sum);
        for (place, byte) in out.iter_mut().zip(bytes) {
            *place = *byte;
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MARK_BYTES] = bytes.try_into().ok()?;
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let chain = *rest.first_chunk::<32>()?;
        let mark = Self { number: u64::from_le_bytes(*number), chain };
        (mark.encode() == *bytes).then_some(mark)
    }
}

/// The file: two places in turn, so that a torn write leaves the other.
#[derive(Debug)]
pub(crate) struct MarkFile(File);

impl MarkFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(path)?))
    }

    pub(crate) fn write(&self, mark: Mark) -> io::Result<()> {
        let place = mark.number % 2 * 64;
        self.0.write_all_at(&mark.encode(), place)
    }

    /// Returns the newest mark that is whole; nothing was promised when there is none.
    pub(crate) fn read(&self) -> Mark {
        let read = |place| {
            let mut bytes = [0; MARK_BYTES];
            self.0.read_exact_at(&mut bytes, place).ok()?;
            Mark::decode(&bytes)
        };
        [read(0), read(64)].into_iter().flatten().max_by_key(|mark| mark.number).unwrap_or_default()
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_whole_or_not_at_all() {
        let mark = Mark::default().next([1; 32]).next([2; 32]);
        let mut bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Some(mark));
        bytes[9] ^= 1;
        assert_eq!(Mark::decode(&bytes), None);
    }

    #[test]
    fn a_torn_mark_leaves_the_one_before() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let marks = MarkFile::open(file.path()).unwrap();
        assert_eq!(marks.read(), Mark::default());
        let first = Mark::default().next([1; 32]);
        marks.write(first).unwrap();
        marks.write(first.next([2; 32])).unwrap();
        assert_eq!(marks.read().number, 2);
        marks.0.write_all_at(&[0; 20], 0).unwrap();
        assert_eq!(marks.read(), first);
    }
}
