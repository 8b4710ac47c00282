//! The boundary to modules: files before they are loaded, and what calls carry.

#![no_main]

use abi::Library;
use calypte::wire;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Library::check_bytes(bytes) {
        let _ = manifest.lines().count();
    }
    let _ = wire::read_table_ref(bytes);
    let _ = wire::decode::<wire::Range>(bytes);
    let _ = wire::decode::<wire::SessionRow>(bytes);
    let _ = wire::decode::<wire::WireError>(bytes);
    let _ = wire::decode::<wire::Question>(bytes);
    let _ = wire::decode::<wire::LoginFacts>(bytes);
    let _ = wire::decode::<wire::TokenProof>(bytes);
    let _ = wire::decode::<wire::TokenVerdict>(bytes);
    let _ = wire::decode::<wire::TokenWish>(bytes);
    let _ = wire::decode::<wire::Token>(bytes);
});
