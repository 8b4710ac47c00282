//! Commands about accounts and sessions (XEP-0133, XEP-0050): the operator's for all of them, and those
//! of users for their own devices.
//!
//! The operator's run for the domain, which sees no session. What they need to know of one or do to it,
//! the domain asks of the account in a request of our own that nobody else may send.

mod about;
mod accounts;
mod asked;
mod lists;
mod own;
mod seen;
mod task;

use calypte::notice::{AccountEnds, Notice};
use calypte::prelude::*;
use serde::Deserialize;

/// The namespace of what the domain asks an account.
pub(crate) const NS: &str = "urn:calypte:commands:0";
/// What the fields of the operator's forms are (XEP-0133).
pub(crate) const FORM_TYPE: &str = "http://jabber.org/protocol/admin";

/// Settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether it is kept when somebody was here last.
    pub last_login: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { last_login: true }
    }
}

/// Offers the commands.
#[derive(Debug)]
pub struct Commands(Config);

calypte::export!(Commands);

/// One of the operator's commands.
macro_rules! admin {
    ($name:literal, $title:literal, $run:expr) => {
        Hook::form_command(
            concat!("http://jabber.org/protocol/admin#", $name),
            $title,
            Who::Admin,
            $run,
        )
    };
}

impl Module for Commands {
    const NAME: &'static str = "commands";
    const ABOUT: &'static str = "Accounts and sessions, by commands of the operator and of users.";
    const XEPS: &'static [Xep] = &[Xep("0133", "1.3.1"), Xep("0050", "1.3.0")];
    const KEYS: &'static [ConfigKey] = &[ConfigKey {
        name: "last_login",
        kind: "yes/no",
        default: "true",
        about: "Whether it is kept when each user logged in last; without it only who is online is known.",
    }];
    const HOOKS: &'static [Hook<Self>] = &[
        admin!("add-user", "Add User", Self::add),
        admin!("delete-user", "Delete User", Self::delete),
        admin!("disable-user", "Disable User", Self::disable),
        admin!("reenable-user", "Re-Enable User", Self::enable),
        admin!("end-user-session", "End User Session", Self::end),
        admin!("change-user-password", "Change User Password", Self::change_password),
        admin!("get-user-lastlogin", "Get User Last Login Time", Self::last_login),
        admin!("user-stats", "Get User Statistics", Self::stats),
        admin!(
            "get-registered-users-num",
            "Get Number of Registered Users",
            Self::number_registered
        ),
        admin!("get-disabled-users-num", "Get Number of Disabled Users", Self::number_disabled),
        admin!("get-online-users-num", "Get Number of Online Users", Self::number_online),
        admin!("get-registered-users-list", "Get List of Registered Users", Self::list_registered),
        admin!("get-disabled-users-list", "Get List of Disabled Users", Self::list_disabled),
        admin!("get-online-users-list", "Get List of Online Users", Self::list_online),
        admin!("announce", "Send Announcement to Online Users", Self::announce),
        Hook::form_command("sessions", "Show my devices", Who::User, Self::sessions),
        Hook::form_command("end-session", "Log out one of my devices", Who::User, Self::end_own),
        Hook::account_done(Self::account_done),
        Hook::answer(Self::answered),
        Hook::iq_get(On::AccountFromAnyone, NS, "stats", Self::tell_stats),
        Hook::iq_set(On::AccountFromAnyone, NS, "end", Self::end_here),
        Hook::opened(Self::opened),
        Hook::resumed(Self::resumed),
        Hook::closed(Self::closed),
        Hook::notice(AccountEnds::NAME, Self::account_ends),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        Ok(Self(config))
    }
}
