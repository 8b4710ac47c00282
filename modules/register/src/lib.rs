//! Accounts made, changed and removed by clients (XEP-0077), as far as the operator lets them.

mod cookie;
mod names;
mod own;
mod pace;
mod settings;
mod strangers;
mod wished;

use calypte::notice::{AccountWish, Notice as _};
use calypte::prelude::*;

use cookie::Cookie;
pub use settings::{Config, Policy};

/// The namespace of what the domain tells its accounts.
pub(crate) const NS: &str = "urn:calypte:register:0";

/// Lets clients make, change and remove accounts.
#[derive(Debug)]
pub struct Register(Config);

calypte::export!(Register);

impl Module for Register {
    const NAME: &'static str = "register";
    const ABOUT: &'static str = "Accounts made, changed and removed by clients.";
    const XEPS: &'static [Xep] = &[Xep("0077", "2.4")];
    const FEATURES: &'static [Feature] = &[Feature::Domain(ns::REGISTER)];
    const KEYS: &'static [ConfigKey] = settings::KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::started(Self::started),
        Hook::early_feature(Self::offer),
        Hook::stranger_get(ns::REGISTER, "query", Self::ask_stranger),
        Hook::stranger_set(ns::REGISTER, "query", Self::register),
        Hook::iq_get(On::Own, ns::REGISTER, "query", Self::show),
        Hook::iq_set(On::Own, ns::REGISTER, "query", Self::change),
        Hook::form_command("change-password", "Change my password", Who::User, Self::command),
        Hook::account_done(Self::account_done),
        Hook::notice(AccountWish::NAME, Self::wish),
        Hook::payload(Place::Received, Phase::Admit, NS, "changed", Self::changed_elsewhere),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        config.check()?;
        Ok(Self(config))
    }
}

impl Register {
    /// Lets other modules know who may register.
    fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        let now = tables::Registration {
            policy: self.0.policy.number(),
            password_min: self.0.password_min,
            may_change: self.0.change_password,
            may_remove: self.0.remove,
        };
        if cx.get(&tables::REGISTRATION, "")?.as_ref() == Some(&now) {
            return Ok(());
        }
        cx.put(&tables::REGISTRATION, "", &now)
    }

    /// Shows strangers that they can register, where any of them can.
    fn offer(&self, _: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        let is_open = self.0.policy != Policy::Closed;
        Ok(is_open.then(|| Element::new(ns::REGISTER_FEATURE, "register")))
    }

    fn account_done(
        &self,
        cookie: &[u8],
        done: Result<(), AccountFault>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        match Cookie::read(cookie)? {
            Cookie::Made { ticket, name, invitation } => {
                Self::registered(cx, (ticket, &name), invitation, done)
            }
            Cookie::Changed { ticket, resource } => {
                self.changed(cx, &resource, done)?;
                cx.answer(ticket, done.map(|()| Reply::Empty).map_err(StanzaError::from))
            }
            Cookie::Commanded { ticket, resource } => {
                self.changed(cx, &resource, done)?;
                let said = done.map(|()| Outcome::said("The password is another now.").into());
                cx.answer_command(ticket, said.map_err(StanzaError::from))
            }
            Cookie::Wished { by, what } => Self::wished(cx, by, what, done),
            Cookie::Removed { ticket } => {
                cx.answer(ticket, done.map(|()| Reply::Empty).map_err(StanzaError::from))
            }
        }
    }
}

/// Reads what was filled in: in elements of their own, or in a form (§4). Empty counts as missing.
fn field(query: Node<'_>, name: &str) -> Option<String> {
    let plain = query.child_text(ns::REGISTER, name).map(std::borrow::Cow::into_owned);
    let form = || {
        let form = query.child(ns::DATA_FORMS, "x")?;
        let mut fields = form.children().filter(|field| field.is(ns::DATA_FORMS, "field"));
        let field = fields.find(|field| field.attr("var").as_deref() == Some(name))?;
        field.child_text(ns::DATA_FORMS, "value").map(std::borrow::Cow::into_owned)
    };
    plain.or_else(form).filter(|text| !text.is_empty())
}

impl Register {
    /// Refuses a password that is too short.
    fn check_password(&self, password: &str) -> Result<(), StanzaError> {
        let least = usize::try_from(self.0.password_min).unwrap_or(usize::MAX);
        if password.chars().count() >= least {
            return Ok(());
        }
        let text = format!("the password needs at least {least} characters");
        Err(StanzaError::NOT_ACCEPTABLE.with_text(text))
    }
}
