//! Ping (XEP-0199), version (XEP-0092), time (XEP-0202) and last activity (XEP-0012).

mod last;

use calypte::prelude::*;
use serde::Deserialize;

/// The operator's settings, `[modules.basics]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the version of the software is told.
    pub version: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { version: true }
    }
}

/// Ping, version, time and last activity.
#[derive(Debug)]
pub struct Basics(Config);

calypte::export!(Basics);

impl Module for Basics {
    const NAME: &'static str = "basics";
    const ABOUT: &'static str = "Answers to ping, and tells version, time and last activity.";
    const XEPS: &'static [Xep] =
        &[Xep("0012", "2.0"), Xep("0092", "1.1"), Xep("0199", "2.0.1"), Xep("0202", "2.0")];
    const FEATURES: &'static [Feature] = &[
        Feature::Everywhere(ns::PING),
        Feature::Domain(ns::VERSION),
        Feature::Domain(ns::TIME),
        Feature::Everywhere(ns::LAST),
    ];
    const KEYS: &'static [ConfigKey] = &[ConfigKey {
        name: "version",
        kind: "yes/no",
        default: "true",
        about: "Whether everybody who asks is told the version of the software; without it only \
                its name.",
    }];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_get(On::Domain, ns::PING, "ping", Self::ping),
        Hook::iq_get(On::Account, ns::PING, "ping", Self::ping),
        Hook::iq_get(On::Domain, ns::VERSION, "query", Self::version),
        Hook::iq_get(On::Domain, ns::TIME, "time", Self::time),
        Hook::iq_get(On::Domain, ns::LAST, "query", Self::uptime),
        Hook::iq_get(On::AccountFromAnyone, ns::LAST, "query", Self::last),
        Hook::payload(Place::Received, Phase::Admit, ns::LAST, "query", Self::guard_last),
        Hook::presence(Place::Sent, Phase::Record, Self::note_presence),
        Hook::closed(Self::note_closed),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        Ok(Self(config))
    }
}

impl Basics {
    fn ping(&self, _: &Request<'_>, _: &mut Context<'_, '_>) -> IqResult {
        Ok(Reply::Empty)
    }

    fn version(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (name, version, _) = cx.software()?;
        let version = if self.0.version { version } else { String::new() };
        let answer = Element::new(ns::VERSION, "query")
            .with_child(Element::new(ns::VERSION, "name").with_text(&name))
            // XEP-0092 wants the element; empty says that it is not told.
            .with_child(Element::new(ns::VERSION, "version").with_text(&version));
        Ok(Reply::With(answer))
    }

    fn time(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let utc = xep::delay::date_time(cx.now_ms());
        let answer = Element::new(ns::TIME, "time")
            .with_child(Element::new(ns::TIME, "tzo").with_text("+00:00"))
            .with_child(Element::new(ns::TIME, "utc").with_text(&utc));
        Ok(Reply::With(answer))
    }

    fn uptime(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (.., started_ms) = cx.software()?;
        Ok(Reply::With(last::answer(cx.now_ms().saturating_sub(started_ms), None)))
    }
}
