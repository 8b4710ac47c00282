//! A security module for tests.

use calypte::prelude::*;

#[path = "../../probe/src/act.rs"]
mod act;

use act::NS;

/// Does what it is told with `by='guard'`.
#[derive(Debug)]
pub struct Guard;

calypte::export!(Guard);

impl Module for Guard {
    const NAME: &'static str = "guard";
    const ABOUT: &'static str = "Does what it is told, and fails closed.";
    const SECURITY: bool = true;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::payload(Place::Sent, Phase::Admit, NS, "trace", Self::trace),
        Hook::payload(Place::Sent, Phase::Admit, NS, "do", Self::at_admit),
        Hook::payload(Place::Sent, Phase::Copy, NS, "do", Self::at_copy),
        Hook::iq_set(On::Account, NS, "guard", Self::answer),
        Hook::opened(Self::opened),
        Hook::peer(Self::peer),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Guard {
    fn trace(&self, passing: &mut Passing<'_>, _: &mut Context<'_, '_>) -> HookResult {
        passing.append(Element::new(NS, "at").with_text("guard"));
        Ok(Flow::Pass)
    }

    fn at_admit(&self, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        obey("Admit", passing, cx)
    }

    fn at_copy(&self, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        obey("Copy", passing, cx)
    }

    fn answer(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        Ok(act::reply(act::all(request.query()?, cx)?))
    }

    #[expect(clippy::panic, reason = "what a broken module does")]
    fn peer(&self, facts: &PeerFacts, _: &mut Context<'_, '_>) -> Result<PeerVerdict, StanzaError> {
        let order = facts.element.as_deref().and_then(|xml| Flat::parse(xml, NS).ok());
        let word = order.as_ref().and_then(|order| order.root().attr("guard"));
        if word.as_deref() == Some("panics") {
            panic!("told to");
        }
        Ok(PeerVerdict { dialback: word.is_none(), ..PeerVerdict::default() })
    }

    #[expect(clippy::panic, reason = "what a broken module does")]
    fn opened(&self, cx: &mut Context<'_, '_>) -> Done {
        if cx.session()?.resource == "unguarded" {
            panic!("told to");
        }
        Ok(())
    }
}

fn obey(phase: &str, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
    let orders = passing.payloads().filter(|node| node.is(NS, "do"));
    for order in orders.collect::<Vec<_>>() {
        if order.attr("by").as_deref() == Some("guard")
            && order.attr("at").as_deref() == Some(phase)
        {
            act::all(order, cx)?;
        }
    }
    Ok(Flow::Pass)
}
