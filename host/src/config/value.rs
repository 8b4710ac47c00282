//! Values of the configuration: what each type accepts and how it explains itself.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;
use xmpp::Jid;

use super::problem::nearest;
use super::units::{Size, Span};

/// Why a value cannot be used.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Where, when it is inside the value.
    pub(crate) at: Option<Range<usize>>,
    /// What it is instead, to follow "… must be …, but is ".
    pub(crate) is: String,
    /// What to write.
    pub(crate) hint: String,
}

/// A type of the configuration.
pub(crate) trait Value: Sized {
    /// What is expected, to follow "must be".
    const KIND: &'static str;

    /// Reads it.
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong>;

    /// Reads what is right in it and collects all that is wrong.
    fn read_all(value: &Spanned<DeValue<'_>>) -> (Option<Self>, Vec<Wrong>) {
        match Self::read(value) {
            Ok(value) => (Some(value), Vec::new()),
            Err(wrong) => (None, vec![wrong]),
        }
    }

    /// Returns the value of a key that is absent and has no default.
    fn absent() -> Option<Self> {
        None
    }
}

impl Wrong {
    fn new(is: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at: None, is: is.into(), hint: hint.into() }
    }
}

/// Describes what stands there.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(flag) => format!("{flag}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn text<'a>(value: &'a Spanned<DeValue<'_>>, hint: &str) -> Result<&'a str, Wrong> {
    let value = value.get_ref();
    value.as_str().ok_or_else(|| Wrong::new(describe(value), hint))
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        T::read(value).map(Some)
    }

    fn read_all(value: &Spanned<DeValue<'_>>) -> (Option<Self>, Vec<Wrong>) {
        let (value, wrong) = T::read_all(value);
        (value.map(Some), wrong)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Value> Value for Vec<T> {
    const KIND: &'static str = T::KIND;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let (list, wrong) = Self::read_all(value);
        wrong.into_iter().next().map_or_else(|| Ok(list.unwrap_or_default()), Err)
    }

    /// Reads a list, or a single value as a list of one.
    fn read_all(value: &Spanned<DeValue<'_>>) -> (Option<Self>, Vec<Wrong>) {
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect::<Vec<_>>(),
            _ => Vec::from([value]),
        };
        let (mut list, mut wrongs) = (Self::new(), Vec::new());
        for item in items {
            match T::read(item) {
                Ok(value) => list.push(value),
                Err(wrong) => wrongs.push(Wrong { at: Some(item.span()), ..wrong }),
            }
        }
        (Some(list), wrongs)
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let value = value.get_ref();
        let hint = match value.as_str() {
            Some("yes" | "on" | "true" | "1") => "write true, without quotes",
            Some("no" | "off" | "false" | "0") => "write false, without quotes",
            _ => "write true or false",
        };
        value.as_bool().ok_or_else(|| Wrong::new(describe(value), hint))
    }
}

impl Value for u32 {
    const KIND: &'static str = "a whole number";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let value = value.get_ref();
        let number = value.as_integer().and_then(|number| {
            let digits = number.as_str().replace('_', "");
            Self::from_str_radix(digits.trim_start_matches("0x"), number.radix()).ok()
        });
        number.ok_or_else(|| Wrong::new(describe(value), "write a number without quotes"))
    }
}

impl Value for String {
    const KIND: &'static str = "a text";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        text(value, "put it in quotes").map(str::to_owned)
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let text = text(value, "put the path in quotes")?;
        if text.is_empty() {
            return Err(Wrong::new("empty", "write a path, such as \"/var/lib/calypte\""));
        }
        Ok(Self::from(text))
    }
}

impl Value for Size {
    const KIND: &'static str = "a size with its unit, such as \"256 KiB\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let hint = match value.get_ref().as_integer() {
            Some(number) => format!("write the unit: \"{number} bytes\""),
            None => "units are bytes, kB, KiB, MB, MiB, GB, GiB".to_owned(),
        };
        let text = text(value, &hint)?;
        Self::parse(text)
            .ok_or_else(|| Wrong::new(format!("{text:?}"), unit_hint(text, "bytes", hint)))
    }
}

impl Value for Span {
    const KIND: &'static str = "a time with its unit, such as \"5 minutes\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let hint = match value.get_ref().as_integer() {
            Some(number) => format!("write the unit: \"{number} seconds\""),
            None => "units are seconds, minutes, hours, days, weeks".to_owned(),
        };
        let text = text(value, &hint)?;
        let wrong = || Wrong::new(format!("{text:?}"), unit_hint(text, "seconds", hint.clone()));
        Self::parse(text).ok_or_else(wrong)
    }
}

/// Returns the hint for a text that is only a number, or else `otherwise`.
fn unit_hint(text: &str, unit: &str, otherwise: String) -> String {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.contains(['.', ',']) {
        "write a whole number and a smaller unit".to_owned()
    } else if digits {
        format!("write the unit: \"{text} {unit}\"")
    } else {
        otherwise
    }
}

impl Value for IpAddr {
    const KIND: &'static str = "an address without port, such as \"192.0.2.1\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let text = text(value, "put the address in quotes")?;
        text.parse().map_err(|_| {
            let hint = match text.parse::<SocketAddr>() {
                Ok(address) => format!("leave out the port: \"{}\"", address.ip()),
                Err(_) => "write \"192.0.2.1\" or \"2001:db8::1\"".to_owned(),
            };
            Wrong::new(format!("{text:?}"), hint)
        })
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "an address with its port, such as \"0.0.0.0:5222\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        if let Some(port) = value.get_ref().as_integer() {
            let hint = format!("write the address as well: \"0.0.0.0:{port}\"");
            return Err(Wrong::new(format!("the number {port}"), hint));
        }
        let text = text(value, "put the address in quotes")?;
        text.parse().map_err(|_| {
            let hint = match text.parse::<IpAddr>() {
                Ok(IpAddr::V6(ip)) => format!("add the port: \"[{ip}]:5222\""),
                Ok(IpAddr::V4(ip)) => format!("add the port: \"{ip}:5222\""),
                Err(_) => match text.rsplit_once(':') {
                    Some(("" | "*", port)) => format!("for every address write \"0.0.0.0:{port}\""),
                    Some(("localhost", port)) => format!("write \"127.0.0.1:{port}\""),
                    _ => "names are not looked up; write the number of the address".to_owned(),
                },
            };
            Wrong::new(format!("{text:?}"), hint)
        })
    }
}

/// The domain that the server speaks for, prepared as an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain(pub(crate) Jid);

impl Value for Domain {
    const KIND: &'static str = "a domain, such as \"chat.example.org\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let text = text(value, "put the domain in quotes")?;
        let wrong = || Wrong::new(format!("{text:?}"), domain_hint(text));
        if text.contains([':', '/', '@']) {
            return Err(wrong());
        }
        Jid::parse(text).map(Self).map_err(|_| wrong())
    }
}

fn domain_hint(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, domain)) => format!("write only the domain: {domain:?}"),
        None if text.contains('/') => "write only the domain, not the address of a page".to_owned(),
        None if text.contains(':') => "write only the domain; ports go under [listen]".to_owned(),
        None => "a domain has letters, digits, hyphens and dots".to_owned(),
    }
}

impl Value for Jid {
    const KIND: &'static str = "an address, such as \"ana@chat.example.org\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let text = text(value, "put the address in quotes")?;
        let wrong = |hint: &str| Wrong::new(format!("{text:?}"), hint);
        let jid = Self::parse(text).map_err(|_| wrong("write name@domain"))?;
        match (jid.local(), jid.is_bare()) {
            (Some(_), true) => Ok(jid),
            (None, _) => Err(wrong("write the name as well: name@domain")),
            (_, false) => Err(wrong("leave out what follows the /")),
        }
    }
}

/// Reads one of `words`, for enumerations.
pub(crate) fn choice<T: Copy>(
    value: &Spanned<DeValue<'_>>,
    words: &[(&'static str, T)],
) -> Result<T, Wrong> {
    let names = || words.iter().map(|(name, _)| *name);
    let all = || names().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let text = text(value, &format!("write one of {}", all()))?;
    let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let hint = match nearest(&text.to_lowercase(), names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write one of {}", all()),
        };
        Wrong::new(format!("{text:?}"), hint)
    })
}

/// Accepts values from `min` to `max`; for a key's rule.
pub(crate) fn within<T: PartialOrd + std::fmt::Display>(
    min: T,
    max: T,
) -> impl Fn(&T) -> Result<(), String> {
    move |value| {
        if *value < min {
            Err(format!("the smallest is {min}"))
        } else if *value > max {
            Err(format!("the largest is {max}"))
        } else {
            Ok(())
        }
    }
}
