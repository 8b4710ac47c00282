//! Old and new clients of an account have the same bookmarks (XEP-0402 §5.2, XEP-0411).
//!
//! There are three doors: items of the node `urn:xmpp:bookmarks:1`, one list in the node
//! `storage:bookmarks`, and the same list in private storage. The items are the truth. What changes
//! in a list, compared with what both lists last were, changes the items; what the items are then is
//! written to both lists. Modules `pep` and `private` keep and tell; this one only compares.

mod forms;
mod lists;
mod unite;

use calypte::notice::{Notice, PepChanged, PrivateChanged};
use calypte::prelude::*;

use crate::lists::Written;
use crate::unite::{Door, Settle};

/// The timer of lists that rest.
const LISTS: &str = "lists";

/// Keeps the bookmarks of an account the same for old and new clients.
#[derive(Debug)]
pub struct Bookmarks;

calypte::export!(Bookmarks);

impl Module for Bookmarks {
    const NAME: &'static str = "bookmarks";
    const ABOUT: &'static str = "Old and new clients of an account have the same bookmarks.";
    const XEPS: &'static [Xep] =
        &[Xep("0402", "1.2.0"), Xep("0411", "1.1.0"), Xep("0048", "1.2"), Xep("0223", "1.1.1")];
    const FEATURES: &'static [Feature] = &[
        Feature::Account(ns::BOOKMARKS_COMPAT),
        Feature::Account(ns::BOOKMARKS_COMPAT_PEP),
        Feature::Account(ns::BOOKMARKS_CONVERSION),
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::payload(Place::Sent, Phase::Admit, ns::PRIVATE, "query", Self::check_private),
        Hook::payload(Place::Sent, Phase::Admit, ns::PUBSUB, "pubsub", Self::check_published),
        Hook::opened(Self::opened),
        Hook::notice(PepChanged::NAME, Self::published),
        Hook::notice(PrivateChanged::NAME, Self::kept),
        Hook::notice(Settle::NAME, Self::settle),
        Hook::wake(Self::woken),
        Hook::notice(Written::NAME, Self::written),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Bookmarks {
    /// A client replaces the list in private storage.
    fn check_private(&self, stanza: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let is_set = stanza.iq_kind() == Some(IqKind::Set) && cx.is_own(stanza.to);
        let query = stanza.child(ns::PRIVATE, "query").filter(|_| is_set);
        let list = query.and_then(|query| query.child(ns::OLD_BOOKMARKS, "storage"));
        forms::check(list)?;
        Ok(Flow::Pass)
    }

    /// A client replaces the list that it publishes.
    fn check_published(&self, stanza: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let is_set = stanza.iq_kind() == Some(IqKind::Set) && cx.is_own(stanza.to);
        let query = stanza.child(ns::PUBSUB, "pubsub").filter(|_| is_set);
        let publish = query.and_then(|query| query.child(ns::PUBSUB, "publish"));
        let publish = publish.filter(|it| it.attr("node").as_deref() == Some(ns::OLD_BOOKMARKS));
        for item in publish.into_iter().flat_map(Node::children) {
            forms::check(item.child(ns::OLD_BOOKMARKS, "storage"))?;
        }
        Ok(Flow::Pass)
    }

    /// A client logs in. It may be the first time since the module is there (XEP-0411 §4).
    fn opened(&self, cx: &mut Context<'_, '_>) -> Done {
        if unite::is_new(cx)? { unite::begin(Door::Items, cx) } else { Ok(()) }
    }

    /// Something was published or taken back, by a client or by us.
    fn published(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let change: PepChanged = notified.read()?;
        match change.node.as_str() {
            // A long list is not written anew for each of many changes.
            ns::BOOKMARKS => match lists::rests_until(cx)? {
                Some(rest_ms) => cx.wake_at(rest_ms, LISTS),
                None => unite::begin(Door::Items, cx),
            },
            ns::OLD_BOOKMARKS => match change.published.last() {
                Some(id) => unite::begin(Door::Node(id.clone()), cx),
                // Who deletes the old list has gone over to the items: these stay.
                None => unite::restore(cx),
            },
            _ => Ok(()),
        }
    }

    /// The lists have rested, and what changed meanwhile goes to them.
    fn woken(&self, _: &str, cx: &mut Context<'_, '_>) -> Done {
        unite::begin(Door::Items, cx)
    }

    /// Something in private storage was replaced by a client.
    fn kept(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let change: PrivateChanged = notified.read()?;
        let is_list = change.ns == ns::OLD_BOOKMARKS && change.name == "storage";
        if is_list { unite::begin(Door::Private, cx) } else { Ok(()) }
    }

    /// Module `pep` was asked to keep the list.
    fn written(&self, _: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        lists::note_node(cx)
    }

    /// What a list changed in the items is done.
    fn settle(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let Settle { door } = notified.read()?;
        unite::settle(&door, cx)
    }
}
