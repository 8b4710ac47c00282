//! What a device wants to hear of, as its presence and service discovery say (XEP-0115, XEP-0390).
//!
//! The nodes are read from the text that was hashed, not from the answer: two answers with one hash
//! mean the same here, so nobody can have others believe something else of a hash that they share.

use base64::Engine as _;
use calypte::crypto::{self, Hash};
use calypte::prelude::*;

/// What stands behind the names of nodes among the features.
const NOTIFY: &str = "+notify";
/// The most nodes of a device.
const NODES_MAX: usize = 200;
/// Their bytes.
const NODES_BYTES_MAX: usize = 16 << 10;
/// The most nodes that are kept for one device only.
const OWN_NODES_MAX: usize = 64;
/// Their bytes.
const OWN_BYTES_MAX: usize = 2 << 10;
/// The longest hash or name of a client in a presence.
const SHOWN_BYTES_MAX: usize = 256;

/// A hash that a presence shows, and how to ask for what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its name among all hashes, such as `1 sha-1 QgayPKawpkPSDYmwT/WM94uAlu0=`; with what is no
    /// hash in front of it, it is a name for one device only.
    pub(crate) key: String,
    /// The node to ask for.
    pub(crate) node: String,
}

/// Reads the hash in a presence: the newer kind where there is one that we know.
pub(crate) fn shown(presence: Node<'_>) -> Option<Shown> {
    presence.child(ns::CAPS_HASHES, "c").and_then(newer).or_else(|| {
        let c = presence.child(ns::CAPS, "c")?;
        let (node, ver) = (c.attr("node")?, c.attr("ver")?);
        if node.len() > SHOWN_BYTES_MAX || ver.len() > SHOWN_BYTES_MAX {
            return None;
        }
        // Without the name of a hash it is one of the kind of before 2007, which proves nothing.
        let key = match c.attr("hash") {
            Some(algorithm) if hash(&algorithm).is_some() => format!("1 {algorithm} {ver}"),
            _ => format!("0 {node} {ver}"),
        };
        Some(Shown { key, node: format!("{node}#{ver}") })
    })
}

fn newer(c: Node<'_>) -> Option<Shown> {
    c.children().filter(|child| child.is(ns::HASHES, "hash")).find_map(|child| {
        let algorithm = child.attr("algo")?;
        let text = child.text();
        let text = text.trim();
        hash(&algorithm).filter(|_| text.len() <= SHOWN_BYTES_MAX)?;
        let node = format!("{}#{algorithm}.{text}", ns::CAPS_HASHES);
        Some(Shown { key: format!("2 {algorithm} {text}"), node })
    })
}

/// What an answer of service discovery says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Learnt {
    /// The nodes that the device wants to hear of.
    pub(crate) nodes: Vec<String>,
    /// Whether the hash proves that it is so for all who show it.
    pub(crate) is_proved: bool,
}

/// Reads the answer to the question what a hash stands for.
pub(crate) fn learn(key: &str, query: Node<'_>) -> Learnt {
    if let Some((text, separators)) = hashed(key, query) {
        let words = text.split(separators);
        return Learnt { nodes: wanted(words), is_proved: true };
    }
    let vars = query.children().filter(|child| child.is(ns::DISCO_INFO, "feature"));
    let vars: Vec<_> = vars.filter_map(|feature| feature.attr("var")).collect();
    Learnt { nodes: wanted(vars.iter().map(AsRef::as_ref)), is_proved: false }
}

/// Returns the text that was hashed and what separates its words, when it has the hash.
fn hashed(key: &str, query: Node<'_>) -> Option<(String, &'static [char])> {
    let mut words = key.splitn(3, ' ');
    let (kind, algorithm, expected) = (words.next()?, words.next()?, words.next()?);
    let (text, separators): (_, &[char]) = match kind {
        "1" => (caps::verification(query)?, &['<']),
        "2" => {
            let text = String::from_utf8(caps::hash_input(query)?).ok()?;
            (text, &['\u{1c}', '\u{1d}', '\u{1e}', '\u{1f}'])
        }
        _ => return None,
    };
    let digest = crypto::digest(hash(algorithm)?, text.as_bytes());
    let is_right = base64::engine::general_purpose::STANDARD.encode(digest) == expected;
    is_right.then_some((text, separators))
}

fn wanted<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut nodes: Vec<String> = Vec::new();
    let mut bytes = 0_usize;
    for node in words.filter_map(|word| word.strip_suffix(NOTIFY)) {
        bytes = bytes.saturating_add(node.len());
        if nodes.len() >= NODES_MAX || bytes > NODES_BYTES_MAX {
            break;
        }
        nodes.push(node.to_owned());
    }
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Takes away what is too much to be kept for one device; says whether something was.
pub(crate) fn cut(nodes: &mut Vec<String>) -> bool {
    let before = nodes.len();
    nodes.truncate(OWN_NODES_MAX);
    let mut bytes = 0_usize;
    nodes.retain(|node| {
        bytes = bytes.saturating_add(node.len());
        bytes <= OWN_BYTES_MAX
    });
    nodes.len() < before
}

/// Finds a hash by its name (XEP-0300 §4).
fn hash(name: &str) -> Option<Hash> {
    match name {
        "sha-1" => Some(Hash::Sha1),
        "sha-256" => Some(Hash::Sha256),
        "sha-512" => Some(Hash::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(inner: &str) -> Flat {
        let xml = format!("<query xmlns='{}'>{inner}</query>", ns::DISCO_INFO);
        Flat::parse(&xml, "").unwrap()
    }

    fn key(kind: &str, algorithm: &str, text: &str) -> String {
        let digest = crypto::digest(hash(algorithm).unwrap(), text.as_bytes());
        let digest = base64::engine::general_purpose::STANDARD.encode(digest);
        format!("{kind} {algorithm} {digest}")
    }

    const INFO: &str = "<identity category='client' type='pc' name='a'/>\
                        <feature var='b+notify'/><feature var='c+notify'/>";
    const TEXT: &str = "client/pc//a<b+notify<c+notify<";

    #[test]
    fn a_hash_proves_what_it_was_made_of() {
        let right = Learnt { nodes: vec!["b".to_owned(), "c".to_owned()], is_proved: true };
        let of = query(INFO);
        assert_eq!(learn(&key("1", "sha-1", TEXT), of.root()), right);
        assert_eq!(learn(&key("1", "sha-256", TEXT), of.root()), right);
        let text = "b+notify\x1fc+notify\x1f\x1cclient\x1fpc\x1f\x1fa\x1f\x1e\x1c\x1c";
        assert_eq!(learn(&key("2", "sha-256", text), of.root()), right);
    }

    #[test]
    fn a_hash_of_something_else_proves_nothing() {
        let said = Learnt { nodes: vec!["b".to_owned(), "c".to_owned()], is_proved: false };
        let of = query(INFO);
        assert_eq!(learn(&key("1", "sha-1", "client/pc//a<b+notify<"), of.root()), said);
        assert_eq!(learn("0 client 1.0", of.root()), said);
    }

    /// A form may be written so that it has the text of features; then it says what they say.
    #[test]
    fn what_has_the_same_text_says_the_same() {
        let hidden = query(
            "<identity category='client' type='pc' name='a'/><x xmlns='jabber:x:data' type='result'>\
             <field var='FORM_TYPE' type='hidden'><value>b+notify</value></field>\
             <field var='c+notify'/></x>",
        );
        let learnt = learn(&key("1", "sha-1", TEXT), hidden.root());
        let expected = Learnt { nodes: vec!["b".to_owned(), "c".to_owned()], is_proved: true };
        assert_eq!(learnt, expected);
    }

    #[test]
    fn takes_no_more_than_it_may() {
        let features: String = (0..500).map(|n| format!("<feature var='{n}+notify'/>")).collect();
        assert_eq!(learn("0 a b", query(&features).root()).nodes.len(), NODES_MAX);
    }

    #[test]
    fn keeps_less_for_one_device() {
        let mut nodes: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        assert!(cut(&mut nodes));
        assert_eq!(nodes.len(), OWN_NODES_MAX);
        assert!(!cut(&mut nodes));
        let mut nodes = vec!["a".repeat(OWN_BYTES_MAX), "b".to_owned()];
        assert!(cut(&mut nodes));
        assert_eq!(nodes.len(), 1);
    }
}
