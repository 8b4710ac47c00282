//! What the domain asks an account, in its own name: what its clients could ask as well. So it is
//! answered by the modules that answer those, as far as the operator lets people.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::{Ticket, wire};

use crate::sessions::User;
use crate::{NS, Pages, act, devices};

/// The most contacts in a file.
const CONTACTS_MAX: u32 = 10_000;

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum Waits {
    /// The domain, for what an account says.
    Account(Ticket),
    /// A page of the user whose cookie has this value.
    Page(Ticket, String, About),
}

/// What a page asked an account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum About {
    /// Which apps there are, for the page with this said above it.
    Devices(String),
    /// To throw an app out.
    Revoke,
    /// To make an invitation.
    Invite,
    /// Its contacts.
    Contacts,
}

/// What an account answered: an element, or an error with what it means for programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a>(Option<Node<'a>>);

impl<'a> Told<'a> {
    /// Returns what the account answered, when it did what it was asked.
    pub(crate) fn payload(&self) -> Option<Node<'a>> {
        self.0.filter(|_| self.is_done())?.children().next()
    }

    /// Tells whether it did.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_some_and(|told| told.attr("type").as_deref() == Some("result"))
    }

    /// Tells whether an error has this element.
    pub(crate) fn has(&self, ns: &str, name: &str) -> bool {
        let error = self.0.and_then(|told| told.children().next());
        error.is_some_and(|error| error.has_child(ns, name))
    }

    /// Returns what an error says to people.
    pub(crate) fn text(&self) -> Option<String> {
        let error = self.0?.children().next()?;
        error.child_text(ns::STANZA_ERRORS, "text").map(std::borrow::Cow::into_owned)
    }
}

/// Asks the account of `user` for a page.
pub(crate) fn ask(
    cx: &mut Context<'_, '_>,
    user: &User,
    about: About,
    (kind, payload): (&str, Element),
) -> Result<Served, StanzaError> {
    let ticket = cx.later()?;
    let account = format!("{}@{}", user.name, cx.domain());
    let ask = Element::new(NS, "ask").with_attr("type", kind).with_child(payload);
    let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "set").with_attr("to", &account);
    let waits = Waits::Page(ticket, user.value(), about);
    cx.request(&iq.with_child(ask), &wire::encode(&waits))?;
    Ok(Served::Later)
}

/// Returns the contacts of the owner (RFC 6121 §2.1). A client that asks for them is told of changes
/// from then on, so this is no request.
fn contacts(cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let mut query = Element::new(ns::ROSTER, "query");
    for (jid, contact) in cx.all(&tables::ROSTER, CONTACTS_MAX)? {
        if !contact.listed {
            continue;
        }
        let subscription = match (contact.to, contact.from) {
            (true, true) => "both",
            (true, false) => "to",
            (false, true) => "from",
            (false, false) => "none",
        };
        let mut item = Element::new(ns::ROSTER, "item").with_attr("jid", &jid);
        if let Some(name) = &contact.name {
            item.push_attr("name", name);
        }
        item.push_attr("subscription", subscription);
        if contact.asked {
            item.push_attr("ask", "subscribe");
        }
        for group in &contact.groups {
            item.push_child(Element::new(ns::ROSTER, "group").with_text(group));
        }
        query.push_child(item);
    }
    Ok(query)
}

impl Pages {
    /// The account asks itself what its domain wants to know.
    pub(crate) fn ask_own(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        if request.from.is_none_or(|from| from.as_str() != cx.domain()) {
            return Err(StanzaError::SERVICE_UNAVAILABLE);
        }
        let ask = request.query()?;
        let payload = ask.children().next().ok_or(StanzaError::BAD_REQUEST)?;
        if payload.is(NS, "contacts") {
            let told = Element::new(NS, "told").with_attr("type", "result");
            return Ok(Reply::With(told.with_child(contacts(cx)?)));
        }
        let own = cx.owner_jid();
        let iq = Element::new(ns::CLIENT, "iq")
            .with_attr("type", &ask.attr("type").unwrap_or_default())
            .with_attr("to", own.as_str())
            .with_child(Element::from_node(payload));
        let ticket = cx.later()?;
        cx.request(&iq, &wire::encode(&Waits::Account(ticket)))?;
        Ok(Reply::Later)
    }

    /// An account was answered, or answers its domain.
    pub(crate) fn answered(
        &self,
        cookie: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let waits = wire::decode(cookie).ok_or(StanzaError::INTERNAL)?;
        let (ticket, value, about) = match waits {
            Waits::Account(ticket) => {
                let kind = if answer.is_error() { "error" } else { "result" };
                let mut told = Element::new(NS, "told").with_attr("type", kind);
                let error = answer.child(ns::CLIENT, "error");
                let payload = if answer.is_error() { error } else { answer.payload() };
                if let Some(payload) = payload {
                    told.push_child(Element::from_node(payload));
                }
                return cx.answer(ticket, Ok(Reply::With(told)));
            }
            Waits::Page(ticket, value, about) => (ticket, value, about),
        };
        let told = Told(answer.child(NS, "told").filter(|_| !answer.is_error()));
        // It may have ended meanwhile.
        let page = match User::find(cx, &value)? {
            None => act::log_in_again(),
            Some(user) => match about {
                About::Devices(said) => devices::draw(cx, &user, &said, told)?,
                About::Revoke => devices::revoked(told),
                About::Invite => act::invited(told),
                About::Contacts => act::contacts(&user, cx.domain(), told),
            },
        };
        cx.answer_page(ticket, &page)
    }
}
