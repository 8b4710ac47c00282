//! What the module can be told to do: one element, one call of [`Context`].

use bincode::{Decode, Encode};
use calypte::notice::{AccountWish, Notice, RosterChanged, Wish};
use calypte::prelude::*;
use calypte::wire::{Password, Range};

/// The namespace of what the module is told.
pub(crate) const NS: &str = "urn:example:probe";

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Text(pub(crate) String);

record!(Text, 1);

/// A number under the name that a [`Text`] has, to find a broken record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Number(u64, u64, u64);

record!(Number, 2);

/// A notice of this module.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Told(pub(crate) String);

impl Notice for Told {
    const NAME: &'static str = "probe.told";
}

pub(crate) const ACCOUNT: Table<str, Text> = Table::account("probe.account");
const DOMAIN: Table<str, Text> = Table::domain("probe.domain");
const VOLATILE: Table<str, Text> = Table::volatile_account("probe.volatile");
const VOLATILE_DOMAIN: Table<str, Text> = Table::volatile_domain("probe.volatile-domain");
const FOREIGN: Table<str, Text> = Table::account("roster.items");
const NEAR: Table<str, Text> = Table::account("probes.account");
const BROKEN: Table<str, Number> = Table::account("probe.account");

fn table(name: &str) -> &'static Table<str, Text> {
    match name {
        "domain" => &DOMAIN,
        "volatile" => &VOLATILE,
        "volatile-domain" => &VOLATILE_DOMAIN,
        "foreign" => &FOREIGN,
        "near" => &NEAR,
        _ => &ACCOUNT,
    }
}

/// Does what the children of `node` say, in order, and returns what was read.
pub(crate) fn all(node: Node<'_>, cx: &mut Context<'_, '_>) -> Result<Vec<Element>, StanzaError> {
    let mut out = Vec::new();
    for word in node.children() {
        one(word, cx, &mut out)?;
    }
    Ok(out)
}

/// Returns what was read as the answer to a request.
pub(crate) fn reply(read: Vec<Element>) -> Reply {
    if read.is_empty() {
        return Reply::Empty;
    }
    if read.iter().any(|one| one.name() == "later") {
        return Reply::Later;
    }
    let mut did = Element::new(NS, "did");
    read.into_iter().for_each(|one| did.push_child(one));
    Reply::With(did)
}

fn said(name: &str, text: &str) -> Element {
    Element::new(NS, name).with_text(text)
}

fn list(name: &str, all: &[String]) -> Element {
    said(name, &all.join(" "))
}

fn one(
    word: Node<'_>,
    cx: &mut Context<'_, '_>,
    out: &mut Vec<Element>,
) -> Result<(), StanzaError> {
    let attr = |name: &str| word.attr(name).unwrap_or_default().into_owned();
    let number = |name: &str| attr(name).parse::<u64>().unwrap_or(0);
    let text = word.text().into_owned();
    match word.name() {
        "put" => cx.put(table(&attr("in")), attr("key").as_str(), &Text(text))?,
        "big" => {
            let size = usize::try_from(number("bytes")).unwrap_or(0);
            cx.put(table(&attr("in")), attr("key").as_str(), &Text("x".repeat(size)))?;
        }
        "get" => {
            let found = cx.get(table(&attr("in")), attr("key").as_str())?;
            out.push(said("got", &found.map_or_else(|| "nothing".to_owned(), |text| text.0)));
        }
        "delete" => cx.delete(table(&attr("in")), attr("key").as_str())?,
        "break" => cx.put(&BROKEN, attr("key").as_str(), &Number(1, 2, 3))?,
        "all" | "scan" => out.push(rows(word, cx)?),
        "send" => cx.send(&inner(word))?,
        "send-text" => cx.send_xml(&text)?,
        "send-each" => {
            let to = attr("to");
            let recipients: Vec<_> = to.split_whitespace().collect();
            cx.send_each(&text, &recipients)?;
        }
        "deliver" => cx.deliver(&attr("to"), &inner(word))?,
        "hand-over" => {
            let since_ms = cx.now_ms().saturating_sub(number("ago-ms"));
            cx.hand_over(&attr("to"), since_ms, &text)?;
        }
        "hold" => cx.hold(&attr("resource"), attr("held") == "yes")?,
        "since" => out.push(match cx.since_ms()? {
            Some(since_ms) => said("since", &cx.now_ms().saturating_sub(since_ms).to_string()),
            None => said("since", "now"),
        }),
        "request" => cx.request(&inner(word), attr("cookie").as_bytes())?,
        "close" => {
            let why = StreamError::of(&attr("why")).unwrap_or(StreamError::Reset);
            cx.close(&attr("resource"), why)?;
        }
        "wake" => {
            let at = cx.now_ms().saturating_add(number("in-ms"));
            cx.wake_at(at, &attr("name"))?;
        }
        "no-wake" => cx.no_wake(&attr("name"))?,
        "tell" => cx.tell(&Told(text))?,
        "tell-roster" => {
            let (contact, now) = (text, (false, true));
            cx.tell(&RosterChanged { contact, from: now, to: now })?;
        }
        "tell-wish" => {
            let by = ("pages".to_owned(), Vec::new());
            cx.tell(&AccountWish { by, wish: Wish::Remove { name: text } })?;
        }
        "value" => cx.set_value(&attr("name"), text.as_bytes())?,
        "count" => cx.count(&attr("name"), number("by"))?,
        "log" => cx.log(&text),
        "look" => cx.look(&look(word), attr("cookie").as_bytes())?,
        "account" | "await-account" | "await-nothing" => put_off(word, cx, out)?,
        "panic" => broken(),
        "fail" => {
            let condition = Condition::of(&attr("why")).unwrap_or(Condition::UndefinedCondition);
            let error = StanzaError::new(ErrorKind::Cancel, condition);
            let detail = word.children().next().map(Element::from_node);
            return Err(match detail {
                Some(detail) => error.with_detail(&detail),
                None => error,
            });
        }
        _ => out.push(about(word, cx)?),
    }
    Ok(())
}

fn look(word: Node<'_>) -> Look {
    let text = |name: &str| word.attr(name).map(std::borrow::Cow::into_owned);
    let port = text("port").and_then(|port| port.parse().ok()).unwrap_or(0);
    match (text("https"), text("spki")) {
        (Some(url), _) => Look::Https { url, limit: 100 },
        (None, Some(domain)) => Look::Spki { domain, port },
        (None, None) => Look::Txt { name: text("txt").unwrap_or_default() },
    }
}

fn put_off(
    word: Node<'_>,
    cx: &mut Context<'_, '_>,
    out: &mut Vec<Element>,
) -> Result<(), StanzaError> {
    if word.name() == "account" {
        let cookie = word.attr("cookie").unwrap_or_default();
        return cx.change_account(&account(word), cookie.as_bytes());
    }
    let ticket = cx.later()?;
    out.push(said("later", ""));
    if word.name() == "await-account" {
        cx.change_account(&account(word), &ticket.to_le_bytes())?;
    }
    Ok(())
}

fn account(word: Node<'_>) -> AccountWork {
    let attr = |name: &str| word.attr(name).map(std::borrow::Cow::into_owned);
    let name = attr("name").unwrap_or_default();
    let password = Password::new(&attr("password").unwrap_or_default());
    match attr("do").as_deref() {
        Some("create") => AccountWork::Create { name, password },
        Some("delete") => AccountWork::Delete { name },
        Some("disable") => AccountWork::SetDisabled { name, disabled: true },
        _ => AccountWork::SetPassword { name, password },
    }
}

#[expect(clippy::panic, reason = "what a broken module does")]
fn broken() {
    panic!("told to");
}

/// Answers questions about the server and the owner.
fn about(word: Node<'_>, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let name = word.name();
    Ok(match name {
        "now" => said(name, &cx.now_ms().to_string()),
        "owner" => said(name, cx.owner().as_str()),
        "domain" => said(name, cx.domain()),
        "session" => {
            let row = cx.session()?;
            let values = row
                .values
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
            let values = values.collect::<Vec<_>>();
            list(name, &values)
                .with_attr("resource", &row.resource)
                .with_attr("priority", &row.priority.to_string())
                .with_attr("available", &row.available.to_string())
        }
        "sessions" => {
            let rows = cx.sessions()?;
            let shown = |away| if away { " (away)" } else { "" };
            let rows = rows.iter().map(|row| format!("{}{}", row.resource, shown(row.away)));
            list(name, &rows.collect::<Vec<_>>())
        }
        "targets" => list(name, &cx.targets()?),
        "bystanders" => {
            let rows = cx.bystanders()?;
            list(name, &rows.into_iter().map(|row| row.resource).collect::<Vec<_>>())
        }
        "random" => {
            let (first, second) = (cx.random(40)?, cx.random(40)?);
            let name_of = cx.random_name(12)?;
            let is_fine = first.len() == 40 && first != second && name_of.len() == 12;
            said(name, &is_fine.to_string())
        }
        "is-account" => said(name, &cx.is_account()?.to_string()),
        "features" => list(name, &cx.features(word.attr("of").as_deref() == Some("domain"))?),
        "identities" => {
            let all = cx.identities(word.attr("of").as_deref() == Some("domain"))?;
            list(name, &all.iter().map(|(one, kind)| format!("{one}/{kind}")).collect::<Vec<_>>())
        }
        "served" => list(name, &cx.served()?),
        "commands" => {
            let all = cx.commands()?;
            let lines = all.iter().map(|one| format!("{}:{:?}:{}", one.node, one.who, one.title));
            list(name, &lines.collect::<Vec<_>>())
        }
        "software" => {
            let (name_of, version, _) = cx.software()?;
            said(name, &format!("{name_of} {version}"))
        }
        _ => return Err(StanzaError::BAD_REQUEST),
    })
}

fn rows(word: Node<'_>, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let attr = |name: &str| word.attr(name).map(std::borrow::Cow::into_owned);
    let table = table(&attr("in").unwrap_or_default());
    let limit = attr("limit").and_then(|text| text.parse().ok()).unwrap_or(100);
    let rows = if word.name() == "all" {
        cx.all(table, limit)?
    } else {
        let range = Range {
            to: attr("to").map(String::into_bytes),
            limit,
            reverse: attr("reverse").is_some(),
        };
        cx.scan(table, attr("from").unwrap_or_default().as_bytes(), &range)?
    };
    let rows = rows.into_iter().map(|(key, text)| format!("{key}={}", text.0));
    Ok(list("rows", &rows.collect::<Vec<_>>()))
}

/// Returns the first element inside, as a stanza.
fn inner(word: Node<'_>) -> Element {
    let first = word.children().next();
    first.map_or_else(|| Element::new(ns::CLIENT, "nothing"), Element::from_node)
}
