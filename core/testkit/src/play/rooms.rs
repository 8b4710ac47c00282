//! Rooms (XEP-0045): how people got into them, where a scene is about something else.

use xml::escape_attr;
use xmpp::{Jid, Stanza, ns};

use super::{Play, read};
use crate::Line;
use crate::fits::{fill, fill_xml};

const MUC: &str = "http://jabber.org/protocol/muc";
const USER: &str = "http://jabber.org/protocol/muc#user";
const OWNER: &str = "http://jabber.org/protocol/muc#owner";
const FORM: &str = "http://jabber.org/protocol/muc#roomconfig";

impl Play<'_> {
    /// Enters rooms, and forgets what came.
    pub(super) fn visit(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Enters(name, place, children) => {
                let place = fill(place, &self.names, str::to_owned);
                let place = place.parse().map_err(|_| format!("{place} is not an address"))?;
                self.enter(name, &place, children, "110")?;
                self.pass_over(None)
            }
            Line::Opens(name, place, fields) => {
                self.enter(name, place, "", "201")?;
                self.pass_over(None)?;
                self.configure(name, place, fields)
            }
            Line::PassedOver(name) => self.pass_over(name.as_deref()),
            Line::NeverSaw(name, text) => {
                let text = fill_xml(text, &self.names);
                let mut seen = self.world.client(name)?.seen.iter().map(Stanza::to_xml);
                match seen.find(|xml| xml.contains(&text)) {
                    Some(xml) => Err(format!("{name} saw {text}:\n    {xml}")),
                    None => Ok(()),
                }
            }
            _ => Err("nobody knows how to play that".to_owned()),
        }
    }

    /// Sends the presence that enters, and looks for the own one with this status.
    fn enter(&mut self, name: &str, place: &Jid, children: &str, code: &str) -> Result<(), String> {
        let mut to = String::new();
        escape_attr(place.as_str(), &mut to);
        self.send(
            name,
            &format!("<presence to=\"{to}\"><x xmlns=\"{MUC}\">{children}</x></presence>"),
        )?;
        let inbox: Vec<_> = self.world.client(name)?.inbox.iter().map(Stanza::to_xml).collect();
        for xml in &inbox {
            let got = read(xml)?;
            let own = got.root().child(USER, "x").is_some_and(|x| {
                x.children().any(|status| status.attr("code").as_deref() == Some(code))
            });
            if own && got.root().attr("type").is_none() {
                return Ok(());
            }
        }
        Err(format!("{name} is not in, with {code}, but received\n    {}", inbox.join("\n    ")))
    }

    /// Submits the form with these fields; a name that stands there again has several values.
    fn configure(&mut self, name: &str, place: &Jid, fields: &str) -> Result<(), String> {
        let fields = fill(fields, &self.names, str::to_owned);
        let escape = |text: &str| {
            let mut out = String::new();
            escape_attr(text.trim(), &mut out);
            out
        };
        let mut form = String::new();
        let mut last = "";
        for line in fields.lines() {
            let (field, value) = line.split_once('=').ok_or("a field is written name=value")?;
            if field != last {
                let end = if last.is_empty() { "" } else { "</field>" };
                form.push_str(&format!("{end}<field var=\"{}\">", escape(field)));
            }
            form.push_str(&format!("<value>{}</value>", escape(value)));
            last = field;
        }
        if !last.is_empty() {
            form.push_str("</field>");
            form.insert_str(0, &format!("<field var=\"FORM_TYPE\"><value>{FORM}</value></field>"));
        }
        let room = place.bare();
        self.send(
            name,
            &format!(
                "<iq to=\"{room}\" type=\"set\" id=\"opens\"><query xmlns=\"{OWNER}\"><x \
                 xmlns=\"{}\" type=\"submit\">{form}</x></query></iq>",
                ns::DATA_FORMS
            ),
        )?;
        let inbox: Vec<_> = self.world.client(name)?.inbox.iter().map(Stanza::to_xml).collect();
        let done = inbox.iter().any(|xml| {
            read(xml).is_ok_and(|got| {
                let root = got.root();
                root.attr("id").as_deref() == Some("opens")
                    && root.attr("type").as_deref() == Some("result")
            })
        });
        if !done {
            return Err(format!("{name} could not open it:\n    {}", inbox.join("\n    ")));
        }
        self.pass_over(None)
    }

    fn pass_over(&mut self, only: Option<&str>) -> Result<(), String> {
        if let Some(name) = only {
            self.world.client(name)?;
        }
        let clients = self.world.clients.iter_mut();
        for (_, client) in clients.filter(|(name, _)| only.is_none_or(|only| only == *name)) {
            let count = u32::try_from(client.inbox.len()).unwrap_or(u32::MAX);
            client.received = client.received.wrapping_add(count);
            client.inbox.clear();
        }
        Ok(())
    }
}
