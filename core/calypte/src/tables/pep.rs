//! What an account published (XEP-0163). Module `pep` writes it.

use bincode::{Decode, Encode};
use table::{Table, record};

/// The nodes of an account, by their names.
pub const PEP_NODES: Table<str, PepNode> = Table::account("pep.nodes");

/// The items of an account, by node and id.
pub const PEP_ITEMS: Table<(String, String), PepItem> = Table::account("pep.items");

/// Who was given a place at a node, by node and bare address.
pub const PEP_MEMBERS: Table<(String, String), PepMember> = Table::account("pep.members");

/// What somebody is to a node (XEP-0060 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PepMember {
    /// May see it, whoever else may.
    Member,
    /// May not, whoever else may.
    Outcast,
}

record!(PepMember, 1);

/// A node: how it is configured (XEP-0060 §16.4.4), and how much it has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PepNode {
    /// Who may see it.
    pub access: PepAccess,
    /// The groups of the roster whose contacts may, for [`PepAccess::Roster`].
    pub groups: Vec<String>,
    /// Whether items are kept.
    pub persist: bool,
    /// How many items are kept, `None`: as many as there may be.
    pub max_items: Option<u32>,
    /// When the last item is sent to somebody who has not asked for it.
    pub send_last: PepLast,
    /// Whether anybody is told of changes.
    pub notify: bool,
    /// Whether they are told the content.
    pub payloads: bool,
    /// Whether they are told of items that are taken back.
    pub notify_retract: bool,
    /// Whether they are told of the end of the node.
    pub notify_delete: bool,
    /// Whether they are told of another configuration.
    pub notify_config: bool,
    /// A name for people; may be empty.
    pub title: String,
    /// A sentence for people; may be empty.
    pub description: String,
    /// The namespace of its items, where it was given.
    pub payload_type: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The last place of an item that was ever taken.
    pub last: u64,
    /// How many items there are.
    pub items: u32,
    /// Their bytes.
    pub bytes: u64,
}

record!(PepNode, 1);

/// Who may see a node (XEP-0060 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PepAccess {
    /// Everybody.
    Open,
    /// Who sees the account's presence.
    Presence,
    /// Contacts of some groups that see its presence.
    Roster,
    /// Only who is named, and the account itself.
    Whitelist,
}

/// When the last item of a node is sent to somebody who has not asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PepLast {
    /// Never.
    Never,
    /// To who subscribes.
    OnSubscribe,
    /// And to devices that appear.
    OnPresence,
}

/// An item.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PepItem {
    /// Its place in the node: what was published later has a higher one.
    pub place: u64,
    /// When it was published, in milliseconds since 1970.
    pub stamp_ms: u64,
    /// The address that published it.
    pub publisher: String,
    /// Its content: one element that says its own namespace, or nothing.
    pub payload: String,
}

record!(PepItem, 1);
