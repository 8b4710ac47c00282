//! Libraries made by hand, to be wrong in one place.

use super::*;

/// Where the parts of a made library are.
const NAMES_AT: usize = 64 + 56;
const TABLE_AT: usize = 256;
const REST_AT: usize = 512;

/// What a made library consists of.
struct Made {
    section_names: Vec<u8>,
    symbol_names: Vec<u8>,
    /// Place of the name, section, address, size.
    symbols: Vec<(u32, u16, u64, u64)>,
    manifest: Vec<u8>,
    table: Vec<u8>,
}

impl Made {
    fn good() -> Self {
        let mut table = b"calypte\x01".to_vec();
        for (number, len) in [(1, 2), (0, 2), (96, 4), (1, 4), (0, 4)] {
            table.extend_from_slice(&u64::to_ne_bytes(number)[..len]);
        }
        table.resize(96, 0);
        Self {
            section_names: b"\0.calypte.manifest\0".to_vec(),
            symbol_names: b"\0calypte_module_v1_hello\0memcpy\0".to_vec(),
            symbols: vec![(0, 0, 0, 0), (25, 0, 0, 0), (1, 1, TABLE_AT as u64, 96)],
            manifest: b"calypte-manifest 1\nname hello\n".to_vec(),
            table,
        }
    }

    /// Puts it together: header, one segment, names of sections, table, symbols and their names,
    /// manifest, sections.
    fn bytes(&self) -> Vec<u8> {
        let symbols: Vec<u8> = self
            .symbols
            .iter()
            .flat_map(|(name, section, address, size)| {
                let mut row = name.to_le_bytes().to_vec();
                row.extend_from_slice(&[0x11, 0]);
                row.extend_from_slice(&section.to_le_bytes());
                row.extend_from_slice(&address.to_le_bytes());
                row.extend_from_slice(&size.to_le_bytes());
                row
            })
            .collect();
        let names_at = REST_AT + symbols.len();
        let manifest_at = names_at + self.symbol_names.len();
        let sections_at = manifest_at + self.manifest.len();
        let mut all = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let machine = machine().unwrap();
        for half in [elf::ET_DYN, machine, 1, 0] {
            all.extend_from_slice(&half.to_le_bytes());
        }
        for word in [0, 64, sections_at as u64] {
            all.extend_from_slice(&word.to_le_bytes());
        }
        for half in [0u16, 0, 64, 56, 1, 64, 5, 1] {
            all.extend_from_slice(&half.to_le_bytes());
        }
        // The segment has all that is before the sections.
        all.extend_from_slice(&[1, 0, 0, 0, 6, 0, 0, 0]);
        for word in [0, 0, 0, sections_at as u64, sections_at as u64, 4096] {
            all.extend_from_slice(&u64::to_le_bytes(word));
        }
        assert_eq!(all.len(), NAMES_AT);
        all.extend_from_slice(&self.section_names);
        all.resize(TABLE_AT, 0);
        all.extend_from_slice(&self.table);
        all.resize(REST_AT, 0);
        for part in [&symbols, &self.symbol_names, &self.manifest] {
            all.extend_from_slice(part);
        }
        for (name, kind, start, len, link, row) in [
            (0, elf::SHT_NULL, 0, 0, 0, 0),
            (0, elf::SHT_STRTAB, NAMES_AT, self.section_names.len(), 0, 0),
            (0, elf::SHT_DYNSYM, REST_AT, symbols.len(), 3, 24),
            (0, elf::SHT_STRTAB, names_at, self.symbol_names.len(), 0, 0),
            (1, elf::SHT_PROGBITS, manifest_at, self.manifest.len(), 0, 0),
        ] {
            all.extend_from_slice(&u32::to_le_bytes(name));
            all.extend_from_slice(&kind.to_le_bytes());
            for word in [0, 0, start as u64, len as u64] {
                all.extend_from_slice(&word.to_le_bytes());
            }
            all.extend_from_slice(&u64::to_le_bytes(link));
            all.extend_from_slice(&u64::to_le_bytes(1));
            all.extend_from_slice(&u64::to_le_bytes(row));
        }
        all
    }

    fn read(&self) -> Result<(String, String), LoadError> {
        read(&self.bytes()).map(|found| (found.symbol, found.manifest.as_str().to_owned()))
    }
}

/// Makes a good library, changes it, and returns why it is refused.
fn refused(change: impl FnOnce(&mut Made)) -> LoadError {
    let mut made = Made::good();
    change(&mut made);
    made.read().unwrap_err()
}

#[test]
fn a_good_one_is_read() {
    let text = "calypte-manifest 1\nname hello\n".to_owned();
    let expected = ("calypte_module_v1_hello".to_owned(), text);
    assert_eq!(Made::good().read(), Ok(expected.clone()));
    // Linkers fill up with zeros.
    let mut made = Made::good();
    made.manifest.extend_from_slice(b"\0\0\0");
    assert_eq!(made.read(), Ok(expected));
}

#[test]
fn symbols_are_looked_at_closely() {
    let names = |names: &'static [u8]| move |made: &mut Made| made.symbol_names = names.to_vec();
    let missing = LoadError::SymbolMissing;
    assert_eq!(refused(names(b"\0calypte_module_v1_\0")), missing);
    assert_eq!(refused(names(b"\0calypte_module_v1_hello")), missing);
    assert_eq!(refused(names(b"\0calypte_module_v1_he llo\0")), missing);
    assert_eq!(refused(names(b"\0calypte_module_vx_hello\0")), missing);
    assert_eq!(refused(names(b"\0calypte_module_v70000_hello\0")), missing);
    assert_eq!(refused(names(b"\0calypte_module_v\0")), missing);
    assert_eq!(refused(names(b"\0calypte_module_v2_hello\0")), LoadError::WrongAbi(2, 0));
    assert_eq!(refused(|made| made.symbols[2].1 = 0), missing);
    assert_eq!(refused(|made| made.symbols[2].0 = u32::MAX), missing);
    assert_eq!(refused(|made| made.symbols.clear()), missing);
    assert_eq!(refused(|made| made.symbols.push(made.symbols[2])), LoadError::Several);
}

#[test]
fn the_table_must_be_in_the_file() {
    for address in [1 << 20, u64::MAX, u64::MAX - 95, TABLE_AT as u64 + 4] {
        assert_eq!(refused(|made| made.symbols[2].2 = address), LoadError::WrongMagic);
    }
    assert_eq!(refused(|made| made.symbols[2].3 = 95), LoadError::WrongMagic);
    assert_eq!(refused(|made| made.table[12] = 95), LoadError::WrongMagic);
    assert_eq!(refused(|made| made.table[12] = 97), LoadError::WrongMagic);
    assert_eq!(refused(|made| made.table[7] = 2), LoadError::WrongMagic);
    assert_eq!(refused(|made| made.table[8] = 2), LoadError::WrongAbi(2, 0));
    assert_eq!(refused(|made| made.table[10] = 3), LoadError::WrongAbi(1, 3));
    assert_eq!(refused(|made| made.table[16] = 0), LoadError::PanicAbort);
    assert_eq!(refused(|made| made.table[16] = 2), LoadError::PanicAbort);
}

#[test]
fn segments_must_be_in_the_file() {
    let mut bytes = Made::good().bytes();
    // How much of the file the one segment takes.
    bytes[64 + 32 + 2] = 1;
    assert_eq!(read(&bytes).unwrap_err(), LoadError::Truncated);
}

#[test]
fn manifests_are_bounded_and_single() {
    let manifest = |text: Vec<u8>| move |made: &mut Made| made.manifest = text;
    let limit = usize::try_from(MANIFEST_BYTES).unwrap();
    let mut long = b"calypte-manifest 1\n".to_vec();
    long.resize(limit, b'x');
    let mut made = Made::good();
    made.manifest.clone_from(&long);
    assert!(made.read().is_ok());
    long.push(b'x');
    let too_big = LoadError::TooBig { what: "the manifest", limit: MANIFEST_BYTES };
    assert_eq!(refused(manifest(long)), too_big);
    let twice = b"calypte-manifest 1\nname a\ncalypte-manifest 1\nname b\n".to_vec();
    assert_eq!(refused(manifest(twice)), LoadError::Several);
    for text in [&b""[..], b"\0\0", b"calypte-manifest 2\n", b"calypte-manifest 1\n\xff"] {
        assert_eq!(refused(manifest(text.to_vec())), LoadError::NoManifest);
    }
    let name = |made: &mut Made| made.section_names = b"\0.calypte.manifests\0".to_vec();
    assert_eq!(refused(name), LoadError::NoManifest);
    let name = |made: &mut Made| made.section_names = b"\0.calypte.manifest".to_vec();
    assert_eq!(refused(name), LoadError::NoManifest);
}

#[test]
fn headers_may_say_anything() {
    let bytes = Made::good().bytes();
    let sections = bytes.len() - 5 * 64;
    let step = if cfg!(miri) { 131 } else { 1 };
    for at in (0..NAMES_AT).chain(sections..bytes.len()).step_by(step) {
        for value in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            drop(read(&bytes));
            // The same in a number of four bytes.
            bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = value);
            drop(read(&bytes));
        }
    }
    for end in (0..bytes.len()).step_by(step) {
        assert!(read(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
#[cfg(not(miri))]
fn many_symbols_without_an_end_take_no_time() {
    // If each name was read to its end, this would be 10^12 steps.
    let mut made = Made::good();
    made.symbol_names = b"\0calypte_module_v1_".to_vec();
    made.symbol_names.resize(1_000_000, b'x');
    made.symbols = vec![(1, 1, TABLE_AT as u64, 96); 1_000_000];
    assert_eq!(made.read(), Err(LoadError::SymbolMissing));
}
