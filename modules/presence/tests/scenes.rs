//! Plays the scenes of the module.

fn main() {
    testkit::main("scenes", &[&offline::MODULE, &calypte_presence::MODULE, &roster::MODULE]);
}
