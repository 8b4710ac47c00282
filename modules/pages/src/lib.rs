//! Pages for people, by HTTPS: an invitation makes an account, and users look after theirs.
//!
//! Everything works without scripts, so each answer is a whole page. The functions run for the domain.
//! What concerns an account is asked of it: `ask` asks in its name what its own clients could ask, so
//! the modules that answer decide as they do for them.

mod account;
mod act;
mod ask;
mod devices;
mod guard;
mod html;
mod invitation;
mod pace;
mod qr;
mod sessions;
mod settings;
mod texts;
mod waiting;

use calypte::notice::{AccountEnds, AccountWished, Notice as _};
use calypte::prelude::*;

pub use settings::Config;

/// The namespace of what the domain asks its accounts.
pub(crate) const NS: &str = "urn:calypte:pages:0";
/// The path of the account's own page.
pub(crate) const ACCOUNT: &str = "/account";

/// Shows the pages.
#[derive(Debug)]
pub struct Pages(pub(crate) Config);

calypte::export!(Pages);

impl Module for Pages {
    const NAME: &'static str = "pages";
    const ABOUT: &'static str =
        "Pages for people: invitations that make accounts, and the own account.";
    const XEPS: &'static [Xep] = &[Xep("0379", "0.3.3"), Xep("0401", "0.5.0")];
    const KEYS: &'static [ConfigKey] = settings::KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::web(tables::INVITE_PATH, Self::invitation),
        Hook::web(ACCOUNT, Self::account),
        Hook::web(html::STYLE_PATH, Self::style),
        Hook::notice(AccountWished::NAME, Self::wished),
        Hook::account_done(Self::looked_at),
        Hook::iq_set(On::AccountFromAnyone, NS, "ask", Self::ask_own),
        Hook::answer(Self::answered),
        Hook::notice(AccountEnds::NAME, Self::account_ends),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        config.check()?;
        Ok(Self(config))
    }
}
