//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &calypte_archive::MODULE,
            &basics::MODULE,
            &carbons::MODULE,
            &disco::MODULE,
            &offline::MODULE,
            &presence::MODULE,
            &roster::MODULE,
        ],
    );
}
