//! Clients: one that once proved its channel has to go on doing so.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::{RequiredTls, alarms};

/// What we know of an account's clients, by the id that they give (XEP-0388); without one, empty.
const CLIENTS: Table<str, Client> = Table::account("required_tls.clients");
/// What the account wants, under [`ONLY`].
const WANTS: Table<str, Wants> = Table::account("required_tls.wants");
const ONLY: &str = "binding";

/// Clients that are remembered of an account.
const CLIENTS_MAX: usize = 64;
/// The longest id.
const ID_BYTES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Client {
    /// Whether it ever proved its channel.
    is_bound: bool,
    /// Whether its user was told that it does not.
    is_told: bool,
    last_ms: u64,
}

record!(Client, 1);

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Wants {
    /// Whether only logins with a proof of the channel are let in.
    only_bound: bool,
    /// Whether there ever was one.
    was_bound: bool,
}

record!(Wants, 1);

impl RequiredTls {
    /// Somebody logged in.
    pub(crate) fn client(&self, login: &Login<'_>, cx: &mut Context<'_, '_>) -> Done {
        let facts = login.facts();
        let mut wants = cx.get(&WANTS, ONLY)?.unwrap_or_default();
        let id = facts.user_agent.clone().unwrap_or_default();
        let id = if id.len() <= ID_BYTES_MAX { id } else { String::new() };
        let known = cx.get(&CLIENTS, id.as_str())?;
        if !facts.channel_bound {
            let was_bound = self.0.clients && known.as_ref().is_some_and(|known| known.is_bound);
            if wants.only_bound || (was_bound && !id.is_empty()) {
                cx.count("unbound_logins_refused", 1)?;
                return Err(StanzaError::POLICY_VIOLATION.with_text(
                    "This app logged in without proving that nobody sits between it and the server.",
                ));
            }
        } else if !wants.was_bound {
            wants.was_bound = true;
            cx.put(&WANTS, ONLY, &wants)?;
        }
        let mut client =
            known.clone().unwrap_or(Client { is_bound: false, is_told: false, last_ms: 0 });
        client.is_bound |= facts.channel_bound && !id.is_empty();
        if self.0.tell_unbound && !facts.channel_bound && !client.is_told {
            client.is_told = true;
            self.tell_user(cx)?;
        }
        let is_old = cx.now_ms().saturating_sub(client.last_ms) >= 86_400_000;
        let is_changed = known.is_none_or(|known| known != client);
        if is_changed || is_old {
            client.last_ms = cx.now_ms();
            self.keep_client(&id, &client, cx)?;
        }
        Ok(())
    }

    fn tell_user(&self, cx: &mut Context<'_, '_>) -> Done {
        let text = "An app of yours just logged in that cannot detect whether somebody sits \
                    between it and this server. Apps that can are safer; an update may do.";
        let (domain, owner) = (cx.domain().to_owned(), cx.owner_jid());
        let body = Element::new(ns::CLIENT, "body").with_text(text);
        let message = Element::new(ns::CLIENT, "message").with_attr("from", &domain);
        cx.send(&message.with_attr("to", owner.as_str()).with_child(body))
    }

    fn keep_client(&self, id: &str, client: &Client, cx: &mut Context<'_, '_>) -> Done {
        if cx.get(&CLIENTS, id)?.is_none() {
            let mut all = cx.all(&CLIENTS, 2 * u32::try_from(CLIENTS_MAX).unwrap_or(0))?;
            all.sort_by_key(|(_, client)| (client.is_bound, client.last_ms));
            // What was never bound goes first: forgetting it loses nothing.
            let too_many = (all.len() + 1).saturating_sub(CLIENTS_MAX);
            for (id, _) in all.into_iter().take(too_many) {
                cx.delete(&CLIENTS, id.as_str())?;
            }
        }
        cx.put(&CLIENTS, id, client)
    }

    /// `channel-binding`: the account's own switch.
    pub(crate) fn bind_only(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<u8>, StanzaError> {
        let mut wants = cx.get(&WANTS, ONLY)?.unwrap_or_default();
        let text = match asked.field("only") {
            Some("yes" | "true" | "1") if !wants.was_bound => {
                let why = "No app of yours ever logged in in this way: you would be locked out.";
                return Err(StanzaError::NOT_ALLOWED.with_text(why));
            }
            Some(word @ ("yes" | "true" | "1" | "no" | "false" | "0")) => {
                wants.only_bound = matches!(word, "yes" | "true" | "1");
                cx.put(&WANTS, ONLY, &wants)?;
                "From now on"
            }
            Some(_) => return Err(StanzaError::BAD_REQUEST.with_text("only is yes or no.")),
            None => "Now",
        };
        let (which, how) = if wants.only_bound {
            ("only apps that detect interception can", "only=no")
        } else {
            ("all apps can", "only=yes")
        };
        Ok(format!("{text} {which} log in to your account; {how} changes that.").into_bytes())
    }

    /// A client believed that we offer no binding: somebody took the offer away. Anybody can pretend
    /// that, so it is counted and shown, and locks nobody out.
    pub(crate) fn doubted(&self, _: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let domain = cx.domain().to_owned();
        if alarms::is_fresh(&domain, "binding", cx)? {
            return cx.count("hidden_bindings", 1);
        }
        cx.count("hidden_bindings", 1)?;
        alarms::raise(&domain, "binding", "a client was shown no channel binding", cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let client = Client { is_bound: true, is_told: false, last_ms: 7 };
        assert_eq!(CLIENTS.encode(&client), b"\x01\x01\x00\x07");
        let wants = Wants { only_bound: true, was_bound: true };
        assert_eq!(WANTS.encode(&wants), b"\x01\x01\x01");
    }
}
