//! The operator's commands.

use calypte::prelude::*;

use crate::Rooms;
use crate::records::INDEX;

/// The most rooms that one answer lists.
const LISTED_MAX: usize = 1000;

impl Rooms {
    /// Lists all rooms, also those that are in no list.
    pub(crate) fn list(
        &self,
        _: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<u8>, StanzaError> {
        let mut lines = Vec::new();
        let rooms = cx.all(&INDEX, u32::MAX)?;
        for (local, listed) in rooms.iter().take(LISTED_MAX) {
            let kind = if listed.is_public { "public" } else { "hidden" };
            let made = xep::delay::date_time(listed.created_ms);
            let service = &self.0.label;
            let (domain, by) = (cx.domain(), &listed.creator);
            lines.push(format!("{local}@{service}.{domain} {kind} {made} {by}"));
        }
        if rooms.len() > LISTED_MAX {
            lines.push(format!("and {} more", rooms.len().saturating_sub(LISTED_MAX)));
        }
        if rooms.is_empty() {
            lines.push("There are no rooms.".to_owned());
        }
        Ok(lines.join("\n").into_bytes())
    }

    /// Ends a room.
    pub(crate) fn destroy(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = asked.field("room").filter(|name| !name.is_empty()) else {
            let room = Field::new("room", "The room", FieldKind::Address).required();
            let reason = Field::new("reason", "What people are told", FieldKind::Text);
            let form = Form::new("Destroy a room", "Everybody in it is told, and it is deleted.");
            return Ok(form.with(room).with(reason).into());
        };
        let service = format!("{}.{}", self.0.label, cx.domain());
        let name = if name.contains('@') { name.to_owned() } else { format!("{name}@{service}") };
        let room = Jid::parse(&name).ok().filter(|room| room.domain() == service);
        let known = match room.as_ref().and_then(Jid::local) {
            Some(local) => cx.get(&INDEX, local)?.is_some(),
            None => false,
        };
        let (Some(room), true) = (room, known) else {
            return Ok(Outcome::failed(format!("There is no room {name}.")).into());
        };
        let mut destroy = Element::new(ns::MUC_OWNER, "destroy");
        if let Some(reason) = asked.field("reason").filter(|reason| !reason.is_empty()) {
            destroy.push_child(Element::new(ns::MUC_OWNER, "reason").with_text(reason));
        }
        let query = Element::new(ns::MUC_OWNER, "query").with_child(destroy);
        let iq = Element::new(ns::CLIENT, "iq")
            .with_attr("type", "set")
            .with_attr("to", room.bare().as_str())
            .with_child(query);
        let ticket = cx.later()?;
        cx.request(&iq, &ticket.to_le_bytes())?;
        Ok(CommandReply::Later)
    }

    /// The room ended, or did not.
    pub(crate) fn destroyed(
        &self,
        cookie: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let Ok(ticket) = cookie.try_into().map(u64::from_le_bytes) else { return Ok(()) };
        let outcome = match answer.is_error() {
            false => Outcome::said("The room is gone."),
            true => Outcome::failed("The room is still there: it could not be destroyed."),
        };
        cx.answer_command(ticket, Ok(outcome.into()))
    }
}
