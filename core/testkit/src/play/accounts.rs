//! Accounts, and clients that have none yet.

use xml::Flat;
use xmpp::Stanza;

use super::Play;
use crate::Line;
use crate::fits::{fill_xml, fits};

impl Play<'_> {
    /// Checks all that strangers are offered.
    fn offers_strangers(&mut self, domain: &str, expected: &[Flat]) -> Result<(), String> {
        let now_ms = self.world.now_ms;
        let server = self.world.servers.get_mut(domain).ok_or("no such server")?;
        let offered = server.early_features(now_ms);
        let is_same = |(xml, expected): (&String, &Flat)| {
            let got = Flat::parse(xml, xmpp::ns::STREAMS);
            got.is_ok_and(|got| fits(expected.root(), got.root(), None, &mut self.names))
        };
        if offered.len() == expected.len() && offered.iter().zip(expected).all(is_same) {
            return Ok(());
        }
        Err(format!("{domain} offers strangers\n    {}", offered.join("\n    ")))
    }

    /// What becomes of accounts, and what those see who have none yet.
    pub(super) fn keep_accounts(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::HasPassword(jid, word) => match self.world.password(jid) {
                Some(password) if password == *word => Ok(()),
                Some(password) => Err(format!("{jid} has the password {password}")),
                None => Err(format!("there is no account {jid}")),
            },
            Line::Removed(jid) => self.world.remove(jid),
            Line::NoAccount(jid) => match (self.world.password(jid), self.world.tables_of(jid)) {
                (None, tables) if tables.is_empty() => Ok(()),
                (None, tables) => Err(format!("{} is kept for {jid}", tables.join(", "))),
                (Some(_), _) => Err(format!("there is an account {jid}")),
            },
            Line::Stranger(name, domain, address) => self.world.come(name, domain, address),
            Line::Asks(name, xml) => {
                let xml = fill_xml(xml, &self.names);
                let request =
                    Stanza::parse(&xml).map_err(|error| format!("{error}:\n    {xml}"))?;
                self.world.ask_early(name, request)
            }
            Line::OffersStrangers(domain, features) => self.offers_strangers(domain, features),
            _ => self.visit(line),
        }
    }
}
