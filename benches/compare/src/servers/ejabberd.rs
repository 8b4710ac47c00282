//! Debian's ejabberd, by its Erlang system alone: `ejabberdctl` wants a user of its own.

use std::process::Command;

use super::{DOMAIN, Feature, PASSWORD, Servers, told};

impl Servers {
    /// As somebody would who knows ejabberd: accounts and rooms in Mnesia, no shapers. Its passwords are
    /// not hashed, since hashing 2000 takes minutes, and logins are not measured.
    pub(super) fn ejabberd_files(&self, with: &[Feature]) -> Result<(), String> {
        let (at, port) = (self.folder.path().display(), self.port);
        let pem = |name| std::fs::read_to_string(self.file(name)).map_err(told);
        self.write("both.pem", &format!("{}{}", pem("chain.pem")?, pem("key.pem")?))?;
        let listen = match with.contains(&Feature::Web) {
            true => {
                "module: ejabberd_http\n    tls: true\n    request_handlers:\n      \
                 \"/xmpp-websocket\": ejabberd_http_ws\n      \"/upload\": mod_http_upload\n"
            }
            false => {
                "module: ejabberd_c2s\n    tls: true\n    max_stanza_size: 524288\n    \
                 shaper: none\n"
            }
        };
        let files = match with.contains(&Feature::Files) {
            true => format!(
                "  mod_http_upload:\n    access: all\n    max_size: infinity\n    \
                 docroot: \"{at}/upload\"\n    put_url: \"https://@HOST@:{port}/upload\"\n"
            ),
            false => String::new(),
        };
        self.write(
            "ejabberd.yml",
            &format!(
                "loglevel: error\nhosts:\n  - \"{DOMAIN}\"\ncertfiles:\n  - \"{at}/both.pem\"\n\
                 auth_password_format: plain\nlisten:\n  - port: {port}\n    ip: \"127.0.0.1\"\n    \
                 {listen}modules:\n  mod_disco: {{}}\n  mod_roster: {{}}\n  mod_muc:\n    \
                 host: \"rooms.@HOST@\"\n    access: all\n    access_create: all\n    \
                 access_persistent: all\n    max_users: 5000\n    max_user_conferences: 1000\n    \
                 default_room_options:\n      max_users: 5000\n{files}"
            ),
        )
    }

    /// The command that starts it and makes the accounts that are not there.
    pub(super) fn ejabberd(&self) -> Command {
        let at = self.folder.path().display();
        let make = format!(
            "lists:foreach(fun(N) -> ejabberd_auth:try_register(<<\"u\", \
             (integer_to_binary(N))/binary>>, <<\"{DOMAIN}\">>, <<\"{PASSWORD}\">>) end, \
             lists:seq(0, {})), file:write_file(\"{at}/ejabberd.ready\", <<>>).",
            self.accounts.saturating_sub(1)
        );
        let mut command = Command::new("erl");
        command
            .args(["-noinput", "-boot", "start_sasl", "-mnesia", "dir"])
            .arg(format!("\"{at}/mnesia\""))
            .args(["-s", "ejabberd", "-eval", &make])
            .env("ERL_LIBS", "/usr/lib/x86_64-linux-gnu")
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .env("EJABBERD_CONFIG_PATH", self.file("ejabberd.yml"))
            .env("EJABBERD_LOG_PATH", self.file("ejabberd.log"))
            .env("HOME", self.folder.path());
        command
    }
}
