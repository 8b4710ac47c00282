//! Their files and how they are called.

use std::process::Command;

use super::{Foreign, Which, python};
use crate::{Certificate, password};

/// The other modules of Debian's Prosody but for those that only choose a store, a way to check
/// passwords or a console, and what `Foreign::everything` serves below the domain.
const WHOLE_PROSODY: (&str, &str) = (
    "\"adhoc\"; \"admin_adhoc\"; \"admin_shell\"; \"announce\"; \"bookmarks\"; \"bosh\"; \"carbons\"; \
     \"cron\"; \"csi\"; \"csi_simple\"; \"external_services\"; \"groups\"; \"http\"; \"http_files\"; \
     \"http_openmetrics\"; \"invites\"; \"invites_adhoc\"; \"invites_register\"; \"iq\"; \
     \"lastactivity\"; \"limits\"; \"mam\"; \"message\"; \"mimicking\"; \"motd\"; \"offline\"; \
     \"posix\"; \"presence\"; \"private\"; \"register\"; \"register_ibr\"; \"register_limits\"; \"s2s\"; \
     \"c2s\"; \"s2s_auth_certs\"; \"s2s_bidi\"; \"server_contact_info\"; \"time\"; \"tokenauth\"; \
     \"tombstones\"; \"turn_external\"; \"uptime\"; \"user_account_management\"; \"vcard4\"; \
     \"vcard_legacy\"; \"watchregistrations\"; \"websocket\"; \"welcome\"; ",
    "allow_registration = true\nturn_external_host = \"t.example\"\nturn_external_secret = \"s\"\n\
     contact_info = { abuse = { \"mailto:abuse@DOMAIN\" } }\n\
     Component \"rooms.DOMAIN\" \"muc\"\nmodules_enabled = { \"muc_mam\"; \"muc_unique\" }\n\
     Component \"pubsub.DOMAIN\" \"pubsub\"\n\
     Component \"share.DOMAIN\" \"http_file_share\"\n",
);

impl Foreign {
    /// Writes the configuration and what is shown.
    pub(super) fn write(&self, shown: &Certificate) {
        shown.write(&self.folder);
        match self.which {
            Which::Prosody => {
                // By these names it finds them itself, for all its listeners.
                self.put(&format!("{}.crt", self.domain), &shown.chain);
                self.put(&format!("{}.key", self.domain), &shown.key);
                self.put("prosody.cfg.lua", &self.prosody());
            }
            Which::Ejabberd => {
                self.put("both.pem", &format!("{}{}", shown.chain, shown.key));
                self.put("ejabberd.yml", &self.ejabberd());
                self.put("inetrc", "{lookup, [\"file\", \"native\"]}.\n");
            }
            Which::Pyjabber => {
                self.put(&format!("{}_cert.pem", self.domain), &shown.chain);
                self.put(&format!("{}_key.pem", self.domain), &shown.key);
            }
        }
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    pub(super) fn command(&self) -> Command {
        match self.which {
            Which::Prosody => {
                let mut command = Command::new("prosody");
                command.arg("-F").arg("--config").arg(self.file("prosody.cfg.lua"));
                command
            }
            Which::Ejabberd => self.erl(),
            Which::Pyjabber => {
                let mut command = Command::new(python());
                command.args(["-m", "pyjabber", "-vv", "--database_in_memory"]);
                command.args(["--host", &self.domain, "--cert_path"]).arg(&self.folder);
                command
            }
        }
    }

    fn prosody(&self) -> String {
        let (at, address, domain) = (self.folder.display(), self.address, &self.domain);
        let dialback = if self.dialback { "\"dialback\"; " } else { "" };
        let direct = if self.direct { "5270" } else { "" };
        let (more, components) = if self.is_whole { WHOLE_PROSODY } else { ("", "") };
        let mut component = self.component.as_ref().map_or_else(String::new, |(domain, secret)| {
            format!("Component \"{domain}\"\ncomponent_secret = \"{secret}\"\n")
        });
        if self.has_rooms {
            component.push_str(&format!(
                "Component \"rooms.{domain}\" \"muc\"\nmodules_enabled = {{ \"muc_mam\" }}\n"
            ));
        }
        let secure = !self.dialback;
        let level = if self.is_quiet { "warn" } else { "debug" };
        format!(
            "run_as_root = true\ndaemonize = false\npidfile = \"{at}/prosody.pid\"\n\
             data_path = \"{at}/data\"\nnetwork_backend = \"epoll\"\ngc = {{ mode = \"generational\" }}\n\
             modules_enabled = {{ \"roster\"; \"saslauth\"; \"tls\"; \"disco\"; \"version\"; \
             \"ping\"; \"smacks\"; \"pep\"; \"blocklist\"; {dialback}{more}}}\n\
             interfaces = {{ \"{address}\" }}\nc2s_ports = {{ 5222 }}\n\
             c2s_direct_tls_ports = {{ 5223 }}\ns2s_ports = {{ 5269 }}\n\
             s2s_direct_tls_ports = {{ {direct} }}\nhttp_ports = {{ }}\nhttps_ports = {{ }}\n\
             component_ports = {{ 5347 }}\ncomponent_interfaces = {{ \"{address}\" }}\n\
             s2s_secure_auth = {secure}\ns2s_require_encryption = true\nc2s_stanza_size_limit = 1048576\n\
             certificates = \"{at}\"\nssl = {{ cafile = {:?} }}\n\
             authentication = \"internal_hashed\"\nstorage = \"internal\"\n\
             log = {{ {level} = \"*console\" }}\nstatistics = false\nVirtualHost \"{domain}\"\n{}{component}",
            self.ca,
            components.replace("DOMAIN", domain)
        )
    }

    pub(super) fn prosody_accounts(&self) {
        for name in &self.accounts {
            let mut command = Command::new("prosodyctl");
            command.arg("--config").arg(self.file("prosody.cfg.lua"));
            // A load has one password for all.
            let secret = password(if self.is_quiet { "bench" } else { name });
            let made = command.args(["register", name, &self.domain, &secret]).output();
            let made = made.unwrap();
            assert!(made.status.success(), "{made:?}");
        }
    }

    fn ejabberd(&self) -> String {
        let (at, address, domain) = (self.folder.display(), self.address, &self.domain);
        let dialback = if self.dialback { "  mod_s2s_dialback: {}\n" } else { "" };
        let rooms = if self.has_rooms {
            "mod_mam: {}\n  mod_muc:\n    host: \"rooms.@HOST@\"\n    default_room_options:\n      \
             mam: true\n      allow_user_invites: true\n  "
        } else {
            ""
        };
        let direct = if self.direct {
            format!(
                "  - port: 5270\n    ip: \"{address}\"\n    module: ejabberd_s2s_in\n    \
                 tls: true\n    max_stanza_size: 524288\n"
            )
        } else {
            String::new()
        };
        format!(
            "loglevel: debug\nhosts:\n  - \"{domain}\"\ncertfiles:\n  - \"{at}/both.pem\"\n\
             ca_file: {:?}\ns2s_use_starttls: required\nauth_password_format: scram\n\
             outgoing_s2s_families: [ipv4, ipv6]\nlisten:\n  - port: 5222\n    \
             ip: \"{address}\"\n    module: ejabberd_c2s\n    starttls_required: true\n    \
             max_stanza_size: 524288\n  - port: 5223\n    ip: \"{address}\"\n    \
             module: ejabberd_c2s\n    tls: true\n  - port: 5269\n    ip: \"{address}\"\n    \
             module: ejabberd_s2s_in\n    max_stanza_size: 524288\n{direct}\
             modules:\n  mod_blocking: {{}}\n  mod_caps: {{}}\n  mod_disco: {{}}\n  \
             {rooms}mod_offline: {{}}\n  mod_ping: {{}}\n  mod_privacy: {{}}\n  mod_pubsub:\n    \
             plugins: [flat, pep]\n  mod_roster: {{}}\n{dialback}  mod_stream_mgmt: {{}}\n  \
             mod_version: {{}}\n",
            self.ca
        )
    }

    /// The Erlang system alone, without a name, so that nothing else has to run.
    fn erl(&self) -> Command {
        let at = self.folder.display();
        let mut make = String::new();
        for name in &self.accounts {
            let (domain, secret) = (&self.domain, password(name));
            make.push_str(&format!(
                "ejabberd_auth:try_register(<<\"{name}\">>, <<\"{domain}\">>, <<\"{secret}\">>), "
            ));
        }
        let mut command = Command::new("erl");
        command
            .args(["-noinput", "-boot", "start_sasl", "-mnesia", "dir"])
            .arg(format!("\"{at}/mnesia\""))
            .args(["-s", "ejabberd", "-eval"])
            .arg(format!("{make}io:format(\"accounts are there~n\")."))
            .env("ERL_LIBS", "/usr/lib/x86_64-linux-gnu")
            .env("ERL_INETRC", self.file("inetrc"))
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .env("EJABBERD_CONFIG_PATH", self.file("ejabberd.yml"))
            .env("EJABBERD_LOG_PATH", self.file("ejabberd.log"))
            .env("HOME", &self.folder);
        command
    }
}
