//! What a hook has done elsewhere, and answers that it gives when that is done.

use xml::Element;
use xmpp::{StanzaError, ns};

use super::Context;
use crate::Reply;
use crate::hooks::Page;
use crate::wire::{self, AccountWork, op};

/// An answer that is owed: to a request or a question that a call began with.
pub type Ticket = u64;

impl Context<'_, '_> {
    /// Says that this call's request is answered later, with [`Context::answer`], and returns what to
    /// answer it by. The call returns [`Reply::Later`].
    ///
    /// An answer is owed for 90 seconds; then `remote-server-timeout` is sent instead. Nobody is
    /// answered after a restart, as nobody is connected.
    ///
    /// # Errors
    ///
    /// `resource-constraint` when too many are owed; our own fault: the call answers nothing.
    pub fn later(&mut self) -> Result<Ticket, StanzaError> {
        let bytes = self.op(op::LATER, &[], &[])?;
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| StanzaError::INTERNAL)
    }

    /// Answers what [`Context::later`] put off. A ticket that was answered is no error.
    ///
    /// # Errors
    ///
    /// Our own fault: it is [`Reply::Later`], or the ticket is another module's.
    pub fn answer(
        &mut self,
        ticket: Ticket,
        answer: Result<Reply, StanzaError>,
    ) -> Result<(), StanzaError> {
        let xml = |element: Element| element.to_xml(ns::CLIENT).into_bytes();
        match answer {
            Ok(Reply::Empty) => self.answer_bytes(ticket, &[]),
            Ok(Reply::With(element)) => self.answer_bytes(ticket, &xml(element)),
            Ok(Reply::Later) => Err(StanzaError::INTERNAL),
            Err(error) => self.answer_error(ticket, &error),
        }
    }

    pub(crate) fn answer_bytes(&mut self, ticket: Ticket, bytes: &[u8]) -> Result<(), StanzaError> {
        self.op(op::ANSWER, &ticket.to_le_bytes(), bytes).map(drop)
    }

    pub(crate) fn answer_error(
        &mut self,
        ticket: Ticket,
        error: &StanzaError,
    ) -> Result<(), StanzaError> {
        let first = [&ticket.to_le_bytes(), &*wire::encode(&wire::WireError::of(error))].concat();
        let detail = error.detail.clone().unwrap_or_default();
        self.op(op::ANSWER_ERROR, &first, detail.as_bytes()).map(drop)
    }

    /// Answers an HTTP request that [`Context::later`] put off. A ticket that was answered is no error.
    ///
    /// # Errors
    ///
    /// Our own fault: the head [cannot be sent](crate::wire::Head::is_sound), or the ticket is another
    /// module's.
    pub fn answer_page(&mut self, ticket: Ticket, page: &Page) -> Result<(), StanzaError> {
        let first = [&ticket.to_le_bytes(), &*wire::encode(&page.head)].concat();
        self.op(op::ANSWER_PAGE, &first, &page.body).map(drop)
    }

    /// Has the host make, change or remove an account, or check its password. What became of it comes to the module's
    /// `account_done` hook with `cookie`, for the owner of this call.
    ///
    /// It begins when what this call wrote is on disk, and comes back once, within a minute; a restart
    /// forgets it, whether or not it was done: [`crate::tables::ACCOUNTS`] tells. The password is
    /// hashed on a thread of its own, and neither logged nor written down.
    ///
    /// # Errors
    ///
    /// `resource-constraint` when too much is under way; our own fault: the module has no such hook.
    pub fn change_account(&mut self, work: &AccountWork, cookie: &[u8]) -> Result<(), StanzaError> {
        self.op(op::ACCOUNT, &wire::encode(work), cookie).map(drop)
    }

    /// Has the host delete a file of [`FILE_BLOBS`](crate::tables::FILE_BLOBS), when what this call
    /// wrote is on disk: the row is gone then. A server that is killed in between does it when it
    /// starts.
    ///
    /// # Errors
    ///
    /// Our own fault only. A file that is not there is no error.
    pub fn drop_file(&mut self, name: &[u8; 16]) -> Result<(), StanzaError> {
        self.op(op::DROP_FILE, name, &[]).map(drop)
    }
}
