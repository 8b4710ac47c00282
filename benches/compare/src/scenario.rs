//! What is compared: arguments for the load, and what to read from its answer.

use crate::servers::{Feature, Which};

/// One figure of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    /// Where it stands in the answer.
    pub(crate) path: &'static str,
    /// Whether less is better.
    pub(crate) is_cost: bool,
    /// What a release has to reach, and what we would like.
    pub(crate) goals: Option<(f64, f64)>,
    /// How many times better than Prosody we have to be in `--quick`.
    pub(crate) floor: Option<f64>,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) args: &'static str,
    /// With whom we compare.
    pub(crate) beside: Which,
    /// What Prosody does instead, where it has no such thing.
    pub(crate) instead: Option<&'static str>,
    /// What both servers have on besides what they always have.
    pub(crate) with: &'static [Feature],
    /// The account whose archive Prosody is given before, and how many messages that has: it would
    /// take long to write them.
    pub(crate) past: Option<(usize, usize)>,
    /// Whether once is enough: memory does not change from run to run.
    pub(crate) is_steady: bool,
    pub(crate) figures: &'static [Figure],
}

const PER_CPU: &str = "/result/per_cpu_s/median";

const fn rate(name: &'static str, path: &'static str, goals: Option<(f64, f64)>) -> Figure {
    Figure { name, path, is_cost: false, goals, floor: None }
}

const fn cost(name: &'static str, path: &'static str, goals: Option<(f64, f64)>) -> Figure {
    Figure { name, path, is_cost: true, goals, floor: None }
}

/// For a pull request: under a minute, both servers.
pub(crate) const QUICK: &[Scenario] = &[
    Scenario {
        args: "chat --window 3 --warm-up 1 --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: true,
        figures: &[Figure {
            floor: Some(CHAT_FLOOR),
            ..rate("chat, ping-pong: messages", PER_CPU, None)
        }],
    },
    Scenario {
        args: "chat --in-flight 16 --window 3 --warm-up 1 --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: true,
        figures: &[Figure {
            floor: Some(FLIGHT_FLOOR),
            ..rate("chat, 16 in flight: messages", PER_CPU, None)
        }],
    },
    Scenario {
        args: "login --accounts 200 --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: true,
        figures: &[Figure {
            floor: Some(LOGIN_FLOOR),
            ..rate("login, SCRAM-SHA-1: logins", PER_CPU, None)
        }],
    },
];

// Less than half of what was measured (README.md). Both servers run within the same minute on the same
// machine, so a slow or busy one changes both; what halves the ratio is a change of ours.
const CHAT_FLOOR: f64 = 2.5;
const FLIGHT_FLOOR: f64 = 4.0;
const LOGIN_FLOOR: f64 = 1.4;

/// An archive of so many messages. Prosody keeps it in files, Debian's default.
macro_rules! history {
    ($messages:literal, $name:literal, $first:literal, $middle:literal) => {
        Scenario {
            args: concat!("history --window 2 --messages ", $messages, " --first ", $first),
            beside: Which::Prosody,
            instead: Some(concat!(
                "history --window 2 --messages 0 --middle ",
                $middle,
                " --first ",
                $first
            )),
            with: &[Feature::Archive],
            past: Some(($first + READERS, $messages)),
            is_steady: true,
            figures: &[
                rate(concat!($name, ": kept twice, messages"), "/result/keep_per_cpu_s", None),
                cost(concat!($name, ": the first 50, µs"), PAGES.0, None),
                cost(concat!($name, ": the last 50, µs"), PAGES.1, None),
                cost(concat!($name, ": 50 behind the middle, µs"), PAGES.2, None),
            ],
        }
    };
}

/// A room with so many people, beside another server.
macro_rules! room {
    ($occupants:literal, $beside:ident) => {
        Scenario {
            args: concat!("room --repeat 1 --occupants ", $occupants),
            beside: Which::$beside,
            instead: None,
            with: &[Feature::Rooms],
            past: None,
            is_steady: false,
            figures: &[
                rate(
                    concat!("room of ", $occupants, ", ", stringify!($beside), ": deliveries"),
                    PER_CPU,
                    Some((120_000.0, 180_000.0)),
                ),
                cost(
                    concat!("room of ", $occupants, ", ", stringify!($beside), ": all enter, ms"),
                    "/result/enter_cpu_ms",
                    None,
                ),
            ],
        }
    };
}

/// Files of so many bytes, beside another server.
macro_rules! files {
    ($args:literal, $beside:ident, $name:literal) => {
        Scenario {
            args: concat!("files --tls wss ", $args),
            beside: Which::$beside,
            instead: None,
            with: &[Feature::Web, Feature::Files],
            past: None,
            is_steady: false,
            figures: &[
                rate(
                    concat!($name, ", ", stringify!($beside), ": up, MB"),
                    "/result/up/mb_per_cpu_s",
                    None,
                ),
                rate(
                    concat!($name, ", ", stringify!($beside), ": up by the clock, MB/s"),
                    "/result/up/mb_per_s",
                    None,
                ),
                cost(
                    concat!($name, ", ", stringify!($beside), ": up, MiB more"),
                    "/result/up/more_mib",
                    None,
                ),
                rate(
                    concat!($name, ", ", stringify!($beside), ": down, MB"),
                    "/result/down/mb_per_cpu_s",
                    None,
                ),
                rate(
                    concat!($name, ", ", stringify!($beside), ": down by the clock, MB/s"),
                    "/result/down/mb_per_s",
                    None,
                ),
                cost(
                    concat!($name, ", ", stringify!($beside), ": down, MiB more"),
                    "/result/down/more_mib",
                    None,
                ),
            ],
        }
    };
}

/// Clients that fill the archive of the account behind theirs: what the load does by itself.
const READERS: usize = 8;
const PAGES: (&str, &str, &str) = (
    "/result/first/page_cpu_us/median",
    "/result/last/page_cpu_us/median",
    "/result/middle/page_cpu_us/median",
);

/// For the README.
pub(crate) const FULL: &[Scenario] = &[
    Scenario {
        args: "chat --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: false,
        figures: &[rate("chat, ping-pong: messages", PER_CPU, Some((60_000.0, 90_000.0)))],
    },
    Scenario {
        args: "chat --in-flight 16 --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: false,
        figures: &[rate("chat, 16 in flight: messages", PER_CPU, Some((200_000.0, 400_000.0)))],
    },
    Scenario {
        args: "chat --sm --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: false,
        figures: &[rate("chat with XEP-0198: messages", PER_CPU, Some((50_000.0, 80_000.0)))],
    },
    Scenario {
        args: "login --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: false,
        figures: &[rate("login, SCRAM-SHA-1: logins", PER_CPU, Some((3000.0, 4500.0)))],
    },
    // Debian's Prosody has no SASL2: it does the login above.
    Scenario {
        args: "login --way sasl2 --repeat 1",
        beside: Which::Prosody,
        instead: Some("login --repeat 1"),
        with: &[],
        past: None,
        is_steady: false,
        figures: &[rate("login, SASL2 and Bind 2: logins", PER_CPU, None)],
    },
    Scenario {
        args: "login --way fast --repeat 1",
        beside: Which::Prosody,
        instead: Some("login --repeat 1"),
        with: &[],
        past: None,
        is_steady: false,
        figures: &[rate("login, by token: logins", PER_CPU, None)],
    },
    Scenario {
        args: "offline --sm --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: false,
        figures: &[
            rate(
                "offline store: messages",
                "/result/store_per_cpu_s/median",
                Some((15_000.0, 30_000.0)),
            ),
            rate("offline store by the clock: messages/s", "/result/store_per_s/median", None),
            rate(
                "offline delivery at login: messages",
                "/result/collect_per_cpu_s/median",
                Some((80_000.0, 150_000.0)),
            ),
        ],
    },
    Scenario {
        args: "pep --contacts 100 --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: false,
        figures: &[rate("told of what a contact published: notifications", PER_CPU, None)],
    },
    Scenario {
        args: "carbons --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[Feature::Carbons],
        past: None,
        is_steady: false,
        figures: &[rate("three devices each: messages and copies", PER_CPU, None)],
    },
    Scenario {
        args: "chat --in-flight 16 --repeat 1",
        beside: Which::Prosody,
        instead: None,
        with: &[Feature::Archive],
        past: None,
        is_steady: false,
        figures: &[rate("chat, 16 in flight, with history: messages", PER_CPU, None)],
    },
    room!(50, Prosody),
    room!(200, Prosody),
    room!(1000, Prosody),
    room!(50, Ejabberd),
    room!(200, Ejabberd),
    room!(1000, Ejabberd),
    Scenario {
        args: "room --repeat 1 --occupants 200 --history",
        beside: Which::Prosody,
        instead: None,
        with: &[Feature::Rooms, Feature::Archive],
        past: None,
        is_steady: false,
        figures: &[rate("room of 200 with a history, Prosody: deliveries", PER_CPU, None)],
    },
    files!("--files 20 --fetches 4", Prosody, "files of 1 MiB"),
    files!("--files 1 --fetches 4 --bytes 67108864", Prosody, "files of 64 MiB"),
    files!("--files 20 --fetches 4", Ejabberd, "files of 1 MiB"),
    files!("--files 1 --fetches 4 --bytes 67108864", Ejabberd, "files of 64 MiB"),
    Scenario {
        args: "idle --tls wss --accounts 2000 --hold 10",
        beside: Which::Prosody,
        instead: None,
        with: &[Feature::Web],
        past: None,
        is_steady: true,
        figures: &[
            cost("idle session over WebSocket: KiB", "/result/kib_each", None),
            cost("left behind by each: KiB", "/result/kib_each_left_behind", None),
        ],
    },
    Scenario {
        args: "idle --accounts 2000 --hold 10",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: true,
        figures: &[
            cost("idle session: KiB", "/result/kib_each", Some((20.0, 14.0))),
            cost("left behind by each: KiB", "/result/kib_each_left_behind", None),
        ],
    },
    Scenario {
        args: "slow --seconds 20",
        beside: Which::Prosody,
        instead: None,
        with: &[],
        past: None,
        is_steady: true,
        figures: &[
            cost("slow reader: MiB more", "/result/more_mib", Some((32.0, 8.0))),
            cost(
                "slow reader: bystanders' p99, µs",
                "/result/bystanders/p99_us",
                Some((20_000.0, 20_000.0)),
            ),
        ],
    },
];

/// Long histories.
pub(crate) const HISTORIES: &[Scenario] = &[
    history!(1000, "history of 1 000", 1000, "m500"),
    history!(100000, "history of 100 000", 1100, "m50000"),
    history!(1000000, "history of 1 000 000", 1200, "m500000"),
];
