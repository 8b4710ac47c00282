//! The name of a message in the archive (XEP-0359).
//!
//! It carries its place, so that it needs no table of its own, and 64 random bits that have to be
//! those of the row: nobody can name a message that was not shown, and nobody can count by names.

use calypte::prelude::*;

/// Where a message is, and what makes its name unpredictable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) place: u64,
    pub(crate) tail: u64,
}

impl Id {
    /// Makes the name of a new message.
    pub(crate) fn new(place: u64, cx: &mut Context<'_, '_>) -> Result<Self, StanzaError> {
        let tail = cx.random(8)?.try_into().map_err(|_| StanzaError::INTERNAL)?;
        Ok(Self { place, tail: u64::from_le_bytes(tail) })
    }

    /// Reads what [`Id::write`] wrote, `None` for anything else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        let (hidden, tail) = text.split_at_checked(16)?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (hidden, tail) = (number(hidden)?, number(tail)?);
        Some(Self { place: hidden ^ tail, tail })
    }

    pub(crate) fn write(self) -> String {
        format!("{:016x}{:016x}", self.place ^ self.tail, self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back() {
        let id = Id { place: 0x0123_4567_89ab_cdef, tail: 0xfedc_ba98_7654_3210 };
        assert_eq!(id.write(), "fffffffffffffffffedcba9876543210");
        assert_eq!(Id::read(&id.write()), Some(id));
    }

    #[test]
    fn reads_nothing_else() {
        for bad in ["", "1", "FFFFFFFFFFFFFFFFFEDCBA9876543210", "+000000000000000fedcba9876543210"]
        {
            assert_eq!(Id::read(bad), None, "{bad}");
        }
        assert_eq!(Id::read(&"é".repeat(16)), None);
    }
}
