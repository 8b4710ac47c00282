//! The host's side of a call: what a module asks for while it runs.

use std::sync::Arc;

use abi::Host;
use calypte::notice::GUARDED;
use calypte::wire::{self, AccountWork, Head, Look, WireError, fault, op};
use xmpp::{Jid, Stanza, StanzaError, StreamError};

use crate::event::Effect;
use crate::later::read_head;
use crate::peers::Waiting;
use crate::step::{Step, Told};

/// The most bytes of randomness in one call.
const RANDOM_MAX: u32 = 4096;
/// The longest value that may be kept with a session.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// A call in progress.
pub(crate) struct Frame<'s, 'a> {
    pub(crate) step: &'s mut Step<'a>,
    pub(crate) module: Arc<str>,
    pub(crate) owner: &'s str,
    pub(crate) session: &'s str,
    pub(crate) targets: &'s [u64],
    pub(crate) is_assured: bool,
    pub(crate) said: Said,
    /// What the call does when it succeeds, in order.
    pub(crate) later: Vec<Later>,
    pub(crate) undo: Vec<Undo>,
}

/// Something that a call does when it succeeds.
pub(crate) enum Later {
    Send(Stanza),
    /// To many, which is not kept on disk for them.
    Show(Stanza),
    /// To whom, what, and whether its sender was promised that it is kept.
    Deliver(u64, Stanza, bool),
    HandOver(u64, Stanza, u64),
    Hold(u64, bool),
    Active(u64, bool),
    Value(u64, String, Vec<u8>),
    /// When, if ever, and the name.
    Wake(Option<u64>, String),
    Notice(Told),
    Request(Stanza, Vec<u8>),
    Close(u64, StreamError),
    Look(Look, Vec<u8>),
    Account(AccountWork, Vec<u8>),
    DropFile([u8; 16]),
    Answer(u64, Option<Head>, Result<Vec<u8>, StanzaError>),
}

/// What the module said about the call itself.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) replacement: Option<Stanza>,
    pub(crate) reply: Option<Vec<u8>>,
    pub(crate) error: Option<StanzaError>,
    /// How the answer to an HTTP request begins.
    pub(crate) head: Option<Box<Head>>,
    /// What the answer is given by, later.
    pub(crate) ticket: Option<u64>,
}

/// How a write of a failed call is taken back.
pub(crate) enum Undo {
    Durable(Vec<u8>, Option<Option<Vec<u8>>>),
    Volatile(Vec<u8>, Option<Vec<u8>>),
    Ready(Vec<u8>, Option<Stanza>),
}

impl Host for Frame<'_, '_> {
    fn op(&mut self, number: u32, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> u32 {
        out.clear();
        let Some(left) = self.step.operations_left.checked_sub(1) else { return fault::BUDGET };
        self.step.operations_left = left;
        if self.step.is_discovering && !only_reads(number) {
            return fault::NOT_GRANTED;
        }
        self.run(number, a, b, out).err().unwrap_or(0)
    }

    fn log(&mut self, level: u32, text: &str) {
        let module = Arc::clone(&self.module);
        self.step.log(level, &module, text.chars().take(500).collect::<String>());
    }
}

pub(crate) type Done = Result<(), u32>;

/// Tells whether an operation leaves everything as it is, but for a counter.
fn only_reads(number: u32) -> bool {
    const ABOUT: [u32; 8] = [
        op::FEATURES,
        op::IDENTITIES,
        op::SERVED,
        op::COMMANDS,
        op::SOFTWARE,
        op::WEB_URL,
        op::IS_ACCOUNT,
        op::TARGETS,
    ];
    let reads = [op::GET, op::SCAN, op::SESSION, op::SESSIONS, op::COUNT, op::REPLY, op::ERROR];
    reads.contains(&number) || ABOUT.contains(&number)
}

impl Frame<'_, '_> {
    fn run(&mut self, number: u32, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> Done {
        match number {
            op::GET => self.get(a, out),
            op::PUT => self.put(a, Some(b)),
            op::DELETE => self.put(a, None),
            op::SCAN => self.scan(a, b, out),
            op::SEND => self.send(a),
            op::SEND_EACH => self.send_each(a, b, Later::Send),
            op::DELIVER => self.deliver(a, b, self.is_assured),
            op::SHOW => self.deliver(a, b, false),
            op::HAND_OVER => self.hand_over(a, b),
            op::HOLD => self.hold(a, b),
            op::INACTIVE => self.set_inactive(b),
            op::SINCE => {
                out.extend(self.step.since_ms.map(u64::to_le_bytes).into_iter().flatten());
                Ok(())
            }
            op::REPLACE => {
                self.said.replacement = Some(stanza(a)?);
                Ok(())
            }
            op::REPLY => {
                self.said.reply = Some(a.to_vec());
                Ok(())
            }
            op::ERROR => {
                self.said.error = Some(error(a, b)?);
                Ok(())
            }
            op::CONTENT_TYPE => {
                let text = std::str::from_utf8(a).map_err(|_| fault::MALFORMED)?;
                let head = Head::of_type(text);
                if text.is_empty() || !head.is_sound() {
                    return Err(fault::MALFORMED);
                }
                self.said.head = Some(Box::new(head));
                Ok(())
            }
            op::PAGE => {
                self.said.head = Some(Box::new(read_head(a)?));
                self.said.reply = Some(b.to_vec());
                Ok(())
            }
            op::SECRET => self.secret(out),
            op::SESSIONS => {
                let rows = self.step.state.sessions.rows(self.owner);
                *out = wire::encode(&rows.map(|(_, session)| session.row()).collect::<Vec<_>>());
                Ok(())
            }
            op::SESSION => self.session(a, out),
            op::SET_VALUE => self.set_value(a, b),
            op::WAKE => self.wake(a, b),
            op::NOTICE => self.notice(a, b),
            op::RANDOM => {
                let wanted = u32::from_le_bytes(a.try_into().map_err(|_| fault::MALFORMED)?);
                let wanted = usize::try_from(wanted.min(RANDOM_MAX)).map_err(|_| fault::BUDGET)?;
                *out = self.step.random(wanted);
                Ok(())
            }
            op::REQUEST => self.request(a, b),
            op::COUNT => self.count(a, b),
            op::CLOSE => self.close(a, b),
            op::LOOK => self.look(a, b),
            op::DISCOVER => {
                let asked = wire::decode(a).ok_or(fault::MALFORMED)?;
                *out = wire::encode(&self.step.discover(self.owner, &asked));
                Ok(())
            }
            _ => self.run_for_many(number, a, b, out),
        }
    }

    /// Answers about the server itself.
    pub(crate) fn describe(&mut self, number: u32, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> Done {
        let text = match number {
            op::TARGETS => self.step.resources(self.targets).join("\0"),
            op::FEATURES => self.step.features(a == b"domain").join("\n"),
            op::SERVED => self.step.served().join("\n"),
            op::IS_ACCOUNT => {
                out.push(u8::from(self.step.is_account(self.owner)));
                return Ok(());
            }
            op::COMMANDS => self.step.command_lines().join("\n"),
            op::IDENTITIES => self.step.identities(a == b"domain").join("\n"),
            op::WEB_URL => self.step.page_url(a).unwrap_or_default(),
            op::SOFTWARE => {
                let setup = &self.step.state.setup;
                let (name, version) = &setup.software;
                format!("{name}\n{version}\n{}", setup.started_ms)
            }
            _ => return self.put_off(number, a, b, out),
        };
        *out = text.into_bytes();
        Ok(())
    }

    fn send(&mut self, a: &[u8]) -> Done {
        let mut stanza = stanza(a)?;
        self.stamp(&mut stanza)?;
        self.later.push(Later::Send(stanza));
        Ok(())
    }

    /// Sees to it that a stanza comes from the owner or the domain.
    pub(crate) fn stamp(&self, stanza: &mut Stanza) -> Done {
        let domain = &self.step.state.setup.domain;
        match &stanza.from {
            None => {
                stanza.from = Some(Jid::parse(self.owner).map_err(|_| fault::MALFORMED)?);
                Ok(())
            }
            Some(from) if from.as_ref().bare_str() == self.owner => Ok(()),
            Some(from) if from == domain => Ok(()),
            Some(_) => Err(fault::NOT_GRANTED),
        }
    }

    fn deliver(&mut self, resource: &[u8], b: &[u8], is_assured: bool) -> Done {
        let resource = std::str::from_utf8(resource).map_err(|_| fault::MALFORMED)?;
        let mut stanza = stanza(b)?;
        if let Some(number) = self.step.state.sessions.find(self.owner, resource) {
            if stanza.to.is_none() {
                stanza.to = self.step.state.sessions.get(number).map(|to| to.jid.clone());
            }
            self.later.push(Later::Deliver(number, stanza, is_assured));
        }
        Ok(())
    }

    fn hand_over(&mut self, to: &[u8], b: &[u8]) -> Done {
        let (since, resource) = to.split_first_chunk().ok_or(fault::MALFORMED)?;
        let resource = std::str::from_utf8(resource).map_err(|_| fault::MALFORMED)?;
        let stanza = stanza(b)?;
        if let Some(number) = self.step.state.sessions.find(self.owner, resource) {
            self.later.push(Later::HandOver(number, stanza, u64::from_le_bytes(*since)));
        }
        Ok(())
    }

    fn hold(&mut self, resource: &[u8], held: &[u8]) -> Done {
        let resource = std::str::from_utf8(resource).map_err(|_| fault::MALFORMED)?;
        if let Some(number) = self.step.state.sessions.find(self.owner, resource) {
            self.later.push(Later::Hold(number, held == [1]));
        }
        Ok(())
    }

    fn set_inactive(&mut self, inactive: &[u8]) -> Done {
        let resource = xmpp::JidRef::trusted(self.session).resource().unwrap_or("");
        let number = self.step.state.sessions.find(self.owner, resource).ok_or(fault::MISSING)?;
        self.later.push(Later::Active(number, inactive != [1]));
        Ok(())
    }

    fn set_value(&mut self, a: &[u8], value: &[u8]) -> Done {
        let text = std::str::from_utf8(a).map_err(|_| fault::MALFORMED)?;
        let (resource, name) = text.split_once('\0').ok_or(fault::MALFORMED)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(fault::BUDGET);
        }
        let number = self.step.state.sessions.find(self.owner, resource).ok_or(fault::MISSING)?;
        self.later.push(Later::Value(number, name.to_owned(), value.to_vec()));
        Ok(())
    }

    fn wake(&mut self, at: &[u8], name: &[u8]) -> Done {
        let name = std::str::from_utf8(name).map_err(|_| fault::MALFORMED)?;
        let at = match at {
            [] => None,
            at => Some(u64::from_le_bytes(at.try_into().map_err(|_| fault::MALFORMED)?)),
        };
        self.later.push(Later::Wake(at, name.to_owned()));
        Ok(())
    }

    fn notice(&mut self, name: &[u8], payload: &[u8]) -> Done {
        let name = String::from_utf8(name.to_vec()).map_err(|_| fault::MALFORMED)?;
        let is_own = name.split_once('.').is_some_and(|(module, _)| *module == *self.module);
        if GUARDED.contains(&&*name) && !is_own {
            return Err(fault::NOT_GRANTED);
        }
        let (owner, session) = (self.owner.to_owned(), self.session.to_owned());
        let told = Told { owner, session, name, payload: payload.to_vec() };
        self.later.push(Later::Notice(told));
        Ok(())
    }

    fn request(&mut self, a: &[u8], cookie: &[u8]) -> Done {
        let mut stanza = stanza(a)?;
        self.stamp(&mut stanza)?;
        // The answer comes back to the shard of who asks.
        let setup = &self.step.state.setup;
        let is_here = crate::shard_of(self.owner, setup.shards) == setup.shard;
        let is_own =
            stanza.from.as_ref().is_some_and(|from| from.as_ref().bare_str() == self.owner);
        if !is_here || !is_own {
            return Err(fault::NOT_GRANTED);
        }
        self.later.push(Later::Request(stanza, cookie.to_vec()));
        Ok(())
    }

    fn count(&mut self, name: &[u8], by: &[u8]) -> Done {
        let name = String::from_utf8(name.to_vec()).map_err(|_| fault::MALFORMED)?;
        let by = u64::from_le_bytes(by.try_into().map_err(|_| fault::MALFORMED)?);
        let module = self.module.as_ref().to_owned();
        self.step.effects.push(Effect::Count { module, name, by });
        Ok(())
    }

    fn session(&self, resource: &[u8], out: &mut Vec<u8>) -> Done {
        let resource = std::str::from_utf8(resource).map_err(|_| fault::MALFORMED)?;
        let sessions = &self.step.state.sessions;
        let number = sessions.find(self.owner, resource).ok_or(fault::MISSING)?;
        let session = sessions.get(number).ok_or(fault::MISSING)?;
        *out = wire::encode(&session.row());
        Ok(())
    }

    /// Gives the module's own secret.
    fn secret(&self, out: &mut Vec<u8>) -> Done {
        let secret = self.step.state.setup.secret.expose();
        let material = [secret, self.module.as_bytes()].concat();
        out.extend(crypto::derive_key("calypte v0 secret of a module", &material));
        Ok(())
    }

    fn close(&mut self, resource: &[u8], why: &[u8]) -> Done {
        let resource = std::str::from_utf8(resource).map_err(|_| fault::MALFORMED)?;
        let why = std::str::from_utf8(why).ok().and_then(StreamError::of);
        let why = why.ok_or(fault::MALFORMED)?;
        if let Some(number) = self.step.state.sessions.find(self.owner, resource) {
            self.later.push(Later::Close(number, why));
        }
        Ok(())
    }

    fn look(&mut self, a: &[u8], cookie: &[u8]) -> Done {
        let look = crate::peers::read_look(a, cookie)?;
        let more = self.later.iter().filter(|later| matches!(later, Later::Look(..))).count();
        let under_way = self.step.state.looks.len().saturating_add(more);
        self.step.may_have_done(&self.module, "looked", under_way)?;
        self.later.push(Later::Look(look, cookie.to_vec()));
        Ok(())
    }

    /// Takes back what a failed call wrote.
    pub(crate) fn take_back(&mut self) {
        self.later.clear();
        for undo in self.undo.drain(..).rev() {
            if let Undo::Durable(key, _) = &undo {
                self.step.state.blanks.filled(key);
            }
            match undo {
                Undo::Durable(key, Some(before)) => drop(self.step.writes.insert(key, before)),
                Undo::Durable(key, None) => drop(self.step.writes.remove(&key)),
                Undo::Volatile(key, before) => drop(self.step.set_volatile(key, before)),
                Undo::Ready(key, before) => drop(self.step.set_ready(key, before)),
            }
        }
    }

    /// Does what a successful call asked for.
    pub(crate) fn carry_out(self) -> Said {
        let Self { step, module, owner, is_assured, said, later, .. } = self;
        let since_ms = step.now_ms;
        for later in later {
            match later {
                // What the domain and its accounts tell each other is half of something, whose other
                // half is done.
                Later::Send(stanza) => {
                    let is_assured = is_assured || step.is_between_us(&stanza);
                    step.route(stanza, is_assured);
                }
                Later::Show(stanza) => step.route(stanza, false),
                Later::Deliver(number, stanza, is_assured) => {
                    step.hand(number, stanza, is_assured, since_ms);
                }
                // It was kept, so its sender may have been promised that.
                Later::HandOver(number, stanza, since_ms) => {
                    step.hand(number, stanza, true, since_ms);
                }
                Later::Active(number, is_active) => step.set_active(number, is_active),
                Later::Hold(number, is_held) => step.hold(number, is_held),
                Later::Value(number, name, value) => step.set_value(number, name, value),
                Later::Wake(Some(at), name) => step.wake_at(at, owner, &module, &name),
                Later::Wake(None, name) => step.no_wake(owner, &module, &name),
                Later::Notice(told) => step.notices.push_back(told),
                Later::Request(stanza, cookie) => step.ask_out(stanza, &module, owner, &cookie),
                Later::Close(number, why) => step.close(number, why),
                Later::Look(look, cookie) => step.look(look, waiting(&module, owner, cookie)),
                Later::Account(work, cookie) => step.work(work, waiting(&module, owner, cookie)),
                Later::Answer(ticket, head, answer) => step.pay(ticket, head, answer),
                Later::DropFile(name) => step.effects.push(Effect::DropFile { name }),
            }
        }
        said
    }
}

fn waiting(module: &str, owner: &str, cookie: Vec<u8>) -> Waiting {
    let (module, owner) = (module.to_owned(), owner.to_owned());
    Waiting { module, owner, cookie, deadline: 0 }
}

pub(crate) fn stanza(bytes: &[u8]) -> Result<Stanza, u32> {
    let text = std::str::from_utf8(bytes).map_err(|_| fault::MALFORMED)?;
    Stanza::parse(text).map_err(|_| fault::MALFORMED)
}

pub(crate) fn error(bytes: &[u8], detail: &[u8]) -> Result<StanzaError, u32> {
    let error: WireError = wire::decode(bytes).ok_or(fault::MALFORMED)?;
    let error = error.read().ok_or(fault::MALFORMED)?;
    let detail = std::str::from_utf8(detail).map_err(|_| fault::MALFORMED)?;
    let detail = match detail {
        "" => None,
        xml => {
            let element = xml::Flat::parse(xml, "").map_err(|_| fault::MALFORMED)?;
            Some(element.raw().into())
        }
    };
    Ok(StanzaError { detail, ..error })
}
