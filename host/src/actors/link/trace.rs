//! An attempt that somebody follows, stage by stage.

use std::sync::{Arc, mpsc};

use super::dial::{self, Errand, Purpose};
use crate::actors::hall::Hall;
use crate::federation::resolve::Target;

/// A stage of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// `policy`, `dns`, `connect`, `tls`, `certificate`, `auth`, or where it failed.
    pub(crate) stage: &'static str,
    /// Whether it went well; `None` for a remark.
    pub(crate) is_fine: Option<bool>,
    /// What happened, in words.
    pub(crate) words: String,
}

/// Who follows an attempt, if anybody does.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracer(Option<mpsc::Sender<Step>>);

impl Tracer {
    /// A stage went well.
    pub(super) fn fine(&self, stage: &'static str, words: &str) {
        self.say(stage, Some(true), words);
    }

    /// A stage failed.
    pub(super) fn failed(&self, stage: &'static str, words: &str) {
        self.say(stage, Some(false), words);
    }

    /// Something worth knowing.
    pub(super) fn note(&self, stage: &'static str, words: &str) {
        self.say(stage, None, words);
    }

    /// Says where the servers are.
    pub(super) fn targets(&self, targets: &[Target]) {
        for target in targets {
            let how = if target.is_direct { "direct TLS" } else { "STARTTLS" };
            let keys = if target.tlsa.is_empty() { "" } else { ", with keys in DNS" };
            self.fine("dns", &format!("{} port {}, {how}{keys}", target.host, target.port));
        }
    }

    fn say(&self, stage: &'static str, is_fine: Option<bool>, words: &str) {
        if let Some(sender) = &self.0 {
            // Who followed may have gone.
            drop(sender.send(Step { stage, is_fine, words: words.to_owned() }));
        }
    }
}

/// Makes an attempt beside what is connected. The steps come as they happen; the channel ends when
/// the attempt is over.
pub(crate) fn trace(hall: &Arc<Hall>, remote: &str) -> mpsc::Receiver<Step> {
    let (sender, steps) = mpsc::channel();
    let tracer = Tracer(Some(sender));
    if !hall.federation.permits(remote) {
        tracer.failed("policy", "this server does not talk to it; see [federation] and peer list");
        return steps;
    }
    let shard = engine::shard_of(remote, hall.shards());
    let Some(arbiter) = hall.arbiter(shard) else { return steps };
    let hall = Arc::clone(hall);
    let errand = Arc::new(Errand {
        local: hall.domain.as_str().to_owned(),
        remote: remote.to_owned(),
        purpose: Purpose::Look,
        tracer,
    });
    arbiter.spawn_fn(move || {
        drop(actix::spawn(async move {
            // What it came to was said on the way.
            drop(dial::run(&hall, &errand).await);
        }));
    });
    steps
}
