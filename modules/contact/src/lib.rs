//! Whom to write to about this server (XEP-0157), as a form in service discovery.

use calypte::prelude::*;
use serde::Deserialize;

mod uri;

/// The operator's settings, `[modules.contact]`: addresses as URIs, by what they are for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Reports of abuse.
    pub abuse: Vec<String>,
    /// Those who run the server.
    pub admin: Vec<String>,
    /// What people think of it.
    pub feedback: Vec<String>,
    /// Sales and marketing.
    pub sales: Vec<String>,
    /// Faults that can be exploited.
    pub security: Vec<String>,
    /// Whether it works at the moment.
    pub status: Vec<String>,
    /// Help for its users.
    pub support: Vec<String>,
}

impl Config {
    /// Returns the addresses with the names of the fields that they stand in, in their order.
    fn fields(&self) -> [(&'static str, &[String]); 7] {
        [
            ("abuse", &self.abuse),
            ("admin", &self.admin),
            ("feedback", &self.feedback),
            ("sales", &self.sales),
            ("security", &self.security),
            ("status", &self.status),
            ("support", &self.support),
        ]
    }
}

/// Returns the key of one kind of addresses.
const fn key(name: &'static str, about: &'static str) -> ConfigKey {
    ConfigKey { name, kind: "list", default: "[]", about }
}

/// The most addresses of one kind.
const ADDRESSES_MAX: usize = 16;

/// Shows contact addresses.
#[derive(Debug)]
pub struct Contact(Config);

calypte::export!(Contact);

impl Module for Contact {
    const NAME: &'static str = "contact";
    const ABOUT: &'static str = "Tells everybody whom to write to about this server.";
    const XEPS: &'static [Xep] = &[Xep("0157", "1.1.1")];
    const KEYS: &'static [ConfigKey] = &[
        key("abuse", "Where abuse is reported, such as \"mailto:abuse@example.org\"."),
        key("admin", "Who runs the server, such as \"xmpp:ana@example.org\"."),
        key("feedback", "Where people say what they think of it."),
        key("sales", "Whom customers write to."),
        key("security", "Where faults that can be exploited are reported."),
        key("status", "Where to see whether it works, such as \"https://status.example.org/\"."),
        key("support", "Where its users find help."),
    ];
    const HOOKS: &'static [Hook<Self>] = &[Hook::domain_info(Self::show)];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        for (name, addresses) in config.fields() {
            if addresses.len() > ADDRESSES_MAX {
                let text = format!("{name} has more than {ADDRESSES_MAX} addresses");
                return Err(SetupError(text));
            }
            for address in addresses {
                uri::check(address).map_err(|why| {
                    SetupError(format!("{name}: \"{}\" {why}", address.escape_debug()))
                })?;
            }
        }
        Ok(Self(config))
    }
}

impl Contact {
    fn show(&self, asked: &Discovery<'_>, _: &mut Context<'_, '_>) -> Shown {
        let has_some = |(_, addresses): &(&str, &[String])| !addresses.is_empty();
        let mut fields = self.0.fields().into_iter().filter(has_some).peekable();
        if asked.node.is_some() || fields.peek().is_none() {
            return Ok(None);
        }
        let value = |text: &str| Element::new(ns::DATA_FORMS, "value").with_text(text);
        let field = |name: &str, kind: &str| {
            Element::new(ns::DATA_FORMS, "field").with_attr("var", name).with_attr("type", kind)
        };
        let mut form = Element::new(ns::DATA_FORMS, "x").with_attr("type", "result");
        form.push_child(field("FORM_TYPE", "hidden").with_child(value(ns::SERVER_INFO)));
        for (name, addresses) in fields {
            let mut field = field(&format!("{name}-addresses"), "list-multi");
            for address in addresses {
                field.push_child(value(address));
            }
            form.push_child(field);
        }
        Ok(Some(vec![form]))
    }
}
