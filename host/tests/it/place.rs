//! A folder with a certificate, in which the program is run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A temporary folder with `cert.pem` and `key.pem` for chat.example.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["chat.example".to_owned(), "rooms.chat.example".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        place.write("cert.pem", &certificate.pem());
        place.write("key.pem", &key.serialize_pem());
        place.chmod("key.pem", 0o600);
        place
    }

    /// With a configuration that can start.
    pub(crate) fn with_config() -> Self {
        let place = Self::new();
        let text = "domain = \"chat.example\"\ndata = \"data\"\n[tls]\ncertificate = \"cert.pem\"\n\
                    key = \"key.pem\"\n[login]\niterations = 4096\n";
        place.write("calypte.toml", text);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    pub(crate) fn chmod(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;

        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.file(name), mode).unwrap();
    }

    /// Runs the program in the folder with `input` on its standard input.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_calypte"))
            .args(args)
            .current_dir(self.path())
            .env_remove("CALYPTE_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that reads nothing may be gone already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        Ran::of(&child.wait_with_output().unwrap())
    }

    /// Runs a command with the configuration of the folder.
    pub(crate) fn calypte(&self, args: &[&str], input: &str) -> Ran {
        self.run(&[&["--config", "calypte.toml"], args].concat(), input)
    }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }
}
