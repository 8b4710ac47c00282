//! Logins by tokens (XEP-0484), as a client makes them.

use calypte::wire::{TokenProof, TokenVerdict, TokenWish};
use crypto::Hash;
use engine::Event;
use toml::{Table, Value};
use xmpp::Jid;

use crate::fits::{Names, fill};
use crate::world::World;

impl World<'_> {
    /// Binds a client with its login once more, and returns the token that it is given.
    pub(crate) fn ask_for_token(
        &mut self,
        name: &str,
        wanted: Option<String>,
    ) -> Result<Option<String>, String> {
        let client = self.connected(name)?;
        client.granted = None;
        let (session, jid, login) = (client.session, client.jid.clone(), client.login.clone());
        let wish = TokenWish {
            client: login.user_agent.clone().ok_or("it has no user_agent")?,
            wanted,
            mechanism: login.mechanism.clone(),
            channel_bound: login.channel_bound,
        };
        let (wishes, token) = (Vec::new(), Some(Box::new(wish)));
        self.tell(&jid, Event::Bind { session, wishes, enable: None, token })?;
        Ok(self.client(name)?.granted.take().map(|granted| granted.token))
    }

    /// Shows a token as a client that is about to log in, and returns what it is worth.
    pub(crate) fn show_token(
        &mut self,
        account: &Jid,
        token: &str,
        table: &Table,
        names: &Names,
    ) -> Result<&'static str, String> {
        let text = |name: &str, default: &str| {
            let text = table.get(name).and_then(Value::as_str).unwrap_or(default);
            fill(text, names, str::to_owned)
        };
        let known = ["mechanism", "user_agent", "channel", "shown_channel", "count", "invalidate"];
        if let Some(name) = table.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("nothing about a token is called {name}"));
        }
        let channel = text("channel", "");
        // Somebody in between has another channel to each side.
        let shown = text("shown_channel", &channel);
        let word = |who: &str, channel: &str| {
            crypto::hmac(Hash::Sha256, token.as_bytes(), format!("{who}{channel}").as_bytes())
        };
        let count = table.get("count").and_then(Value::as_integer);
        let proof = TokenProof {
            client: text("user_agent", ""),
            mechanism: text("mechanism", "HT-SHA-256-EXPR"),
            channel: shown.clone().into_bytes(),
            proof: word("Initiator", &channel),
            count: count.and_then(|count| u64::try_from(count).ok()),
            invalidate: table.get("invalidate").and_then(Value::as_bool) == Some(true),
        };
        let (account, proof) = (account.clone(), Box::new(proof));
        self.verdict = None;
        self.tell(&account.clone(), Event::Token { session: 0, account, proof })?;
        match self.verdict.take() {
            Some(TokenVerdict::Right(answer)) if answer == word("Responder", &shown) => Ok("right"),
            Some(TokenVerdict::Right(_)) => Err("the server does not prove itself".to_owned()),
            Some(TokenVerdict::Wrong) => Ok("wrong"),
            Some(TokenVerdict::Expired) => Ok("expired"),
            None => Err("nobody checked the token".to_owned()),
        }
    }
}
