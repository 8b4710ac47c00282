//! The text form of a scene.

use std::fmt;

use xml::Flat;
use xmpp::{Jid, ns};

use crate::Way;

/// A whole script.
#[derive(Debug, Default)]
pub struct Scene {
    /// Each sentence with the number of its line.
    pub lines: Vec<(usize, Line)>,
}

/// One thing that happens.
#[derive(Debug)]
pub enum Line {
    /// `capulet.example runs roster, presence`, then settings as TOML.
    Server(String, Vec<String>, toml::Table),
    /// `nurse@capulet.example has an account`
    Account(Jid),
    /// `juliet@capulet.example has the password sesame`
    HasPassword(Jid, String),
    /// `juliet@capulet.example is removed` by the operator.
    Removed(Jid),
    /// `juliet@capulet.example has no account`, and nothing is kept for it.
    NoAccount(Jid),
    /// `ana@capulet.example is an admin`
    Admin(Jid),
    /// `phone is juliet@capulet.example/phone`, then what is unusual about its login as TOML.
    Client(String, Jid, toml::Table),
    /// `phone sends`, then the stanza. `phone sends 20 times` counts in `$n`, from 1.
    Sends(String, String, u32),
    /// `phone receives`, then the stanza; `phone receives 20 times` as for `sends`.
    Receives(String, Flat, u32),
    /// `in any order`, then what is received, further in.
    AnyOrder(Vec<(String, Flat)>),
    /// `phone receives nothing`
    ReceivesNothing(String),
    /// `guest is a stranger at capulet.example from 192.0.2.7`: over TLS, not logged in.
    Stranger(String, String, String),
    /// `guest asks`, then the request.
    Asks(String, String),
    /// `capulet.example offers strangers`, then all stream features of modules before login.
    OffersStrangers(String, Vec<Flat>),
    /// `nobody receives anything`
    Silence,
    /// `hag enters coven@rooms.capulet.example/thirdwitch`, then what stands in its `<x/>`. What came
    /// to anybody is passed over.
    Enters(String, String, String),
    /// `crone opens coven@rooms.capulet.example/firstwitch`, then fields of the form, one `name=value`
    /// a line. What came to anybody is passed over.
    Opens(String, Jid, String),
    /// `what came is passed over`, `what came to phone is passed over`
    PassedOver(Option<String>),
    /// `hag never saw juliet@capulet.example`
    NeverSaw(String, String),
    /// `the wire never shows juliet@`
    NeverShows(String),
    /// `capulet.example offers`, then the stream features.
    Offers(String, Vec<Flat>),
    /// `capulet.example restarts`, and with which modules if with others
    Restarts(String, Option<Vec<String>>),
    /// `phone disconnects`: the connection is lost, with what was not received.
    Disconnects(String),
    /// `phone closes`: the client ends its stream.
    Closes(String),
    /// `phone is closed with conflict`
    IsClosed(String, String),
    /// `phone enables acknowledgements` or `phone enables resumption`
    Enables(String, bool),
    /// `phone resumes` or `phone cannot resume`
    Resumes(String, bool),
    /// `phone binds with its login`, then what it asks for in the same breath (XEP-0386).
    Binds(String, Vec<Flat>),
    /// `phone is told of its binding`, then the elements.
    IsBound(String, Vec<Flat>),
    /// `phone becomes inactive`, `phone becomes active`
    Becomes(String, bool),
    /// `phone is given token $a for HT-SHA-256-EXPR`: it binds once more with its login and asks for
    /// one (XEP-0484); without a mechanism it asks for none. `phone is given no token`.
    IsGiven(String, Option<String>, Option<String>),
    /// `juliet@capulet.example shows token $a`, then what is unusual as TOML.
    Shows(Jid, String, toml::Table),
    /// `the token is right`
    TokenIs(String),
    /// `juliet@capulet.example has a new password`
    Password(Jid),
    /// `phone acks`: it counts what it received.
    Acks(String),
    /// `after 5 minutes`
    After(u64),
    /// `capulet.example is limited to`, then bounds as TOML.
    Limits(String, toml::Table),
    /// `capulet.example gets POST /path?query`, then the body of the HTTP request.
    Gets(String, [String; 2], String),
    /// `capulet.example does NODE` or `capulet.example does NODE for juliet@capulet.example`, then
    /// the fields of the command, one `name=value` a line.
    Does(String, String, Option<Jid>, String),
    /// `capulet.example answers`, then the answer to the last question.
    Answers(String, String),
    /// `capulet.example answers with some words`: they are in the answer to the last question.
    AnswersWith(String, String),
    /// `capulet.example refuses with item-not-found`: the last question.
    Refuses(String, String),
    /// `capulet.example is sent $put`, then the file as TOML.
    SentFile(String, String, toml::Table),
    /// `capulet.example is asked for $get`
    AskedFile(String, String),
    /// `capulet.example has 2 files`
    HasFiles(String, usize),
    /// `capulet.example counted 2 roster.pushes`: all in all.
    Counted(String, u64, String),
    /// `capulet.example logged words of the line`
    Logged(String, String),
    /// `capulet.example connects to montague.example`, then what is unusual about it as TOML.
    Connects(String, String, toml::Table),
    /// `the stream is proved`
    StreamIs(String),
    /// `capulet.example hides its binding from somebody`: a client was shown none.
    Hides(String),
    /// `capulet.example is asked about a peer`, then what is known of the stream as TOML.
    Asked(String, toml::Table),
    /// `capulet.example decides`, then the verdict as TOML.
    Decides(String, toml::Table),
    /// `capulet.example looks up txt:_calypte.montague.example`, then what is found; or `capulet.example
    /// looks in vain for …`, then why.
    LooksUp(String, String, bool, String),
    /// `the way to montague.example is cut`
    Way(String, Way),
    /// `capulet.example keeps 2 stanzas for montague.example`
    Keeps(String, usize, String),
    /// `capulet.example switched off roster`
    SwitchedOff(String, String),
}

/// A line cannot be read, or did not happen as written.
#[derive(Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ScriptError {}

/// A sentence and what is indented below it.
struct Block<'a> {
    number: usize,
    sentence: &'a str,
    body: Vec<(usize, &'a str)>,
}

impl Scene {
    /// Reads a script.
    ///
    /// # Errors
    ///
    /// [`ScriptError`] names the first line that is not understood.
    pub fn read(text: &str) -> Result<Self, ScriptError> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let mut scene = Self::default();
        for block in blocks(lines.collect()) {
            let fail = |problem| ScriptError { line: block.number, problem };
            let line = sentence(&block).map_err(fail)?;
            scene.lines.push((block.number, line));
        }
        Ok(scene)
    }
}

/// Cuts lines into sentences with what is further in than they are.
fn blocks(lines: Vec<(usize, &str)>) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut own = 0;
    for (number, line) in lines {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match blocks.last_mut() {
            Some(block) if indent > own => block.body.push((number, line)),
            _ => {
                own = indent;
                blocks.push(Block { number, sentence: text, body: Vec::new() });
            }
        }
    }
    blocks
}

fn sentence(block: &Block<'_>) -> Result<Line, String> {
    let text = block.sentence.trim_end_matches(':');
    let words: Vec<_> = text.split_whitespace().collect();
    if let Some(line) = with_body(&words, block)? {
        return Ok(line);
    }
    let name = || words.first().copied().unwrap_or_default().to_owned();
    let line = match words.as_slice() {
        [_, "hides", "its", "binding", "from", "somebody"] => Line::Hides(name()),
        ["the", "token", "is", what] => Line::TokenIs((*what).to_owned()),
        [jid, "has", "a", "new", "password"] => Line::Password(address(jid)?),
        [_, "is", "given", rest @ ..] => given(name(), rest).ok_or("given what?")?,
        ["the", "stream", "is", how @ ..] => Line::StreamIs(how.join(" ")),
        [jid, "is", "an", "admin"] => Line::Admin(address(jid)?),
        [_, "answers", "with", words @ ..] => Line::AnswersWith(name(), words.join(" ")),
        [_, "refuses", "with", why] => Line::Refuses(name(), (*why).to_owned()),
        [_, "counted", number, counter] => {
            let number = number.parse().map_err(|_| format!("{number} is no number"))?;
            Line::Counted(name(), number, (*counter).to_owned())
        }
        [_, "logged", words @ ..] => Line::Logged(name(), words.join(" ")),
        [_, "switched", "off", module] => Line::SwitchedOff(name(), (*module).to_owned()),
        [jid, "has", "the", "password", word] => {
            Line::HasPassword(address(jid)?, (*word).to_owned())
        }
        [jid, "has", "no", "account"] => Line::NoAccount(address(jid)?),
        [jid, "has", "an", "account"] => Line::Account(address(jid)?),
        [_, "is", "a", "stranger", "at", domain, "from", address] => {
            Line::Stranger(name(), (*domain).to_owned(), (*address).to_owned())
        }
        ["nobody", "receives", "anything"] => Line::Silence,
        ["the", "wire", "never", "shows", text] => Line::NeverShows((*text).to_owned()),
        ["what", "came", "is", "passed", "over"] => Line::PassedOver(None),
        ["what", "came", "to", who, "is", "passed", "over"] => {
            Line::PassedOver(Some((*who).to_owned()))
        }
        [_, "never", "saw", text] => Line::NeverSaw(name(), (*text).to_owned()),
        [_, "is", "closed", "with", why] => Line::IsClosed(name(), (*why).to_owned()),
        [_, "receives", "nothing"] => Line::ReceivesNothing(name()),
        [_, "restarts"] => Line::Restarts(name(), None),
        [_, "restarts", "with", modules @ ..] => {
            let modules = modules.iter().map(|name| name.trim_end_matches(',').to_owned());
            Line::Restarts(name(), Some(modules.collect()))
        }
        [_, "disconnects"] => Line::Disconnects(name()),
        [_, "closes"] => Line::Closes(name()),
        [_, "enables", "acknowledgements"] => Line::Enables(name(), false),
        [_, "enables", "resumption"] => Line::Enables(name(), true),
        [_, "resumes"] => Line::Resumes(name(), true),
        [_, "cannot", "resume"] => Line::Resumes(name(), false),
        [_, "becomes", "active"] => Line::Becomes(name(), true),
        [_, "becomes", "inactive"] => Line::Becomes(name(), false),
        [_, "acks"] => Line::Acks(name()),
        ["after", time @ ..] => {
            let span: calypte::config::Span =
                time.join(" ").parse().map_err(|error| format!("{error}"))?;
            Line::After(span.ms)
        }
        words => of_ways(words).ok_or_else(|| format!("not understood: {text}"))?,
    };
    if block.body.is_empty() { Ok(line) } else { Err(format!("nothing belongs below: {text}")) }
}

/// Reads which token a client is given, and what for.
fn given(name: String, words: &[&str]) -> Option<Line> {
    let (token, rest) = match words {
        ["no", "token", rest @ ..] => (None, rest),
        ["token", token, rest @ ..] => (Some(token.trim_start_matches('$').to_owned()), rest),
        _ => return None,
    };
    match rest {
        [] => Some(Line::IsGiven(name, token, None)),
        ["for", mechanism] => Some(Line::IsGiven(name, token, Some((*mechanism).to_owned()))),
        _ => None,
    }
}

/// Reads what is said about ways to other domains.
fn of_ways(words: &[&str]) -> Option<Line> {
    match words {
        ["the", "way", "to", to, rest @ ..] => Some(Line::Way((*to).to_owned(), Way::read(rest)?)),
        [name, "is", "asked", "for", url] => {
            Some(Line::AskedFile((*name).to_owned(), (*url).to_owned()))
        }
        [name, "has", count, "files"] => {
            Some(Line::HasFiles((*name).to_owned(), count.parse().ok()?))
        }
        [name, "keeps", count, "stanzas", "for", to] => {
            Some(Line::Keeps((*name).to_owned(), count.parse().ok()?, (*to).to_owned()))
        }
        _ => None,
    }
}

/// Reads a sentence below which something stands.
fn with_body(words: &[&str], block: &Block<'_>) -> Result<Option<Line>, String> {
    let name = || words.first().copied().unwrap_or_default().to_owned();
    Ok(match words {
        [_, "runs", modules @ ..] => {
            let modules = modules.join(" ");
            let modules = modules.split(',').map(|name| name.trim().to_owned());
            Some(Line::Server(name(), modules.collect(), settings(block)?))
        }
        [_, "sends"] => Some(Line::Sends(name(), body(block), 1)),
        [_, "sends", count, "times"] => Some(Line::Sends(name(), body(block), times(count)?)),
        [_, "receives"] => Some(Line::Receives(name(), stanza(block)?, 1)),
        [_, "receives", count, "times"] => {
            Some(Line::Receives(name(), stanza(block)?, times(count)?))
        }
        [_, "binds", "with", "its", "login"] => Some(Line::Binds(name(), features(block)?)),
        [_, "is", "told", "of", "its", "binding"] => Some(Line::IsBound(name(), features(block)?)),
        [_, "asks"] => Some(Line::Asks(name(), body(block))),
        [_, "offers", "strangers"] => Some(Line::OffersStrangers(name(), features(block)?)),
        [_, "offers"] => Some(Line::Offers(name(), features(block)?)),
        ["in", "any", "order"] => Some(any_order(block)?),
        [_, "is", "limited", "to"] => Some(Line::Limits(name(), settings(block)?)),
        [_, "gets", method, path] => {
            let request = [(*method).to_owned(), (*path).to_owned()];
            Some(Line::Gets(name(), request, body(block)))
        }
        [_, "does", node] => Some(Line::Does(name(), (*node).to_owned(), None, body(block))),
        [_, "does", node, "for", jid] => {
            let (node, jid) = ((*node).to_owned(), address(jid)?);
            Some(Line::Does(name(), node, Some(jid), body(block)))
        }
        [_, "is", "sent", url] => Some(Line::SentFile(name(), (*url).to_owned(), settings(block)?)),
        [_, "is", "asked", "about", "a", "peer"] => Some(Line::Asked(name(), settings(block)?)),
        [_, "connects", "to", other] => {
            Some(Line::Connects(name(), (*other).to_owned(), settings(block)?))
        }
        [jid, "shows", "token", token] => {
            Some(Line::Shows(address(jid)?, (*token).to_owned(), settings(block)?))
        }
        [_, "enters", place] => Some(Line::Enters(name(), (*place).to_owned(), body(block))),
        [_, "opens", place] => Some(Line::Opens(name(), address(place)?, body(block))),
        [_, "decides"] => Some(Line::Decides(name(), settings(block)?)),
        [_, "looks", "up", target] => {
            Some(Line::LooksUp(name(), (*target).to_owned(), true, body(block)))
        }
        [_, "looks", "in", "vain", "for", target] => {
            Some(Line::LooksUp(name(), (*target).to_owned(), false, body(block)))
        }
        [_, "answers"] => Some(Line::Answers(name(), body(block))),
        [jid, "is", "removed"] => Some(Line::Removed(address(jid)?)),
        [_, "is", jid] => Some(Line::Client(name(), address(jid)?, settings(block)?)),
        _ => None,
    })
}

fn times(count: &str) -> Result<u32, String> {
    let wrong = |_| format!("{count} is no number of times");
    count.parse().map_err(wrong)
}

fn body(block: &Block<'_>) -> String {
    block.body.iter().map(|(_, line)| line.trim()).collect::<Vec<_>>().join("\n")
}

fn settings(block: &Block<'_>) -> Result<toml::Table, String> {
    body(block).parse().map_err(|error| format!("settings: {error}"))
}

fn stanza(block: &Block<'_>) -> Result<Flat, String> {
    let text = body(block);
    Flat::parse_ours(&text, ns::CLIENT).map_err(|error| format!("no stanza: {error}\n    {text}"))
}

fn features(block: &Block<'_>) -> Result<Vec<Flat>, String> {
    let text = format!("<features>{}</features>", body(block));
    let all = Flat::parse(&text, ns::STREAMS).map_err(|error| format!("no features: {error}"))?;
    let alone = |node: xml::Node<'_>| Flat::parse(node.raw(), ns::STREAMS);
    all.root().children().map(alone).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn any_order(block: &Block<'_>) -> Result<Line, String> {
    let mut all = Vec::new();
    for block in blocks(block.body.clone()) {
        match sentence(&block)? {
            Line::Receives(name, stanza, 1) => all.push((name, stanza)),
            _ => return Err(format!("only `X receives` has no order: {}", block.sentence)),
        }
    }
    Ok(Line::AnyOrder(all))
}

fn address(text: &str) -> Result<Jid, String> {
    text.parse().map_err(|_| format!("{text} is not an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sentences() {
        let text = "# A comment.\ncapulet.example runs roster, presence\n  [roster]\n  contacts = 3\n\
                    juliet is juliet@capulet.example/balcony\njuliet sends\n    <presence\n\
                    \x20     id=\"a\"/>\nin any order:\n  juliet receives\n    <presence/>\n\
                    after 5 minutes\n";
        let scene = Scene::read(text).unwrap();
        let numbers: Vec<_> = scene.lines.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [2, 5, 6, 9, 12]);
        assert!(matches!(&scene.lines[0].1, Line::Server(_, modules, settings)
            if modules.len() == 2 && settings.contains_key("roster")));
        assert!(
            matches!(&scene.lines[2].1, Line::Sends(_, xml, 1) if xml == "<presence\nid=\"a\"/>")
        );
        assert!(matches!(&scene.lines[3].1, Line::AnyOrder(all) if all.len() == 1));
        assert!(matches!(scene.lines[4].1, Line::After(300_000)));
    }

    #[test]
    fn the_readme_is_true() {
        let readme = include_str!("../README.md");
        let example = readme.split("```").nth(1).unwrap();
        assert_eq!(Scene::read(example).unwrap().lines.len(), 6);
        let tables = readme.split("## The language").nth(1).unwrap();
        let tables = tables.split("## Files").next().unwrap();
        let cells = tables.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
        let mut sentences = 0;
        for sentence in cells.flat_map(|cell| cell.split('`').step_by(2)) {
            if sentence.trim().is_empty() || sentence.starts_with('…') {
                continue;
            }
            let bodies = ["", "\n  <message/>", "\n  phone receives\n    <message/>"];
            let is_known =
                bodies.iter().any(|body| Scene::read(&format!("{sentence}{body}")).is_ok());
            assert!(is_known, "{sentence}");
            sentences += 1;
        }
        assert_eq!(sentences, 67);
    }

    #[test]
    fn says_what_it_does_not_understand() {
        let error = Scene::read("\njuliet sings\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: not understood: juliet sings");
        assert!(Scene::read("juliet receives\n  <presence>\n").is_err());
        assert!(Scene::read("juliet is nobody at all\n").is_err());
        assert!(Scene::read("juliet sends many times\n  <presence/>\n").is_err());
    }
}
