//! What users do to their own accounts (§3.2, §3.3).

use calypte::prelude::*;
use calypte::wire::Password;

use crate::cookie::Cookie;
use crate::{Register, field, pace};

impl Register {
    /// Says that the account is registered (§3.1).
    pub(crate) fn show(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let element = |name: &str| Element::new(ns::REGISTER, name);
        let name = cx.owner().local().unwrap_or("").to_owned();
        let query = element("query")
            .with_child(element("registered"))
            .with_child(element("username").with_text(&name))
            .with_child(element("password"));
        Ok(Reply::With(query))
    }

    /// Changes the password, or removes the account.
    pub(crate) fn change(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let query = request.query()?;
        if query.has_child(ns::REGISTER, "remove") {
            return self.remove(query, cx);
        }
        if !self.0.change_password {
            return Err(StanzaError::NOT_ALLOWED);
        }
        let (own, domain) = (cx.owner_jid(), cx.domain().to_owned());
        let name = field(query, "username").ok_or(StanzaError::BAD_REQUEST)?;
        let whole = if name.contains('@') { name } else { format!("{name}@{domain}") };
        if Jid::parse(&whole).ok().as_ref() != Some(&own) {
            return Err(StanzaError::FORBIDDEN);
        }
        // §3.3. Never to nothing.
        let password = field(query, "password").ok_or(StanzaError::BAD_REQUEST)?;
        self.check_password(&password)?;
        pace::count_change(cx, "")?;
        let resource = cx.session()?.resource;
        let ticket = cx.later()?;
        let name = own.local().unwrap_or("").to_owned();
        let work = AccountWork::SetPassword { name, password: Password::new(&password) };
        cx.change_account(&work, &Cookie::Changed { ticket, resource }.write())?;
        Ok(Reply::Later)
    }

    /// Changes the password by command (XEP-0050), for clients that have nothing better.
    pub(crate) fn command(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        if !self.0.change_password {
            return Err(StanzaError::NOT_ALLOWED);
        }
        let said = |name| asked.field(name).filter(|text| !text.is_empty());
        let Some(password) = said("password") else {
            let private = |name, label| Field::new(name, label, FieldKind::Private).required();
            let form = Form::new("Change my password", "Other devices may have to log in anew.")
                .with(private("password", "New password"))
                .with(private("password-verify", "New password again"));
            return Ok(form.into());
        };
        // The command line shows what is typed.
        let again = said("password-verify");
        let is_left_out = asked.asker.is_empty() && again.is_none();
        if again != Some(password) && !is_left_out {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("the passwords are not the same"));
        }
        self.check_password(password)?;
        pace::count_change(cx, "")?;
        let own = cx.session_jid().and_then(|jid| jid.resource().map(str::to_owned));
        let (resource, ticket) = (own.unwrap_or_default(), cx.later()?);
        let name = cx.owner().local().unwrap_or("").to_owned();
        let work = AccountWork::SetPassword { name, password: Password::new(password) };
        cx.change_account(&work, &Cookie::Commanded { ticket, resource }.write())?;
        Ok(CommandReply::Later)
    }

    fn remove(&self, query: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        if query.children().count() != 1 {
            return Err(StanzaError::BAD_REQUEST);
        }
        if !self.0.remove {
            return Err(StanzaError::NOT_ALLOWED);
        }
        let ticket = cx.later()?;
        let name = cx.owner().local().unwrap_or("").to_owned();
        cx.change_account(&AccountWork::Delete { name }, &Cookie::Removed { ticket }.write())?;
        Ok(Reply::Later)
    }

    /// The password is another: the other devices are told, and end where that is wanted.
    pub(crate) fn changed(
        &self,
        cx: &mut Context<'_, '_>,
        resource: &str,
        done: Result<(), AccountFault>,
    ) -> Done {
        if done.is_ok() {
            for other in cx.sessions()?.into_iter().filter(|other| other.resource != resource) {
                cx.deliver(&other.resource, &news(cx.domain()))?;
                if self.0.close_others {
                    cx.close(&other.resource, StreamError::NotAuthorized)?;
                }
            }
            cx.count("passwords_changed", 1)?;
        }
        Ok(())
    }
}

fn news(domain: &str) -> Element {
    let text = "The password of your account was changed from another device. If that was not you, \
                tell whoever runs this server.";
    let body = Element::new(ns::CLIENT, "body").with_text(text);
    Element::new(ns::CLIENT, "message")
        .with_attr("from", domain)
        .with_attr("type", "headline")
        .with_child(body)
}
