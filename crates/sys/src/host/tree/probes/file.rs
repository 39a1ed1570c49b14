//! A program or library: its code, and where functions begin in it. Whatever the file says is
//! bounded by its bytes.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolKind, elf};

/// Files of programs are shorter.
const MOST: u64 = 2 << 30;
/// From behind a file's own memory to where its thunks are laid out: it is near, and nowhere
/// near enough for short jumps.
const AWAY: u64 = 256 << 20;

/// A part of the file that is executed.
pub struct Text {
    /// Where the file would have it in memory.
    pub address: u64,
    /// Where it lies in the file.
    offset: u64,
    len: usize,
}

/// See the module.
pub struct File {
    bytes: Vec<u8>,
    /// Device and inode.
    pub identity: (u64, u64),
    pub entry: u64,
    pub texts: Vec<Text>,
    /// Where functions begin, in order.
    pub starts: Vec<u64>,
    /// It is Go's.
    pub go: bool,
    end: u64,
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl File {
    pub fn read(path: &Path) -> io::Result<File> {
        let meta = std::fs::metadata(path)?;
        if !meta.is_file() || meta.len() > MOST {
            return Err(invalid("is no program or library"));
        }
        let bytes = std::fs::read(path)?;
        File::of(bytes, (meta.dev(), meta.ino()))
    }

    fn of(bytes: Vec<u8>, identity: (u64, u64)) -> io::Result<File> {
        let elf = ElfFile64::<LittleEndian>::parse(&bytes[..])
            .map_err(|_| invalid("is no 64-bit program or library"))?;
        let endian = LittleEndian;
        if elf.elf_header().e_machine(endian) != elf::EM_X86_64 {
            return Err(invalid("is no program or library of this machine's"));
        }
        let (mut texts, mut end) = (Vec::new(), 0u64);
        for header in elf.elf_program_headers() {
            if header.p_type(endian) != elf::PT_LOAD {
                continue;
            }
            let (address, offset) = (header.p_vaddr(endian), header.p_offset(endian));
            end = end.max(address.saturating_add(header.p_memsz(endian)));
            let there = (bytes.len() as u64).saturating_sub(offset);
            let len = header.p_filesz(endian).min(there) as usize;
            if header.p_flags(endian).contains(elf::PF_X) && address.checked_add(MOST).is_some() {
                texts.push(Text { address, offset, len });
            }
        }
        let mut starts: Vec<u64> = elf
            .symbols()
            .chain(elf.dynamic_symbols())
            .filter(|of| of.kind() == SymbolKind::Text && !of.is_undefined())
            .map(|of| of.address())
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let go = elf.sections().any(|of| of.name() == Ok(".gopclntab"));
        let entry = elf.entry();
        Ok(File { identity, entry, texts, starts, go, end, bytes })
    }

    /// Where a place of the file would be in memory, if it is code.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let text = self.texts.iter().find(|text| {
            offset.checked_sub(text.offset).is_some_and(|inside| inside < text.len as u64)
        })?;
        Some(text.address + (offset - text.offset))
    }

    /// The code of a part.
    pub fn code(&self, of: &Text) -> &[u8] {
        let from = of.offset as usize;
        self.bytes.get(from..from + of.len).unwrap_or_default()
    }

    /// The code from an address on.
    pub fn from(&self, address: u64) -> &[u8] {
        let found = self.texts.iter().find_map(|text| {
            let inside = address.checked_sub(text.address)?;
            self.code(text).get(usize::try_from(inside).ok()?..)
        });
        found.unwrap_or_default()
    }

    /// Where thunks are laid out.
    pub fn area(&self) -> u64 {
        self.end.saturating_add(AWAY).next_multiple_of(4096)
    }
}
