//! How a row stands in sled: checked, and cut when it is long.
//!
//! sled writes pages above a quarter of its segment to files that it never syncs, so no row comes
//! near that. It answers damage with silence, so each row carries a checksum.

/// The longest piece of a value in one row of sled.
pub(crate) const PIECE_BYTES: usize = 8 << 10;
/// Rows of pieces stand behind all tables: names of tables are text.
pub(crate) const PIECES: u8 = 0xFE;
/// Rows of the store itself stand in front of all tables.
pub(crate) const OWN: u8 = 0;

const SUM_BYTES: usize = 8;
const WHOLE: u8 = 0;
const CUT: u8 = 1;

/// A value as it is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Whole(Vec<u8>),
    /// How many pieces, and how many bytes in all.
    Cut(u32, u64),
}

fn sum(key: &[u8], body: &[u8]) -> [u8; SUM_BYTES] {
    let length = u64::try_from(key.len()).unwrap_or(0).to_le_bytes();
    let hash = crypto::hash(&[&length[..], key, body].concat());
    hash.first_chunk().copied().unwrap_or_default()
}

fn seal(key: &[u8], kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + SUM_BYTES + 1);
    out.push(kind);
    out.extend_from_slice(body);
    let sum = sum(key, &out);
    out.extend_from_slice(&sum);
    out
}

/// Returns the rows for a value: its own, then those of its pieces.
pub(crate) fn encode(key: &[u8], value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    if value.len() <= PIECE_BYTES {
        return vec![(key.to_vec(), seal(key, WHOLE, value))];
    }
    let pieces = u32::try_from(value.len().div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
    let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
    let head = [&pieces.to_le_bytes()[..], &length.to_le_bytes()].concat();
    let mut rows = vec![(key.to_vec(), seal(key, CUT, &head))];
    for (index, piece) in (0..).zip(value.chunks(PIECE_BYTES)) {
        let key = piece_key(key, index);
        let value = seal(&key, WHOLE, piece);
        rows.push((key, value));
    }
    rows
}

/// Reads a row, `None` when it is broken.
pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Option<Row> {
    let (body, its_sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
    if sum(key, body) != its_sum {
        return None;
    }
    match body.split_first()? {
        (&WHOLE, value) => Some(Row::Whole(value.to_vec())),
        (&CUT, head) => {
            let (pieces, length) = head.split_at_checked(4)?;
            let pieces = u32::from_le_bytes(pieces.try_into().ok()?);
            Some(Row::Cut(pieces, u64::from_le_bytes(length.try_into().ok()?)))
        }
        _ => None,
    }
}

pub(crate) fn piece_key(key: &[u8], index: u32) -> Vec<u8> {
    [&[PIECES][..], key, &[0], &index.to_be_bytes()].concat()
}

/// Returns the table that a key belongs to, for people.
pub(crate) fn table_of(key: &[u8]) -> String {
    let key = key.strip_prefix(&[PIECES]).unwrap_or(key);
    let end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
    String::from_utf8_lossy(key.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let rows = encode(b"k", b"value");
        assert_eq!(decode(&rows[0].0, &rows[0].1), Some(Row::Whole(b"value".to_vec())));
    }

    #[test]
    fn every_flipped_bit_shows() {
        let rows = encode(b"key", b"some value");
        for bit in 0..rows[0].1.len() * 8 {
            let mut bytes = rows[0].1.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(b"key", &bytes), None);
        }
        assert_eq!(decode(b"kez", &rows[0].1), None);
        assert_eq!(decode(b"key", &[]), None);
    }

    #[test]
    fn long_values_are_cut() {
        let rows = encode(b"k", &vec![7; PIECE_BYTES * 2 + 1]);
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|(_, value)| value.len() <= PIECE_BYTES + 16));
        assert_eq!(decode(b"k", &rows[0].1), Some(Row::Cut(3, 16_385)));
    }

    #[test]
    fn bytes_are_frozen() {
        let rows = encode(b"roster.items\0a@b\0c", b"\x01x");
        let expected = b"\x00\x01x";
        assert_eq!(rows[0].1.get(..3), Some(&expected[..]));
        assert_eq!(rows[0].1.len(), 3 + SUM_BYTES);
        assert_eq!(table_of(&rows[0].0), "roster.items");
    }
}
