//! Tokens: 130 bits of chance, of which only a hash is kept.

use calypte::prelude::*;
use tables::{ACCOUNTS, INVITATIONS, INVITED_NAMES, Invitation};

use crate::made::{ENDS, end};

/// Letters of a token, five bits each.
const LETTERS: u32 = 26;
/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 128;

/// Returns a new token and what it is kept under.
pub(crate) fn draw(cx: &mut Context<'_, '_>) -> Result<(String, String), StanzaError> {
    let token = cx.random_name(LETTERS)?;
    let id = Invitation::key(&token);
    Ok((token, id))
}

/// Finds the invitation that a token is for, while it is good.
pub(crate) fn find(
    cx: &mut Context<'_, '_>,
    token: &str,
) -> Result<Option<(String, Invitation)>, StanzaError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Ok(None);
    }
    let id = Invitation::key(token);
    let now_ms = cx.now_ms();
    let Some(found) = cx.get(&INVITATIONS, &*id)? else { return Ok(None) };
    let is_good = found.expires_ms > now_ms && found.has_use() && is_backed(cx, &found)?;
    Ok(is_good.then_some((id, found)))
}

/// Tells whether who made an invitation may still invite.
pub(crate) fn is_backed(
    cx: &mut Context<'_, '_>,
    invitation: &Invitation,
) -> Result<bool, StanzaError> {
    let maker = invitation.maker().map(|name| cx.get(&ACCOUNTS, name)).transpose()?.flatten();
    Ok(invitation.is_backed(maker.as_ref()))
}

/// Writes an invitation, or forgets one that has no use left.
pub(crate) fn keep(cx: &mut Context<'_, '_>, id: &str, invitation: &Invitation) -> Done {
    if invitation.uses > 0 {
        return cx.put(&INVITATIONS, id, invitation);
    }
    forget(cx, id, invitation)
}

/// Forgets an invitation and the name that was kept free for it.
pub(crate) fn forget(cx: &mut Context<'_, '_>, id: &str, invitation: &Invitation) -> Done {
    if let Some(name) = &invitation.name {
        cx.delete(&INVITED_NAMES, &**name)?;
    }
    cx.delete(&ENDS, &end(invitation.expires_ms, id))?;
    cx.delete(&INVITATIONS, id)
}
