//! Keys: the order of their bytes is the order of the keys.

/// What a table can be ordered by.
pub trait Key {
    /// What a key is when it is read back.
    type Owned;

    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the bytes back, `None` when they are no such key.
    fn decode(bytes: &[u8]) -> Option<Self::Owned>;
}

impl Key for str {
    type Owned = String;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<String> {
        std::str::from_utf8(bytes).ok().map(Self::to_owned)
    }
}

impl Key for [u8] {
    type Owned = Vec<u8>;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }
}

impl Key for u64 {
    type Owned = Self;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Key for (u64, u64) {
    type Owned = Self;

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, second) = bytes.split_at_checked(8)?;
        Some((u64::decode(first)?, u64::decode(second)?))
    }
}

/// The text ends with a zero byte, which it must not hold.
impl Key for (String, u64) {
    type Owned = Self;

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        out.push(0);
        self.1.encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (text, rest) = cut(bytes)?;
        Some((text, u64::decode(rest)?))
    }
}

/// The first text ends with a zero byte, which it must not hold.
impl Key for (String, String) {
    type Owned = Self;

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        out.push(0);
        self.1.encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (text, rest) = cut(bytes)?;
        Some((text, str::decode(rest)?))
    }
}

fn cut(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((str::decode(text)?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<K: Key + ?Sized>(key: &K) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    }

    #[test]
    fn bytes_order_as_keys_do() {
        assert!(bytes(&1_u64) < bytes(&256_u64));
        assert!(bytes(&("a".to_owned(), u64::MAX)) < bytes(&("b".to_owned(), 0)));
        assert!(bytes(&("a".to_owned(), 9)) < bytes(&("aa".to_owned(), 0)));
        assert!(bytes(&(1_u64, 9_u64)) < bytes(&(2_u64, 0_u64)));
    }

    #[test]
    fn keys_come_back() {
        assert_eq!(<(String, u64)>::decode(&bytes(&("a".to_owned(), 7))), Some(("a".into(), 7)));
        let pair = ("a".to_owned(), "b".to_owned());
        assert_eq!(<(String, String)>::decode(&bytes(&pair)), Some(pair));
        assert_eq!(u64::decode(b"short"), None);
        assert_eq!(<(String, u64)>::decode(b"no end"), None);
    }
}
