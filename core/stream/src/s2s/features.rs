//! What is offered (RFC 6120 §4.3.2), and what of it is understood.

use xml::{Element, Flat, Node};
use xmpp::ns;

use super::{Offer, Offered, PeerSettings};
use crate::features::limits;

/// Over TLS, before anything is authenticated.
pub(crate) fn before_login(offer: &Offer, settings: &PeerSettings) -> Element {
    let mut features = Element::new(ns::STREAMS, "features");
    if offer.external {
        let external = Element::new(ns::SASL, "mechanism").with_text("EXTERNAL");
        features.push_child(Element::new(ns::SASL, "mechanisms").with_child(external));
    }
    if offer.bidi {
        features.push_child(Element::new(ns::BIDI_FEATURE, "bidi"));
    }
    for element in &offer.more {
        features.push_child(element.clone());
    }
    always(features, offer, settings)
}

/// After SASL.
pub(crate) fn after_login(offer: &Offer, settings: &PeerSettings) -> Element {
    always(Element::new(ns::STREAMS, "features"), offer, settings)
}

/// With dialback there is no second list of features, so the first says what holds after it.
fn always(mut features: Element, offer: &Offer, settings: &PeerSettings) -> Element {
    if offer.dialback {
        let errors = Element::new(ns::DIALBACK_FEATURE, "errors");
        features.push_child(Element::new(ns::DIALBACK_FEATURE, "dialback").with_child(errors));
    }
    if offer.acks {
        features.push_child(Element::new(ns::SM, "sm"));
    }
    features.with_child(limits(settings.stanza_bytes))
}

/// Reads what the peer offers.
pub(crate) fn read(features: Node<'_>, declares_dialback: bool) -> Offered {
    let mut offered = Offered { dialback: declares_dialback, ..Offered::default() };
    for child in features.children() {
        match (child.ns(), child.name()) {
            (ns::TLS, _) => {}
            (ns::SASL, "mechanisms") => {
                let is_external = |one: Node<'_>| {
                    one.is(ns::SASL, "mechanism") && one.text().trim() == "EXTERNAL"
                };
                offered.external |= child.children().any(is_external);
            }
            (ns::DIALBACK_FEATURE, "dialback") => offered.dialback = true,
            (ns::BIDI_FEATURE, "bidi") => offered.bidi = true,
            (ns::SM, "sm") => offered.acks = true,
            (ns::STREAM_LIMITS, "limits") => {
                let bytes = child.child_text(ns::STREAM_LIMITS, "max-bytes");
                offered.limits = bytes.and_then(|bytes| bytes.trim().parse().ok());
            }
            _ => {
                let xml = Element::from_node(child).to_xml("");
                offered.more.extend(Flat::parse(&xml, "").ok());
            }
        }
    }
    offered
}
