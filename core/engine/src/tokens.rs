//! Logging in by a token (XEP-0484): modules check tokens and give them out.

use calypte::wire::{Token, TokenProof, TokenVerdict, TokenWish, decode, encode, status};
use xmpp::Jid;

use crate::calls::{Called, Cause};
use crate::event::Effect;
use crate::step::Step;

impl Step<'_> {
    /// A client that has not logged in shows a token.
    pub(crate) fn check_token(&mut self, session: u64, account: &Jid, proof: &TokenProof) {
        let owner = account.as_str();
        let cause = Cause { owner, session: "", targets: &[], is_assured: false };
        let proof = encode(proof);
        let mut verdict = TokenVerdict::Wrong;
        for hook in self.pipeline.plain("token") {
            // Without a word in the log: anybody can ask for that.
            if let Called::Ran(status::REPLY, said) =
                self.call(hook.function, cause, None, "", &proof)
            {
                verdict = said.reply.and_then(|reply| decode(&reply)).unwrap_or(verdict);
            }
            if matches!(verdict, TokenVerdict::Right(_)) {
                break;
            }
        }
        self.effects.push(Effect::TokenChecked { session, verdict });
    }

    /// A client that has logged in may get a token.
    pub(crate) fn grant(&mut self, jid: &Jid, wish: &TokenWish) -> Option<Token> {
        let owner = jid.bare();
        let (owner, session) = (owner.as_str(), jid.as_str());
        let cause = Cause { owner, session, targets: &[], is_assured: false };
        let wish = encode(wish);
        for hook in self.pipeline.plain("grant") {
            match self.call(hook.function, cause, None, "", &wish) {
                Called::Ran(status::REPLY, said) => {
                    return said.reply.and_then(|reply| decode(&reply));
                }
                Called::Refused(error) => {
                    let module = self.pipeline.name(hook.function.module).to_owned();
                    self.log(2, &module, format!("could not give a token: {error}"));
                }
                Called::Ran(..) | Called::Failed | Called::Off => {}
            }
        }
        None
    }
}
