//! Plays the scenes of the module.

fn main() {
    testkit::main("scenes", &[&calypte_required_tls::MODULE, &calypte_probe::MODULE]);
}
