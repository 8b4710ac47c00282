//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &blocklist::MODULE,
            &calypte_push::MODULE,
            &carbons::MODULE,
            &disco::MODULE,
            &offline::MODULE,
            &presence::MODULE,
            &rooms::MODULE,
            &roster::MODULE,
        ],
    );
}
