//! Clients that have not logged in.

use std::collections::VecDeque;

use calypte::wire::Stranger;
use engine::Event;
use xmpp::{Jid, Stanza, StanzaError};

use super::{Client, World, facts, no_server};

/// The tokens of questions before login follow this.
const EARLY_TOKENS: u64 = 1000;

impl World<'_> {
    /// A client connects, over TLS, and does not log in.
    pub(crate) fn come(&mut self, name: &str, domain: &str, address: &str) -> Result<(), String> {
        self.sessions += 1;
        let client = Client {
            jid: Jid::parse(domain).map_err(|_| no_server(domain))?,
            session: self.sessions,
            inbox: VecDeque::new(),
            seen: Vec::new(),
            is_connected: true,
            closed: None,
            token: None,
            bound: None,
            received: 0,
            is_resumed: false,
            granted: None,
            login: Box::new(facts(&toml::Table::new())?),
        };
        self.clients.insert(name.to_owned(), client);
        self.addresses.insert(name.to_owned(), address.to_owned());
        Ok(())
    }

    /// A client that has not logged in asks something.
    pub(crate) fn ask_early(&mut self, name: &str, request: Stanza) -> Result<(), String> {
        let address = self.addresses.get(name).ok_or("only a stranger asks so")?.clone();
        let client = self.connected(name)?;
        let (domain, connection) = (client.jid.clone(), client.session);
        self.early += 1;
        let token = EARLY_TOKENS + self.early;
        self.asked.insert(token, (name.to_owned(), request.clone()));
        let stranger = Stranger { connection, address };
        self.tell(&domain, Event::Stranger { token, stranger, request })
    }

    /// Gives a client that has not logged in its answer.
    pub(super) fn answer_early(&mut self, token: u64, answer: Result<Vec<u8>, StanzaError>) {
        let Some((name, request)) = self.asked.remove(&token) else { return };
        let reply = match answer {
            Ok(inner) => request.result_reply(&String::from_utf8_lossy(&inner)),
            Err(error) => request.error_reply(&error),
        };
        if let (Some(client), Some(reply)) = (self.clients.get_mut(&name), reply) {
            client.inbox.push_back(reply);
        }
    }
}
