//! Rooms in which many people talk (XEP-0045).
//!
//! A room is the owner of all that happens in it, on one shard. What it is, who is what to it and what
//! was said is in the store; who is there is in memory, and gone with the process.

mod admin;
mod avatar;
mod away;
mod disco;
mod enter;
mod form;
mod hats;
mod history;
mod invite;
mod leave;
mod limits;
mod mam;
mod operator;
mod owner;
mod private;
mod probe;
mod records;
mod register;
mod resumed;
mod retract;
mod room;
mod rules;
mod say;
mod search;
mod settings;
mod show;
mod slow;
mod turn;
mod who;

use calypte::config::{Size, Span, is_label};
use calypte::prelude::*;
use serde::Deserialize;
use tables::ROOM_SERVICE;

use crate::room::Room;

/// The operator's settings, `[modules.rooms]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What stands in front of the domain.
    pub label: String,
    /// Who makes rooms: `users`, `everyone` or `nobody`.
    pub create: Create,
    /// The most rooms of one account.
    pub rooms_per_account: u32,
    /// The most people in a room at a time.
    pub occupants: u32,
    /// The most people that are something to a room.
    pub affiliations: u32,
    /// The most messages that are kept of a room.
    pub messages: u32,
    /// How much is kept of a room.
    pub size: Size,
    /// How long a message is kept.
    pub keep: Span,
    /// Stanzas of one person a second, over a while.
    pub rate: u32,
    /// Stanzas of one person at once.
    pub burst: u32,
    /// The longest nickname, in bytes.
    pub nick_bytes: usize,
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// The longest presence, in bytes.
    pub presence_bytes: usize,
}

/// Who makes rooms.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Create {
    /// Accounts of this server.
    Users,
    /// Everybody.
    Everyone,
    /// No more rooms are made.
    Nobody,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            label: "rooms".to_owned(),
            create: Create::Users,
            rooms_per_account: 100,
            occupants: 1000,
            affiliations: 5000,
            messages: 10_000,
            size: Size { bytes: 16 << 20 },
            keep: Span { ms: 365 * 24 * 3_600_000 },
            rate: 5,
            burst: 50,
            nick_bytes: 128,
            message_bytes: 64 << 10,
            presence_bytes: 8 << 10,
        }
    }
}

impl Config {
    pub(crate) fn may_create(&self, who: JidRef<'_>, cx: &Context<'_, '_>) -> bool {
        // The operator's modules ask in its name.
        let is_ours = who.as_str() == cx.domain();
        is_ours
            || match self.create {
                Create::Users => who.domain() == cx.domain(),
                Create::Everyone => true,
                Create::Nobody => false,
            }
    }
}

/// Rooms in which many people talk.
#[derive(Debug)]
pub struct Rooms(Config);

calypte::export!(Rooms);

impl Module for Rooms {
    const NAME: &'static str = "rooms";
    const ABOUT: &'static str = "Rooms in which many people talk.";
    const XEPS: &'static [Xep] = &[
        Xep("0045", "1.35.5"),
        Xep("0313", "1.1.3"),
        Xep("0317", "0.3.1"),
        Xep("0359", "0.7.0"),
        Xep("0410", "1.1.0"),
        Xep("0421", "1.0.1"),
        Xep("0424", "0.4.2"),
        Xep("0425", "0.3.0"),
        Xep("0433", "0.1.0"),
        Xep("0452", "0.2.2"),
        Xep("0486", "0.1.0"),
        Xep("0500", "0.1.1"),
    ];
    const KEYS: &'static [ConfigKey] = KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::serve_as("label", "rooms", Self::serve),
        Hook::payload(Place::Sent, Phase::Copy, ns::MUC, "x", Self::entering),
        Hook::started(Self::started),
        Hook::resumed(Self::resumed),
        Hook::wake(Self::wake),
        Hook::answer(Self::answer),
        Hook::command("rooms", "List all rooms", Who::Admin, Self::list),
        Hook::form_command("destroy-room", "Destroy a room", Who::Admin, Self::destroy),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        let no = |what: &str| Err(SetupError(what.to_owned()));
        if !is_label(&config.label) {
            return no("label must be one word of a-z, 0-9 and -, such as \"rooms\"");
        }
        if !(1..=5000).contains(&config.occupants) {
            return no("occupants must be a number from 1 to 5000");
        }
        if !(1..=10_000).contains(&config.affiliations) {
            return no("affiliations must be a number from 1 to 10000");
        }
        if !(1..=10_000).contains(&config.rooms_per_account) {
            return no("rooms_per_account must be a number from 1 to 10000");
        }
        if !(1..=1000).contains(&config.rate) || !(1..=10_000).contains(&config.burst) {
            return no("rate must be a number from 1 to 1000, and burst one from 1 to 10000");
        }
        if config.messages > 100_000 {
            return no("messages must be a number up to 100000");
        }
        if !(1..=1023).contains(&config.nick_bytes) {
            return no("nick_bytes must be a number from 1 to 1023");
        }
        if config.presence_bytes > 64 << 10 {
            return no("presence_bytes must be a number up to 65536");
        }
        Ok(Self(config))
    }
}

const KEYS: &[ConfigKey] = &[
    key(
        "label",
        "text",
        "\"rooms\"",
        "What stands in front of the domain, as in rooms.example.org.",
    ),
    key(
        "create",
        "text",
        "\"users\"",
        "Who makes rooms: accounts of this server (`users`), people of other servers too (`everyone`), or `nobody`.",
    ),
    key(
        "rooms_per_account",
        "number",
        "100",
        "How many rooms one account can have made, from 1 to 10000.",
    ),
    key(
        "occupants",
        "number",
        "1000",
        "How many people can be in a room at a time, from 1 to 5000; 20 more places are for owners and admins.",
    ),
    key(
        "affiliations",
        "number",
        "5000",
        "How many members, admins, owners and banned people a room can have, from 1 to 10000.",
    ),
    key(
        "messages",
        "number",
        "10000",
        "How many messages are kept of a room, up to 100000; the oldest go first.",
    ),
    key(
        "size",
        "size",
        "\"16 MiB\"",
        "How much is kept of the messages of a room; the oldest go first.",
    ),
    key("keep", "time", "\"365 days\"", "How long a message of a room is kept."),
    key(
        "rate",
        "number",
        "5",
        "How many stanzas one person can send to a room a second, over a while, from 1 to 1000.",
    ),
    key("burst", "number", "50", "How many of them at once, from 1 to 10000."),
    key("nick_bytes", "number", "128", "The longest nickname, in bytes, from 1 to 1023."),
    key("message_bytes", "number", "65536", "The longest message, in bytes."),
    key(
        "presence_bytes",
        "number",
        "8192",
        "The longest presence, in bytes, up to 65536; all occupants' are kept in memory.",
    ),
];

const fn key(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    about: &'static str,
) -> ConfigKey {
    ConfigKey { name, kind, default, about }
}

impl Rooms {
    /// Something is for the service, a room or an occupant.
    fn serve(&self, stanza: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        if stanza.from.is_none() {
            return Ok(Flow::Drop("it comes from nobody"));
        }
        let nick = stanza.to.and_then(JidRef::resource);
        if cx.owner().local().is_none() {
            return self.serve_service(stanza, cx);
        }
        match stanza.kind {
            Kind::Presence => self.presence(stanza, cx),
            Kind::Message => match (nick, stanza.message_kind()) {
                (Some(nick), MessageKind::Error) => private::error(&self.0, stanza, nick, cx),
                (None, MessageKind::Error) => {
                    leave::bounced(stanza, cx)?;
                    Ok(Flow::Handled)
                }
                (_, MessageKind::Groupchat) => say::groupchat(&self.0, stanza, cx),
                (Some(nick), _) => private::message(&self.0, stanza, nick, cx),
                (None, _) => invite::message(&self.0, stanza, cx),
            },
            Kind::Iq => match (stanza.iq_kind(), nick) {
                (Some(IqKind::Get | IqKind::Set), Some(nick)) => {
                    private::request(&self.0, stanza, nick, cx)
                }
                (Some(IqKind::Get | IqKind::Set), None) => self.request(stanza, cx),
                _ => Ok(Flow::Handled),
            },
        }
    }

    fn presence(&self, presence: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        match presence.presence_kind() {
            Some(PresenceKind::Available) => return enter::available(&self.0, presence, cx),
            Some(PresenceKind::Unavailable) => leave::unavailable(&self.0, presence, cx)?,
            Some(PresenceKind::Error) => drop(leave::bounced(presence, cx)?),
            // Nobody subscribes to a room, and it says by itself who is there.
            _ => {}
        }
        Ok(Flow::Handled)
    }

    /// A request is for the room itself.
    fn request(&self, iq: &Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let payload = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
        let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
        let is_set = iq.iq_kind() == Some(IqKind::Set);
        let node = payload.attr("node");
        let room = match Room::load(cx)? {
            Some(room) => room,
            None if owner::begins(iq, cx) => Room::create(&self.0, from.bare_str(), cx)?,
            None => return Err(StanzaError::ITEM_NOT_FOUND),
        };
        if !is_set && payload.ns() != ns::ARCHIVE {
            let is_list = matches!(payload.ns(), ns::MUC_ADMIN | ns::MUC_OWNER);
            let cost = if is_list { limits::LIST } else { 1 };
            limits::spend_some(&self.0, from.bare_str(), cost, cx)?;
        }
        let answer = match (is_set, payload.ns(), payload.name()) {
            (false, ns::DISCO_INFO, "query") => disco::info(&room, node.as_deref(), from, cx)?,
            (false, ns::DISCO_ITEMS, "query") if node.as_deref() == Some(ns::COMMANDS) => {
                hats::commands(from, cx)?
            }
            (false, ns::DISCO_ITEMS, "query") => disco::items(),
            (false, ns::REGISTER, "query") => register::get(&room, from, cx)?,
            (true, ns::REGISTER, "query") => return register::set(&self.0, &room, iq, cx),
            (false, ns::VCARD, "vCard") => avatar::get(&self.0, &room, from, cx)?,
            (true, ns::VCARD, "vCard") => return avatar::set(&self.0, iq, cx),
            (true, ns::COMMANDS, "command") => return hats::command(&self.0, &room, iq, cx),
            (false, ns::MUC_ADMIN, "query") => return admin::get(&room, iq, cx),
            (true, ns::MUC_ADMIN, "query") => return admin::set(&self.0, &room, iq, cx),
            (false, ns::MUC_OWNER, "query") => return owner::get(&room, iq, cx),
            (true, ns::MUC_OWNER, "query") => return owner::set(&self.0, room, iq, cx),
            (_, ns::ARCHIVE, _) => return mam::request(&self.0, &room, iq, cx),
            (true, ns::MODERATE, "moderate") => {
                return retract::by_moderator(&self.0, &room, iq, cx);
            }
            (false, ns::PING, "ping") => {
                result(iq, None, cx)?;
                return Ok(Flow::Handled);
            }
            _ => return Err(StanzaError::SERVICE_UNAVAILABLE),
        };
        result(iq, Some(answer), cx)?;
        Ok(Flow::Handled)
    }

    /// Something is for the service itself.
    fn serve_service(&self, stanza: &Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let is_bare = stanza.to.is_some_and(JidRef::is_bare);
        if stanza.kind == Kind::Presence || stanza.is_error() {
            return Ok(Flow::Handled);
        }
        let payload = stanza.payload().filter(|_| stanza.kind == Kind::Iq && is_bare);
        let is_get = stanza.iq_kind() == Some(IqKind::Get);
        let Some(payload) = payload.filter(|_| is_get) else {
            return Err(StanzaError::SERVICE_UNAVAILABLE);
        };
        let node = payload.attr("node");
        if matches!(payload.ns(), ns::DISCO_ITEMS | ns::SEARCH) {
            let from = stanza.from.ok_or(StanzaError::BAD_REQUEST)?;
            limits::spend_some(&self.0, from.bare_str(), limits::LIST, cx)?;
        }
        let answer = match (payload.ns(), payload.name()) {
            (ns::DISCO_INFO, "query") => Some(disco::service_info(node.as_deref())?),
            (ns::DISCO_ITEMS, "query") if node.is_none() => {
                Some(disco::service_items(payload, cx)?)
            }
            (ns::DISCO_ITEMS, "query") => return Err(StanzaError::ITEM_NOT_FOUND),
            (ns::SEARCH, "search") => Some(search::search(payload, cx)?),
            (ns::PING, "ping") => None,
            _ => return Err(StanzaError::SERVICE_UNAVAILABLE),
        };
        result(stanza, answer, cx)?;
        Ok(Flow::Handled)
    }

    /// Tells other modules where rooms are.
    fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        let service = tables::RoomService { address: format!("{}.{}", self.0.label, cx.domain()) };
        if cx.get(&ROOM_SERVICE, "")?.is_some_and(|known| known == service) {
            return Ok(());
        }
        cx.put(&ROOM_SERVICE, "", &service)
    }

    /// A time has come that a room asked for.
    fn wake(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        match name {
            room::SWEEP => room::sweep(cx),
            room::BURY => room::bury_more(cx),
            history::EXPIRE => history::expire(&self.0, cx),
            leave::EXPEL => leave::expel_more(cx),
            probe::PROBE => probe::look(cx),
            _ => Ok(()),
        }
    }

    /// A request of a room, or of the operator, was answered.
    fn answer(&self, cookie: &[u8], answer: StanzaRef<'_>, cx: &mut Context<'_, '_>) -> Done {
        if cx.owner().as_str() == cx.domain() {
            return self.destroyed(cookie, answer, cx);
        }
        match turn::read(cookie) {
            Some(portion) => turn::answered(&self.0, portion, answer, cx),
            None => private::answered(&self.0, cookie, answer, cx),
        }
    }
}

/// Returns an error that says that it makes no sense to try again.
pub(crate) const fn cancel(condition: Condition) -> StanzaError {
    StanzaError::new(ErrorKind::Cancel, condition)
}

/// Sends the result of a request.
pub(crate) fn result(iq: &Passing<'_>, payload: Option<Element>, cx: &mut Context<'_, '_>) -> Done {
    let (Some(from), Some(id)) = (iq.from, iq.id) else { return Ok(()) };
    let mut result = Element::new(ns::CLIENT, "iq")
        .with_attr("type", "result")
        .with_attr("to", from.as_str())
        .with_attr("id", id);
    if let Some(payload) = payload {
        result.push_child(payload);
    }
    cx.send(&result)
}
