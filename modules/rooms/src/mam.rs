//! What was said, for those who ask for it (XEP-0313).

use calypte::pages::{Page, Rows, Wanted};
use calypte::prelude::*;
use calypte::wire::Range;
use xep::archive::{self, Filter, Name};
use xep::rsm::Part;

use crate::history::{name_of, place_at};
use crate::records::{ARCHIVE, KEPT, Line, ROOM_KEY};
use crate::room::{Room, affiliation, fold, made_ms, seated};
use crate::rules::{Affiliation, Role};
use crate::{Config, limits, result, settings};

/// The most messages of a page.
const PAGE: u32 = 100;

/// Somebody who reads.
struct Reader {
    full: String,
    bare: String,
    /// When its account was made: what was said before, somebody else said.
    since_ms: u64,
    /// Whether it may see everybody's address.
    sees: bool,
}

/// What is read.
struct Query {
    from: u64,
    to: u64,
    start_ms: u64,
    end_ms: u64,
    /// Only what is said under a folded nickname.
    nick: Option<String>,
    /// Only what is said by an address.
    bare: Option<String>,
    /// Only these, by place.
    these: Option<Vec<u64>>,
}

/// Somebody asks for what was said, for the form, or for where the archive begins and ends.
pub(crate) fn request(
    config: &Config,
    room: &Room,
    iq: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let payload = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
    let reader = admit(room, from, cx)?;
    limits::spend(config, &reader.bare, iq.content.root(), cx)?;
    let is_set = iq.iq_kind() == Some(IqKind::Set);
    let answer = match (is_set, payload.name()) {
        (false, "query") => archive::form(),
        (false, "metadata") => metadata(cx)?,
        (true, "query") => query(room, &reader, payload, cx)?,
        _ => return Err(StanzaError::SERVICE_UNAVAILABLE),
    };
    result(iq, Some(answer), cx)?;
    Ok(Flow::Handled)
}

/// Lets those read who could enter now (§5.3 of XEP-0313). Who does not know the password has to be in
/// the room, or to be somebody to it.
fn admit(room: &Room, from: JidRef<'_>, cx: &mut Context<'_, '_>) -> Result<Reader, StanzaError> {
    let affiliation = affiliation(from.bare_str(), cx)?;
    let role = seated(from.as_str(), cx)?.map_or(Role::None, |(_, occupant)| occupant.role);
    if room.row.is_locked {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    let is_closed =
        room.flag(settings::MEMBERS_ONLY) || room.flag(settings::PROTECTED) && role == Role::None;
    if affiliation == Affiliation::Outcast || is_closed && affiliation < Affiliation::Member {
        return Err(StanzaError::FORBIDDEN);
    }
    if !room.flag(settings::ARCHIVING) {
        return Err(StanzaError::SERVICE_UNAVAILABLE);
    }
    let sees = role == Role::Moderator || affiliation >= Affiliation::Admin;
    let since_ms = made_ms(from.bare_str(), cx)?;
    Ok(Reader { full: from.as_str().to_owned(), bare: from.bare_str().to_owned(), since_ms, sees })
}

fn query(
    room: &Room,
    reader: &Reader,
    payload: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Element, StanzaError> {
    if payload.attr("node").is_some() {
        return Err(StanzaError::FEATURE_NOT_IMPLEMENTED);
    }
    let filter = payload.child(ns::DATA_FORMS, "x").map(Filter::read).transpose()?;
    let filter = filter.unwrap_or_default();
    let part = payload.child(ns::RSM, "set").map(Part::read).transpose()?.unwrap_or_default();
    let query = Query::of(room, reader, &filter, &part, cx)?;
    let is_open = room.is_open();
    let fits = |_, line: &Line| query.fits(line, reader, is_open);
    let max = part.max.unwrap_or(PAGE).min(PAGE);
    let wanted = Wanted {
        from: query.from,
        to: query.to,
        max,
        is_backwards: part.before.is_some(),
        fits: &fits,
        bytes: |line: &Line| line.xml.len(),
    };
    let page = match &query.these {
        Some(places) => wanted.read_these(places, &|place, cx| cx.get(&ARCHIVE, &place), cx)?,
        None => wanted.read(&lines, cx)?,
    };
    let count = if filter.is_empty() {
        Some(u64::from(cx.get(&KEPT, ROOM_KEY)?.unwrap_or_default().lines))
    } else if max == 0 && query.these.is_none() {
        Some(wanted.count(&lines, cx)?)
    } else {
        None
    };
    let query_id = payload.attr("queryid");
    let mut results: Vec<_> = page
        .rows
        .iter()
        .map(|(place, line)| show((*place, line), query_id.as_deref(), reader, is_open))
        .collect();
    if payload.has_child(ns::ARCHIVE, "flip-page") {
        results.reverse();
    }
    for result in &results {
        cx.show_each(result, &[&reader.full])?;
    }
    cx.count("given", u64::try_from(results.len()).unwrap_or(0))?;
    Ok(fin(&page, count))
}

/// Reads the next messages from one end.
fn lines(
    (from, to): (u64, u64),
    limit: u32,
    reverse: bool,
    cx: &mut Context<'_, '_>,
) -> Rows<Line> {
    let range = Range { to: Some(ARCHIVE.encode_key(&to)), limit, reverse };
    cx.scan(&ARCHIVE, &ARCHIVE.encode_key(&from), &range)
}

/// Finds the message with a name.
pub(crate) fn find(
    name: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<(u64, Line)>, StanzaError> {
    let Some(name) = Name::read(name) else { return Ok(None) };
    let line = cx.get(&ARCHIVE, &name.place)?.filter(|line| line.tail == name.tail);
    Ok(line.map(|line| (name.place, line)))
}

impl Query {
    fn of(
        room: &Room,
        reader: &Reader,
        filter: &Filter,
        part: &Part,
        cx: &mut Context<'_, '_>,
    ) -> Result<Self, StanzaError> {
        let place = |name: &String, cx: &mut Context<'_, '_>| {
            find(name, cx)?.map(|(place, _)| place).ok_or(StanzaError::ITEM_NOT_FOUND)
        };
        let (start_ms, end_ms) = (filter.start_ms.unwrap_or(0), filter.end_ms.unwrap_or(u64::MAX));
        let to = end_ms.checked_add(1).map_or(u64::MAX, place_at);
        let (nick, bare) = (None, None);
        let mut query =
            Self { from: place_at(start_ms), to, start_ms, end_ms, nick, bare, these: None };
        for after in filter.after_id.iter().chain(&part.after) {
            query.from = query.from.max(place(after, cx)?.saturating_add(1));
        }
        let before = part.before.iter().filter(|before| !before.is_empty());
        for before in filter.before_id.iter().chain(before) {
            query.to = query.to.min(place(before, cx)?);
        }
        if !filter.ids.is_empty() {
            let mut places = Vec::new();
            for id in &filter.ids {
                places.push(place(id, cx)?);
            }
            places.sort_unstable();
            places.dedup();
            query.these = Some(places);
        }
        let owner = cx.owner_jid();
        match filter.with.as_ref().map(|with| (with, with.bare())) {
            Some((with, bare)) if bare == owner => query.nick = with.resource().map(fold),
            Some((_, bare)) => {
                // Or everybody could find out who is behind a nickname.
                if !reader.sees && !room.is_open() && bare.as_str() != reader.bare {
                    return Err(StanzaError::FORBIDDEN);
                }
                query.bare = Some(bare.as_str().to_owned());
            }
            None => {}
        }
        Ok(query)
    }

    fn fits(&self, line: &Line, reader: &Reader, is_open: bool) -> bool {
        (self.start_ms..=self.end_ms).contains(&line.at_ms)
            && self.nick.as_ref().is_none_or(|nick| fold(&line.nick) == *nick)
            && self
                .bare
                .as_ref()
                .is_none_or(|bare| *bare == line.from && may_see(line, reader, is_open))
    }
}

/// Tells whether somebody may know whose message it is: what was said while addresses were hidden stays
/// so for those from whom they were.
fn may_see(line: &Line, reader: &Reader, is_open: bool) -> bool {
    let is_own = line.from == reader.bare && line.at_ms >= reader.since_ms;
    reader.sees || is_open && line.is_open || is_own
}

fn show(
    (place, line): (u64, &Line),
    query_id: Option<&str>,
    reader: &Reader,
    is_open: bool,
) -> String {
    let mut xml = line.xml.clone();
    if !line.from.is_empty()
        && may_see(line, reader, is_open)
        && let Some(start) = line.xml.strip_suffix("</message>")
    {
        let item = Element::new(ns::MUC_USER, "item").with_attr("jid", &line.from);
        let x = Element::new(ns::MUC_USER, "x").with_child(item).to_xml(ns::CLIENT);
        xml = format!("{start}{x}</message>");
    }
    let result = archive::result(&name_of(place, line), query_id, line.at_ms, &xml);
    Element::new(ns::CLIENT, "message").with_child(result).to_xml(ns::CLIENT)
}

fn fin(page: &Page<Line>, count: Option<u64>) -> Element {
    let name = |(place, line): &(u64, Line)| name_of(*place, line);
    let ends = page.rows.first().map(name).zip(page.rows.last().map(name));
    let ends = ends.as_ref().map(|(first, last)| (first.as_str(), last.as_str()));
    archive::fin(ends, count, page.has_more)
}

fn metadata(cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let mut ends = Vec::new();
    for reverse in [false, true] {
        let row = cx.scan(&ARCHIVE, &[], &Range { to: None, limit: 1, reverse })?.pop();
        ends.extend(row.map(|(place, line)| (name_of(place, &line), line.at_ms)));
    }
    Ok(match ends.as_slice() {
        [(first, start_ms), (last, end_ms)] => {
            archive::metadata(Some([(first, *start_ms), (last, *end_ms)]))
        }
        _ => archive::metadata(None),
    })
}
