//! Frames of WebSocket, and the stream inside them: in pieces as at once, never more than is allowed,
//! the same as somebody reads who has all the bytes, and nothing of a client that has not logged in.

#![no_main]

use std::sync::Arc;

use crypto::Secret;
use libfuzzer_sys::fuzz_target;
use stream::websocket::{Heard, Reader, Refusal, write_ping, write_pong, write_text};
use stream::{Bound, Facts, Settings, Stream, StreamEvent};
use xml::{Flat, Limits};

/// The longest message.
const BYTES_MAX: usize = 1000;

/// What a reader said, and why it ended.
type Read = (Vec<Heard>, Option<Refusal>);

fn read(bytes: &[u8], piece: usize) -> Read {
    let (mut reader, mut heard) = (Reader::default(), Vec::new());
    for mut piece in bytes.chunks(piece) {
        loop {
            match reader.read(&mut piece, BYTES_MAX) {
                Ok(Some(one)) => {
                    match &one {
                        Heard::Text(text) => assert!(text.len() <= BYTES_MAX),
                        Heard::Ping(word) => assert!(word.len() <= 125),
                        Heard::Pong | Heard::Close => {}
                    }
                    heard.push(one);
                    if heard.last() == Some(&Heard::Close) {
                        return (heard, None);
                    }
                }
                Ok(None) => break,
                Err(refusal) => return (heard, Some(refusal)),
            }
        }
        assert!(piece.is_empty(), "all is taken");
    }
    (heard, None)
}

/// Reads frames as RFC 6455 §5.2 writes them down, with all the bytes at hand. Returns the texts up to what is
/// not right or not whole.
fn texts(mut bytes: &[u8]) -> Vec<String> {
    let (mut texts, mut message, mut has_begun) = (Vec::new(), Vec::new(), false);
    loop {
        let [first, second, rest @ ..] = bytes else { return texts };
        let (length, rest) = match second & 0x7F {
            126 if rest.len() >= 2 => (u64::from(rest[0]) << 8 | u64::from(rest[1]), &rest[2..]),
            127 if rest.len() >= 8 => {
                (rest[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), &rest[8..])
            }
            126 | 127 => return texts,
            short => (u64::from(short), rest),
        };
        if second & 0x80 == 0 || first & 0x70 != 0 || rest.len() < 4 {
            return texts;
        }
        let (mask, rest) = rest.split_at(4);
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= rest.len())
        else {
            return texts;
        };
        let (body, rest) = rest.split_at(length);
        bytes = rest;
        let body: Vec<u8> = body.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        match (first & 0x0F, has_begun) {
            (0x9 | 0xA, _) => continue,
            (0x1, false) | (0x0, true) => message.extend(body),
            _ => return texts,
        }
        has_begun = first & 0x80 == 0;
        if !has_begun {
            let Ok(text) = String::from_utf8(std::mem::take(&mut message)) else {
                return texts;
            };
            texts.push(text);
        }
    }
}

/// Writes texts as a client does that cuts them where it likes, with pings and pongs in between.
fn frames(text: &str, cuts: &[u8]) -> (Vec<u8>, Vec<Heard>) {
    let (mut out, mut heard, mut rest, mut is_first) = (Vec::new(), Vec::new(), text.as_bytes(), true);
    for cut in cuts {
        let mask = [*cut, 3, cut.wrapping_mul(7), 0];
        let (piece, left) = rest.split_at(usize::from(cut & 0x3F).min(rest.len()));
        rest = left;
        frame(u8::from(is_first), piece, mask, &mut out);
        is_first = false;
        match cut >> 6 {
            0 => {
                frame(0x89, &[*cut], mask, &mut out);
                heard.push(Heard::Ping(vec![*cut]));
            }
            1 => {
                frame(0x8A, b"", mask, &mut out);
                heard.push(Heard::Pong);
            }
            _ => {}
        }
    }
    frame(if is_first { 0x81 } else { 0x80 }, rest, [0; 4], &mut out);
    heard.push(Heard::Text(text.to_owned()));
    (out, heard)
}

/// Turns what a server writes into what a client does.
fn frame(first: u8, bytes: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    let mut plain = Vec::new();
    write_text(std::str::from_utf8(&vec![b'x'; bytes.len()]).expect("text"), &mut plain);
    let head = plain.len() - bytes.len();
    out.extend([first, plain[1] | 0x80]);
    out.extend(&plain[2..head]);
    out.extend(mask);
    out.extend(bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
}

/// Lets a client say these texts, whose password is always right.
fn talk(texts: &[String]) {
    let settings = Settings {
        domain: "a.example".into(),
        stanza_bytes: 10_000,
        plain_allowed: true,
        iterations: 4096,
        resume_seconds: 60,
        salt_secret: Secret::new(vec![1; 32]),
        more_features: vec!["<sub xmlns='urn:xmpp:features:pre-approval'/>".into()],
        takes_tokens: false,
        early_features: Vec::new(),
        inline_features: Vec::new(),
    };
    let mut stream = Stream::of_messages(Arc::new(settings), Facts::default(), [1; 32]);
    for text in texts {
        stream.feed_message(text.clone());
        while let Some(event) = stream.poll() {
            match event {
                StreamEvent::Account { .. } => stream.answer_account(None),
                StreamEvent::Password { .. } => stream.answer_password(Some(Secret::new(vec![2; 32]))),
                StreamEvent::Offer { .. } => stream.answer_offer(None),
                StreamEvent::Bind { .. } => {
                    let jid = "ana@a.example/r".parse().expect("an address");
                    stream.answer_bind(Ok(jid), Bound::default());
                }
                StreamEvent::Enable { .. } => stream.answer_enable(Some("token")),
                StreamEvent::Resume { .. } => stream.answer_resume(None),
                StreamEvent::Upgrade { .. } => stream.answer_upgrade(),
                StreamEvent::Stanza(_) | StreamEvent::Malformed(..) => {
                    assert!(stream.session().is_some(), "a stanza of a stranger");
                }
                _ => {}
            }
        }
        let mut out = Vec::new();
        while let Some(message) = stream.next_message() {
            // RFC 7395 §3.3.3. Each is whole by itself.
            Flat::parse_message(message.text(), "", &Limits::ours()).expect("it can be read");
            write_text(message.text(), &mut out);
        }
        assert!(out.len() < 1 << 20, "one message has many answers");
        if stream.is_over() {
            assert!(stream.poll().is_none());
            return;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [size, how, rest @ ..] = bytes else { return };
    let piece = usize::from(*size).max(1);
    // A text that is cut into frames comes out whole.
    if how & 1 == 1 {
        let (cuts, text) = rest.split_at(usize::from(*how >> 4).min(rest.len()));
        let text = String::from_utf8_lossy(text);
        let text: String = text.chars().take(BYTES_MAX / 4).collect();
        let (bytes, heard) = frames(&text, cuts);
        assert_eq!(read(&bytes, piece), (heard, None));
        let said: Vec<String> = text.split('\n').map(str::to_owned).collect();
        return talk(&said);
    }
    // Bytes are read the same however they come.
    let at_once = read(rest, rest.len().max(1));
    assert_eq!(read(rest, piece), at_once);
    let (heard, refusal) = at_once;
    let said: Vec<String> = heard
        .iter()
        .filter_map(|one| if let Heard::Text(text) = one { Some(text.clone()) } else { None })
        .collect();
    let expected = texts(rest);
    // What is refused for its length or its end only we refuse.
    assert!(expected.starts_with(&said), "{said:?} of {expected:?}");
    if refusal.is_none() && !heard.contains(&Heard::Close) {
        assert_eq!(said, expected);
    }
    talk(&said);
    let mut out = Vec::new();
    for one in &heard {
        if let Heard::Ping(word) = one {
            write_pong(word, &mut out);
        }
    }
    write_ping(&mut out);
});
