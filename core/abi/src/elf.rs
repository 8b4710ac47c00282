//! Reads what a library says about itself without loading it. The file may be hostile.

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};

use crate::head::Head;
use crate::raw::RawModule;
use crate::{LoadError, ManifestText};

/// How large a manifest may be, in bytes.
pub(crate) const MANIFEST_BYTES: u64 = 256 * 1024;

/// How many sections and segments a library may have; ours have some 40 and 15.
const TABLE_ROWS: usize = 4096;

/// The end of the symbol is at most as long as a crate's name.
const NAME_BYTES: usize = 128;

const SECTION: &[u8] = b".calypte.manifest";
const PREFIX: &[u8] = b"calypte_module_v";

type Header = FileHeader64<Endianness>;
type Segment = <Header as FileHeader>::ProgramHeader;
type Section = <Header as FileHeader>::SectionHeader;

/// What a library has.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) manifest: ManifestText,
    /// The name of the symbol of the module's table.
    pub(crate) symbol: String,
}

/// Looks for a module that this host can load.
pub(crate) fn read(data: &[u8]) -> Result<Found, LoadError> {
    let file = File::open(data)?;
    let symbol = file.symbol()?;
    // A module for another version may have another kind of manifest, so that comes second.
    if let Some(symbol) = &symbol {
        file.check_table(symbol)?;
    }
    let manifest = file.manifest()?;
    let symbol = symbol.ok_or(LoadError::SymbolMissing)?;
    Ok(Found { manifest, symbol: symbol.name })
}

struct File<'a> {
    data: &'a [u8],
    endian: Endianness,
    segments: &'a [Segment],
    sections: &'a [Section],
    section_names: &'a [u8],
}

/// Where the module's table is.
struct Symbol {
    name: String,
    major: u16,
    address: u64,
    size: u64,
}

impl<'a> File<'a> {
    fn open(data: &'a [u8]) -> Result<Self, LoadError> {
        if !data.starts_with(b"\x7fELF") {
            return Err(LoadError::NotElf);
        }
        let (Some(class), Some(order)) = (data.get(4), data.get(5)) else {
            return Err(LoadError::Truncated);
        };
        let own_order =
            if cfg!(target_endian = "little") { elf::ELFDATA2LSB } else { elf::ELFDATA2MSB };
        if *class != elf::ELFCLASS64 || *order != own_order {
            return Err(LoadError::WrongMachine);
        }
        let header = Header::parse(data).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        if machine().is_some_and(|own| header.e_machine(endian) != own) {
            return Err(LoadError::WrongMachine);
        }
        if header.e_type(endian) != elf::ET_DYN {
            return Err(LoadError::NotElf);
        }
        let segments = header.program_headers(endian, data).map_err(damaged)?;
        let sections = header.section_headers(endian, data).map_err(damaged)?;
        if segments.len() > TABLE_ROWS || sections.len() > TABLE_ROWS {
            return Err(LoadError::Truncated);
        }
        // A segment that is not all there would be a bus error as soon as it is touched.
        for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
            segment.data(endian, data).map_err(|()| LoadError::Truncated)?;
        }
        let section_names = match header.e_shstrndx(endian) {
            elf::SHN_UNDEF => &[][..],
            index => part(sections.get(usize::from(index)), endian, data)?,
        };
        Ok(Self { data, endian, segments, sections, section_names })
    }

    fn manifest(&self) -> Result<ManifestText, LoadError> {
        let is_ours = |section: &&Section| {
            let name = section.sh_name(self.endian);
            let rest = after(self.section_names, name, SECTION);
            rest.is_some_and(|rest| rest.first() == Some(&0))
        };
        let section = self.sections.iter().find(is_ours).ok_or(LoadError::NoManifest)?;
        let bytes = part(Some(section), self.endian, self.data)?;
        if bytes.len() as u64 > MANIFEST_BYTES {
            return Err(LoadError::TooBig { what: "the manifest", limit: MANIFEST_BYTES });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LoadError::NoManifest)?;
        let text = text.trim_end_matches('\0');
        if text.lines().filter(|line| *line == crate::manifest::FIRST_LINE).count() > 1 {
            return Err(LoadError::Several);
        }
        ManifestText::new(text.to_owned()).ok_or(LoadError::NoManifest)
    }

    /// Finds the one exported symbol that looks like a module's.
    fn symbol(&self) -> Result<Option<Symbol>, LoadError> {
        let is_table = |section: &&Section| section.sh_type(self.endian) == elf::SHT_DYNSYM;
        let Some(table) = self.sections.iter().find(is_table) else { return Ok(None) };
        let symbols: &[elf::Sym64<Endianness>] =
            table.data_as_array(self.endian, self.data).map_err(damaged)?;
        let link = usize::try_from(table.sh_link(self.endian)).ok();
        let names = link.and_then(|index| self.sections.get(index));
        let names = part(names, self.endian, self.data)?;
        let mut found = None;
        for symbol in symbols {
            let start = symbol.st_name(self.endian);
            let Some(rest) = after(names, start, PREFIX) else { continue };
            if symbol.st_shndx(self.endian) == elf::SHN_UNDEF {
                continue;
            }
            let Some((major, crate_name)) = split(rest) else { continue };
            if found.is_some() {
                return Err(LoadError::Several);
            }
            found = Some(Symbol {
                name: format!("calypte_module_v{major}_{crate_name}"),
                major,
                address: symbol.st_value(self.endian),
                size: symbol.st_size(self.endian),
            });
        }
        Ok(found)
    }

    /// Looks at the head of the module's table in the file, which is as it will be in memory.
    fn check_table(&self, symbol: &Symbol) -> Result<(), LoadError> {
        if symbol.major != crate::ABI.0 {
            return Err(LoadError::WrongAbi(symbol.major, 0));
        }
        let loaded = self.segments.iter().filter(|one| one.p_type(self.endian) == elf::PT_LOAD);
        let bytes = loaded
            .filter_map(|one| {
                let start = symbol.address.checked_sub(one.p_vaddr(self.endian))?;
                let bytes: &[u8] = one.data(self.endian, self.data).ok()?;
                bytes.get(usize::try_from(start).ok()?..)?.first_chunk::<{ Head::SIZE }>()
            })
            .next();
        let head = Head::parse(bytes.ok_or(LoadError::WrongMagic)?);
        head.check()?;
        let is_whole = symbol.size >= u64::from(head.size)
            && symbol.address.is_multiple_of(align_of::<RawModule>() as u64);
        if is_whole { Ok(()) } else { Err(LoadError::WrongMagic) }
    }
}

/// Returns the bytes of a section.
fn part<'a>(
    section: Option<&Section>,
    endian: Endianness,
    data: &'a [u8],
) -> Result<&'a [u8], LoadError> {
    section.ok_or(LoadError::Truncated)?.data(endian, data).map_err(damaged)
}

/// Returns what follows a prefix at a place in a table of names. Takes constant time, so that a
/// table without ends cannot keep us busy.
fn after<'a>(names: &'a [u8], start: u32, prefix: &[u8]) -> Option<&'a [u8]> {
    names.get(usize::try_from(start).ok()?..)?.strip_prefix(prefix)
}

/// Splits `1_hello\0…` into 1 and `hello`.
fn split(rest: &[u8]) -> Option<(u16, &str)> {
    let rest = rest.get(..NAME_BYTES.min(rest.len()))?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (major, name) = std::str::from_utf8(rest.get(..end)?).ok()?.split_once('_')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = !name.is_empty() && name.bytes().all(is_plain);
    let major = if is_name { major.parse().ok()? } else { return None };
    Some((major, name))
}

/// How the file format calls this machine, where we know.
fn machine() -> Option<u16> {
    match std::env::consts::ARCH {
        "x86_64" => Some(elf::EM_X86_64),
        "aarch64" => Some(elf::EM_AARCH64),
        "riscv64" => Some(elf::EM_RISCV),
        "powerpc64" => Some(elf::EM_PPC64),
        "s390x" => Some(elf::EM_S390),
        "loongarch64" => Some(elf::EM_LOONGARCH),
        _ => None,
    }
}

fn damaged(_: object::Error) -> LoadError {
    LoadError::Truncated
}

#[cfg(test)]
mod tests;
