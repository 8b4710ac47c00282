//! What people tell of themselves (XEP-0054), with their photo, which others hear of by presence
//! (XEP-0153) and by what is published (XEP-0084): both are the same (XEP-0398).
//!
//! The photo is kept apart from the rest: presence needs its hash only.

mod avatar;
mod card;
mod photo;
mod shown;

use calypte::config::Size;
use calypte::notice::{Notice, PepChanged};
use calypte::prelude::*;
use serde::Deserialize;

use crate::avatar::{Audience, ImagePublished};

/// The operator's settings, `[modules.vcard]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The longest card without its photo.
    pub bytes: Size,
    /// The largest photo.
    pub photo: Size,
    /// Who is shown cards.
    pub seen_by: SeenBy,
}

/// Who is shown the cards of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenBy {
    /// Whoever asks.
    Everyone,
    /// Who may see the account's presence.
    Contacts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bytes: Size { bytes: 64 << 10 },
            photo: Size { bytes: 160 << 10 },
            seen_by: SeenBy::Everyone,
        }
    }
}

/// Cards and photos.
#[derive(Debug)]
pub struct Vcard(Config);

calypte::export!(Vcard);

impl Module for Vcard {
    const NAME: &'static str = "vcard";
    const ABOUT: &'static str = "What people tell of themselves, with their photo.";
    const XEPS: &'static [Xep] =
        &[Xep("0054", "1.3.0"), Xep("0084", "1.1.4"), Xep("0153", "1.1.1"), Xep("0398", "1.0.0")];
    const FEATURES: &'static [Feature] =
        &[Feature::Everywhere(ns::VCARD), Feature::Account(ns::AVATAR_CONVERSION)];
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "bytes",
            kind: "size",
            default: "\"64 KiB\"",
            about: "The longest card without its photo, up to 512 KiB.",
        },
        ConfigKey {
            name: "photo",
            kind: "size",
            default: "\"160 KiB\"",
            about: "The largest photo, up to 512 KiB. A client sends a third more than that, in one \
                    stanza.",
        },
        ConfigKey {
            name: "seen_by",
            kind: "text",
            default: "\"everyone\"",
            about: "Who is shown the cards of others: everyone, or contacts (who may see the \
                    account's presence). Without everyone, people in rooms have no photo.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_get(On::AccountFromAnyone, ns::VCARD, "vCard", Self::show),
        Hook::iq_set(On::Account, ns::VCARD, "vCard", Self::keep),
        Hook::presence(Place::Sent, Phase::Rewrite, Self::add_hash),
        Hook::notice(PepChanged::NAME, Self::avatar_changed),
        Hook::notice(ImagePublished::NAME, Self::announce),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        let range = 1..=512 << 10;
        if !range.contains(&config.bytes.bytes) || !range.contains(&config.photo.bytes) {
            return Err(SetupError("bytes and photo must be from 1 B to 512 KiB".to_owned()));
        }
        Ok(Self(config))
    }
}

impl Vcard {
    /// Tells whether somebody may see the photo.
    fn may_see_photo(
        &self,
        who: Option<JidRef<'_>>,
        cx: &mut Context<'_, '_>,
    ) -> Result<bool, StanzaError> {
        let Some(other) = who.filter(|who| !cx.is_own(Some(*who))) else { return Ok(true) };
        Ok(self.may_see(who, Audience::Everyone, cx)? && avatar::may_see(other, cx)?)
    }

    /// Tells whether somebody may see what is for such an audience.
    fn may_see(
        &self,
        who: Option<JidRef<'_>>,
        audience: Audience,
        cx: &mut Context<'_, '_>,
    ) -> Result<bool, StanzaError> {
        let Some(who) = who.filter(|who| !cx.is_own(Some(*who))) else { return Ok(true) };
        let own = match self.0.seen_by {
            SeenBy::Everyone => Audience::Everyone,
            SeenBy::Contacts => Audience::Contacts,
        };
        match audience.max(own) {
            Audience::Everyone => Ok(true),
            Audience::Own => Ok(false),
            Audience::Contacts => {
                let contact = cx.get(&tables::ROSTER, who.bare_str())?;
                Ok(contact.is_some_and(|contact| contact.from))
            }
        }
    }
}
