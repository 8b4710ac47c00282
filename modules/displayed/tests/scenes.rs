//! Plays the scenes of the module.

fn main() {
    let modules = [
        &roster::MODULE,
        &pep::MODULE,
        &archive::MODULE,
        &carbons::MODULE,
        &disco::MODULE,
        &calypte_displayed::MODULE,
    ];
    testkit::main("scenes", &modules);
}
