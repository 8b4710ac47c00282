//! The header of a stream (RFC 6120 §4.7).

use memchr::memchr;

use crate::XmlError::{NotWellFormed, Restricted, Utf8};
use crate::flatten::flatten;
use crate::names::StreamNames;
use crate::{Flat, Limits, XmlError};

/// What a peer opens a stream with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The local name of the root: `stream`.
    pub name: String,
    /// The namespace of the root.
    pub ns: String,
    /// The default namespace of what follows.
    pub default_ns: String,
    /// Who opens it.
    pub from: Option<String>,
    /// Whom it is for.
    pub to: Option<String>,
    /// The version of XMPP.
    pub version: Option<String>,
    /// The language of its texts.
    pub lang: Option<String>,
    /// The name of the stream, in answers.
    pub id: Option<String>,
    /// The namespaces that have a prefix: how dialback is offered (XEP-0220 §2.4.1).
    pub declared: Vec<String>,
}

/// Finds the end of the declaration and of the start tag, `None` when more bytes are needed.
///
/// A header is short and bounded by the caller, so it is scanned from its start each time.
pub(crate) fn end(bytes: &[u8]) -> Result<Option<usize>, XmlError> {
    let start = match declaration_end(bytes)? {
        Declaration::Incomplete => return Ok(None),
        Declaration::None => 0,
        Declaration::Ends(end) => end,
    };
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let rest = bytes.get(start..).unwrap_or_default();
    let Some(first) = rest.iter().position(|byte| !is_space(byte)) else { return Ok(None) };
    match rest.get(first..) {
        Some([b'<', b'!' | b'?', ..]) => return Err(Restricted("before the stream")),
        Some([b'<', ..]) => {}
        _ => return Err(NotWellFormed("no stream header")),
    }
    let tag = bytes.get(start + first..).unwrap_or_default();
    Ok(tag_end(tag).map(|end| start + first + end))
}

/// Returns the start tag of an element as an element of its own, with no more than some attributes
/// and what its name needs.
pub(crate) fn narrow(element: &str, attrs: &[&str]) -> Option<String> {
    let tag = element.get(..tag_end(element.as_bytes())?)?;
    let end = tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'))?;
    let mut out = tag.get(..end)?.to_owned();
    let prefix = tag.get(1..end)?.split_once(':').map(|(prefix, _)| format!("xmlns:{prefix}"));
    let mut rest = tag.get(end..)?;
    while let Some((name, after)) = rest.split_once('=') {
        let (name, after) = (name.trim(), after.trim_start());
        let quote = after.chars().next()?;
        let (value, more) = after.get(1..)?.split_once(quote)?;
        if name == "xmlns" || prefix.as_deref() == Some(name) || attrs.contains(&name) {
            out.extend([" ", name, "="]);
            out.push(quote);
            out.push_str(value);
            out.push(quote);
        }
        rest = more;
    }
    out.push_str("/>");
    Some(out)
}

/// Finds the end of the tag that `bytes` begin with.
pub(crate) fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

enum Declaration {
    None,
    Incomplete,
    Ends(usize),
}

/// Looks for `<?xml … ?>`, which may stand at the very start only.
fn declaration_end(bytes: &[u8]) -> Result<Declaration, XmlError> {
    const OPENING: &[u8] = b"<?xml";
    // UTF-16 and UTF-32 have a mark or a NUL at once. What follows the header is not looked at here.
    let has_nul = bytes.iter().take(OPENING.len()).any(|byte| *byte == 0);
    if bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) || has_nul {
        return Err(Utf8);
    }
    let seen = bytes.len().min(OPENING.len());
    if bytes.get(..seen) != OPENING.get(..seen) {
        return Ok(Declaration::None);
    }
    let Some(end) = memchr(b'>', bytes) else { return Ok(Declaration::Incomplete) };
    let text = bytes.get(OPENING.len()..end).and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or(Utf8)?.strip_suffix('?').ok_or(NotWellFormed("the declaration"))?;
    // The declaration has the form of attributes, so it is read as such.
    let element = format!("<xml{text}/>");
    let stream = StreamNames::default();
    let flat = flatten(&element, &stream, &Limits::before_login()).map(Flat::from_parts)?;
    if flat.root().attr("version").as_deref() != Some("1.0") {
        return Err(NotWellFormed("the declaration"));
    }
    match flat.root().attr("encoding") {
        Some(encoding) if !encoding.eq_ignore_ascii_case("utf-8") => Err(Utf8),
        _ => Ok(Declaration::Ends(end + 1)),
    }
}

/// Reads a declaration and a start tag.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<(Header, StreamNames), XmlError> {
    let start = match declaration_end(bytes)? {
        Declaration::Ends(end) => end,
        Declaration::None | Declaration::Incomplete => 0,
    };
    let tag = std::str::from_utf8(bytes.get(start..).unwrap_or_default()).map_err(|_| Utf8)?;
    let tag = tag.trim_start();
    let open = tag.strip_suffix('>').ok_or(NotWellFormed("no stream header"))?;
    if open.ends_with('/') {
        return Err(NotWellFormed("a stream that ends at once"));
    }
    let flattened = flatten(&format!("{open}/>"), &StreamNames::default(), limits)?;
    let mut names = StreamNames::default();
    for (prefix, ns) in flattened.root_names.iter().cloned() {
        if prefix.is_empty() { names.default = ns } else { names.prefixes.push((prefix, ns)) }
    }
    let flat = Flat::from_parts(flattened);
    let root = flat.root();
    let attr = |name| root.attr(name).map(std::borrow::Cow::into_owned);
    let lang = root.attr_in(crate::flat::xml_ns(), "lang").map(std::borrow::Cow::into_owned);
    let header = Header {
        name: root.name().to_owned(),
        ns: root.ns().to_owned(),
        default_ns: names.default.clone(),
        from: attr("from"),
        to: attr("to"),
        version: attr("version"),
        lang,
        id: attr("id"),
        declared: names.prefixes.iter().map(|(_, ns)| ns.clone()).collect(),
    };
    Ok((header, names))
}
