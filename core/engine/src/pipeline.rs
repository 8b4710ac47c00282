//! The modules of a shard and what each of them asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use abi::Instance;
use calypte::{Command, Phase, Place};
use xmpp::{Kind, StanzaRef};

use crate::manifest::Manifest;

/// How many panics within [`PANIC_WINDOW_MS`] switch off a module that is no security module.
const PANICS_MAX: u32 = 3;
/// See [`PANICS_MAX`].
const PANIC_WINDOW_MS: u64 = 60_000;

/// The modules of a shard, in the operator's order.
#[derive(Debug, Default)]
pub struct Pipeline {
    slots: Vec<Slot>,
    /// By place and phase, in their order.
    stanza: [[Vec<StanzaHook>; Phase::ALL.len()]; Place::ALL.len()],
    iq: BTreeMap<(bool, String, String), Vec<IqHook>>,
    plain: BTreeMap<String, Vec<PlainHook>>,
}

/// One module.
#[derive(Debug)]
struct Slot {
    /// Taken out while it runs.
    instance: Option<Instance>,
    manifest: Manifest,
    /// The manifest's, to be lent to a call.
    name: Arc<str>,
    is_on: bool,
    panics: u32,
    panics_since_ms: u64,
    calls: u64,
}

/// The state of a module, for lists.
#[derive(Clone, Debug)]
pub struct ModuleState {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Whether it runs; off after too many panics.
    pub is_on: bool,
    /// How often it panicked.
    pub panics: u32,
    /// How often it was called.
    pub calls: u64,
}

/// How many functions stand at one place and phase, by module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCount {
    /// The place.
    pub place: Place,
    /// The phase.
    pub phase: Phase,
    /// The modules, in the order they run.
    pub modules: Vec<String>,
}

/// A function of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) module: usize,
    pub(crate) hook: u32,
}

#[derive(Debug)]
struct StanzaHook {
    function: Function,
    kind: Option<Kind>,
    payload: Option<(String, String)>,
    only_when_away: bool,
}

/// A function that answers requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IqHook {
    pub(crate) function: Function,
    /// Whether it is for the domain rather than for an account.
    pub(crate) of_domain: bool,
    /// Whether others than the account's own clients may ask.
    pub(crate) for_anyone: bool,
    /// Whether it is for the account of the client that asks, also when that asks the domain.
    pub(crate) is_own: bool,
}

/// Any other function, with its word: the name of a notice, path or command.
#[derive(Clone, Debug)]
pub(crate) struct PlainHook {
    pub(crate) function: Function,
    pub(crate) word: Arc<str>,
    /// Its second word, where it has one.
    pub(crate) second: Arc<str>,
    /// Whether it is a command with forms.
    pub(crate) has_forms: bool,
}

impl Pipeline {
    /// Adds a module behind those that are there.
    pub fn add(&mut self, instance: Instance, manifest: Manifest) {
        let module = self.slots.len();
        for (index, line) in manifest.hooks.iter().enumerate() {
            let Ok(hook) = u32::try_from(index) else { break };
            let function = Function { module, hook };
            match line.kind() {
                kind @ ("message" | "presence" | "iq" | "stanza") => {
                    let Some(at) = place_and_phase(line.word(1), line.word(2)) else { continue };
                    let payload = (line.word(3) != "-")
                        .then(|| (line.word(3).to_owned(), line.word(4).to_owned()));
                    let Some(hooks) = self.stanza_hooks_mut(at) else { continue };
                    hooks.push(StanzaHook {
                        function,
                        kind: Kind::of(kind),
                        payload,
                        only_when_away: line.word(5) == "away",
                    });
                }
                kind @ ("iq-get" | "iq-set") => {
                    let key = (kind == "iq-set", line.word(2).to_owned(), line.word(3).to_owned());
                    self.iq.entry(key).or_default().push(IqHook {
                        function,
                        of_domain: line.word(1) == "domain",
                        for_anyone: matches!(line.word(1), "domain" | "account-anyone"),
                        is_own: line.word(1) == "own",
                    });
                }
                kind => {
                    let word = line.word(1).into();
                    let has_forms = kind == "command" && line.word(4) == "forms";
                    let hooks = self.plain.entry(kind.to_owned()).or_default();
                    let second = line.word(2).into();
                    hooks.push(PlainHook { function, word, second, has_forms });
                }
            }
        }
        self.slots.push(Slot {
            instance: Some(instance),
            name: manifest.name.as_str().into(),
            manifest,
            is_on: true,
            panics: 0,
            panics_since_ms: 0,
            calls: 0,
        });
    }

    /// Returns the state of each module, in order.
    #[must_use]
    pub fn modules(&self) -> Vec<ModuleState> {
        let state = |slot: &Slot| ModuleState {
            manifest: slot.manifest.clone(),
            is_on: slot.is_on,
            panics: slot.panics,
            calls: slot.calls,
        };
        self.slots.iter().map(state).collect()
    }

    /// Returns which modules run where, for `calypte module order`.
    #[must_use]
    pub fn order(&self) -> Vec<HookCount> {
        let name = |hook: &StanzaHook| self.name(hook.function.module).to_owned();
        let row = |(place, phase): (Place, Phase)| {
            let mut modules: Vec<_> = self.stanza_hooks((place, phase)).iter().map(name).collect();
            modules.dedup();
            HookCount { place, phase, modules }
        };
        let all = Place::ALL.into_iter().flat_map(|place| Phase::ALL.map(|phase| (place, phase)));
        all.map(row).filter(|row| !row.modules.is_empty()).collect()
    }

    /// Returns what a client may ask for while it binds (XEP-0386).
    #[must_use]
    pub fn inline_features(&self) -> Vec<String> {
        let words = self.plain.get("bound").into_iter().flatten().map(|hook| &*hook.word);
        let mut names: Vec<_> = words.filter(|word| *word != "-").map(str::to_owned).collect();
        names.dedup();
        names
    }

    /// Tells whether clients can log in by tokens (XEP-0484).
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        self.plain.contains_key("token")
    }

    fn stanza_hooks(&self, (place, phase): (Place, Phase)) -> &[StanzaHook] {
        let place = self.stanza.get(place as usize);
        place.and_then(|phases| phases.get(phase as usize)).map_or(&[], Vec::as_slice)
    }

    fn stanza_hooks_mut(&mut self, (place, phase): (Place, Phase)) -> Option<&mut Vec<StanzaHook>> {
        self.stanza.get_mut(place as usize)?.get_mut(phase as usize)
    }

    pub(crate) fn name(&self, module: usize) -> &str {
        self.slots.get(module).map_or("", |slot| &slot.manifest.name)
    }

    /// Returns the name of a module, for as long as a call takes.
    pub(crate) fn lend_name(&self, module: usize) -> Arc<str> {
        self.slots.get(module).map_or_else(|| "".into(), |slot| Arc::clone(&slot.name))
    }

    pub(crate) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.slots.iter().map(|slot| &slot.manifest)
    }

    pub(crate) fn is_security(&self, module: usize) -> bool {
        self.slots.get(module).is_some_and(|slot| slot.manifest.is_security)
    }

    /// Returns the `index`th function at a place and phase, whether it wants the stanza, or `None`
    /// behind the last.
    pub(crate) fn stanza_hook(
        &self,
        at: (Place, Phase),
        index: usize,
        stanza: StanzaRef<'_>,
        is_away: bool,
    ) -> Option<Option<Function>> {
        let hook = self.stanza_hooks(at).get(index)?;
        let wanted = hook.kind.is_none_or(|kind| kind == stanza.kind)
            && (!hook.only_when_away || is_away)
            && hook.payload.as_ref().is_none_or(|(ns, name)| stanza.has(ns, name));
        Some(wanted.then_some(hook.function))
    }

    /// Finds who answers a request.
    pub(crate) fn iq_hook(
        &self,
        is_set: bool,
        ns: &str,
        name: &str,
        of_domain: bool,
    ) -> Option<IqHook> {
        let hooks = self.iq.get(&(is_set, ns.to_owned(), name.to_owned()))?;
        hooks.iter().find(|hook| hook.of_domain == of_domain).copied()
    }

    /// Returns the functions of a kind.
    pub(crate) fn plain(&self, kind: &str) -> Vec<PlainHook> {
        self.plain.get(kind).cloned().unwrap_or_default()
    }

    /// Finds who serves a label in front of the domain.
    pub(crate) fn server_of(&self, label: &str) -> Option<&PlainHook> {
        self.plain.get("serve")?.iter().find(|hook| *hook.word == *label)
    }

    /// Tells whether a module runs; one that panicked too often does not.
    pub(crate) fn is_on(&self, module: usize) -> bool {
        self.slots.get(module).is_some_and(|slot| slot.is_on)
    }

    /// Returns the commands of the modules that run: node, who and title as in the manifest.
    pub(crate) fn commands(&self) -> Vec<(Function, Command)> {
        let mut all = Vec::new();
        for (module, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.is_on) {
            for (line, hook) in slot.manifest.hooks.iter().zip(0..) {
                let words = line.words.get(1..).unwrap_or_default().join("\t");
                let command = (line.kind() == "command").then(|| Command::read(&words)).flatten();
                all.extend(command.map(|command| (Function { module, hook }, command)));
            }
        }
        all
    }

    /// Takes the instance out to run it; `None` when it is off or running already.
    pub(crate) fn take(&mut self, module: usize) -> Option<Instance> {
        let slot = self.slots.get_mut(module).filter(|slot| slot.is_on)?;
        slot.calls = slot.calls.wrapping_add(1);
        slot.instance.take()
    }

    /// Puts the instance back.
    pub(crate) fn put_back(&mut self, module: usize, instance: Instance) {
        if let Some(slot) = self.slots.get_mut(module) {
            slot.instance = Some(instance);
        }
    }

    /// Counts a panic and says whether the module was switched off for it.
    pub(crate) fn panicked(&mut self, module: usize, now_ms: u64) -> bool {
        let Some(slot) = self.slots.get_mut(module) else { return false };
        if now_ms.saturating_sub(slot.panics_since_ms) > PANIC_WINDOW_MS {
            slot.panics_since_ms = now_ms;
            slot.panics = 0;
        }
        slot.panics = slot.panics.saturating_add(1);
        let is_over = slot.panics >= PANICS_MAX && !slot.manifest.is_security;
        slot.is_on &= !is_over;
        is_over
    }
}

fn place_and_phase(place: &str, phase: &str) -> Option<(Place, Phase)> {
    let place = Place::ALL.into_iter().find(|one| one.name() == place)?;
    let phase = Phase::ALL.into_iter().find(|one| one.name() == phase)?;
    Some((place, phase))
}
