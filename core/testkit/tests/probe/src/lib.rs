//! A module for tests: it does what it is told, at every place where a module can act.

use calypte::notice::RosterChanged;
use calypte::prelude::*;
use serde::Deserialize;

mod act;
mod brew;
mod discovery;
mod page;

use act::{NS, Told};

/// Settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What `fail` says; a setup that is refused says it to the operator.
    pub refuse: Option<String>,
    /// The mark in traces, to tell settings apart.
    pub mark: String,
}

/// Does what it is told.
#[derive(Debug)]
pub struct Probe(Config);

calypte::export!(Probe);

/// One function for each place and phase, since each has to know where it stands.
macro_rules! at {
    ($($name:ident: $place:ident $phase:ident;)*) => {
        impl Probe {
            $(fn $name(&self, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
                self.at(concat!(stringify!($place), "/", stringify!($phase)), passing, cx)
            })*
        }
    };
}

at! {
    sent_admit: Sent Admit;
    sent_rewrite: Sent Rewrite;
    sent_record: Sent Record;
    sent_copy: Sent Copy;
    arriving_admit: Arriving Admit;
    arriving_rewrite: Arriving Rewrite;
    arriving_record: Arriving Record;
    arriving_copy: Arriving Copy;
    received_admit: Received Admit;
    received_rewrite: Received Rewrite;
    received_record: Received Record;
    received_copy: Received Copy;
    leaving_admit: Leaving Admit;
    leaving_rewrite: Leaving Rewrite;
    leaving_record: Leaving Record;
    leaving_copy: Leaving Copy;
}

/// A hook for stanzas that carry `<trace/>` or `<do/>`.
macro_rules! told {
    ($place:ident $phase:ident $f:ident $name:literal) => {
        Hook::payload(Place::$place, Phase::$phase, NS, $name, Self::$f)
    };
}

impl Module for Probe {
    const NAME: &'static str = "probe";
    const ABOUT: &'static str = "Does what it is told.";
    const XEPS: &'static [Xep] = &[Xep("0000", "1.0")];
    const FEATURES: &'static [Feature] = &[
        Feature::Domain("urn:example:domain"),
        Feature::Account("urn:example:account"),
        Feature::Everywhere("urn:example:everywhere"),
    ];
    const IDENTITIES: &'static [Identity] =
        &[Identity::Domain("example", "domain"), Identity::Account("example", "account")];
    const KEYS: &'static [ConfigKey] =
        &[ConfigKey { name: "mark", kind: "text", default: "\"\"", about: "The mark in traces." }];
    // Written against the order of a stanza's way, which the phases must restore.
    const HOOKS: &'static [Hook<Self>] = &[
        told!(Leaving Copy leaving_copy "trace"),
        told!(Leaving Record leaving_record "trace"),
        told!(Leaving Rewrite leaving_rewrite "trace"),
        told!(Leaving Admit leaving_admit "trace"),
        told!(Received Copy received_copy "trace"),
        told!(Received Record received_record "trace"),
        told!(Received Rewrite received_rewrite "trace"),
        told!(Received Admit received_admit "trace"),
        told!(Arriving Copy arriving_copy "trace"),
        told!(Arriving Record arriving_record "trace"),
        told!(Arriving Rewrite arriving_rewrite "trace"),
        told!(Arriving Admit arriving_admit "trace"),
        told!(Sent Copy sent_copy "trace"),
        told!(Sent Record sent_record "trace"),
        told!(Sent Rewrite sent_rewrite "trace"),
        told!(Sent Admit sent_admit "trace"),
        told!(Sent Admit sent_admit "do"),
        told!(Sent Rewrite sent_rewrite "do"),
        told!(Sent Record sent_record "do"),
        told!(Sent Copy sent_copy "do"),
        told!(Received Admit received_admit "do"),
        told!(Received Rewrite received_rewrite "do"),
        told!(Received Record received_record "do"),
        told!(Received Copy received_copy "do"),
        told!(Leaving Admit leaving_admit "do"),
        told!(Arriving Admit arriving_admit "do"),
        Hook::message(Place::Sent, Phase::Record, Self::count_message),
        Hook::presence(Place::Sent, Phase::Record, Self::count_presence),
        Hook::iq(Place::Sent, Phase::Record, Self::count_iq),
        Hook::stanza(Place::Sent, Phase::Record, Self::count_stanza),
        Hook::message_when_away(Place::Received, Phase::Record, Self::keep),
        Hook::iq_get(On::Account, NS, "mine", Self::answer),
        Hook::iq_set(On::Account, NS, "do", Self::answer),
        Hook::iq_get(On::AccountFromAnyone, NS, "card", Self::answer),
        Hook::iq_get(On::Domain, NS, "about", Self::answer),
        Hook::iq_set(On::Domain, NS, "do", Self::answer),
        Hook::iq_get(On::Account, NS, "later", Self::answer_later),
        Hook::serve("echo", Self::echo),
        Hook::claim(Self::claim),
        Hook::started(Self::started),
        Hook::opened(Self::opened),
        Hook::bound(Some("urn:example:probe"), Self::bound),
        Hook::resumed(Self::resumed),
        Hook::closed(Self::closed),
        Hook::channel(Self::channel),
        Hook::authenticated(Self::authenticated),
        Hook::acked(Self::acked),
        Hook::wake(Self::wake),
        Hook::notice("probe.told", Self::told),
        Hook::peer(Self::peer),
        Hook::looked(Self::looked),
        Hook::account_done(Self::account_done),
        Hook::iq_set(On::Own, NS, "own", Self::answer),
        Hook::notice("roster.changed", Self::roster_changed),
        Hook::answer(Self::got_answer),
        Hook::stream_feature(Self::feature),
        Hook::domain_info(Self::info),
        Hook::domain_items(Self::items),
        Hook::account_info(Self::info),
        Hook::account_items(Self::items),
        Hook::http("/probe", Self::http),
        Hook::http("/probe/deep", Self::deep),
        Hook::http_public("/probe/public", Self::http),
        Hook::web("/probe/page", Self::page),
        Hook::command("whoami", "Who am I?", Who::User, Self::whoami),
        Hook::command("restock", "Fill the shelves", Who::Admin, Self::restock),
        Hook::form_command("brew", "Brew a potion", Who::User, Self::brew),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        match &config.refuse {
            Some(why) => Err(SetupError(why.clone())),
            None => Ok(Self(config)),
        }
    }
}

impl Probe {
    /// Leaves a trace, or does what a stanza says for this place and phase.
    fn at(&self, at: &str, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        if passing.has(NS, "trace") {
            let mark = Element::new(NS, "at").with_text(&format!("{at}{}", self.0.mark));
            passing.append(mark);
        }
        let orders: Vec<_> = passing.payloads().filter(|node| node.is(NS, "do")).collect();
        for order in orders {
            if order.attr("at").as_deref() != Some(at) || order.attr("by").is_some() {
                continue;
            }
            for read in act::all(order, cx)? {
                passing.append(read);
            }
            return edit(order, passing);
        }
        Ok(Flow::Pass)
    }

    fn count_message(&self, _: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        cx.count("message", 1)?;
        Ok(Flow::Pass)
    }

    fn count_presence(&self, _: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        cx.count("presence", 1)?;
        Ok(Flow::Pass)
    }

    fn count_iq(&self, _: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        cx.count("iq", 1)?;
        Ok(Flow::Pass)
    }

    fn count_stanza(&self, _: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        cx.count("stanza", 1)?;
        Ok(Flow::Pass)
    }

    /// Keeps what nobody is there for, when it asks for that.
    fn keep(&self, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        cx.count("away", 1)?;
        Ok(if passing.has(NS, "keep") { Flow::Handled } else { Flow::Pass })
    }

    fn answer(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        Ok(act::reply(act::all(request.query()?, cx)?))
    }

    /// Answers when its timer comes: the request waits in a table.
    fn answer_later(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (id, from) = (request.id.unwrap_or("").to_owned(), request.from);
        let from = from.map(|from| from.as_str().to_owned()).unwrap_or_default();
        let at = cx.now_ms().saturating_add(1000);
        cx.wake_at(at, &format!("answer {id} {from}"))?;
        Ok(Reply::Later)
    }

    /// Sends back what reaches the served subdomain.
    fn echo(&self, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let order = passing.payloads().find(|node| node.is(NS, "do"));
        if let Some(order) = order {
            act::all(order, cx)?;
            return Ok(Flow::Handled);
        }
        if passing.kind != Kind::Message {
            return Ok(Flow::Pass);
        }
        let mut echo = Element::new(ns::CLIENT, "message");
        if let Some(from) = passing.from {
            echo.push_attr("to", from.as_str());
        }
        passing.payloads().for_each(|node| echo.push_child(Element::from_node(node)));
        cx.send(&echo)?;
        Ok(Flow::Handled)
    }

    /// `alias-X` stands for the account X.
    fn claim(&self, passing: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let order = passing.payloads().find(|node| node.is(NS, "do"));
        let owner = cx.owner();
        let Some(account) = owner.local().and_then(|local| local.strip_prefix("alias-")) else {
            return Ok(Flow::Pass);
        };
        if let Some(order) = order {
            act::all(order, cx)?;
            return Ok(Flow::Handled);
        }
        let to = Jid::parse(&format!("{account}@{}", cx.domain()));
        passing.set_to(to.map_err(|_| StanzaError::INTERNAL)?);
        Ok(Flow::Pass)
    }

    fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        let is_domain = cx.owner().as_str() == cx.domain();
        cx.count("started", u64::from(is_domain))?;
        cx.wake_at(cx.now_ms().saturating_add(3_600_000), "started")
    }

    fn opened(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.count("opened", 1)?;
        cx.set_value("opened", b"yes")?;
        let session = cx.session()?;
        match session.resource.as_str() {
            "refused" => Err(StanzaError::NOT_ALLOWED),
            "panics" => act_panic(),
            _ => Ok(()),
        }
    }

    /// Says which mood a client begins with.
    fn bound(
        &self,
        bind: &Bind<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Element>, StanzaError> {
        let Some(mood) = bind.asks(NS, "mood") else { return Ok(None) };
        let mood = mood.text();
        match &*mood {
            "bad" => Err(StanzaError::NOT_ALLOWED),
            "worse" => act_panic().map(|()| None),
            mood => {
                cx.set_value("mood", mood.as_bytes())?;
                Ok(Some(Element::new(NS, "mood").with_text(mood)))
            }
        }
    }

    fn resumed(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.count("resumed", 1)
    }

    fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        let session = cx.session()?;
        cx.count(if session.values.is_empty() { "closed" } else { "closed-with-values" }, 1)
    }

    fn acked(&self, message: StanzaRef<'_>, cx: &mut Context<'_, '_>) -> Done {
        cx.count("acked", 1)?;
        let is_own = message.to.is_some_and(|to| to.bare_str() == cx.owner().as_str());
        cx.count("acked-own", u64::from(is_own))
    }

    fn channel(&self, login: &Login<'_>, cx: &mut Context<'_, '_>) -> Done {
        cx.count("channel", 1)?;
        let facts = login.facts();
        let is_weak = facts.tls == "TLSv1.0" || facts.exporter.is_none();
        if is_weak { Err(StanzaError::NOT_ALLOWED) } else { Ok(()) }
    }

    fn authenticated(&self, login: &Login<'_>, cx: &mut Context<'_, '_>) -> Done {
        cx.count("authenticated", 1)?;
        let facts = login.facts();
        if facts.client_key.is_some() {
            cx.count("client-key", 1)?;
        }
        match facts.user_agent.as_deref() {
            Some("panics") => act_panic(),
            _ if facts.mechanism == "PLAIN" => Err(StanzaError::NOT_ALLOWED),
            _ => Ok(()),
        }
    }

    fn wake(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        if let Some((id, to)) = name.strip_prefix("answer ").and_then(|rest| rest.split_once(' ')) {
            let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "result");
            return cx.send(&iq.with_attr("id", id).with_attr("to", to));
        }
        if name == "started" {
            return cx.count("hour", 1);
        }
        let text = format!("woken by {name}");
        tell_all(cx, &text)
    }

    fn told(&self, notice: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let text = format!("told {}", notice.read::<Told>()?.0);
        tell_all(cx, &text)
    }

    fn roster_changed(&self, notice: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        // Reading it as something else fails and shows nothing of it.
        if notice.read::<Told>().is_ok() {
            return Err(StanzaError::INTERNAL);
        }
        let text = format!("roster changed: {}", notice.read::<RosterChanged>()?.contact);
        tell_all(cx, &text)
    }

    fn got_answer(&self, cookie: &[u8], answer: StanzaRef<'_>, cx: &mut Context<'_, '_>) -> Done {
        let cookie = String::from_utf8_lossy(cookie);
        let text = format!("{cookie} answered: {}", answer.ty.unwrap_or(""));
        cx.count("answers", 1)?;
        tell_all(cx, &text)
    }

    /// Does and says what the element of the stream says, and what it saw.
    fn peer(
        &self,
        facts: &PeerFacts,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        let mut verdict = PeerVerdict::default();
        let Some(xml) = &facts.element else { return Ok(verdict) };
        let order = Flat::parse(xml, NS).map_err(|_| StanzaError::BAD_REQUEST)?;
        if !order.root().is(NS, "do") {
            return Ok(verdict);
        }
        act::all(order.root(), cx)?;
        let word = |name: &str| order.root().attr(name).map(std::borrow::Cow::into_owned);
        verdict.external = word("external").is_none();
        verdict.dialback = word("dialback").is_none();
        verdict.proved = word("proved").is_some();
        verdict.say = word("say").map(|_| saw(facts).to_xml(""));
        verdict.features.extend(word("feature"));
        verdict.endpoints.extend(word("endpoint"));
        verdict.refuse = word("refuse").map(|why| (why, "told".to_owned()));
        verdict.hold_until_ms = word("hold").and_then(|hold| hold.parse().ok());
        Ok(verdict)
    }

    fn looked(&self, cookie: &[u8], found: Result<&[u8], &str>, cx: &mut Context<'_, '_>) -> Done {
        let cookie = String::from_utf8_lossy(cookie);
        let text = match found {
            Ok(bytes) => format!("{cookie} found {} bytes", bytes.len()),
            Err(why) => format!("{cookie}: {why}"),
        };
        tell_all(cx, &text)
    }

    /// Says what became of an account, to who waits for it and to the sessions of the owner.
    fn account_done(
        &self,
        cookie: &[u8],
        done: Result<(), AccountFault>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        if let Some(answered) = Self::looked_at(cookie, done, cx) {
            return answered;
        }
        if let Ok(ticket) = cookie.try_into().map(u64::from_le_bytes) {
            let answer = done.map(|()| Reply::With(Element::new(NS, "done")));
            return cx.answer(ticket, answer.map_err(StanzaError::from));
        }
        tell_all(cx, &format!("{}: {done:?}", String::from_utf8_lossy(cookie)))
    }

    fn feature(&self, _: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        Ok((self.0.mark != "silent").then(|| Element::new(NS, "feature").with_text(&self.0.mark)))
    }

    fn http(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StanzaError> {
        if asked.name == "/probe/refused" {
            return Err(StanzaError::FORBIDDEN);
        }
        if asked.name == "/probe/panics" {
            act_panic()?;
        }
        cx.set_content_type("text/x-probe")?;
        let body = String::from_utf8_lossy(asked.body);
        let owner = cx.owner_jid();
        Ok(format!("{} {} {} {body} {owner}", asked.method, asked.name, asked.query).into_bytes())
    }

    fn deep(&self, _: &Asked<'_>, _: &mut Context<'_, '_>) -> Result<Vec<u8>, StanzaError> {
        Ok(b"deep".to_vec())
    }

    fn whoami(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StanzaError> {
        let greeting = asked.field("greeting").unwrap_or("You are");
        Ok(format!("{greeting} {}", cx.owner().as_str()).into_bytes())
    }

    fn restock(&self, asked: &Asked<'_>, _: &mut Context<'_, '_>) -> Result<Vec<u8>, StanzaError> {
        let what = asked.field("what").ok_or(StanzaError::BAD_REQUEST)?;
        Ok(format!("{what} is there").into_bytes())
    }
}

/// Changes the stanza as an order says, and says what becomes of it.
fn edit(order: Node<'_>, passing: &mut Passing<'_>) -> HookResult {
    let attr = |name: &str| order.attr(name);
    let address = |text: &str| Jid::parse(text).map_err(|_| StanzaError::JID_MALFORMED);
    if let Some(from) = attr("from") {
        passing.set_from(address(&from)?);
    }
    if let Some(to) = attr("to") {
        passing.set_to(address(&to)?);
    }
    if let Some(name) = attr("remove") {
        passing.remove(NS, &name);
    }
    if attr("spoil").is_some() {
        passing.append(Element::new(NS, "spoilt").with_raw("<open>".to_owned()));
    }
    Ok(match attr("then").as_deref() {
        Some("handled") => Flow::Handled,
        Some("drop") => Flow::Drop("told to"),
        _ => Flow::Pass,
    })
}

/// Says what is known of a stream; of secrets only how long they are.
fn saw(facts: &PeerFacts) -> Element {
    let bytes = |value: &[u8]| value.len().to_string();
    Element::new(NS, "saw")
        .with_attr("stage", &format!("{:?}", facts.stage))
        .with_attr("local", &facts.local)
        .with_attr("remote", &facts.remote)
        .with_attr("tls", &facts.tls)
        .with_attr("identity", &format!("{:?}", facts.identity))
        .with_attr("exporter", &bytes(facts.exporter.as_deref().unwrap_or_default()))
        .with_attr("own", &bytes(&facts.own_spki))
        .with_attr("peer", &bytes(&facts.peer_spki))
        .with_attr("external", &facts.external.to_string())
        .with_attr("dialback", &facts.dialback.to_string())
        .with_attr("calypte", &facts.calypte.is_some().to_string())
}

/// Tells all sessions of the owner something.
fn tell_all(cx: &mut Context<'_, '_>, text: &str) -> Done {
    let owner = cx.owner_jid();
    for session in cx.sessions()? {
        let note = Element::new(NS, "note").with_text(text);
        let message = Element::new(ns::CLIENT, "message").with_attr("from", owner.as_str());
        cx.deliver(&session.resource, &message.with_child(note))?;
    }
    Ok(())
}

#[expect(clippy::panic, reason = "what a broken module does")]
fn act_panic() -> Done {
    panic!("told to");
}
