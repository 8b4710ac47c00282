//! Logging in: SASL (RFC 6120 §6) and SASL2 (XEP-0388).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::Secret;
use xml::{Element, Node};
use xmpp::{Jid, StreamError, ns};

use crate::bind::BindRequest;
use crate::machine::{Question, Stage, Stream};
use crate::mechanism::{self, Mechanism};
use crate::scram::{Binding, Challenge, ClientFirst, Ground, Refusal, Verifiers};
use crate::token::TokenUse;
use crate::upgrade::Upgrades;
use crate::{Channel, StreamEvent, Token, TokenWish, UserAgent, sm};

/// Failures after which the stream ends (RFC 6120 §6.4.5).
const TRIES_MAX: u8 = 3;
/// The longest text that a client says of itself, in characters.
const ABOUT_CHARS_MAX: usize = 256;

/// A login in progress.
#[derive(Debug)]
pub(crate) struct Attempt {
    is_sasl2: bool,
    mechanism: Mechanism,
    name: &'static str,
    pub(crate) step: AttemptStep,
    user_agent: Option<UserAgent>,
    resume: Option<(String, u32)>,
    bind: Option<BindRequest>,
    tokens: TokenUse,
    /// The last word of the mechanism, for the client to check us.
    pub(crate) final_word: Option<Vec<u8>>,
    pub(crate) upgrades: Upgrades,
}

#[derive(Debug)]
pub(crate) enum AttemptStep {
    /// The client has not said anything yet.
    First,
    /// The user is being looked up.
    Asked(ClientFirst, Vec<u8>),
    /// The client has our challenge.
    Proof(Box<Challenge>),
    /// The password or the token is being checked.
    Checking,
    /// The client is to begin a task.
    Task,
    /// The client is to say what the salted password is.
    Salted,
    Done,
}

/// Why a login fails, as SASL names it.
#[derive(Debug)]
pub(crate) enum Failure {
    Condition(&'static str),
    /// The client chose a way that cannot work; not a guess at a password.
    Way(&'static str),
}

impl Stream {
    /// An element of SASL or SASL2 came.
    pub(crate) fn take_sasl(&mut self, node: Node<'_>) {
        if self.stage != Stage::Login {
            return self.fail(StreamError::NotAuthorized);
        }
        let is_sasl2 = node.ns() == ns::SASL2;
        let same = self.attempt.as_ref().is_some_and(|attempt| attempt.is_sasl2 == is_sasl2);
        match node.name() {
            "auth" if !is_sasl2 => self.begin(node, false),
            "authenticate" if is_sasl2 => self.begin(node, true),
            "response" if same => {
                let data = decode(&node.text());
                self.go_on(data);
            }
            "next" if same && is_sasl2 => self.take_next(node),
            "task-data" if same && is_sasl2 => self.take_task_data(node),
            "abort" if same => self.fail_login(Failure::Way("aborted")),
            _ => self.fail(StreamError::NotAuthorized),
        }
    }

    fn begin(&mut self, node: Node<'_>, is_sasl2: bool) {
        // XEP-0388 §5.9. After `<continue/>` there is no other way.
        let step = self.attempt.as_ref().map(|attempt| &attempt.step);
        if matches!(step, Some(AttemptStep::Task | AttemptStep::Salted)) {
            return self.fail(StreamError::NotAuthorized);
        }
        let wanted = node.attr("mechanism");
        // XEP-0484 §3.4. Who shows a token says so.
        let is_token = is_sasl2 && node.has_child(ns::FAST, "fast");
        let tokens = is_token.then(|| mechanism::for_tokens(&self.settings, &self.channel));
        let found = mechanism::offered(&self.settings, &self.channel, self.forms)
            .chain(tokens.into_iter().flatten())
            .find(|(_, name)| wanted.as_deref() == Some(*name));
        let mut attempt = Attempt {
            is_sasl2,
            mechanism: found.map_or(Mechanism::Plain, |(mechanism, _)| mechanism),
            name: found.map_or("", |(_, name)| name),
            step: AttemptStep::First,
            user_agent: None,
            resume: None,
            bind: None,
            tokens: TokenUse::default(),
            final_word: None,
            upgrades: Upgrades::default(),
        };
        let mut tokens = Ok(TokenUse::default());
        if is_sasl2 {
            tokens = self.read_tokens(node);
            attempt.upgrades = Upgrades::read(node);
            attempt.user_agent = node.child(ns::SASL2, "user-agent").map(user_agent);
            attempt.resume = node
                .child(ns::SM, "resume")
                .and_then(|resume| Some((resume.attr("previd")?.into_owned(), sm::count(resume)?)));
            attempt.bind = node.child(ns::BIND2, "bind").map(BindRequest::read);
        }
        self.attempt = Some(attempt);
        match (tokens, &mut self.attempt) {
            _ if found.is_none() => return self.fail_login(Failure::Way("invalid-mechanism")),
            (Ok(tokens), Some(attempt)) => attempt.tokens = tokens,
            (Err(failure), _) => return self.fail_login(failure),
            (Ok(_), None) => {}
        }
        let initial = if is_sasl2 {
            node.child_text(ns::SASL2, "initial-response")
        } else {
            Some(node.text()).filter(|text| !text.is_empty())
        };
        match initial {
            Some(text) => self.go_on(decode(&text)),
            None => self.challenge(""),
        }
    }

    /// The client said something in the middle of a login.
    fn go_on(&mut self, data: Option<Vec<u8>>) {
        let Some(data) = data else {
            return self.fail_login(Failure::Condition("incorrect-encoding"));
        };
        let Some(attempt) = &mut self.attempt else { return };
        let step = std::mem::replace(&mut attempt.step, AttemptStep::Done);
        let mechanism = attempt.mechanism;
        let outcome = match (step, mechanism) {
            (AttemptStep::First, Mechanism::Scram { is_bound, .. }) => {
                self.scram_first(&data, is_bound)
            }
            (AttemptStep::First, Mechanism::Plain) => self.plain(&data),
            (AttemptStep::First, Mechanism::Token { binding }) => self.token(&data, binding),
            (AttemptStep::Proof(challenge), _) => self.scram_proof(*challenge, &data),
            _ => Err(Failure::Condition("malformed-request")),
        };
        if let Err(failure) = outcome {
            self.fail_login(failure);
        }
    }

    fn scram_first(&mut self, data: &[u8], is_plus: bool) -> Result<(), Failure> {
        let first = ClientFirst::read(data).map_err(refused)?;
        let Channel::Tls(facts) = &self.channel else {
            return Err(Failure::Way("encryption-required"));
        };
        let bound = match (&first.binding, is_plus) {
            (Binding::Type(name), true) => {
                facts.binding(name).ok_or(Failure::Way("malformed-request"))?.to_vec()
            }
            (Binding::None, false) => Vec::new(),
            // RFC 5802 §6. The client saw no offer of ours, so somebody took it away.
            (Binding::Thought, false) if facts.bindings().is_empty() => Vec::new(),
            (Binding::Thought, false) => {
                self.say(StreamEvent::BindingHidden);
                return Err(Failure::Way("malformed-request"));
            }
            _ => return Err(Failure::Way("malformed-request")),
        };
        let jid = self.account_of(&first.username, first.authzid.as_deref())?;
        // A name that is no local part is nobody's, and is answered as such.
        let username = jid.as_ref().and_then(Jid::local).unwrap_or("").to_owned();
        let is_nobody = jid.is_none();
        if let Some(attempt) = &mut self.attempt {
            attempt.step = AttemptStep::Asked(first, bound);
        }
        self.claimed = jid;
        if is_nobody {
            self.question = Some(Question::Account);
            self.answer_account(None);
        } else {
            self.ask(Question::Account, StreamEvent::Account { username });
        }
        Ok(())
    }

    /// Finds the account that a name stands for; `Ok(None)` when none can have it.
    pub(crate) fn account_of(
        &self,
        name: &str,
        authzid: Option<&str>,
    ) -> Result<Option<Jid>, Failure> {
        let domain = &self.settings.domain;
        let is_local = !name.contains(['@', '/']);
        let parsed = is_local.then(|| Jid::parse(&format!("{name}@{domain}")).ok()).flatten();
        if let Some(authzid) = authzid.filter(|authzid| !authzid.is_empty()) {
            // One may act for oneself only.
            let same = Jid::parse(authzid).ok().filter(|jid| Some(jid) == parsed.as_ref());
            same.ok_or(Failure::Condition("invalid-authzid"))?;
        }
        Ok(parsed)
    }

    /// Answers [`StreamEvent::Account`]: what the password is checked against, `None` for a user
    /// who does not exist or may not log in. On the wire both look alike.
    pub fn answer_account(&mut self, known: Option<&Verifiers>) {
        if !matches!(self.question, Some(Question::Account)) {
            return;
        }
        self.question = None;
        let nonce = self.wire.draw(18);
        let nonce = STANDARD.encode(nonce);
        let protected = mechanism::protected_list(&self.settings, &self.channel, self.forms);
        let Some(attempt) = &mut self.attempt else { return };
        let step = std::mem::replace(&mut attempt.step, AttemptStep::Done);
        let (AttemptStep::Asked(first, bound), Mechanism::Scram { hash, .. }) =
            (step, attempt.mechanism)
        else {
            return;
        };
        if let Some(known) = known {
            attempt.upgrades.note(|hash| known.of(hash).is_some());
        }
        // As written it would have a salt of its own, which the name of a user never has.
        let prepared = self.claimed.as_ref().and_then(Jid::local);
        let name = prepared.unwrap_or(&first.username).to_owned();
        let ground = Ground {
            hash,
            name: &name,
            bound,
            nonce: &nonce,
            protected: &protected,
            secret: &self.settings.salt_secret,
            iterations: self.settings.iterations,
        };
        let (challenge, message) = Challenge::new(first, known, ground);
        attempt.step = AttemptStep::Proof(Box::new(challenge));
        self.challenge(&message);
    }

    fn scram_proof(&mut self, challenge: Challenge, data: &[u8]) -> Result<(), Failure> {
        let proved = challenge.prove(data).map_err(refused)?;
        if let Some(attempt) = &mut self.attempt {
            attempt.final_word = Some(proved.server_final.into_bytes());
        }
        if !self.begin_upgrades(&proved.client_key) {
            self.authenticated(Some(proved.client_key));
        }
        Ok(())
    }

    fn plain(&mut self, data: &[u8]) -> Result<(), Failure> {
        let mut parts = data.splitn(3, |byte| *byte == 0);
        let (Some(authzid), Some(name), Some(password)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(Failure::Condition("malformed-request"));
        };
        let text =
            |bytes| std::str::from_utf8(bytes).map_err(|_| Failure::Condition("malformed-request"));
        let (authzid, name) = (text(authzid)?, text(name)?);
        if password.is_empty() || password.contains(&0) {
            return Err(Failure::Condition("malformed-request"));
        }
        let jid = self.account_of(name, Some(authzid))?;
        let jid = jid.ok_or(Failure::Condition("not-authorized"))?;
        let username = jid.local().unwrap_or("").to_owned();
        if let Some(attempt) = &mut self.attempt {
            attempt.step = AttemptStep::Checking;
        }
        self.claimed = Some(jid);
        let password = Secret::new(password.to_vec());
        self.ask(Question::Password, StreamEvent::Password { username, password });
        Ok(())
    }

    /// Answers [`StreamEvent::Password`] with what [`Verifiers::check`] found.
    pub fn answer_password(&mut self, found: Option<Secret>) {
        if !matches!(self.question, Some(Question::Password)) {
            return;
        }
        self.question = None;
        match found {
            Some(client_key) => self.authenticated(Some(client_key)),
            None => self.fail_login(Failure::Condition("not-authorized")),
        }
    }

    /// Notes that a token is about to be checked. Returns the mechanism, the client's id for itself,
    /// and what it says of tokens; `None` when it has no id, and so no tokens (XEP-0484 §4.1).
    pub(crate) fn begin_checking(&mut self) -> Option<(&'static str, String, TokenUse)> {
        let attempt = self.attempt.as_mut()?;
        let client = attempt.user_agent.as_ref()?.id.clone()?;
        attempt.step = AttemptStep::Checking;
        Some((attempt.name, client, attempt.tokens.clone()))
    }

    /// A token is right; `word` proves us to the client.
    pub(crate) fn proved(&mut self, word: Vec<u8>) {
        if let Some(attempt) = &mut self.attempt {
            attempt.final_word = Some(word);
        }
        self.authenticated(None);
    }

    pub(crate) fn authenticated(&mut self, client_key: Option<Secret>) {
        let (Some(jid), Some(attempt)) = (self.claimed.take(), &mut self.attempt) else { return };
        let event = StreamEvent::Authenticated {
            jid: jid.clone(),
            mechanism: attempt.name,
            channel_bound: attempt.mechanism.is_bound(),
            client_key,
            user_agent: attempt.user_agent.clone(),
        };
        self.account = Some(jid.clone());
        self.stage = Stage::Authenticated;
        self.wire.end_login_limits(self.settings.stanza_bytes);
        self.say(event);
        if !attempt_is_sasl2(self.attempt.as_ref()) {
            let word = self.attempt.take().and_then(|attempt| attempt.final_word);
            let text = word.map(|word| STANDARD.encode(word)).unwrap_or_default();
            self.write_element(&Element::new(ns::SASL, "success").with_text(&text));
            return self.wire.expect_restart();
        }
        let resume = self.attempt.as_mut().and_then(|attempt| attempt.resume.take());
        match resume {
            Some((token, h)) => {
                let question = Question::Resume { inline: true, h };
                let fresh = self.token_wish();
                self.ask(question, StreamEvent::Resume { account: jid, token, h, fresh });
            }
            None => self.bind_or_finish(),
        }
    }

    /// The session to resume is gone; a new one may be bound instead.
    pub(crate) fn resume_failed(&mut self, failed: Element) {
        self.resume_failure = Some(failed);
        self.bind_or_finish();
    }

    fn bind_or_finish(&mut self) {
        let bind = self.attempt.as_mut().and_then(|attempt| attempt.bind.take());
        match (bind, self.account.clone()) {
            (Some(request), _) => {
                let token = self.token_wish();
                self.bind_inline(request, token);
            }
            (None, Some(account)) => self.finish_login(&account, None, None, None),
            (None, None) => {}
        }
    }

    /// Tells whether the client may get a token: it asks for one, or one that it has may be due.
    fn token_wish(&self) -> Option<TokenWish> {
        let attempt = self.attempt.as_ref()?;
        let client = attempt.user_agent.as_ref()?.id.clone()?;
        let wanted = attempt.tokens.wanted;
        let had_one = matches!(attempt.mechanism, Mechanism::Token { .. });
        (wanted.is_some() || had_one).then_some(TokenWish { client, wanted })
    }

    /// Writes the success of SASL2, and the features of a new session, which follow it at once.
    pub(crate) fn finish_login(
        &mut self,
        jid: &Jid,
        resumed: Option<Element>,
        bound: Option<Element>,
        token: Option<Token>,
    ) {
        let mut success = Element::new(ns::SASL2, "success");
        if let Some(word) = self.attempt.take().and_then(|attempt| attempt.final_word) {
            let data = STANDARD.encode(word);
            success.push_child(Element::new(ns::SASL2, "additional-data").with_text(&data));
        }
        let who = Element::new(ns::SASL2, "authorization-identifier").with_text(jid.as_str());
        success.push_child(who);
        let is_resumed = resumed.is_some();
        let token = token.map(|token| token.to_element());
        for part in [self.resume_failure.take(), resumed, bound, token].into_iter().flatten() {
            success.push_child(part);
        }
        self.write_element(&success);
        // XEP-0198 §9.2. A session that goes on is offered nothing.
        if !is_resumed {
            self.offer_features();
        }
    }

    fn challenge(&mut self, message: &str) {
        let ns = if attempt_is_sasl2(self.attempt.as_ref()) { ns::SASL2 } else { ns::SASL };
        let text = STANDARD.encode(message);
        self.write_element(&Element::new(ns, "challenge").with_text(&text));
    }

    pub(crate) fn fail_login(&mut self, failure: Failure) {
        let attempt = self.attempt.take();
        self.claimed = None;
        let (condition, counts) = match failure {
            Failure::Condition(condition) => (condition, true),
            Failure::Way(condition) => (condition, false),
        };
        let ns = if attempt_is_sasl2(attempt.as_ref()) { ns::SASL2 } else { ns::SASL };
        let failure = Element::new(ns, "failure").with_child(Element::new(ns::SASL, condition));
        self.write_element(&failure);
        if counts {
            self.say(StreamEvent::LoginFailed);
        }
        // A way that cannot work is no guess, but is not free for ever either.
        self.failures = self.failures.saturating_add(if counts { 4 } else { 1 });
        if self.failures >= TRIES_MAX.saturating_mul(4) {
            self.fail(StreamError::PolicyViolation);
        }
    }
}

fn attempt_is_sasl2(attempt: Option<&Attempt>) -> bool {
    attempt.is_some_and(|attempt| attempt.is_sasl2)
}

fn refused(refusal: Refusal) -> Failure {
    Failure::Condition(match refusal {
        Refusal::Malformed => "malformed-request",
        Refusal::Wrong => "not-authorized",
    })
}

/// Reads base64 strictly; `=` stands for nothing (RFC 6120 §6.4.2).
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    if text == "=" { Some(Vec::new()) } else { STANDARD.decode(text).ok() }
}

fn user_agent(node: Node<'_>) -> UserAgent {
    let short = |text: std::borrow::Cow<'_, str>| text.chars().take(ABOUT_CHARS_MAX).collect();
    UserAgent {
        id: node.attr("id").map(short),
        software: node.child_text(ns::SASL2, "software").map(short),
        device: node.child_text(ns::SASL2, "device").map(short),
    }
}
