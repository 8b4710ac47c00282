//! What users do to their own devices.

use calypte::prelude::*;
use calypte::wire::SessionRow;

use crate::Commands;
use crate::seen::SINCE;

impl Commands {
    /// Shows the owner's devices.
    pub(crate) fn sessions(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let own = own_resource(cx);
        let lines: Vec<_> = cx.sessions()?.iter().map(|one| line(one, own.as_deref())).collect();
        if lines.is_empty() {
            return Ok(Outcome::said("No device is online.").into());
        }
        Ok(Outcome::said(lines.join("\n")).into())
    }

    /// Ends a session of another device.
    pub(crate) fn end_own(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let own = own_resource(cx);
        let mut others = cx.sessions()?;
        let wanted = asked.field("session").filter(|text| !text.is_empty());
        if wanted.is_some() && wanted == own.as_deref() {
            let text = "this is the device that you ask with; log out there";
            return Err(StanzaError::NOT_ALLOWED.with_text(text));
        }
        others.retain(|session| own.as_ref() != Some(&session.resource));
        let Some(wanted) = wanted else {
            if others.is_empty() {
                return Ok(Outcome::said("No other device is online.").into());
            }
            let option = |session: &SessionRow| (session.resource.clone(), line(session, None));
            let kind = FieldKind::Choice(others.iter().map(option).collect());
            let field = Field::new("session", "Device", kind).required();
            let text = "It is logged out at once. What it knows to log in with stays good.";
            return Ok(Form::new("Log out a device", text).with(field).into());
        };
        if !others.iter().any(|session| session.resource == wanted) {
            return Err(StanzaError::ITEM_NOT_FOUND.with_text("there is no such device"));
        }
        cx.close(wanted, StreamError::NotAuthorized)?;
        cx.count("sessions_ended", 1)?;
        Ok(Outcome::said(format!("{wanted} is logged out.")).into())
    }
}

fn own_resource(cx: &Context<'_, '_>) -> Option<String> {
    cx.session_jid().and_then(|jid| jid.resource().map(str::to_owned))
}

/// Describes a session.
fn line(session: &SessionRow, own: Option<&str>) -> String {
    let mut text = session.resource.clone();
    let since = session.values.iter().find(|(name, _)| name == SINCE);
    if let Some(since) = since.and_then(|(_, bytes)| bytes.as_slice().try_into().ok()) {
        text.push_str(" since ");
        text.push_str(&xep::delay::date_time(u64::from_le_bytes(since)));
    }
    if session.away {
        text.push_str(", connection lost");
    }
    if own == Some(&*session.resource) {
        text.push_str(", this one");
    }
    text
}
