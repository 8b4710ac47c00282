//! Invitations that an account made: its own list, for its quota and for taking them back.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use tables::{INVITATIONS, INVITED_NAMES, Invitation, Invited};

use crate::{Invites, tokens};

/// By what the invitation is kept under.
pub(crate) const OWN: Table<str, Own> = Table::account("invites.own");

/// An invitation of an account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Own {
    pub(crate) expires_ms: u64,
}

record!(Own, 1);

/// Invitations by when they end, see [`end`].
pub(crate) const ENDS: Table<(String, String), Listed> = Table::domain("invites.ends");

/// That an invitation is listed says all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Listed;

record!(Listed, 1);

/// Returns the key of an invitation in [`ENDS`]: its end sorts as a number does.
pub(crate) fn end(expires_ms: u64, id: &str) -> (String, String) {
    (format!("{expires_ms:016x}"), id.to_owned())
}

/// What is wanted of an invitation.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) by: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) expires_ms: u64,
    pub(crate) uses: u32,
    pub(crate) may_register: bool,
    pub(crate) circle: Option<String>,
}

impl Invites {
    /// Makes an invitation and returns its token.
    pub(crate) fn make(cx: &mut Context<'_, '_>, wish: Wish) -> Result<String, StanzaError> {
        let Wish { by, name, expires_ms, uses, may_register, circle } = wish;
        let (token, id) = tokens::draw(cx)?;
        if let Some(name) = &name {
            cx.put(
                &INVITED_NAMES,
                &**name,
                &Invited { id: id.clone(), name: None, at_ms: expires_ms },
            )?;
        }
        let (begun, made_ms) = (Vec::new(), cx.now_ms());
        let invitation =
            Invitation { by, name, expires_ms, uses, may_register, begun, made_ms, circle };
        cx.put(&INVITATIONS, &*id, &invitation)?;
        cx.put(&ENDS, &end(expires_ms, &id), &Listed)?;
        cx.count("made", 1)?;
        if cx.owner().local().is_some() {
            cx.put(&OWN, &*id, &Own { expires_ms })?;
        }
        Ok(token)
    }

    /// Lists the open invitations of the owner; what is over is forgotten.
    pub(crate) fn open(
        cx: &mut Context<'_, '_>,
        limit: u32,
    ) -> Result<Vec<(String, Own)>, StanzaError> {
        let now_ms = cx.now_ms();
        let mut open = Vec::new();
        for (id, own) in cx.all(&OWN, limit.saturating_add(1))? {
            if own.expires_ms > now_ms {
                open.push((id, own));
            } else {
                cx.delete(&OWN, &*id)?;
            }
        }
        Ok(open)
    }
}
