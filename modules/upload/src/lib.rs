//! Files that people send each other, by HTTPS (XEP-0363).
//!
//! A client asks for a slot, and gets an address. Who has it puts the file there, once; then everybody
//! who has it can fetch the file. The host takes and gives the bytes and keeps them sealed; what may
//! come, how long it stays and whose it is stands here, in rows of the account.

mod ends;
mod names;
mod own;
mod rows;
mod settings;
mod slots;
mod verify;
mod web;

use calypte::notice::{AccountEnds, Notice as _};
use calypte::prelude::*;

pub use settings::Config;

/// Keeps files that people send each other.
#[derive(Debug)]
pub struct Upload(Config);

calypte::export!(Upload);

impl Module for Upload {
    const NAME: &'static str = "upload";
    const ABOUT: &'static str = "Files that people send each other, by HTTPS.";
    const XEPS: &'static [Xep] = &[Xep("0363", "1.2.0")];
    const KEYS: &'static [ConfigKey] = settings::KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::started(Self::started),
        Hook::domain_info(Self::info),
        Hook::iq_get(On::Own, ns::UPLOAD, "request", Self::request),
        Hook::files(Self::file),
        Hook::wake(Self::expire),
        Hook::notice(AccountEnds::NAME, Self::account_ends),
        Hook::verify(Self::verify),
        Hook::command("files", "Show my files", Who::User, Self::list_own),
        Hook::form_command("delete-file", "Delete one of my files", Who::User, Self::delete_own),
        Hook::command("file-space", "Show what files take", Who::Admin, Self::space),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        config.check()?;
        Ok(Self(config))
    }
}

impl Upload {
    /// Says that the domain takes files, where the world can fetch them (§3, §5).
    fn info(&self, asked: &Discovery<'_>, cx: &mut Context<'_, '_>) -> Shown {
        if asked.node.is_some() || cx.web_url()?.is_none() {
            return Ok(None);
        }
        let identity = Element::new(ns::DISCO_INFO, "identity")
            .with_attr("category", "store")
            .with_attr("type", "file")
            .with_attr("name", "HTTP File Upload");
        let feature = |name: &str| Element::new(ns::DISCO_INFO, "feature").with_attr("var", name);
        let purpose = |name| feature(&format!("{}#{name}", ns::UPLOAD_PURPOSE));
        let value = |text: &str| Element::new(ns::DATA_FORMS, "value").with_text(text);
        let field = |name: &str| Element::new(ns::DATA_FORMS, "field").with_attr("var", name);
        let form = Element::new(ns::DATA_FORMS, "x")
            .with_attr("type", "result")
            .with_child(
                field("FORM_TYPE").with_attr("type", "hidden").with_child(value(ns::UPLOAD)),
            )
            .with_child(field("max-file-size").with_child(value(&self.0.bytes_max().to_string())));
        let purposes = slots::PURPOSES.iter().map(purpose);
        Ok(Some(
            [identity, feature(ns::UPLOAD)].into_iter().chain(purposes).chain([form]).collect(),
        ))
    }
}
