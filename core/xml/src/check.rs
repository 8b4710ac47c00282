//! Which characters may stand where.

use memchr::{memchr, memchr_iter, memmem};

use crate::XmlError;
use crate::XmlError::{Limit, NotWellFormed, Restricted};

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 1024;
/// The longest name of a namespace, in bytes. An element that is written anew says it at each place,
/// where a prefix may have taken two bytes.
const NAMESPACE_BYTES_MAX: usize = 256;
/// The longest reference, `&#x10FFFF;` with zeros in front, in bytes.
const REFERENCE_BYTES_MAX: usize = 16;

/// Checks the characters of a whole element once: U+FFFE and U+FFFF are no XML.
pub(crate) fn no_noncharacters(text: &str) -> Result<(), XmlError> {
    let bytes = text.as_bytes();
    for at in memchr_iter(0xEF, bytes) {
        let is_bad = matches!(bytes.get(at..at + 3), Some([0xEF, 0xBF, 0xBE | 0xBF]));
        if is_bad {
            return Err(NotWellFormed("a noncharacter"));
        }
    }
    Ok(())
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')
}

/// Checks text between tags and says whether it holds references or carriage returns.
pub(crate) fn text(text: &str) -> Result<bool, XmlError> {
    let is_escaped = content(text)?;
    if memchr(b']', text.as_bytes()).is_some() && text.contains("]]>") {
        return Err(NotWellFormed("]]> in text"));
    }
    Ok(is_escaped)
}

/// Checks an attribute value and says whether it holds references or white space to normalise.
pub(crate) fn value(text: &str) -> Result<bool, XmlError> {
    if memchr(b'<', text.as_bytes()).is_some() {
        return Err(NotWellFormed("< in an attribute"));
    }
    let is_escaped = content(text)?;
    Ok(is_escaped || text.bytes().any(|byte| byte < 0x20))
}

/// Checks what stands inside `<![CDATA[…]]>`.
pub(crate) fn cdata(text: &str) -> Result<(), XmlError> {
    if text.bytes().any(is_control) { Err(NotWellFormed("a control character")) } else { Ok(()) }
}

fn content(text: &str) -> Result<bool, XmlError> {
    let (mut is_bad, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        is_bad |= is_control(byte);
        is_escaped |= byte == b'&' || byte == b'\r';
    }
    if is_bad {
        return Err(NotWellFormed("a control character"));
    }
    if is_escaped {
        for at in memchr_iter(b'&', text.as_bytes()) {
            reference(text.get(at + 1..).unwrap_or(""))?;
        }
    }
    Ok(is_escaped)
}

/// Reads the reference that follows `&`: its character and its length with the `;`.
pub(crate) fn reference(text: &str) -> Result<(char, usize), XmlError> {
    let bytes = text.as_bytes();
    let short = bytes.get(..bytes.len().min(REFERENCE_BYTES_MAX)).unwrap_or(bytes);
    let end = memchr(b';', short).ok_or(NotWellFormed("an open reference"))?;
    let name = text.get(..end).ok_or(NotWellFormed("an open reference"))?;
    let found = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => match name.strip_prefix('#') {
            Some(number) => numbered(number)?,
            None => return Err(Restricted("an entity")),
        },
    };
    Ok((found, end + 1))
}

fn numbered(number: &str) -> Result<char, XmlError> {
    const BAD: XmlError = NotWellFormed("a character reference");
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(BAD);
    }
    let code = u32::from_str_radix(digits, radix).map_err(|_| BAD)?;
    let is_char =
        matches!(code, 9 | 10 | 13 | 0x20..=0xD7FF | 0xE000..=0xFFFD | 0x1_0000..=0x10_FFFF);
    char::from_u32(code).filter(|_| is_char).ok_or(BAD)
}

/// Reads a name without a colon and returns its length.
pub(crate) fn name(text: &str) -> Result<usize, XmlError> {
    const BAD: XmlError = NotWellFormed("a name");
    let bytes = text.as_bytes();
    let is_part = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || *byte >= 0x80
    };
    let end = bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len());
    let name = text.get(..end).ok_or(BAD)?;
    if end > NAME_BYTES_MAX {
        return Err(Limit("a name"));
    }
    let first = name.chars().next().ok_or(BAD)?;
    if first.is_ascii() && !first.is_ascii_alphabetic() && first != '_' {
        return Err(BAD);
    }
    let is_known = name.is_ascii() || (is_name_start(first) && name.chars().all(is_name_char));
    if is_known { Ok(end) } else { Err(Restricted("a name")) }
}

/// Letters of which every edition of XML says the same. The fifth allows more, and readers of the
/// fourth, which are many, lose their stream over them.
fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | 'a'..='z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{131}'
        | '\u{14A}'..='\u{17E}' | '\u{180}'..='\u{1C3}' | '\u{3A3}'..='\u{3CE}'
        | '\u{40E}'..='\u{44F}' | '\u{5D0}'..='\u{5EA}' | '\u{621}'..='\u{63A}'
        | '\u{905}'..='\u{939}' | '\u{E01}'..='\u{E2E}' | '\u{1E00}'..='\u{1E9B}'
        | '\u{1EA0}'..='\u{1EF9}' | '\u{3041}'..='\u{3094}' | '\u{30A1}'..='\u{30FA}'
        | '\u{4E00}'..='\u{9FA5}' | '\u{AC00}'..='\u{D7A3}')
}

fn is_name_char(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{345}')
}

/// Checks the name of a namespace: characters of a URI only.
///
/// Some readers join namespace and name with `}`, a space or another sign that they think cannot
/// occur, and lose their stream when it does.
pub(crate) fn namespace(text: &str) -> Result<(), XmlError> {
    let is_uri = |byte: u8| {
        byte.is_ascii_alphanumeric() || memchr(byte, b"-._~:/?#[]@!$'()*+,;=%").is_some()
    };
    if text.len() > NAMESPACE_BYTES_MAX {
        return Err(Limit("the name of a namespace"));
    }
    if text.bytes().all(is_uri) { Ok(()) } else { Err(Restricted("the name of a namespace")) }
}

/// Finds the end of `<![CDATA[…]]>`, given what follows the opening.
pub(crate) fn cdata_end(text: &str) -> Option<usize> {
    memmem::find(text.as_bytes(), b"]]>")
}
