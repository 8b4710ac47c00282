//! The log: sentences for a person at a terminal, JSON otherwise; never a line that forges another.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};
use xmpp::Jid;

use crate::clock;
use crate::config::settings::{Addresses, Format, Level, Log};

static FULL_ADDRESSES: AtomicBool = AtomicBool::new(false);
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts logging to standard error. Only the first call counts.
pub(crate) fn start(log: &Log) {
    FULL_ADDRESSES.store(log.addresses == Addresses::Full, Relaxed);
    let human = match log.format {
        Format::Auto => std::io::stderr().is_terminal(),
        Format::Human => true,
        Format::Json => false,
    };
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = if human {
        layer.with_ansi(colour).event_format(Human).boxed()
    } else {
        layer.with_ansi(false).event_format(Json).boxed()
    };
    let subscriber = Registry::default().with(layer.with_filter(filter));
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        drop(FILTER.set(handle));
    }
}

/// Puts a new level into force.
pub(crate) fn set_level(level: Level) {
    if let Some(handle) = FILTER.get() {
        drop(handle.reload(targets(level)));
    }
}

fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // What libraries have to say is for their authors.
    let libraries = level.min(LevelFilter::WARN);
    let names = ["actix", "actix_web", "actix_http", "actix_server", "mio", "rustls", "sled", "h2"];
    Targets::new().with_default(level).with_targets(names.map(|name| (name, libraries)))
}

/// An address for the log: `tracing::info!(who = ?log::who(&jid), "…")`. The local part is hidden
/// unless the operator wants to see it.
pub(crate) fn who(jid: &Jid) -> Who<'_> {
    Who(jid)
}

/// See [`who`].
pub(crate) struct Who<'a>(&'a Jid);

impl fmt::Debug for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if FULL_ADDRESSES.load(Relaxed) { f.write_str(self.0.as_str()) } else { self.0.fmt(f) }
    }
}

/// `08:40:00.123 INFO  Listening. port=5222`
struct Human;

/// `{"time":…,"level":"info","message":"Listening.","port":"5222"}`
struct Json;

/// The fields of an event: the message apart, the rest as text.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.rest.push((field.name(), value));
        }
    }
}

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let fields = Fields::of(event);
        let level = *event.metadata().level();
        let stamp = clock::stamp(clock::now_ms());
        let time = stamp.get(11..23).unwrap_or("");
        let (on, off) = match (out.has_ansi_escapes(), level) {
            (false, _) => ("", ""),
            (true, tracing::Level::ERROR) => ("\x1b[1;31m", "\x1b[0m"),
            (true, tracing::Level::WARN) => ("\x1b[33m", "\x1b[0m"),
            (true, _) => ("\x1b[2m", "\x1b[0m"),
        };
        write!(out, "{time} {on}{level:5}{off} {}", Escaped(&fields.message))?;
        for (name, value) in &fields.rest {
            write!(out, " {name}={}", Escaped(value))?;
        }
        out.write_char('\n')
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let fields = Fields::of(event);
        let level = event.metadata().level().as_str().to_lowercase();
        let quote = |text: &str| serde_json::Value::from(Escaped(text).to_string()).to_string();
        let time = clock::stamp(clock::now_ms());
        write!(out, "{{\"time\":\"{time}\",\"level\":\"{level}\",\"from\":")?;
        write!(out, "{},\"message\":{}", quote(event.metadata().target()), quote(&fields.message))?;
        for (name, value) in &fields.rest {
            write!(out, ",{}:{}", quote(name), quote(value))?;
        }
        out.write_str("}\n")
    }
}

/// Text in which nothing moves the cursor, ends the line or turns the direction of writing.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                    write!(f, "\\u{{{:x}}}", u32::from(c))?;
                }
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_line() {
        let name = "ana\r\n08:40:00 INFO admin logged in\x1b[2J\u{85}\u{202e}";
        let told = Escaped(name).to_string();
        assert_eq!(told, "ana\\u{d}\\n08:40:00 INFO admin logged in\\u{1b}[2J\\u{85}\\u{202e}");
    }

    #[test]
    fn addresses_are_hidden() {
        let jid = Jid::parse("ana@chat.example").unwrap();
        assert!(!format!("{:?}", who(&jid)).contains("ana"));
    }
}
