//! What a hook can ask about the server and its modules.

use xmpp::{JidRef, StanzaError};

use super::Context;
use crate::hooks::Command;
use crate::tables::BLOCKED;
use crate::wire::{self, DiscoveryAsked, DiscoveryShown, Range, op};

impl Context<'_, '_> {
    /// Lists what service discovery says of accounts or of the domain, from all modules.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn features(&mut self, of_domain: bool) -> Result<Vec<String>, StanzaError> {
        let whose: &[u8] = if of_domain { b"domain" } else { b"account" };
        self.lines(op::FEATURES, whose)
    }

    /// Lists what service discovery says that accounts or the domain are, from all modules: category
    /// and type.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn identities(&mut self, of_domain: bool) -> Result<Vec<(String, String)>, StanzaError> {
        let whose: &[u8] = if of_domain { b"domain" } else { b"account" };
        let lines = self.lines(op::IDENTITIES, whose)?;
        let pair = |line: &String| {
            line.split_once(' ').map(|(category, kind)| (category.to_owned(), kind.to_owned()))
        };
        Ok(lines.iter().filter_map(pair).collect())
    }

    /// Asks the other modules what service discovery shows, of the domain or of the owner: elements
    /// as text, in the namespace of the answer. `None` when no module has the node.
    ///
    /// # Errors
    ///
    /// What the module of a node says; our own fault.
    pub fn discover(&mut self, asked: &DiscoveryAsked) -> Result<Option<Vec<String>>, StanzaError> {
        let bytes = self.op(op::DISCOVER, &wire::encode(asked), &[])?;
        match wire::decode(&bytes).ok_or(StanzaError::INTERNAL)? {
            DiscoveryShown::These(elements) => Ok(Some(elements)),
            DiscoveryShown::Nothing => Ok(None),
            DiscoveryShown::Refused(error, detail) => {
                let error = error.read().unwrap_or(StanzaError::INTERNAL);
                Err(StanzaError { detail: detail.map(Into::into), ..error })
            }
        }
    }

    /// Returns those of `addresses` that the owner has not blocked (XEP-0191 §5). Its own devices and
    /// its server cannot be blocked.
    ///
    /// # Errors
    ///
    /// As [`Context::get`].
    pub fn without_blocked<'a>(
        &mut self,
        addresses: Vec<&'a str>,
    ) -> Result<Vec<&'a str>, StanzaError> {
        let first = Range { to: None, limit: 1, reverse: false };
        if self.scan(&BLOCKED, &[], &first)?.is_empty() {
            return Ok(addresses);
        }
        let mut heard = Vec::with_capacity(addresses.len());
        for address in addresses {
            if !self.is_blocked(JidRef::trusted(address))? {
                heard.push(address);
            }
        }
        Ok(heard)
    }

    fn is_blocked(&mut self, address: JidRef<'_>) -> Result<bool, StanzaError> {
        if self.is_own(Some(address)) || address.as_str() == self.domain {
            return Ok(false);
        }
        let at_domain =
            address.resource().map(|resource| format!("{}/{resource}", address.domain()));
        let forms = [Some(address.as_str()), Some(address.bare_str()), at_domain.as_deref()];
        for form in forms.into_iter().flatten().chain([address.domain()]) {
            if self.get(&BLOCKED, form)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts the session that caused the call as one whose client is not looked at (XEP-0352), or
    /// as one whose client is.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn set_inactive(&mut self, inactive: bool) -> Result<(), StanzaError> {
        self.op(op::INACTIVE, &[], &[u8::from(inactive)]).map(drop)
    }

    /// Lists the subdomains that modules serve.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn served(&mut self) -> Result<Vec<String>, StanzaError> {
        self.lines(op::SERVED, &[])
    }

    /// Returns the address under which the world reaches what modules publish by HTTPS, such as
    /// `https://chat.example:5281`, without a slash at its end. `None`: it reaches nothing.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn web_url(&mut self) -> Result<Option<String>, StanzaError> {
        Ok(self.lines(op::WEB_URL, &[])?.pop())
    }

    /// Returns the address under which the world reaches a public path of any module. `None`: no module
    /// that runs has it, or the world reaches nothing.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn page_url(&mut self, path: &str) -> Result<Option<String>, StanzaError> {
        Ok(self.lines(op::WEB_URL, path.as_bytes())?.pop())
    }

    /// Says what the answer to an HTTP request is; without it `text/plain; charset=utf-8`.
    ///
    /// # Errors
    ///
    /// Our own fault: it cannot stand in a header.
    pub fn set_content_type(&mut self, media_type: &str) -> Result<(), StanzaError> {
        self.op(op::CONTENT_TYPE, media_type.as_bytes(), &[]).map(drop)
    }

    /// Lists the commands that modules offer, in the operator's order.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn commands(&mut self) -> Result<Vec<Command>, StanzaError> {
        let lines = self.lines(op::COMMANDS, &[])?;
        Ok(lines.iter().filter_map(|line| Command::read(line)).collect())
    }

    /// Returns the name of the software, its version and when it started, in ms since 1970.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn software(&mut self) -> Result<(String, String, u64), StanzaError> {
        let mut lines = self.lines(op::SOFTWARE, &[])?.into_iter();
        let mut next = || lines.next().unwrap_or_default();
        Ok((next(), next(), next().parse().unwrap_or(0)))
    }

    fn lines(&mut self, number: u32, a: &[u8]) -> Result<Vec<String>, StanzaError> {
        let text =
            String::from_utf8(self.op(number, a, &[])?).map_err(|_| StanzaError::INTERNAL)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}
