//! Whether what modules keep of an account agrees with itself, for `calypte verify`.

use calypte::tables::ACCOUNTS;
use calypte::wire::status;
use table::{Fault, Key, Storage};
use xmpp::Jid;

use crate::calls::{Called, Cause, behind};
use crate::event::{Effect, Setup};
use crate::pipeline::Pipeline;
use crate::restore::PAGE;
use crate::step::{Engine, Step};

impl Engine {
    /// Asks the modules whether what they keep of each account agrees, and returns a sentence for each
    /// thing that does not, with the module and the account in front. Nothing is written.
    ///
    /// # Errors
    ///
    /// The fault of the store.
    pub fn verify(
        mut setup: Setup,
        pipeline: Pipeline,
        store: &dyn Storage,
        now_ms: u64,
    ) -> Result<Vec<String>, Fault> {
        (setup.shard, setup.shards) = (0, 1);
        (setup.limits.calls, setup.limits.operations) = (u32::MAX, u32::MAX);
        let mut engine = Self::empty(setup, pipeline);
        let mut found = Vec::new();
        for account in accounts(&engine.state.setup.domain, store)? {
            let mut step = engine.start(store, now_ms);
            step.verify(&account, &mut found);
        }
        Ok(found)
    }
}

impl Step<'_> {
    fn verify(&mut self, account: &Jid, found: &mut Vec<String>) {
        let cause = Cause { owner: account.as_str(), session: "", targets: &[], is_assured: false };
        for hook in self.pipeline.plain("verify") {
            let module = self.pipeline.name(hook.function.module).to_owned();
            let called = self.call(hook.function, cause, None, "", &[]);
            let mut lines: Vec<_> = self.effects.drain(..).filter_map(warning).collect();
            match called {
                Called::Ran(status::REPLY, said) => {
                    let text = String::from_utf8(said.reply.unwrap_or_default());
                    lines.extend(text.unwrap_or_default().lines().map(str::to_owned));
                }
                Called::Refused(_) | Called::Failed if lines.is_empty() => {
                    lines.push("cannot be checked".to_owned());
                }
                Called::Ran(..) | Called::Refused(_) | Called::Failed | Called::Off => {}
            }
            found.extend(lines.iter().map(|line| format!("{module}, {account}: {line}")));
        }
    }
}

/// Returns what a module complains of.
fn warning(effect: Effect) -> Option<String> {
    match effect {
        Effect::Log { level: 1 | 2, text, .. } => Some(text),
        _ => None,
    }
}

fn accounts(domain: &Jid, store: &dyn Storage) -> Result<Vec<Jid>, Fault> {
    let prefix = table::full_key(ACCOUNTS.name, "", &[]);
    let (mut from, to) = (prefix.clone(), behind(&prefix));
    let mut all = Vec::new();
    loop {
        let page = store.scan(&from, &to, PAGE, false)?;
        for (key, _) in &page {
            let local = key.get(prefix.len()..).and_then(str::decode);
            let account = local.map(|local| Jid::parse(&format!("{local}@{domain}")));
            all.extend(account.and_then(Result::ok));
        }
        let Some((last, _)) = page.last() else { return Ok(all) };
        from.clone_from(last);
        from.push(0);
    }
}
