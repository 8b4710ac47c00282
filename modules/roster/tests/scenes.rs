//! Plays the scenes of the module.

fn main() {
    testkit::main("scenes", &[&presence::MODULE, &calypte_roster::MODULE]);
}
