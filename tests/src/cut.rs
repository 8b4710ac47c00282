//! Cuts what a server sends into the elements below the stream.

/// What a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// `<stream:stream …>`
    Header(String),
    /// A whole element as it came.
    Element(String),
    /// `</stream:stream>`
    End,
}

/// Bytes that were received and not cut yet.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    bytes: Vec<u8>,
}

impl Cut {
    /// Takes bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets everything; a new stream begins.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Returns the next whole piece.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        let start = self.bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let (mut at, mut depth) = (start, 0_usize);
        loop {
            let tag = at + self.bytes[at..].iter().position(|byte| *byte == b'<')?;
            let end = tag_end(&self.bytes, tag)?;
            let text = &self.bytes[tag..end];
            at = end;
            if text.starts_with(b"<?") {
                continue;
            }
            if depth == 0 && text.starts_with(b"<stream:stream") {
                return Some(Piece::Header(self.take(end)));
            }
            if depth == 0 && text.starts_with(b"</") {
                self.take(end);
                return Some(Piece::End);
            }
            if text.starts_with(b"</") {
                depth -= 1;
            } else if !text.ends_with(b"/>") {
                depth += 1;
            }
            if depth == 0 {
                return Some(Piece::Element(self.take(end)));
            }
        }
    }

    fn take(&mut self, end: usize) -> String {
        let taken: Vec<u8> = self.bytes.drain(..end).collect();
        String::from_utf8(taken).expect("the server sends UTF-8").trim().to_owned()
    }
}

/// Returns where the tag that starts at `from` ends. A `>` inside quotes is text.
fn tag_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut quote = None;
    for (index, byte) in bytes.iter().enumerate().skip(from) {
        match (quote, byte) {
            (Some(open), byte) if open == *byte => quote = None,
            (None, b'\'' | b'"') => quote = Some(*byte),
            (None, b'>') => return Some(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_wherever_the_bytes_are_parted() {
        let text =
            "<?xml version='1.0'?><stream:stream a='>'> <a b='/>'><a/>x</a>\n<b/></stream:stream>";
        let expected = vec![
            Piece::Header("<?xml version='1.0'?><stream:stream a='>'>".to_owned()),
            Piece::Element("<a b='/>'><a/>x</a>".to_owned()),
            Piece::Element("<b/>".to_owned()),
            Piece::End,
        ];
        for size in 1..text.len() {
            let mut cut = Cut::default();
            let mut pieces = Vec::new();
            for part in text.as_bytes().chunks(size) {
                cut.push(part);
                pieces.extend(std::iter::from_fn(|| cut.next()));
            }
            assert_eq!(pieces, expected, "{size}");
        }
    }
}
