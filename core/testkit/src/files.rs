//! Files, as the host takes and gives them: what is in them is a word of the scene.

use std::collections::BTreeMap;

use calypte::tables::{FILE_LINKS, file_link};
use calypte::wire::{FILES_PATH, FileAnswer, FileAsked, Question, decode, encode};
use engine::{Ask, Event};
use table::{Storage as _, full_key};
use toml::Table;
use xmpp::Jid;

use crate::world::World;

/// The token of questions about files: their answers are no text.
pub(crate) const TOKEN: u64 = 2;

/// The folder of files of a server.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Names on disk, and what is in them.
    pub(crate) files: BTreeMap<[u8; 16], String>,
    /// How many came.
    count: u64,
    /// What the module said last.
    pub(crate) said: Option<Vec<u8>>,
}

impl World<'_> {
    /// Sends a file to the address of a slot; what came of it is the answer.
    pub(crate) fn send_file(
        &mut self,
        domain: &str,
        url: &str,
        facts: &Table,
    ) -> Result<(), String> {
        let text = |name: &str| facts.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let content = text("content").unwrap_or_default();
        let number = |name: &str| facts.get(name).and_then(toml::Value::as_integer);
        let bytes = number("bytes").and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        let kind = text("type");
        let (account, link, name) = self.find(domain, url)?;
        let asked = FileAsked::Put { link: link.clone(), name, bytes, kind: kind.clone() };
        let FileAnswer::Take { key } = self.ask_file(domain, &account, &asked)? else {
            return Ok(());
        };
        if facts.get("breaks").and_then(toml::Value::as_bool) == Some(true) {
            return self.say(domain, "it broke off".to_owned());
        }
        let key: [u8; 32] = key.try_into().map_err(|_| "the key has 32 bytes")?;
        let digest = crypto::keyed_hash(&key, content.as_bytes()).to_vec();
        let is_lost = facts.get("lost").and_then(toml::Value::as_bool) == Some(true);
        let folder = &mut self.told(domain)?.folder;
        if is_lost {
            folder.files.retain(|_, kept| *kept != content);
        }
        folder.count += 1;
        let blob = u128::from(folder.count).to_be_bytes();
        folder.files.insert(blob, content);
        let name = blob.to_vec();
        let asked = FileAsked::Stored { link, blob: name, digest, bytes, kind, is_lost };
        let answer = self.ask_file(domain, &account, &asked)?;
        let folder = &mut self.told(domain)?.folder;
        let FileAnswer::Kept { blob: kept } = answer else {
            folder.files.remove(&blob);
            return Ok(());
        };
        if kept != blob {
            folder.files.remove(&blob);
        }
        if !folder.files.keys().any(|file| *file == *kept) {
            return Err(format!("{domain} keeps it as a file that is not there"));
        }
        self.say(domain, "201".to_owned())
    }

    /// Fetches a file; what there is is the answer.
    pub(crate) fn fetch_file(&mut self, domain: &str, url: &str) -> Result<(), String> {
        let (account, link, name) = self.find(domain, url)?;
        let answer = self.ask_file(domain, &account, &FileAsked::Get { link, name })?;
        let FileAnswer::Give { blob, bytes, kind, is_inline, name, max_age, .. } = answer else {
            return Ok(());
        };
        let blob: [u8; 16] = blob.try_into().map_err(|_| "a name has 16 bytes")?;
        let content = self.told(domain)?.folder.files.get(&blob).cloned();
        let content = content.unwrap_or_else(|| "nothing".to_owned());
        let how = if is_inline { "inline" } else { "attachment" };
        self.say(
            domain,
            format!("{content}: {bytes} bytes, {kind}, {how}, {name}, for {max_age} seconds"),
        )
    }

    /// Returns whose file is meant, its link and its name.
    fn find(&mut self, domain: &str, url: &str) -> Result<(Jid, Vec<u8>, String), String> {
        let path = url.split_once(FILES_PATH).map(|(_, path)| path.trim_start_matches('/'));
        let (token, name) = path.and_then(|path| path.split_once('/')).ok_or("no such address")?;
        let name = unescaped(name);
        let link = file_link(token);
        let server = self.servers.get(domain).ok_or("no such server")?;
        let row = server.store.get(&full_key(FILE_LINKS.name, "", &link));
        let row = row.map_err(|_| "the store fails")?;
        let account = match row {
            Some(row) => FILE_LINKS.decode(&row).map_err(|error| error.to_string())?.account,
            // The host asks nobody then.
            None => {
                self.told(domain)?.answer = Some(Ok("404 no link".to_owned()));
                domain.to_owned()
            }
        };
        Ok((account.parse().map_err(|_| "the link has no account")?, link, name))
    }

    fn ask_file(
        &mut self,
        domain: &str,
        owner: &Jid,
        asked: &FileAsked,
    ) -> Result<FileAnswer, String> {
        if owner.local().is_none() {
            return Ok(FileAnswer::Refuse { status: 404, text: "no link".to_owned() });
        }
        self.told(domain)?.folder.said = None;
        let question = Question { body: encode(asked), ..Question::default() };
        let (kind, name) = ("files", "-".to_owned());
        let ask = Ask { token: TOKEN, kind, name, owner: owner.clone(), question };
        self.tell(owner, Event::Ask(ask))?;
        let said = self.told(domain)?.folder.said.take();
        let answer = said.and_then(|said| decode(&said)).ok_or("nobody knows files")?;
        if let FileAnswer::Refuse { status, text } = &answer {
            self.say(domain, format!("{status} {text}"))?;
        }
        Ok(answer)
    }

    fn say(&mut self, domain: &str, text: String) -> Result<(), String> {
        self.told(domain)?.answer = Some(Ok(text));
        Ok(())
    }
}

/// Reads a part of a path.
fn unescaped(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digits =
            (byte == b'%').then(|| [rest.next(), rest.next()].map(Option::unwrap_or_default));
        let read = digits
            .and_then(|digits| u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).ok());
        bytes.push(read.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
