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
nobody receives anything
"#;

#[expect(clippy::expect_used, reason = "the main function of a test program")]
fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rooms-large");
    fs::create_dir_all(&folder).expect("a folder for the scene");
    let children = "<a xmlns='urn:x'/>".repeat(10_000);
    let text = SCENE.replace("CHILDREN", &children).replace("TEXT", &"x".repeat(70_000));
    fs::write(folder.join("large.scene"), text).expect("the scene is written");
    let folder = folder.to_str().expect("a path of letters");
    testkit::main(folder, &[&calypte_rooms::MODULE, &presence::MODULE, &roster::MODULE]);
}
