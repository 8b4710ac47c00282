//! Plays the scenes of the module.

fn main() {
    testkit::main("scenes", &[&calypte_clients::MODULE, &required_tls::MODULE]);
}
