//! A stream over WebSocket (RFC 7395), as if it were one over a socket: each element that is queued is a
//! message of its own, and what comes is put together again as a stream.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::conn::{Io, Res, is_stanza};
use crate::xml::attr;

const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// A text that is whole.
const TEXT: u8 = 0x81;
const PONG: u8 = 0x8A;

/// What is unfinished of what came.
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<u8>);

/// Asks for a WebSocket.
pub(crate) async fn upgrade(io: &mut (impl Io + ?Sized), domain: &str) -> Res<()> {
    let head = format!(
        "GET /xmpp-websocket HTTP/1.1\r\nHost: {domain}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: xmpp\r\n\r\n"
    );
    let broken = |error: std::io::Error| format!("no WebSocket: {error}");
    io.write_all(head.as_bytes()).await.map_err(broken)?;
    io.flush().await.map_err(broken)?;
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(io.read_u8().await.map_err(broken)?);
    }
    if heard.starts_with(b"HTTP/1.1 101 ") {
        Ok(())
    } else {
        Err(format!("no WebSocket: {}", String::from_utf8_lossy(&heard)))
    }
}

/// Queues an element, a header or an end as a message.
pub(crate) fn write(text: &[u8], out: &mut Vec<u8>) {
    if let Some(header) = text.strip_prefix(b"<?xml version='1.0'?>") {
        let domain = String::from_utf8_lossy(attr(header, "to").unwrap_or_default());
        let open = format!("<open xmlns='{FRAMING}' to='{domain}' version='1.0'/>");
        return frame(TEXT, open.as_bytes(), out);
    }
    if text == b"</stream:stream>" {
        return frame(TEXT, format!("<close xmlns='{FRAMING}'/>").as_bytes(), out);
    }
    if is_stanza(text) {
        let name = text.iter().position(|byte| b" />".contains(byte)).unwrap_or(text.len());
        let (start, rest) = text.split_at(name);
        return frame(TEXT, &[start, b" xmlns='jabber:client'", rest].concat(), out);
    }
    frame(TEXT, text, out);
}

/// Queues a frame of a client: masked, with a mask that changes nothing.
fn frame(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    match bytes.len() {
        short @ 0..126 => out.push(0x80 | u8::try_from(short).unwrap_or(0)),
        medium @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(medium).unwrap_or(0).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend(u64::try_from(long).unwrap_or(0).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend_from_slice(bytes);
}

impl Frames {
    /// Takes what came: texts go to `input`, answers to pings to `output`.
    pub(crate) fn take(&mut self, bytes: &[u8], input: &mut Vec<u8>, output: &mut Vec<u8>) {
        self.0.extend_from_slice(bytes);
        let mut from = 0;
        while let Some((kind, start, end)) = whole(&self.0[from..]) {
            let inside = &self.0[from + start..from + end];
            match kind & 0x0F {
                0x1 if inside.starts_with(b"<open ") => {
                    input.extend_from_slice(b"<stream:stream xmlns:stream='s'>");
                }
                0x1 if inside.starts_with(b"<close ") => {
                    input.extend_from_slice(b"</stream:stream>");
                }
                0x9 => frame(PONG, inside, output),
                0x8 | 0xA => {}
                _ => input.extend_from_slice(inside),
            }
            from += end;
        }
        self.0.drain(..from);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

/// Returns the first byte of a frame of a server, and where its inside begins and ends, when it is whole.
fn whole(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (kind, length) = (*bytes.first()?, *bytes.get(1)?);
    let (length, start) = match length {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = start + usize::try_from(length).ok()?;
    (bytes.len() >= end).then_some((kind, start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::header;

    #[test]
    fn each_element_is_a_message() {
        let message = |text: &[u8]| {
            let mut out = Vec::new();
            write(text, &mut out);
            assert_eq!((out[0], out[1]), (TEXT, 0x80 | u8::try_from(out.len() - 6).unwrap()));
            String::from_utf8(out[6..].to_vec()).unwrap()
        };
        assert_eq!(
            message(header("a.test").as_bytes()),
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.test' version='1.0'/>"
        );
        assert_eq!(message(b"<presence/>"), "<presence xmlns='jabber:client'/>");
        assert_eq!(message(b"<iq id='1'/>"), "<iq xmlns='jabber:client' id='1'/>");
        assert_eq!(message(b"<auth xmlns='x'/>"), "<auth xmlns='x'/>");
        assert!(message(b"</stream:stream>").starts_with("<close "));
    }

    #[test]
    fn messages_are_a_stream_however_they_are_cut() {
        let long = "x".repeat(300);
        let mut wire = [&[TEXT, 13][..], b"<open a='b'/>"].concat();
        wire.extend([0x89, 2, b'h', b'i', TEXT, 126, 1, 44]);
        wire.extend_from_slice(long.as_bytes());
        wire.extend([TEXT, 9]);
        wire.extend_from_slice(b"<close />");
        for cut in 0..wire.len() {
            let (mut frames, mut input, mut output) = (Frames::default(), Vec::new(), Vec::new());
            for piece in [&wire[..cut], &wire[cut..]] {
                frames.take(piece, &mut input, &mut output);
            }
            let stream = format!("<stream:stream xmlns:stream='s'>{long}</stream:stream>");
            assert_eq!(String::from_utf8(input).unwrap(), stream);
            assert_eq!(output, [PONG, 0x82, 0, 0, 0, 0, b'h', b'i']);
            assert!(frames.0.is_empty());
        }
    }
}
