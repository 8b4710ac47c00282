//! What modules say to service discovery (XEP-0030). Module `disco` makes the answers of it.

use calypte::wire::{DiscoveryAsked, DiscoveryShown, WireError, decode, encode, status};
use xmpp::{JidRef, StanzaError, ns};

use crate::calls::{Called, Cause};
use crate::pipeline::Function;
use crate::step::Step;

impl Step<'_> {
    /// Lists the features that service discovery shows.
    pub(crate) fn features(&self, of_domain: bool) -> Vec<String> {
        let wanted = whose(of_domain);
        let all = self.pipeline.manifests().flat_map(|manifest| &manifest.features);
        let fits = |whose: &str| whose == wanted || whose == "everywhere";
        let mut names: Vec<_> =
            all.filter(|(whose, _)| fits(whose)).map(|(_, name)| name.clone()).collect();
        if !self.pipeline.commands().is_empty() {
            names.push(ns::COMMANDS.to_owned());
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Lists the identities that service discovery shows: category and type.
    pub(crate) fn identities(&self, of_domain: bool) -> Vec<String> {
        let wanted = whose(of_domain);
        let all = self.pipeline.manifests().flat_map(|manifest| &manifest.identities);
        let mut identities: Vec<_> =
            all.filter(|(whose, _)| whose == wanted).map(|(_, what)| what.clone()).collect();
        identities.sort_unstable();
        identities.dedup();
        identities
    }

    /// Lists the subdomains that modules serve.
    pub(crate) fn served(&self) -> Vec<String> {
        let domain = self.state.setup.domain.domain();
        let hooks = self.pipeline.plain("serve");
        let served = hooks.into_iter().map(|hook| format!("{}.{domain}", hook.word));
        served.chain(self.state.setup.components.iter().cloned()).collect()
    }

    /// Asks the modules what they show, in the operator's order.
    pub(crate) fn discover(&mut self, owner: &str, asked: &DiscoveryAsked) -> DiscoveryShown {
        let domain = self.state.setup.domain.clone();
        let owner = if asked.of_domain { domain.as_str() } else { owner };
        self.is_discovering = true;
        let shown = self.shown(owner, asked);
        self.is_discovering = false;
        shown
    }

    fn shown(&mut self, owner: &str, asked: &DiscoveryAsked) -> DiscoveryShown {
        let from = asked.from.as_deref().unwrap_or("");
        let session = if JidRef::trusted(from).bare_str() == owner { from } else { "" };
        let cause = Cause { owner, session, targets: &[], is_assured: false };
        let kind = if asked.items { "disco-items" } else { "disco-info" };
        let mut all = Vec::new();
        for hook in self.pipeline.plain(kind) {
            if *hook.word != *whose(asked.of_domain) {
                continue;
            }
            match (self.shown_by(hook.function, cause, asked), &asked.node) {
                (Ok(None), _) => {}
                (Ok(Some(elements)), None) => all.extend(elements),
                (Ok(Some(elements)), Some(_)) => return DiscoveryShown::These(elements),
                (Err(error), None) => {
                    let module = self.pipeline.name(hook.function.module).to_owned();
                    self.log(2, &module, format!("has nothing to show: {error}"));
                }
                (Err(error), Some(_)) => {
                    let detail = error.detail.as_deref().map(str::to_owned);
                    return DiscoveryShown::Refused(WireError::of(&error), detail);
                }
            }
        }
        match asked.node {
            None => DiscoveryShown::These(all),
            Some(_) => DiscoveryShown::Nothing,
        }
    }

    fn shown_by(
        &mut self,
        function: Function,
        cause: Cause<'_>,
        asked: &DiscoveryAsked,
    ) -> Result<Option<Vec<String>>, StanzaError> {
        let ns = if asked.items { ns::DISCO_ITEMS } else { ns::DISCO_INFO };
        match self.call(function, cause, None, "", &encode(asked)) {
            Called::Ran(status::REPLY, said) => {
                let elements: Option<Vec<String>> = said.reply.and_then(|reply| decode(&reply));
                let is_fine = |xml: &String| xml::Flat::parse(xml, ns).is_ok();
                let elements = elements.filter(|elements| elements.iter().all(is_fine));
                elements.map(Some).ok_or(StanzaError::INTERNAL)
            }
            Called::Refused(error) => Err(error),
            Called::Ran(..) | Called::Off => Ok(None),
            Called::Failed => Err(StanzaError::INTERNAL),
        }
    }
}

fn whose(of_domain: bool) -> &'static str {
    if of_domain { "domain" } else { "account" }
}
