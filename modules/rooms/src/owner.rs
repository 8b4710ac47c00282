//! What only owners do: settings, and the end of the room (§10).

use calypte::prelude::*;

use crate::admin::{Wanted, apply, check_owners, check_places};
use crate::leave::expel_all;
use crate::records::{OCCUPANTS, Occupant};
use crate::room::{Room, affiliation, member, members};
use crate::rules::{Affiliation, Role};
use crate::settings::{ADMINS, FIELDS, LOGGING, OWNERS};
use crate::show::{Note, refresh, say, with_codes};
use crate::{Config, form, result, settings, turn, who};

/// The longest reason of an end, in bytes.
const REASON_BYTES_MAX: usize = 1024;

fn check_owner(iq: &Passing<'_>, cx: &mut Context<'_, '_>) -> Done {
    let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
    match affiliation(from.bare_str(), cx)? {
        Affiliation::Owner => Ok(()),
        _ => Err(StanzaError::FORBIDDEN),
    }
}

/// An owner asks for the form.
pub(crate) fn get(room: &Room, iq: &Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
    check_owner(iq, cx)?;
    let name = cx.owner().local().unwrap_or("").to_owned();
    let title = Element::new(ns::DATA_FORMS, "title").with_text(&format!("Settings of {name}"));
    let mut x = Element::new(ns::DATA_FORMS, "x").with_attr("type", "form").with_child(title);
    let form_type = form::field("FORM_TYPE", &[ns::MUC_ROOMCONFIG.to_owned()]);
    x.push_child(form_type.with_attr("type", "hidden"));
    for setting in FIELDS {
        x.push_child(setting.to_field(&room.values(setting.name)));
    }
    for (name, label, affiliation) in [
        (ADMINS, "Admins of the room", Affiliation::Admin),
        (OWNERS, "Owners of the room", Affiliation::Owner),
    ] {
        let all: Vec<_> = members(affiliation, cx)?.into_iter().map(|(bare, _)| bare).collect();
        let field = form::field(name, &all).with_attr("type", "jid-multi");
        x.push_child(field.with_attr("label", label));
    }
    result(iq, Some(Element::new(ns::MUC_OWNER, "query").with_child(x)), cx)?;
    Ok(Flow::Handled)
}

/// Tells whether a room that is not there begins with a request: the domain itself enters none, and
/// submits the form at once. Commands and modules of the operator ask in its name.
pub(crate) fn begins(iq: &Passing<'_>, cx: &Context<'_, '_>) -> bool {
    let is_ours = iq.from.is_some_and(|from| from.as_str() == cx.domain());
    let query = iq.payload().filter(|query| query.is(ns::MUC_OWNER, "query"));
    let form = query.and_then(|query| query.child(ns::DATA_FORMS, "x"));
    is_ours && form.is_some_and(|form| form.attr("type").as_deref() == Some("submit"))
}

/// An owner submits the form, or ends the room.
pub(crate) fn set(
    config: &Config,
    room: Room,
    iq: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    check_owner(iq, cx)?;
    let query = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    if let Some(wanted) = query.child(ns::MUC_OWNER, "destroy") {
        let end = End::read(wanted)?;
        destroy(&room, &end, cx)?;
        result(iq, None, cx)?;
        return Ok(Flow::Handled);
    }
    let x = query.child(ns::DATA_FORMS, "x").ok_or(StanzaError::BAD_REQUEST)?;
    match x.attr("type").as_deref() {
        // §10.1.3. Who does not want the room after all.
        Some("cancel") if room.row.is_locked => {
            destroy(&room, &End::default(), cx)?;
            result(iq, None, cx)?;
        }
        Some("cancel") => result(iq, None, cx)?,
        Some("submit") => configure(config, room, iq, x, cx)?,
        _ => return Err(StanzaError::BAD_REQUEST),
    }
    Ok(Flow::Handled)
}

fn configure(
    config: &Config,
    mut room: Room,
    iq: &Passing<'_>,
    x: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let before = room.clone();
    let fields = form::read(x, ns::MUC_ROOMCONFIG)?;
    for (name, values) in &fields {
        // What a client knows and we do not is passed over.
        let Some(setting) = settings::find(name) else { continue };
        room.set(name, setting.check(values)?);
    }
    if room.flag(settings::PROTECTED) && room.text(settings::SECRET).is_empty() {
        let why = "A password is wanted, and there is none.";
        return Err(StanzaError::NOT_ACCEPTABLE.with_text(why));
    }
    let changes = read_people(config, &fields, cx)?;
    room.row.is_locked = false;
    room.save(cx)?;
    result(iq, None, cx)?;
    cx.count("configured", 1)?;
    for wanted in &changes {
        apply(&room, wanted, None, &mut None, cx)?;
    }
    if Room::load(cx)?.is_none() {
        // The last one was removed from a room that does not stay.
        return room.forget(cx);
    }
    turn::look_again(&room, "", cx)?;
    if room.is_open() != before.is_open()
        || room.values(settings::BROADCAST) != before.values(settings::BROADCAST)
    {
        refresh(&room, cx)?;
    }
    if room.flag(settings::MEMBERS_ONLY) && !before.flag(settings::MEMBERS_ONLY) {
        expel_strangers(&room, cx)?;
    }
    tell_change(&before, &room, cx)
}

/// Reads from a form who is to be an owner or an admin.
fn read_people(
    config: &Config,
    fields: &form::Fields,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<Wanted>, StanzaError> {
    let list = |name: &str| -> Result<Option<Vec<String>>, StanzaError> {
        let Some((_, values)) = fields.iter().find(|(known, _)| known == name) else {
            return Ok(None);
        };
        let values = values.iter().filter(|value| !value.is_empty());
        let bare = |value: &String| Jid::parse(value).map(|jid| jid.bare().as_str().to_owned());
        values.map(bare).collect::<Result<_, _>>().map(Some).map_err(|_| StanzaError::JID_MALFORMED)
    };
    let (admins, owners) = (list(ADMINS)?, list(OWNERS)?);
    let mut changes: Vec<Wanted> = Vec::new();
    for (wanted, after) in [(owners, Affiliation::Owner), (admins, Affiliation::Admin)] {
        let Some(wanted) = wanted else { continue };
        for (bare, kept) in members(after, cx)? {
            if !wanted.contains(&bare) && !changes.iter().any(|change| change.bare == bare) {
                let before = kept.affiliation;
                let after = Affiliation::None;
                changes.push(Wanted { bare, before, after, nick: None, reason: None });
            }
        }
        for bare in wanted {
            let before = member(&bare, cx)?.map_or(Affiliation::None, |kept| kept.affiliation);
            let earlier = changes.iter().position(|change| change.bare == bare);
            // Who is an owner and stays one is no admin beside that.
            let is_higher = match earlier.and_then(|at| changes.get(at)) {
                Some(change) => change.after > after,
                None => before >= after,
            };
            if is_higher {
                continue;
            }
            if let Some(at) = earlier {
                changes.remove(at);
            }
            changes.push(Wanted { bare, before, after, nick: None, reason: None });
        }
    }
    check_owners(&changes.iter().collect::<Vec<_>>(), cx)?;
    check_places(config, changes.iter(), cx)?;
    Ok(changes)
}

/// The room is for members only from now on (§10.2).
fn expel_strangers(room: &Room, cx: &mut Context<'_, '_>) -> Done {
    let mut strangers = cx.all(&OCCUPANTS, u32::MAX)?;
    strangers.retain(|(_, occupant)| {
        occupant.affiliation < Affiliation::Member && occupant.role > Role::None
    });
    expel_all(room, strangers, (322, &Note::default()), |_| Ok(()), cx)
}

/// Tells those who are there that something is otherwise (§10.2.1).
fn tell_change(before: &Room, room: &Room, cx: &mut Context<'_, '_>) -> Done {
    let mut codes: Vec<u16> = Vec::new();
    let flips = [
        (before.flag(LOGGING), room.flag(LOGGING), [171, 170]),
        (before.is_open(), room.is_open(), [173, 172]),
    ];
    for (was, is, [off, on]) in flips {
        if was != is {
            codes.push(if is { on } else { off });
        }
    }
    let is_private =
        |setting: &&settings::Setting| matches!(setting.name, LOGGING | settings::WHOIS);
    let mut others = FIELDS.iter().filter(|setting| !is_private(setting));
    if others.any(|setting| room.values(setting.name) != before.values(setting.name)) {
        codes.push(104);
    }
    if codes.is_empty() {
        return Ok(());
    }
    let x = with_codes(Element::new(ns::MUC_USER, "x"), &[&codes]);
    let message = Element::new(ns::CLIENT, "message")
        .with_attr("from", cx.owner().as_str())
        .with_attr("type", "groupchat");
    say(&message.with_child(x), cx)
}

/// What is said of the end of a room.
#[derive(Default)]
pub(crate) struct End {
    /// Where people can go instead.
    jid: Option<String>,
    password: Option<String>,
    reason: Option<String>,
}

impl End {
    fn read(destroy: Node<'_>) -> Result<Self, StanzaError> {
        let jid = destroy.attr("jid").map(|jid| Jid::parse(&jid)).transpose();
        let jid = jid.map_err(|_| StanzaError::JID_MALFORMED)?;
        let text = |name| {
            let text = destroy.child_text(ns::MUC_OWNER, name).map(std::borrow::Cow::into_owned);
            match text {
                Some(text) if text.len() > REASON_BYTES_MAX => Err(StanzaError::NOT_ACCEPTABLE),
                text => Ok(text.filter(|text| !text.trim().is_empty())),
            }
        };
        let (password, reason) = (text("password")?, text("reason")?);
        Ok(Self { jid: jid.map(|jid| jid.as_str().to_owned()), password, reason })
    }

    fn to_element(&self) -> Element {
        let mut destroy = Element::new(ns::MUC_USER, "destroy");
        if let Some(jid) = &self.jid {
            destroy.push_attr("jid", jid);
        }
        for (name, text) in [("reason", &self.reason), ("password", &self.password)] {
            if let Some(text) = text {
                destroy.push_child(Element::new(ns::MUC_USER, name).with_text(text));
            }
        }
        destroy
    }
}

/// Ends the room: who is in it is told (§10.9).
pub(crate) fn destroy(room: &Room, end: &End, cx: &mut Context<'_, '_>) -> Done {
    let mut told = Vec::new();
    for (full, nick) in turn::forget(cx)? {
        let id = who::id_of(JidRef::trusted(&full).bare_str(), cx)?;
        told.push((full, nick, id));
    }
    for (_, occupant) in cx.all(&OCCUPANTS, u32::MAX)? {
        let Occupant { seats, nick, id, .. } = occupant;
        told.extend(seats.into_iter().map(|full| (full, nick.clone(), id.clone())));
    }
    for (full, nick, id) in &told {
        let item = Element::new(ns::MUC_USER, "item")
            .with_attr("affiliation", "none")
            .with_attr("role", "none")
            .with_attr("jid", full);
        let x = Element::new(ns::MUC_USER, "x").with_child(item).with_child(end.to_element());
        let gone = Element::new(ns::CLIENT, "presence")
            .with_attr("from", &format!("{}/{nick}", cx.owner()))
            .with_attr("type", "unavailable")
            .with_child(with_codes(x, &[&[110]]))
            .with_child(who::element(id));
        cx.show_each(&gone.to_xml(ns::CLIENT), &[full])?;
    }
    cx.count("rooms_destroyed", 1)?;
    room.forget(cx)
}
