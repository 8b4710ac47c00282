//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[&calypte_commands::MODULE, &presence::MODULE, &register::MODULE, &roster::MODULE],
    );
}
