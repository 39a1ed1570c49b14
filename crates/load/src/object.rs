//! An object as plain data: programs, functions, maps, externs and types, before any
//! kernel is involved. All of it may be edited before it is relocated.
//!
//! References between the parts are indices into the lists here. Functions are in
//! the order of their sections and of their places in them, as in libbpf, because
//! that order is what programs and poisoned instructions are numbered by.

use std::sync::Arc;

use skep_abi::flags::prog;
use skep_abi::{AttachType, Loader, MapType, ProgType, SectionDef, SectionFlags};
use skep_btf::core::Relocation;
use skep_btf::{Btf, FuncInfo, LineInfo};
use skep_isa::Slot;

/// A BPF object.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The file's name up to its first dot, at most 15 bytes: libbpf names the maps of
    /// data sections by it.
    pub name: String,
    /// The file, for messages.
    pub file: String,
    /// By whose rules it was read.
    pub loader: Loader,
    /// From the section `license`, at most 63 bytes; empty where there is none.
    pub license: String,
    /// From the section `version`.
    pub kernel_version: Option<u32>,
    /// The programs, in the order of their sections and their places in them.
    pub programs: Vec<ProgramDef>,
    /// All functions: the programs' own, and those that they call.
    pub functions: Vec<Function>,
    /// The maps: those of `.maps` (or `maps`), of the data sections, `.kconfig`, and
    /// of `.struct_ops`.
    pub maps: Vec<MapDef>,
    /// What the object expects from elsewhere: first kernel configuration, then
    /// kernel symbols.
    pub externs: Vec<Extern>,
    /// The types, completed: sizes of sections, offsets of variables, externs made
    /// variables as Linux wants them.
    pub btf: Option<Arc<Btf>>,
    /// CO-RE records in the order of the file.
    pub core: Vec<CoreRecord>,
    /// Initial bytes of an arena.
    pub arena: Vec<u8>,
    /// What was skipped and why, for whoever wants to know.
    pub notes: Vec<String>,
}

impl Object {
    /// The program of this name.
    pub fn program(&self, name: &str) -> Option<&ProgramDef> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// The program of this name, to be edited.
    pub fn program_mut(&mut self, name: &str) -> Option<&mut ProgramDef> {
        self.programs.iter_mut().find(|program| program.name == name)
    }

    /// The map of this name. The map of a data section is found by the section's name
    /// as well (`.rodata`).
    pub fn map(&self, name: &str) -> Option<&MapDef> {
        self.maps.iter().find(|map| map.is_called(name))
    }

    /// The map of this name, to be edited.
    pub fn map_mut(&mut self, name: &str) -> Option<&mut MapDef> {
        self.maps.iter_mut().find(|map| map.is_called(name))
    }

    /// Has the maps in a map look like another map of the object, as a loader does whose
    /// application gives it an inner map.
    ///
    /// # Errors
    /// Why they cannot, in a line.
    pub fn set_inner(&mut self, outer: &str, inner: &str) -> Result<(), String> {
        let holds_maps = |map: &MapDef| map.kind().is_some_and(|kind| kind.row().of_maps);
        let missing = |name: &str| format!("the object has no map {name:?}");
        let inner_def = self.map(inner).ok_or_else(|| missing(inner))?.clone();
        let outer_def = self.map_mut(outer).ok_or_else(|| missing(outer))?;
        if !holds_maps(outer_def) {
            return Err(format!("map {outer:?} holds no maps"));
        }
        if holds_maps(&inner_def) {
            return Err(format!("map {inner:?} holds maps itself, which maps in maps cannot"));
        }
        outer_def.inner = Some(Box::new(MapDef { pinned: false, ..inner_def }));
        Ok(())
    }

    /// Loads these programs and no others.
    pub fn select(&mut self, wanted: impl Fn(&ProgramDef) -> bool) {
        for program in &mut self.programs {
            program.autoload = wanted(program);
        }
    }
}

/// A program: a function that a hook can run.
#[derive(Clone, Debug)]
pub struct ProgramDef {
    /// The function's name.
    pub name: String,
    /// Its section, without a leading `?`.
    pub section: String,
    /// Its code: index into [`Object::functions`].
    pub function: usize,
    /// Whether it is relocated and loaded; `SEC("?...")` says not.
    pub autoload: bool,
    /// What the section's name says; `None` for a name that libbpf does not know.
    pub section_def: Option<&'static SectionDef>,
    /// The type, from the section's name.
    pub prog_type: Option<ProgType>,
    /// The expected attach type, from the section's name.
    pub attach_type: Option<AttachType>,
    /// What stands behind the slash of the section's name.
    pub target: Option<String>,
    /// [`skep_abi::flags::prog`]: sleepable, fragments.
    pub flags: u32,
}

impl ProgramDef {
    /// Gives it a type by a row of section names, whatever its own section is called.
    pub fn set_type(&mut self, def: &'static SectionDef) {
        self.section_def = Some(def);
        self.prog_type = Some(def.prog_type);
        self.attach_type = def.attach_type;
        self.flags = prog_flags(def.flags);
    }
}

/// A function: code of its own, not yet linked with what it calls.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its section, as the file names it.
    pub section: String,
    /// The section's number.
    pub(crate) section_index: usize,
    /// The slot of the section that it starts at.
    pub start: u32,
    /// Its instructions as the compiler left them.
    pub insns: Vec<Slot>,
    /// What its instructions refer to, in their order.
    pub references: Vec<Reference>,
    /// Whether other files see it.
    pub global: bool,
    /// A global function that is verified as if it were static.
    pub hidden: bool,
    /// Which function starts where; offsets in slots from the start of this function.
    pub func_info: Vec<FuncInfo>,
    /// Source lines; offsets in slots from the start of this function.
    pub line_info: Vec<LineInfo>,
}

impl Function {
    /// Whether a slot of its section belongs to it.
    pub(crate) fn contains(&self, slot: u64) -> bool {
        (u64::from(self.start)..u64::from(self.start) + self.insns.len() as u64).contains(&slot)
    }
}

/// An instruction that stands for something which has no number yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The instruction, in slots from the start of the function.
    pub at: u32,
    /// What it stands for.
    pub to: Symbol,
}

/// What an instruction can stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Symbol {
    /// A map: index into [`Object::maps`].
    Map(usize),
    /// An address in a map's only value; the instruction's immediate adds to `offset`.
    MapValue {
        /// Index into [`Object::maps`].
        map: usize,
        /// Bytes from the start of the value.
        offset: u32,
    },
    /// Something from elsewhere: index into [`Object::externs`].
    Extern(usize),
    /// A function that is called: index into [`Object::functions`].
    Call(usize),
    /// A function whose address is taken: index into [`Object::functions`].
    FunctionAddress(usize),
}

/// A CO-RE record and the instruction that it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreRecord {
    /// Index into [`Object::functions`].
    pub function: usize,
    /// The instruction, in slots from the start of the function.
    pub at: u32,
    /// The record.
    pub relocation: Relocation,
}

/// A map, as it shall be created.
#[derive(Clone, Debug, Default)]
pub struct MapDef {
    /// Its name; that of a data section's map has the object's name in front.
    pub name: String,
    /// Where it comes from.
    pub origin: MapOrigin,
    /// [`MapType`] number.
    pub map_type: u32,
    /// Bytes in a key.
    pub key_size: u32,
    /// Bytes in a value.
    pub value_size: u32,
    /// Most elements; bytes for ring buffers.
    pub max_entries: u32,
    /// [`skep_abi::flags::map`].
    pub flags: u32,
    /// Hashes of a bloom filter, address of an arena.
    pub extra: u64,
    /// NUMA node; counts where the flags say so.
    pub numa_node: u32,
    /// Whether it asks to be pinned by its name.
    pub pinned: bool,
    /// BTF type of the key, 0 for none.
    pub key_type_id: u32,
    /// BTF type of the value, 0 for none.
    pub value_type_id: u32,
    /// What the maps in this map look like.
    pub inner: Option<Box<MapDef>>,
    /// The map's only value, where it has a first content.
    pub contents: Vec<u8>,
    /// The elements of a program array or a map of maps that are set from the start:
    /// index, and index into [`Object::maps`] or [`Object::programs`].
    pub slots: Vec<(u32, usize)>,
    /// Whether it is created; `SEC("?.struct_ops")` says not.
    pub autocreate: bool,
    /// Operations, for a map of them.
    pub operations: Vec<Operation>,
    /// Where its definition is.
    pub(crate) place: Place,
}

/// Part of a section: the section's number, and bytes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    pub section: usize,
    pub start: u64,
    pub end: u64,
}

/// Where a map comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum MapOrigin {
    /// Defined by types, in `.maps`.
    #[default]
    Btf,
    /// Defined by a structure, in `maps`.
    Legacy,
    /// A section of variables: `.data`, or another whose name starts so.
    Data(String),
    /// A section of constants: frozen once it is filled.
    Rodata(String),
    /// A section of variables that start as zeros.
    Bss(String),
    /// The kernel's configuration: frozen once it is filled.
    Kconfig,
    /// `.struct_ops` or `.struct_ops.link`.
    StructOps(String),
}

impl MapOrigin {
    /// The ELF section of a map that stands for a whole section.
    pub fn section(&self) -> Option<&str> {
        match self {
            MapOrigin::Data(name) | MapOrigin::Rodata(name) | MapOrigin::Bss(name) => Some(name),
            MapOrigin::Kconfig => Some(".kconfig"),
            MapOrigin::Btf | MapOrigin::Legacy | MapOrigin::StructOps(_) => None,
        }
    }

    /// Whether nothing writes to the map once it is filled.
    pub fn is_frozen(&self) -> bool {
        matches!(self, MapOrigin::Rodata(_) | MapOrigin::Kconfig)
    }
}

impl MapDef {
    /// Its type, if it is one that we know.
    pub fn kind(&self) -> Option<MapType> {
        MapType::from_number(self.map_type)
    }

    /// Whether this is its name, or that of the data section that it stands for.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.origin.section() == Some(name)
    }
}

/// A program in a structure of operations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Index of the structure's member.
    pub member: usize,
    /// Index into [`Object::programs`].
    pub program: usize,
}

/// Something that the object expects from elsewhere.
#[derive(Clone, Debug)]
pub struct Extern {
    /// The symbol's name.
    pub name: String,
    /// Whether it may be missing; it is zero then, and a call of it is poisoned.
    pub weak: bool,
    /// What it is.
    pub kind: ExternKind,
    /// Number of the ELF symbol.
    pub(crate) symbol: usize,
}

/// What an extern is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExternKind {
    /// A value of the kernel's configuration.
    Kconfig {
        /// How it is stored.
        value: KconfigType,
        /// Bytes that it takes.
        size: u32,
        /// Its alignment in bytes.
        align: u32,
        /// Where it is in the map `.kconfig`.
        offset: u32,
    },
    /// A kernel variable; `type_id` 0 is one without a type, found by its address.
    Variable {
        /// Its type in the object's BTF, without modifiers and typedefs.
        type_id: u32,
    },
    /// A kernel function.
    Function {
        /// Its prototype in the object's BTF.
        type_id: u32,
    },
}

/// How a value of the kernel's configuration is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KconfigType {
    /// `y`, `n` or `m` as a character, or a small number.
    Char {
        /// Whether a number may be negative.
        signed: bool,
    },
    /// `y` or `n`, or 1 or 0.
    Bool,
    /// A number.
    Int {
        /// Whether it may be negative.
        signed: bool,
    },
    /// `y`, `n` or `m` as `enum libbpf_tristate`.
    Tristate,
    /// A string.
    CharArray,
}

/// The flags of loading that a section's name stands for.
pub(crate) fn prog_flags(flags: SectionFlags) -> u32 {
    let flag = |of: SectionFlags, bit: u32| if flags.contains(of) { bit } else { 0 };
    flag(SectionFlags::SLEEPABLE, prog::SLEEPABLE) | flag(SectionFlags::FRAGS, prog::XDP_HAS_FRAGS)
}
