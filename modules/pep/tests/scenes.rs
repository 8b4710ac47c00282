//! Plays the scenes of the module.

fn main() {
    let modules = [
        &blocklist::MODULE,
        &roster::MODULE,
        &presence::MODULE,
        &disco::MODULE,
        &archive::MODULE,
        &carbons::MODULE,
        &offline::MODULE,
        &bookmarks::MODULE,
        &private::MODULE,
        &calypte_pep::MODULE,
    ];
    testkit::main("scenes", &modules);
}
