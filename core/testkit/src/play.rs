//! Plays a scene line by line.

use calypte::wire::Question;
use xml::Flat;
use xmpp::Stanza;

use crate::fits::{Names, fill, fill_xml, fits};
use crate::modules::{Catalog, Form};
use crate::peers;
use crate::streams;
use crate::world::World;
use crate::{Line, Scene, ScriptError};

/// Plays `scene` from its first line to its last.
///
/// # Errors
///
/// [`ScriptError`] at the first line where something else happened than is written.
pub(crate) fn play(
    scene: &Scene,
    catalog: &Catalog,
    form: Form,
    shards: u16,
) -> Result<(), ScriptError> {
    let world = World::new(catalog, form, shards);
    let mut play = Play { world, names: Names::new(), shown: "not there" };
    for (line, step) in &scene.lines {
        play.line(step).map_err(|problem| play.explained(*line, problem))?;
    }
    let line = scene.lines.last().map_or(0, |(line, _)| *line);
    // What a scene does not tell must not happen.
    let quiet = play.silence(None).and_then(|()| play.no_looks());
    quiet.map_err(|problem| play.explained(line, problem))
}

mod accounts;
mod rooms;

struct Play<'a> {
    world: World<'a>,
    names: Names,
    /// What the last token that was shown is worth.
    shown: &'static str,
}

impl Play<'_> {
    /// Adds what the servers logged: peers are never told what went wrong inside.
    fn explained(&self, line: usize, mut problem: String) -> ScriptError {
        for said in self.world.logged() {
            problem.push_str("\nlogged by ");
            problem.push_str(said);
        }
        ScriptError { line, problem }
    }

    fn line(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Server(domain, modules, settings) => {
                self.world.add_server(domain, modules, settings)
            }
            Line::Account(jid) => self.world.add_account(jid),
            Line::Admin(jid) => self.world.add_admin(jid),
            Line::Client(name, jid, login) => self.world.open(name, jid, login),
            Line::Sends(name, xml, times) => self.each_time(*times, |play| play.send(name, xml)),
            Line::Receives(name, expected, times) => {
                self.each_time(*times, |play| play.receive(name, expected))
            }
            Line::AnyOrder(all) => self.receive_all(all),
            Line::ReceivesNothing(name) => {
                self.world.client(name)?;
                self.silence(Some(name))
            }
            Line::Silence => self.silence(None),
            Line::NeverShows(text) => {
                let text = fill_xml(text, &self.names);
                match self.world.wire.iter().find(|sent| sent.contains(&text)) {
                    Some(sent) => Err(format!("the wire shows {text}:\n    {sent}")),
                    None => Ok(()),
                }
            }
            Line::Offers(domain, features) => self.offers(domain, features),
            Line::Restarts(domain, modules) => self.world.restart(domain, modules.as_deref()),
            Line::Disconnects(name) => self.world.leave(name, true),
            Line::Closes(name) => self.world.leave(name, false),
            Line::IsClosed(name, why) => match self.world.client(name)?.closed {
                Some(closed) if closed == why => Ok(()),
                Some(closed) => Err(format!("{name} was closed with {closed}")),
                None => Err(format!("{name} is open")),
            },
            Line::Enables(name, resume) => self.world.enable(name, *resume),
            Line::Resumes(name, works) => match (self.world.resume(name)?, works) {
                (true, true) | (false, false) => Ok(()),
                (true, false) => Err(format!("{name} resumed")),
                (false, true) => Err(format!("{name} was refused")),
            },
            Line::Becomes(name, active) => self.world.set_active(name, *active),
            Line::Acks(name) => self.world.ack(name),
            Line::Binds(name, wishes) => {
                let wishes = wishes.iter().map(|wish| wish.raw().to_owned()).collect();
                self.world.bind(name, wishes)
            }
            Line::IsBound(name, answers) => self.is_bound(name, answers),
            Line::IsGiven(name, token, wanted) => {
                self.is_given(name, token.as_ref(), wanted.as_ref())
            }
            Line::Shows(account, token, table) => self.show(account, token, table),
            Line::TokenIs(expected) if self.shown == expected => Ok(()),
            Line::TokenIs(_) => Err(format!("the token is {}", self.shown)),
            Line::Password(account) => self.world.change_password(account),
            Line::After(ms) => self.world.pass(*ms),
            Line::Way(to, way) => self.world.set_way(to, *way),
            _ => self.operate(line),
        }
    }

    /// What the operator of a server does and sees.
    fn operate(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Limits(domain, limits) => self.world.limit(domain, limits),
            Line::Gets(domain, [method, path], body) => {
                let path = fill(path, &self.names, str::to_owned);
                let (path, query) = path.split_once('?').unwrap_or((&path, ""));
                let (method, query) = (method.clone(), query.to_owned());
                let question =
                    Question { method, query, ..web(&fill(body, &self.names, str::to_owned)) };
                self.world.ask(domain, None, ("http", path), question)
            }
            Line::Does(domain, node, owner, fields) => {
                let body = fill(fields, &self.names, str::to_owned).into_bytes();
                let question = Question { body, ..Question::default() };
                self.world.ask(domain, owner.as_ref(), ("command", node), question)
            }
            Line::Answers(domain, expected) => match self.world.take_answer(domain)? {
                Ok(text) if text == fill_xml(expected, &self.names) => Ok(()),
                Ok(text) => Err(format!("{domain} answered\n    {text}")),
                Err(error) => Err(format!("{domain} refused with {error}")),
            },
            Line::AnswersWith(domain, words) => {
                let text = match &self.world.told(domain)?.answer {
                    Some(Ok(text)) => text.clone(),
                    Some(Err(error)) => return Err(format!("{domain} refused with {error}")),
                    None => return Err(format!("{domain} was asked nothing")),
                };
                let is_there = holds(&text, words, &mut self.names);
                if is_there { Ok(()) } else { Err(format!("{domain} answered\n    {text}")) }
            }
            Line::Refuses(domain, why) => match self.world.take_answer(domain)? {
                Err(error) if error.condition.name() == why => Ok(()),
                Err(error) => Err(format!("{domain} refused with {error}")),
                Ok(text) => Err(format!("{domain} answered\n    {text}")),
            },
            Line::Counted(domain, number, counter) => {
                let counted = self.world.told(domain)?.counters.get(counter).copied().unwrap_or(0);
                let is_right = counted == *number;
                if is_right { Ok(()) } else { Err(format!("{domain} counted {counted}")) }
            }
            Line::Logged(domain, words) => {
                let log = &self.world.told(domain)?.log;
                let is_there = log.iter().any(|line| line.contains(words.as_str()));
                if is_there {
                    Ok(())
                } else {
                    Err(format!("the log is\n    {}", log.join("\n    ")))
                }
            }
            Line::Keeps(domain, count, to) => match self.world.kept(domain, to)? {
                kept if kept == *count => Ok(()),
                kept => Err(format!("{domain} keeps {kept} stanzas for {to}")),
            },
            Line::SwitchedOff(domain, module) => {
                let server = self.world.servers.get(domain).ok_or("no such server")?;
                let is_off = server.is_off(module);
                if is_off { Ok(()) } else { Err(format!("{module} runs")) }
            }
            Line::SentFile(domain, url, facts) => {
                self.world.send_file(domain, &fill(url, &self.names, str::to_owned), facts)
            }
            Line::AskedFile(domain, url) => {
                self.world.fetch_file(domain, &fill(url, &self.names, str::to_owned))
            }
            Line::HasFiles(domain, count) => match self.world.told(domain)?.folder.files.len() {
                has if has == *count => Ok(()),
                has => Err(format!("{domain} has {has} files")),
            },
            _ => self.meet(line),
        }
    }

    /// Streams with other domains, and what is looked up.
    fn meet(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Asked(domain, table) => {
                let facts = peers::facts(domain, table, &self.names)?;
                self.world.judge(domain, facts)
            }
            Line::Connects(from, to, table) => {
                let pair = (from.as_str(), to.as_str());
                let ended = streams::connect(&mut self.world, &mut self.names, pair, table)?;
                self.world.stream = Some(ended);
                Ok(())
            }
            Line::Hides(domain) => {
                let owner = domain.parse().map_err(|_| format!("{domain} is no domain"))?;
                self.world.tell(&owner, engine::Event::BindingHidden)
            }
            Line::StreamIs(expected) => match &self.world.stream {
                Some(ended) if ended == expected => Ok(()),
                Some(ended) => Err(format!("the stream is {ended}")),
                None => Err("there was no stream".to_owned()),
            },
            Line::Decides(domain, expected) => {
                let verdict = self.world.take_verdict(domain)?;
                peers::check(&verdict, expected, &mut self.names)
            }
            Line::LooksUp(domain, target, is_found, text) => {
                let text = fill(text, &self.names, str::to_owned);
                let found = if *is_found { Ok(text.as_str()) } else { Err(text.as_str()) };
                self.world.found(domain, target, found)
            }
            _ => self.keep_accounts(line),
        }
    }

    fn each_time(
        &mut self,
        times: u32,
        f: impl Fn(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        if times == 1 {
            return f(self);
        }
        for n in 1..=times {
            self.names.insert("n".to_owned(), n.to_string());
            f(self).map_err(|problem| format!("time {n}: {problem}"))?;
        }
        Ok(())
    }

    fn send(&mut self, name: &str, xml: &str) -> Result<(), String> {
        let xml = fill_xml(xml, &self.names);
        let stanza = Stanza::parse(&xml).map_err(|error| format!("{error}:\n    {xml}"))?;
        self.world.send(name, stanza)
    }

    fn receive(&mut self, name: &str, expected: &Flat) -> Result<(), String> {
        let client = self.world.client(name)?;
        let wanted = expected.raw();
        let Some(received) = client.inbox.pop_front() else {
            return Err(format!("{name} received nothing instead of\n    {wanted}"));
        };
        client.received = client.received.wrapping_add(1);
        let xml = received.to_xml();
        let got = read(&xml)?;
        if fits(expected.root(), got.root(), Some(&client.jid), &mut self.names) {
            Ok(())
        } else {
            Err(format!("{name} received\n    {xml}\ninstead of\n    {wanted}"))
        }
    }

    fn receive_all(&mut self, all: &[(String, Flat)]) -> Result<(), String> {
        for (name, expected) in all {
            let client = self.world.client(name)?;
            let mut found = None;
            for (index, stanza) in client.inbox.iter().enumerate() {
                let got = read(&stanza.to_xml())?;
                if fits(expected.root(), got.root(), Some(&client.jid), &mut self.names) {
                    found = Some(index);
                    break;
                }
            }
            let Some(index) = found else {
                let inbox: Vec<_> = client.inbox.iter().map(Stanza::to_xml).collect();
                let (inbox, wanted) = (inbox.join("\n    "), expected.raw());
                return Err(format!("{name} received\n    {inbox}\nwithout\n    {wanted}"));
            };
            client.inbox.remove(index);
            client.received = client.received.wrapping_add(1);
        }
        Ok(())
    }

    /// Checks that nothing waits to be received, by one client or by any.
    fn silence(&self, only: Option<&String>) -> Result<(), String> {
        let clients = self.world.clients.iter();
        let mut clients = clients.filter(|(name, _)| only.is_none_or(|only| only == *name));
        match clients.find(|(_, client)| !client.inbox.is_empty()) {
            Some((name, client)) => {
                let inbox: Vec<_> = client.inbox.iter().map(Stanza::to_xml).collect();
                Err(format!("{name} also received\n    {}", inbox.join("\n    ")))
            }
            None => Ok(()),
        }
    }

    /// Checks that nothing waits to be looked up.
    fn no_looks(&self) -> Result<(), String> {
        for server in self.world.servers.values() {
            if let Some(wanted) = server.told.looks.first() {
                let target = peers::target_of(&wanted.look);
                return Err(format!("{} looks up {target}", server.domain));
            }
        }
        Ok(())
    }

    fn is_bound(&mut self, name: &str, expected: &[Flat]) -> Result<(), String> {
        let told = self.world.client(name)?.bound.take();
        let told = told.ok_or_else(|| format!("{name} was not bound with its login"))?;
        let fits = |(xml, expected): (&String, &Flat)| {
            let got = Flat::parse(xml, xmpp::ns::STREAMS);
            got.is_ok_and(|got| fits(expected.root(), got.root(), None, &mut self.names))
        };
        if told.len() == expected.len() && told.iter().zip(expected).all(fits) {
            Ok(())
        } else {
            Err(format!("{name} was told\n    {}", told.join("\n    ")))
        }
    }

    fn show(
        &mut self,
        account: &xmpp::Jid,
        token: &str,
        table: &toml::Table,
    ) -> Result<(), String> {
        let token = fill(token, &self.names, str::to_owned);
        self.shown = self.world.show_token(account, &token, table, &self.names)?;
        Ok(())
    }

    fn is_given(
        &mut self,
        name: &str,
        token: Option<&String>,
        wanted: Option<&String>,
    ) -> Result<(), String> {
        match (self.world.ask_for_token(name, wanted.cloned())?, token) {
            (Some(given), Some(token)) => {
                self.names.insert(token.clone(), given);
                Ok(())
            }
            (None, None) => Ok(()),
            (Some(_), None) => Err(format!("{name} was given a token")),
            (None, Some(_)) => Err(format!("{name} was given no token")),
        }
    }

    fn offers(&mut self, domain: &str, features: &[Flat]) -> Result<(), String> {
        let now_ms = self.world.now_ms;
        let server = self.world.servers.get_mut(domain).ok_or("no such server")?;
        let offered = server.features(now_ms);
        for expected in features {
            let is_there = offered.iter().any(|xml| {
                let got = Flat::parse(xml, xmpp::ns::STREAMS);
                got.is_ok_and(|got| fits(expected.root(), got.root(), None, &mut self.names))
            });
            if !is_there {
                let offered = offered.join("\n    ");
                return Err(format!(
                    "{domain} offers\n    {offered}\nwithout\n    {}",
                    expected.raw()
                ));
            }
        }
        Ok(())
    }
}

/// Reads an HTTP request: lines `name: value` in front are headers, and `from` where it comes from.
fn web(text: &str) -> Question {
    let mut question = Question { address: "192.0.2.1".to_owned(), ..Question::default() };
    let mut lines = text.lines().peekable();
    while let Some((name, value)) = lines.peek().and_then(|line| line.split_once(": ")) {
        match name {
            "from" => question.address = value.to_owned(),
            _ => question.headers.push((name.to_owned(), value.to_owned())),
        }
        lines.next();
    }
    question.body = lines.collect::<Vec<_>>().join("\n").into_bytes();
    question
}

/// Tells whether a text has these words. A `$name` at their end that stands for nothing yet stands
/// for the word that follows them, or for all up to the next quote when they end with one.
fn holds(text: &str, words: &str, names: &mut Names) -> bool {
    let is_new = |name: &str| name.chars().all(char::is_alphanumeric) && !names.contains_key(name);
    let unknown = words.rsplit_once('$').filter(|(_, name)| is_new(name));
    if let Some((before, name)) = unknown {
        let before = fill(before, names, str::to_owned);
        let Some((_, behind)) = text.split_once(&before) else { return false };
        let word = match before.ends_with('"') {
            true => behind.split('"').next().unwrap_or_default(),
            false => behind.split_whitespace().next().unwrap_or_default(),
        };
        names.insert(name.to_owned(), word.to_owned());
        return true;
    }
    text.contains(&fill(words, names, str::to_owned))
}

fn read(xml: &str) -> Result<Flat, String> {
    Flat::parse_ours(xml, xmpp::ns::CLIENT).map_err(|error| format!("{error}:\n    {xml}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_name_what_follows() {
        let mut names = Names::new();
        assert!(holds("the key abc is here", "the key $key", &mut names));
        assert!(holds("abc\nagain abc", "again $key", &mut names));
        assert!(!holds("again abd", "again $key", &mut names));
        assert!(!holds("nothing", "the lock $lock", &mut names));
        assert!(holds("<a id=\"b c\">", "id=\"$id", &mut names) && names["id"] == "b c");
        assert!(holds("<a id=\"b c\">", "<a id=\"$id\">", &mut names));
    }

    #[test]
    fn a_failure_tells_what_was_logged() {
        let catalog = Catalog::new(&[]);
        let world = World::new(&catalog, Form::Bundled, 1);
        let mut play = Play { world, names: Names::new(), shown: "not there" };
        play.world.add_server("capulet.example", &[], &toml::Table::new()).unwrap();
        play.world.told("capulet.example").unwrap().log.push("probe: no such row".to_owned());
        let error = play.explained(7, "nurse received nothing".to_owned());
        let told = "line 7: nurse received nothing\nlogged by probe: no such row";
        assert_eq!(error.to_string(), told);
    }
}
