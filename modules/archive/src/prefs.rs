//! Whose messages an account wants to keep (XEP-0441).

use bincode::{Decode, Encode};
use calypte::prelude::*;
use serde::Deserialize;

use crate::{Archive, own};

/// What an account chose; one row.
const PREFS: Table<str, Prefs> = Table::account("archive.prefs");
/// The key of the row.
const PREFS_KEY: &str = "prefs";
/// The most addresses in both lists.
const JIDS_MAX: usize = 1000;

/// Whose messages are kept when nothing is said of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Encode, Decode)]
#[serde(rename_all = "lowercase")]
pub enum Default {
    /// Everybody's.
    Always,
    /// Nobody's.
    Never,
    /// Those of contacts.
    Roster,
}

/// The choice of an account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Prefs {
    default: Default,
    always: Vec<String>,
    never: Vec<String>,
}

record!(Prefs, 1);

impl Default {
    fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::Roster => "roster",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Always, Self::Never, Self::Roster].into_iter().find(|one| one.name() == name)
    }
}

impl Archive {
    /// Says what is in force (§2.1).
    pub(crate) fn prefs(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        own(request, cx)?;
        let prefs = cx.get(&PREFS, PREFS_KEY)?;
        Ok(Reply::With(prefs.unwrap_or_else(|| Prefs::of(self.0.default)).to_element()))
    }

    /// Takes a choice and says what is in force now.
    pub(crate) fn set_prefs(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        own(request, cx)?;
        let query = request.query()?;
        let default = query.attr("default").and_then(|name| Default::of(&name));
        let prefs = Prefs {
            default: default.ok_or(StanzaError::BAD_REQUEST)?,
            always: jids(query.child(ns::ARCHIVE, "always"))?,
            never: jids(query.child(ns::ARCHIVE, "never"))?,
        };
        if prefs.always.len().saturating_add(prefs.never.len()) > JIDS_MAX {
            return Err(StanzaError::RESOURCE_CONSTRAINT);
        }
        cx.put(&PREFS, PREFS_KEY, &prefs)?;
        Ok(Reply::With(prefs.to_element()))
    }
}

impl Prefs {
    fn of(default: Default) -> Self {
        Self { default, always: Vec::new(), never: Vec::new() }
    }

    fn to_element(&self) -> Element {
        let list = |name: &str, jids: &[String]| {
            let mut list = Element::new(ns::ARCHIVE, name);
            for jid in jids {
                list.push_child(Element::new(ns::ARCHIVE, "jid").with_text(jid));
            }
            list
        };
        Element::new(ns::ARCHIVE, "prefs")
            .with_attr("default", self.default.name())
            .with_child(list("always", &self.always))
            .with_child(list("never", &self.never))
    }
}

/// Tells whether messages to and from somebody are kept (§2.3). Who is in both lists is not.
pub(crate) fn allow(
    default: Default,
    peer: JidRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let prefs = cx.get(&PREFS, PREFS_KEY)?.unwrap_or_else(|| Prefs::of(default));
    let names = |jid: &String| *jid == peer.as_str() || *jid == peer.bare_str();
    if prefs.never.iter().any(names) {
        return Ok(false);
    }
    if prefs.always.iter().any(names) {
        return Ok(true);
    }
    Ok(match prefs.default {
        Default::Always => true,
        Default::Never => false,
        Default::Roster => {
            cx.get(&tables::ROSTER, peer.bare_str())?.is_some_and(|contact| contact.listed)
        }
    })
}

fn jids(list: Option<Node<'_>>) -> Result<Vec<String>, StanzaError> {
    let mut jids = Vec::new();
    let children = list.into_iter().flat_map(Node::children);
    for child in children.filter(|child| child.is(ns::ARCHIVE, "jid")) {
        let jid = Jid::parse(child.text().trim()).map_err(|_| StanzaError::JID_MALFORMED)?;
        if !jids.iter().any(|known| known == jid.as_str()) {
            jids.push(jid.as_str().to_owned());
        }
    }
    Ok(jids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let prefs =
            Prefs { default: Default::Roster, always: vec!["a@b".to_owned()], never: Vec::new() };
        assert_eq!(PREFS.encode(&prefs), b"\x01\x02\x01\x03a@b\0");
        assert_eq!(PREFS.name, "archive.prefs");
    }
}
