//! Clients that are not looked at get what is not important later (XEP-0352).
//!
//! A client says when nobody looks at it. From then on the engine asks here about each message and
//! presence for it: what a person would want to know of goes on at once, with all that waited before
//! it; the rest waits, and of what only says how things are now, the newest is kept.

use calypte::prelude::*;
use serde::Deserialize;

/// The operator's settings, `[modules.csi]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Namespaces of what is important, besides what is known here.
    pub important: Vec<String>,
}

/// Clients that are not looked at get what is not important later.
#[derive(Debug)]
pub struct Csi(Config);

calypte::export!(Csi);

impl Module for Csi {
    const NAME: &'static str = "csi";
    const ABOUT: &'static str = "Saves the battery of phones that nobody looks at.";
    const XEPS: &'static [Xep] = &[Xep("0352", "1.0.0"), Xep("0386", "1.1.0")];
    const KEYS: &'static [ConfigKey] = &[ConfigKey {
        name: "important",
        kind: "list",
        default: "[]",
        about: "Namespaces of elements in messages that do not wait, besides text, encrypted messages, \
                calls, invitations and errors.",
    }];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::stream_feature(Self::feature),
        Hook::bound(Some(ns::CSI), Self::bound),
        Hook::inactive(Self::judge),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        Ok(Self(config))
    }
}

impl Csi {
    fn feature(&self, _: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        Ok(Some(Element::new(ns::CSI, "csi")))
    }

    /// A client says while it logs in that nobody looks at it (XEP-0386 §3.2): no answer is needed.
    fn bound(
        &self,
        bind: &Bind<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Element>, StanzaError> {
        if bind.asks(ns::CSI, "inactive").is_some() {
            cx.set_inactive(true)?;
        }
        Ok(None)
    }

    fn judge(&self, stanza: StanzaRef<'_>, cx: &mut Context<'_, '_>) -> Result<When, StanzaError> {
        // It ends a notification.
        let is_read = || cx.is_own(stanza.from) && is_read_elsewhere(stanza);
        if calypte::is_important(stanza) || self.is_wanted(stanza) || is_read() {
            return Ok(When::Now);
        }
        cx.count("held", 1)?;
        Ok(name(stanza).map_or(When::Later, When::Newest))
    }

    fn is_wanted(&self, stanza: StanzaRef<'_>) -> bool {
        let is_wanted = |node: Node<'_>| self.0.important.iter().any(|name| name == node.ns());
        stanza.payloads().any(is_wanted)
    }
}

/// Returns the name of what a stanza tells the state of: only the newest of a name is of use.
fn name(stanza: StanzaRef<'_>) -> Option<String> {
    let from = stanza.from?.as_str();
    if stanza.kind == Kind::Presence {
        return Some(format!("presence {from}"));
    }
    // XEP-0085 §5.8: a notification that stands alone.
    let is_state = |node: Node<'_>| {
        matches!(node.ns(), ns::CHAT_STATES | ns::HINTS) || node.is(ns::CLIENT, "thread")
    };
    if stanza.payloads().any(|node| node.ns() == ns::CHAT_STATES) && stanza.payloads().all(is_state)
    {
        return Some(format!("state {} {from}", stanza.ty.unwrap_or("")));
    }
    published(stanza).map(|(node, item)| format!("item {from} {node} {item}"))
}

/// Tells whether a stanza tells of the node that says up to where conversations are read (XEP-0490).
fn is_read_elsewhere(stanza: StanzaRef<'_>) -> bool {
    let event = stanza.child(ns::PUBSUB_EVENT, "event");
    let items = event.and_then(|event| event.child(ns::PUBSUB_EVENT, "items"));
    items.is_some_and(|items| items.attr("node").as_deref() == Some(ns::DISPLAYED))
}

/// Returns the node and the name of the one item that was published or taken back (XEP-0060 §7).
fn published(stanza: StanzaRef<'_>) -> Option<(String, String)> {
    let items = stanza.child(ns::PUBSUB_EVENT, "event")?.child(ns::PUBSUB_EVENT, "items")?;
    let mut all = items.children();
    let (item, None) = (all.next()?, all.next()) else { return None };
    Some((items.attr("node")?.into_owned(), item.attr("id")?.into_owned()))
}
