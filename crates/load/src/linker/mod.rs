//! Static linking: several objects become one, as `bpftool gen object` makes it (counterpart:
//! libbpf's `linker.c`).
//!
//! ```text
//!   Inputs ── place ──> sections of one name, one behind the other
//!          ── resolve ─> symbols: an extern is the definition that another file has
//!          ── join ────> types, each once; records of instructions, moved
//!          ── write ───> an ELF file
//! ```
//!
//! Of two definitions of a global, one has to be weak, and gives way to the other. What is left
//! undefined is for whoever loads the object: kernel configuration, kernel symbols. Debugging
//! information that loaders do not read is left out.

mod sections;
mod symbols;
mod types;
mod write;

use skep_btf::{Btf, BtfError, Ext};

use crate::elf::Elf;
use crate::error::ObjectError;

/// Sections that a file can number, each with its relocations.
const MOST_SECTIONS: usize = 0x7f00;

/// Why objects cannot be linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkObjectsError {
    /// A file is no object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A file's types are broken.
    #[error("{file}: {error}")]
    Btf {
        /// The file.
        file: String,
        /// How.
        #[source]
        error: BtfError,
    },
    /// The files do not go together.
    #[error("{file}: {reason}")]
    Clash {
        /// The file that does not go with those before it.
        file: String,
        /// Why.
        reason: String,
    },
}

/// A file, taken apart.
struct Input<'a> {
    file: &'a str,
    elf: Elf<'a>,
    btf: Option<Btf>,
    ext: Ext,
}

impl<'a> Input<'a> {
    fn read(file: &'a str, bytes: &'a [u8]) -> Result<Input<'a>, LinkObjectsError> {
        let elf = Elf::parse(bytes).map_err(|error| error.of_file(file))?;
        let broken = |error| LinkObjectsError::Btf { file: file.into(), error };
        let mut input = Input { file, elf, btf: None, ext: Ext::default() };
        if input.elf.values_in_place {
            // What tells so would not be in the linked file.
            return Err(input.clash("its assembler has put values of symbols in place: use gcc 13"));
        }
        if let Some(at) = input.elf.section(".BTF") {
            let btf = Btf::parse(input.elf.sections[at].data).map_err(broken)?;
            if let Some(at) = input.elf.section(".BTF.ext") {
                input.ext = Ext::parse(input.elf.sections[at].data, &btf).map_err(broken)?;
            }
            input.btf = Some(btf);
        }
        Ok(input)
    }

    fn clash(&self, reason: impl Into<String>) -> LinkObjectsError {
        LinkObjectsError::Clash { file: self.file.into(), reason: reason.into() }
    }
}

/// Links objects, each the name and the bytes of a file, to one.
///
/// # Errors
/// A file that is no object, or files that do not go together.
pub fn link(objects: &[(&str, &[u8])]) -> Result<Vec<u8>, LinkObjectsError> {
    let mut inputs = Vec::new();
    for (file, bytes) in objects {
        inputs.push(Input::read(file, bytes)?);
    }
    let mut placed = sections::place(&inputs)?;
    if placed.sections.len() > MOST_SECTIONS {
        let (file, count) = ("the linked object".into(), placed.sections.len());
        let reason = format!("{count} sections are more than {MOST_SECTIONS}");
        return Err(LinkObjectsError::Clash { file, reason });
    }
    let symbols = symbols::resolve(&inputs, &placed)?;
    sections::relocations(&inputs, &mut placed, &symbols)?;
    let types = types::join(&inputs, &placed, &symbols)?;
    Ok(write::file(placed, &symbols, types))
}
