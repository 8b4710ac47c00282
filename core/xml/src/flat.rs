//! An element as it came, with a table of what stands where.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::flatten::{Flattened, flatten};
use crate::frame::{Frame, Framer};
use crate::names::StreamNames;
use crate::{Limits, XmlError, check};

/// Words in front: bytes of the element, nodes, attributes, namespaces.
pub(crate) const HEAD_WORDS: usize = 4;
/// Words of a node.
pub(crate) const NODE_WORDS: usize = 10;
/// Words of an attribute.
pub(crate) const ATTR_WORDS: usize = 5;
/// Words of a namespace.
pub(crate) const NS_WORDS: usize = 2;
/// No further node.
pub(crate) const NONE: u32 = u32::MAX;

const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// One element, checked. Cloning copies nothing.
#[derive(Clone)]
pub struct Flat(Arc<Parts>);

struct Parts {
    text: String,
    words: Vec<u32>,
}

/// A [`Flat`] that somebody else keeps: a text and a table of offsets.
#[derive(Clone, Copy)]
pub struct FlatRef<'a> {
    text: &'a str,
    words: &'a [u32],
}

/// An element inside a [`Flat`].
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    flat: FlatRef<'a>,
    index: u32,
}

impl fmt::Debug for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

/// Shows the name of the element and its size: what people write belongs into no log.
impl fmt::Debug for FlatRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}> {} B", self.root().name(), self.root().raw().len())
    }
}

impl Flat {
    /// Reads exactly one element whose default namespace is `default_ns` unless it says otherwise.
    ///
    /// # Errors
    ///
    /// Anything but one well-formed element of restricted XML within [`Limits::client`].
    pub fn parse(text: &str, default_ns: &str) -> Result<Self, XmlError> {
        let stream = StreamNames::of_default(default_ns);
        flatten(text, &stream, &Limits::client()).map(Self::from_parts)
    }

    /// Reads what we wrote ourselves, which may be longer: a whole roster, say.
    ///
    /// # Errors
    ///
    /// As [`Flat::parse`], within [`Limits::ours`].
    pub fn parse_ours(text: &str, default_ns: &str) -> Result<Self, XmlError> {
        let stream = StreamNames::of_default(default_ns);
        flatten(text, &stream, &Limits::ours()).map(Self::from_parts)
    }

    /// Reads exactly one element that came as a message of its own, within `limits` and as strictly as
    /// a [`crate::Reader`] reads a stream.
    ///
    /// # Errors
    ///
    /// As [`Flat::parse`].
    pub fn parse_message(text: &str, default_ns: &str, limits: &Limits) -> Result<Self, XmlError> {
        match Framer::new().scan(text.as_bytes(), limits)? {
            Frame::Stanza { start: 0, end } if end == text.len() => {}
            Frame::More => return Err(XmlError::Incomplete),
            _ => return Err(XmlError::NotWellFormed("not one element")),
        }
        flatten(text, &StreamNames::of_default(default_ns), limits).map(Self::from_parts)
    }

    pub(crate) fn from_parts(parts: Flattened) -> Self {
        Self(Arc::new(Parts { text: parts.text, words: parts.words }))
    }

    /// Borrows it.
    #[must_use]
    pub fn as_ref(&self) -> FlatRef<'_> {
        FlatRef { text: &self.0.text, words: &self.0.words }
    }

    /// Returns the element.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        self.as_ref().root()
    }

    /// Returns the element as it came.
    #[must_use]
    pub fn raw(&self) -> &str {
        self.root().raw()
    }

    /// Returns how many bytes it takes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an element is never empty")]
    pub fn len(&self) -> usize {
        self.0.text.len() + self.0.words.len() * 4
    }
}

impl<'a> FlatRef<'a> {
    /// Puts together what crossed a boundary.
    ///
    /// Offsets that are wrong show as empty texts and missing children, nothing worse.
    #[must_use]
    pub fn from_parts(text: &'a str, words: &'a [u32]) -> Self {
        Self { text, words }
    }

    /// Returns the element and what stands behind it.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.text
    }

    /// Returns the table.
    #[must_use]
    pub fn words(self) -> &'a [u32] {
        self.words
    }

    /// Returns the element.
    #[must_use]
    pub fn root(self) -> Node<'a> {
        Node { flat: self, index: 0 }
    }

    fn word(self, at: usize) -> u32 {
        self.words.get(at).copied().unwrap_or(0)
    }

    fn place(self, at: usize) -> usize {
        usize::try_from(self.word(at)).unwrap_or(usize::MAX)
    }

    fn cut(self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or("")
    }

    fn count(self, which: usize) -> usize {
        self.place(which).min(self.words.len())
    }

    fn ns(self, index: u32) -> &'a str {
        let tables = HEAD_WORDS + self.count(1) * NODE_WORDS + self.count(2) * ATTR_WORDS;
        let at = tables + usize::try_from(index).unwrap_or(0) * NS_WORDS;
        let start = self.place(at);
        self.cut(start, start.saturating_add(self.place(at + 1)))
    }
}

impl<'a> Node<'a> {
    fn at(self, word: usize) -> usize {
        HEAD_WORDS + usize::try_from(self.index).unwrap_or(0) * NODE_WORDS + word
    }

    fn place(self, word: usize) -> usize {
        self.flat.place(self.at(word))
    }

    fn kind(self) -> u32 {
        self.flat.word(self.at(9))
    }

    fn is_there(self) -> bool {
        usize::try_from(self.index).is_ok_and(|index| index < self.flat.count(1))
    }

    /// Returns the local part of the name.
    #[must_use]
    pub fn name(self) -> &'a str {
        let (start, length) = (self.place(4), self.flat.word(self.at(7)) >> 16);
        self.flat.cut(start, start.saturating_add(usize::try_from(length).unwrap_or(0)))
    }

    /// Returns the namespace.
    #[must_use]
    pub fn ns(self) -> &'a str {
        self.flat.ns(self.flat.word(self.at(8)) >> 16)
    }

    /// Tells whether it has this namespace and name.
    #[must_use]
    pub fn is(self, ns: &str, name: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    fn attr_tables(self) -> impl Iterator<Item = usize> + use<'a> {
        let first = self.place(6);
        let count = usize::try_from(self.flat.word(self.at(7)) & 0xFFFF).unwrap_or(0);
        let table = HEAD_WORDS + self.flat.count(1) * NODE_WORDS;
        let count = count.min(self.flat.count(2).saturating_sub(first));
        (first..first.saturating_add(count)).map(move |index| table + index * ATTR_WORDS)
    }

    /// Returns the attributes: namespace (mostly empty), name and value.
    pub fn attrs(self) -> impl Iterator<Item = (&'a str, &'a str, Cow<'a, str>)> + use<'a> {
        let flat = self.flat;
        self.attr_tables().map(move |at| {
            let (name, value) = (flat.place(at), flat.place(at + 1));
            let packed = flat.word(at + 3);
            let name_len = usize::try_from(packed >> 16).unwrap_or(0);
            let raw = flat.cut(value, value.saturating_add(flat.place(at + 2)));
            let value =
                if flat.word(at + 4) == 0 { Cow::Borrowed(raw) } else { unescape(raw, true) };
            (flat.ns(packed & 0xFFFF), flat.cut(name, name.saturating_add(name_len)), value)
        })
    }

    /// Returns an attribute without namespace.
    #[must_use]
    pub fn attr(self, name: &str) -> Option<Cow<'a, str>> {
        self.attr_in("", name)
    }

    /// Returns an attribute with a namespace.
    #[must_use]
    pub fn attr_in(self, ns: &str, name: &str) -> Option<Cow<'a, str>> {
        self.attrs().find(|(its_ns, its_name, _)| *its_name == name && *its_ns == ns).map(|a| a.2)
    }

    /// Returns elements and texts inside, in order.
    fn nodes(self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let has_content = self.place(2) < self.place(3);
        let mut next = if has_content { self.index.checked_add(1) } else { None };
        let flat = self.flat;
        std::iter::from_fn(move || {
            let index = next?;
            let node = Node { flat, index };
            if !node.is_there() {
                return None;
            }
            // A table that was tampered with must not send us in circles.
            next = Some(flat.word(node.at(5))).filter(|next| *next > index && *next != NONE);
            Some(node)
        })
    }

    /// Returns the elements inside.
    #[must_use]
    pub fn children(self) -> Children<'a> {
        let first = if self.place(2) < self.place(3) { self.index.checked_add(1) } else { None };
        Children { flat: self.flat, next: first }
    }

    /// Finds an element inside.
    #[must_use]
    pub fn child(self, ns: &str, name: &str) -> Option<Self> {
        self.children().find(|child| child.is(ns, name))
    }

    /// Tells whether there is such an element inside.
    #[must_use]
    pub fn has_child(self, ns: &str, name: &str) -> bool {
        self.child(ns, name).is_some()
    }

    /// Returns the text of an element inside.
    #[must_use]
    pub fn child_text(self, ns: &str, name: &str) -> Option<Cow<'a, str>> {
        self.child(ns, name).map(Node::text)
    }

    /// Returns what stands inside, in order.
    pub(crate) fn parts(self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        self.nodes().map(|node| match node.kind() {
            0 => Part::Element(node),
            1 => Part::Text(Cow::Borrowed(node.inner())),
            2 => Part::Text(unescape(node.inner(), false)),
            _ => Part::Text(lines(node.inner())),
        })
    }

    /// Returns the text directly inside, references resolved.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        let mut whole = Cow::Borrowed("");
        for part in self.parts() {
            let Part::Text(text) = part else { continue };
            if whole.is_empty() {
                whole = text;
            } else {
                whole.to_mut().push_str(&text);
            }
        }
        whole
    }

    /// Returns the element as it came.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.flat.cut(self.place(0), self.place(1))
    }

    /// Returns what stands inside, as it came.
    #[must_use]
    pub fn inner(self) -> &'a str {
        self.flat.cut(self.place(2), self.place(3))
    }

    /// Returns the start tag as it came, with its brackets.
    #[must_use]
    pub fn start_tag(self) -> &'a str {
        self.flat.cut(self.place(0), self.place(2))
    }

    /// Tells whether the start tag may declare a namespace; if not, it does not.
    #[must_use]
    pub fn may_declare(self) -> bool {
        memchr::memmem::find(self.start_tag().as_bytes(), b"xmlns").is_some()
    }

    /// Returns the declarations of prefixes and the attributes of the start tag as they came, each
    /// with a space in front, without `xml:lang` and without the attributes named.
    #[must_use]
    pub fn extra_root(self, skip: &[&str]) -> String {
        let mut out = String::new();
        let is_skipped = |(ns, name, _): (&str, &str, _)| {
            (ns.is_empty() && skip.contains(&name)) || (ns == XML && name == "lang")
        };
        if !self.may_declare() && self.attrs().all(is_skipped) {
            return out;
        }
        let tag = self.start_tag();
        let mut rest = tag.find(|c: char| c.is_ascii_whitespace()).and_then(|at| tag.get(at..));
        while let Some(text) = rest {
            let text = text.trim_start();
            let Some((name, after)) = text.split_once('=') else { break };
            let name = name.trim_end();
            let after = after.trim_start();
            let Some(quote) = after.chars().next() else { break };
            let Some((value, more)) = after.get(1..).and_then(|after| after.split_once(quote))
            else {
                break;
            };
            if name != "xmlns" && name != "xml:lang" && !skip.contains(&name) {
                out.extend([" ", name, "="]);
                out.push(quote);
                out.push_str(value);
                out.push(quote);
            }
            rest = Some(more);
        }
        out
    }

    /// Returns the prefix that the name was written with, empty when none was.
    #[must_use]
    pub fn prefix(self) -> &'a str {
        let start = self.place(0).saturating_add(1);
        self.flat.cut(start, self.place(4)).trim_end_matches(':')
    }
}

/// An element or a text.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Element(Node<'a>),
    Text(Cow<'a, str>),
}

/// The elements inside another.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    flat: FlatRef<'a>,
    next: Option<u32>,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let index = self.next?;
            let node = Node { flat: self.flat, index };
            if !node.is_there() {
                return None;
            }
            let following = self.flat.word(node.at(5));
            self.next = Some(following).filter(|next| *next > index && *next != NONE);
            if node.kind() == 0 {
                return Some(node);
            }
        }
    }
}

/// Resolves references; in attributes, white space becomes spaces as XML says.
fn unescape(raw: &str, is_attr: bool) -> Cow<'_, str> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        out.push_str(rest.get(..at).unwrap_or(""));
        let tail = rest.get(at..).unwrap_or("");
        let skip = match tail.as_bytes() {
            [b'&', ..] => match check::reference(tail.get(1..).unwrap_or("")) {
                Ok((found, length)) => {
                    out.push(found);
                    length + 1
                }
                Err(_) => {
                    out.push('&');
                    1
                }
            },
            [b'\r', b'\n', ..] => {
                out.push(if is_attr { ' ' } else { '\n' });
                2
            }
            [b'\r', ..] => {
                out.push(if is_attr { ' ' } else { '\n' });
                1
            }
            [space, ..] => {
                out.push(if is_attr { ' ' } else { char::from(*space) });
                1
            }
            [] => break,
        };
        rest = tail.get(skip..).unwrap_or("");
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Ends lines as XML says.
fn lines(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}

/// The namespace that `xml:lang` stands in.
pub(crate) const fn xml_ns() -> &'static str {
    XML
}
