//! Bytes as hexadecimal text.

/// Returns `bytes` as lower-case digits.
pub(crate) fn write(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads exactly 32 bytes.
pub(crate) fn read(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 { read_all(text)?.try_into().ok() } else { None }
}

/// Reads any number of bytes.
pub(crate) fn read_all(text: &str) -> Option<Vec<u8>> {
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |[high, low]: &[u8; 2]| {
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        u8::try_from(high << 4 | low).ok()
    };
    digits.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let bytes = [0xa5; 32];
        assert_eq!(read(&write(&bytes)), Some(bytes));
        assert_eq!(read("a5"), None);
        assert_eq!(read(&"g".repeat(64)), None);
    }
}
