//! How far a component has read. It acknowledges nothing (XEP-0114), but whoever is asked something
//! answers (RFC 6120 §8.2.3), and reads what came before. So a ping stands behind what is written.

use std::pin::Pin;
use std::task::Context as Poller;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use xmpp::{IqKind, Jid, Kind, Stanza};

/// How long it may take for the answer, before we believe that it answers none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Fence {
    asked: Option<Asked>,
    /// It answers no ping. What is written to it counts as received.
    pub(super) is_mute: bool,
    /// It answered one: if it is silent now, it hangs.
    can_answer: bool,
}

/// A ping that is under way.
#[derive(Debug)]
struct Asked {
    id: String,
    /// How many stanzas it stands behind.
    count: usize,
    until: Pin<Box<Sleep>>,
}

impl Fence {
    /// Returns the ping to write behind `count` stanzas that it is not known to have, unless one is
    /// under way or there is nothing to ask for.
    pub(super) fn ask(&mut self, domain: &Jid, component: &str, count: usize) -> Option<Stanza> {
        if count == 0 || self.asked.is_some() {
            return None;
        }
        // Nobody else can know it, so that an answer is one.
        let mut chance = [0; 16];
        crypto::random(&mut chance);
        let id = crate::hex::write(&chance);
        let xml = format!(
            "<iq from='{domain}' to='{component}' type='get' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
        let ping = Stanza::parse(&xml).ok()?;
        let until = Box::pin(sleep_until(Instant::now() + ANSWERED_WITHIN));
        self.asked = Some(Asked { id, count, until });
        Some(ping)
    }

    /// Tells whether `stanza` is the answer; how many stanzas it stood behind.
    pub(super) fn answered(&mut self, stanza: &Stanza) -> Option<usize> {
        let is_answer = stanza.kind == Kind::Iq
            && matches!(stanza.view().iq_kind(), Some(IqKind::Result | IqKind::Error));
        let asked =
            self.asked.take_if(|asked| is_answer && stanza.id.as_deref() == Some(&*asked.id))?;
        self.can_answer = true;
        Some(asked.count)
    }

    /// We do not read: an answer may have come, and has its time again when we do.
    pub(super) fn hold(&mut self) {
        if let Some(asked) = &mut self.asked {
            asked.until.as_mut().reset(Instant::now() + ANSWERED_WITHIN);
        }
    }

    /// Tells whether it has just had its time for an answer. It is mute then, unless it ever answered.
    pub(super) fn is_given_up(&mut self, poller: &mut Poller<'_>) -> bool {
        let Some(asked) = &mut self.asked else { return false };
        if asked.until.as_mut().poll(poller).is_pending() {
            return false;
        }
        self.asked = None;
        self.is_mute = !self.can_answer;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn answer(id: &str, kind: &str) -> Stanza {
        let xml = format!("<iq type='{kind}' id='{id}' from='irc.b.example' to='b.example'/>");
        Stanza::parse(&xml).unwrap()
    }

    async fn pass_time(fence: &mut Fence) {
        fence.asked.as_mut().unwrap().until.as_mut().reset(Instant::now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    #[actix::test]
    async fn what_stands_before_the_ping_is_read() {
        let domain = Jid::parse("b.example").unwrap();
        let mut fence = Fence::default();
        assert!(fence.ask(&domain, "irc.b.example", 0).is_none());
        let id = fence.ask(&domain, "irc.b.example", 3).unwrap().id.unwrap();
        // One at a time.
        assert!(fence.ask(&domain, "irc.b.example", 4).is_none());
        for other in [answer("else", "result"), answer(&id, "get")] {
            assert_eq!(fence.answered(&other), None);
        }
        assert_eq!(fence.answered(&answer(&id, "error")), Some(3));
        assert_eq!(fence.answered(&answer(&id, "result")), None);
        assert_ne!(fence.ask(&domain, "irc.b.example", 1).unwrap().id.unwrap(), id);
    }

    #[actix::test]
    async fn one_that_never_answers_is_mute() {
        let mut poller = Poller::from_waker(Waker::noop());
        let mut fence = Fence::default();
        assert!(!fence.is_given_up(&mut poller));
        fence.ask(&Jid::parse("b.example").unwrap(), "irc.b.example", 3).unwrap();
        assert!(!fence.is_given_up(&mut poller));
        pass_time(&mut fence).await;
        assert!(fence.is_given_up(&mut poller) && fence.is_mute);
        assert!(!fence.is_given_up(&mut poller));
    }

    #[actix::test]
    async fn one_that_answered_is_never_mute() {
        let mut poller = Poller::from_waker(Waker::noop());
        let domain = Jid::parse("b.example").unwrap();
        let mut fence = Fence::default();
        let id = fence.ask(&domain, "irc.b.example", 3).unwrap().id.unwrap();
        assert_eq!(fence.answered(&answer(&id, "result")), Some(3));
        fence.ask(&domain, "irc.b.example", 2).unwrap();
        pass_time(&mut fence).await;
        // What it answered is not read yet.
        fence.hold();
        assert!(!fence.is_given_up(&mut poller));
        pass_time(&mut fence).await;
        assert!(fence.is_given_up(&mut poller) && !fence.is_mute);
    }
}
