//! Whole pages, and what they are made of.

use calypte::prelude::*;
use calypte::wire::Head;

use crate::{Pages, texts};

/// The path of what pages look like.
pub(crate) const STYLE_PATH: &str = "/pages.css";
const STYLE: &str = include_str!("style.css");

/// Nothing of others, no scripts, and nobody shows the page inside another.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

impl Pages {
    /// Says what pages look like.
    pub(crate) fn style(
        &self,
        asked: &Asked<'_>,
        _: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        if asked.name != STYLE_PATH || !matches!(asked.method, "GET" | "HEAD") {
            return Ok(Served::Page(said(404, texts::NOT_FOUND)));
        }
        let mut head = Head::of_type("text/css; charset=utf-8");
        head.headers.push(("Cache-Control".to_owned(), "max-age=3600".to_owned()));
        Ok(Served::Page(Page { head, body: STYLE.into() }))
    }
}

/// Returns a whole page. What is in it stays where it is: it is kept nowhere, and its address, which
/// may be a secret, is told to nobody.
pub(crate) fn page(status: u16, title: &str, content: &str) -> Page {
    let mut head = Head { status, ..Head::of_type("text/html; charset=utf-8") };
    let headers = [
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("X-Robots-Tag", "noindex"),
    ];
    head.headers.extend(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let (lang, title) = (texts::LANG, escaped(title));
    let body = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n</head>\n<body>\n<main>\n{content}\n\
         </main>\n</body>\n</html>\n"
    );
    Page { head, body: body.into_bytes() }
}

/// Returns a page that says one thing.
pub(crate) fn said(status: u16, (title, text): (&str, &str)) -> Page {
    let content = format!("<h1>{}</h1>\n<p class=\"lead\">{}</p>", escaped(title), escaped(text));
    page(status, title, &content)
}

/// Sends a browser on to another page of ours.
pub(crate) fn go_to(path: &str) -> Page {
    let mut page = page(303, "", "");
    page.head.headers.push(("Location".to_owned(), path.to_owned()));
    page.body.clear();
    page
}

/// Adds a header that sets a cookie, or takes it away.
pub(crate) fn with_cookie(mut page: Page, cookie: String) -> Page {
    page.head.headers.push(("Set-Cookie".to_owned(), cookie));
    page
}

/// A field of a form.
#[derive(Debug, Default)]
pub(crate) struct Input<'a> {
    pub(crate) name: &'a str,
    pub(crate) label: &'a str,
    /// What stands in it. Never of a password.
    pub(crate) value: &'a str,
    /// Whether what is typed is hidden.
    pub(crate) is_secret: bool,
    /// What a browser may fill in (HTML §4.10.18.7.1).
    pub(crate) fill: &'a str,
    /// Whether it cannot be changed.
    pub(crate) is_fixed: bool,
    pub(crate) hint: &'a str,
    /// What is wrong with what was typed.
    pub(crate) error: Option<&'a str>,
}

impl Input<'_> {
    /// Draws it, with what it is called and what is wrong in its place.
    pub(crate) fn draw(&self) -> String {
        let Self { name, fill, .. } = *self;
        let kind = if self.is_secret { "password" } else { "text" };
        let mut notes = Vec::new();
        let mut note = |class: &str, text: &str| {
            notes.push(format!("{name}-{class}"));
            format!("<span class=\"{class}\" id=\"{name}-{class}\">{}</span>", escaped(text))
        };
        let error = self.error.map_or_else(String::new, |error| note("error", error));
        let hint = if self.hint.is_empty() { String::new() } else { note("hint", self.hint) };
        let described = match notes.as_slice() {
            [] => String::new(),
            notes => format!(" aria-describedby=\"{}\"", notes.join(" ")),
        };
        let invalid = if self.error.is_some() { " aria-invalid=\"true\"" } else { "" };
        let fixed = if self.is_fixed { " readonly" } else { "" };
        let focus = if self.error.is_some() { " autofocus" } else { "" };
        format!(
            "<div class=\"field\"><label for=\"{name}\">{label}</label>\
             <input type=\"{kind}\" id=\"{name}\" name=\"{name}\" value=\"{value}\" \
             autocomplete=\"{fill}\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"1000\" \
             required{fixed}{described}{invalid}{focus}>{error}{hint}</div>\n",
            label = escaped(self.label),
            value = escaped(self.value),
        )
    }
}

/// Writes text so that it is nothing but text.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// Writes a time, to the minute.
pub(crate) fn time(text: &str) -> String {
    let (day, hour) = (text.get(..10).unwrap_or(text), text.get(11..16).unwrap_or_default());
    format!("<time datetime=\"{}\">{} {} UTC</time>", escaped(text), escaped(day), escaped(hour))
}

/// Lists apps to choose from.
pub(crate) fn apps(knows_matters: bool) -> String {
    let mut out = String::new();
    for (platform, apps) in &texts::APPS {
        out.push_str(&format!("<h3>{}</h3>\n<ul>\n", escaped(platform)));
        for app in *apps {
            let note = match (knows_matters, app.knows) {
                (false, _) => String::new(),
                (true, true) => format!(" <span class=\"soft\">({})</span>", texts::APP_KNOWS),
                (true, false) => format!(" <span class=\"soft\">({})</span>", texts::APP_KNOWS_NOT),
            };
            let (name, url) = (escaped(app.name), escaped(app.url));
            out.push_str(&format!(
                "<li><a href=\"{url}\" rel=\"noreferrer\">{name}</a>{note}</li>\n"
            ));
        }
        out.push_str("</ul>\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_text_and_passwords_are_nowhere() {
        let input = Input {
            name: "name",
            label: "Name",
            value: "\"><script>'",
            error: Some("<b>"),
            ..Input::default()
        };
        let drawn = input.draw();
        assert!(drawn.contains("value=\"&quot;&gt;&lt;script&gt;&#39;\""), "{drawn}");
        assert!(drawn.contains("id=\"name-error\">&lt;b&gt;</span>"), "{drawn}");
        assert!(drawn.contains("aria-describedby=\"name-error\" aria-invalid=\"true\""), "{drawn}");
    }

    #[test]
    fn nothing_of_others_and_no_script_is_allowed() {
        let page = page(200, "A", "");
        assert!(page.head.is_sound());
        let policy = page.head.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.head.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.head.header("cache-control"), Some("no-store"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }

    #[test]
    fn times_are_read_by_people() {
        let drawn = time("2026-11-26T06:07:08Z");
        assert_eq!(drawn, "<time datetime=\"2026-11-26T06:07:08Z\">2026-11-26 06:07 UTC</time>");
    }
}
