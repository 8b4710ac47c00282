//! The reader: beside rxml, and in pieces as at once.

#![no_main]

#[path = "../../../core/xml/tests/differential/oracle.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;
use xml::{Item, Limits, Reader};

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// Reads a stream in pieces of `size` bytes. `None` stands for an error.
fn read(bytes: &[u8], size: usize) -> Vec<Option<String>> {
    let mut reader = Reader::new(Limits::client());
    let mut said = Vec::new();
    for piece in bytes.chunks(size) {
        if reader.push(piece).is_err() {
            said.push(None);
            return said;
        }
        loop {
            match reader.next() {
                Ok(None) => break,
                Ok(Some(Item::Element(flat))) => said.push(Some(oracle::ours(flat.root()))),
                Ok(Some(Item::Open(header))) => said.push(Some(format!("{header:?}"))),
                Ok(Some(Item::Close)) => {
                    said.push(Some("close".to_owned()));
                    return said;
                }
                Err(_) => {
                    said.push(None);
                    return said;
                }
            }
        }
    }
    said
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, text)) = bytes.split_first() else { return };
    if let Ok(text) = std::str::from_utf8(text) {
        oracle::check(text);
    }
    let stream = [HEADER, text].concat();
    if stream.len() < 4096 {
        let mut at_once = read(&stream, stream.len());
        let mut in_pieces = read(&stream, usize::from(*size).max(1));
        // An error may show before the bytes that make it certain; what came before is the same.
        at_once.retain(Option::is_some);
        in_pieces.retain(Option::is_some);
        assert_eq!(in_pieces, at_once);
    }
    // A header of its own.
    read(text, usize::from(*size).max(1));
});
