//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &calypte_rooms::MODULE,
            &archive::MODULE,
            &blocklist::MODULE,
            &carbons::MODULE,
            &disco::MODULE,
            &offline::MODULE,
            &presence::MODULE,
            &roster::MODULE,
        ],
    );
}
