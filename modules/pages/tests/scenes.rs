//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &calypte_pages::MODULE,
            &clients::MODULE,
            &commands::MODULE,
            &invites::MODULE,
            &presence::MODULE,
            &register::MODULE,
            &roster::MODULE,
        ],
    );
}
