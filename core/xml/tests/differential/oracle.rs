//! What an element says, once read by us and once by rxml.

use std::fmt::Write;

use rxml::{Event, Options, Parse, Parser, WithOptions};
use xml::{Flat, Node};

/// The default namespace around the element.
pub(crate) const AROUND: &str = "jabber:client";

/// An element while its end is not there yet.
#[derive(Default)]
struct Open {
    head: String,
    text: String,
    inside: String,
}

impl Open {
    fn close(self) -> String {
        format!("{}{:?}({})", self.head, self.text, self.inside)
    }
}

fn head(ns: &str, name: &str, mut attrs: Vec<(String, String, String)>) -> String {
    attrs.sort();
    let mut head = format!("<{ns:?} {name:?}");
    for (ns, name, value) in attrs {
        write!(head, " {ns:?}|{name:?}={value:?}").unwrap();
    }
    head + ">"
}

/// Returns what an element of ours says: names, attributes, texts, elements, all the way down.
pub(crate) fn ours(node: Node<'_>) -> String {
    let attrs = node.attrs();
    let attrs = attrs.map(|(ns, name, value)| (ns.to_owned(), name.to_owned(), value.into_owned()));
    let inside = node.children().map(ours).collect();
    let head = head(node.ns(), node.name(), attrs.collect());
    Open { head, text: node.text().into_owned(), inside }.close()
}

/// Returns the same of `text` as rxml reads it, or what rxml has against it.
///
/// # Errors
///
/// What rxml says.
pub(crate) fn theirs(text: &str) -> Result<String, String> {
    // Line ends are made one before anything is parsed (XML 1.0 §2.11). rxml drops some instead.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let document = format!("<?xml version='1.0'?><around xmlns='{AROUND}'>{text}</around>");
    let mut bytes = document.as_bytes();
    let options = Options { max_token_length: 1 << 22, ..Options::default() };
    let mut parser = Parser::with_options(options);
    let mut open = vec![Open::default()];
    loop {
        match parser.parse(&mut bytes, true) {
            Ok(None) => break,
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(Some(Event::StartElement(_, (ns, name), attrs))) => {
                let attr = |((ns, name), value): ((rxml::Namespace<'_>, rxml::NcName), String)| {
                    (ns.to_string(), name.to_string(), value)
                };
                let head = head(&ns, &name, attrs.into_iter().map(attr).collect());
                open.push(Open { head, ..Open::default() });
            }
            Ok(Some(Event::Text(_, text))) => open.last_mut().unwrap().text.push_str(&text),
            Ok(Some(Event::EndElement(_))) => {
                let closed = open.pop().unwrap().close();
                open.last_mut().ok_or("too many ends")?.inside.push_str(&closed);
            }
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    let around = open.pop().filter(|_| open.is_empty()).ok_or("too few ends")?;
    let start = format!("<{AROUND:?} \"around\">\"\"(");
    let inside = around.inside.strip_prefix(&start).and_then(|rest| rest.strip_suffix(')'));
    Ok(inside.ok_or_else(|| format!("text around: {}", around.inside))?.to_owned())
}

/// Checks one input: what we accept rxml accepts with the same events, as it came and as we write
/// it. Returns whether we accept it.
pub(crate) fn check(text: &str) -> bool {
    let Ok(flat) = Flat::parse(text, AROUND) else { return false };
    let said = ours(flat.root());
    assert_eq!(theirs(text).as_ref(), Ok(&said), "{text:?}");
    let written = xml::Element::from_node(flat.root()).to_xml(AROUND);
    assert_eq!(theirs(&written).as_ref(), Ok(&said), "{text:?} was written as {written:?}");
    true
}
