//! Our own key and policy.
//!
//! All of it is read and written in the shard of the domain only.

use bincode::{Decode, Encode};
use calypte::crypto::{Secret, SigningKey};
use calypte::prelude::*;

use crate::policy::{Key, Mode, Need, Policy, Signed, TlsMin, b64, unb64};
use crate::{RequiredTls, date};

/// The namespace of the feature that servers offer.
pub(crate) const CORE: &str = "urn:calypte:core:0";
/// Keys of certificates that are listed: the one in force and those before it.
const SPKI_MAX: usize = 4;
/// How far ahead a serial may go that a peer says it holds, in milliseconds.
const AHEAD_MS: u64 = 2 * 86_400_000;

/// The key, the next one, and the policy in force, under [`ONLY`].
const OWN: Table<str, Own> = Table::domain("required_tls.own");
const ONLY: &str = "own";

#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Own {
    seed: [u8; 32],
    next_seed: [u8; 32],
    /// The signed octets; empty before the first.
    pub(crate) policy: Vec<u8>,
    /// Hashes of the keys in our certificates; the last is in force.
    pub(crate) spki: Vec<Key>,
    /// When the key was changed last; 0: never.
    pub(crate) rotated_ms: u64,
    /// The key before, which signs too until everybody can have seen the new one.
    old_seed: Option<[u8; 32]>,
    /// A serial that a peer holds: ours has to be above it.
    above: u64,
    /// The domain takes its policy back.
    is_retired: bool,
}

record!(Own, 1);

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("rotated_ms", &self.rotated_ms).finish_non_exhaustive()
    }
}

/// Our key and policy, ready for use.
pub(crate) struct Ready {
    pub(crate) key: SigningKey,
    pub(crate) signed: Signed,
    pub(crate) own: Own,
}

fn signing(seed: &[u8; 32]) -> Result<SigningKey, StanzaError> {
    SigningKey::from_seed(&Secret::new(seed.to_vec())).map_err(|_| StanzaError::INTERNAL)
}

fn draw(cx: &mut Context<'_, '_>) -> Result<[u8; 32], StanzaError> {
    cx.random(32)?.try_into().map_err(|_| StanzaError::INTERNAL)
}

impl RequiredTls {
    /// Returns our key and policy: made when there are none, signed anew when they do not say what
    /// is so any more.
    pub(crate) fn own(&self, cx: &mut Context<'_, '_>) -> Result<Ready, StanzaError> {
        self.own_with(cx, |_| {})
    }

    /// The same after a change.
    pub(crate) fn own_with(
        &self,
        cx: &mut Context<'_, '_>,
        change: impl FnOnce(&mut Own),
    ) -> Result<Ready, StanzaError> {
        let before = cx.get(&OWN, ONLY)?;
        let mut own = match &before {
            Some(own) => own.clone(),
            None => Own {
                seed: draw(cx)?,
                next_seed: draw(cx)?,
                policy: Vec::new(),
                spki: Vec::new(),
                rotated_ms: 0,
                old_seed: None,
                above: 0,
                is_retired: false,
            },
        };
        if before.is_none() {
            cx.wake_at(cx.now_ms().saturating_add(3_600_000), "daily")?;
        }
        change(&mut own);
        let key = signing(&own.seed)?;
        let signed = self.policy_of(&own, &key, cx)?;
        own.policy.clone_from(&signed.octets);
        if before.as_ref() != Some(&own) {
            cx.put(&OWN, ONLY, &own)?;
        }
        Ok(Ready { key, signed, own })
    }

    /// Returns the policy in force if it says what is so, and one with a new serial otherwise.
    fn policy_of(
        &self,
        own: &Own,
        key: &SigningKey,
        cx: &mut Context<'_, '_>,
    ) -> Result<Signed, StanzaError> {
        let in_force = Signed::read(&own.policy).ok();
        let old = in_force.as_ref().map_or(0, |signed| signed.policy.serial);
        let mut wanted = self.wanted(own, key, cx)?;
        if let Some(signed) = in_force.as_ref().filter(|_| old > own.above) {
            wanted.serial = old;
            wanted.issued.clone_from(&signed.policy.issued);
            if wanted == signed.policy {
                return Ok(signed.clone());
            }
        }
        wanted.serial = old.max(own.above).saturating_add(1).max(date::first_serial(cx.now_ms()));
        wanted.issued = date::stamp(cx.now_ms());
        let until = own.rotated_ms.saturating_add(self.0.max_age.ms);
        let old_key = own.old_seed.filter(|_| cx.now_ms() < until);
        let old_key = old_key.map(|seed| signing(&seed)).transpose()?;
        let keys: Vec<_> = [Some(key), old_key.as_ref()].into_iter().flatten().collect();
        Signed::make(&wanted, &keys).ok_or(StanzaError::INTERNAL)
    }

    fn wanted(
        &self,
        own: &Own,
        key: &SigningKey,
        cx: &mut Context<'_, '_>,
    ) -> Result<Policy, StanzaError> {
        let next = Key(signing(&own.next_seed)?.public()).hash();
        let mut features = cx.features(true)?;
        features.retain(|name| name.starts_with("urn:calypte:"));
        let (mut names, domain) = (cx.served()?, cx.domain().to_owned());
        names.sort_unstable();
        Ok(Policy {
            v: 0,
            serial: 0,
            issued: String::new(),
            max_age: u32::try_from(self.0.max_age.ms / 1000).unwrap_or(u32::MAX),
            mode: if own.is_retired { Mode::None } else { Mode::Enforce },
            tls_min: TlsMin::V13,
            auth: ["dk", "dane", "webpki"].map(str::to_owned).to_vec(),
            need: Need::Dk,
            dk: Key(key.public()),
            next,
            names,
            spki: own.spki.clone(),
            endpoints: self.0.endpoints.clone(),
            features,
            report: domain.clone(),
            domain,
        })
    }

    /// Notes which key our certificate has.
    pub(crate) fn own_on(
        &self,
        facts: &PeerFacts,
        cx: &mut Context<'_, '_>,
    ) -> Result<Ready, StanzaError> {
        let spki = Key::of(&facts.own_spki);
        self.own_with(cx, |own| {
            if let Some(spki) = spki.filter(|spki| own.spki.last() != Some(spki)) {
                own.spki.retain(|known| *known != spki);
                own.spki.push(spki);
                let too_many = own.spki.len().saturating_sub(SPKI_MAX);
                own.spki.drain(..too_many);
            }
        })
    }

    /// A peer that proved itself holds a policy of ours that is not older than the one we showed:
    /// we were set back to an earlier time. Serials beyond tomorrow are not believed.
    pub(crate) fn rise_above(&self, serial: u64, cx: &mut Context<'_, '_>) -> Done {
        if serial < date::first_serial(cx.now_ms().saturating_add(AHEAD_MS)) {
            cx.log("a peer holds a newer policy of ours: this server was set back");
            self.own_with(cx, |own| own.above = own.above.max(serial))?;
        }
        Ok(())
    }

    /// Changes to the next key, and draws another next one.
    pub(crate) fn rotate(&self, cx: &mut Context<'_, '_>) -> Result<Ready, StanzaError> {
        let (drawn, now_ms) = (draw(cx)?, cx.now_ms());
        self.own_with(cx, |own| {
            own.old_seed = Some(own.seed);
            own.seed = own.next_seed;
            own.next_seed = drawn;
            own.rotated_ms = now_ms;
        })
    }

    /// Takes the policy back, or puts it in force again.
    pub(crate) fn retire(
        &self,
        is_retired: bool,
        cx: &mut Context<'_, '_>,
    ) -> Result<Ready, StanzaError> {
        self.own_with(cx, |own| own.is_retired = is_retired)
    }

    /// Takes keys that were written down with [`Own::backup`].
    pub(crate) fn restore(
        &self,
        text: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<Ready, StanzaError> {
        let wrong = || StanzaError::BAD_REQUEST.with_text("These are no keys of this domain.");
        let (keys, check) = text.trim().rsplit_once('.').ok_or_else(wrong)?;
        if check_of(keys, cx.domain()) != check {
            return Err(wrong());
        }
        let (seed, next) = keys.split_once('.').ok_or_else(wrong)?;
        let read = |text: &str| unb64(text).and_then(|seed| seed.try_into().ok()).ok_or_else(wrong);
        let (seed, next_seed) = (read(seed)?, read(next)?);
        self.own_with(cx, |own| {
            own.seed = seed;
            own.next_seed = next_seed;
            own.old_seed = None;
        })
    }
}

/// Catches what was copied wrong, and keys of another domain.
fn check_of(keys: &str, domain: &str) -> String {
    let hash = calypte::crypto::transcript("backup", &[domain.as_bytes(), keys.as_bytes()]);
    b64(hash.get(..6).unwrap_or_default())
}

impl Own {
    /// Writes both keys down, to be kept where the server is not.
    pub(crate) fn backup(&self, domain: &str) -> String {
        let keys = format!("{}.{}", b64(&self.seed), b64(&self.next_seed));
        let check = check_of(&keys, domain);
        format!("{keys}.{check}")
    }
}

/// Returns the feature that is offered to servers.
pub(crate) fn feature(signed: &Signed) -> String {
    Element::new(CORE, "calypte")
        .with_attr("v", "0")
        .with_attr("serial", &signed.policy.serial.to_string())
        .with_text(&signed.text())
        .to_xml("")
}

/// Reads the feature of a peer: `None` when it is none of this version or its policy is wrong.
pub(crate) fn read_feature(xml: &str) -> Option<Signed> {
    let flat = Flat::parse(xml, "").ok()?;
    let node = flat.root();
    let is_ours = node.is(CORE, "calypte") && node.attr("v").as_deref() == Some("0");
    is_ours.then(|| Signed::read_text(&node.text()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        Own {
            seed: [1; 32],
            next_seed: [2; 32],
            policy: vec![7],
            spki: vec![Key([3; 32])],
            rotated_ms: 5,
            old_seed: None,
            above: 9,
            is_retired: false,
        }
    }

    #[test]
    fn rows_keep_their_bytes() {
        let bytes = OWN.encode(&own());
        let start = [&[1][..], &[1; 32], &[2; 32], &[1, 7, 1], &[3; 32], &[5, 0, 9, 0]].concat();
        assert_eq!(bytes, start);
        assert_eq!(OWN.decode(&bytes), Ok(own()));
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", own()), "Own { rotated_ms: 5, .. }");
    }

    #[test]
    fn a_backup_belongs_to_its_domain() {
        let text = own().backup("a.example");
        let (keys, check) = text.rsplit_once('.').unwrap();
        assert_eq!(check_of(keys, "a.example"), check);
        assert_ne!(check_of(keys, "b.example"), check);
        assert_ne!(check_of(&keys.replace('A', "B"), "a.example"), check);
    }
}
