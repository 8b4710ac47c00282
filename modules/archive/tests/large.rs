//! Plays a scene with messages that are too large to write into a scene file.

use std::fs;
use std::path::Path;

const SCENE: &str = r#"# What is too large for a row is handed on without a name, to others and to oneself.
capulet.example runs archive, carbons
juliet is juliet@capulet.example/balcony
nurse is nurse@capulet.example/hall
juliet sends
  <message id="1" type="chat" to="nurse@capulet.example/hall"><body>TEXT</body></message>
nurse receives
  <message id="1" type="chat" from="juliet@capulet.example/balcony"><body>TEXT</body></message>
juliet sends
  <message id="2" type="chat" to="juliet@capulet.example/balcony"><body>TEXT</body></message>
juliet receives
  <message id="2" type="chat" from="juliet@capulet.example/balcony"><body>TEXT</body></message>
capulet.example counted 3 archive.too_large
capulet.example counted 0 archive.kept
juliet sends
  <message id="3" type="chat" to="nurse@capulet.example/hall"><body>O nurse</body></message>
nurse receives
  <message id="3" type="chat" from="juliet@capulet.example/balcony"><body>O nurse</body><stanza-id xmlns="urn:xmpp:sid:0" by="nurse@capulet.example" id="*"/></message>
"#;

#[expect(clippy::expect_used, reason = "the main function of a test program")]
fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archive-large");
    fs::create_dir_all(&folder).expect("a folder for the scene");
    let text = SCENE.replace("TEXT", &"x".repeat(1 << 20));
    fs::write(folder.join("large.scene"), text).expect("the scene is written");
    let folder = folder.to_str().expect("a path of letters");
    testkit::main(folder, &[&calypte_archive::MODULE, &carbons::MODULE]);
}
