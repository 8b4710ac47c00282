//! One pass over one element: every check, and the table of what stands where.

use crate::XmlError::{BadNamespacePrefix, Incomplete, Limit, NotWellFormed, Restricted};
use crate::flat::{ATTR_WORDS, HEAD_WORDS, NODE_WORDS, NONE, NS_WORDS};
use crate::names::{Names, StreamNames};
use crate::{Limits, XmlError, check};

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// What came of an element.
#[derive(Debug, Default)]
pub(crate) struct Flattened {
    /// The element, then the names of namespaces that it does not declare itself.
    pub(crate) text: String,
    pub(crate) words: Vec<u32>,
    /// Whether its text means something else away from its stream: it uses a prefix that only the
    /// stream declares, or names a namespace that is read as another.
    pub(crate) needs_stream: bool,
    /// What its root declares: prefix (empty for the default) and namespace.
    pub(crate) root_names: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    start: usize,
    end: usize,
    inner: usize,
    inner_end: usize,
    name: usize,
    name_len: usize,
    next: u32,
    attr: usize,
    attrs: usize,
    ns: usize,
    depth: usize,
    kind: u32,
}

#[derive(Clone, Copy, Debug)]
struct Attr {
    name: usize,
    name_len: usize,
    value: usize,
    value_len: usize,
    prefix: (usize, usize),
    ns: usize,
    is_escaped: bool,
}

#[derive(Clone, Copy, Debug)]
struct Decl<'a> {
    prefix: &'a str,
    ns: usize,
    depth: usize,
    of_stream: bool,
}

/// A qualified name: where its prefix (empty when there is none) and its local part stand.
type Name = ((usize, usize), (usize, usize));

struct Pass<'a> {
    text: &'a str,
    at: usize,
    limits: &'a Limits,
    stream: &'a StreamNames,
    nodes: Vec<Node>,
    attrs: Vec<Attr>,
    names: Names<'a>,
    decls: Vec<Decl<'a>>,
    open: Vec<usize>,
    /// The last node at each depth, to link siblings.
    last: Vec<Option<usize>>,
    needs_stream: bool,
}

/// Index of "no namespace" for attributes.
const NO_NS: usize = 0;
/// Index of the namespace of `xml:`.
const XML_NS: usize = 1;

/// Reads exactly one element.
pub(crate) fn flatten(
    text: &str,
    stream: &StreamNames,
    limits: &Limits,
) -> Result<Flattened, XmlError> {
    check::no_noncharacters(text)?;
    if text.len() > limits.stanza_bytes {
        return Err(Limit("a stanza"));
    }
    let mut pass = Pass {
        text,
        at: 0,
        limits,
        stream,
        nodes: Vec::with_capacity(8),
        attrs: Vec::with_capacity(8),
        names: Names::new(&["", XML]),
        decls: Vec::with_capacity(4),
        open: Vec::new(),
        last: Vec::new(),
        needs_stream: false,
    };
    pass.declare_stream();
    let root_names = pass.run()?;
    Ok(pass.finish(root_names))
}

impl<'a> Pass<'a> {
    fn declare_stream(&mut self) {
        let stream = self.stream;
        let all = stream.prefixes.iter().map(|(prefix, ns)| (prefix.as_str(), ns.as_str()));
        for (prefix, ns) in std::iter::once(("", stream.default.as_str())).chain(all) {
            let ns = self.names.intern(stream.read(ns));
            self.decls.push(Decl { prefix, ns, depth: 0, of_stream: true });
        }
    }

    fn run(&mut self) -> Result<Vec<(String, String)>, XmlError> {
        let mut root_names = Vec::new();
        loop {
            let rest = self.rest();
            let is_inside = !self.open.is_empty();
            match rest.as_bytes() {
                [] => return Err(Incomplete),
                [b'<', b'/', ..] => self.end_tag()?,
                [b'<', b'!', ..] if is_inside => self.cdata()?,
                [b'<', b'!', ..] => return Err(Restricted("a comment or document type")),
                [b'<', b'?', ..] => return Err(Restricted("a processing instruction")),
                [b'<', ..] => {
                    let decls = self.decls.len();
                    self.start_tag()?;
                    if self.nodes.len() == 1 {
                        let own = self.decls.iter().skip(decls);
                        root_names = own.map(|decl| self.said(decl)).collect();
                        if self.open.is_empty() {
                            self.undeclare();
                        }
                    }
                }
                _ if is_inside => self.text()?,
                _ => return Err(NotWellFormed("text outside the element")),
            }
            if self.open.is_empty() {
                return if self.at == self.text.len() {
                    Ok(root_names)
                } else {
                    Err(NotWellFormed("something behind the element"))
                };
            }
        }
    }

    fn said(&self, decl: &Decl<'_>) -> (String, String) {
        (decl.prefix.to_owned(), self.names.all.get(decl.ns).copied().unwrap_or("").to_owned())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_space(&mut self) -> bool {
        let rest = self.rest().as_bytes();
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let spaces = rest.iter().position(|byte| !is_space(byte)).unwrap_or(rest.len());
        self.at += spaces;
        spaces > 0
    }

    fn push(&mut self, node: Node) -> Result<usize, XmlError> {
        if self.nodes.len() >= self.limits.nodes {
            return Err(Limit("elements"));
        }
        let index = self.nodes.len();
        let depth = node.depth;
        if self.last.len() <= depth {
            self.last.resize(depth + 1, None);
        }
        self.last.truncate(depth + 1);
        if let Some(slot) = self.last.last_mut() {
            let before = slot.replace(index);
            let next = u32::try_from(index).unwrap_or(NONE);
            if let Some(before) = before.and_then(|before| self.nodes.get_mut(before)) {
                before.next = next;
            }
        }
        self.nodes.push(node);
        Ok(index)
    }

    fn leaf(&mut self, start: usize, inner: (usize, usize), kind: u32) -> Result<(), XmlError> {
        let node = Node {
            start,
            end: self.at,
            inner: inner.0,
            inner_end: inner.1,
            name: 0,
            name_len: 0,
            next: NONE,
            attr: 0,
            attrs: 0,
            ns: NO_NS,
            depth: self.open.len(),
            kind,
        };
        self.push(node).map(drop)
    }

    fn text(&mut self) -> Result<(), XmlError> {
        let rest = self.rest();
        let length = memchr::memchr(b'<', rest.as_bytes()).ok_or(Incomplete)?;
        let is_escaped = check::text(rest.get(..length).unwrap_or(""))?;
        let start = self.at;
        self.at += length;
        self.leaf(start, (start, self.at), if is_escaped { 2 } else { 1 })
    }

    fn cdata(&mut self) -> Result<(), XmlError> {
        const OPENING: &str = "<![CDATA[";
        let start = self.at;
        let inside =
            self.rest().strip_prefix(OPENING).ok_or(Restricted("a comment or document type"))?;
        let length = check::cdata_end(inside).ok_or(Incomplete)?;
        check::cdata(inside.get(..length).unwrap_or(""))?;
        let inner = start + OPENING.len();
        self.at = inner + length + 3;
        self.leaf(start, (inner, inner + length), 3)
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        const BAD: XmlError = NotWellFormed("an end tag");
        let index = self.open.pop().ok_or(BAD)?;
        let start = self.at;
        let node = self.nodes.get(index).copied().ok_or(BAD)?;
        // The whole name of the start tag, prefix included.
        let name = self.text.get(node.start + 1..node.name + node.name_len).ok_or(BAD)?;
        let rest = self.text.get(start + 2..).and_then(|rest| rest.strip_prefix(name));
        rest.ok_or(NotWellFormed("an end tag that does not match"))?;
        self.at = start + 2 + name.len();
        self.skip_space();
        if !self.rest().starts_with('>') {
            return Err(BAD);
        }
        self.at += 1;
        let end = self.at;
        if let Some(node) = self.nodes.get_mut(index) {
            node.inner_end = start;
            node.end = end;
        }
        self.undeclare();
        Ok(())
    }

    /// Forgets what was declared inside the element that ended.
    fn undeclare(&mut self) {
        let depth = self.open.len();
        while self.decls.pop_if(|decl| !decl.of_stream && decl.depth > depth).is_some() {}
    }

    /// Reads a name with or without prefix.
    fn name(&mut self) -> Result<Name, XmlError> {
        let start = self.at;
        self.at += check::name(self.rest())?;
        if !self.rest().starts_with(':') {
            return Ok(((start, start), (start, self.at)));
        }
        let prefix = (start, self.at);
        self.at += 1;
        let local = self.at;
        self.at += check::name(self.rest())?;
        if self.rest().starts_with(':') {
            return Err(NotWellFormed("two colons in a name"));
        }
        Ok((prefix, (local, self.at)))
    }

    fn cut(&self, range: (usize, usize)) -> &'a str {
        self.text.get(range.0..range.1).unwrap_or("")
    }

    fn start_tag(&mut self) -> Result<(), XmlError> {
        let start = self.at;
        self.at += 1;
        let (prefix, local) = self.name()?;
        let attr = self.attrs.len();
        let is_empty = loop {
            let is_spaced = self.skip_space();
            match self.rest().as_bytes() {
                [] | [b'/'] => return Err(Incomplete),
                [b'>', ..] => {
                    self.at += 1;
                    break false;
                }
                [b'/', b'>', ..] => {
                    self.at += 2;
                    break true;
                }
                _ if !is_spaced => return Err(NotWellFormed("no space before an attribute")),
                _ => self.attribute(attr)?,
            }
        };
        self.resolve(attr)?;
        let ns = match self.cut(prefix) {
            "" => self.default_ns(),
            prefix => self.lookup(prefix)?,
        };
        let depth = self.open.len();
        let node = Node {
            start,
            end: self.at,
            inner: self.at,
            inner_end: self.at,
            name: local.0,
            name_len: local.1 - local.0,
            next: NONE,
            attr,
            attrs: self.attrs.len() - attr,
            ns,
            depth,
            kind: 0,
        };
        let index = self.push(node)?;
        if is_empty {
            if index > 0 {
                self.undeclare();
            }
            return Ok(());
        }
        self.open.push(index);
        if self.open.len() > self.limits.depth { Err(Limit("depth")) } else { Ok(()) }
    }

    fn attribute(&mut self, first: usize) -> Result<(), XmlError> {
        const BAD: XmlError = NotWellFormed("an attribute");
        let (prefix, local) = self.name()?;
        self.skip_space();
        if !self.rest().starts_with('=') {
            return Err(BAD);
        }
        self.at += 1;
        self.skip_space();
        let quote = *self.rest().as_bytes().first().ok_or(Incomplete)?;
        if !matches!(quote, b'"' | b'\'') {
            return Err(BAD);
        }
        self.at += 1;
        let rest = self.rest();
        let length = memchr::memchr(quote, rest.as_bytes()).ok_or(Incomplete)?;
        let value = rest.get(..length).unwrap_or("");
        let start = self.at;
        self.at += length + 1;
        match (self.cut(prefix), self.cut(local)) {
            ("", "xmlns") => return self.declare("", value),
            ("xmlns", name) => return self.declare(name, value),
            _ => {}
        }
        let is_escaped = check::value(value)?;
        if self.attrs.len() - first >= self.limits.attrs {
            return Err(Limit("attributes"));
        }
        self.attrs.push(Attr {
            name: local.0,
            name_len: local.1 - local.0,
            value: start,
            value_len: length,
            prefix,
            ns: NO_NS,
            is_escaped,
        });
        Ok(())
    }

    fn declare(&mut self, prefix: &'a str, ns: &'a str) -> Result<(), XmlError> {
        const BAD: XmlError = NotWellFormed("a namespace declaration");
        check::value(ns)?;
        check::namespace(ns)?;
        let is_reserved = matches!(prefix, "xml" | "xmlns") || ns == XML || ns == XMLNS;
        if is_reserved || (!prefix.is_empty() && ns.is_empty()) {
            return Err(BAD);
        }
        let depth = self.open.len() + 1;
        let is_twice =
            |decl: &Decl<'_>| !decl.of_stream && decl.depth == depth && decl.prefix == prefix;
        if self.decls.iter().rev().any(is_twice) {
            return Err(NotWellFormed("a duplicate attribute"));
        }
        if self.decls.iter().filter(|decl| !decl.of_stream).count() >= self.limits.decls {
            return Err(Limit("namespaces"));
        }
        let read = self.stream.read(ns);
        self.needs_stream |= read != ns;
        let ns = self.names.intern(read);
        self.decls.push(Decl { prefix, ns, depth, of_stream: false });
        Ok(())
    }

    /// Finds the namespaces of the attributes of a tag, now that its declarations are known.
    fn resolve(&mut self, first: usize) -> Result<(), XmlError> {
        for index in first..self.attrs.len() {
            let Some(attr) = self.attrs.get(index).copied() else { break };
            let prefix = self.cut(attr.prefix);
            let ns = if prefix.is_empty() { NO_NS } else { self.lookup(prefix)? };
            let name = self.cut((attr.name, attr.name + attr.name_len));
            let before = self.attrs.get(first..index).unwrap_or_default();
            let is_same = |other: &Attr| {
                other.ns == ns && self.cut((other.name, other.name + other.name_len)) == name
            };
            if before.iter().any(is_same) {
                return Err(NotWellFormed("a duplicate attribute"));
            }
            if let Some(attr) = self.attrs.get_mut(index) {
                attr.ns = ns;
            }
        }
        Ok(())
    }

    fn default_ns(&self) -> usize {
        let decl = self.decls.iter().rev().find(|decl| decl.prefix.is_empty());
        decl.map_or(NO_NS, |decl| decl.ns)
    }

    fn lookup(&mut self, prefix: &str) -> Result<usize, XmlError> {
        if prefix == "xml" {
            return Ok(XML_NS);
        }
        let decl = self.decls.iter().rev().find(|decl| decl.prefix == prefix);
        let decl = decl.copied().ok_or(BadNamespacePrefix)?;
        self.needs_stream |= decl.of_stream;
        Ok(decl.ns)
    }

    /// Lays the tables out as words, and the names of namespaces behind the text.
    fn finish(self, root_names: Vec<(String, String)>) -> Flattened {
        let names: usize = self.names.all.iter().map(|name| name.len()).sum();
        let mut text = String::with_capacity(self.text.len() + names);
        text.push_str(self.text);
        let count = HEAD_WORDS
            + self.nodes.len() * NODE_WORDS
            + self.attrs.len() * ATTR_WORDS
            + self.names.all.len() * NS_WORDS;
        let mut words = Vec::with_capacity(count);
        // Bounded by `stanza_bytes`, far below 2³².
        let mut put = |value: usize| words.push(u32::try_from(value).unwrap_or(NONE));
        put(self.text.len());
        put(self.nodes.len());
        put(self.attrs.len());
        put(self.names.all.len());
        for node in &self.nodes {
            put(node.start);
            put(node.end);
            put(node.inner);
            put(node.inner_end);
            put(node.name);
            put(usize::try_from(node.next).unwrap_or(usize::MAX));
            put(node.attr);
            put(node.name_len << 16 | node.attrs);
            put(node.ns << 16 | node.depth << 8);
            put(usize::try_from(node.kind).unwrap_or(0));
        }
        for attr in &self.attrs {
            put(attr.name);
            put(attr.value);
            put(attr.value_len);
            put(attr.name_len << 16 | attr.ns);
            put(usize::from(attr.is_escaped));
        }
        let mut at = self.text.len();
        for name in &self.names.all {
            put(at);
            put(name.len());
            at += name.len();
        }
        for name in &self.names.all {
            text.push_str(name);
        }
        Flattened { text, words, needs_stream: self.needs_stream, root_names }
    }
}
