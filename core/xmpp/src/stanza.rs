//! A stanza of our own: the root's attributes in fields, the content shared.

use std::fmt;
use std::sync::Arc;

use xml::{Element, Flat, Node, escape_attr};

use crate::{Jid, Kind, StanzaError, StanzaRef, ns};

/// Attributes of the root that are fields; the rest travels as it came.
const FIELDS: &[&str] = &["from", "to", "id", "type"];

/// A message, presence or iq. Cloning copies no content.
#[derive(Clone)]
pub struct Stanza {
    /// What it is.
    pub kind: Kind,
    /// Who sent it.
    pub from: Option<Jid>,
    /// Who is to get it.
    pub to: Option<Jid>,
    /// The sender's name for it.
    pub id: Option<Arc<str>>,
    /// The raw `type`.
    pub ty: Option<Arc<str>>,
    /// The language of its texts.
    pub lang: Option<Arc<str>>,
    /// Declarations and attributes of the root that are no fields, as written.
    extra: Option<Arc<str>>,
    content: Flat,
}

/// A [`Stanza`] for the log: kind, type and size, never addresses or content.
#[derive(Clone, Copy)]
pub struct Summary<'a>(&'a Stanza);

impl Stanza {
    /// Takes an element that came over a stream.
    ///
    /// # Errors
    ///
    /// `bad-request` when it is no stanza, `jid-malformed` when an address is none.
    pub fn read(content: Flat) -> Result<Self, StanzaError> {
        let content = if stands_alone(content.root()) {
            content
        } else {
            // Another prefix or default namespace at the root would change what the children mean.
            let xml = Element::from_node(content.root()).to_xml(ns::CLIENT);
            Flat::parse_ours(&xml, ns::CLIENT).map_err(|_| StanzaError::BAD_REQUEST)?
        };
        let root = content.root();
        if root.ns() != ns::CLIENT {
            return Err(StanzaError::BAD_REQUEST);
        }
        let kind = Kind::of(root.name()).ok_or(StanzaError::BAD_REQUEST)?;
        let address = |name| {
            let read = |text: std::borrow::Cow<'_, str>| Jid::parse(&text);
            root.attr(name).map(read).transpose().map_err(|_| StanzaError::JID_MALFORMED)
        };
        let text = |name| root.attr(name).map(|value| Arc::from(&*value));
        let (from, to) = (address("from")?, address("to")?);
        let (id, ty) = (text("id"), text("type"));
        let lang = root.attr_in(ns::XML, "lang").map(|value| Arc::from(&*value));
        let extra = root.extra_root(FIELDS);
        let extra = if extra.is_empty() { None } else { Some(Arc::from(extra)) };
        Ok(Self { kind, from, to, id, ty, lang, extra, content })
    }

    /// Reads text that somebody of ours wrote, such as a module or a test.
    ///
    /// # Errors
    ///
    /// `bad-request` when it is no well-formed stanza, `jid-malformed` when an address is none.
    pub fn parse(xml: &str) -> Result<Self, StanzaError> {
        Self::read(Flat::parse_ours(xml, ns::CLIENT).map_err(|_| StanzaError::BAD_REQUEST)?)
    }

    /// Makes a stanza from an element of ours.
    ///
    /// # Errors
    ///
    /// As [`Stanza::parse`].
    pub fn from_element(element: &Element) -> Result<Self, StanzaError> {
        Self::parse(&element.to_xml(ns::CLIENT))
    }

    /// Lends it for reading.
    #[must_use]
    pub fn view(&self) -> StanzaRef<'_> {
        StanzaRef {
            kind: self.kind,
            from: self.from.as_ref().map(Jid::as_ref),
            to: self.to.as_ref().map(Jid::as_ref),
            id: self.id.as_deref(),
            ty: self.ty.as_deref(),
            lang: self.lang.as_deref(),
            content: self.content.as_ref(),
        }
    }

    /// Writes it as it goes on a client's wire.
    pub fn write(&self, out: &mut String) {
        self.write_to(self.to.as_ref().map(Jid::as_str), out);
    }

    /// Writes it with another recipient: what a fan-out does for each.
    pub fn write_to(&self, to: Option<&str>, out: &mut String) {
        self.write_start(to, out);
        let inner = self.content.root().inner();
        if inner.is_empty() {
            out.push_str("/>");
        } else {
            out.push('>');
            out.push_str(inner);
            out.push_str("</");
            out.push_str(self.kind.name());
            out.push('>');
        }
    }

    fn write_start(&self, to: Option<&str>, out: &mut String) {
        out.push('<');
        out.push_str(self.kind.name());
        let fields = [
            (" from=\"", self.from.as_ref().map(Jid::as_str)),
            (" to=\"", to),
            (" id=\"", self.id.as_deref()),
            (" type=\"", self.ty.as_deref()),
            (" xml:lang=\"", self.lang.as_deref()),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                out.push_str(name);
                escape_attr(value, out);
                out.push('"');
            }
        }
        if let Some(extra) = &self.extra {
            out.push_str(extra);
        }
    }

    /// Adds a child element at the end.
    ///
    /// # Errors
    ///
    /// `bad-request` when that makes the stanza too large.
    pub fn append(&mut self, child: &Element) -> Result<(), StanzaError> {
        let mut xml = String::with_capacity(self.bytes() + 128);
        self.write_start(self.to.as_ref().map(Jid::as_str), &mut xml);
        xml.push('>');
        xml.push_str(self.content.root().inner());
        child.write(&mut xml, ns::CLIENT);
        xml.push_str("</");
        xml.push_str(self.kind.name());
        xml.push('>');
        *self = Self::parse(&xml)?;
        Ok(())
    }

    /// Returns it as text.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = String::with_capacity(self.bytes());
        self.write(&mut out);
        out
    }

    /// Returns it as text that stands in foreign content, with its namespace said.
    #[must_use]
    pub fn to_forwarded_xml(&self) -> String {
        let mut out = String::with_capacity(self.bytes() + 24);
        self.write(&mut out);
        out.insert_str(1 + self.kind.name().len(), " xmlns=\"jabber:client\"");
        out
    }

    /// Returns about how many bytes it takes in memory and on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.content.len() + 128
    }

    /// Returns the error for the sender, `None` when it must not be answered with one. Who wanted to
    /// enter a room gets the element back by which clients see that (XEP-0045 §7.2), and nothing in it.
    #[must_use]
    pub fn error_reply(&self, error: &StanzaError) -> Option<Self> {
        match self.ty.as_deref() {
            Some("error") => return None,
            Some("result") if self.kind == Kind::Iq => return None,
            _ => {}
        }
        let child = error.to_element().to_xml(ns::CLIENT);
        if self.kind == Kind::Presence && self.content.root().child(ns::MUC, "x").is_some() {
            return self.answer("error", &(Element::new(ns::MUC, "x").to_xml("") + &child));
        }
        self.answer("error", &child)
    }

    /// Returns the result of a request, with `inner` as its content.
    #[must_use]
    pub fn result_reply(&self, inner: &str) -> Option<Self> {
        self.answer("result", inner)
    }

    fn answer(&self, ty: &str, inner: &str) -> Option<Self> {
        let name = self.kind.name();
        let content = Flat::parse_ours(&format!("<{name}>{inner}</{name}>"), ns::CLIENT).ok()?;
        Some(Self {
            kind: self.kind,
            from: self.to.clone(),
            to: self.from.clone(),
            id: self.id.clone(),
            ty: Some(ty.into()),
            lang: None,
            extra: None,
            content,
        })
    }

    /// Returns what the log may show of it.
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

/// Whether the children mean the same below a plain `<message>` of a client's stream.
fn stands_alone(root: Node<'_>) -> bool {
    let (raw, name) = (root.raw(), root.name());
    let is_plain = raw.get(1..).and_then(|rest| rest.strip_prefix(name));
    let Some(rest) = is_plain.filter(|rest| !rest.starts_with(':')) else { return false };
    if !root.may_declare() {
        return true;
    }
    let inner = root.inner();
    let start = rest.len().saturating_sub(inner.len() + name.len() + 3);
    let tag = if inner.is_empty() { rest } else { rest.get(..start).unwrap_or(rest) };
    !tag.contains("xmlns=")
        || tag.contains("xmlns='jabber:client'")
        || tag.contains("xmlns=\"jabber:client\"")
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.summary(), f)
    }
}

impl fmt::Debug for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ty = self.0.ty.as_deref().filter(|ty| ty.bytes().all(|b| b.is_ascii_alphanumeric()));
        write!(f, "{} {} {} B", self.0.kind.name(), ty.unwrap_or("-"), self.0.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(xml: &str, expected: &str) {
        assert_eq!(Stanza::parse(xml).unwrap().to_xml(), expected);
    }

    #[test]
    fn writes_what_it_read() {
        check("<presence/>", "<presence/>");
        check(
            "<message id='1' to='A@b/c' type='chat'><body>x &lt; y</body></message>",
            "<message to=\"a@b/c\" id=\"1\" type=\"chat\"><body>x &lt; y</body></message>",
        );
        check(
            "<message xmlns='jabber:client' xml:lang='de'><body>x</body></message>",
            "<message xml:lang=\"de\"><body>x</body></message>",
        );
    }

    #[test]
    fn takes_another_child() {
        for (xml, expected) in [
            ("<message to='a@b'/>", "<message to=\"a@b\"><x xmlns=\"u:x\"/></message>"),
            (
                "<message><body>1</body></message>",
                "<message><body>1</body><x xmlns=\"u:x\"/></message>",
            ),
        ] {
            let mut stanza = Stanza::parse(xml).unwrap();
            stanza.append(&Element::new("u:x", "x")).unwrap();
            assert_eq!(stanza.to_xml(), expected);
            assert!(stanza.view().has("u:x", "x"));
        }
    }

    #[test]
    fn what_a_client_may_send_fits_inside_another_stanza() {
        let levels = xml::Limits::client().depth - 1;
        let (open, shut) = ("<a>".repeat(levels), "</a>".repeat(levels));
        let inner = format!("<message id='1'>{open}{shut}</message>");
        assert!(Flat::parse(&inner, ns::CLIENT).is_ok());
        let outer = Stanza::parse(&format!(
            "<message><sent xmlns='u:s'><forwarded xmlns='u:f'>{inner}</forwarded></sent></message>"
        ));
        assert!(outer.unwrap().to_xml().contains(&inner));
    }

    #[test]
    fn keeps_what_the_root_declares() {
        check(
            "<message xmlns:x='urn:x'><x:a/></message>",
            "<message xmlns:x='urn:x'><x:a/></message>",
        );
    }

    #[test]
    fn keeps_what_it_does_not_know() {
        check("<presence level='3' id='1'/>", "<presence id=\"1\" level='3'/>");
        check("<presence xml:lang='de' id='1'/>", "<presence id=\"1\" xml:lang=\"de\"/>");
        check("<presence xml:id='a'/>", "<presence xml:id='a'/>");
    }

    #[test]
    fn a_prefixed_root_becomes_plain() {
        let stanza =
            Stanza::parse("<c:iq xmlns:c='jabber:client' xmlns='urn:x' id='1'><q/></c:iq>");
        let xml = stanza.unwrap().to_xml();
        let again = Stanza::parse(&xml).unwrap();
        assert!(again.view().has("urn:x", "q"), "{xml}");
        assert!(xml.starts_with("<iq "), "{xml}");
    }

    #[test]
    fn refuses_what_is_no_stanza() {
        assert_eq!(Stanza::parse("<a/>").unwrap_err(), StanzaError::BAD_REQUEST);
        assert_eq!(Stanza::parse("<message to='@'/>").unwrap_err(), StanzaError::JID_MALFORMED);
        assert_eq!(
            Stanza::parse("<message xmlns='urn:x'/>").unwrap_err(),
            StanzaError::BAD_REQUEST
        );
    }

    #[test]
    fn errors_go_back_and_are_never_answered() {
        let iq = Stanza::parse("<iq from='a@b/c' to='d@e' id='1' type='get'><q xmlns='u:x'/></iq>");
        let error = iq.unwrap().error_reply(&StanzaError::SERVICE_UNAVAILABLE).unwrap();
        assert_eq!(
            error.to_xml(),
            "<iq from=\"d@e\" to=\"a@b/c\" id=\"1\" type=\"error\"><error type=\"cancel\">\
             <service-unavailable xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></error></iq>"
        );
        assert!(error.error_reply(&StanzaError::INTERNAL).is_none());
        let entering = "<presence from='a@b/c' to='r@e/n'>\
                        <x xmlns='http://jabber.org/protocol/muc'><password>s</password></x></presence>";
        let error = Stanza::parse(entering).unwrap().error_reply(&StanzaError::INTERNAL).unwrap();
        let begin = "type=\"error\"><x xmlns=\"http://jabber.org/protocol/muc\"/><error ";
        assert!(error.to_xml().contains(begin), "{error:?}");
        let answer = |xml| Stanza::parse(xml).unwrap().error_reply(&StanzaError::INTERNAL);
        assert!(answer("<iq from='a@b/c' id='1' type='result'/>").is_none());
        // An unknown type of message counts as `normal`.
        assert!(answer("<message from='a@b/c' type='result'/>").is_some());
    }

    #[test]
    fn what_we_write_may_be_longer_than_what_clients_may() {
        let get =
            "<iq from='a@b/c' to='a@b' id='1' type='get'><query xmlns='jabber:iq:roster'/></iq>";
        let item = |n: u32| {
            format!(
                "<item jid='contact{n}@montague.example'><group>a</group><group>b</group></item>"
            )
        };
        let items: String = (0..5000).map(item).collect();
        let inner = format!("<query xmlns='jabber:iq:roster'>{items}</query>");
        let reply = Stanza::parse(get).unwrap().result_reply(&inner).unwrap();
        assert!(Stanza::parse(&reply.to_xml()).is_ok());
        assert!(Flat::parse(&reply.to_xml(), ns::CLIENT).is_err());
    }

    #[test]
    fn debug_shows_no_content() {
        let stanza = Stanza::parse("<message to='a@b'><body>secret</body></message>").unwrap();
        let debug = format!("{stanza:?}");
        assert!(!debug.contains("secret") && !debug.contains("a@b"), "{debug}");
    }
}
