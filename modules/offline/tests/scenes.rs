//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &basics::MODULE,
            &blocklist::MODULE,
            &calypte_offline::MODULE,
            &presence::MODULE,
            &roster::MODULE,
        ],
    );
}
