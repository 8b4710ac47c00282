//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &calypte_csi::MODULE,
            &archive::MODULE,
            &carbons::MODULE,
            &offline::MODULE,
            &presence::MODULE,
        ],
    );
}
