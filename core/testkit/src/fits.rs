//! Whether what came is what a scene expects.

use std::borrow::Cow;
use std::collections::BTreeMap;

use xml::{Node, escape_attr};

/// What `$name` stands for so far.
pub(crate) type Names = BTreeMap<String, String>;

/// Tells whether an element fits, and notes what its `$name`s stand for.
///
/// `receiver` is whom a missing `to` of the root means: the full address or the bare one.
pub(crate) fn fits(
    expected: Node<'_>,
    got: Node<'_>,
    receiver: Option<&xmpp::Jid>,
    names: &mut Names,
) -> bool {
    let mut tried = names.clone();
    let is_fitting = element(expected, got, receiver, &mut tried);
    if is_fitting {
        *names = tried;
    }
    is_fitting
}

fn element(
    expected: Node<'_>,
    got: Node<'_>,
    receiver: Option<&xmpp::Jid>,
    names: &mut Names,
) -> bool {
    if !expected.is(got.ns(), got.name()) {
        return false;
    }
    let wants_to = expected.attr("to").is_some();
    let mut left: Vec<_> = got.attrs().collect();
    if let (Some(receiver), false) = (receiver, wants_to) {
        let is_to = |(ns, name, value): &(&str, &str, Cow<'_, str>)| {
            let is_receiver = value == receiver.as_str() || value == receiver.bare().as_str();
            ns.is_empty() && *name == "to" && is_receiver
        };
        left.retain(|attr| !is_to(attr));
    }
    for (ns, name, value) in expected.attrs() {
        let Some(at) = left.iter().position(|(n, m, _)| (*n, *m) == (ns, name)) else {
            return false;
        };
        let (_, _, found) = left.swap_remove(at);
        if !text(&value, &found, names) {
            return false;
        }
    }
    let has_children = expected.children().next().is_some();
    let (wanted, found) = (expected.text(), got.text());
    // `*` behind children: there may be others.
    let is_open = has_children && wanted.trim() == "*";
    let is_same = if has_children {
        // White space between elements says nothing.
        text(wanted.trim(), found.trim(), names)
    } else {
        text(&wanted, &found, names)
    };
    let (mut wanted, mut found) = (expected.children(), got.children());
    left.is_empty()
        && is_same
        && loop {
            match (wanted.next(), found.next()) {
                (None, None) => break true,
                (Some(wanted), Some(found)) if element(wanted, found, None, names) => {}
                (None, Some(_)) if is_open => break true,
                (Some(wanted), Some(_)) if is_open => {
                    if !found.by_ref().any(|found| element(wanted, found, None, names)) {
                        break false;
                    }
                }
                _ => break false,
            }
        }
}

/// `*` fits any text; `$name` fits any text the first time and the same text after that.
fn text(expected: &str, got: &str, names: &mut Names) -> bool {
    if expected == "*" {
        return true;
    }
    if let Some(name) = expected.strip_prefix('$').filter(|name| is_name(name)) {
        let known = names.entry(name.to_owned()).or_insert_with(|| got.to_owned());
        return known == got;
    }
    expected == got || fill(expected, names, str::to_owned) == got
}

/// Puts what the names stand for into the text of a stanza.
pub(crate) fn fill_xml(xml: &str, names: &Names) -> String {
    fill(xml, names, |value| {
        let mut out = String::new();
        escape_attr(value, &mut out);
        out
    })
}

/// Puts what the names stand for into a text, written as `write` does.
pub(crate) fn fill(xml: &str, names: &Names, write: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = xml;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let end = after.find(|c: char| !is_letter(c)).unwrap_or(after.len());
        let (name, behind) = after.split_at(end);
        match names.get(name) {
            Some(value) => out.push_str(&write(value)),
            None => out.extend(["$", name]),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_letter)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use xml::Flat;

    use super::*;

    #[track_caller]
    fn check(expected: &str, got: &str, is_fitting: bool) {
        let read = |text| Flat::parse(text, xmpp::ns::CLIENT).unwrap();
        let to = xmpp::Jid::parse("juliet@capulet.example/balcony").unwrap();
        let mut names = Names::from([("id".to_owned(), "7".to_owned())]);
        let (expected, got) = (read(expected), read(got));
        assert_eq!(fits(expected.root(), got.root(), Some(&to), &mut names), is_fitting);
    }

    #[test]
    fn compares_meaning() {
        check("<iq id='1' type='get'/>", "<iq type='get' id='1'/>", true);
        check("<iq><a xmlns='u:x'/></iq>", "<iq xmlns:x='u:x'><x:a/></iq>", true);
        check("<iq>\n<a/>\n<b/></iq>", "<iq><a/><b/></iq>", true);
        check("<iq><a/><b/></iq>", "<iq><b/><a/></iq>", false);
        check("<iq><a/></iq>", "<iq><a/><b/></iq>", false);
        check("<iq/>", "<iq id='1'/>", false);
        check("<iq id='*'/>", "<iq/>", false);
        check("<iq><a> x</a></iq>", "<iq><a>x</a></iq>", false);
    }

    #[test]
    fn the_receiver_is_understood() {
        check("<iq/>", "<iq to='juliet@capulet.example/balcony'/>", true);
        check("<iq/>", "<iq to='juliet@capulet.example'/>", true);
        check("<iq/>", "<iq to='juliet@capulet.example/other'/>", false);
        check("<iq to='juliet@capulet.example'/>", "<iq/>", false);
    }

    #[test]
    fn names_stand_for_one_text() {
        check("<iq a='$x' b='$x'/>", "<iq a='1' b='1'/>", true);
        check("<iq a='$x' b='$x'/>", "<iq a='1' b='2'/>", false);
        check("<iq><a/><c/>*</iq>", "<iq><a/><b/><c/><d/></iq>", true);
        check("<iq><c/><a/>*</iq>", "<iq><a/><b/><c/><d/></iq>", false);
        check("<iq><c/>*</iq>", "<iq><a/></iq>", false);
        check("<iq><a/>*</iq>", "<iq/>", false);
        check("<iq a='n$id@b'/>", "<iq a='n7@b'/>", true);
        check("<iq><a>*</a></iq>", "<iq><a>any</a></iq>", true);
    }
}
