//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[&calypte_vcard::MODULE, &disco::MODULE, &pep::MODULE, &presence::MODULE, &roster::MODULE],
    );
}
