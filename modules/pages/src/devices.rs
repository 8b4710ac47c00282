//! The own page: apps and devices, and the ways to the rest.

use calypte::prelude::*;
use tables::REGISTRATION;

use crate::ask::Told;
use crate::html::{self, escaped};
use crate::sessions::User;
use crate::{ACCOUNT, act, texts};

/// Draws the own page with the apps that an account told of.
pub(crate) fn draw(
    cx: &mut Context<'_, '_>,
    user: &User,
    done: &str,
    told: Told<'_>,
) -> Result<Page, StanzaError> {
    let domain = cx.domain().to_owned();
    let key = user.form_key();
    let said = texts::DONE.iter().find(|(word, _)| *word == done);
    let said = said.map_or_else(String::new, |(word, text)| {
        let class = if matches!(*word, "half" | "failed") { "said bad" } else { "said" };
        format!("<p class=\"{class}\" role=\"status\">{}</p>\n", escaped(text))
    });
    let may = cx.get(&REGISTRATION, "")?;
    let is_on = cx.features(true)?.iter().any(|feature| feature == ns::REGISTER);
    let may = may.filter(|_| is_on);
    let commands = cx.commands()?;
    let mut rest = String::new();
    if commands.iter().any(|command| command.node == act::INVITE) {
        rest.push_str(&card(
            texts::INVITE,
            texts::INVITE_WHY,
            &button("invite", texts::INVITE_BUTTON, &key),
        ));
    }
    if may.as_ref().is_some_and(|may| may.may_change) {
        rest.push_str(&card(texts::PASSWORD, texts::CHANGE_WHY, &link("password", texts::CHANGE)));
    }
    rest.push_str(&card(texts::DATA, texts::DATA_WHY, &link("contacts", texts::DATA_BUTTON)));
    if may.is_some_and(|may| may.may_remove) {
        rest.push_str(&card(texts::REMOVE, "", &link("remove", texts::REMOVE)));
    }
    let content = format!(
        "<h1>{}</h1>\n<p class=\"address\">{}@{domain}</p>\n{said}<div class=\"cards two\">\n\
         <div class=\"column\">{}</div>\n<div class=\"column\">\n{rest}</div>\n</div>\n<p></p>\n{}",
        texts::LOGIN,
        escaped(&user.name),
        list(told, &key),
        button("logout", texts::LOGOUT_BUTTON, &key)
    );
    Ok(html::page(200, texts::LOGIN, &content))
}

/// Goes back to the own page after an app was to be thrown out.
pub(crate) fn revoked(told: Told<'_>) -> Page {
    let word = if told.is_done() {
        "revoked"
    } else if told.has(ns::CLIENTS, "password-reset-required") {
        "half"
    } else {
        "failed"
    };
    html::go_to(&format!("{ACCOUNT}?{word}"))
}

fn card(title: &str, why: &str, content: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!("<p>{}</p>\n", escaped(why)) };
    format!("<section class=\"card\"><h2>{title}</h2>\n{why}{content}</section>\n")
}

fn link(path: &str, text: &str) -> String {
    format!("<p><a class=\"button plain\" href=\"{ACCOUNT}/{path}\">{text}</a></p>")
}

fn button(path: &str, text: &str, key: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{ACCOUNT}/{path}\">\
         <input type=\"hidden\" name=\"key\" value=\"{key}\">\
         <button class=\"plain\" type=\"submit\">{text}</button></form>"
    )
}

/// Draws the list of apps (XEP-0494 §3.1). Without the module that knows them there is none.
fn list(told: Told<'_>, key: &str) -> String {
    let Some(clients) = told.payload().filter(|list| list.is(ns::CLIENTS, "clients")) else {
        return String::new();
    };
    let rows: String = clients
        .children()
        .filter(|client| client.is(ns::CLIENTS, "client"))
        .map(|client| row(client, key))
        .collect();
    let content = if rows.is_empty() {
        format!("<p>{}</p>", texts::DEVICES_NONE)
    } else {
        let say = escaped(texts::DEVICES_SAY);
        format!("<p class=\"soft\">{say}</p>\n<ul class=\"plain devices\">\n{rows}</ul>")
    };
    format!("<section class=\"card\"><h2>{}</h2>\n{content}</section>\n", texts::DEVICES)
}

fn row(client: Node<'_>, key: &str) -> String {
    let text = |name: &str| client.child_text(ns::CLIENTS, name).unwrap_or_default().into_owned();
    let agent = client.child(ns::CLIENTS, "user-agent");
    let said = |name: &str| {
        let said = agent.and_then(|agent| agent.child_text(ns::CLIENTS, name));
        said.map(std::borrow::Cow::into_owned).filter(|text| !text.trim().is_empty())
    };
    let name = match (said("software"), said("device")) {
        (Some(software), Some(device)) => format!("{software}, {device}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => texts::DEVICE_UNKNOWN.to_owned(),
    };
    let seen = match client.attr("connected").as_deref() {
        Some("true") => format!("<strong>{}</strong>", texts::DEVICE_HERE),
        _ => format!("{} {}", texts::DEVICE_SEEN, html::time(&text("last-seen"))),
    };
    let id = client.attr("id").unwrap_or_default();
    let (name, id) = (escaped(&name), escaped(&id));
    format!(
        "<li><div><strong>{name}</strong><br><span class=\"soft\">{seen}, {} {}</span></div>\
         <form method=\"post\" action=\"{ACCOUNT}/revoke\">\
         <input type=\"hidden\" name=\"key\" value=\"{key}\">\
         <input type=\"hidden\" name=\"id\" value=\"{id}\">\
         <button class=\"plain\" type=\"submit\" aria-label=\"{out}: {name}\">{out}</button></form></li>\n",
        texts::DEVICE_SINCE,
        html::time(&text("first-seen")),
        out = texts::DEVICE_OUT
    )
}
