//! Passwords from people and scripts: never from the arguments, which everybody can see.

use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin};
use std::path::{Path, PathBuf};

use crypto::Secret;
use nix::sys::termios::{self, LocalFlags, SetArg};

/// Longer than any password; what follows is not read.
const BYTES_MAX: u64 = 1024;

/// Where the password comes from
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Read the password from the first line of a file instead of asking
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Make a password and print it
    #[arg(long, conflicts_with = "password_file")]
    random: bool,
}

impl Source {
    /// Returns the password; asks for it twice on a terminal, and else reads a line of standard
    /// input. The flag says that it was made here and has to be shown.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(super) fn read(&self, account: &str) -> Result<(Secret, bool), String> {
        if self.random {
            return Ok((random(), true));
        }
        let password = match &self.password_file {
            Some(file) => from_file(file)?,
            None if stdin().is_terminal() => ask(account)?,
            None => line(&mut stdin().lock())?,
        };
        Ok((password, false))
    }
}

fn from_file(file: &Path) -> Result<Secret, String> {
    let opened = std::fs::File::open(file);
    let opened = opened.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    line(&mut std::io::BufReader::new(opened))
}

fn line(from: &mut dyn BufRead) -> Result<Secret, String> {
    let mut text = String::new();
    from.take(BYTES_MAX)
        .read_line(&mut text)
        .map_err(|error| format!("the password cannot be read: {error}"))?;
    let trimmed = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(trimmed);
    if text.is_empty() { Err("the password is empty".to_owned()) } else { Ok(Secret::from(text)) }
}

fn ask(account: &str) -> Result<Secret, String> {
    let first = hidden(&format!("Password for {account}: "))?;
    let second = hidden("Once more: ")?;
    if crypto::equal(first.expose(), second.expose()) {
        Ok(first)
    } else {
        Err("the two passwords differ; nothing was changed".to_owned())
    }
}

/// Reads a line from the terminal without showing it.
fn hidden(prompt: &str) -> Result<Secret, String> {
    let terminal = stdin();
    let before = termios::tcgetattr(&terminal).map_err(|error| format!("no terminal: {error}"))?;
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    drop(write!(stderr(), "{prompt}"));
    drop(stderr().flush());
    termios::tcsetattr(&terminal, SetArg::TCSAFLUSH, &quiet)
        .map_err(|error| format!("the terminal cannot hide what is typed: {error}"))?;
    let read = line(&mut terminal.lock());
    let restored = termios::tcsetattr(&terminal, SetArg::TCSAFLUSH, &before);
    drop(writeln!(stderr()));
    match restored {
        Ok(()) => read,
        Err(error) => Err(format!("the terminal stays without echo ({error}); type `stty echo`")),
    }
}

/// Makes a password of 100 bits in letters that are not mistaken for each other.
pub(super) fn random() -> Secret {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    crypto::random(&mut bytes);
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if index != 0 && index.is_multiple_of(5) {
            text.push('-');
        }
        let letter = LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
        text.push(char::from(letter));
    }
    Secret::from(text)
}

/// Returns a password as text.
pub(super) fn text(password: &Secret) -> &str {
    std::str::from_utf8(password.expose()).unwrap_or_default()
}
