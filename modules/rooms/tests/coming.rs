//! Plays a scene with people who are on their way into a room for a while.

use std::fs;
use std::path::Path;

/// What becomes of those on their way in, while they are.
const COMING: &str = r#"# XEP-0045 §7.2.4, §9.1: who is on the way in sees what it may by now.
capulet.example runs rooms, presence, roster
  [rooms]
  rate = 1000
  burst = 10000
montague.example runs rooms, presence, roster
crone is crone@capulet.example/desktop
hag is hag@capulet.example/pda
imp is imp@montague.example/a
crone opens coven@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
  muc#roomconfig_whois=anyone
WITCHES
hag sends
  <presence to="coven@rooms.capulet.example/thirdwitch"><x xmlns="http://jabber.org/protocol/muc"/></presence>
imp sends
  <presence to="coven@rooms.capulet.example/imp" id="e"><x xmlns="http://jabber.org/protocol/muc"/></presence>
# Addresses are hidden from now on.
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="c"><query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE"><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var="muc#roomconfig_whois"><value>moderators</value></field></x></query></iq>
what came is passed over
w12 sends
  <presence to="coven@rooms.capulet.example/w12"><show>away</show></presence>
hag receives
  <presence from="coven@rooms.capulet.example/w12"><show>away</show><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="participant"/></x>*</presence>
what came is passed over
# Who is banned does not come any more, and hears nothing.
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="b"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="outcast" jid="imp@montague.example"/></query></iq>
imp receives
  <presence from="coven@rooms.capulet.example/imp" type="error" id="e"><x xmlns="http://jabber.org/protocol/muc"/><error type="auth"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></presence>
w12 sends
  <presence to="coven@rooms.capulet.example/w12"><show>xa</show></presence>
imp receives nothing
what came is passed over
# One person has so many clients on their way in.
DEVICES
d17 receives
  <presence from="coven@rooms.capulet.example/nurse" type="error"><x xmlns="http://jabber.org/protocol/muc"/><error type="wait"><resource-constraint xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error></presence>
after 2 minutes
what came is passed over
# Of a moderator each device sees addresses, also one that comes later.
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="m"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="thirdwitch" role="moderator"/></query></iq>
after 2 minutes
what came is passed over
tablet is hag@capulet.example/tablet
tablet sends
  <presence to="coven@rooms.capulet.example/thirdwitch"><x xmlns="http://jabber.org/protocol/muc"/></presence>
tablet receives
  <presence from="coven@rooms.capulet.example/firstwitch"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="owner" role="moderator" jid="crone@capulet.example/desktop"/></x>*</presence>
after 2 minutes
what came is passed over
# What a client shows that asks for everything twice is not lost.
w01 sends 2 times
  <presence to="coven@rooms.capulet.example/w01"><show>dnd</show><x xmlns="http://jabber.org/protocol/muc"/></presence>
after 2 minutes
crone receives
  <presence from="coven@rooms.capulet.example/w01"><show>dnd</show>*</presence>
what came is passed over
"#;

#[expect(clippy::expect_used, reason = "the main function of a test program")]
fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rooms-coming");
    fs::create_dir_all(&folder).expect("a folder for the scene");
    let status = "x".repeat(8000);
    let place = |n: usize| format!("coven@rooms.capulet.example/w{n:02}");
    let enters = (1..=12).map(|n| {
        let place = place(n);
        format!("w{n:02} is w{n:02}@montague.example/a\nw{n:02} enters {place}\n")
    });
    let shows = (1..=12).map(|n| {
        let place = place(n);
        let presence = format!("<presence to=\"{place}\"><status>{status}</status></presence>");
        format!("w{n:02} sends\n  {presence}\nwhat came is passed over\n")
    });
    let witches: String = enters.chain(shows).collect();
    let devices = (1..=17).map(|n| {
        let x = "<x xmlns=\"http://jabber.org/protocol/muc\"/>";
        let presence = format!("<presence to=\"coven@rooms.capulet.example/nurse\">{x}</presence>");
        format!("what came is passed over\nd{n} is nurse@capulet.example/d{n}\nd{n} sends\n  {presence}\n")
    });
    let devices: String = devices.collect();
    fs::write(
        folder.join("coming.scene"),
        COMING.replace("WITCHES", &witches).replace("DEVICES\n", &devices),
    )
    .expect("the scene is written");
    let folder = folder.to_str().expect("a path of letters");
    testkit::main(folder, &[&calypte_rooms::MODULE, &presence::MODULE, &roster::MODULE]);
}
