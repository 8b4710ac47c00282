//! The servers of others among themselves: what the story asks is what they do, and the road between
//! them can be made dangerous.

use std::sync::Arc;
use std::time::Duration;

use calypte_tests::{Conduct, Foreign, Impostor, Lab, Road, Which};
use rustls::version::{TLS12, TLS13};

use crate::Case;
use crate::story::{Person, Ways, tell};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "prosody_and_ejabberd",
        needs: &[Which::Prosody, Which::Ejabberd],
        play: prosody_and_ejabberd,
    },
    Case {
        name: "prosody_and_pyjabber",
        needs: &[Which::Prosody, Which::Pyjabber],
        play: prosody_and_pyjabber,
    },
    Case { name: "a_road_can_be_dangerous", needs: &[Which::Prosody], play: roads },
];

/// They call a server that does not answer what they like.
pub(crate) const LOOSE: Ways =
    Ways { unreachable: &["remote-server-timeout", "remote-server-not-found"] };

fn prosody_and_ejabberd(lab: &Lab) {
    let prosody = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(1)).start();
    let ejabberd = Foreign::new(Which::Ejabberd, lab, "e.example", lab.v4(2)).start();
    tell(lab, &prosody, &ejabberd, [LOOSE; 2]);
    tell(lab, &ejabberd, &prosody, [LOOSE; 2]);
}

/// pyjabber takes the XML declaration of a stream that began anew for a fault, so these two cannot
/// speak; who writes is told.
fn prosody_and_pyjabber(lab: &Lab) {
    let prosody = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(1)).start();
    let pyjabber = Foreign::new(Which::Pyjabber, lab, "y.example", lab.v4(2)).start();
    let (mut ana, mut ben) = (Person::login(&prosody, "ana"), Person::login(&pyjabber, "ben"));
    ana.write("ben@y.example", "refused");
    ana.bounced("refused");
    ben.write("ben@y.example", "own");
    ben.client.expect(&["own"]);
}

/// Two Prosodys, who remember nothing of each other: an impostor with certificates reads what they
/// say. So we know that the attacks of these tests work.
fn roads(lab: &Lab) {
    let one = Foreign::new(Which::Prosody, lab, "p.example", lab.v4(1)).start();
    let two = Foreign::new(Which::Prosody, lab, "q.example", lab.v4(2)).start();
    let road = Road::new(lab, "q.example", lab.v4(12), lab.v4(2));
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    ana.tells(&mut ben, &["honest".to_owned()]);
    assert!(!road.has_seen("honest"));
    for (index, version) in [&TLS13, &TLS12].into_iter().enumerate() {
        let who = Impostor::new(lab, "p.example", "q.example");
        let who = Impostor { versions: vec![version], ..who };
        let impostor = Conduct::Impostor(Arc::new(who));
        road.conduct(&[5270, 5269], &impostor);
        notice();
        let secret = format!("secret-{index}");
        ana.tells(&mut ben, std::slice::from_ref(&secret));
        assert!(road.has_seen(&secret), "{}", road.seen());
    }
    road.conduct(&[5270], &Conduct::Shut);
    road.conduct(&[5269], &Conduct::Strip);
    notice();
    // It asks for TLS also when nobody offers it.
    ana.tells(&mut ben, &["stripped".to_owned()]);
    for conduct in [Conduct::Fail, Conduct::Plain, Conduct::Shut] {
        road.conduct(&[5269], &conduct);
        notice();
        ana.write("ben@q.example", "refused");
        ana.bounced("refused");
    }
    assert!(!road.has_seen("stripped") && !road.has_seen("refused"), "{}", road.seen());
    assert!(road.has_seen("<starttls"));
}

/// Lets Prosody see that it has lost its connections. What it writes before is lost.
fn notice() {
    std::thread::sleep(Duration::from_millis(500));
}
