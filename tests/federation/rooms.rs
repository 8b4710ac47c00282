//! Clients that others wrote, of people on two servers: in rooms of one and of the other, and with what
//! one side has sent to its server. `rooms.py` and `files.py` tell the stories.

use std::process::Command;

use calypte_tests::{
    Conduct, Foreign, Kind, Lab, Road, Server, Setup, Which, password, play, python,
};

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    Case { name: "prosody_meets_us_in_rooms", needs: &[Which::Prosody], play: prosody },
    Case { name: "ejabberd_meets_us_in_rooms", needs: &[Which::Ejabberd], play: ejabberd },
    Case { name: "prosody_leaves_no_ghosts", needs: &[Which::Prosody], play: ghosts },
    Case { name: "a_user_of_prosody_fetches_a_file", needs: &[Which::Prosody], play: file },
];

/// Returns a server whose rooms others find. What waits for them is given up soon.
fn ours(lab: &Lab) -> Setup {
    lab.publish("rooms.c.example", lab.v4(1));
    Setup::within(lab, "c.example", lab.v4(1))
        .shows(Kind::WithRooms)
        .set("federation.retry_for", "\"3 seconds\"")
}

fn theirs(lab: &Lab, which: Which) -> Foreign {
    Foreign::new(which, lab, "p.example", lab.v4(2)).rooms(lab).people(&["carl", "dora"]).start()
}

/// Returns the call of a story with people on both servers.
pub(crate) fn told(lab: &Lab, script: &str, story: &str) -> Command {
    let mut command = python(&format!("federation/{script}")).unwrap();
    command.arg(story).arg("--ca").arg(lab.ca()).args(["--password", &password("NAME")]);
    let (one, two) = (lab.v4(1).to_string(), lab.v4(2).to_string());
    command.args(["--ours", "c.example", &one, "--theirs", "p.example", &two]);
    command
}

#[track_caller]
pub(crate) fn well(played: Result<(), String>, ours: &Server) {
    if let Err(said) = played {
        panic!("our server:\n{}\n{said}", ours.log());
    }
}

const STEPS: &str =
    "enter talk order nick subject private kick leave invite history archive devices";
/// What not all of the others have.
const GOVERNED: &str = "take-back moderate ban away destroy";

fn prosody(lab: &Lab) {
    meet(lab, Which::Prosody);
}

fn ejabberd(lab: &Lab) {
    meet(lab, Which::Ejabberd);
}

/// slixmpp and aioxmpp are ours, both people there have slixmpp. In a room of ours, and in one of theirs.
fn meet(lab: &Lab, which: Which) {
    let ours = ours(lab).start();
    let _theirs = theirs(lab, which);
    for (host, more) in [("ours", GOVERNED), ("theirs", "")] {
        let steps = format!("{STEPS} {more}");
        well(play(told(lab, "rooms.py", host), &steps, |_| String::new()), &ours);
    }
}

/// The way to them is lost, and each server is killed, while people of both are in a room of ours.
fn ghosts(lab: &Lab) {
    let mut server = ours(lab).start();
    let mut other = theirs(lab, Which::Prosody);
    let road = Road::new(lab, "p.example", lab.v4(12), lab.v4(2));
    let way = |conduct: &Conduct| road.conduct(&[5269, 5270], conduct);
    // It does not wait until it would try again by itself.
    let mend = |server: &Server| {
        way(&Conduct::Honest);
        assert_eq!(server.run(&["peer", "retry", "p.example"], "").code, 0);
    };
    let steps = "enter way-lost theirs-killed theirs-back ours-killed nobody-twice";
    let played = play(told(lab, "rooms.py", "ghosts"), steps, |wish| {
        match wish {
            "cut the way to them" => way(&Conduct::Shut),
            "mend the way to them" => mend(&server),
            "kill theirs" => {
                other.kill();
                // Nobody listens there any more.
                way(&Conduct::Shut);
            }
            "start theirs" => {
                other.launch();
                mend(&server);
            }
            "kill ours" => server.kill(),
            "start ours" => server.launch(),
            _ => panic!("what is {wish}?"),
        }
        String::new()
    });
    well(played, &server);
}

/// Who is on another server gets the address of a file in a message, and fetches it by HTTPS.
fn file(lab: &Lab) {
    let server = ours(lab).set("listen.https", "\"198.51.100.1:443\"").start();
    let _other = theirs(lab, Which::Prosody);
    let mut files = told(lab, "files.py", "picture");
    // What aiohttp trusts.
    files.env("SSL_CERT_FILE", lab.ca());
    well(play(files, "sent fetched logout", |_| String::new()), &server);
}
