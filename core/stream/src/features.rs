//! What we offer at each stage (RFC 6120 §4.3.2).

use xml::Element;
use xmpp::ns;

use crate::mechanism::Forms;
use crate::{Channel, Settings, mechanism, upgrade};

/// Before TLS: nothing but TLS.
pub(crate) fn before_tls() -> Element {
    let starttls = Element::new(ns::TLS, "starttls").with_child(Element::new(ns::TLS, "required"));
    Element::new(ns::STREAMS, "features").with_child(starttls)
}

/// Before login.
pub(crate) fn before_login(settings: &Settings, channel: &Channel, forms: Forms) -> Element {
    let mut sasl = Element::new(ns::SASL, "mechanisms");
    let mut sasl2 = Element::new(ns::SASL2, "authentication");
    for (_, name) in mechanism::offered(settings, channel, forms) {
        sasl.push_child(Element::new(ns::SASL, "mechanism").with_text(name));
        sasl2.push_child(Element::new(ns::SASL2, "mechanism").with_text(name));
    }
    sasl2.push_child(inline(settings, channel));
    for name in upgrade::names() {
        sasl2.push_child(Element::new(ns::SASL_UPGRADE, "upgrade").with_text(name));
    }
    let mut features = Element::new(ns::STREAMS, "features").with_child(sasl).with_child(sasl2);
    if let Channel::Tls(facts) = channel
        && !facts.bindings().is_empty()
    {
        let mut types = Element::new(ns::CHANNEL_BINDING, "sasl-channel-binding");
        for name in facts.bindings() {
            let one = Element::new(ns::CHANNEL_BINDING, "channel-binding").with_attr("type", name);
            types.push_child(one);
        }
        features.push_child(types);
    }
    for xml in &settings.early_features {
        features.push_raw(xml.clone());
    }
    features.with_child(limits(crate::wire::BEFORE_LOGIN.stanza_bytes))
}

/// What can be done together with the login (XEP-0388 §2.2, XEP-0386 §3, XEP-0484 §3.1).
fn inline(settings: &Settings, channel: &Channel) -> Element {
    let mut inside = Element::new(ns::BIND2, "inline");
    for name in &settings.inline_features {
        inside.push_child(Element::new(ns::BIND2, "feature").with_attr("var", name));
    }
    inside.push_child(Element::new(ns::BIND2, "feature").with_attr("var", ns::SM));
    let bind = Element::new(ns::BIND2, "bind").with_child(inside);
    let mut inline = Element::new(ns::SASL2, "inline").with_child(bind);
    if settings.resume_seconds > 0 {
        inline.push_child(Element::new(ns::SM, "sm"));
    }
    // Without `tls-0rtt`: our TLS takes no early data.
    let mut tokens = mechanism::for_tokens(settings, channel).peekable();
    if tokens.peek().is_some() {
        let mut fast = Element::new(ns::FAST, "fast");
        for (_, name) in tokens {
            fast.push_child(Element::new(ns::FAST, "mechanism").with_text(name));
        }
        inline.push_child(fast);
    }
    inline
}

/// After login: what was not done together with it.
pub(crate) fn after_login(settings: &Settings, is_bound: bool, has_acks: bool) -> Element {
    let mut features = Element::new(ns::STREAMS, "features");
    if !is_bound {
        features.push_child(Element::new(ns::BIND, "bind"));
        let optional = Element::new(ns::SESSION, "optional");
        features.push_child(Element::new(ns::SESSION, "session").with_child(optional));
    }
    // A client that has it and sees it once more asks again, and is refused.
    if !has_acks {
        features.push_child(Element::new(ns::SM, "sm"));
    }
    features.push_child(limits(settings.stanza_bytes));
    for xml in &settings.more_features {
        features.push_raw(xml.clone());
    }
    features
}

/// XEP-0478.
pub(crate) fn limits(stanza_bytes: usize) -> Element {
    let bytes = Element::new(ns::STREAM_LIMITS, "max-bytes").with_text(&stanza_bytes.to_string());
    Element::new(ns::STREAM_LIMITS, "limits").with_child(bytes)
}
