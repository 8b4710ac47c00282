//! What subscription stanzas do to a contact (RFC 6121 appendix A).
//!
//! The nine states are `to`, `from`, `asked` (pending out) and `pending_in` of [`Contact`];
//! `approved` and `listed` stand beside them.

use calypte::prelude::PresenceKind;
use calypte::tables::Contact;

/// A stanza about a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// May I see your presence?
    Subscribe,
    /// You may.
    Subscribed,
    /// I do not want to see it any more.
    Unsubscribe,
    /// You may not, or not any more.
    Unsubscribed,
}

/// What becomes of a stanza that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    /// The user's clients get it.
    Deliver,
    /// It says nothing new.
    Ignore,
    /// The server answers `subscribed` for the user.
    Approve,
}

impl Step {
    pub(crate) fn of(kind: Option<PresenceKind>) -> Option<Self> {
        Some(match kind? {
            PresenceKind::Subscribe => Self::Subscribe,
            PresenceKind::Subscribed => Self::Subscribed,
            PresenceKind::Unsubscribe => Self::Unsubscribe,
            PresenceKind::Unsubscribed => Self::Unsubscribed,
            PresenceKind::Available
            | PresenceKind::Unavailable
            | PresenceKind::Probe
            | PresenceKind::Error => return None,
        })
    }

    /// Changes `contact` for a stanza that the user sends, and tells whether the contact gets it
    /// (appendix A.2, §3.4).
    pub(crate) fn out(self, contact: &mut Contact) -> bool {
        match self {
            Self::Subscribe => {
                contact.asked = !contact.to;
                contact.listed = true;
                true
            }
            Self::Unsubscribe => {
                contact.to = false;
                contact.asked = false;
                true
            }
            Self::Subscribed => {
                let is_answer = contact.pending_in.take().is_some();
                contact.from |= is_answer;
                contact.approved = !contact.from;
                contact.listed = true;
                is_answer
            }
            Self::Unsubscribed => {
                let is_answer = contact.pending_in.take().is_some() || contact.from;
                contact.from = false;
                contact.approved = false;
                is_answer
            }
        }
    }

    /// Changes `contact` for a stanza that the contact sent (appendix A.3). `text` gives what is
    /// kept of a request.
    pub(crate) fn come(self, contact: &mut Contact, text: impl FnOnce() -> String) -> Inbound {
        match self {
            Self::Subscribe if contact.from => Inbound::Approve,
            Self::Subscribe if contact.approved => {
                contact.from = true;
                contact.approved = false;
                Inbound::Approve
            }
            Self::Subscribe if contact.pending_in.is_some() => Inbound::Ignore,
            Self::Subscribe => {
                contact.pending_in = Some(text());
                Inbound::Deliver
            }
            Self::Unsubscribe => {
                let is_news = contact.pending_in.take().is_some() || contact.from;
                contact.from = false;
                deliver_if(is_news)
            }
            Self::Subscribed => {
                let is_news = contact.asked;
                contact.to |= is_news;
                contact.asked = false;
                deliver_if(is_news)
            }
            Self::Unsubscribed => {
                let is_news = contact.asked || contact.to;
                contact.to = false;
                contact.asked = false;
                deliver_if(is_news)
            }
        }
    }
}

fn deliver_if(is_news: bool) -> Inbound {
    if is_news { Inbound::Deliver } else { Inbound::Ignore }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states of appendix A.1, in its order.
    const STATES: [&str; 9] = ["-", "o", "i", "oi", "t", "ti", "f", "fo", "tf"];

    fn contact(state: &str) -> Contact {
        Contact {
            to: state.contains('t'),
            from: state.contains('f'),
            asked: state.contains('o'),
            pending_in: state.contains('i').then(|| "asked before".to_owned()),
            listed: true,
            ..Contact::default()
        }
    }

    fn state(contact: &Contact) -> String {
        let letters = [
            ('t', contact.to),
            ('f', contact.from),
            ('o', contact.asked),
            ('i', contact.pending_in.is_some()),
            ('a', contact.approved),
        ];
        let all: String =
            letters.into_iter().filter(|(_, is_on)| *is_on).map(|(letter, _)| letter).collect();
        if all.is_empty() { "-".to_owned() } else { all }
    }

    /// `expected` has for each state: whether the contact gets the stanza, and the state after it.
    #[track_caller]
    fn check_out(step: Step, expected: [(bool, &str); 9]) {
        for (before, (is_sent, after)) in STATES.into_iter().zip(expected) {
            let mut contact = contact(before);
            assert_eq!(step.out(&mut contact), is_sent, "{step:?} in {before}");
            assert_eq!(state(&contact), after, "{step:?} in {before}");
        }
    }

    #[track_caller]
    fn check_in(step: Step, expected: [(Inbound, &str); 9]) {
        for (before, (became, after)) in STATES.into_iter().zip(expected) {
            let mut contact = contact(before);
            let text = || "asks".to_owned();
            assert_eq!(step.come(&mut contact, text), became, "{step:?} in {before}");
            assert_eq!(state(&contact), after, "{step:?} in {before}");
        }
    }

    #[test]
    fn a_2_1_subscribe_goes_out() {
        let after = ["o", "o", "oi", "oi", "t", "ti", "fo", "fo", "tf"];
        check_out(Step::Subscribe, after.map(|after| (true, after)));
    }

    #[test]
    fn a_2_2_unsubscribe_goes_out() {
        let after = ["-", "-", "i", "i", "-", "i", "f", "f", "f"];
        check_out(Step::Unsubscribe, after.map(|after| (true, after)));
    }

    #[test]
    fn a_2_3_subscribed_goes_out() {
        // Where nobody asked, it approves in advance (§3.4.2).
        check_out(
            Step::Subscribed,
            [
                (false, "a"),
                (false, "oa"),
                (true, "f"),
                (true, "fo"),
                (false, "ta"),
                (true, "tf"),
                (false, "f"),
                (false, "fo"),
                (false, "tf"),
            ],
        );
    }

    #[test]
    fn a_2_4_unsubscribed_goes_out() {
        check_out(
            Step::Unsubscribed,
            [
                (false, "-"),
                (false, "o"),
                (true, "-"),
                (true, "o"),
                (false, "t"),
                (true, "t"),
                (true, "-"),
                (true, "o"),
                (true, "t"),
            ],
        );
    }

    #[test]
    fn a_3_1_subscribe_comes() {
        use Inbound::{Approve, Deliver, Ignore};
        check_in(
            Step::Subscribe,
            [
                (Deliver, "i"),
                (Deliver, "oi"),
                (Ignore, "i"),
                (Ignore, "oi"),
                (Deliver, "ti"),
                (Ignore, "ti"),
                (Approve, "f"),
                (Approve, "fo"),
                (Approve, "tf"),
            ],
        );
    }

    #[test]
    fn a_3_2_unsubscribe_comes() {
        use Inbound::{Deliver, Ignore};
        check_in(
            Step::Unsubscribe,
            [
                (Ignore, "-"),
                (Ignore, "o"),
                (Deliver, "-"),
                (Deliver, "o"),
                (Ignore, "t"),
                (Deliver, "t"),
                (Deliver, "-"),
                (Deliver, "o"),
                (Deliver, "t"),
            ],
        );
    }

    #[test]
    fn a_3_3_subscribed_comes() {
        use Inbound::{Deliver, Ignore};
        check_in(
            Step::Subscribed,
            [
                (Ignore, "-"),
                (Deliver, "t"),
                (Ignore, "i"),
                (Deliver, "ti"),
                (Ignore, "t"),
                (Ignore, "ti"),
                (Ignore, "f"),
                (Deliver, "tf"),
                (Ignore, "tf"),
            ],
        );
    }

    #[test]
    fn a_3_4_unsubscribed_comes() {
        use Inbound::{Deliver, Ignore};
        check_in(
            Step::Unsubscribed,
            [
                (Ignore, "-"),
                (Deliver, "-"),
                (Ignore, "i"),
                (Deliver, "i"),
                (Deliver, "-"),
                (Deliver, "i"),
                (Ignore, "f"),
                (Deliver, "f"),
                (Deliver, "f"),
            ],
        );
    }

    #[test]
    fn a_request_is_approved_in_advance_once() {
        for before in ["-", "o", "t"] {
            let mut contact = contact(before);
            assert!(!Step::Subscribed.out(&mut contact));
            let text = || "asks".to_owned();
            assert_eq!(Step::Subscribe.come(&mut contact, text), Inbound::Approve);
            assert!(contact.from && !contact.approved && contact.pending_in.is_none());
        }
    }

    #[test]
    fn what_a_contact_says_takes_back_no_approval() {
        // §4.3.2: the answer to a probe must not.
        for step in [Step::Unsubscribed, Step::Unsubscribe] {
            let mut contact = Contact { approved: true, ..contact("t") };
            step.come(&mut contact, String::new);
            assert!(contact.approved);
        }
    }
}
