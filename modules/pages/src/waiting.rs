//! What the module remembers of a page while others work. It is kept in memory only.

use bincode::{Decode, Encode};
use calypte::notice::{AccountWish, Wish};
use calypte::wire::{self, Password};
use calypte::{Ticket, prelude::*};

use crate::Pages;
use crate::sessions::Bound;

/// What follows when a password was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Next {
    /// Somebody logs in, to the account as it was then, if there was one.
    LogIn { name: String, address: String, bound: Option<Bound> },
    /// The user of this session wants another password.
    Change { cookie: String, password: Password },
    /// The user of this session wants the account removed.
    Remove { cookie: String },
}

/// Who waits until a password was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Looking {
    pub(crate) ticket: Ticket,
    /// Where the request came from.
    pub(crate) from: String,
    pub(crate) next: Next,
}

/// Who waits until module `register` has done something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Wished {
    /// Somebody makes an account with the invitation that has this token.
    Made { ticket: Ticket, token: String, name: String },
    /// The user of this session has another password.
    Changed { ticket: Ticket, cookie: String },
    /// The user is gone.
    Removed { ticket: Ticket },
}

impl Looking {
    /// Has the host look at a password.
    pub(crate) fn begin(
        &self,
        cx: &mut Context<'_, '_>,
        name: &str,
        password: &str,
    ) -> Result<(), StanzaError> {
        let work = AccountWork::Check { name: name.to_owned(), password: Password::new(password) };
        cx.change_account(&work, &wire::encode(self))
    }
}

impl Wished {
    /// Has module `register` do something.
    pub(crate) fn begin(&self, cx: &mut Context<'_, '_>, wish: Wish) -> Done {
        cx.tell(&AccountWish { by: (Pages::NAME.to_owned(), wire::encode(self)), wish })
    }
}
