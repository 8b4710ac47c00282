//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &basics::MODULE,
            &calypte_disco::MODULE,
            &calypte_probe::MODULE,
            &presence::MODULE,
            &roster::MODULE,
        ],
    );
}
