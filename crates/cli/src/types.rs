//! Types of a kernel or an object, by the name of the file they are in: raw BTF, an ELF file's
//! section, or a pack.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use object::read::{ReadCache, ReadRef};
use object::{Object as _, ObjectSection as _};
use skep::btf::{Btf, pack};

use crate::failure::Failure;
use crate::files::{self, in_file};

/// The folder where kernels show their types.
const KERNEL: &str = "/sys/kernel/btf";

/// Reads the types of a file.
///
/// # Errors
/// It has none, or broken ones.
pub fn open(file: &Path, base: Option<&Path>) -> Result<Btf, Failure> {
    let implied = Path::new(KERNEL).join("vmlinux");
    let base = match base {
        None if file.starts_with(KERNEL) && file != implied => Some(implied.as_path()),
        given => given,
    };
    let bytes = bytes(file)?;
    let parsed = match base {
        Some(base) => Btf::parse_split(bytes, Arc::new(open(base, None)?)),
        None => Btf::parse(bytes),
    };
    parsed.map_err(|error| in_file(file, error))
}

/// The bytes of a file's types, of as many bytes as objects may have. Of an ELF file that is
/// larger, as a kernel with debug information, only headers and the section are read.
fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    if let Some(large) = large_elf(file) {
        return section(file, &ReadCache::new(large));
    }
    let bytes = files::read(file, files::MAX_TEXT)?;
    if bytes.starts_with(b"\x7fELF") {
        return section(file, &*bytes);
    }
    if bytes.starts_with(pack::MAGIC) {
        return pack::unpack(&bytes).map_err(|error| in_file(file, error));
    }
    match bytes.get(..2) {
        Some([0x9f, 0xeb] | [0xeb, 0x9f]) => Ok(bytes),
        _ if bytes.is_empty() => Err(in_file(file, "is empty, expected ELF, BTF or a pack of it")),
        _ if files::is_text(&bytes) => {
            let failure = in_file(file, "is a text file, expected ELF or BTF");
            Err(failure.hint("compile it first: clang -O2 -g --target=bpf -c PROG.c -o PROG.bpf.o"))
        }
        _ => Err(in_file(file, "is neither ELF nor BTF nor a pack of it")),
    }
}

/// A regular file that is ELF and larger than what is read whole.
fn large_elf(file: &Path) -> Option<File> {
    let is_large =
        std::fs::metadata(file).is_ok_and(|of| of.is_file() && of.len() > files::MAX_TEXT);
    let mut open = File::open(file).ok().filter(|_| is_large)?;
    let mut magic = [0; 4];
    open.read_exact(&mut magic).ok()?;
    (magic == *b"\x7fELF").then_some(open)
}

/// The section `.BTF` of an ELF file.
fn section<'a>(file: &Path, data: impl ReadRef<'a>) -> Result<Vec<u8>, Failure> {
    let elf = object::File::parse(data)
        .map_err(|error| in_file(file, format!("is a broken ELF file: {error}")))?;
    let Some(section) = elf.section_by_name(".BTF") else {
        let failure = in_file(file, "has no section .BTF");
        return Err(failure.hint("compile with -g; pahole -J adds BTF to other ELF files"));
    };
    if section.size() > files::MAX_TEXT {
        return Err(in_file(file, format!("section .BTF: {} bytes are too many", section.size())));
    }
    let data = section.data().map_err(|error| in_file(file, format!("section .BTF: {error}")))?;
    Ok(data.to_vec())
}
