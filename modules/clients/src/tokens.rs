//! Tokens (XEP-0484): checking them, giving them out.
//!
//! An app has at most two: the one that it used last, and a newer one that it was given and may not
//! have received (§5.1).

use calypte::crypto::{self, Hash};
use calypte::prelude::*;

use crate::Clients;
use crate::rows::{CLIENTS, Slot, hex, name_of, password};

/// How mechanisms end that do not bind to the channel.
const UNBOUND: &str = "-NONE";

impl Slot {
    /// Returns the token. The secret of the server is in it, so who can read the record cannot.
    fn token(&self, app: &str, cx: &mut Context<'_, '_>) -> Result<String, StanzaError> {
        let secret = cx.secret()?;
        let mut material = format!("{}\0{app}\0{}\0", cx.owner().as_str(), self.mechanism);
        material.push_str(&hex(&self.serial));
        Ok(hex(&crypto::keyed_hash(&secret, material.as_bytes())))
    }

    /// Tells whether it is good without a proof that nobody sits in between.
    pub(crate) fn is_unbound(&self) -> bool {
        self.mechanism.ends_with(UNBOUND)
    }
}

/// Returns what one side says to prove that it has a token.
fn word(token: &str, who: &str, channel: &[u8]) -> Vec<u8> {
    crypto::hmac(Hash::Sha256, token.as_bytes(), &[who.as_bytes(), channel].concat())
}

impl Clients {
    /// A client that has not logged in shows a token.
    pub(crate) fn check(
        &self,
        proof: &TokenProof,
        cx: &mut Context<'_, '_>,
    ) -> Result<TokenVerdict, StanzaError> {
        let app = name_of(&proof.client, cx);
        let Some(mut client) = cx.get(&CLIENTS, app.as_str())? else {
            return Ok(TokenVerdict::Wrong);
        };
        let before = client.clone();
        let (mut slot, token) = match fitting(client.next.take(), &app, proof, cx)? {
            Ok(found) => found,
            Err(next) => {
                client.next = next;
                match fitting(client.current.take(), &app, proof, cx)? {
                    Ok(found) => found,
                    Err(_) => return Ok(TokenVerdict::Wrong),
                }
            }
        };
        let (password, now_ms) = (password(cx)?, cx.now_ms());
        if !slot.is_good(password, now_ms) {
            return Ok(TokenVerdict::Expired);
        }
        if let Some(count) = proof.count {
            // §3.4. What was seen before was sent before, by whomever.
            if count <= slot.count {
                return Ok(TokenVerdict::Wrong);
            }
            slot.count = count;
        }
        if proof.invalidate {
            // §3.6. With the one that may not have been received; the other only says that it was.
            slot.give_up();
            client.next = None;
        }
        client.current = Some(slot);
        if client != before {
            cx.put(&CLIENTS, app.as_str(), &client)?;
        }
        Ok(TokenVerdict::Right(word(&token, "Responder", &proof.channel)))
    }

    /// A client that has logged in wants a token, or has one that is due for another.
    pub(crate) fn grant(
        &self,
        wish: &TokenWish,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Token>, StanzaError> {
        let app = name_of(&wish.client, cx);
        let Some(mut client) = cx.get(&CLIENTS, app.as_str())? else { return Ok(None) };
        let now_ms = cx.now_ms();
        let is_due = |slot: &&Slot| now_ms.saturating_sub(slot.made_ms) >= self.rotate_ms();
        let due = || {
            let current = client.current.as_ref().filter(|slot| !slot.is_given_up());
            current.filter(is_due).map(|slot| slot.mechanism.clone())
        };
        let Some(mechanism) = wish.wanted.clone().or_else(due) else { return Ok(None) };
        // Who proved that nobody sits in between is given nothing that would be worth something to
        // somebody who does.
        if wish.channel_bound && mechanism.ends_with(UNBOUND) {
            return Ok(None);
        }
        let Some(password) = password(cx)? else { return Ok(None) };
        // The password may have been changed since it was checked.
        client.current = client.current.filter(|slot| slot.password == password);
        if client.current.is_none() && wish.mechanism.starts_with("HT-") {
            return Ok(None);
        }
        let serial = cx.random(16)?.try_into().map_err(|_| StanzaError::INTERNAL)?;
        let expires_ms = now_ms.saturating_add(self.0.keep.ms);
        let slot = Slot { serial, mechanism, password, made_ms: now_ms, expires_ms, count: 0 };
        let token = slot.token(&app, cx)?;
        client.next = Some(slot);
        cx.put(&CLIENTS, app.as_str(), &client)?;
        cx.count("tokens", 1)?;
        Ok(Some(Token { token, expires_ms }))
    }
}

/// Returns the token of a slot when the proof was made with it, or the slot.
fn fitting(
    slot: Option<Slot>,
    app: &str,
    proof: &TokenProof,
    cx: &mut Context<'_, '_>,
) -> Result<Result<(Slot, String), Option<Slot>>, StanzaError> {
    let Some(slot) = slot.filter(|slot| !slot.is_given_up()) else { return Ok(Err(None)) };
    // §3.4. Good for the mechanism that it was asked for, and no other.
    if slot.mechanism != proof.mechanism {
        return Ok(Err(Some(slot)));
    }
    let token = slot.token(app, cx)?;
    let is_right = crypto::equal(&word(&token, "Initiator", &proof.channel), &proof.proof);
    Ok(if is_right { Ok((slot, token)) } else { Err(Some(slot)) })
}
