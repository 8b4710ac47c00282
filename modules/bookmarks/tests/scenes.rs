//! Plays the scenes of the module.

fn main() {
    testkit::main(
        "scenes",
        &[
            &calypte_bookmarks::MODULE,
            &disco::MODULE,
            &pep::MODULE,
            &presence::MODULE,
            &private::MODULE,
        ],
    );
}
