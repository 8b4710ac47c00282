//! Real clients against the real server: see README.md here.
//!
//! `setup` installs the clients. Without `CALYPTE_INTEROP=1` or `CI=true` these tests are ignored;
//! with one of them a client that is not there is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use calypte_tests::{
    Authority, Form, Server, Setup, free_ports, installed, password, play, python,
};
use libtest_mimic::{Arguments, Failed, Trial};

/// A script that plays a story with a client.
#[derive(Clone, Copy, Debug)]
struct Story {
    name: &'static str,
    script: &'static str,
    /// What it has to say `ok` to, in this order.
    steps: &'static str,
}

const STORIES: [Story; 18] = [
    Story {
        name: "slixmpp",
        script: "slixmpp_client.py",
        steps: "foreign-certificate wrong-password login-starttls login-tls roster subscribe \
                presence chat offline carbons archive resume-after-cut resume-after-kill logout",
    },
    Story {
        name: "aioxmpp",
        script: "aioxmpp_client.py",
        steps: "foreign-certificate wrong-password login-starttls login-tls roster subscribe \
                presence chat offline carbons archive roster-push blocking resume-after-cut \
                resume-after-kill logout",
    },
    Story { name: "aioxmpp-suite", script: "aioxmpp_suite.py", steps: "suite" },
    Story {
        name: "xmppjs",
        script: "xmppjs_client.mjs",
        steps: "foreign-certificate wrong-password login-starttls login-tls sasl2 roster \
                subscribe presence chat offline fast resume-after-cut resume-after-kill logout",
    },
    Story {
        name: WEBSOCKET,
        script: "xmppjs_client.mjs",
        steps: "login-websocket sasl2 roster subscribe presence chat offline fast resume-after-cut \
                resume-after-kill logout",
    },
    Story {
        name: "profanity",
        script: "profanity_client.py",
        steps: "foreign-certificate wrong-password login-starttls roster subscribe presence chat \
                offline resume-after-cut resume-after-kill login-tls logout",
    },
    Story {
        name: "together",
        script: "together_client.py",
        steps: "login same-conversation archive logout",
    },
    Story {
        name: "omemo",
        script: "omemo_client.py",
        steps: "login roster subscribe presence keys two-devices new-devices four-devices away \
                logout",
    },
    Story {
        name: "profile",
        script: "profile_client.py",
        steps: "features avatar-to-card card-to-avatar item-to-lists private-to-items \
                lists-to-items logout",
    },
    Story {
        name: UPLOAD,
        script: "upload_client.py",
        steps: "found sent fetched too-large logout",
    },
    Story {
        name: UPLOADS,
        script: "uploads_browser.mjs",
        steps: "login would-run sent opened embedded shown",
    },
    Story { name: "whisper", script: "whisper_client.py", steps: "login keys whisper logout" },
    Story {
        name: COMPONENT,
        script: "slixmpp_component.py",
        steps: "wrong-secret connect second chat subscribe discovery ping logout",
    },
    Story {
        name: INVITED,
        script: "invited_client.py",
        steps: "login register contacts chat logout",
    },
    Story {
        name: PAGES,
        script: "pages_browser.mjs",
        steps: "invitation errors account slixmpp used login revoke contacts invite password remove",
    },
    Story {
        name: WEBCHAT,
        script: "webchat_browser.mjs",
        steps: "websocket-login websocket-chat websocket-picture websocket-reload websocket-room \
                bosh-login bosh-chat bosh-picture bosh-reload bosh-room strophe-websocket \
                strophe-bosh",
    },
    Story { name: "windows", script: "windows_client.py", steps: "login chat reconnect picture" },
    Story { name: "dev", script: "dev.py", steps: "greeting slixmpp-lines profanity-line ctrl-c" },
];

/// The story of a client that comes over WebSocket, which needs a server with HTTPS.
const WEBSOCKET: &str = "xmppjs-websocket";
/// The story of files, which needs a server with HTTPS.
const UPLOAD: &str = "upload";
/// The story of an invitation, which the operator makes.
const INVITED: &str = "slixmpp-invited";
/// The story of a component, which needs a server that knows it.
const COMPONENT: &str = "slixmpp-component";
/// What it shares with the server.
const SECRET: &str = "not much of a secret";

/// The story of the pages, which needs a server that shows them.
const PAGES: &str = "pages";

/// Returns a server that shows pages to whom it invites.
fn with_pages() -> Server {
    let [port] = free_ports();
    let setup = Setup::new().set("listen.https", &format!("[\"127.0.0.1:{port}\"]"));
    setup.raw("[modules.register]\npolicy = \"invite\"\n").start()
}

/// The story of web chats, which needs a server that has them.
const WEBCHAT: &str = "webchat";

/// The story of files that want to run, which needs a server that shows all that it has to browsers.
const UPLOADS: &str = "uploads-in-browser";

/// Returns a server that has files, pages of accounts and a web chat at the same port.
fn with_all_of_the_web(port: u16) -> Result<Server, Failed> {
    let setup = Setup::new()
        .set("listen.https", &format!("[\"127.0.0.1:{port}\"]"))
        .set("web.folder", &format!("{:?}", chat_folder()?));
    Ok(setup.raw("[modules.register]\npolicy = \"invite\"\n").start())
}

/// Returns the folder with web chats, and pages for them.
fn chat_folder() -> Result<PathBuf, Failed> {
    let folder = installed("js")?.join("webchat");
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/webchat");
    for page in std::fs::read_dir(pages)? {
        let page = page?;
        std::fs::copy(page.path(), folder.join(page.file_name()))?;
    }
    Ok(folder)
}

/// Returns a server that serves a web chat at a port, as an operator sets it up.
fn with_webchat(port: u16) -> Result<Server, Failed> {
    let folder = chat_folder()?;
    let setup = Setup::new()
        .set("listen.web", &format!("\"127.0.0.1:{port}\""))
        .set("web.url", &format!("\"http://127.0.0.1:{port}\""))
        .set("web.folder", &format!("{folder:?}"));
    Ok(setup.start())
}

/// Returns a server that lets a component in at a port.
fn with_component(port: u16) -> std::io::Result<Server> {
    let setup = Setup::new()
        .set("listen.components", &format!("[\"127.0.0.1:{port}\"]"))
        .raw("[[components]]\ndomain = \"irc.chat.example\"\nsecret_file = \"irc.secret\"\n");
    let mut server = setup.prepare();
    let path = server.file("irc.secret");
    std::fs::write(&path, SECRET)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
    server.launch();
    Ok(server)
}

fn main() {
    let is_asked = ["CALYPTE_INTEROP", "CI"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| value == "1" || value == "true"));
    let has_windows = std::env::var("CALYPTE_WINDOWS").is_ok_and(|value| value == "1");
    let stories = STORIES.iter().filter(|story| has_windows || story.name != "windows");
    let trials = stories.map(|story| {
        let trial = Trial::test(story.name, move || story.play());
        let why = if is_asked { "" } else { "needs CALYPTE_INTEROP=1" };
        trial.with_kind(why).with_ignored_flag(!is_asked)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

impl Story {
    fn play(self) -> Result<(), Failed> {
        let (command, mut server) = if self.name == "dev" {
            let mut command = self.command()?;
            command.arg("--program").arg(Form::Bundled.program());
            (command, None)
        } else if self.name == COMPONENT {
            let [port] = free_ports();
            let server = with_component(port)?;
            let mut command = self.on(&server)?;
            command.env("COMPONENT_PORT", port.to_string()).env("COMPONENT_SECRET", SECRET);
            (command, Some(server))
        } else if self.name == UPLOAD || self.name == WEBSOCKET {
            let [port] = free_ports();
            let setup = Setup::new().set("listen.https", &format!("\"127.0.0.1:{port}\""));
            let server = setup.start();
            let mut command = self.on(&server)?;
            if self.name == WEBSOCKET {
                command.args(["--web", &port.to_string()]);
            }
            (command, Some(server))
        } else if self.name == INVITED {
            let server = Setup::new().raw("[modules.register]\npolicy = \"invite\"\n").start();
            let ran = server.run(&["invite", "--for", "carl", "--from", "ana"], "");
            let token =
                ran.out.split("preauth=").nth(1).and_then(|rest| rest.split_whitespace().next());
            let mut command = self.on(&server)?;
            command.env("INVITATION", token.ok_or("no invitation was made")?);
            (command, Some(server))
        } else if self.name == PAGES {
            let server = with_pages();
            let mut command = self.on(&server)?;
            command.arg("--python").arg(installed("venv")?.join("bin/python"));
            command.arg("--pictures").arg(installed("js")?.join("../pages"));
            (command, Some(server))
        } else if self.name == WEBCHAT || self.name == UPLOADS {
            let [port] = free_ports();
            let has_files = self.name == UPLOADS;
            let server = if has_files { with_all_of_the_web(port) } else { with_webchat(port) }?;
            let mut command = self.on(&server)?;
            command.args(["--web", &port.to_string(), "--pictures"]);
            command.arg(installed("js")?.join("../pictures"));
            (command, Some(server))
        } else {
            let server = Server::start();
            (self.on(&server)?, Some(server))
        };
        let played = play(command, self.steps, |wish| {
            server.as_mut().map_or_else(String::new, |server| grant(server, wish))
        });
        let log = || server.map(|server| server.log()).unwrap_or_default();
        // What failed comes last, where people look first.
        played.map_err(|said| format!("the server:\n{}\n{said}", log()).into())
    }

    /// Returns the call of the script without arguments, or says what is missing.
    fn command(self) -> Result<Command, Failed> {
        let path = format!("interop/{}", self.script);
        if !self.script.ends_with(".mjs") {
            return Ok(python(&path)?);
        }
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
        command.arg("--packages").arg(installed("js")?);
        Ok(command)
    }

    fn on(self, server: &Server) -> Result<Command, Failed> {
        let (ca, wrong_ca) = (server.file("ca.pem"), server.file("wrong-ca.pem"));
        std::fs::write(&ca, server.authority().pem())?;
        std::fs::write(&wrong_ca, Authority::default().pem())?;
        let mut command = self.command()?;
        command
            .args(["--starttls", &server.c2s().port().to_string()])
            .args(["--tls", &server.c2s_tls().port().to_string()])
            .args(["--ana", &password("ana"), "--ben", &password("ben")])
            .arg("--ca")
            .arg(ca)
            .arg("--wrong-ca")
            .arg(wrong_ca);
        Ok(command)
    }
}

/// Does what a script wishes, and returns what came of it.
fn grant(server: &mut Server, wish: &str) -> String {
    let guests = wish.strip_prefix("add ").and_then(|wish| wish.strip_suffix(" guests"));
    if let Some(guests) = guests.and_then(|guests| guests.parse::<u32>().ok()) {
        (0..guests).for_each(|number| server.add(&format!("guest{number}")));
    } else if wish == "kill" {
        server.kill();
        server.launch();
    } else if wish == "invite" {
        let said = server.run(&["invite", "--from", "ana"], "").out;
        let page = said.split_whitespace().find(|word| word.starts_with("https://"));
        return page.unwrap_or(&said).to_owned();
    }
    String::new()
}
