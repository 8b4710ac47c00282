//! Greets whoever asks for it, and puts a greeting into messages that want one.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use serde::Deserialize;

/// The name that clients and servers know the feature by.
const NS: &str = "urn:example:hello:0";

/// How often each address asked. Tables are named after their module.
const GUESTS: Table<str, Guest> = Table::account("hello.guests");

/// What is kept of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Guest {
    visits: u64,
}

record!(Guest, 1);

/// The operator's settings, `[modules.hello]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The text to greet with.
    pub greeting: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { greeting: "Good to see you!".to_owned() }
    }
}

/// Greets.
#[derive(Debug)]
pub struct Hello(Config);

calypte::export!(Hello);

impl Module for Hello {
    const NAME: &'static str = "hello";
    const ABOUT: &'static str = "Greets whoever asks for it.";
    const FEATURES: &'static [Feature] = &[Feature::Domain(NS)];
    const KEYS: &'static [ConfigKey] = &[ConfigKey {
        name: "greeting",
        kind: "text",
        default: "\"Good to see you!\"",
        about: "The text to greet with.",
    }];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_get(On::Domain, NS, "hello", Self::greet),
        Hook::payload(Place::Received, Phase::Rewrite, NS, "hello", Self::greet_along),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        Ok(Self(config))
    }
}

impl Hello {
    /// Answers a request to the domain. It leaves when what it wrote is on disk.
    fn greet(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let who = request.from.ok_or(StanzaError::NOT_AUTHORIZED)?.bare_str();
        let mut guest = cx.get(&GUESTS, who)?.unwrap_or_default();
        guest.visits = guest.visits.saturating_add(1);
        cx.put(&GUESTS, who, &guest)?;
        let answer = Element::new(NS, "hello")
            .with_attr("visits", &guest.visits.to_string())
            .with_text(&self.0.greeting);
        Ok(Reply::With(answer))
    }

    /// Sees only messages with a `<hello/>`, when they reach an account.
    fn greet_along(&self, message: &mut Passing<'_>, _: &mut Context<'_, '_>) -> HookResult {
        if message.kind == Kind::Message {
            message.remove(NS, "hello");
            message.append(Element::new(NS, "hello").with_text(&self.0.greeting));
        }
        Ok(Flow::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written by an earlier version must be read by all later ones.
    #[test]
    fn the_record_keeps_its_bytes() {
        assert_eq!(GUESTS.encode(&Guest { visits: 3 }), [1, 3]);
    }
}
