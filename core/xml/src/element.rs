//! A small tree for what we write ourselves.

use std::borrow::Cow;

use crate::flat::{Part, xml_ns};
use crate::{Node, escape_attr, escape_text};

/// An element to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    ns: String,
    name: Cow<'static, str>,
    attrs: Vec<(String, String, String)>,
    content: Vec<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Child(Element),
    Text(String),
    Raw(String),
}

impl Element {
    /// Returns an empty element.
    #[must_use]
    pub fn new(ns: &str, name: &str) -> Self {
        let name = Cow::Owned(name.to_owned());
        Self { ns: ns.to_owned(), name, attrs: Vec::new(), content: Vec::new() }
    }

    /// Copies an element that was read.
    #[must_use]
    pub fn from_node(node: Node<'_>) -> Self {
        let mut element = Self::new(node.ns(), node.name());
        for (ns, name, value) in node.attrs() {
            element.attrs.push((ns.to_owned(), name.to_owned(), value.into_owned()));
        }
        for part in node.parts() {
            element.content.push(match part {
                Part::Element(child) => Content::Child(Self::from_node(child)),
                Part::Text(text) => Content::Text(text.into_owned()),
            });
        }
        element
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: &str) -> Self {
        self.push_attr(name, value);
        self
    }

    /// Adds an element inside.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.push_child(child);
        self
    }

    /// Adds text inside.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.content.push(Content::Text(text.to_owned()));
        self
    }

    /// Adds elements inside that were checked before and say their own namespaces.
    #[must_use]
    pub fn with_raw(mut self, xml: String) -> Self {
        self.push_raw(xml);
        self
    }

    /// Sets an attribute.
    pub fn push_attr(&mut self, name: &str, value: &str) {
        self.attrs.retain(|(ns, its_name, _)| !ns.is_empty() || its_name != name);
        self.attrs.push((String::new(), name.to_owned(), value.to_owned()));
    }

    /// Adds an element inside.
    pub fn push_child(&mut self, child: Self) {
        self.content.push(Content::Child(child));
    }

    /// Adds elements inside that were checked before and say their own namespaces.
    pub fn push_raw(&mut self, xml: String) {
        self.content.push(Content::Raw(xml));
    }

    /// Moves it and what is inside into another namespace, as far as it is all in the same.
    ///
    /// What stands inside of elements of foreign namespaces stays as it is.
    pub fn rename_ns(&mut self, from: &str, to: &str) {
        if self.ns == from {
            to.clone_into(&mut self.ns);
            for content in &mut self.content {
                if let Content::Child(child) = content {
                    child.rename_ns(from, to);
                }
            }
        }
    }

    /// Returns the namespace.
    #[must_use]
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns an attribute without namespace.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        let own = |(ns, its_name, _): &&(String, String, String)| ns.is_empty() && its_name == name;
        self.attrs.iter().find(own).map(|(_, _, value)| value.as_str())
    }

    /// Returns the elements inside.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.content.iter().filter_map(|content| match content {
            Content::Child(child) => Some(child),
            Content::Text(_) | Content::Raw(_) => None,
        })
    }

    /// Returns the text directly inside.
    #[must_use]
    pub fn text(&self) -> String {
        let text = |content: &Content| match content {
            Content::Text(text) => Some(text.clone()),
            Content::Child(_) | Content::Raw(_) => None,
        };
        self.content.iter().filter_map(text).collect()
    }

    /// Writes it where `parent_ns` is the default namespace.
    #[must_use]
    pub fn to_xml(&self, parent_ns: &str) -> String {
        let mut out = String::new();
        self.write(&mut out, parent_ns);
        out
    }

    /// Appends it where `parent_ns` is the default namespace.
    pub fn write(&self, out: &mut String, parent_ns: &str) {
        // That namespace cannot be declared, only used with its prefix (Namespaces in XML §3).
        let is_xml = self.ns == xml_ns();
        let prefix = if is_xml { "xml:" } else { "" };
        out.extend(["<", prefix, &self.name]);
        if self.ns != parent_ns && !is_xml {
            out.push_str(" xmlns=\"");
            escape_attr(&self.ns, out);
            out.push('"');
        }
        for (index, (ns, name, value)) in self.attrs.iter().enumerate() {
            match ns.as_str() {
                "" => out.push(' '),
                ns if ns == xml_ns() => out.push_str(" xml:"),
                ns => {
                    out.push_str(&format!(" xmlns:a{index}=\""));
                    escape_attr(ns, out);
                    out.push_str(&format!("\" a{index}:"));
                }
            }
            out.push_str(name);
            out.push_str("=\"");
            escape_attr(value, out);
            out.push('"');
        }
        if self.content.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        let default_ns = if is_xml { parent_ns } else { &self.ns };
        for content in &self.content {
            match content {
                Content::Child(child) => child.write(out, default_ns),
                Content::Text(text) => escape_text(text, out),
                Content::Raw(xml) => out.push_str(xml),
            }
        }
        out.extend(["</", prefix, &self.name, ">"]);
    }
}
