//! What the server and its accounts can do: service discovery (XEP-0030) and hashes of it (XEP-0115,
//! XEP-0390), put together from what all modules say.

use calypte::prelude::*;
use calypte::wire::DiscoveryAsked;

mod before;
mod hashes;

use hashes::Hashes;

/// Service discovery and entity capabilities.
#[derive(Debug)]
pub struct Disco;

calypte::export!(Disco);

impl Module for Disco {
    const NAME: &'static str = "disco";
    const ABOUT: &'static str = "Tells clients and servers what can be done here.";
    const XEPS: &'static [Xep] =
        &[Xep("0030", "2.5.0"), Xep("0115", "1.6.0"), Xep("0128", "1.0.1"), Xep("0390", "0.3.2")];
    const FEATURES: &'static [Feature] = &[
        Feature::Everywhere(ns::DISCO_INFO),
        Feature::Everywhere(ns::DISCO_ITEMS),
        Feature::Domain(ns::CAPS),
        Feature::Domain(ns::CAPS_HASHES),
    ];
    const IDENTITIES: &'static [Identity] = &[Identity::Account("account", "registered")];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::started(Self::started),
        Hook::iq_get(On::Domain, ns::DISCO_INFO, "query", Self::domain_info),
        Hook::iq_get(On::Domain, ns::DISCO_ITEMS, "query", Self::domain_items),
        Hook::iq_get(On::AccountFromAnyone, ns::DISCO_INFO, "query", Self::account_info),
        Hook::iq_get(On::AccountFromAnyone, ns::DISCO_ITEMS, "query", Self::account_items),
        Hook::stream_feature(Self::caps),
        Hook::stream_feature(Self::caps_hashes),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Disco {
    /// The server runs, or has other modules and settings.
    fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        let answer = domain(cx)?;
        before::remember(&answer, cx)
    }

    fn domain_info(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let answer = domain(cx)?;
        before::remember(&answer, cx)?;
        let Some(node) = node(request)? else { return Ok(Reply::With(answer)) };
        // XEP-0115 §6.2, XEP-0390 §4.5: the nodes that the stream features name, or named before.
        if let Some(answer) = before::find(&node, cx)? {
            return Ok(Reply::With(answer));
        }
        of_node(request, cx, node, true, false)
    }

    fn domain_items(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        if let Some(node) = node(request)? {
            return of_node(request, cx, node, true, true);
        }
        let mut answer = Element::new(ns::DISCO_ITEMS, "query");
        for jid in cx.served()? {
            answer.push_child(Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", &jid));
        }
        add(&mut answer, cx, &asked(request, None, true, true))?;
        Ok(Reply::With(answer))
    }

    fn account_info(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        admit(request, cx)?;
        if let Some(node) = node(request)? {
            return of_node(request, cx, node, false, false);
        }
        let mut answer = Element::new(ns::DISCO_INFO, "query");
        describe(&mut answer, cx, false)?;
        add(&mut answer, cx, &asked(request, None, false, false))?;
        Ok(Reply::With(answer))
    }

    /// Lists the resources that those who may ask see anyway, by their presence (§4.1).
    fn account_items(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        admit(request, cx)?;
        if let Some(node) = node(request)? {
            return of_node(request, cx, node, false, true);
        }
        let mut answer = Element::new(ns::DISCO_ITEMS, "query");
        let account = cx.owner_jid();
        for session in cx.sessions()?.into_iter().filter(|session| session.available) {
            if let Ok(jid) = account.with_resource(&session.resource) {
                let item = Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", jid.as_str());
                answer.push_child(item);
            }
        }
        add(&mut answer, cx, &asked(request, None, false, true))?;
        Ok(Reply::With(answer))
    }

    fn caps(&self, cx: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        let answer = domain(cx)?;
        Ok(Hashes::of(&answer, cx)?.caps())
    }

    fn caps_hashes(&self, cx: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        let answer = domain(cx)?;
        Ok(Hashes::of(&answer, cx)?.caps_hashes())
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

fn asked(
    request: &Request<'_>,
    node: Option<String>,
    of_domain: bool,
    items: bool,
) -> DiscoveryAsked {
    let from = request.from.map(|from| from.as_str().to_owned());
    DiscoveryAsked { of_domain, items, node, from }
}

/// Has the module answer that the node belongs to.
fn of_node(
    request: &Request<'_>,
    cx: &mut Context<'_, '_>,
    node: String,
    of_domain: bool,
    items: bool,
) -> IqResult {
    let ns = if items { ns::DISCO_ITEMS } else { ns::DISCO_INFO };
    let mut answer = Element::new(ns, "query").with_attr("node", &node);
    let shown = cx.discover(&asked(request, Some(node), of_domain, items))?;
    for element in shown.ok_or(StanzaError::ITEM_NOT_FOUND)? {
        answer.push_raw(element);
    }
    Ok(Reply::With(answer))
}

/// Returns what the domain is and can do, the same for everybody.
fn domain(cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let (name, ..) = cx.software()?;
    let mut answer = Element::new(ns::DISCO_INFO, "query");
    answer.push_child(identity("server", "im").with_attr("name", &name));
    describe(&mut answer, cx, true)?;
    let asked = DiscoveryAsked { of_domain: true, items: false, node: None, from: None };
    add(&mut answer, cx, &asked)?;
    Ok(answer)
}

/// Lists identities and features.
fn describe(
    answer: &mut Element,
    cx: &mut Context<'_, '_>,
    of_domain: bool,
) -> Result<(), StanzaError> {
    for (category, kind) in cx.identities(of_domain)? {
        answer.push_child(identity(&category, &kind));
    }
    for feature in cx.features(of_domain)? {
        answer.push_child(Element::new(ns::DISCO_INFO, "feature").with_attr("var", &feature));
    }
    Ok(())
}

/// Adds what the other modules show.
fn add(
    answer: &mut Element,
    cx: &mut Context<'_, '_>,
    asked: &DiscoveryAsked,
) -> Result<(), StanzaError> {
    for element in cx.discover(asked)?.unwrap_or_default() {
        answer.push_raw(element);
    }
    Ok(())
}

fn identity(category: &str, kind: &str) -> Element {
    Element::new(ns::DISCO_INFO, "identity").with_attr("category", category).with_attr("type", kind)
}
