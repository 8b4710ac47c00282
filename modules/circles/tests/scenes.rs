//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[&calypte_circles::MODULE, &pep::MODULE, &presence::MODULE, &roster::MODULE],
    );
}
