//! The two servers: their files, their accounts, starting and stopping them.

mod ejabberd;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac, pbkdf2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};

/// The domain of both.
pub(crate) const DOMAIN: &str = "a.test";
const PASSWORD: &str = "secret";
/// Both hash passwords as often.
const ITERATIONS: u32 = 4096;
const SALT: &str = "0f1e2d3c-bench-salt";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Calypte,
    Prosody,
    Ejabberd,
}

/// What is off unless a scenario is about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// A history of both sides (XEP-0313).
    Archive,
    /// Copies for other devices (XEP-0280).
    Carbons,
    /// Rooms (XEP-0045) at `rooms.a.test`.
    Rooms,
    /// HTTPS with WebSocket (RFC 7395) in place of the port for clients.
    Web,
    /// Files (XEP-0363), with [`Self::Web`].
    Files,
}

impl Feature {
    const ALL: [Self; 5] = [Self::Archive, Self::Carbons, Self::Rooms, Self::Web, Self::Files];

    /// Returns our module.
    const fn ours(self) -> Option<&'static str> {
        match self {
            Self::Archive => Some("archive"),
            Self::Carbons => Some("carbons"),
            Self::Rooms => Some("rooms"),
            Self::Web => None,
            Self::Files => Some("upload"),
        }
    }

    /// Returns Prosody's module of the domain.
    const fn theirs(self) -> Option<&'static str> {
        match self {
            Self::Archive => Some("mam"),
            Self::Carbons => Some("carbons"),
            Self::Web => Some("websocket"),
            Self::Rooms | Self::Files => None,
        }
    }
}

/// Both servers, in a folder of their own.
#[derive(Debug)]
pub(crate) struct Servers {
    folder: tempfile::TempDir,
    calypte: PathBuf,
    port: u16,
    accounts: usize,
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) to: SocketAddr,
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Servers {
    /// Makes certificates, configurations and `accounts` accounts for both.
    pub(crate) fn new(calypte: &Path, port: u16, accounts: usize) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(told)?;
        let servers = Self { folder, calypte: calypte.to_owned(), port, accounts };
        servers.certificates()?;
        servers.write("calypte.toml", &servers.calypte_config(&[]))?;
        servers.calypte_accounts(accounts)?;
        servers.prosody_accounts(accounts)?;
        Ok(servers)
    }

    /// Returns the certificate of the authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        fs::write(self.file(name), text).map_err(told)
    }

    fn certificates(&self) -> Result<(), String> {
        let mut params = CertificateParams::new(Vec::new()).map_err(told)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // ejabberd sets a timer for the end of each certificate, and has none for the year 4096.
        params.not_after = date_time_ymd(2090, 1, 1);
        let key = KeyPair::generate().map_err(told)?;
        let ca = CertifiedIssuer::self_signed(params, key).map_err(told)?;
        let key = KeyPair::generate().map_err(told)?;
        let mut params = CertificateParams::new(vec![DOMAIN.to_owned()]).map_err(told)?;
        params.not_after = date_time_ymd(2090, 1, 1);
        // Otherwise it would have the name of its authority.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, DOMAIN);
        let leaf = params.signed_by(&key, &ca).map_err(told)?;
        self.write("ca.pem", &ca.pem())?;
        self.write("chain.pem", &format!("{}{}", leaf.pem(), ca.pem()))?;
        self.write("key.pem", &key.serialize_pem())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(self.file("key.pem"), mode).map_err(told)
    }

    fn calypte_config(&self, with: &[Feature]) -> String {
        let (at, port) = (self.folder.path().display(), self.port);
        // No bound on what one client may send: that is what is measured. What Prosody has no module
        // for as it is configured here, we do without.
        let off: Vec<_> = Feature::ALL
            .iter()
            .filter(|feature| !with.contains(feature))
            .filter_map(|feature| feature.ours())
            .map(|module| format!(", \"{module}\""))
            .collect();
        let off = off.concat();
        let mut more = String::new();
        if with.contains(&Feature::Rooms) {
            more += "[modules.rooms]\nrate = 1000\nburst = 10000\noccupants = 5000\n";
        }
        if with.contains(&Feature::Files) {
            more += "[modules.upload]\nper_day = \"1000 GiB\"\nper_account = \"1000 GiB\"\n\
                     total = \"1000 GiB\"\n";
        }
        let (direct, https) = match with.contains(&Feature::Web) {
            true => (String::new(), format!("\"127.0.0.1:{port}\"")),
            false => (format!("\"127.0.0.1:{port}\""), String::new()),
        };
        format!(
            "domain = \"{DOMAIN}\"\ndata = \"{at}/calypte\"\n[tls]\n\
             certificate = \"{at}/chain.pem\"\nkey = \"{at}/key.pem\"\n[listen]\nc2s = []\n\
             c2s_tls = [{direct}]\nhttps = [{https}]\nhttp = []\ns2s = []\ns2s_tls = []\n\
             [limits]\nconnections_per_address = 20000\nlogging_in = 10000\nweb = 20000\n\
             web_per_address = 20000\ntraffic = \"1 GiB\"\nburst = \"1 GiB\"\n[login]\niterations = {ITERATIONS}\n\
             [modules]\ndisable = [\"blocklist\"{off}]\n\
             [modules.pep]\nrate = 60000\n\
             {more}"
        )
    }

    /// As somebody would who knows Prosody: with the generational collector, which makes it several
    /// times faster than Debian's default, and without its limits of traffic.
    fn prosody_config(&self, with: &[Feature]) -> String {
        let (at, port) = (self.folder.path().display(), self.port);
        let on = with.iter().filter_map(|feature| feature.theirs());
        let on: Vec<_> = on.map(|name| format!("\"{name}\"; ")).collect();
        let on = on.concat();
        let mut more = String::new();
        if with.contains(&Feature::Rooms) {
            more += &format!("Component \"rooms.{DOMAIN}\" \"muc\"\n");
            if with.contains(&Feature::Archive) {
                more += "modules_enabled = { \"muc_mam\" }\n";
            }
        }
        if with.contains(&Feature::Files) {
            more += &format!(
                "Component \"upload.{DOMAIN}\" \"http_file_share\"\nhttp_host = \"{DOMAIN}\"\n\
                 http_file_share_size_limit = 104857600\n\
                 http_file_share_daily_quota = 1099511627776\n"
            );
        }
        let (direct, https) = match with.contains(&Feature::Web) {
            true => (String::new(), port.to_string()),
            false => (port.to_string(), String::new()),
        };
        format!(
            "run_as_root = true\ndaemonize = false\npidfile = \"{at}/prosody.pid\"\n\
             data_path = \"{at}/prosody\"\nnetwork_backend = \"epoll\"\n\
             network_settings = {{ tcp_backlog = 4096 }}\ngc = {{ mode = \"generational\" }}\n\
             modules_enabled = {{ \"roster\"; \"saslauth\"; \"tls\"; \"disco\"; \"version\"; \
             \"ping\"; \"smacks\"; \"pep\"; {on}}}\narchive_expires_after = \"never\"\n\
             storage_archive_item_limit = 4000000\ninterfaces = {{ \"127.0.0.1\" }}\nc2s_ports = {{ }}\n\
             c2s_direct_tls_ports = {{ {direct} }}\ns2s_ports = {{ }}\nhttp_ports = {{ }}\n\
             https_ports = {{ {https} }}\nhttps_interfaces = {{ \"127.0.0.1\" }}\nssl = {{ certificate = \"{at}/chain.pem\"; key = \
             \"{at}/key.pem\" }}\nc2s_direct_tls_ssl = {{ certificate = \"{at}/chain.pem\"; key = \
             \"{at}/key.pem\" }}\nauthentication = \"internal_hashed\"\nstorage = \"internal\"\n\
             log = {{ warn = \"{at}/prosody.log\" }}\nstatistics = false\n\
             VirtualHost \"{DOMAIN}\"\n{more}"
        )
    }

    fn calypte_accounts(&self, accounts: usize) -> Result<(), String> {
        let mut lines = String::new();
        for number in 0..accounts {
            writeln!(lines, "u{number} {PASSWORD}").map_err(told)?;
        }
        let mut import = Command::new(&self.calypte);
        import.arg("--config").arg(self.file("calypte.toml")).args(["user", "import", "-"]);
        let mut child = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(told)?;
        let input = child.stdin.take().ok_or("no standard input")?;
        (&input).write_all(lines.as_bytes()).map_err(told)?;
        drop(input);
        let status = child.wait().map_err(told)?;
        if status.success() { Ok(()) } else { Err(format!("user import ended with {status}")) }
    }

    /// One salt for all: the work of a login is the same, and the clients derive their keys once.
    fn prosody_accounts(&self, accounts: usize) -> Result<(), String> {
        let folder = self.file("prosody").join(DOMAIN.replace('.', "%2e")).join("accounts");
        fs::create_dir_all(&folder).map_err(told)?;
        let mut salted = [0; 20];
        let iterations = NonZeroU32::new(ITERATIONS).ok_or("no iterations")?;
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA1;
        pbkdf2::derive(algorithm, iterations, SALT.as_bytes(), PASSWORD.as_bytes(), &mut salted);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salted);
        let client = hmac::sign(&key, b"Client Key");
        let stored = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, client.as_ref());
        let server = hmac::sign(&key, b"Server Key");
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        };
        let record = format!(
            "return {{\n\t[\"iteration_count\"] = {ITERATIONS};\n\t[\"salt\"] = \"{SALT}\";\n\
             \t[\"stored_key\"] = \"{}\";\n\t[\"server_key\"] = \"{}\";\n}};\n",
            hex(stored.as_ref()),
            hex(server.as_ref())
        );
        for number in 0..accounts {
            fs::write(folder.join(format!("u{number}.dat")), &record).map_err(told)?;
        }
        Ok(())
    }

    /// Writes an archive as Prosody does, with messages `m0` and so on.
    pub(crate) fn prosody_past(&self, account: usize, messages: usize) -> Result<(), String> {
        let folder = self.file("prosody").join(DOMAIN.replace('.', "%2e")).join("archive");
        fs::create_dir_all(&folder).map_err(told)?;
        let file = File::create(folder.join(format!("u{account}.list"))).map_err(told)?;
        let mut file = std::io::BufWriter::new(file);
        for number in 0..messages {
            let (from, at) = (account.saturating_sub(1), 1_780_000_000 + number);
            writeln!(
                file,
                "item({{\n\t{{\n\t\t\"The quick brown fox jumps over the lazy dog near the river b\";\n\
                 \t\t[\"name\"] = \"body\";\n\t\t[\"attr\"] = {{}};\n\t}};\n\t[\"with\"] = \
                 \"u{from}@{DOMAIN}\";\n\t[\"when\"] = {at};\n\t[\"key\"] = \"m{number}\";\n\
                 \t[\"name\"] = \"message\";\n\t[\"attr\"] = {{\n\t\t[\"to\"] = \
                 \"u{account}@{DOMAIN}\";\n\t\t[\"id\"] = \"h{number:x}\";\n\t\t[\"from\"] = \
                 \"u{from}@{DOMAIN}/0RmbdvfxyBEX\";\n\t\t[\"type\"] = \"chat\";\n\t\t[\"xml:lang\"] \
                 = \"en\";\n\t}};\n}});"
            )
            .map_err(told)?;
        }
        file.flush().map_err(told)
    }

    /// Starts a server with these features and waits until it accepts connections.
    pub(crate) fn start(&self, which: Which, with: &[Feature]) -> Result<Running, String> {
        match which {
            Which::Calypte => self.write("calypte.toml", &self.calypte_config(with))?,
            Which::Prosody => self.write("prosody.cfg.lua", &self.prosody_config(with))?,
            Which::Ejabberd => {
                drop(fs::remove_file(self.file("ejabberd.ready")));
                self.ejabberd_files(with)?;
            }
        }
        let to = SocketAddr::from(([127, 0, 0, 1], self.port));
        if TcpStream::connect(to).is_ok() {
            return Err(format!("somebody listens at {to} already; give another --port"));
        }
        let mut command = match which {
            Which::Calypte => {
                let mut command = Command::new(&self.calypte);
                command.arg("--config").arg(self.file("calypte.toml")).arg("run");
                command
            }
            Which::Prosody => {
                let mut command = Command::new("prosody");
                command.arg("-F").arg("--config").arg(self.file("prosody.cfg.lua"));
                command
            }
            Which::Ejabberd => self.ejabberd(),
        };
        let log = File::create(self.file(&format!("{which:?}.out"))).map_err(told)?;
        let second = log.try_clone().map_err(told)?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(second).spawn();
        let child = child.map_err(|error| format!("{which:?} does not start: {error}"))?;
        let running = Running { child, to };
        let start = Instant::now();
        // ejabberd listens before its accounts are made.
        let is_ready = || which != Which::Ejabberd || self.file("ejabberd.ready").exists();
        while TcpStream::connect(running.to).is_err() || !is_ready() {
            if start.elapsed() > Duration::from_secs(120) {
                let said = fs::read_to_string(self.file(&format!("{which:?}.out")));
                return Err(format!("{which:?} does not listen: {}", said.unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let start = Instant::now();
        // One that is gone already is as good.
        let _gone = kill(pid, Signal::SIGTERM);
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(20) {
                drop(self.child.kill());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
