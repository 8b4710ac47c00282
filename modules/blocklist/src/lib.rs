//! Users say from whom they hear nothing (XEP-0191), and tell the operator why (XEP-0377).
//!
//! It stands in front of all other modules: what comes from a blocked address ends before anything
//! learns of it, and what goes to one does not leave. To who is blocked the account looks as if nobody
//! were there.

mod list;
mod report;

use calypte::prelude::*;
use serde::Deserialize;

/// The operator's settings, `[modules.blocklist]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most addresses that an account blocks.
    pub items: u32,
    /// The most reports that wait for the operator.
    pub reports: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { items: 1000, reports: 1000 }
    }
}

/// Users say from whom they hear nothing.
#[derive(Debug)]
pub struct Blocklist(Config);

calypte::export!(Blocklist);

impl Module for Blocklist {
    const NAME: &'static str = "blocklist";
    const ABOUT: &'static str = "Users say from whom they hear nothing.";
    const XEPS: &'static [Xep] = &[Xep("0191", "1.3"), Xep("0377", "0.4.1")];
    const FEATURES: &'static [Feature] =
        &[Feature::Domain(ns::BLOCKING), Feature::Domain(ns::REPORTING)];
    const SECURITY: bool = true;
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "items",
            kind: "number",
            default: "1000",
            about: "How many addresses an account can block, from 1 to 10000.",
        },
        ConfigKey {
            name: "reports",
            kind: "number",
            default: "1000",
            about: "How many reports wait for the operator; the oldest go first. 0: none are kept.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::stanza(Place::Received, Phase::Admit, Self::received),
        Hook::stanza(Place::Sent, Phase::Admit, Self::sent),
        Hook::iq_get(On::Account, ns::BLOCKING, "blocklist", Self::list),
        Hook::iq_set(On::Account, ns::BLOCKING, "block", Self::block),
        Hook::iq_set(On::Account, ns::BLOCKING, "unblock", Self::unblock),
        Hook::command("spam-reports", "Show and clear reports of abuse", Who::Admin, Self::reports),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        if !(1..=10_000).contains(&config.items) {
            return Err(SetupError("items must be a number from 1 to 10000".to_owned()));
        }
        if config.reports > 10_000 {
            return Err(SetupError("reports must be a number up to 10000".to_owned()));
        }
        Ok(Self(config))
    }
}

impl Blocklist {
    /// Something is for the account (§3.3).
    fn received(&self, stanza: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let is_account = cx.owner().local().is_some() && cx.owner().domain() == cx.domain();
        let Some(from) = stanza.from.filter(|_| is_account) else { return Ok(Flow::Pass) };
        if !cx.without_blocked(vec![from.as_str()])?.is_empty() {
            return Ok(Flow::Pass);
        }
        cx.count("stopped", 1)?;
        match stanza.kind {
            Kind::Presence => Ok(Flow::Handled),
            // A room would take an error as a sign that its guest is gone.
            Kind::Message if stanza.message_kind() == MessageKind::Groupchat => Ok(Flow::Handled),
            Kind::Message | Kind::Iq => Err(StanzaError::SERVICE_UNAVAILABLE),
        }
    }

    /// A client of the account sends something.
    fn sent(&self, stanza: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let Some(to) = stanza.to else { return Ok(Flow::Pass) };
        if !cx.without_blocked(vec![to.as_str()])?.is_empty() {
            return Ok(Flow::Pass);
        }
        // Routed, the error would come from the blocked address, and be stopped.
        if let Some(resource) = cx.session_jid().and_then(JidRef::resource).map(str::to_owned)
            && let Some(error) = refusal(stanza, to)
        {
            cx.deliver(&resource, &error)?;
        }
        Ok(Flow::Handled)
    }
}

/// Returns what a client is told that sends to a blocked address; nothing for an answer.
fn refusal(stanza: &Passing<'_>, to: JidRef<'_>) -> Option<Element> {
    let is_result = stanza.kind == Kind::Iq && stanza.iq_kind() == Some(IqKind::Result);
    if is_result || stanza.is_error() {
        return None;
    }
    let why = Element::new(ns::BLOCKING_ERRORS, "blocked");
    let error = StanzaError::new(ErrorKind::Cancel, Condition::NotAcceptable).with_detail(&why);
    let mut reply = Element::new(ns::CLIENT, stanza.kind.name())
        .with_attr("from", to.as_str())
        .with_attr("type", "error")
        .with_child(error.to_element());
    if let Some(id) = stanza.id {
        reply.push_attr("id", id);
    }
    Some(reply)
}
