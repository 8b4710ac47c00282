//! Scripts that play with clients of others: where they are installed, what they say and ask for.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns the folder of a part that `tests/interop/setup` installed.
///
/// # Errors
///
/// When it is not there.
pub fn installed(part: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop").join(part);
    if folder.join("made-from").exists() {
        return folder.canonicalize().map_err(|error| error.to_string());
    }
    Err("the clients are not there: run tests/interop/setup".to_owned())
}

/// Returns the call of a script in Python below `tests`.
///
/// # Errors
///
/// When the clients are not installed.
pub fn python(script: &str) -> Result<Command, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(installed("venv")?.join("bin/python"));
    command.arg(tests.join(script));
    // What all of them share. Nothing is written next to the scripts.
    command.env("PYTHONPATH", tests.join("interop")).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Runs a script, does what it asks for (`please …`), and returns all that it said when it did not
/// end well or said `ok` to other steps than these.
///
/// # Errors
///
/// See above.
pub fn play(
    mut command: Command,
    steps: &str,
    mut grant: impl FnMut(&str) -> String,
) -> Result<(), String> {
    // Its complaints belong to what it said.
    let (output, end) = std::io::pipe().unwrap();
    command.stdin(Stdio::piped()).stdout(end.try_clone().unwrap()).stderr(end);
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    drop(command);
    let mut input = child.stdin.take().expect("it was piped");
    let (mut done, mut said) = (Vec::new(), String::new());
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        if let Some(step) = line.strip_prefix("ok ") {
            done.push(step.to_owned());
        }
        if let Some(wish) = line.strip_prefix("please ") {
            let answer = grant(wish);
            drop(writeln!(input, "{}", format!("done {answer}").trim_end()));
        }
    }
    let status = child.wait().unwrap();
    let expected: Vec<&str> = steps.split_whitespace().collect();
    if status.success() && done == expected {
        return Ok(());
    }
    Err(format!("it said:\n{said}\n{status}, expected {expected:?}"))
}
