//! What is wrong with a configuration, and how the operator is told.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// How often the same thing is shown with its place.
const REPEATS_MAX: usize = 3;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The server does not start with it.
    Error,
    /// The server starts, but somebody should look.
    Warning,
}

/// One thing to change, with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// Where it is, in bytes.
    pub(crate) at: Range<usize>,
    /// What is wrong, one sentence without the full stop.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) hint: String,
}

impl Problem {
    /// Makes an error.
    pub(crate) fn error(
        at: Range<usize>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Error, at, what: what.into(), hint: hint.into() }
    }

    /// Makes a warning.
    pub(crate) fn warning(
        at: Range<usize>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, what, hint) }
    }
}

/// All problems of one file. Never empty where it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems {
    path: PathBuf,
    text: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Collects what was found in `text`, read from `path`: worst first, then as in the file.
    pub(crate) fn new(path: &Path, text: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| (problem.severity, problem.at.start, problem.at.end));
        list.dedup();
        Self { path: path.to_owned(), text: text.to_owned(), list }
    }

    /// Tells whether the server can start in spite of them.
    pub(crate) fn only_warnings(&self) -> bool {
        self.list.iter().all(|problem| problem.severity == Severity::Warning)
    }

    /// Tells whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the text for a person, in colour when standard error is a terminal that wants it.
    pub(crate) fn for_terminal(&self) -> String {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        self.render(if colour { Renderer::styled() } else { Renderer::plain() })
    }

    /// Returns each problem on one line, for the log: `file:line:column: what; hint`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines_of(|_| true)
    }

    /// Returns the same of what has to be mended, without warnings.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.lines_of(|problem| problem.severity == Severity::Error)
    }

    fn lines_of(&self, is_meant: impl Fn(&Problem) -> bool) -> Vec<String> {
        let line = |problem: &Problem| {
            let before = self.text.get(..self.inside(&problem.at).start).unwrap_or("");
            let number = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let path = self.path.display();
            format!("{path}:{number}:{column}: {}; {}", problem.what, problem.hint)
        };
        self.list.iter().filter(|problem| is_meant(problem)).map(line).collect()
    }

    fn render(&self, renderer: Renderer) -> String {
        let path = self.path.display().to_string();
        let mut out = String::new();
        let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for problem in &self.list {
            let times = told.entry((&problem.what, &problem.hint)).or_default();
            *times += 1;
            if *times > REPEATS_MAX {
                continue;
            }
            let level = match problem.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let mark = AnnotationKind::Primary.span(self.inside(&problem.at)).label(&problem.hint);
            let snippet = Snippet::source(&self.text).path(&path).annotation(mark);
            out.push_str(&renderer.render(&[level.primary_title(&problem.what).element(snippet)]));
            out.push_str("\n\n");
        }
        for ((what, _), times) in told.iter().filter(|(_, times)| **times > REPEATS_MAX) {
            out.push_str(&format!("{what}: {times} times\n\n"));
        }
        out.push_str(&self.count());
        out
    }

    /// Returns `range` cut to the text, on character boundaries, on one line, and not empty where
    /// possible: the renderer must not stumble over a place that a parser reported one byte off.
    fn inside(&self, range: &Range<usize>) -> Range<usize> {
        let mut start = range.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let rest = self.text.get(start..).unwrap_or("");
        let line = rest.find('\n').unwrap_or(rest.len());
        let mut end = range.end.clamp(start, start + line);
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }

    fn count(&self) -> String {
        let of = |severity| self.list.iter().filter(|one| one.severity == severity).count();
        let say = |count: usize, one: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{count} {one}s")),
        };
        let parts = [say(of(Severity::Error), "problem"), say(of(Severity::Warning), "warning")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{} in {}", parts.join(" and "), self.path.display())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Renderer::plain()))
    }
}

/// Returns the word of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |candidate: &&str| strsim::jaro_winkler(word, candidate);
    let best = known.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(&best) >= 0.8).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_places_do_not_break_the_report() {
        let text = "a = 'ä'\nb";
        for start in 0..12 {
            for end in 0..12 {
                let problems = vec![Problem::error(start..end, "what", "hint")];
                let told = Problems::new(Path::new("x.toml"), text, problems).to_string();
                assert!(told.ends_with("1 problem in x.toml"), "{told}");
            }
        }
    }

    #[test]
    fn the_same_thing_is_not_told_without_end() {
        let problems = (0..50).map(|at| Problem::error(at..at + 1, "w", "h")).collect();
        let told = Problems::new(Path::new("x"), &"a ".repeat(50), problems).to_string();
        assert_eq!(told.matches("error: w").count(), REPEATS_MAX);
        assert!(told.contains("w: 50 times"));
    }

    #[test]
    fn lines_have_places() {
        let problems = vec![Problem::error(6..7, "w", "h"), Problem::error(99..99, "w", "h")];
        let lines = Problems::new(Path::new("x"), "ä = 1\nb = 2", problems).lines();
        assert_eq!(lines, ["x:1:6: w; h", "x:2:6: w; h"]);
    }

    #[test]
    fn suggests_what_is_near() {
        assert_eq!(nearest("stanzas", ["stanza", "queue"]), Some("stanza"));
        assert_eq!(nearest("zzz", ["stanza", "queue"]), None);
    }
}
