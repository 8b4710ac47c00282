//! The module API, played: each kind of hook and each operation of a context.

fn main() {
    testkit::main("tests/scenes", &[&calypte_guard::MODULE, &calypte_probe::MODULE]);
}
