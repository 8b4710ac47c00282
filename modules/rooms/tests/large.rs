//! Plays a scene with stanzas that are too large to write into a scene file.

use std::fs;
use std::path::Path;

const SCENE: &str = r#"# Presences with more than anybody needs, and words that never end, are refused; nobody hears of them.
capulet.example runs rooms, presence, roster
hag is hag@capulet.example/pda
crone is crone@capulet.example/desktop
crone opens coven@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
hag sends
  <presence to="coven@rooms.capulet.example/thirdwitch"><x xmlns="http://jabber.org/protocol/muc"/>CHILDREN</presence>
hag receives
  <presence from="coven@rooms.capulet.example/thirdwitch" type="error">
    <x xmlns="http://jabber.org/protocol/muc"/>
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </presence>
nobody receives anything
hag enters coven@rooms.capulet.example/thirdwitch
hag sends
  <presence to="coven@rooms.capulet.example/thirdwitch">CHILDREN</presence>
hag receives
  <presence from="coven@rooms.capulet.example/thirdwitch" type="error">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </presence>
hag sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="m"><body>TEXT</body></message>
hag receives
  <message from="coven@rooms.capulet.example" type="error" id="m">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
# A namespace that is said once outside is said in each element when it goes on.
hag sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="n1" xmlns:p="NAMESPACE">PREFIXED</message>
hag receives
  <message from="coven@rooms.capulet.example" type="error" id="n1">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
hag sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="n2" xmlns:p="NAMESPACE"><a xmlns="urn:x">PREFIXED</a></message>
hag receives
  <message from="coven@rooms.capulet.example" type="error" id="n2">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
hag sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="n3" xmlns:p="NAMESPACE"><subject>x</subject>PREFIXED</message>
hag receives
  <message from="coven@rooms.capulet.example" type="error" id="n3">
    <error type="*"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
crone sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="n4" xmlns:p="NAMESPACE"><subject>x</subject>PREFIXED</message>
crone receives
  <message from="coven@rooms.capulet.example" type="error" id="n4">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
hag sends
  <message to="coven@rooms.capulet.example/firstwitch" type="chat" id="n5" xmlns:p="NAMESPACE">PREFIXED</message>
hag receives
  <message from="coven@rooms.capulet.example/firstwitch" type="error" id="n5">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
hag sends
  <iq to="coven@rooms.capulet.example/firstwitch" type="get" id="n6" xmlns:p="NAMESPACE"><a xmlns="urn:x">PREFIXED</a></iq>
hag receives
  <iq from="coven@rooms.capulet.example/firstwitch" type="error" id="n6">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </iq>
hag sends
  <iq to="coven@rooms.capulet.example/firstwitch" type="get" id="n7"><a xmlns="urn:x">TEXT</a></iq>
hag receives
  <iq from="coven@rooms.capulet.example/firstwitch" type="error" id="n7">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </iq>
hag sends
  <iq to="coven@rooms.capulet.example/firstwitch" type="get" id="n8"><a xmlns="urn:x"/></iq>
crone receives
  <iq from="coven@rooms.capulet.example/thirdwitch" type="get" id="$q"><a xmlns="urn:x"/></iq>
crone sends
  <iq to="coven@rooms.capulet.example/thirdwitch" type="result" id="$q" xmlns:p="NAMESPACE"><a xmlns="urn:x">PREFIXED</a></iq>
hag receives
  <iq from="coven@rooms.capulet.example/firstwitch" type="error" id="n8">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </iq>
nobody receives anything
# Long messages count as several.
after 1 minute
hag sends 3 times
  <message to="coven@rooms.capulet.example" type="groupchat" id="l$n"><body>LONG</body></message>
what came is passed over
hag sends
  <message to="coven@rooms.capulet.example" type="groupchat" id="l4"><body>LONG</body></message>
hag receives
  <message from="coven@rooms.capulet.example" type="error" id="l4">
    <error type="wait"><resource-constraint xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
nobody receives anything
# Who enters is shown 64 KiB of what was said, whatever letters it has, and one message in any case.
after 1 minute
crone opens den@rooms.capulet.example/firstwitch
  muc#roomconfig_membersonly=0
crone sends 3 times
  <message to="den@rooms.capulet.example" type="groupchat" id="h$n"><body>WIDE</body></message>
what came is passed over
hag sends
  <presence to="den@rooms.capulet.example/thirdwitch"><x xmlns="http://jabber.org/protocol/muc"/></presence>
hag receives
  <presence from="den@rooms.capulet.example/firstwitch"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="owner" role="moderator"/></x>*</presence>
hag receives
  <presence from="den@rooms.capulet.example/thirdwitch"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="participant" jid="*"/><status code="110"/></x>*</presence>
hag receives
  <message from="den@rooms.capulet.example/firstwitch" type="groupchat" id="h3"><body>*</body>*</message>
hag receives
  <message from="den@rooms.capulet.example" type="groupchat"><subject/></message>
what came is passed over
# Reasons, lists and pictures are no longer than they may be; then nothing happens.
after 1 minute
crone sends
  <iq to="den@rooms.capulet.example" type="set" id="r1"><query xmlns="http://jabber.org/protocol/muc#admin"><item affiliation="outcast" jid="imp@capulet.example"><reason>REASON</reason></item></query></iq>
crone receives
  <iq from="den@rooms.capulet.example" type="error" id="r1">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </iq>
crone sends
  <message to="den@rooms.capulet.example" id="r2"><x xmlns="http://jabber.org/protocol/muc#user"><invite to="wicca@capulet.example"><reason>REASON</reason></invite></x></message>
crone receives
  <message from="den@rooms.capulet.example" type="error" id="r2">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
crone sends
  <message to="den@rooms.capulet.example"><x xmlns="http://jabber.org/protocol/muc#user"><invite to="hag@capulet.example"/></x></message>
hag sends
  <message to="den@rooms.capulet.example" id="r3"><x xmlns="http://jabber.org/protocol/muc#user"><decline to="crone@capulet.example"><reason>REASON</reason></decline></x></message>
hag receives
  <message from="den@rooms.capulet.example" type="error" id="r3">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
crone sends
  <message to="den@rooms.capulet.example" type="groupchat" id="r4"><body>x</body></message>
crone receives
  <message from="den@rooms.capulet.example/firstwitch" type="groupchat" id="r4"><body>x</body><stanza-id xmlns="urn:xmpp:sid:0" by="den@rooms.capulet.example" id="$x"/>*</message>
what came is passed over
crone sends
  <iq to="den@rooms.capulet.example" type="set" id="r5"><moderate xmlns="urn:xmpp:message-moderate:1" id="$x"><retract xmlns="urn:xmpp:message-retract:1"/><reason>REASON</reason></moderate></iq>
crone receives
  <iq from="den@rooms.capulet.example" type="error" id="r5">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </iq>
crone sends
  <iq to="den@rooms.capulet.example" type="set" id="r6"><query xmlns="http://jabber.org/protocol/muc#owner"><destroy><reason>REASON</reason></destroy></query></iq>
crone receives
  <iq from="den@rooms.capulet.example" type="error" id="r6">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>
  </iq>
crone sends
  <iq to="den@rooms.capulet.example" type="set" id="r7"><query xmlns="http://jabber.org/protocol/muc#admin">ITEMS</query></iq>
crone receives
  <iq from="den@rooms.capulet.example" type="error" id="r7">
    <error type="modify"><bad-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>
  </iq>
after 1 minute
crone sends
  <iq to="den@rooms.capulet.example" type="set" id="r8"><vCard xmlns="vcard-temp"><PHOTO><BINVAL>PICTURE</BINVAL></PHOTO></vCard></iq>
crone receives
  <iq from="den@rooms.capulet.example" type="error" id="r8">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </iq>
# So is what stands beside the text.
after 1 minute
crone sends
  <message to="den@rooms.capulet.example" type="groupchat" id="r9" xml:lang="TEXT"><body>x</body></message>
crone receives
  <message from="den@rooms.capulet.example" type="error" id="r9">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
after 1 minute
hag sends
  <message to="den@rooms.capulet.example/firstwitch" type="chat" id="r10" xml:lang="TEXT"><body>x</body></message>
hag receives
  <message from="den@rooms.capulet.example/firstwitch" type="error" id="r10">
    <error type="modify"><not-acceptable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>*</error>
  </message>
nobody receives anything
"#;

#[expect(clippy::expect_used, reason = "the main function of a test program")]
fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rooms-large");
    fs::create_dir_all(&folder).expect("a folder for the scene");
    let children = "<a xmlns='urn:x'/>".repeat(10_000);
    let text = SCENE.replace("CHILDREN", &children).replace("TEXT", &"x".repeat(70_000));
    let namespace = format!("urn:{}", "x".repeat(240));
    let item = |n| format!("<item affiliation='outcast' jid='imp{n}@capulet.example'/>");
    let items: String = (0..501).map(item).collect();
    let text = text
        .replace("LONG", &"x".repeat(60_000))
        .replace("WIDE", &"\u{2603}".repeat(15_000))
        .replace("REASON", &"x".repeat(1025))
        .replace("ITEMS", &items)
        .replace("PICTURE", &"eHh4".repeat(50_000))
        .replace("NAMESPACE", &namespace)
        .replace("PREFIXED", &"<p:a/>".repeat(1000));
    fs::write(folder.join("large.scene"), text).expect("the scene is written");
    let folder = folder.to_str().expect("a path of letters");
    testkit::main(folder, &[&calypte_rooms::MODULE, &presence::MODULE, &roster::MODULE]);
}
