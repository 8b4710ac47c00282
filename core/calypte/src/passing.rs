//! A stanza on its way, as a hook sees it.

use std::ops::Deref;

use xml::{Element, Node, escape_attr};
use xmpp::{IqKind, Jid, StanzaRef, ns};

/// A stanza that a hook may read and change.
///
/// Reading shows it as it came; changes are applied when the function returns, and later functions
/// see them.
#[derive(Debug)]
pub struct Passing<'a> {
    view: StanzaRef<'a>,
    edits: Vec<Edit<'a>>,
}

#[derive(Debug)]
enum Edit<'a> {
    From(Jid),
    To(Jid),
    Id(String),
    NoLang,
    Remove(&'a str),
    Append(Element),
}

impl<'a> Deref for Passing<'a> {
    type Target = StanzaRef<'a>;

    fn deref(&self) -> &StanzaRef<'a> {
        &self.view
    }
}

impl<'a> Passing<'a> {
    /// Starts with nothing changed.
    #[must_use]
    pub fn new(view: StanzaRef<'a>) -> Self {
        Self { view, edits: Vec::new() }
    }

    /// Replaces the sender.
    pub fn set_from(&mut self, from: Jid) {
        self.edits.push(Edit::From(from));
    }

    /// Replaces the recipient.
    pub fn set_to(&mut self, to: Jid) {
        self.edits.push(Edit::To(to));
    }

    /// Replaces the sender's name for it. Who answers it answers to that name.
    pub fn set_id(&mut self, id: &str) {
        self.edits.push(Edit::Id(id.to_owned()));
    }

    /// Removes the language of its texts, which tells something of the sender.
    pub fn remove_lang(&mut self) {
        self.edits.push(Edit::NoLang);
    }

    /// Adds a child element at the end.
    pub fn append(&mut self, child: Element) {
        self.edits.push(Edit::Append(child));
    }

    /// Removes the child elements for which `is_unwanted` holds.
    pub fn remove_where(&mut self, is_unwanted: impl Fn(Node<'a>) -> bool) {
        let unwanted = self.view.payloads().filter(|node| is_unwanted(*node));
        self.edits.extend(unwanted.map(|node| Edit::Remove(node.raw())));
    }

    /// Removes the child elements with this name.
    pub fn remove(&mut self, ns: &str, name: &str) {
        self.remove_where(|node| node.is(ns, name));
    }

    /// Returns the changed stanza as text, `None` when nothing was changed.
    pub(crate) fn changed(&self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        let root = self.view.content.root();
        let mut out = String::with_capacity(root.raw().len().saturating_add(256));
        self.write_start(root, &mut out);
        for child in self.view.payloads().filter(|child| !self.removes(*child)) {
            out.push_str(child.raw());
        }
        for edit in &self.edits {
            if let Edit::Append(child) = edit {
                child.write(&mut out, ns::CLIENT);
            }
        }
        out.push_str("</");
        out.push_str(self.view.kind.name());
        out.push('>');
        Some(out)
    }

    fn removes(&self, child: Node<'_>) -> bool {
        let start = child.raw().as_ptr();
        self.edits.iter().any(|edit| matches!(edit, Edit::Remove(raw) if raw.as_ptr() == start))
    }

    fn write_start(&self, root: Node<'_>, out: &mut String) {
        let (mut from, mut to) =
            (self.view.from.map(|jid| jid.as_str()), self.view.to.map(|jid| jid.as_str()));
        let (mut id, mut lang) = (self.view.id, self.view.lang);
        for edit in &self.edits {
            match edit {
                Edit::From(jid) => from = Some(jid.as_str()),
                Edit::To(jid) => to = Some(jid.as_str()),
                Edit::Id(own) => id = Some(own),
                Edit::NoLang => lang = None,
                Edit::Remove(_) | Edit::Append(_) => {}
            }
        }
        out.push('<');
        out.push_str(self.view.kind.name());
        let fields =
            [("from", from), ("to", to), ("id", id), ("type", self.view.ty), ("xml:lang", lang)];
        for (name, value) in fields {
            if let Some(value) = value {
                out.push(' ');
                out.push_str(name);
                out.push_str("=\"");
                escape_attr(value, out);
                out.push('"');
            }
        }
        out.push_str(&root.extra_root(&["from", "to", "id", "type"]));
        out.push('>');
    }
}

/// A request to answer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    view: StanzaRef<'a>,
}

impl<'a> Deref for Request<'a> {
    type Target = StanzaRef<'a>;

    fn deref(&self) -> &StanzaRef<'a> {
        &self.view
    }
}

impl<'a> Request<'a> {
    pub(crate) fn new(view: StanzaRef<'a>) -> Self {
        Self { view }
    }

    /// Returns the only child element.
    ///
    /// # Errors
    ///
    /// `bad-request` when there is none, which the engine has refused already.
    pub fn query(&self) -> Result<Node<'a>, xmpp::StanzaError> {
        self.view.payload().ok_or(xmpp::StanzaError::BAD_REQUEST)
    }

    /// Tells whether it is a `set`.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.view.iq_kind() == Some(IqKind::Set)
    }
}

#[cfg(test)]
mod tests {
    use xmpp::Stanza;

    use super::*;

    #[test]
    fn edits_apply_together() {
        let xml = "<message from='a@b/c' to='d@e' id='1' xml:lang='de'><body>x</body><y xmlns='u:y'/>\
                   </message>";
        let stanza = Stanza::parse(xml).unwrap();
        let mut passing = Passing::new(stanza.view());
        assert_eq!(passing.changed(), None);
        passing.set_id("2");
        passing.remove_lang();
        passing.remove("u:y", "y");
        passing.append(Element::new("u:z", "z"));
        assert_eq!(
            passing.changed().as_deref(),
            Some(
                "<message from=\"a@b/c\" to=\"d@e\" id=\"2\"><body>x</body><z xmlns=\"u:z\"/></message>"
            )
        );
    }
}
