//! From a name to a session: accounts, passwords, resources.

use std::sync::{Arc, LazyLock};
use std::task::{Context as Poller, Poll};

use calypte::tables::{ACCOUNTS, Account, Verifier as Row};
use calypte::wire::{LoginFacts, Stranger, TokenProof, TokenWish};
use crypto::{Hash, Secret};
use engine::Event;
use stream::scram::{Verifier, Verifiers};
use stream::{Bound, Inline, StreamEvent, TokenProof as Shown, TokenRefusal, UserAgent};
use tokio::sync::Semaphore;
use xmpp::{Jid, Stanza, StanzaError, StreamError};

use super::{Checked, Client, Framing, Stage};
use crate::accounts::Accounts;
use crate::actors::inbox::Parcel;
use crate::actors::outbox::Word;
use crate::actors::worker::Worker;
use crate::log;
use crate::server::Answer;

/// Bytes of chance in a resource.
const RESOURCE_BYTES: usize = 8;

/// Password checks at a time. Each takes a processor for milliseconds.
static CHECKS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

impl Client {
    /// Answers what the stream has to know, or asks the shard.
    pub(super) fn take_question(&mut self, question: StreamEvent) {
        let session = self.outbox.id();
        match question {
            StreamEvent::StartTls => self.stage = Stage::Securing,
            StreamEvent::Early(request) => self.ask_early(request),
            StreamEvent::Account { username } => {
                let found = self.find(&username).filter(|(_, account)| !account.disabled);
                self.password = found.as_ref().map(|(_, account)| account.password);
                let verifiers = found.map(|(_, account)| verifiers(account));
                self.stream.answer_account(verifiers.as_ref());
            }
            StreamEvent::Password { username, password } => {
                self.begin_check(&username, password);
            }
            StreamEvent::Offer { username } => {
                let found = self.find(&username).filter(|(_, account)| !account.disabled);
                let verifiers = found.map(|(_, account)| verifiers(account));
                self.stream.answer_offer(verifiers.as_ref());
            }
            StreamEvent::Upgrade { username, hash, verifier } => {
                self.begin_upgrade(&username, hash, verifier);
            }
            StreamEvent::Token { username, proof } => self.begin_token(&username, proof),
            StreamEvent::LoginFailed => self.hall.shared.metrics.login_failures.one(),
            StreamEvent::BindingHidden => {
                if let Some(inbox) = self.hall.inbox(self.hall.shard_of(&self.hall.domain)) {
                    inbox.push(Parcel::Event(Box::new(Event::BindingHidden)));
                }
            }
            StreamEvent::Authenticated { .. } => self.authenticated(question),
            bind @ StreamEvent::Bind { .. } => self.bind(bind),
            StreamEvent::Enable { resume, .. } => {
                self.batch.events.push(Event::Enable { session, resume });
                self.stage = Stage::Asking;
            }
            StreamEvent::Resume { account, token, h, fresh } => {
                // It is needed again when there is nothing to resume.
                let login = self.login.clone().filter(|_| self.may_still(&account));
                let Some(login) = login else {
                    return self.end(Some(StreamError::NotAuthorized), true);
                };
                let fresh = fresh.map(|wish| Box::new(token_wish(wish, &login)));
                self.batch.events.push(Event::Resume { session, account, token, h, login, fresh });
                self.stage = Stage::Asking;
            }
            _ => {}
        }
    }

    /// Asks the modules what a client wants to know before it logs in.
    fn ask_early(&mut self, request: Stanza) {
        let outbox = Arc::clone(&self.outbox);
        let taker = move |answer: Answer| outbox.push(Word::Early(answer.body));
        let inbox = self.hall.inbox(self.hall.shard_of(&self.hall.domain));
        let token = self.hall.questions.add(Box::new(taker));
        let (Some(inbox), Some(token)) = (inbox, token) else {
            let busy = StanzaError::RESOURCE_CONSTRAINT;
            return self.stream.answer_early(&request, Err(&busy));
        };
        let address = self.place.address().to_string();
        let stranger = Stranger { connection: self.outbox.id(), address };
        self.early = Some((request.clone(), token));
        self.stage = Stage::Asking;
        inbox.push(Parcel::Event(Box::new(Event::Stranger { token, stranger, request })));
    }

    /// Reads the record of an account.
    fn find(&self, username: &str) -> Option<(Jid, Account)> {
        let jid = Jid::parse(&format!("{username}@{}", self.hall.domain)).ok()?;
        if !jid.is_bare() || jid.domain() != self.hall.domain.domain() {
            return None;
        }
        let key = ACCOUNTS.encode_key(jid.local()?);
        let key = table::full_key(ACCOUNTS.name, "", &key);
        let row = match self.hall.shared.store.reader().get(&key) {
            Ok(row) => row?,
            Err(_) => {
                tracing::error!("An account cannot be read; its logins are refused.");
                return None;
            }
        };
        let account = ACCOUNTS.decode(&row).ok()?;
        Some((jid, account))
    }

    /// Checks a password on a thread of its own. A name that does not exist takes as long.
    fn begin_check(&mut self, username: &str, password: Secret) {
        let found = self.find(username).filter(|(_, account)| !account.disabled);
        let is_account = found.is_some();
        self.password = found.as_ref().map(|(_, account)| account.password);
        let row = found.map_or_else(|| self.nobody(), |(_, account)| account);
        let verifiers = verifiers(row);
        self.check = Some(Box::pin(async move {
            let Ok(_turn) = CHECKS.acquire().await else { return Checked::Password(None) };
            let check = tokio::task::spawn_blocking(move || verifiers.check(&password));
            Checked::Password(check.await.ok().flatten().filter(|_| is_account))
        }));
    }

    /// Keeps a password in one more form, on a thread of its own since it waits for the disk.
    fn begin_upgrade(&mut self, username: &str, hash: Hash, verifier: Verifier) {
        let (hall, password) = (Arc::clone(&self.hall), self.password);
        let account = Jid::parse(&format!("{username}@{}", self.hall.domain)).ok();
        self.check = Some(Box::pin(async move {
            let keep = move || {
                let (account, password) = account.zip(password)?;
                let accounts = Accounts::new(&hall.domain, &hall.shared.store);
                // The password still works as it did.
                let kept = accounts.add_form(&account, password, hash, verifier);
                kept.inspect_err(|error| tracing::warn!(%error, "A password is not upgraded.")).ok()
            };
            // The login does not depend on it.
            drop(tokio::task::spawn_blocking(keep).await);
            Checked::Kept
        }));
    }

    /// Has the shard of an account check a token. Whether there is such an account is found out there,
    /// so that a wrong guess takes as long as one at nobody's.
    fn begin_token(&mut self, username: &str, proof: Shown) {
        let Ok(account) = Jid::parse(&format!("{username}@{}", self.hall.domain)) else {
            return self.stream.answer_token(Err(TokenRefusal::Wrong));
        };
        let Shown { client, mechanism, channel, proof, count, invalidate } = proof;
        let mechanism = mechanism.to_owned();
        let proof = TokenProof { client, mechanism, channel, proof, count, invalidate };
        let shard = self.hall.shard_of(&account);
        let (session, proof) = (self.outbox.id(), Box::new(proof));
        let events = vec![Event::Token { session, account, proof }];
        let link = Some(Arc::clone(&self.outbox));
        // What is bound later has to be of the same account with the same password.
        self.password = self.find(username).map(|(_, account)| account.password);
        self.stage = Stage::Asking;
        Worker::hand(&self.hall, shard, Parcel::Client { link, events, receipt: None });
    }

    /// Returns a record that no password fits.
    fn nobody(&self) -> Account {
        let iterations = self.hall.shared.config.load().login.iterations;
        let (salt, stored_key, server_key) = (vec![0; 16], Vec::new(), Vec::new());
        let row = Row { salt, iterations, stored_key, server_key };
        Account { sha256: Some(row), disabled: true, ..Account::default() }
    }

    /// Takes the outcome of a password check.
    pub(super) fn poll_check(&mut self, poller: &mut Poller<'_>) {
        // One that fails may uncover the next, which came behind it.
        while let Some(check) = &mut self.check {
            let Poll::Ready(found) = check.as_mut().poll(poller) else { return };
            self.check = None;
            match found {
                Checked::Password(client_key) => self.stream.answer_password(client_key),
                Checked::Kept => self.stream.answer_upgrade(),
            }
            self.take_events();
            self.submit();
        }
    }

    fn authenticated(&mut self, proof: StreamEvent) {
        let StreamEvent::Authenticated { jid, mechanism, channel_bound, client_key, user_agent } =
            proof
        else {
            return;
        };
        if let Framing::Requests(requests) = &self.framing {
            requests.logged_in();
        }
        let metrics = &self.hall.shared.metrics;
        metrics.logins.of(mechanism).one();
        let facts = self.facts.take().unwrap_or_default();
        let UserAgent { id, software, device } = user_agent.unwrap_or_default();
        self.login = Some(Box::new(LoginFacts {
            mechanism: mechanism.to_owned(),
            channel_bound,
            tls: facts.version,
            exporter: facts.exporter,
            client_key: client_key.map(|key| key.expose().to_vec()),
            user_agent: id,
            software,
            device,
        }));
        if !Worker::is_here(self.hall.shard_of(&jid)) {
            self.stage = Stage::Moving;
        }
        self.account = Some(jid);
    }

    /// Notes that the client has a session.
    pub(super) fn welcome(&mut self) {
        self.place.logged_in();
        self.pace.logged_in();
    }

    fn bind(&mut self, asked: StreamEvent) {
        let StreamEvent::Bind { resource: wish, tag, inline, enable, token } = asked else {
            return;
        };
        let (Some(account), Some(login)) = (self.account.clone(), self.login.take()) else {
            return self.end(Some(StreamError::NotAuthorized), true);
        };
        if !self.may_still(&account) {
            return self.end(Some(StreamError::NotAuthorized), true);
        }
        let wish = wish.or_else(|| tag.map(|tag| self.tagged(&account, &tag, &login)));
        let wished = wish.and_then(|wish| account.with_resource(&wish).ok());
        let jid = wished.or_else(|| account.with_resource(&chance()).ok());
        let Some(jid) = jid else {
            return self.end(Some(StreamError::InternalServerError), true);
        };
        let session = self.outbox.id();
        let (who, mechanism) = (log::who(&jid), &login.mechanism);
        let token = token.map(|wish| Box::new(token_wish(wish, &login)));
        tracing::debug!(conn = session, ?who, mechanism, "A client logged in.");
        self.batch.events.push(Event::Opened { session, jid: jid.clone(), login });
        self.welcome();
        let Some(inline) = inline else {
            return self.stream.answer_bind(Ok(jid), Bound::default());
        };
        // Modules do what else it asks for, and say what came of it.
        let wishes = inline.iter().map(|Inline(wish)| wish.raw().to_owned()).collect();
        self.batch.events.push(Event::Bind { session, wishes, enable, token });
        self.binding = Some(jid);
        self.stage = Stage::Asking;
    }

    /// Tells whether an account is still there and has the password that was proved. A client may
    /// take its time between the challenge and the proof.
    fn may_still(&self, account: &Jid) -> bool {
        let found = self.find(account.local().unwrap_or(""));
        found.is_some_and(|(_, record)| {
            !record.disabled && self.password.is_none_or(|password| password == record.password)
        })
    }

    /// Returns a resource that begins with the name of the program (XEP-0386 §5): the same one for
    /// an installation that says which it is.
    fn tagged(&self, account: &Jid, tag: &str, login: &LoginFacts) -> String {
        let part = login.user_agent.as_ref().map(|agent| self.hall.blur(account, agent));
        format!("{tag}/{}", part.unwrap_or_else(chance))
    }
}

/// Says which token a client may get, with how it logged in.
fn token_wish(wish: stream::TokenWish, login: &LoginFacts) -> TokenWish {
    let stream::TokenWish { client, wanted } = wish;
    let (mechanism, channel_bound) = (login.mechanism.clone(), login.channel_bound);
    TokenWish { client, wanted: wanted.map(str::to_owned), mechanism, channel_bound }
}

/// Returns a resource that nobody can guess.
fn chance() -> String {
    let mut bytes = [0; RESOURCE_BYTES];
    crypto::random(&mut bytes);
    crate::hex::write(&bytes)
}

/// Returns what the passwords of an account are checked against.
pub(crate) fn verifiers(account: Account) -> Verifiers {
    let [sha1, sha256, sha512] =
        [account.sha1, account.sha256, account.sha512].map(|row| row.map(verifier));
    Verifiers { sha1, sha256, sha512 }
}

fn verifier(row: Row) -> Verifier {
    Verifier {
        salt: row.salt,
        iterations: row.iterations,
        stored_key: row.stored_key,
        server_key: row.server_key,
    }
}
