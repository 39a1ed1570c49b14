//! From a [`Linked`] object to live maps and programs of a kernel: [`load`].
//!
//! The order is libbpf's: types, maps with their first contents, programs, and last
//! the elements of program arrays. What was made is closed again when a later step
//! fails. Counterpart: `bpf_object_load`.

#[cfg(feature = "serde")]
mod by_btf;
mod create;
mod element;
mod globals;
mod map;
mod perf;
mod program;
mod ring;

use std::path::PathBuf;
use std::sync::Arc;

use skep_abi::Errno;
use skep_btf::Btf;
use skep_sys::{BtfLoad, Command, Fd, Kernel};

#[cfg(feature = "serde")]
pub use by_btf::{ByBtf, to_json};
pub use element::{Element, PerCpu, Place};
pub use globals::{Global, Variable};
pub use map::{Bytes, Entries, Keys, Map};
pub use perf::{PerfBuffer, PerfRecord};
pub use program::{Program, Ran};
pub use ring::{Records, RingBuffer};

use crate::error::{AccessError, Error, LoadError, LoadErrorKind as Kind};
use crate::object::{MapOrigin, Object};
use crate::relocate::{Linked, Structure, relocate};
use crate::target::Target;

/// How to load.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where maps that ask for it are pinned, or taken from if they are there already;
    /// without, none are.
    pub pin_dir: Option<PathBuf>,
    /// The verifier's log level for programs that load; one that fails is loaded again
    /// with level 1 for its log. 1, 2: more and more; 4: statistics.
    pub log_level: u32,
    /// What programs take the place of, or watch, that are for functions of other programs:
    /// their names, the other program, and its function.
    pub targets: Vec<(String, Program, String)>,
    /// Maps to go on with: those that the object has by the same name, with the same
    /// definition, are these. One that is defined otherwise is an error.
    pub reuse: Vec<Map>,
}

/// A loaded object: live, owned handles. All is closed when the last handle is gone.
#[derive(Debug)]
pub struct Skep {
    maps: Vec<Option<Map>>,
    programs: Vec<Program>,
    types: Option<Arc<Btf>>,
    /// The values of structures of operations, by the maps' indices.
    structures: Vec<(usize, Vec<u8>)>,
    /// What went on without, and why.
    notes: Vec<String>,
    _btf: Option<Fd>,
}

impl Skep {
    /// The maps that were created, in the object's order.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.iter().flatten()
    }

    /// The map of this name; that of a data section by the section's name as well.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps().find(|map| map.def().is_called(name))
    }

    /// The map of this name, as [`Skep::map`] finds it, with keys and values of Rust types.
    ///
    /// # Errors
    /// There is none, or its keys or values are of other sizes.
    pub fn typed<K: Element, V: Element>(&self, name: &str) -> Result<Map<K, V>, AccessError> {
        self.named(name)?.typed()
    }

    /// The reader of the ring buffer of this name, which is to be its only one.
    ///
    /// # Errors
    /// There is none, or it is no ring buffer.
    pub fn ring_buffer(&self, name: &str) -> Result<RingBuffer, AccessError> {
        let map = self.named(name)?;
        RingBuffer::new(map).map_err(|errno| AccessError::Map {
            name: map.name().into(),
            doing: "reading it as a ring buffer",
            errno,
        })
    }

    /// The map of this name, as [`Skep::map`] finds it.
    ///
    /// # Errors
    /// There is none.
    pub fn named_map(&self, name: &str) -> Result<&Map, AccessError> {
        self.named(name)
    }

    /// The program of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named_program(&self, name: &str) -> Result<&Program, AccessError> {
        let has = || self.programs.iter().map(|program| program.name().to_owned()).collect();
        self.program(name).ok_or_else(|| AccessError::Missing {
            what: "program",
            name: name.into(),
            has: has(),
        })
    }

    fn named(&self, name: &str) -> Result<&Map, AccessError> {
        let has = || self.maps().map(|map| map.name().to_owned()).collect();
        let missing = || AccessError::Missing { what: "map", name: name.into(), has: has() };
        self.map(name).ok_or_else(missing)
    }

    /// The programs that were loaded, in the object's order.
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|program| program.name() == name)
    }

    /// The object's types.
    pub fn types(&self) -> Option<&Arc<Btf>> {
        self.types.as_ref()
    }

    /// The value of a structure of operations, with its programs in it. Setting it as
    /// the map's only element attaches them.
    pub fn structure(&self, map: &str) -> Option<&[u8]> {
        let is_it = |(index, _): &&(usize, Vec<u8>)| {
            self.maps.get(*index).is_some_and(|of| of.as_ref().is_some_and(|of| of.name() == map))
        };
        self.structures.iter().find(is_it).map(|(_, value)| &value[..])
    }

    /// What the load went on without, and why: a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Object {
    /// Relocates and loads the object for and into `kernel`.
    ///
    /// # Errors
    /// What does not resolve, or what the kernel refuses.
    pub fn load(&self, kernel: &Arc<dyn Kernel>) -> Result<Skep, Error> {
        let target = Target::of(&**kernel);
        let linked = relocate(self, &target)?;
        Ok(load(&linked, &target, kernel, &Options::default())?)
    }
}

/// Loads a linked object into `kernel`.
///
/// # Errors
/// What the kernel refuses, with its errno, and for a program with the verifier's log.
pub fn load(
    linked: &Linked,
    target: &Target,
    kernel: &Arc<dyn Kernel>,
    options: &Options,
) -> Result<Skep, LoadError> {
    let name_file = |error: LoadError| error.of_file(&linked.file);
    let mut notes = Vec::new();
    let btf = load_btf(linked, kernel, &mut notes).map_err(name_file)?;
    let maps = create::maps(linked, kernel, btf.as_ref(), options).map_err(name_file)?;
    let mut programs = Vec::new();
    for of in &linked.programs {
        let loading = program::Loading { linked, target, kernel, btf: btf.as_ref(), maps: &maps };
        programs.push(loading.load(of, options).map_err(name_file)?);
    }
    create::fill_program_arrays(linked, &maps, &programs).map_err(name_file)?;
    let structures = structures(linked, &programs);
    Ok(Skep { maps, programs, types: linked.btf.clone(), structures, notes, _btf: btf })
}

/// The values of structures of operations, with the fds of their programs.
fn structures(linked: &Linked, programs: &[Program]) -> Vec<(usize, Vec<u8>)> {
    let value = |structure: &Structure| {
        let mut value = structure.contents.clone();
        for member in &structure.members {
            let loaded = linked.programs.iter().position(|of| of.index == member.program);
            let place = value.get_mut(member.offset as usize..member.offset as usize + 8);
            if let (Some(program), Some(place)) = (loaded.and_then(|at| programs.get(at)), place) {
                place.copy_from_slice(&(program.fd().raw() as u64).to_ne_bytes());
            }
        }
        (structure.map, value)
    };
    linked.structures.iter().map(value).collect()
}

/// Gives the kernel the object's types. They are needed only for structures of
/// operations; all else goes on without.
fn load_btf(
    linked: &Linked,
    kernel: &Arc<dyn Kernel>,
    notes: &mut Vec<String>,
) -> Result<Option<Fd>, LoadError> {
    let Some(btf) = &linked.btf else { return Ok(None) };
    let bytes = btf.raw_bytes();
    let mut command = Command::BtfLoad(BtfLoad {
        btf_size: bytes.len() as u32,
        btf: Some(bytes.into()),
        ..BtfLoad::default()
    });
    let is_needed = linked.maps.iter().any(|map| matches!(map.origin, MapOrigin::StructOps(_)));
    match Fd::open(kernel, &mut command) {
        Ok(fd) => Ok(Some(fd)),
        Err(errno) if is_needed => Err(Kind::Btf { errno }.into()),
        Err(Errno::EPERM) => Err(Kind::Btf { errno: Errno::EPERM }.into()),
        Err(errno) => {
            notes.push(format!("the kernel refuses the object's BTF, going on without: {errno}"));
            Ok(None)
        }
    }
}

/// A name as the kernel takes it: at most 15 bytes, and a zero.
fn kernel_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, byte) in bytes[..15].iter_mut().zip(name.bytes()) {
        let is_plain = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        *place = if is_plain { byte } else { b'_' };
    }
    bytes
}
