//! Plays scenes with so many people, or so much said, that not all of it comes at once.

use std::fs;
use std::path::Path;

/// Who enters is shown 64 KiB of presences, and the next when it has those.
const PORTIONS: &str = r#"# XEP-0045 §7.1: entering a room with more presences than a slow client takes at once.
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
WITCHES
hag sends
  <presence to="coven@rooms.capulet.example/thirdwitch" id="e"><x xmlns="http://jabber.org/protocol/muc"/></presence>
hag receives
  <presence from="coven@rooms.capulet.example/firstwitch"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives 7 times
  <presence from="coven@rooms.capulet.example/w0$n"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <iq from="coven@rooms.capulet.example" type="get" id="$page"><ping xmlns="urn:xmpp:ping"/></iq>
nobody receives anything

# It is not in the room yet. What becomes of the others it hears, whether it was shown them or not.
w01 sends
  <presence to="coven@rooms.capulet.example/w01" type="unavailable"/>
w12 sends
  <presence to="coven@rooms.capulet.example/w12"><show>away</show></presence>
crone sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="m1"><body>Meanwhile</body></message>
hag receives
  <presence from="coven@rooms.capulet.example/w01" type="unavailable"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/w12"><show>away</show>*</presence>
hag receives nothing
hag sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="m2"><body>x</body></message>
hag receives
  <message from="coven@rooms.capulet.example" type="error" id="m2"><error type="cancel"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>
what came is passed over
# It says something new of itself, and wants another nickname.
hag sends
  <presence to="coven@rooms.capulet.example/hag" id="f"><show>xa</show></presence>
nobody receives anything

# It has the portion: the rest follows, itself, what was said, and what the room is about.
hag sends
  <iq to="coven@rooms.capulet.example" type="result" id="$page"/>
hag receives
  <presence from="coven@rooms.capulet.example/w08"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/w09"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/w10"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/w11"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/w12"><show>away</show>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/hag" id="f">
    <show>xa</show>
    <x xmlns="http://jabber.org/protocol/muc#user">
      <item affiliation="none" role="participant" jid="hag@capulet.example/pda"/><status code="110"/>
    </x>*
  </presence>
hag receives
  <message from="coven@rooms.capulet.example/firstwitch" type="groupchat" id="m1"><body>Meanwhile</body>*</message>
hag receives
  <message from="coven@rooms.capulet.example" type="groupchat"><subject/></message>
crone receives
  <presence from="coven@rooms.capulet.example/hag" id="f"><show>xa</show>*</presence>
what came is passed over
crone sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="m3"><body>x</body></message>
hag receives
  <message from="coven@rooms.capulet.example/firstwitch" type="groupchat" id="m3"><body>x</body>*</message>
what came is passed over

# Everything again, for a client that is in: what is said meanwhile it gets.
hag sends
  <presence to="coven@rooms.capulet.example/hag" id="g"><show>xa</show><x xmlns="http://jabber.org/protocol/muc"><history maxstanzas="0"/></x></presence>
hag receives
  <presence from="coven@rooms.capulet.example/firstwitch"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives 6 times
  <presence from="*"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/w08"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <iq from="coven@rooms.capulet.example" type="get" id="$again"><ping xmlns="urn:xmpp:ping"/></iq>
crone sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="m4"><body>x</body></message>
hag receives
  <message from="coven@rooms.capulet.example/firstwitch" type="groupchat" id="m4"><body>x</body>*</message>
what came is passed over
# A client that does not know the question has the portion as well.
hag sends
  <iq to="coven@rooms.capulet.example" type="error" id="$again"><error type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>
hag receives
  <presence from="coven@rooms.capulet.example/w09"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives 2 times
  <presence from="*"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/w12"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
hag receives
  <presence from="coven@rooms.capulet.example/hag" id="g"><show>xa</show>*</presence>
hag receives
  <message from="coven@rooms.capulet.example" type="groupchat"><subject/></message>
nobody receives anything

# One that does not answer gets more after half a minute.
imp sends
  <presence to="coven@rooms.capulet.example/imp"><x xmlns="http://jabber.org/protocol/muc"/></presence>
what came is passed over
after 30 seconds
imp receives
  <presence from="coven@rooms.capulet.example/w09"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
imp receives 3 times
  <presence from="*"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
imp receives
  <presence from="coven@rooms.capulet.example/imp"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="participant" jid="imp@montague.example/a"/><status code="110"/></x>*</presence>
what came is passed over
imp sends
  <presence to="coven@rooms.capulet.example/imp" type="unavailable"/>
what came is passed over

# One that turns back; nobody else hears of it.
imp sends
  <presence to="coven@rooms.capulet.example/imp"><x xmlns="http://jabber.org/protocol/muc"/></presence>
what came is passed over
imp sends
  <presence to="coven@rooms.capulet.example/imp" type="unavailable" id="back"/>
imp receives
  <presence from="coven@rooms.capulet.example/imp" type="unavailable" id="back">
    <x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="imp@montague.example/a"/><status code="110"/></x>
  </presence>
after 1 minute
nobody receives anything

# One that becomes an admin meanwhile sees addresses: it begins anew.
imp sends
  <presence to="coven@rooms.capulet.example/imp"><x xmlns="http://jabber.org/protocol/muc"/></presence>
imp receives
  <presence from="coven@rooms.capulet.example/firstwitch"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="owner" role="moderator"/></x>*</presence>
imp receives 8 times
  <presence from="*"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
imp receives
  <iq from="coven@rooms.capulet.example" type="get" id="$admin"><ping xmlns="urn:xmpp:ping"/></iq>
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="admin"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="admin" jid="imp@montague.example"/></query></iq>
what came is passed over
imp sends
  <iq to="coven@rooms.capulet.example" type="result" id="$admin"/>
imp receives
  <presence from="coven@rooms.capulet.example/firstwitch"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="owner" role="moderator" jid="crone@capulet.example/desktop"/></x>*</presence>
imp receives 8 times
  <presence from="*"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
imp receives
  <iq from="coven@rooms.capulet.example" type="get" id="*"><ping xmlns="urn:xmpp:ping"/></iq>
# What changes it hears with the address, too.
hag sends
  <presence to="coven@rooms.capulet.example/hag"><show>dnd</show></presence>
imp receives
  <presence from="coven@rooms.capulet.example/hag"><show>dnd</show><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="participant" jid="hag@capulet.example/pda"/></x>*</presence>
imp sends
  <presence to="coven@rooms.capulet.example/imp" type="unavailable"/>
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="none"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="none" jid="imp@montague.example"/></query></iq>
what came is passed over

# One that is banned meanwhile.
imp sends
  <presence to="coven@rooms.capulet.example/imp"><x xmlns="http://jabber.org/protocol/muc"/></presence>
imp receives 9 times
  <presence from="*"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
imp receives
  <iq from="coven@rooms.capulet.example" type="get" id="$third"><ping xmlns="urn:xmpp:ping"/></iq>
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="ban"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="outcast" jid="imp@montague.example"/></query></iq>
crone receives
  <iq from="coven@rooms.capulet.example" type="result" id="ban"/>
imp sends
  <iq to="coven@rooms.capulet.example" type="result" id="$third"/>
imp receives
  <presence from="coven@rooms.capulet.example/imp" type="error"><x xmlns="http://jabber.org/protocol/muc"/><error type="auth"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></presence>
nobody receives anything

# One that is gone: nobody enters.
fay is fay@montague.example/a
fay sends
  <presence to="coven@rooms.capulet.example/fay"><x xmlns="http://jabber.org/protocol/muc"/></presence>
fay receives 9 times
  <presence from="*"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
fay receives
  <iq from="coven@rooms.capulet.example" type="get" id="$fourth"><ping xmlns="urn:xmpp:ping"/></iq>
fay sends
  <iq to="coven@rooms.capulet.example" type="error" id="$fourth"><error type="cancel"><recipient-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>
fay receives
  <presence from="coven@rooms.capulet.example/fay" type="unavailable">
    <x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="fay@montague.example/a"/><status code="110"/><status code="333"/></x>
  </presence>
nobody receives anything

# The room ends: who is on the way in is told as those who are in it.
fay sends
  <presence to="coven@rooms.capulet.example/fay"><x xmlns="http://jabber.org/protocol/muc"/></presence>
what came is passed over
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="end"><query xmlns="http://jabber.org/protocol/muc#owner"><destroy/></query></iq>
fay receives
  <presence from="coven@rooms.capulet.example/fay" type="unavailable">
    <x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="fay@montague.example/a"/><destroy/><status code="110"/></x>
    <occupant-id xmlns="urn:xmpp:occupant-id:0" id="$fay"/>
  </presence>
what came is passed over
after 1 minute
nobody receives anything
"#;

/// Many are removed 25 at a time.
const REMOVED: &str = r#"# XEP-0045 §10.2: a room that is for members only from now on. Others hear of 25 at a time.
capulet.example runs rooms, presence, roster
  [rooms]
  rate = 1000
  burst = 10000
montague.example runs rooms, presence, roster
crone is crone@capulet.example/desktop
fay is fay@montague.example/a
crone opens coven@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="m"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="member" jid="fay@montague.example"/></query></iq>
fay enters coven@rooms.capulet.example/fay
WITCHES
# Everybody hears of each change: more than 50 are not done at once.
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="k"><query xmlns="http://jabber.org/protocol/muc#admin">KICKS</query></iq>
crone receives
  <iq from="coven@rooms.capulet.example" type="error" id="k"><error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error></iq>
nobody receives anything
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="c">
    <query xmlns="http://jabber.org/protocol/muc#owner"><x xmlns="jabber:x:data" type="submit">
      <field var="FORM_TYPE"><value>http://jabber.org/protocol/muc#roomconfig</value></field>
      <field var="muc#roomconfig_membersonly"><value>1</value></field>
    </x></query>
  </iq>
crone receives
  <iq from="coven@rooms.capulet.example" type="result" id="c"/>
crone receives 25 times
  <presence from="*" type="unavailable"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="*"/><status code="322"/></x>*</presence>
crone receives
  <message from="coven@rooms.capulet.example" type="groupchat"><x xmlns="http://jabber.org/protocol/muc#user"><status code="104"/></x></message>
w01 receives
  <presence from="coven@rooms.capulet.example/w01" type="unavailable"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="w01@montague.example/a"/><status code="110"/><status code="322"/></x>*</presence>
what came to w02 is passed over
w30 receives nothing
# Who is still to go hears nothing and says nothing any more; one goes by itself.
crone sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="m1"><body>x</body></message>
what came to crone is passed over
w30 receives nothing
w30 sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="m2"><body>x</body></message>
w30 receives
  <message from="coven@rooms.capulet.example" type="error" id="m2"><error type="auth"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>
w30 sends
  <message to="coven@rooms.capulet.example/firstwitch" type="chat" id="m3"><body>x</body></message>
w30 receives
  <message from="coven@rooms.capulet.example/firstwitch" type="error" id="m3"><error type="auth"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>
w30 sends
  <presence to="coven@rooms.capulet.example/w40"/>
w30 receives nothing
crone receives nothing
w30 sends
  <presence to="coven@rooms.capulet.example/w30" type="unavailable"/>
w30 receives
  <presence from="coven@rooms.capulet.example/w30" type="unavailable"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="*"/><status code="110"/><status code="322"/></x>*</presence>
crone receives
  <presence from="coven@rooms.capulet.example/w30" type="unavailable"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
crone receives nothing
# One is kicked before its turn: all who stay hear of it.
what came to fay is passed over
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="k2"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick="w29" role="none"/></query></iq>
fay receives
  <presence from="coven@rooms.capulet.example/w29" type="unavailable"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none"><actor nick="firstwitch"/></item><status code="307"/></x>*</presence>
what came to crone is passed over
what came to w29 is passed over
after 1 second
crone receives
  <presence from="coven@rooms.capulet.example/w26" type="unavailable"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="*"/><status code="322"/></x>*</presence>
crone receives 24 times
  <presence from="*" type="unavailable"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
w52 receives
  <presence from="coven@rooms.capulet.example/w52" type="unavailable"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="*"/><status code="110"/><status code="322"/></x>*</presence>
what came is passed over
after 1 minute
nobody receives anything
"#;

/// What was said in a room that ended is deleted in the background.
const BURIED: &str = r#"# A room that ended takes a moment to be gone when much was said in it; nothing of it is in the next one.
capulet.example runs rooms, presence, roster
  [rooms]
  rate = 1000
  burst = 10000
crone is crone@capulet.example/desktop
crone opens coven@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
crone sends 1500 times
  <message to="coven@rooms.capulet.example" type="groupchat" id="m$n"><body>$n</body></message>
what came is passed over
after 1 minute
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="end"><query xmlns="http://jabber.org/protocol/muc#owner"><destroy/></query></iq>
what came is passed over
crone sends
  <presence to="coven@rooms.capulet.example/firstwitch"><x xmlns="http://jabber.org/protocol/muc"/></presence>
crone receives
  <presence from="coven@rooms.capulet.example/firstwitch" type="error"><x xmlns="http://jabber.org/protocol/muc"/><error type="wait"><resource-constraint xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error></presence>
after 1 second
crone opens coven@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
crone sends
  <iq to="coven@rooms.capulet.example" type="get" id="a"><metadata xmlns="urn:xmpp:mam:2"/></iq>
crone receives
  <iq from="coven@rooms.capulet.example" type="result" id="a"><metadata xmlns="urn:xmpp:mam:2"/></iq>
"#;

/// How much one server of other people may send.
const DOMAIN: &str = r#"# Each of its people may send; all together they may not send as much as all of them.
capulet.example runs rooms, presence, roster
  [rooms]
  rate = 1
  burst = 2
montague.example runs rooms, presence, roster
verona.example runs rooms, presence, roster
crone is crone@capulet.example/desktop
hag is hag@montague.example/pda
imp is imp@verona.example/a
crone opens coven@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
WITCHES
hag sends
  <presence to="coven@rooms.capulet.example/hag"><x xmlns="http://jabber.org/protocol/muc"/></presence>
hag receives
  <presence from="coven@rooms.capulet.example/hag" type="error"><x xmlns="http://jabber.org/protocol/muc"/><error type="wait"><resource-constraint xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error></presence>
imp sends
  <presence to="coven@rooms.capulet.example/imp"><x xmlns="http://jabber.org/protocol/muc"/></presence>
imp receives
  <presence from="coven@rooms.capulet.example/firstwitch"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
after 1 minute
what came is passed over
hag sends
  <presence to="coven@rooms.capulet.example/hag"><x xmlns="http://jabber.org/protocol/muc"/></presence>
hag receives
  <presence from="coven@rooms.capulet.example/firstwitch"><occupant-id xmlns="urn:xmpp:occupant-id:0" id="*"/>*</presence>
what came is passed over
"#;

/// Who looks at large pictures again and again has to wait.
const PICTURES: &str = r#"# A picture counts as a stanza more for each 16 KiB.
capulet.example runs rooms, presence, roster
  [rooms]
  rate = 1
  burst = 10
crone is crone@capulet.example/desktop
hag is hag@capulet.example/pda
crone opens coven@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
after 1 minute
crone sends
  <iq to="coven@rooms.capulet.example" type="set" id="s"><vCard xmlns="vcard-temp"><PHOTO><BINVAL>DATA</BINVAL></PHOTO></vCard></iq>
what came is passed over
hag sends
  <iq to="coven@rooms.capulet.example" type="get" id="a"><vCard xmlns="vcard-temp"/></iq>
hag receives
  <iq from="coven@rooms.capulet.example" type="result" id="a"><vCard xmlns="vcard-temp"><PHOTO><BINVAL>*</BINVAL></PHOTO></vCard></iq>
hag sends
  <iq to="coven@rooms.capulet.example" type="get" id="b"><vCard xmlns="vcard-temp"/></iq>
hag receives
  <iq from="coven@rooms.capulet.example" type="error" id="b"><error type="wait"><resource-constraint xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error></iq>
# Lists count as five.
after 1 minute
hag sends 2 times
  <iq to="rooms.capulet.example" type="get" id="l$n"><query xmlns="http://jabber.org/protocol/disco#items"/></iq>
hag receives 2 times
  <iq from="rooms.capulet.example" type="result" id="l$n"><query xmlns="http://jabber.org/protocol/disco#items"><item jid="*"/></query></iq>
hag sends
  <iq to="rooms.capulet.example" type="get" id="l3"><query xmlns="http://jabber.org/protocol/disco#items"/></iq>
hag receives
  <iq from="rooms.capulet.example" type="error" id="l3"><error type="wait"><resource-constraint xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error></iq>
"#;

/// Returns lines in which witches enter, each with a presence of so many bytes in the end.
fn witches(count: usize, bytes: usize) -> String {
    let status = "x".repeat(bytes);
    let shows = (1..=count).map(|n| {
        let place = place(n);
        let presence = format!("<presence to=\"{place}\"><status>{status}</status></presence>");
        format!("w{n:02} sends\n  {presence}\nwhat came is passed over\n")
    });
    enters(count).chain(shows).collect()
}

/// Returns lines in which witches enter.
fn enters(count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(|n| {
        let place = place(n);
        format!("w{n:02} is w{n:02}@montague.example/a\nw{n:02} enters {place}\n")
    })
}

/// Returns lines in which witches begin to enter.
fn knocks(count: usize) -> String {
    let knocks = (1..=count).map(|n| {
        let place = place(n);
        let x = "<x xmlns=\"http://jabber.org/protocol/muc\"/>";
        let presence = format!("<presence to=\"{place}\">{x}</presence>");
        format!("w{n:02} is w{n:02}@montague.example/a\nw{n:02} sends\n  {presence}\nwhat came is passed over\n")
    });
    knocks.collect()
}

/// Returns items that remove witches.
fn kicks(count: usize) -> String {
    (1..=count).map(|n| format!("<item nick=\"w{n:02}\" role=\"none\"/>")).collect()
}

fn place(n: usize) -> String {
    format!("coven@rooms.capulet.example/w{n:02}")
}

#[expect(clippy::expect_used, reason = "the main function of a test program")]
fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rooms-crowds");
    fs::create_dir_all(&folder).expect("a folder for the scenes");
    for (name, text) in [
        ("portions", PORTIONS.replace("WITCHES", &witches(12, 8000))),
        ("removed", REMOVED.replace("WITCHES", &witches(52, 10)).replace("KICKS", &kicks(51))),
        ("buried", BURIED.to_owned()),
        ("domain", DOMAIN.replace("WITCHES", &knocks(100))),
        ("pictures", PICTURES.replace("DATA", &"A".repeat(128 << 10))),
    ] {
        fs::write(folder.join(format!("{name}.scene")), text).expect("the scene is written");
    }
    let folder = folder.to_str().expect("a path of letters");
    testkit::main(folder, &[&calypte_rooms::MODULE, &presence::MODULE, &roster::MODULE]);
}
