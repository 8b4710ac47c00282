//! What somebody is to a node (XEP-0060 §5.7, §8.9): its owner, a member, an outcast.

use calypte::prelude::*;
use tables::{PEP_MEMBERS as MEMBERS, PEP_NODES, PepMember as Member};

use crate::{checked_name, node_name, rows};

/// The most that have a place at a node.
const MEMBERS_MAX: usize = 1000;

/// Says what somebody is to the nodes of the account (§5.7).
pub(crate) fn own(request: &Request<'_>, action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let wanted = action.attr("node");
    let asker = request.from.map(|from| from.bare_str().to_owned()).unwrap_or_default();
    let is_owner = cx.is_own(request.from);
    let mut list = Element::new(ns::PUBSUB, "affiliations");
    let names = match &wanted {
        Some(wanted) => {
            let name = checked_name(wanted.to_string())?;
            if cx.get(&PEP_NODES, &name)?.is_some() { vec![name] } else { vec![] }
        }
        None => cx.all(&PEP_NODES, u32::MAX)?.into_iter().map(|(name, _)| name).collect(),
    };
    for name in names {
        let key = (name, asker.clone());
        let word = if is_owner { Some("owner") } else { cx.get(&MEMBERS, &key)?.map(word) };
        if let Some(word) = word {
            let affiliation = Element::new(ns::PUBSUB, "affiliation").with_attr("node", &key.0);
            list.push_child(affiliation.with_attr("affiliation", word));
        }
    }
    if let Some(node) = &wanted {
        list.push_attr("node", node);
    }
    Ok(Reply::With(Element::new(ns::PUBSUB, "pubsub").with_child(list)))
}

/// Lists who has a place at a node (§8.9.1).
pub(crate) fn of_node(action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let name = node_name(action)?;
    rows::node(&name, cx)?;
    let entry = |jid: &str, word: &str| {
        let affiliation = Element::new(ns::PUBSUB_OWNER, "affiliation");
        affiliation.with_attr("jid", jid).with_attr("affiliation", word)
    };
    let mut list = Element::new(ns::PUBSUB_OWNER, "affiliations").with_attr("node", &name);
    list.push_child(entry(cx.owner().as_str(), "owner"));
    for (jid, member) in rows::of_node(&MEMBERS, &name, cx)? {
        list.push_child(entry(&jid, word(member)));
    }
    Ok(Reply::With(Element::new(ns::PUBSUB_OWNER, "pubsub").with_child(list)))
}

/// Gives places at a node and takes them (§8.9.2).
pub(crate) fn set(action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let name = node_name(action)?;
    rows::node(&name, cx)?;
    for entry in action.children().filter(|child| child.is(ns::PUBSUB_OWNER, "affiliation")) {
        let jid = entry.attr("jid").ok_or(StanzaError::BAD_REQUEST)?;
        let jid = Jid::parse(&jid).map_err(|_| StanzaError::JID_MALFORMED)?.bare();
        let word = entry.attr("affiliation").ok_or(StanzaError::BAD_REQUEST)?;
        if cx.is_own(Some(jid.as_ref())) {
            if word == "owner" {
                continue;
            }
            return Err(StanzaError::NOT_ALLOWED.with_text("The node stays yours."));
        }
        let key = (name.clone(), jid.as_str().to_owned());
        match &*word {
            "member" => cx.put(&MEMBERS, &key, &Member::Member)?,
            "outcast" => cx.put(&MEMBERS, &key, &Member::Outcast)?,
            "none" => cx.delete(&MEMBERS, &key)?,
            // Nobody else publishes here (XEP-0163 §3).
            _ => return Err(StanzaError::NOT_ACCEPTABLE),
        }
    }
    if rows::of_node(&MEMBERS, &name, cx)?.len() > MEMBERS_MAX {
        let why = "There are too many members.";
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
    }
    Ok(Reply::Empty)
}

const fn word(member: Member) -> &'static str {
    match member {
        Member::Member => "member",
        Member::Outcast => "outcast",
    }
}
