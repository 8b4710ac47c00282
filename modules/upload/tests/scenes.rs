//! Plays the scenes of the module.

fn main() {
    testkit::main("scenes", &[&calypte_upload::MODULE, &disco::MODULE]);
}
