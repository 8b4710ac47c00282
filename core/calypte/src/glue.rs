//! Between the boundary and an author's functions. Authors never meet this.

use std::fmt;

use abi::{Call, Guest, HostRef};
use xml::{Element, Flat, FlatRef, Node};
use xmpp::{JidRef, Kind, StanzaError, StanzaRef};

use crate::command::CommandReply;
use crate::functions::{AccountFn, CommandFn};
use crate::hooks::Run;
use crate::wire::{
    self, AccountDone, DiscoveryAsked, LoginFacts, Looked, Question, WireError, op, part, status,
};
use crate::{
    ConfigKey, Context, Discovery, Feature, Flow, HookResult, Identity, Module, Notified, Passing,
    Reply, Request, Served, When,
};

/// How a client logged in, for `channel` and `authenticated` hooks.
pub struct Login<'a> {
    facts: &'a LoginFacts,
}

impl Login<'_> {
    /// Returns the facts.
    #[must_use]
    pub fn facts(&self) -> &LoginFacts {
        self.facts
    }
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client key and the exporter value are secrets.
        f.debug_struct("Login").field("mechanism", &self.facts.mechanism).finish_non_exhaustive()
    }
}

/// What a client asks for while it binds (XEP-0386), for `bound` hooks.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'a> {
    wishes: Node<'a>,
}

impl<'a> Bind<'a> {
    /// Returns the element with this name that the client sent along, if it did.
    #[must_use]
    pub fn asks(&self, ns: &str, name: &str) -> Option<Node<'a>> {
        self.wishes.child(ns, name)
    }
}

/// A question by HTTP or by command.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The path, without what stands behind a `?`, or the node of the command.
    pub name: &'a str,
    /// `GET`, `POST`, …; empty for a command.
    pub method: &'a str,
    /// What stands behind the `?` of the address, as it came; empty for a command.
    pub query: &'a str,
    /// The body of the request, at most 1 MiB; for a command its fields, one `name=value` a line.
    pub body: &'a [u8],
    /// Who runs a command: a bare address; empty on the command line, and by HTTP.
    pub asker: &'a str,
    /// Headers of an HTTP request that modules may know: see [`Asked::header`].
    pub headers: &'a [(String, String)],
    /// Where an HTTP request comes from: an address of IPv4, or the first one of a /64 of IPv6. Empty
    /// for a command.
    pub address: &'a str,
}

impl<'a> Asked<'a> {
    fn of(name: &'a str, question: &'a Question) -> Self {
        let Question { method, query, body, asker, headers, address } = question;
        Self { name, method, query, body, asker, headers, address }
    }

    /// Returns a header of an HTTP request, by its name in lower case: `content-type`, `cookie`, `host`,
    /// `origin` or `sec-fetch-site`. Others are not passed on.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns a field of a form of a page, which came as `application/x-www-form-urlencoded`. `None`
    /// when it is not there, or is not UTF-8.
    #[must_use]
    pub fn form(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(self.body).ok()?;
        let mut fields = text.split('&').filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(field, _)| unescaped(field).as_deref() == Some(name))?;
        unescaped(value)
    }

    /// Returns all values of a command's field.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&'a str> {
        let text = std::str::from_utf8(self.body).unwrap_or_default();
        let fields = text.lines().filter_map(|line| line.split_once('='));
        fields.filter(|(field, _)| *field == name).map(|(_, value)| value).collect()
    }

    /// Returns the value of a command's field. A field with several values has several lines, of
    /// which this is the first.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a str> {
        let text = std::str::from_utf8(self.body).ok()?;
        let mut fields = text.lines().filter_map(|line| line.split_once('='));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads what a form of a page escaped.
fn unescaped(text: &str) -> Option<String> {
    xmpp::uri::unescaped(&text.replace('+', " "))
}

/// A module behind the boundary.
pub struct Glue<M>(M);

impl<M> fmt::Debug for Glue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Glue")
    }
}

impl<M: Module> Guest for Glue<M> {
    fn create(config: &str) -> Result<Self, String> {
        let config = if config.is_empty() { "{}" } else { config };
        let config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        M::setup(config).map(Self).map_err(|error| error.0)
    }

    fn call(&self, call: &Call<'_>, host: &mut HostRef<'_>) -> u32 {
        let hook = usize::try_from(call.hook).ok().and_then(|index| M::HOOKS.get(index));
        let Some(hook) = hook else { return status::NO_HOOK };
        let mut cx = Context {
            owner: text(call, part::OWNER),
            session: text(call, part::SESSION),
            domain: text(call, part::DOMAIN),
            now_ms: call.now_ms,
            host,
        };
        let outcome = run(&self.0, &hook.run, call, &mut cx);
        outcome.unwrap_or_else(|error| {
            let detail = error.detail.clone().unwrap_or_default();
            let error = WireError::of(&error);
            // If even that fails, the host answers internal-server-error.
            drop(cx.op(op::ERROR, &wire::encode(&error), detail.as_bytes()));
            status::ERROR
        })
    }
}

fn run<M: Module>(
    module: &M,
    run: &Run<M>,
    call: &Call<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<u32, StanzaError> {
    let name = text(call, part::NAME);
    let payload = call.parts.get(part::PAYLOAD).copied().unwrap_or_default();
    let done = |result: Result<(), StanzaError>| result.map(|()| status::PASS);
    match run {
        Run::Stanza(f) => stanza(call, cx, |passing, cx| f(module, passing, cx)),
        Run::Iq(f) => {
            let view = view(call).ok_or(StanzaError::INTERNAL)?;
            reply(f(module, &Request::new(view), cx)?, cx)
        }
        Run::Stranger(f) => {
            let asked = (view(call), wire::decode(payload));
            let (Some(view), Some(stranger)) = asked else { return Err(StanzaError::INTERNAL) };
            reply(f(module, &Request::new(view), &stranger, cx)?, cx)
        }
        Run::Session(f) => done(f(module, cx)),
        Run::Login(f) => {
            let facts = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
            done(f(module, &Login { facts: &facts }, cx))
        }
        Run::Wake(f) => done(f(module, name, cx)),
        Run::Notice(f) => done(f(module, &Notified { name, payload }, cx)),
        Run::Answer(f) => {
            let view = view(call).ok_or(StanzaError::INTERNAL)?;
            done(f(module, payload, view, cx))
        }
        Run::Acked(f) => {
            let view = view(call).ok_or(StanzaError::INTERNAL)?;
            done(f(module, view, cx))
        }
        Run::Feature(f) => element(f(module, cx)?, cx),
        Run::Bound(f) => {
            let text = std::str::from_utf8(payload).map_err(|_| StanzaError::INTERNAL)?;
            let wishes = Flat::parse_ours(text, "").map_err(|_| StanzaError::INTERNAL)?;
            element(f(module, &Bind { wishes: wishes.root() }, cx)?, cx)
        }
        Run::Discovery(f) => {
            let asked: DiscoveryAsked = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
            let from = asked.from.as_deref().map(JidRef::trusted);
            let ns = if asked.items { xmpp::ns::DISCO_ITEMS } else { xmpp::ns::DISCO_INFO };
            let shown = f(module, &Discovery { node: asked.node.as_deref(), from }, cx)?;
            let Some(shown) = shown else { return Ok(status::PASS) };
            let shown: Vec<_> = shown.iter().map(|element| element.to_xml(ns)).collect();
            cx.op(op::REPLY, &wire::encode(&shown), &[]).map(|_| status::REPLY)
        }
        Run::Verify(f) => {
            let found = f(module, cx)?;
            if found.is_empty() {
                return Ok(status::PASS);
            }
            cx.op(op::REPLY, found.join("\n").as_bytes(), &[]).map(|_| status::REPLY)
        }
        Run::Inactive(f) => {
            let view = view(call).ok_or(StanzaError::INTERNAL)?;
            when(&f(module, view, cx)?, cx)
        }
        Run::Asked(_) | Run::Web(_) => asked(module, run, call, cx),
        Run::Command(f) => command(module, *f, call, cx),
        Run::AccountDone(f) => done(account_done(module, *f, payload, cx)),
        Run::Peer(_) | Run::Token(_) | Run::Grant(_) | Run::Files(_) => {
            judge(module, run, payload, cx)
        }
        Run::Looked(f) => {
            let Looked { cookie, found } = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
            done(f(module, &cookie, found.as_deref().map_err(String::as_str), cx))
        }
    }
}

/// Answers a question by HTTP, or on one line.
fn asked<M: Module>(
    module: &M,
    run: &Run<M>,
    call: &Call<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<u32, StanzaError> {
    let payload = call.parts.get(part::PAYLOAD).copied().unwrap_or_default();
    let question: Question = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
    let asked = Asked::of(text(call, part::NAME), &question);
    match run {
        Run::Asked(f) => {
            let answer = f(module, &asked, cx)?;
            cx.op(op::REPLY, &answer, &[]).map(|_| status::REPLY)
        }
        Run::Web(f) => match f(module, &asked, cx)? {
            Served::Page(page) => {
                cx.op(op::PAGE, &wire::encode(&page.head), &page.body).map(|_| status::REPLY)
            }
            Served::Later => Ok(status::LATER),
        },
        _ => Ok(status::NO_HOOK),
    }
}

fn account_done<M: Module>(
    module: &M,
    f: AccountFn<M>,
    payload: &[u8],
    cx: &mut Context<'_, '_>,
) -> Result<(), StanzaError> {
    let AccountDone { cookie, fault } = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
    f(module, &cookie, fault.map_or(Ok(()), Err), cx)
}

fn command<M: Module>(
    module: &M,
    f: CommandFn<M>,
    call: &Call<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<u32, StanzaError> {
    let payload = call.parts.get(part::PAYLOAD).copied().unwrap_or_default();
    let question: Question = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
    match f(module, &Asked::of(text(call, part::NAME), &question), cx)? {
        CommandReply::Later => Ok(status::LATER),
        reply => cx.op(op::REPLY, &wire::encode(&reply), &[]).map(|_| status::REPLY),
    }
}

/// Gives the host the answer to a request.
fn reply(reply: Reply, cx: &mut Context<'_, '_>) -> Result<u32, StanzaError> {
    match reply {
        Reply::Empty => cx.op(op::REPLY, &[], &[]).map(|_| status::REPLY),
        Reply::With(element) => {
            let xml = element.to_xml(xmpp::ns::CLIENT);
            cx.op(op::REPLY, xml.as_bytes(), &[]).map(|_| status::REPLY)
        }
        Reply::Later => Ok(status::LATER),
    }
}

/// Says when a client that is not looked at gets a stanza.
fn when(when: &When, cx: &mut Context<'_, '_>) -> Result<u32, StanzaError> {
    match when {
        When::Now => Ok(status::PASS),
        When::Later => Ok(status::LATER),
        When::Newest(name) => cx.op(op::REPLY, name.as_bytes(), &[]).map(|_| status::REPLY),
    }
}

/// Runs a function whose answer is a record.
fn judge<M: Module>(
    module: &M,
    run: &Run<M>,
    payload: &[u8],
    cx: &mut Context<'_, '_>,
) -> Result<u32, StanzaError> {
    let answer = match run {
        Run::Peer(f) => {
            let facts = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
            Some(wire::encode(&f(module, &facts, cx)?))
        }
        Run::Token(f) => {
            let proof = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
            Some(wire::encode(&f(module, &proof, cx)?))
        }
        Run::Grant(f) => {
            let wish = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
            f(module, &wish, cx)?.map(|token| wire::encode(&token))
        }
        Run::Files(f) => {
            let question: Question = wire::decode(payload).ok_or(StanzaError::INTERNAL)?;
            let asked = wire::decode(&question.body).ok_or(StanzaError::INTERNAL)?;
            Some(wire::encode(&f(module, &asked, cx)?))
        }
        _ => None,
    };
    match answer {
        Some(answer) => cx.op(op::REPLY, &answer, &[]).map(|_| status::REPLY),
        None => Ok(status::PASS),
    }
}

/// Gives the host an element that says its own namespace.
fn element(element: Option<Element>, cx: &mut Context<'_, '_>) -> Result<u32, StanzaError> {
    let Some(element) = element else { return Ok(status::PASS) };
    let xml = element.to_xml(xmpp::ns::STREAMS);
    cx.op(op::REPLY, xml.as_bytes(), &[]).map(|_| status::REPLY)
}

fn stanza(
    call: &Call<'_>,
    cx: &mut Context<'_, '_>,
    f: impl FnOnce(&mut Passing<'_>, &mut Context<'_, '_>) -> HookResult,
) -> Result<u32, StanzaError> {
    let mut passing = Passing::new(view(call).ok_or(StanzaError::INTERNAL)?);
    let flow = f(&mut passing, cx)?;
    if let Some(xml) = passing.changed() {
        cx.op(op::REPLACE, xml.as_bytes(), &[])?;
    }
    Ok(match flow {
        Flow::Pass => status::PASS,
        Flow::Handled => status::HANDLED,
        Flow::Kept => status::KEPT,
        Flow::Drop(reason) => {
            cx.count("dropped", 1)?;
            cx.log(reason);
            status::DROP
        }
    })
}

fn text<'a>(call: &Call<'a>, index: usize) -> &'a str {
    let bytes = call.parts.get(index).copied().unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or("")
}

fn view<'a>(call: &Call<'a>) -> Option<StanzaRef<'a>> {
    let part = |index| Some(text(call, index)).filter(|part| !part.is_empty());
    let content = FlatRef::from_parts(text(call, part::TEXT), call.words);
    Some(StanzaRef {
        kind: Kind::of(content.root().name())?,
        from: part(part::FROM).map(JidRef::trusted),
        to: part(part::TO).map(JidRef::trusted),
        id: part(part::ID),
        ty: part(part::TYPE),
        lang: part(part::LANG),
        content,
    })
}

/// How many pieces of text a manifest has: for the constant array behind [`manifest_pieces`].
#[must_use]
pub const fn manifest_count<M: Module>() -> usize {
    let about = 8 + 5 * M::XEPS.len() + 3 * M::FEATURES.len() + 5 * M::IDENTITIES.len();
    about + 9 * M::KEYS.len() + 13 * M::HOOKS.len()
}

/// Returns the manifest as pieces of text, to be joined while compiling.
#[allow(clippy::indexing_slicing, reason = "runs while compiling, where a wrong index is an error")]
#[must_use]
pub const fn manifest_pieces<M: Module, const N: usize>() -> [&'static str; N] {
    let mut pieces = [""; N];
    let head = [
        "calypte-manifest 1\nname ",
        M::NAME,
        "\nabout ",
        M::ABOUT,
        "\nsecurity ",
        if M::SECURITY { "yes" } else { "no" },
        "\n",
        "",
    ];
    let mut at = put(&mut pieces, 0, &head);
    let mut i = 0;
    while i < M::XEPS.len() {
        at = put(&mut pieces, at, &["xep ", M::XEPS[i].0, " ", M::XEPS[i].1, "\n"]);
        i += 1;
    }
    i = 0;
    while i < M::FEATURES.len() {
        let (whose, name) = match M::FEATURES[i] {
            Feature::Domain(name) => ("feature domain ", name),
            Feature::Account(name) => ("feature account ", name),
            Feature::Everywhere(name) => ("feature everywhere ", name),
        };
        at = put(&mut pieces, at, &[whose, name, "\n"]);
        i += 1;
    }
    i = 0;
    while i < M::IDENTITIES.len() {
        let (whose, category, kind) = match M::IDENTITIES[i] {
            Identity::Domain(category, kind) => ("identity domain ", category, kind),
            Identity::Account(category, kind) => ("identity account ", category, kind),
        };
        at = put(&mut pieces, at, &[whose, category, " ", kind, "\n"]);
        i += 1;
    }
    i = 0;
    while i < M::KEYS.len() {
        let ConfigKey { name, kind, default, about } = &M::KEYS[i];
        at = put(&mut pieces, at, &["config ", name, "\t", kind, "\t", default, "\t", about, "\n"]);
        i += 1;
    }
    i = 0;
    while i < M::HOOKS.len() {
        let words = &M::HOOKS[i].words;
        at = put(&mut pieces, at, &["hook ", words[0], "\t", words[1], "\t", words[2], "\t"]);
        at = put(&mut pieces, at, &[words[3], "\t", words[4], "\t", words[5], "\n"]);
        i += 1;
    }
    pieces
}

/// Puts pieces behind each other and returns the next free place.
#[allow(clippy::indexing_slicing, reason = "runs while compiling, where a wrong index is an error")]
const fn put<const N: usize>(
    pieces: &mut [&'static str; N],
    mut at: usize,
    more: &[&'static str],
) -> usize {
    let mut i = 0;
    while i < more.len() {
        pieces[at] = more[i];
        at += 1;
        i += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_pages_are_read() {
        let body = b"name=Ana+B%26C&empty=&na%6de=second&bad=%zz&half=%e2%82&wide=%E2%82%AC&%";
        let question = Question { body: body.to_vec(), ..Question::default() };
        let asked = Asked::of("/", &question);
        assert_eq!(asked.form("name").as_deref(), Some("Ana B&C"));
        assert_eq!(asked.form("empty").as_deref(), Some(""));
        assert_eq!(asked.form("wide").as_deref(), Some("\u{20ac}"));
        assert_eq!((asked.form("bad"), asked.form("half"), asked.form("none")), (None, None, None));
    }
}
