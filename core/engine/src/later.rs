//! Answers that modules give later, and changes of accounts that the host makes for them.

use std::collections::BTreeMap;

use calypte::notice::{AccountEnds, Notice as _};
use calypte::wire::{
    AccountDone, AccountFault, AccountWork, Head, Stranger, decode, encode, fault, op, status,
};
use xmpp::{Condition, ErrorKind, IqKind, Jid, Stanza, StanzaError, StreamError};

use crate::calls::{Called, Cause, behind};
use crate::event::Effect;
use crate::frame::{self, Done, Frame, Later};
use crate::peers::{COOKIE_BYTES_MAX, Waiting};
use crate::step::{Step, Told};
use crate::{commands, forms};

/// How long an answer may be owed, in milliseconds: longer than any work of the host.
const OWED_MS: u64 = 90_000;
/// The most answers that are owed at a time.
const OWED_MAX: usize = 1024;
/// The longest name or password that may be asked for, in bytes.
const WORK_BYTES_MAX: usize = 4096;

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) enum Asker {
    /// Who sent a request, of which only the addresses are kept, and whether it is promised.
    Request(Stanza, bool),
    /// Who runs a command: the same of its request, and its node and session.
    Command(Stanza, bool, (String, String)),
    /// Who runs a command on the command line: the token of the question.
    Question(u64),
    /// Who asks by HTTP: the token of the question.
    Web(u64),
    /// Who has not logged in: the token of the question.
    Stranger(u64),
}

/// Answers that are owed, by ticket.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    last: u64,
    /// An answer that was given before its call returned.
    early: Option<Early>,
    /// All are owed as long at most, so the first is the first to be over.
    by_ticket: BTreeMap<u64, Debt>,
}

#[derive(Debug)]
struct Early {
    ticket: u64,
    head: Option<Head>,
    answer: Result<Vec<u8>, StanzaError>,
}

#[derive(Debug)]
struct Debt {
    module: String,
    asker: Asker,
    deadline: u64,
}

impl Owed {
    /// Returns when the first is over.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.by_ticket.first_key_value().map(|(_, debt)| debt.deadline)
    }

    /// Returns the next ticket, when there is room for one more.
    pub(crate) fn draw(&mut self) -> Option<u64> {
        if self.by_ticket.len() >= OWED_MAX {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        Some(self.last)
    }
}

/// Reads how an answer by HTTP begins.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Head, u32> {
    decode(bytes).filter(Head::is_sound).ok_or(fault::MALFORMED)
}

/// Checks what a module asks for.
fn read_work(bytes: &[u8], cookie: &[u8]) -> Result<AccountWork, u32> {
    let is_small = bytes.len() <= WORK_BYTES_MAX && cookie.len() <= COOKIE_BYTES_MAX;
    decode(bytes).filter(|_| is_small).ok_or(fault::MALFORMED)
}

impl Frame<'_, '_> {
    /// Begins what takes time, and gives answers that waited for it.
    pub(crate) fn put_off(&mut self, number: u32, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> Done {
        match number {
            op::ACCOUNT => self.account(a, b),
            op::ANSWER => self.pay(a, None, Ok(b.to_vec())),
            op::DROP_FILE => {
                let name = a.try_into().map_err(|_| fault::MALFORMED)?;
                self.later.push(Later::DropFile(name));
                Ok(())
            }
            op::ANSWER_ERROR => {
                let (ticket, why) = a.split_at_checked(8).ok_or(fault::MALFORMED)?;
                self.pay(ticket, None, Err(frame::error(why, b)?))
            }
            op::ANSWER_PAGE => {
                let (ticket, head) = a.split_at_checked(8).ok_or(fault::MALFORMED)?;
                self.pay(ticket, Some(read_head(head)?), Ok(b.to_vec()))
            }
            op::LATER => {
                let ticket = self.step.state.owed.draw().ok_or(fault::BUDGET)?;
                self.said.ticket = Some(ticket);
                out.extend(ticket.to_le_bytes());
                Ok(())
            }
            _ => Err(fault::MISSING),
        }
    }

    fn account(&mut self, a: &[u8], cookie: &[u8]) -> Done {
        let work = read_work(a, cookie)?;
        let more = self.later.iter().filter(|later| matches!(later, Later::Account(..))).count();
        let under_way = self.step.state.works.len().saturating_add(more);
        self.step.may_have_done(&self.module, "account-done", under_way)?;
        self.later.push(Later::Account(work, cookie.to_vec()));
        Ok(())
    }

    fn pay(
        &mut self,
        ticket: &[u8],
        head: Option<Head>,
        answer: Result<Vec<u8>, StanzaError>,
    ) -> Done {
        let ticket = u64::from_le_bytes(ticket.try_into().map_err(|_| fault::MALFORMED)?);
        if !self.step.may_answer(ticket, &self.module) {
            return Err(fault::NOT_GRANTED);
        }
        self.later.push(Later::Answer(ticket, head, answer));
        Ok(())
    }
}

impl Step<'_> {
    /// Notes who is answered by a ticket.
    pub(crate) fn owe(&mut self, ticket: Option<u64>, module: usize, asker: Asker) {
        let Some(ticket) = ticket else { return };
        let module = self.pipeline.name(module).to_owned();
        let deadline = self.now_ms.saturating_add(OWED_MS);
        self.state.owed.by_ticket.insert(ticket, Debt { module, asker, deadline });
        let early = self.state.owed.early.take().filter(|early| early.ticket == ticket);
        if let Some(Early { head, answer, .. }) = early {
            self.pay(ticket, head, answer);
        }
    }

    /// Tells whether an answer that is owed is for `module` to give. One that was given may be given
    /// again, for nothing.
    fn may_answer(&self, ticket: u64, module: &str) -> bool {
        self.state.owed.by_ticket.get(&ticket).is_none_or(|debt| debt.module == module)
    }

    /// Gives an answer that was put off.
    pub(crate) fn pay(
        &mut self,
        ticket: u64,
        head: Option<Head>,
        answer: Result<Vec<u8>, StanzaError>,
    ) {
        let Some(debt) = self.state.owed.by_ticket.remove(&ticket) else {
            if ticket == self.state.owed.last {
                self.state.owed.early = Some(Early { ticket, head, answer });
            }
            return;
        };
        match debt.asker {
            Asker::Request(request, is_assured) => {
                let inner = answer
                    .and_then(|bytes| String::from_utf8(bytes).map_err(|_| StanzaError::INTERNAL));
                self.give_reply(&request, inner, is_assured);
            }
            Asker::Command(request, is_assured, (node, id)) => {
                let reply = answer.and_then(|bytes| commands::reply(true, &bytes));
                let element = self.came_to(&node, &id, reply);
                let inner = element.map(|element| element.to_xml(xmpp::ns::CLIENT));
                self.give_reply(&request, inner, is_assured);
            }
            Asker::Stranger(token) => self.tell_asker(token, answer, None),
            Asker::Web(token) => self.tell_asker(token, answer, head),
            Asker::Question(token) => {
                let answer = answer.and_then(|bytes| forms::on_a_line(&bytes));
                self.tell_asker(token, answer, None);
            }
        }
    }

    /// Gives up answers that are owed for too long.
    pub(crate) fn end_owed(&mut self) {
        while let Some((ticket, debt)) = self.state.owed.by_ticket.first_key_value() {
            if debt.deadline > self.now_ms {
                return;
            }
            let error = StanzaError::new(ErrorKind::Wait, Condition::RemoteServerTimeout);
            self.pay(*ticket, None, Err(error));
        }
    }

    /// Asks a module what somebody wants to know who has not logged in.
    pub(crate) fn ask_stranger(&mut self, token: u64, stranger: &Stranger, request: &Stanza) {
        let kind = match request.view().iq_kind() {
            Some(IqKind::Get) => "stranger-get",
            _ => "stranger-set",
        };
        let payload = request.view().payload();
        let hook = payload.and_then(|payload| {
            let mut hooks = self.pipeline.plain(kind).into_iter();
            hooks.find(|hook| payload.is(&hook.word, &hook.second))
        });
        let Some(hook) = hook else {
            return self.tell_asker(token, Err(StanzaError::SERVICE_UNAVAILABLE), None);
        };
        let domain = self.state.setup.domain.clone();
        let cause = Cause { owner: domain.as_str(), session: "", targets: &[], is_assured: true };
        let facts = encode(stranger);
        match self.call(hook.function, cause, Some(request.view()), "", &facts) {
            Called::Ran(status::REPLY, said) => {
                self.tell_asker(token, Ok(said.reply.unwrap_or_default()), None);
            }
            Called::Ran(status::LATER, said) if said.ticket.is_some() => {
                self.owe(said.ticket, hook.function.module, Asker::Stranger(token));
            }
            Called::Refused(error) => self.tell_asker(token, Err(error), None),
            Called::Off => self.tell_asker(token, Err(StanzaError::SERVICE_UNAVAILABLE), None),
            Called::Ran(..) | Called::Failed => {
                self.tell_asker(token, Err(StanzaError::INTERNAL), None);
            }
        }
    }

    /// Has the host change an account.
    pub(crate) fn work(&mut self, work: AccountWork, waiting: Waiting) {
        let token = self.state.works.add(waiting, self.now_ms);
        self.effects.push(Effect::Account { token, work });
    }

    /// The host changed an account, or could not.
    pub(crate) fn account_done(&mut self, token: u64, done: Option<AccountFault>) {
        if let Some(waiting) = self.state.works.take(token) {
            self.give_work(waiting, done);
        }
    }

    /// Gives up changes that take too long.
    pub(crate) fn end_works(&mut self) {
        while let Some(waiting) = self.state.works.overdue(self.now_ms) {
            self.give_work(waiting, Some(AccountFault::Failed));
        }
    }

    fn give_work(&mut self, waiting: Waiting, fault: Option<AccountFault>) {
        let Waiting { module, owner, cookie, .. } = waiting;
        let cause = Cause { owner: &owner, session: "", targets: &[], is_assured: true };
        let payload = encode(&AccountDone { cookie, fault });
        for hook in self.pipeline.plain("account-done") {
            if self.pipeline.name(hook.function.module) == module {
                self.call_plain(hook.function, cause, "", &payload);
            }
        }
    }

    /// An account is about to be removed: modules tell who has to know.
    pub(crate) fn account_ends(&mut self, account: &Jid) {
        self.notices.push_back(Told {
            owner: account.as_str().to_owned(),
            session: String::new(),
            name: AccountEnds::NAME.to_owned(),
            payload: encode(&AccountEnds),
        });
    }

    /// An account was changed, disabled or removed.
    pub(crate) fn account_changed(&mut self, account: &Jid, is_gone: bool) {
        if !is_gone {
            return;
        }
        for number in self.state.sessions.of(account.as_str()).to_vec() {
            self.end(number, Some(StreamError::NotAuthorized));
        }
        if !self.is_account(account.as_str()) {
            self.settle();
            self.forget_owner(account.as_str());
        }
    }

    /// Forgets what is kept in memory for an account that was removed.
    fn forget_owner(&mut self, owner: &str) {
        self.state.wakes.forget(owner);
        let mut from = Vec::new();
        // From table to table: the name of the next one stands in the first key behind the last.
        while let Some((key, _)) = self.state.volatile.range(from.clone()..).next() {
            let table = key.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            let prefix = table::full_key(&String::from_utf8_lossy(&table), owner, &[]);
            let rows = self.state.volatile.range(prefix.clone()..behind(&prefix));
            let keys: Vec<_> = rows.map(|(key, _)| key.clone()).collect();
            for key in keys {
                drop(self.set_volatile(key, None));
            }
            from = [&*table, &[1]].concat();
        }
        let is_its = |key: &[u8]| key.split(|byte| *byte == 0).nth(1) == Some(owner.as_bytes());
        let ready = self.state.ready.keys().filter(|key| is_its(key));
        for key in ready.cloned().collect::<Vec<_>>() {
            drop(self.set_ready(key, None));
        }
    }
}
