//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[&calypte_blocklist::MODULE, &disco::MODULE, &presence::MODULE, &roster::MODULE],
    );
}
