//! What shards say to a connection.

use calypte::wire::{Token, TokenVerdict};
use crypto::Secret;
use stream::{Bound as Told, Resumed as Answer, TokenRefusal};
use xmpp::{StanzaError, StreamError};

use super::{Client, Stage};
use crate::actors::outbox::{Bound, Resumed, Word};

impl Client {
    /// Does what a shard, the gate or the supervisor says.
    pub(super) fn take_word(&mut self, word: Word) {
        if matches!(self.stage, Stage::Ending(_) | Stage::Over) {
            return;
        }
        match word {
            Word::Stanza(stanza) => self.wrote(&stanza),
            Word::TokenChecked(verdict) => {
                self.stream.answer_token(match verdict {
                    TokenVerdict::Right(word) => Ok(word),
                    TokenVerdict::Wrong => Err(TokenRefusal::Wrong),
                    TokenVerdict::Expired => Err(TokenRefusal::Expired),
                });
                self.go_on();
            }
            Word::Bound(bound) => {
                if let Some(jid) = self.binding.take() {
                    let Bound { answers: inline, enabled, token } = *bound;
                    if enabled.is_some() {
                        self.acks.base = Some((self.acks.taken, 0));
                    }
                    let told = Told { inline, enabled, token: token.map(fresh) };
                    self.stream.answer_bind(Ok(jid), told);
                    self.go_on();
                }
            }
            Word::Enabled(token) => {
                self.acks.base = Some((self.acks.taken, 0));
                self.stream.answer_enable(token.as_deref());
                self.go_on();
            }
            Word::Resumed(resumed) => self.resumed(*resumed),
            Word::ResumeRefused => {
                self.is_linked = false;
                self.stream.answer_resume(None);
                self.go_on();
            }
            Word::Early(answer) => {
                let Some((request, _)) = self.early.take() else { return };
                let text = answer
                    .and_then(|bytes| String::from_utf8(bytes).map_err(|_| StanzaError::INTERNAL));
                self.stream.answer_early(&request, text.as_deref());
                self.go_on();
            }
            Word::Close(why) => self.end(Some(why), false),
            // Those are for other servers.
            Word::Carry(_) => {}
            Word::Farewell => self.end(Some(StreamError::SystemShutdown), true),
        }
    }

    fn resumed(&mut self, resumed: Resumed) {
        let Resumed { jid, token, handled, unacked, fresh: given } = resumed;
        self.login = None;
        self.welcome();
        self.acks.base = Some((self.acks.taken, handled));
        let fresh = given.map(fresh);
        self.stream.answer_resume(Some(Answer { jid, token, handled, fresh }));
        for stanza in &unacked {
            self.wrote(stanza);
        }
        self.go_on();
    }

    /// Takes what the stream kept back while a shard was asked.
    fn go_on(&mut self) {
        self.stage = Stage::Open;
        self.take_events();
        self.submit();
    }
}

/// Hands a token on to the stream.
fn fresh(token: Token) -> stream::Token {
    let Token { token, expires_ms } = token;
    stream::Token { token: Secret::from(token), expires_ms }
}
