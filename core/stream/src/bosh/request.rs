//! What a client posts.

use xml::{Element, Flat, Limits, Node};
use xmpp::ns;

use super::{HOLD_MAX, WAIT_SECONDS_MAX};

/// The highest number of a request (XEP-0124 §14.1).
pub(super) const RID_MAX: u64 = (1 << 53) - 1;
/// What the wrapper of a request may add to the stanzas in it, in bytes.
const WRAPPER_BYTES: usize = 8_192;

/// What a client posted.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The session; `None`: it wants one.
    pub sid: Option<String>,
    pub(super) rid: u64,
    pub(super) wait: u64,
    pub(super) hold: usize,
    to: Option<String>,
    from: Option<String>,
    version: Option<String>,
    pub(super) is_restart: bool,
    pub(super) is_end: bool,
    pub(super) pause: Option<u64>,
    pub(super) content: Vec<String>,
}

impl Request {
    /// Returns how long a request may be whose stanzas may have `stanza_bytes`.
    #[must_use]
    pub const fn bytes_max(stanza_bytes: usize) -> usize {
        stanza_bytes.saturating_add(WRAPPER_BYTES)
    }

    /// Reads a request whose stanzas may have `stanza_bytes`, as it came and when each says its
    /// namespaces; `None` when it is none.
    #[must_use]
    pub fn read(text: &str, stanza_bytes: usize) -> Option<Self> {
        let client = Limits::client();
        let limits = Limits {
            stanza_bytes: Self::bytes_max(stanza_bytes),
            depth: client.depth.saturating_add(1),
            ..client
        };
        let flat = Flat::parse_message(without_declaration(text), "", &limits).ok()?;
        let body = flat.root();
        if !body.is(ns::HTTP_BIND, "body") {
            return None;
        }
        let attr = |name| body.attr(name).map(std::borrow::Cow::into_owned);
        let number = |name| body.attr(name).map(|value| value.trim().parse::<u64>());
        let of_xmpp = |name| body.attr_in(ns::XBOSH, name).map(std::borrow::Cow::into_owned);
        let rid = number("rid")?.ok().filter(|rid| (1..=RID_MAX).contains(rid))?;
        let hold = number("hold").transpose().ok()?.unwrap_or(1);
        let mut left = limits.stanza_bytes;
        let content = body.children().map(|child| message(child, &mut left));
        Some(Self {
            sid: attr("sid"),
            rid,
            wait: number("wait").transpose().ok()?.unwrap_or(WAIT_SECONDS_MAX),
            hold: usize::try_from(hold).unwrap_or(HOLD_MAX),
            to: attr("to"),
            from: attr("from"),
            version: of_xmpp("version"),
            is_restart: matches!(of_xmpp("restart").as_deref(), Some("true" | "1")),
            is_end: body.attr("type").as_deref() == Some("terminate"),
            pause: number("pause").transpose().ok()?,
            content: content.collect::<Option<_>>()?,
        })
    }

    /// Returns the header of the stream that it begins.
    pub(super) fn opening(&self, domain: &str) -> String {
        let mut open = Element::new(ns::FRAMING, "open");
        open.push_attr("to", self.to.as_deref().unwrap_or(domain));
        // XEP-0206 §4. A client of before says no version, and is none that could log in.
        open.push_attr("version", self.version.as_deref().unwrap_or("1.0"));
        if let Some(from) = &self.from {
            open.push_attr("from", from);
        }
        open.to_xml("")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty() && !self.is_restart && !self.is_end && self.pause.is_none()
    }
}

/// Some clients begin as if it were a document.
fn without_declaration(text: &str) -> &str {
    let text = text.trim();
    let rest = text.strip_prefix("<?xml").and_then(|text| text.split_once("?>"));
    rest.map_or(text, |(_, rest)| rest.trim_start())
}

/// Copies an element so that it says all its namespaces; `None` when that is more than `left`, from
/// which it is taken.
fn message(node: Node<'_>, left: &mut usize) -> Option<String> {
    // What is declared once may be said by thousands, so it is counted before it is written.
    let mut to_say = *left;
    say_namespaces(node, "", &mut to_say)?;
    // What says none means stanzas, as on a stream, and not the wrapper.
    let mut element = Element::from_node(node);
    element.rename_ns(ns::HTTP_BIND, ns::CLIENT);
    let text = element.to_xml("");
    *left = left.checked_sub(text.len())?;
    Some(text)
}

/// Takes from `left` what a copy says of namespaces at least; `None` when it is too much.
fn say_namespaces(node: Node<'_>, parent_ns: &str, left: &mut usize) -> Option<()> {
    let own = if node.ns() == parent_ns { 0 } else { node.ns().len() };
    *left = left.checked_sub(own)?;
    for (ns, ..) in node.attrs() {
        *left = left.checked_sub(ns.len())?;
    }
    node.children().try_for_each(|child| say_namespaces(child, node.ns(), left))
}
