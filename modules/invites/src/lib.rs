//! Invitations: to an account here, to become a contact, or to both (XEP-0401, XEP-0379, XEP-0445).
//!
//! The shard of the domain alone changes what is known of an invitation, so each use counts once. An
//! account that made some keeps a list of its own, and asks the domain by message.

mod commands;
mod made;
mod redeem;
mod settings;
mod tokens;

use calypte::notice::{AccountEnds, Notice as _, Registration};
use calypte::prelude::*;

pub use settings::Config;

/// The namespace of what the domain and its accounts tell each other.
pub(crate) const NS: &str = "urn:calypte:invites:0";

/// Makes and redeems invitations.
#[derive(Debug)]
pub struct Invites(Config);

calypte::export!(Invites);

impl Module for Invites {
    const NAME: &'static str = "invites";
    const ABOUT: &'static str = "Invitations to an account or a contact.";
    const XEPS: &'static [Xep] =
        &[Xep("0379", "0.3.3"), Xep("0401", "0.5.0"), Xep("0445", "0.2.0")];
    const KEYS: &'static [ConfigKey] = settings::KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::started(Self::started),
        Hook::wake(Self::sweep),
        Hook::early_feature(Self::offer),
        Hook::stranger_set(ns::PARS, "preauth", Self::accept),
        Hook::notice(Registration::NAME, Self::registration),
        Hook::notice(AccountEnds::NAME, Self::account_ends),
        // Before module `roster`, which would ask the user.
        Hook::payload(Place::Received, Phase::Admit, ns::PARS, "preauth", Self::subscribe),
        Hook::payload(Place::Received, Phase::Admit, NS, "redeem", Self::redeem),
        Hook::payload(Place::Received, Phase::Admit, NS, "redeemed", Self::redeemed),
        Hook::payload(Place::Received, Phase::Admit, NS, "revoke", Self::revoke),
        Hook::form_command(commands::INVITE, "Invite somebody", Who::User, Self::invite),
        Hook::form_command("invitations", "Show my invitations", Who::User, Self::list_own),
        Hook::form_command(
            "revoke-invitation",
            "Take an invitation back",
            Who::User,
            Self::revoke_own,
        ),
        Hook::form_command(commands::CREATE, "Create account", Who::Admin, Self::create),
        Hook::form_command("all-invitations", "Show all invitations", Who::Admin, Self::list_all),
        Hook::form_command(
            "revoke-any-invitation",
            "Take any invitation back",
            Who::Admin,
            Self::revoke_any,
        ),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        config.check()?;
        Ok(Self(config))
    }
}
