//! Looks at what an operator would otherwise hear from users: is the server found, reached and
//! believed, and can it reach others. One line for each finding: what is so, and what to do.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::federation::identity::Roots;
use crate::federation::resolve::Resolver;
use crate::tls::{Files, Served};

mod other;
mod own;
mod place;

/// How long one connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(8);

/// How a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Note,
    /// It does not work.
    Wrong,
    /// It could not be looked at.
    Unseen,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How it is.
    pub(crate) mark: Mark,
    /// What it is about, in a word.
    pub(crate) topic: &'static str,
    /// What is so, and why it matters where that is not plain.
    pub(crate) what: String,
    /// What to do; empty when there is nothing.
    pub(crate) todo: String,
}

impl Finding {
    fn ok(topic: &'static str, what: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, topic, what: what.into(), todo: String::new() }
    }

    fn new(mark: Mark, topic: &'static str, what: impl Into<String>, todo: &str) -> Self {
        Self { mark, topic, what: what.into(), todo: todo.to_owned() }
    }

    /// Returns it as a line.
    pub(crate) fn line(&self) -> String {
        let mark = match self.mark {
            Mark::Ok => "ok",
            Mark::Note => "better",
            Mark::Wrong => "WRONG",
            Mark::Unseen => "unseen",
        };
        let Self { topic, what, todo, .. } = self;
        let todo = if todo.is_empty() { String::new() } else { format!("; {todo}") };
        format!("{mark:6}  {topic:11}  {what}{todo}")
    }
}

/// What is needed to look.
#[derive(Debug)]
pub(crate) struct Doctor {
    config: Config,
    served: Option<Arc<Served>>,
    resolver: Resolver,
    roots: Roots,
}

impl Doctor {
    /// Gets ready to look at the server of `config`.
    ///
    /// # Errors
    ///
    /// A sentence when DNS or the authorities cannot be used.
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let served = Files::of(&config).and_then(|files| Served::open(&files)).ok();
        let resolver = Resolver::new(&config.federation)?;
        let roots = Roots::load(&config.federation)?;
        Ok(Self { config, served: served.map(Arc::new), resolver, roots })
    }

    /// Looks at the server itself. Each finding is told as soon as it is there.
    pub(crate) async fn look_at_own(&self, tell: &mut dyn FnMut(Finding)) {
        place::data(&self.config).into_iter().for_each(&mut *tell);
        self.certificate().into_iter().for_each(&mut *tell);
        self.records(tell).await;
        self.ports(tell).await;
        self.federation().await.into_iter().for_each(&mut *tell);
    }

    /// Follows an attempt to reach another domain, as far as it goes without being a server.
    pub(crate) async fn look_at(&self, domain: &str, tell: &mut dyn FnMut(Finding)) {
        self.follow(domain, tell).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::new(Mark::Wrong, "address", "chat.example has none", "add it");
        assert_eq!(finding.line(), "WRONG   address      chat.example has none; add it");
        assert_eq!(Finding::ok("clock", "is right").line(), "ok      clock        is right");
    }
}
