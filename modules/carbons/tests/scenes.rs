//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[&calypte_carbons::MODULE, &offline::MODULE, &presence::MODULE, &roster::MODULE],
    );
}
