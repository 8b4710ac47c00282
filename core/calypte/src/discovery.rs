//! What modules add to service discovery.

use xml::Element;
use xmpp::{JidRef, StanzaError};

/// What is asked of service discovery (XEP-0030), for [`Hook::domain_info`](crate::Hook::domain_info)
/// and its like.
#[derive(Clone, Copy, Debug)]
pub struct Discovery<'a> {
    /// About this node; `None`: about the account or the domain itself.
    pub node: Option<&'a str>,
    /// Who asks. `None`: nobody in particular, as the answer is the same for everybody.
    pub from: Option<JidRef<'a>>,
}

/// What a module shows: elements that go into the answer.
///
/// Without a node they are added to those of the other modules, and `None` adds nothing; an error is
/// logged. With a node, the first module that does not say `None` answers alone, with all of the
/// answer or with an error; when all say `None`, there is no such node.
pub type Shown = Result<Option<Vec<Element>>, StanzaError>;
