//! What users publish for their contacts and their own devices (XEP-0163): avatars, nicknames, moods,
//! bookmarks, keys. Each account is a service of XEP-0060 with one publisher, its owner.
//!
//! Who is told of an item is decided twice: may they see the node, and has one of their devices said
//! that it wants to hear of it (`+notify`, XEP-0115). What a device wants is asked of it once and
//! remembered by the hash that it showed, for all who show the same.

mod access;
mod caps;
mod change;
mod errors;
mod events;
mod fields;
mod form;
mod known;
mod manage;
mod members;
mod publish;
mod read;
mod rows;
mod seen;
mod show;
mod subscribe;
mod usage;
mod verify;

use calypte::config::Size;
use calypte::notice::{Notice, PepPublish, RosterChanged};
use calypte::prelude::*;
use serde::Deserialize;

use crate::errors::{fault, unsupported};

/// The operator's settings, `[modules.pep]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most nodes of an account.
    pub nodes: u32,
    /// The most items of a node.
    pub items: u32,
    /// The largest item.
    pub item_bytes: Size,
    /// The most bytes of an account.
    pub bytes: Size,
    /// How many items an account publishes a minute, over a while.
    pub rate: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 500,
            items: 1000,
            item_bytes: Size { bytes: 256 << 10 },
            bytes: Size { bytes: 4 << 20 },
            rate: 300,
        }
    }
}

/// What users publish for their contacts and their own devices.
#[derive(Debug)]
pub struct Pep(Config);

calypte::export!(Pep);

/// Names a feature of XEP-0060 §10.
macro_rules! feature {
    ($name:literal) => {
        Feature::Account(concat!("http://jabber.org/protocol/pubsub#", $name))
    };
}

impl Module for Pep {
    const NAME: &'static str = "pep";
    const ABOUT: &'static str = "What users publish for their contacts and their own devices.";
    const XEPS: &'static [Xep] = &[
        Xep("0060", "1.30.0"),
        Xep("0163", "1.2.2"),
        Xep("0115", "1.6.0"),
        Xep("0390", "0.3.2"),
        Xep("0222", "1.0"),
        Xep("0223", "1.1.1"),
    ];
    const IDENTITIES: &'static [Identity] = &[Identity::Account("pubsub", "pep")];
    const FEATURES: &'static [Feature] = &[
        Feature::Account(ns::PUBSUB),
        feature!("access-open"),
        feature!("access-presence"),
        feature!("access-roster"),
        feature!("access-whitelist"),
        feature!("auto-create"),
        feature!("auto-subscribe"),
        feature!("config-node"),
        feature!("config-node-max"),
        feature!("create-and-configure"),
        feature!("create-nodes"),
        feature!("delete-items"),
        feature!("delete-nodes"),
        feature!("filtered-notifications"),
        feature!("instant-nodes"),
        feature!("item-ids"),
        feature!("last-published"),
        feature!("manage-subscriptions"),
        feature!("member-affiliation"),
        feature!("meta-data"),
        feature!("modify-affiliations"),
        feature!("multi-items"),
        feature!("outcast-affiliation"),
        feature!("persistent-items"),
        feature!("presence-notifications"),
        feature!("presence-subscribe"),
        feature!("publish"),
        feature!("publish-options"),
        feature!("purge-nodes"),
        feature!("retract-items"),
        feature!("retrieve-affiliations"),
        feature!("retrieve-default"),
        feature!("retrieve-items"),
        feature!("retrieve-subscriptions"),
        feature!("rsm"),
        feature!("subscribe"),
    ];
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "nodes",
            kind: "number",
            default: "500",
            about: "How many nodes an account can have, from 1 to 10000.",
        },
        ConfigKey {
            name: "items",
            kind: "number",
            default: "1000",
            about: "How many items a node can have, from 1 to 10000.",
        },
        ConfigKey {
            name: "item_bytes",
            kind: "size",
            default: "\"256 KiB\"",
            about: "The largest item, from 1 KiB to 512 KiB.",
        },
        ConfigKey {
            name: "bytes",
            kind: "size",
            default: "\"4 MiB\"",
            about: "How much is kept of one account, from 1 KiB to 1 GiB.",
        },
        ConfigKey {
            name: "rate",
            kind: "number",
            default: "300",
            about: "How many items an account can publish a minute, over a while, and twice that at \
                    once; from 1 to 60000.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::presence(Place::Received, Phase::Copy, Self::appeared),
        Hook::resumed(Self::resumed),
        Hook::answer(Self::told_caps),
        Hook::notice(RosterChanged::NAME, Self::contact_changed),
        Hook::notice(PepPublish::NAME, Self::publish_for),
        Hook::iq_get(On::AccountFromAnyone, ns::PUBSUB, "pubsub", Self::get),
        Hook::iq_set(On::AccountFromAnyone, ns::PUBSUB, "pubsub", Self::set),
        Hook::iq_get(On::AccountFromAnyone, ns::PUBSUB_OWNER, "pubsub", Self::owner_get),
        Hook::iq_set(On::AccountFromAnyone, ns::PUBSUB_OWNER, "pubsub", Self::owner_set),
        Hook::account_info(Self::show_node),
        Hook::account_items(Self::show_items),
        Hook::started(Self::started),
        Hook::wake(Self::forget_caps),
        Hook::verify(Self::verify),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        let wrong = |why: &str| Err(SetupError(why.to_owned()));
        if !(1..=10_000).contains(&config.nodes) || !(1..=10_000).contains(&config.items) {
            return wrong("nodes and items must be numbers from 1 to 10000");
        }
        if !(1 << 10..=512 << 10).contains(&config.item_bytes.bytes) {
            return wrong("item_bytes must be from 1 KiB to 512 KiB");
        }
        if !(1 << 10..=1 << 30).contains(&config.bytes.bytes) {
            return wrong("bytes must be from 1 KiB to 1 GiB");
        }
        if !(1..=60_000).contains(&config.rate) {
            return wrong("rate must be a number from 1 to 60000");
        }
        Ok(Self(config))
    }
}

impl Pep {
    /// Anybody asks for something.
    fn get(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let action = action(request, ns::PUBSUB)?;
        match action.name() {
            "items" => read::items(request, action, cx),
            "subscriptions" => subscribe::own(request, action, cx),
            "affiliations" => members::own(request, action, cx),
            "default" | "options" => Err(unsupported("subscription-options")),
            _ => Err(StanzaError::BAD_REQUEST),
        }
    }

    /// The owner publishes; anybody subscribes.
    fn set(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let action = action(request, ns::PUBSUB)?;
        match action.name() {
            "publish" => self.publish(request, action, cx),
            "retract" => self.retract(request, action, cx),
            "create" => self.create(request, action, cx),
            "subscribe" => subscribe::subscribe(request, action, cx),
            "unsubscribe" => subscribe::unsubscribe(request, action, cx),
            "options" => Err(unsupported("subscription-options")),
            _ => Err(StanzaError::BAD_REQUEST),
        }
    }

    /// The owner looks at its nodes.
    fn owner_get(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let action = action(request, ns::PUBSUB_OWNER)?;
        own(request, cx)?;
        match action.name() {
            "configure" => self.configuration(action, cx),
            "default" => Ok(self.default_configuration(cx)),
            "affiliations" => members::of_node(action, cx),
            "subscriptions" => subscribe::of_node(action, cx),
            _ => Err(StanzaError::BAD_REQUEST),
        }
    }

    /// The owner changes its nodes.
    fn owner_set(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let action = action(request, ns::PUBSUB_OWNER)?;
        own(request, cx)?;
        match action.name() {
            "configure" => self.configure(action, cx),
            "purge" => manage::purge(action, cx),
            "delete" => manage::delete(action, cx),
            "affiliations" => members::set(action, cx),
            "subscriptions" => subscribe::set(action, cx),
            _ => Err(StanzaError::BAD_REQUEST),
        }
    }
}

/// Returns what is asked for: the first element of the protocol.
fn action<'a>(request: &Request<'a>, namespace: &str) -> Result<Node<'a>, StanzaError> {
    let action = request.query()?.children().find(|child| child.ns() == namespace);
    action.ok_or(StanzaError::BAD_REQUEST)
}

/// Refuses everybody but the account's own clients.
fn own(request: &Request<'_>, cx: &Context<'_, '_>) -> Done {
    if cx.is_own(request.from) { Ok(()) } else { Err(StanzaError::FORBIDDEN) }
}

/// Returns the node that an element names.
fn node_name(action: Node<'_>) -> Result<String, StanzaError> {
    let name = action.attr("node").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| fault(StanzaError::BAD_REQUEST, "nodeid-required"))?;
    checked_name(name.into_owned())
}

/// The longest name of a node or an item.
const NAME_BYTES_MAX: usize = 1023;

/// Refuses a name that is too long to be a key.
fn checked_name(name: String) -> Result<String, StanzaError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("That name is too long."));
    }
    Ok(name)
}
