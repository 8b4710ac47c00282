//! Who may see a node (XEP-0060 §4.5, XEP-0163 §5).

use calypte::prelude::*;
use tables::{Contact, PEP_MEMBERS, PepAccess, PepMember, PepNode, ROSTER};

use crate::errors::fault;

/// Refuses who may not see a node.
///
/// # Errors
///
/// What XEP-0060 §6.1.3 and §6.5.9 want for the node's access model.
pub(crate) fn admit(
    name: &str,
    node: &PepNode,
    asker: Option<JidRef<'_>>,
    cx: &mut Context<'_, '_>,
) -> Done {
    if cx.is_own(asker) {
        return Ok(());
    }
    let bare = asker.map(JidRef::bare_str).unwrap_or_default();
    let contact = cx.get(&ROSTER, bare)?;
    match refusal(name, node, bare, contact.as_ref(), cx)? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Returns why somebody who is not the owner may not see a node, `None` when it may.
pub(crate) fn refusal(
    name: &str,
    node: &PepNode,
    bare: &str,
    contact: Option<&Contact>,
    cx: &mut Context<'_, '_>,
) -> Result<Option<StanzaError>, StanzaError> {
    match cx.get(&PEP_MEMBERS, &(name.to_owned(), bare.to_owned()))? {
        Some(PepMember::Member) => return Ok(None),
        Some(PepMember::Outcast) => return Ok(Some(StanzaError::FORBIDDEN)),
        None => {}
    }
    let sees_presence = contact.is_some_and(|contact| contact.from);
    let is_in_group = || {
        let groups = contact.map(|contact| contact.groups.as_slice()).unwrap_or_default();
        groups.iter().any(|group| node.groups.contains(group))
    };
    let not_authorized = |condition| Some(fault(StanzaError::NOT_AUTHORIZED, condition));
    Ok(match node.access {
        PepAccess::Open => None,
        PepAccess::Presence | PepAccess::Roster if !sees_presence => {
            not_authorized("presence-subscription-required")
        }
        PepAccess::Roster if !is_in_group() => not_authorized("not-in-roster-group"),
        PepAccess::Presence | PepAccess::Roster => None,
        PepAccess::Whitelist => Some(fault(StanzaError::NOT_ALLOWED, "closed-node")),
    })
}
