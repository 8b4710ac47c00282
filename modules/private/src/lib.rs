//! What clients keep for themselves on the server (XEP-0049): by namespace and name, for the account's
//! own clients only.

use std::collections::BTreeMap;

use calypte::config::Size;
use calypte::notice::{Notice, PrivateChanged, PrivateKeep};
use calypte::prelude::*;
use serde::Deserialize;
use tables::{PRIVATE, PrivateXml};

/// The operator's settings, `[modules.private]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most elements that an account keeps.
    pub items: u32,
    /// How long they are together at most.
    pub bytes: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self { items: 200, bytes: Size { bytes: 1 << 20 } }
    }
}

/// What clients keep for themselves on the server.
#[derive(Debug)]
pub struct Private(Config);

calypte::export!(Private);

/// Elements with the same namespace and name, by both.
type Kept = BTreeMap<(String, String), String>;

impl Module for Private {
    const NAME: &'static str = "private";
    const ABOUT: &'static str = "What clients keep for themselves on the server.";
    const XEPS: &'static [Xep] = &[Xep("0049", "1.2")];
    const FEATURES: &'static [Feature] = &[Feature::Everywhere(ns::PRIVATE)];
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "bytes",
            kind: "size",
            default: "\"1 MiB\"",
            about: "How long all that an account keeps is together at most, up to 16 MiB.",
        },
        ConfigKey {
            name: "items",
            kind: "number",
            default: "200",
            about: "How many elements an account keeps at most, from 1 to 10000.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_get(On::Account, ns::PRIVATE, "query", Self::tell),
        Hook::iq_set(On::Account, ns::PRIVATE, "query", Self::keep),
        Hook::notice(PrivateKeep::NAME, Self::keep_for),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        if !(1..=10_000).contains(&config.items) {
            return Err(SetupError("items must be a number from 1 to 10000".to_owned()));
        }
        if !(1..=16 << 20).contains(&config.bytes.bytes) {
            return Err(SetupError("bytes must be from 1 B to 16 MiB".to_owned()));
        }
        Ok(Self(config))
    }
}

impl Private {
    /// Tells what was kept under a namespace and name, or that it is empty.
    fn tell(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let mut asked = request.query()?.children();
        let Some(one) = asked.next() else { return Err(StanzaError::NOT_ACCEPTABLE) };
        if asked.next().is_some() {
            let text = "Ask for one element at a time.";
            return Err(StanzaError::BAD_REQUEST.with_text(text));
        }
        let key = key(one)?;
        let answer = Element::new(ns::PRIVATE, "query");
        Ok(Reply::With(match cx.get(&PRIVATE, &key)? {
            Some(kept) => answer.with_raw(kept.xml),
            None => answer.with_child(Element::new(&key.0, &key.1)),
        }))
    }

    /// Keeps elements; what was there under the same namespace and name goes.
    fn keep(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let kept = self.read(request.query()?)?;
        if kept.is_empty() {
            return Err(StanzaError::NOT_ACCEPTABLE);
        }
        self.make_sure_of_room(&kept, cx)?;
        for (key, xml) in kept {
            if xml.is_empty() {
                cx.delete(&PRIVATE, &key)?;
            } else {
                cx.put(&PRIVATE, &key, &PrivateXml { xml })?;
            }
            let (ns, name) = key;
            cx.tell(&PrivateChanged { ns, name })?;
        }
        Ok(Reply::Empty)
    }

    /// Keeps something for another module.
    fn keep_for(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let PrivateKeep { ns, name, xml } = notified.read()?;
        let key = (ns, name);
        if xml.is_empty() {
            return cx.delete(&PRIVATE, &key);
        }
        cx.put(&PRIVATE, &key, &PrivateXml { xml })
    }

    /// Reads the elements of a request. Those that hold nothing are an empty text.
    fn read(&self, query: Node<'_>) -> Result<Kept, StanzaError> {
        let mut kept = Kept::new();
        let mut left = usize::try_from(self.0.bytes.bytes).unwrap_or(usize::MAX);
        for child in query.children() {
            let key = key(child)?;
            let element = Element::from_node(child);
            let xml = kept.entry(key).or_default();
            if element != Element::new(element.ns(), element.name()) {
                let text = element.to_xml("");
                left = left.checked_sub(text.len()).ok_or_else(full)?;
                xml.push_str(&text);
                if xml.len() > RECORD_BYTES_MAX {
                    return Err(full());
                }
            }
        }
        Ok(kept)
    }

    /// Refuses what would be too much with what is there already.
    fn make_sure_of_room(&self, coming: &Kept, cx: &mut Context<'_, '_>) -> Done {
        let mut all: BTreeMap<_, _> = BTreeMap::new();
        for (key, kept) in cx.all(&PRIVATE, u32::MAX)? {
            all.insert(key, kept.xml.len());
        }
        all.extend(coming.iter().map(|(key, xml)| (key.clone(), xml.len())));
        all.retain(|_, bytes| *bytes > 0);
        let bytes = all.values().sum::<usize>();
        let is_within = all.len() <= usize::try_from(self.0.items).unwrap_or(usize::MAX)
            && u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.0.bytes.bytes);
        // Who has too much since the operator allows less may still empty it.
        if is_within || coming.values().all(String::is_empty) { Ok(()) } else { Err(full()) }
    }
}

/// The longest record, with room for what stands around the text.
const RECORD_BYTES_MAX: usize = (1 << 20) - 64;

/// Returns what an element is kept under.
///
/// Some namespaces are the server's own (XEP-0049 §2.3), and one that is no namespace says nothing.
fn key(child: Node<'_>) -> Result<(String, String), StanzaError> {
    let ns = child.ns();
    let is_reserved =
        ns.starts_with("jabber:") || ns.starts_with("http://jabber.org/") || ns == ns::VCARD;
    if is_reserved
        || ns.is_empty()
        || ns.len() > KEY_BYTES_MAX
        || child.name().len() > KEY_BYTES_MAX
    {
        return Err(StanzaError::NOT_ACCEPTABLE);
    }
    Ok((ns.to_owned(), child.name().to_owned()))
}

/// The longest namespace, and the longest name.
const KEY_BYTES_MAX: usize = 512;

fn full() -> StanzaError {
    let text = "You keep as much as this server allows.";
    StanzaError::new(ErrorKind::Cancel, Condition::ResourceConstraint).with_text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_keeps_its_bytes() {
        let kept = PrivateXml { xml: "<x/>".to_owned() };
        assert_eq!(PRIVATE.encode(&kept), b"\x01\x04<x/>");
        assert_eq!(PRIVATE.name, "private.items");
    }
}
