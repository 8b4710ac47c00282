//! The frames of WebSocket (RFC 6455), as a server reads and writes them.
//!
//! Only texts come through. No extension is spoken, so the reserved bits are 0.

/// Frames of one message.
const FRAGMENTS_MAX: u16 = 1024;
/// What a ping, a pong or a close may carry (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: u64 = 125;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Reads what a client sends. It holds what is unfinished of one message and nothing else.
#[derive(Debug, Default)]
pub struct Reader {
    head: [u8; 14],
    head_bytes: usize,
    frame: Option<Frame>,
    message: Vec<u8>,
    /// Frames of the message so far; 0: none has begun.
    fragments: u16,
    control: Vec<u8>,
}

/// A frame whose head was read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: u8,
    is_last: bool,
    mask: [u8; 4],
    read: u64,
    bytes: u64,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A whole text.
    Text(String),
    /// To be answered with the same in a pong.
    Ping(Vec<u8>),
    /// The answer to a ping.
    Pong,
    /// The client ends the connection. Nothing comes after it.
    Close,
}

/// Why the connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks the protocol.
    Protocol,
    /// Bytes in place of a text (RFC 7395 §3.2).
    Binary,
    /// A text that is not UTF-8.
    Utf8,
    /// A message longer than allowed, or of too many pieces.
    TooLong,
}

impl Refusal {
    /// Returns the code to close with (RFC 6455 §7.4.1).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::Utf8 => 1007,
            Self::TooLong => 1009,
        }
    }
}

impl Reader {
    /// Takes from `bytes` up to what is whole, `None` when more is needed. What a frame says of its
    /// length is checked before it is read: a message has at most `bytes_max`.
    ///
    /// # Errors
    ///
    /// The reader is of no use after that.
    pub fn read(&mut self, bytes: &mut &[u8], bytes_max: usize) -> Result<Option<Heard>, Refusal> {
        loop {
            let Some(frame) = self.frame else {
                if !self.read_head(bytes, bytes_max)? {
                    return Ok(None);
                }
                continue;
            };
            let left = usize::try_from(frame.bytes.saturating_sub(frame.read));
            let (piece, rest) = bytes.split_at(left.unwrap_or(usize::MAX).min(bytes.len()));
            *bytes = rest;
            let into = if is_control(frame.kind) { &mut self.control } else { &mut self.message };
            let masks =
                frame.mask.into_iter().cycle().skip(usize::from(frame.read.to_le_bytes()[0] & 3));
            into.extend(piece.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
            let read = frame.read.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if read < frame.bytes {
                self.frame = Some(Frame { read, ..frame });
                return Ok(None);
            }
            self.frame = None;
            if let Some(heard) = self.end_frame(frame)? {
                return Ok(Some(heard));
            }
        }
    }

    /// Reads the head of a frame. Returns whether it is whole.
    fn read_head(&mut self, bytes: &mut &[u8], bytes_max: usize) -> Result<bool, Refusal> {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.head_bytes) {
                *place = *byte;
            }
            self.head_bytes = self.head_bytes.saturating_add(1);
            if let Some(frame) = self.head()? {
                self.head_bytes = 0;
                self.begin_frame(frame, bytes_max)?;
                self.frame = Some(frame);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the frame of a head that is whole.
    fn head(&self) -> Result<Option<Frame>, Refusal> {
        let [first, second, rest @ ..] = self.head;
        if self.head_bytes < 2 {
            return Ok(None);
        }
        let kind = first & 0x0F;
        let is_last = first & 0x80 != 0;
        let is_known = matches!(kind, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
        // RFC 6455 §5.1. What a client sends is masked.
        if first & 0x70 != 0 || second & 0x80 == 0 || !is_known {
            return Err(Refusal::Protocol);
        }
        let (bytes, at, least) = match (second & 0x7F, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([a, b])), 2, 126),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 8, 0x1_0000)
            }
            (short, _) => (u64::from(short), 0, 0),
        };
        if self.head_bytes < at + 6 {
            return Ok(None);
        }
        // RFC 6455 §5.2. A length is written in the shortest way.
        if bytes < least || bytes > u64::MAX >> 1 {
            return Err(Refusal::Protocol);
        }
        let mask = rest.get(at..at + 4).and_then(|mask| mask.try_into().ok()).unwrap_or_default();
        Ok(Some(Frame { kind, is_last, mask, read: 0, bytes }))
    }

    fn begin_frame(&mut self, frame: Frame, bytes_max: usize) -> Result<(), Refusal> {
        if is_control(frame.kind) {
            let is_right = frame.is_last && frame.bytes <= CONTROL_BYTES_MAX;
            return if is_right { Ok(()) } else { Err(Refusal::Protocol) };
        }
        if frame.kind == BINARY {
            return Err(Refusal::Binary);
        }
        if (frame.kind == CONTINUATION) != (self.fragments > 0) {
            return Err(Refusal::Protocol);
        }
        self.fragments = self.fragments.saturating_add(1);
        let bytes = usize::try_from(frame.bytes).unwrap_or(usize::MAX);
        let is_too_long = self.message.len().saturating_add(bytes) > bytes_max;
        if is_too_long || self.fragments > FRAGMENTS_MAX {
            return Err(Refusal::TooLong);
        }
        Ok(())
    }

    fn end_frame(&mut self, frame: Frame) -> Result<Option<Heard>, Refusal> {
        if is_control(frame.kind) {
            let control = std::mem::take(&mut self.control);
            return Ok(Some(match frame.kind {
                PING => Heard::Ping(control),
                PONG => Heard::Pong,
                _ => {
                    check_close(&control)?;
                    Heard::Close
                }
            }));
        }
        if !frame.is_last {
            return Ok(None);
        }
        self.fragments = 0;
        let message = std::mem::take(&mut self.message);
        String::from_utf8(message).map(|text| Some(Heard::Text(text))).map_err(|_| Refusal::Utf8)
    }
}

/// RFC 6455 §5.5.1, §7.4: nothing, or a code and words for it.
fn check_close(bytes: &[u8]) -> Result<(), Refusal> {
    let [a, b, why @ ..] = bytes else {
        return if bytes.is_empty() { Ok(()) } else { Err(Refusal::Protocol) };
    };
    match u16::from_be_bytes([*a, *b]) {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(Refusal::Protocol),
    }
    std::str::from_utf8(why).map(drop).map_err(|_| Refusal::Utf8)
}

const fn is_control(kind: u8) -> bool {
    kind & 0x8 != 0
}

/// Writes a text as one frame.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    write(TEXT, text.as_bytes(), out);
}

/// Asks for a sign of life.
pub fn write_ping(out: &mut Vec<u8>) {
    write(PING, &[], out);
}

/// Answers a ping that carried `bytes`.
pub fn write_pong(bytes: &[u8], out: &mut Vec<u8>) {
    write(PONG, bytes, out);
}

/// Ends the connection with a code (RFC 6455 §7.4.1).
pub fn write_close(code: u16, out: &mut Vec<u8>) {
    write(CLOSE, &code.to_be_bytes(), out);
}

fn write(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | kind);
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend(medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        write(0, bytes, &mut plain);
        let head = plain.len() - bytes.len();
        let mask = [1, 2, 3, 4];
        let mut out = vec![first, plain[1] | 0x80];
        out.extend(&plain[2..head]);
        out.extend(mask);
        out.extend(bytes.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Heard>, Refusal> {
        let mut reader = Reader::default();
        let mut heard = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while let Some(one) = reader.read(&mut piece, 70_000)? {
                heard.push(one);
            }
        }
        Ok(heard)
    }

    #[track_caller]
    fn check(frames: &[Vec<u8>], expected: Result<&[Heard], Refusal>) {
        let bytes = frames.concat();
        for piece in [1, 3, bytes.len()] {
            assert_eq!(read(&bytes, piece), expected.map(<[Heard]>::to_vec));
        }
    }

    #[test]
    fn reads_messages() {
        let long = "x".repeat(66_000);
        check(
            &[
                frame(0x81, b"<a/>"),
                frame(0x01, b"<b"),
                frame(0x89, b"there?"),
                frame(0x00, b""),
                frame(0x80, b"/>"),
                frame(0x81, &vec![b'y'; 300]),
                frame(0x81, long.as_bytes()),
                frame(0x8A, b""),
                frame(0x88, &[0x03, 0xE8]),
            ],
            Ok(&[
                Heard::Text("<a/>".into()),
                Heard::Ping(b"there?".to_vec()),
                Heard::Text("<b/>".into()),
                Heard::Text("y".repeat(300)),
                Heard::Text(long),
                Heard::Pong,
                Heard::Close,
            ]),
        );
    }

    #[test]
    fn refuses_what_breaks_the_rules() {
        let not_masked = vec![0x81, 0x01, b'x'];
        let too_long_written = vec![0x81, 0xFE, 0, 5, 0, 0, 0, 0];
        for frames in [
            vec![not_masked],
            vec![too_long_written],
            vec![frame(0xC1, b"x")],
            vec![frame(0x83, b"x")],
            vec![frame(0x80, b"x")],
            vec![frame(0x01, b"x"), frame(0x81, b"x")],
            vec![frame(0x09, b"x")],
            vec![frame(0x89, &[0; 126])],
            vec![frame(0x88, b"x")],
            vec![frame(0x88, &[0x03, 0xED])],
        ] {
            check(&frames, Err(Refusal::Protocol));
        }
        check(&[frame(0x82, b"x")], Err(Refusal::Binary));
        check(&[frame(0x81, &[0xFF])], Err(Refusal::Utf8));
    }

    #[test]
    fn bounds_what_it_holds() {
        // Refused by what the head says, before a byte of it is there.
        let mut head = vec![0x81, 0xFF];
        head.extend(70_001_u64.to_be_bytes());
        head.extend([0; 4]);
        check(&[head], Err(Refusal::TooLong));
        check(&[frame(0x01, &[b'x'; 40_000]), frame(0x80, &[b'x'; 40_000])], Err(Refusal::TooLong));
        let mut crumbs = vec![frame(0x01, b"")];
        crumbs.resize(1 + usize::from(FRAGMENTS_MAX), frame(0x00, b""));
        check(&crumbs, Err(Refusal::TooLong));
    }
}
