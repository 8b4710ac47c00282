//! What the server and its accounts can do: service discovery (XEP-0030) and entity capabilities
//! (XEP-0115).

use calypte::prelude::*;

/// Service discovery and entity capabilities.
#[derive(Debug)]
pub struct Disco;

calypte::export!(Disco);

impl Module for Disco {
    const NAME: &'static str = "disco";
    const ABOUT: &'static str = "Tells clients and servers what can be done here.";
    const XEPS: &'static [Xep] = &[Xep("0030", "2.5.0"), Xep("0115", "1.6.0")];
    const FEATURES: &'static [Feature] = &[
        Feature::Everywhere(ns::DISCO_INFO),
        Feature::Everywhere(ns::DISCO_ITEMS),
        Feature::Domain(ns::CAPS),
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_get(On::Domain, ns::DISCO_INFO, "query", Self::domain_info),
        Hook::iq_get(On::Domain, ns::DISCO_ITEMS, "query", Self::domain_items),
        Hook::iq_get(On::AccountFromAnyone, ns::DISCO_INFO, "query", Self::account_info),
        Hook::iq_get(On::AccountFromAnyone, ns::DISCO_ITEMS, "query", Self::account_items),
        Hook::stream_feature(Self::caps),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Disco {
    fn domain_info(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (name, ..) = cx.software()?;
        let mut answer = Element::new(ns::DISCO_INFO, "query");
        if let Some(node) = node(request)? {
            // XEP-0115 §6.2. The only node is the one that the stream feature names.
            if node != caps_node(&name, &cx.caps()?) {
                return Err(StanzaError::ITEM_NOT_FOUND);
            }
            answer.push_attr("node", &node);
        }
        answer.push_child(identity("server", "im").with_attr("name", &name));
        list_features(&mut answer, &cx.features(true)?);
        Ok(Reply::With(answer))
    }

    fn domain_items(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        if node(request)?.is_some() {
            return Err(StanzaError::ITEM_NOT_FOUND);
        }
        let mut answer = Element::new(ns::DISCO_ITEMS, "query");
        for jid in cx.served()? {
            answer.push_child(Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", &jid));
        }
        Ok(Reply::With(answer))
    }

    fn account_info(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        admit(request, cx)?;
        if node(request)?.is_some() {
            return Err(StanzaError::ITEM_NOT_FOUND);
        }
        let mut answer = Element::new(ns::DISCO_INFO, "query");
        answer.push_child(identity("account", "registered"));
        list_features(&mut answer, &cx.features(false)?);
        Ok(Reply::With(answer))
    }

    /// Lists the resources that those who may ask see anyway, by their presence (§4.1).
    fn account_items(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        admit(request, cx)?;
        if node(request)?.is_some() {
            return Err(StanzaError::ITEM_NOT_FOUND);
        }
        let mut answer = Element::new(ns::DISCO_ITEMS, "query");
        let account = cx.owner_jid();
        for session in cx.sessions()?.into_iter().filter(|session| session.available) {
            if let Ok(jid) = account.with_resource(&session.resource) {
                let item = Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", jid.as_str());
                answer.push_child(item);
            }
        }
        Ok(Reply::With(answer))
    }

    fn caps(&self, cx: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        let (name, ..) = cx.software()?;
        let caps = Element::new(ns::CAPS, "c")
            .with_attr("hash", "sha-1")
            .with_attr("node", &name)
            .with_attr("ver", &cx.caps()?);
        Ok(Some(caps))
    }
}

/// Lets the account's own clients ask, and contacts that see its presence. The others get what an
/// address without an account answers, so that accounts cannot be found by asking (§8).
fn admit(request: &Request<'_>, cx: &mut Context<'_, '_>) -> Result<(), StanzaError> {
    if cx.is_own(request.from) {
        return Ok(());
    }
    let contact = request.from.map(|from| cx.get(&tables::ROSTER, from.bare_str())).transpose()?;
    if contact.flatten().is_some_and(|contact| contact.from) {
        Ok(())
    } else {
        Err(StanzaError::SERVICE_UNAVAILABLE)
    }
}

fn node(request: &Request<'_>) -> Result<Option<String>, StanzaError> {
    Ok(request.query()?.attr("node").map(std::borrow::Cow::into_owned))
}

fn caps_node(name: &str, caps: &str) -> String {
    format!("{name}#{caps}")
}

fn identity(category: &str, kind: &str) -> Element {
    Element::new(ns::DISCO_INFO, "identity").with_attr("category", category).with_attr("type", kind)
}

fn list_features(answer: &mut Element, features: &[String]) {
    for feature in features {
        answer.push_child(Element::new(ns::DISCO_INFO, "feature").with_attr("var", feature));
    }
}
