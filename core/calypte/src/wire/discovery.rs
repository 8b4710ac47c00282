//! Service discovery between the module that answers it and those that add to the answer.

use bincode::{Decode, Encode};

use super::WireError;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DiscoveryAsked {
    /// Of the domain, rather than of the owner.
    pub of_domain: bool,
    /// For items, rather than for what it is and can do.
    pub items: bool,
    /// About this node.
    pub node: Option<String>,
    /// Who asks; nobody in particular, when the answer is the same for everybody.
    pub from: Option<String>,
}

/// What the modules have to show, as elements in the namespace of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DiscoveryShown {
    /// These; without a node, those of all modules.
    These(Vec<String>),
    /// No module has such a node.
    Nothing,
    /// The module of the node refuses to show it, maybe with an element of its protocol.
    Refused(WireError, Option<String>),
}
