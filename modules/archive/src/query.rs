//! What a client asks for (XEP-0313 §4, XEP-0059), and what it is told.

use calypte::prelude::*;
use xep::rsm::{Part, given};

use crate::page::{Ends, Page, Source};
use crate::rows::{self, Kept};
use crate::{Archive, own, page};

/// The most ids in one query.
const IDS_MAX: usize = 250;

/// The fields of a query's form; those that were not given are empty.
#[derive(Debug, Default)]
struct Form {
    with: Option<Jid>,
    start_ms: Option<u64>,
    end_ms: Option<u64>,
    before_id: Option<String>,
    after_id: Option<String>,
    ids: Vec<String>,
}

impl Archive {
    /// Says which fields a query may have (§4.1.5).
    pub(crate) fn form(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        own(request, cx)?;
        let field = |ty: &str, var: &str| {
            Element::new(ns::DATA_FORMS, "field").with_attr("type", ty).with_attr("var", var)
        };
        let value = Element::new(ns::DATA_FORMS, "value").with_text(ns::ARCHIVE);
        let open = Element::new(ns::VALIDATE, "validate")
            .with_attr("datatype", "xs:string")
            .with_child(Element::new(ns::VALIDATE, "open"));
        let form = Element::new(ns::DATA_FORMS, "x")
            .with_attr("type", "form")
            .with_child(field("hidden", "FORM_TYPE").with_child(value))
            .with_child(field("jid-single", "with"))
            .with_child(field("text-single", "start"))
            .with_child(field("text-single", "end"))
            .with_child(field("text-single", "before-id"))
            .with_child(field("text-single", "after-id"))
            .with_child(field("list-multi", "ids").with_child(open))
            .with_child(field("boolean", "include-groupchat"));
        Ok(Reply::With(Element::new(ns::ARCHIVE, "query").with_child(form)))
    }

    /// Gives a page to the client that asks.
    pub(crate) fn query(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        own(request, cx)?;
        let query = request.query()?;
        if query.attr("node").is_some() {
            return Err(StanzaError::FEATURE_NOT_IMPLEMENTED);
        }
        let form = query.child(ns::DATA_FORMS, "x").map(Form::read).transpose()?;
        let is_whole = form.is_none();
        let form = form.unwrap_or_default();
        let part = query.child(ns::RSM, "set").map(Part::read).transpose()?.unwrap_or_default();
        let (source, ends) = bounds(&form, &part, cx)?;
        let max = part.max.unwrap_or(self.0.page).min(self.0.page);
        let page = page::read(&source, &ends, max, part.before.is_some(), cx)?;
        let count = if is_whole && form.is_empty() {
            Some(rows::state(cx)?.messages)
        } else if max == 0 {
            Some(page::count(&source, &ends, cx)?)
        } else {
            None
        };
        let query_id = query.attr("queryid");
        let is_flipped = query.has_child(ns::ARCHIVE, "flip-page");
        send(&page, query_id.as_deref(), is_flipped, cx)?;
        Ok(Reply::With(fin(&page, count)))
    }

    /// Says where the archive begins and ends (§5).
    pub(crate) fn metadata(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        own(request, cx)?;
        Ok(Reply::With(metadata(cx)?))
    }

    /// A client that binds while it logs in is told the same (XEP-0386 §3.2).
    pub(crate) fn bound(
        &self,
        _: &Bind<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Element>, StanzaError> {
        metadata(cx).map(Some)
    }
}

impl Form {
    fn read(x: Node<'_>) -> Result<Self, StanzaError> {
        if x.attr("type").as_deref() != Some("submit") {
            return Err(StanzaError::BAD_REQUEST);
        }
        let mut form = Self::default();
        let mut seen = Vec::new();
        for field in x.children().filter(|node| node.is(ns::DATA_FORMS, "field")) {
            let name = field.attr("var").ok_or(StanzaError::BAD_REQUEST)?;
            if seen.contains(&name) {
                return Err(StanzaError::BAD_REQUEST);
            }
            form.take(&name, field)?;
            seen.push(name);
        }
        let is_named = seen.iter().any(|name| name == "FORM_TYPE");
        if is_named { Ok(form) } else { Err(StanzaError::BAD_REQUEST) }
    }

    fn take(&mut self, name: &str, field: Node<'_>) -> Result<(), StanzaError> {
        let values = field.children().filter(|node| node.is(ns::DATA_FORMS, "value"));
        let mut values: Vec<_> = values.map(|value| value.text().trim().to_owned()).collect();
        if name == "ids" {
            self.ids = values;
            return if self.ids.len() > IDS_MAX {
                Err(StanzaError::POLICY_VIOLATION)
            } else {
                Ok(())
            };
        }
        let value = values.pop().filter(|_| values.is_empty()).ok_or(StanzaError::BAD_REQUEST)?;
        let time = || xep::delay::read_date_time(&value).ok_or(StanzaError::BAD_REQUEST);
        match name {
            "FORM_TYPE" if value == ns::ARCHIVE => {}
            "FORM_TYPE" => return Err(StanzaError::BAD_REQUEST),
            "with" => {
                self.with = Some(Jid::parse(&value).map_err(|_| StanzaError::JID_MALFORMED)?);
            }
            "start" => self.start_ms = Some(time()?),
            "end" => self.end_ms = Some(time()?),
            "before-id" => self.before_id = Some(value),
            "after-id" => self.after_id = Some(value),
            // What is said in rooms is not here.
            "include-groupchat" if matches!(&*value, "true" | "false" | "1" | "0") => {}
            "include-groupchat" => return Err(StanzaError::BAD_REQUEST),
            _ => return Err(StanzaError::FEATURE_NOT_IMPLEMENTED),
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let Self { with, start_ms, end_ms, before_id, after_id, ids } = self;
        let has_times = start_ms.is_some() || end_ms.is_some();
        with.is_none() && !has_times && before_id.is_none() && after_id.is_none() && ids.is_empty()
    }
}

/// Finds out between which places the result is, and where it is read.
fn bounds(
    form: &Form,
    part: &Part,
    cx: &mut Context<'_, '_>,
) -> Result<(Source, Ends), StanzaError> {
    let mut ends = Ends::of_times(form.start_ms, form.end_ms);
    for after in form.after_id.iter().chain(&part.after) {
        let (place, _) = rows::find(after, cx)?;
        ends.from = ends.from.max(place.saturating_add(1));
    }
    let before = part.before.iter().filter(|before| !before.is_empty());
    for before in form.before_id.iter().chain(before) {
        let (place, _) = rows::find(before, cx)?;
        ends.to = ends.to.min(place);
    }
    ends.with.clone_from(&form.with);
    let source = if !form.ids.is_empty() {
        let mut found = Vec::new();
        for id in &form.ids {
            // Where they are, not what they say: there may be many, and large ones.
            let (place, _) = rows::find(id, cx)?;
            found.push(place);
        }
        found.sort_unstable();
        found.dedup();
        Source::These(found)
    } else if let Some(with) = &form.with {
        Source::With(with.bare().as_str().to_owned())
    } else {
        Source::All
    };
    Ok((source, ends))
}

/// Hands the messages of a page to the client that asked.
fn send(page: &Page, query_id: Option<&str>, is_flipped: bool, cx: &mut Context<'_, '_>) -> Done {
    let Some(resource) = cx.session_jid().and_then(JidRef::resource).map(str::to_owned) else {
        return Err(StanzaError::SERVICE_UNAVAILABLE);
    };
    let owner = cx.owner_jid();
    let mut results: Vec<_> =
        page.rows.iter().map(|row| result(row, query_id, owner.as_str())).collect();
    if is_flipped {
        results.reverse();
    }
    for result in &results {
        cx.show(&resource, result)?;
    }
    cx.count("given", u64::try_from(results.len()).unwrap_or(0))?;
    if results.is_empty() {
        return Ok(());
    }
    let messages = page.rows.iter().map(|row| (row.1.stamp_ms, name(row))).collect();
    cx.tell(&calypte::notice::ArchiveRead { messages })
}

fn result(row: &(u64, Kept), query_id: Option<&str>, owner: &str) -> String {
    let stamp = xep::delay::date_time(row.1.stamp_ms);
    let delay = Element::new(ns::DELAY, "delay").with_attr("stamp", &stamp);
    // Inside, the message says its namespace itself.
    let original = row.1.xml.replacen("<message", "<message xmlns=\"jabber:client\"", 1);
    let forwarded = Element::new(ns::FORWARD, "forwarded").with_child(delay).with_raw(original);
    let mut result = Element::new(ns::ARCHIVE, "result").with_attr("id", &name(row));
    if let Some(query_id) = query_id {
        result.push_attr("queryid", query_id);
    }
    let message = Element::new(ns::CLIENT, "message").with_attr("from", owner);
    message.with_child(result.with_child(forwarded)).to_xml(ns::CLIENT)
}

/// Says that a page is over, and where it began and ended (§4.3).
fn fin(page: &Page, count: Option<u64>) -> Element {
    let ends = page.rows.first().map(name).zip(page.rows.last().map(name));
    let ends = ends.as_ref().map(|(first, last)| (first.as_str(), last.as_str()));
    let fin = Element::new(ns::ARCHIVE, "fin").with_child(given(ends, count));
    if page.has_more { fin } else { fin.with_attr("complete", "true") }
}

fn metadata(cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let mut metadata = Element::new(ns::ARCHIVE, "metadata");
    for (end, reverse) in [("start", false), ("end", true)] {
        if let Some(row) = rows::outermost(1, reverse, cx)?.first() {
            let stamp = xep::delay::date_time(row.1.stamp_ms);
            let end = Element::new(ns::ARCHIVE, end).with_attr("id", &name(row));
            metadata.push_child(end.with_attr("timestamp", &stamp));
        }
    }
    Ok(metadata)
}

fn name((place, kept): &(u64, Kept)) -> String {
    crate::id::Id { place: *place, tail: kept.tail }.write()
}
