//! What a module crate expands: its table, its symbol and its manifest.

/// Exports a [`Guest`](crate::Guest): `abi_export!(Type, name, version, pieces)`.
///
/// All but the type are constant expressions; `pieces` is a `&[&str]` that begins with the line
/// [`FIRST_LINE`](crate::manifest::FIRST_LINE) and has an end of line after each. Lines for the
/// version, for the version of the boundary and for the way of panics are added here.
///
/// It makes `pub static MODULE: RawModule` for programs that have the module inside, exported as
/// `calypte_module_v1_` and the crate's name for those that load it, and the manifest in a section
/// of its own. One crate exports one module.
#[macro_export]
macro_rules! abi_export {
    ($guest:ty, $name:expr, $version:expr, $pieces:expr $(,)?) => {
        /// The module, for programs that have it inside.
        #[unsafe(export_name = concat!("calypte_module_v1_", env!("CARGO_CRATE_NAME")))]
        pub static MODULE: $crate::RawModule = {
            const NAME: &str = $name;
            const VERSION: &str = $version;
            const PIECES: &[&str] = $pieces;
            const FACTS: &[&str] = &[
                "version ",
                VERSION,
                "\nabi 1.0\npanic ",
                if cfg!(panic = "unwind") { "unwind" } else { "abort" },
                "\n",
            ];
            const N: usize = $crate::manifest::len(PIECES) + $crate::manifest::len(FACTS);
            const TEXT: [u8; N] = $crate::manifest::join::<N>(PIECES, FACTS);
            // The table points to it, or the linker would leave it out as unused.
            #[used]
            #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".calypte.manifest"))]
            static MANIFEST: [u8; N] = TEXT;
            $crate::RawModule::of::<$guest>(NAME, VERSION).with(&MANIFEST, cfg!(panic = "unwind"))
        };
    };
}
