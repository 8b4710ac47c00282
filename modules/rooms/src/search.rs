//! Rooms that are found by words (XEP-0433).

use calypte::prelude::*;
use xep::rsm::{Part, given};

use crate::form;
use crate::records::{INDEX, Listed};

/// The most rooms of an answer.
const PAGE: usize = 50;
/// The fewest letters of a word.
const WORD_MIN: usize = 2;
/// The most words of a search.
const WORDS_MAX: usize = 10;
const ADDRESS: &str = "{urn:xmpp:channel-search:0:order}address";
const ERRORS: &str = "urn:xmpp:channel-search:0:error";

fn fault(error: StanzaError, name: &str) -> StanzaError {
    error.with_detail(&Element::new(ERRORS, name))
}

/// Where words are searched.
struct Wanted {
    words: Vec<String>,
    places: [bool; 3],
}

/// Somebody searches, or wants the form.
pub(crate) fn search(asked: Node<'_>, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let Some(x) = asked.child(ns::DATA_FORMS, "x") else {
        return Ok(Element::new(ns::SEARCH, "search").with_child(to_fill()));
    };
    let fields = form::read(x, ns::SEARCH_PARAMS)?;
    let wanted = read(&fields)?;
    let part = asked.child(ns::RSM, "set").map(Part::read).transpose()?.unwrap_or_default();
    let mut rooms = Vec::new();
    if has_rooms(&fields) {
        rooms = cx.all(&INDEX, u32::MAX)?;
        rooms.retain(|(local, listed)| listed.is_public && wanted.fits(local, listed));
    }
    let count = u64::try_from(rooms.len()).ok();
    if let Some(after) = &part.after {
        rooms.retain(|(local, _)| local > after);
    }
    let max = part.max.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE).min(PAGE);
    if let Some(before) = &part.before {
        rooms.retain(|(local, _)| before.is_empty() || local < before);
        rooms.drain(..rooms.len().saturating_sub(max));
    }
    rooms.truncate(max);
    let mut result = Element::new(ns::SEARCH, "result");
    for (local, listed) in &rooms {
        result.push_child(item(&format!("{local}@{}", cx.owner()), listed));
    }
    let ends = rooms.first().zip(rooms.last());
    let ends = ends.map(|((first, _), (last, _))| (first.as_str(), last.as_str()));
    Ok(result.with_child(given(ends, count)))
}

/// Tells whether rooms of this kind are wanted.
fn has_rooms(fields: &form::Fields) -> bool {
    let types = fields.iter().find(|(name, _)| name == "types");
    types.is_none_or(|(_, types)| types.iter().any(|kind| kind == "xep-0045"))
}

fn read(fields: &form::Fields) -> Result<Wanted, StanzaError> {
    let flag = |name: &str, default| match form::value(fields, name) {
        Some("1" | "true") => true,
        Some("0" | "false") => false,
        _ => default,
    };
    if form::value(fields, "key").is_some_and(|key| key != ADDRESS) {
        let error = StanzaError::new(ErrorKind::Modify, Condition::FeatureNotImplemented);
        return Err(fault(error, "invalid-sort-key"));
    }
    let text = form::value(fields, "q").filter(|text| !text.is_empty());
    let is_all = flag("all", false);
    let (text, words) = match (text, is_all) {
        (Some(_), true) => return Err(fault(StanzaError::BAD_REQUEST, "conflicting-fields")),
        (None, false) => return Err(fault(StanzaError::BAD_REQUEST, "no-search-conditions")),
        (text, _) => {
            let words = text.unwrap_or_default().split_whitespace().map(str::to_lowercase);
            let words = words.filter(|word| word.chars().count() >= WORD_MIN);
            (text, words.take(WORDS_MAX).collect::<Vec<_>>())
        }
    };
    if text.is_some() && words.is_empty() {
        let why = "A word to search for has two letters at least.";
        return Err(fault(StanzaError::BAD_REQUEST.with_text(why), "invalid-search-terms"));
    }
    let in_address = flag("sinaddress", true) && flag("sinaddr", true);
    let places = [flag("sinname", true), flag("sindescription", true), in_address];
    Ok(Wanted { words, places })
}

impl Wanted {
    fn fits(&self, local: &str, listed: &Listed) -> bool {
        let texts =
            [listed.name.to_lowercase(), listed.description.to_lowercase(), local.to_owned()];
        self.words.iter().all(|word| {
            texts.iter().zip(self.places).any(|(text, is_meant)| is_meant && text.contains(word))
        })
    }
}

fn item(address: &str, listed: &Listed) -> Element {
    let text = |name: &str, text: &str| Element::new(ns::SEARCH, name).with_text(text);
    let mut item = Element::new(ns::SEARCH, "item").with_attr("address", address);
    for (name, value) in
        [("name", &listed.name), ("description", &listed.description), ("language", &listed.lang)]
    {
        if !value.is_empty() {
            item.push_child(text(name, value));
        }
    }
    item.push_child(text("service-type", "xep-0045"));
    item.push_child(text("is-open", if listed.is_open { "true" } else { "false" }));
    let mode = if listed.is_anonymous {
        "muc_semianonymous"
    } else {
        "{urn:xmpp:channel-search:0:anonymity}none"
    };
    item.with_child(text("anonymity-mode", mode))
}

fn to_fill() -> Element {
    let field = |name: &str, kind: &str, label: &str, value: Option<&str>| {
        let values: Vec<_> = value.into_iter().map(str::to_owned).collect();
        form::field(name, &values).with_attr("type", kind).with_attr("label", label)
    };
    let option = |label: &str, value: &str| {
        let value = Element::new(ns::DATA_FORMS, "value").with_text(value);
        Element::new(ns::DATA_FORMS, "option").with_attr("label", label).with_child(value)
    };
    let types = field("types", "list-multi", "Service types", Some("xep-0045"));
    let key = field("key", "list-single", "Sort results by", Some(ADDRESS));
    form::start("form", ns::SEARCH_PARAMS)
        .with_child(field("q", "text-single", "Search for", None))
        .with_child(field("all", "boolean", "All rooms", Some("false")))
        .with_child(field("sinname", "boolean", "Search in names", Some("true")))
        .with_child(field("sindescription", "boolean", "Search in descriptions", Some("true")))
        .with_child(field("sinaddress", "boolean", "Search in addresses", Some("true")))
        .with_child(types.with_child(option("Rooms", "xep-0045")))
        .with_child(key.with_child(option("Address", ADDRESS)))
}
