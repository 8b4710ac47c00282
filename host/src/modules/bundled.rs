//! The modules inside this program.

use abi::RawModule;
use engine::Manifest;

use super::{Code, Known};

/// The bundled modules in the order in which they run unless the operator says otherwise.
#[cfg(feature = "bundled")]
const BUNDLED: &[&RawModule] = &[
    &blocklist::MODULE,
    &required_tls::MODULE,
    &clients::MODULE,
    &register::MODULE,
    &invites::MODULE,
    &roster::MODULE,
    &presence::MODULE,
    &disco::MODULE,
    &pep::MODULE,
    &displayed::MODULE,
    &vcard::MODULE,
    &private::MODULE,
    &bookmarks::MODULE,
    &rooms::MODULE,
    &archive::MODULE,
    &carbons::MODULE,
    &offline::MODULE,
    &csi::MODULE,
    &push::MODULE,
    &basics::MODULE,
    &contact::MODULE,
    &extdisco::MODULE,
    &upload::MODULE,
    &pages::MODULE,
    &circles::MODULE,
    &commands::MODULE,
];

/// A slim server has none; every module comes from a file.
#[cfg(not(feature = "bundled"))]
const BUNDLED: &[&RawModule] = &[];

pub(super) fn known() -> Vec<Known> {
    // A test reads each manifest, so none is passed over in a release.
    let known = |module: &&'static RawModule| {
        let manifest = Manifest::read(module.manifest()).ok()?;
        Some(Known { manifest, code: Code::Bundled(module), is_required: false, at: 0..0 })
    };
    BUNDLED.iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_module_has_a_manifest() {
        assert_eq!(known().len(), BUNDLED.len());
    }
}
