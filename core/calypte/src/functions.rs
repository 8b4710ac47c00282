//! The types of the functions behind hooks.

use xmpp::{StanzaError, StanzaRef};

use crate::command::CommandResult;
use crate::hooks::{Done, HookResult, IqResult, When};
use crate::wire::{
    AccountFault, FileAnswer, FileAsked, PeerFacts, PeerVerdict, Stranger, Token, TokenProof,
    TokenVerdict, TokenWish,
};
use crate::{Asked, Bind, Context, Discovery, Login, Notified, Passing, Request, Served, Shown};

/// The function of a stanza hook.
pub type StanzaFn<M> = fn(&M, &mut Passing<'_>, &mut Context<'_, '_>) -> HookResult;
/// The function that answers a request.
pub type IqFn<M> = fn(&M, &Request<'_>, &mut Context<'_, '_>) -> IqResult;
/// The function that answers a request of somebody who has not logged in.
pub type StrangerFn<M> = fn(&M, &Request<'_>, &Stranger, &mut Context<'_, '_>) -> IqResult;
/// The function of a session hook, and of [`Hook::started`](crate::Hook::started).
pub type SessionFn<M> = fn(&M, &mut Context<'_, '_>) -> Done;
/// The function that sees a login.
pub type LoginFn<M> = fn(&M, &Login<'_>, &mut Context<'_, '_>) -> Done;
/// The function of a timer.
pub type WakeFn<M> = fn(&M, &str, &mut Context<'_, '_>) -> Done;
/// The function that hears another module.
pub type NoticeFn<M> = fn(&M, &Notified<'_>, &mut Context<'_, '_>) -> Done;
/// The function that gets the answer to a request of ours.
pub type AnswerFn<M> = fn(&M, &[u8], StanzaRef<'_>, &mut Context<'_, '_>) -> Done;
/// The function that hears which messages a client has.
pub type AckedFn<M> = fn(&M, StanzaRef<'_>, &mut Context<'_, '_>) -> Done;
/// The function that says when an inactive client gets a stanza.
pub type InactiveFn<M> = fn(&M, StanzaRef<'_>, &mut Context<'_, '_>) -> Result<When, StanzaError>;
/// The function that says what does not agree in what a module keeps.
pub type VerifyFn<M> = fn(&M, &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError>;
/// The function that writes a stream feature.
pub type FeatureFn<M> = fn(&M, &mut Context<'_, '_>) -> Result<Option<xml::Element>, StanzaError>;
/// The function that adds to an answer of service discovery.
pub type DiscoveryFn<M> = fn(&M, &Discovery<'_>, &mut Context<'_, '_>) -> Shown;
/// The function that does what a client asks for while it binds.
pub type BoundFn<M> =
    fn(&M, &Bind<'_>, &mut Context<'_, '_>) -> Result<Option<xml::Element>, StanzaError>;
/// The function behind an HTTP path or a command.
pub type AskedFn<M> = fn(&M, &Asked<'_>, &mut Context<'_, '_>) -> Result<Vec<u8>, StanzaError>;
/// The function behind pages.
pub type WebFn<M> = fn(&M, &Asked<'_>, &mut Context<'_, '_>) -> Result<Served, StanzaError>;
/// The function of a command with forms.
pub type CommandFn<M> = fn(&M, &Asked<'_>, &mut Context<'_, '_>) -> CommandResult;
/// The function that decides about a stream with another domain.
pub type PeerFn<M> = fn(&M, &PeerFacts, &mut Context<'_, '_>) -> Result<PeerVerdict, StanzaError>;
/// The function that gets what the host found.
pub type LookedFn<M> = fn(&M, &[u8], Result<&[u8], &str>, &mut Context<'_, '_>) -> Done;
/// The function that hears what became of a change of an account.
pub type AccountFn<M> = fn(&M, &[u8], Result<(), AccountFault>, &mut Context<'_, '_>) -> Done;
/// The function that decides about files.
pub type FileFn<M> = fn(&M, &FileAsked, &mut Context<'_, '_>) -> Result<FileAnswer, StanzaError>;
/// The function that checks a proof of a token.
pub type TokenFn<M> =
    fn(&M, &TokenProof, &mut Context<'_, '_>) -> Result<TokenVerdict, StanzaError>;
/// The function that gives tokens out.
pub type GrantFn<M> =
    fn(&M, &TokenWish, &mut Context<'_, '_>) -> Result<Option<Token>, StanzaError>;
