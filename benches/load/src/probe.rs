//! What the server costs: processor time and memory of its processes, from /proc.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use nix::unistd::{SysconfVar, sysconf};
use serde_json::{Value, json};

/// The processes of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    roots: Vec<String>,
}

/// One look at them.
#[derive(Clone, Debug)]
pub(crate) struct Snap {
    at: Instant,
    user: f64,
    system: f64,
    pub(crate) pss_kib: u64,
    switches: u64,
    written: u64,
    /// Processor time of the generator itself.
    own: f64,
}

/// Parent, user and system time of a process, in seconds.
fn stat(pid: u32) -> Option<(u32, f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    let ticks = sysconf(SysconfVar::CLK_TCK).ok()??;
    let seconds = |text: &str| text.parse::<f64>().ok().map(|count| count / ticks as f64);
    Some((fields.get(1)?.parse().ok()?, seconds(fields.get(11)?)?, seconds(fields.get(12)?)?))
}

/// Returns the first number in the line that begins with `key`.
fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Probe {
    /// Each word is a process id, or the path of a file with one, which is read at every look.
    pub(crate) fn new(words: &str) -> Self {
        let words = words.split([',', ' ']).filter(|word| !word.is_empty());
        Self { roots: words.map(str::to_owned).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Returns the processes with their children.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let root = |word: &String| {
            word.parse().ok().or_else(|| fs::read_to_string(word).ok()?.trim().parse().ok())
        };
        let mut found: BTreeSet<u32> = self.roots.iter().filter_map(root).collect();
        if found.is_empty() {
            return Vec::new();
        }
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            if let Some((pid, (parent, ..))) = pid.and_then(|pid| Some((pid, stat(pid)?))) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut open: Vec<u32> = found.iter().copied().collect();
        while let Some(pid) = open.pop() {
            for child in children.get(&pid).into_iter().flatten() {
                if found.insert(*child) {
                    open.push(*child);
                }
            }
        }
        found.into_iter().filter(|pid| stat(*pid).is_some()).collect()
    }

    pub(crate) fn snap(&self) -> Snap {
        let mut snap = self.snap_cpu();
        for pid in self.pids() {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            snap.pss_kib += number(&text, "Pss:");
        }
        snap
    }

    /// As [`Probe::snap`], without the walk over the memory.
    pub(crate) fn snap_cpu(&self) -> Snap {
        let own = stat(std::process::id()).map_or(0.0, |(_, user, system)| user + system);
        let at = Instant::now();
        let mut snap =
            Snap { at, user: 0.0, system: 0.0, pss_kib: 0, switches: 0, written: 0, own };
        for pid in self.pids() {
            let Some((_, user, system)) = stat(pid) else { continue };
            snap.user += user;
            snap.system += system;
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                snap.switches += number(&text, "voluntary_ctxt_switches:");
                snap.switches += number(&text, "nonvoluntary_ctxt_switches:");
            }
            let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            snap.written += number(&text, "write_bytes:");
        }
        snap
    }
}

/// Returns `value` to the thousandth.
pub(crate) fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Snap {
    pub(crate) fn cpu_since(&self, before: &Self) -> f64 {
        self.user + self.system - before.user - before.system
    }

    pub(crate) fn wall_since(&self, before: &Self) -> f64 {
        (self.at - before.at).as_secs_f64()
    }

    /// Returns what happened since `before`.
    pub(crate) fn since(&self, before: &Self) -> Value {
        json!({
            "wall_s": thousandths(self.wall_since(before)),
            "user_s": thousandths(self.user - before.user),
            "system_s": thousandths(self.system - before.system),
            "switches": self.switches.saturating_sub(before.switches),
            "written_kib": self.written.saturating_sub(before.written) / 1024,
            "generator_cpu_s": thousandths(self.own - before.own),
        })
    }
}
