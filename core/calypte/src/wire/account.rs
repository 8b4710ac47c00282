//! What the host does to accounts for modules: hashing passwords is slow, and only it writes them.

use std::fmt;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use crypto::Secret;
use xmpp::{Condition, ErrorKind, StanzaError};

/// A password on its way to the host. It is shown nowhere and never written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password(pub Secret);

impl Password {
    /// Takes a password over.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Secret::from(text.to_owned()))
    }
}

impl Encode for Password {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.expose().encode(encoder)
    }
}

impl<C> Decode<C> for Password {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Vec::<u8>::decode(decoder).map(|bytes| Self(Secret::new(bytes)))
    }
}

bincode::impl_borrow_decode!(Password);

/// What is to be done to an account of the domain, named by its local part.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AccountWork {
    /// Make it.
    Create {
        /// The local part. It is prepared as any address is.
        name: String,
        /// Its password.
        password: Password,
    },
    /// Give it another password. Its sessions go on.
    SetPassword {
        /// The local part.
        name: String,
        /// The new password.
        password: Password,
    },
    /// Refuse its logins and end its sessions, or allow logins again.
    SetDisabled {
        /// The local part.
        name: String,
        /// Whether logins are refused.
        disabled: bool,
    },
    /// Remove it with everything that is kept for it. Its contacts are told (RFC 6121 §2.5.2 for each
    /// of them), and its sessions end with `not-authorized` (XEP-0077 §3.2) behind the answer.
    Delete {
        /// The local part.
        name: String,
    },
    /// Change nothing, and tell whether somebody who has this password may log in. No account, one that
    /// is disabled and a wrong password are the same, [`AccountFault::Wrong`], and take the same time.
    /// Whoever asks for it bounds how often a stranger can try.
    Check {
        /// The local part.
        name: String,
        /// What may be its password.
        password: Password,
    },
}

impl AccountWork {
    /// Returns the local part that it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Create { name, .. }
            | Self::SetPassword { name, .. }
            | Self::SetDisabled { name, .. }
            | Self::Delete { name }
            | Self::Check { name, .. } => name,
        }
    }
}

/// Why nothing was done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AccountFault {
    /// There is one of that name.
    Exists,
    /// There is none of that name.
    Unknown,
    /// No account can have that name.
    BadName,
    /// Clients could not send that password: it is empty or has characters that are not allowed.
    BadPassword,
    /// The server could not, or it took too long. It may have been done.
    Failed,
    /// Who has that password may not log in.
    Wrong,
}

impl AccountFault {
    /// Says it in a sentence.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Exists => "there is an account of that name",
            Self::Unknown => "there is no account of that name",
            Self::BadName => "no account can have that name",
            Self::BadPassword => "this password cannot be used",
            Self::Failed => "the server could not do it",
            Self::Wrong => "name or password is wrong",
        }
    }
}

impl From<AccountFault> for StanzaError {
    fn from(fault: AccountFault) -> Self {
        let (kind, condition) = match fault {
            AccountFault::Exists => (ErrorKind::Cancel, Condition::Conflict),
            AccountFault::Unknown => (ErrorKind::Cancel, Condition::ItemNotFound),
            AccountFault::BadName => (ErrorKind::Modify, Condition::JidMalformed),
            AccountFault::BadPassword => (ErrorKind::Modify, Condition::NotAcceptable),
            AccountFault::Failed => (ErrorKind::Wait, Condition::InternalServerError),
            AccountFault::Wrong => (ErrorKind::Auth, Condition::NotAuthorized),
        };
        Self::new(kind, condition).with_text(fault.why())
    }
}

impl fmt::Display for AccountFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

/// What became of [`AccountWork`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccountDone {
    /// What the module gave with it.
    pub cookie: Vec<u8>,
    /// Why it was not done; `None`: it was.
    pub fault: Option<AccountFault>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn passwords_cross_and_are_not_shown() {
        let work = AccountWork::Create { name: "ana".into(), password: Password::new("sesame") };
        assert!(!format!("{work:?}").contains("sesame"));
        let bytes = encode(&work);
        assert_eq!(bytes, b"\x00\x03ana\x06sesame");
        assert_eq!(decode::<AccountWork>(&bytes), Some(work));
    }
}
