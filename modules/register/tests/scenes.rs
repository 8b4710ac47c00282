//! Plays the scenes of the module.

fn main() {
    testkit::main("scenes", &[&presence::MODULE, &roster::MODULE, &calypte_register::MODULE]);
}
