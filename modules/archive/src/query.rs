//! What a client asks for (XEP-0313 §4, XEP-0059), and what it is told.

use calypte::pages::Page;
use calypte::prelude::*;
use xep::archive::{self, Filter};
use xep::rsm::Part;

use crate::page::{Ends, Source};
use crate::rows::{self, Kept};
use crate::{Archive, own, page};

impl Archive {
    /// Says which fields a query may have (§4.1.5).
    pub(crate) fn form(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        own(request, cx)?;
        Ok(Reply::With(archive::form()))
    }

    /// Gives a page to the client that asks.
    pub(crate) fn query(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        own(request, cx)?;
        let query = request.query()?;
        if query.attr("node").is_some() {
            return Err(StanzaError::FEATURE_NOT_IMPLEMENTED);
        }
        let form = query.child(ns::DATA_FORMS, "x").map(Filter::read).transpose()?;
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

/// Finds out between which places the result is, and where it is read.
fn bounds(
    form: &Filter,
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
fn send(
    page: &Page<Kept>,
    query_id: Option<&str>,
    is_flipped: bool,
    cx: &mut Context<'_, '_>,
) -> Done {
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
    let result = archive::result(&name(row), query_id, row.1.stamp_ms, &row.1.xml);
    let message = Element::new(ns::CLIENT, "message").with_attr("from", owner);
    message.with_child(result).to_xml(ns::CLIENT)
}

/// Says that a page is over, and where it began and ended (§4.3).
fn fin(page: &Page<Kept>, count: Option<u64>) -> Element {
    let ends = page.rows.first().map(name).zip(page.rows.last().map(name));
    let ends = ends.as_ref().map(|(first, last)| (first.as_str(), last.as_str()));
    archive::fin(ends, count, page.has_more)
}

fn metadata(cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let first = rows::outermost(1, false, cx)?.pop();
    let Some((first, last)) = first.zip(rows::outermost(1, true, cx)?.pop()) else {
        return Ok(archive::metadata(None));
    };
    let ends = [&first, &last].map(|row| (name(row), row.1.stamp_ms));
    Ok(archive::metadata(Some(ends.each_ref().map(|(name, ms)| (name.as_str(), *ms)))))
}

fn name((place, kept): &(u64, Kept)) -> String {
    crate::id::Id { place: *place, tail: kept.tail }.write()
}
