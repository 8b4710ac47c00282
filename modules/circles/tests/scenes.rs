//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &calypte_circles::MODULE,
            &invites::MODULE,
            &pages::MODULE,
            &pep::MODULE,
            &presence::MODULE,
            &register::MODULE,
            &rooms::MODULE,
            &roster::MODULE,
        ],
    );
}
