//! Finds where the stream header and each element below it end. It does not validate: it has to be
//! far cheaper than the servers that it measures.

use memchr::{memchr, memchr3, memmem};

/// What was found, as a range of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Open,
    Element(usize, usize),
    Close,
}

/// Where the scan stands.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    depth: u32,
    pos: usize,
    start: usize,
}

impl Scanner {
    /// The caller removed `count` bytes from the front of the buffer.
    pub(crate) fn shift(&mut self, count: usize) {
        self.pos -= count;
        self.start = self.start.saturating_sub(count);
    }

    /// Bytes before this offset are not needed any more.
    pub(crate) fn keep_from(&self) -> usize {
        if self.depth <= 1 { self.pos } else { self.start }
    }

    /// Returns the next item, `None` when more bytes are needed.
    pub(crate) fn next(&mut self, buffer: &[u8]) -> Option<Item> {
        loop {
            let Some(at) = memchr(b'<', &buffer[self.pos..]) else {
                self.pos = buffer.len();
                return None;
            };
            let start = self.pos + at;
            let Some(length) = tag_end(&buffer[start..]) else {
                self.pos = start;
                return None;
            };
            let end = start + length;
            self.pos = end + 1;
            if let Some(item) = self.take(buffer, start, end) {
                return Some(item);
            }
        }
    }

    fn take(&mut self, buffer: &[u8], start: usize, end: usize) -> Option<Item> {
        match buffer[start + 1] {
            b'?' | b'!' => None,
            b'/' => {
                self.depth = self.depth.saturating_sub(1);
                match self.depth {
                    0 => Some(Item::Close),
                    1 => Some(Item::Element(self.start, end + 1)),
                    _ => None,
                }
            }
            _ if buffer[end - 1] == b'/' => {
                (self.depth == 1).then_some(Item::Element(start, end + 1))
            }
            _ => {
                if self.depth == 1 {
                    self.start = start;
                }
                self.depth += 1;
                (self.depth == 1).then_some(Item::Open)
            }
        }
    }
}

/// Returns where the first tag ends.
fn tag_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr3(b'>', b'"', b'\'', &text[from..])?;
        if text[at] == b'>' {
            return Some(at);
        }
        from = at + 1 + memchr(text[at], &text[at + 1..])? + 1;
    }
}

/// Returns the value of an attribute of the first tag.
pub(crate) fn attr<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let tag = &text[..tag_end(text)?];
    let name = name.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr(b'=', &tag[from..]) {
        let equals = from + at;
        let quote = *tag.get(equals + 1)?;
        if quote != b'"' && quote != b'\'' {
            return None;
        }
        let end = equals + 2 + memchr(quote, &tag[equals + 2..])?;
        let begin = equals.checked_sub(name.len() + 1);
        let is_it = begin.is_some_and(|begin| {
            tag[begin].is_ascii_whitespace() && &tag[begin + 1..equals] == name
        });
        if is_it {
            return Some(&tag[equals + 2..end]);
        }
        from = end + 1;
    }
    None
}

/// Tells whether `what` stands anywhere in it.
pub(crate) fn has(text: &[u8], what: &str) -> bool {
    memmem::find(text, what.as_bytes()).is_some()
}

/// Returns the text of the first element called `name`, wherever it stands.
pub(crate) fn text_of<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let open = format!("<{name}");
    let mut from = 0;
    loop {
        let at = from + memmem::find(&text[from..], open.as_bytes())?;
        let after = *text.get(at + open.len())?;
        if after == b'>' || after.is_ascii_whitespace() {
            let end = at + tag_end(&text[at..])?;
            if text[end - 1] == b'/' {
                return Some(b"");
            }
            let close = end + 1 + memchr(b'<', &text[end + 1..])?;
            return Some(&text[end + 1..close]);
        }
        from = at + open.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_elements_however_they_are_cut() {
        let doc: &[u8] =
            b"<?xml version='1.0'?><stream:stream a='>'> <message id='1'><body>x</body>\
            </message><r xmlns='y'/><iq type=\"get\"><q a='/>'/><q></q></iq></stream:stream>";
        for cut in 1..doc.len() {
            let mut scanner = Scanner::default();
            let mut found = Vec::new();
            for end in [cut, doc.len()] {
                while let Some(item) = scanner.next(&doc[..end]) {
                    if let Item::Element(from, to) = item {
                        found.push(String::from_utf8_lossy(&doc[from..to]).into_owned());
                    }
                }
            }
            assert_eq!(found.len(), 3, "{cut} {found:?}");
            assert_eq!(found[0], "<message id='1'><body>x</body></message>");
            assert_eq!(found[1], "<r xmlns='y'/>");
        }
    }

    #[test]
    fn reads_attributes_and_texts() {
        let text = b"<message from='a' id=\"x-1\" to='b'><body id='no'>hi</body></message>";
        assert_eq!(attr(text, "id"), Some(&b"x-1"[..]));
        assert_eq!(attr(text, "to"), Some(&b"b"[..]));
        assert_eq!(attr(text, "d"), None);
        assert_eq!(text_of(text, "body"), Some(&b"hi"[..]));
    }
}
