//! Questions to modules that wait for their answers: by HTTP, and by the operator's commands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::server::{Answer, TakeAnswer};

/// The most questions that wait at a time.
const WAITING_MAX: usize = 256;

/// See the file.
#[derive(Default)]
pub(crate) struct Questions(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    takers: BTreeMap<u64, TakeAnswer>,
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").field("waiting", &self.lock().takers.len()).finish()
    }
}

impl Questions {
    /// Keeps who takes an answer and returns the token of the question; `None` when too many wait.
    pub(crate) fn add(&self, taker: TakeAnswer) -> Option<u64> {
        let mut waiting = self.lock();
        if waiting.takers.len() >= WAITING_MAX {
            return None;
        }
        waiting.last = waiting.last.wrapping_add(1);
        let token = waiting.last;
        waiting.takers.insert(token, taker);
        Some(token)
    }

    /// Hands an answer over. One that nobody waits for any more is dropped.
    pub(crate) fn answer(&self, token: u64, answer: Answer) {
        let taker = self.lock().takers.remove(&token);
        if let Some(taker) = taker {
            taker(answer);
        }
    }

    /// Nobody waits any more.
    pub(crate) fn forget(&self, token: u64) {
        self.lock().takers.remove(&token);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn each_answer_goes_to_who_asked_and_the_rest_nowhere() {
        let questions = Questions::default();
        let (sender, answers) = mpsc::channel();
        let taker = |name: &'static str| -> TakeAnswer {
            let sender = sender.clone();
            Box::new(move |answer: Answer| drop(sender.send((name, answer.body.unwrap()))))
        };
        let (first, second) =
            (questions.add(taker("a")).unwrap(), questions.add(taker("b")).unwrap());
        let say = |text: &str| Answer { body: Ok(text.into()), head: None };
        questions.answer(second, say("2"));
        questions.answer(second, say("again"));
        questions.forget(first);
        questions.answer(first, say("late"));
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), [("b", b"2".to_vec())]);
    }

    #[test]
    fn not_more_than_so_many_wait() {
        let questions = Questions::default();
        let all = (0..=WAITING_MAX).map(|_| questions.add(Box::new(|_| {})));
        let tokens: Vec<_> = all.collect();
        assert!(tokens[WAITING_MAX].is_none());
        questions.forget(tokens[0].unwrap());
        assert!(questions.add(Box::new(|_| {})).is_some());
    }
}
