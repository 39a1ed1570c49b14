//! From an [`Object`] to programs that are one piece each: [`relocate`].
//!
//! The steps are libbpf's, in its order, so that the bytes are: resolve externs,
//! apply CO-RE records to all functions, then for each program append the functions
//! that it calls, and at last put in what maps and externs are. Map references stay
//! symbolic until there are fds. Counterpart: `bpf_object__relocate`.

mod core;
mod externs;
mod image;
mod struct_ops;

use std::sync::Arc;

use skep_btf::{Btf, FuncInfo, LineInfo};
use skep_isa::{Callee, Imm64, ImmKind, Insn, Slot};

use crate::error::{RelocateError, RelocateErrorKind as Kind};
use crate::object::{MapDef, MapOrigin, Object, ProgramDef, Symbol};
use crate::target::Target;
use externs::Resolution;
use image::Image;
pub use struct_ops::{Structure, StructureMember};

/// An object whose programs are complete but for the fds of maps.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The object's name.
    pub name: String,
    /// The file, for messages.
    pub file: String,
    /// The licence.
    pub license: String,
    /// The version that the object asks for.
    pub kernel_version: Option<u32>,
    /// The programs that were to be loaded.
    pub programs: Vec<LinkedProgram>,
    /// The object's maps, with the kernel's configuration filled in.
    pub maps: Vec<MapDef>,
    /// The object's types.
    pub btf: Option<Arc<Btf>>,
    /// The structures of operations among the maps, in the kernel's layout.
    pub structures: Vec<Structure>,
    /// Initial bytes of an arena.
    pub arena: Vec<u8>,
}

/// A program in one piece.
#[derive(Clone, Debug)]
pub struct LinkedProgram {
    /// Its definition.
    pub def: ProgramDef,
    /// Its index in [`Object::programs`].
    pub index: usize,
    /// Its instructions. Where [`map_references`](LinkedProgram::map_references) says
    /// so, the immediate is an index into [`Linked::maps`] and no fd.
    pub insns: Vec<Slot>,
    /// Which instructions refer to maps, in their order.
    pub map_references: Vec<MapReference>,
    /// Which instructions were replaced because something is missing.
    pub poisoned: Vec<Poisoned>,
    /// The functions in it, in their order; the first is the program's own.
    pub functions: Vec<PlacedFunction>,
    /// Which function starts where; offsets in slots. Empty where any lacks a record.
    pub func_info: Vec<FuncInfo>,
    /// Source lines; offsets in slots.
    pub line_info: Vec<LineInfo>,
}

/// A 64-bit load of a map or of an address in one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapReference {
    /// The slot.
    pub at: u32,
    /// Index into [`Linked::maps`].
    pub map: usize,
}

/// An instruction that was replaced by a call of a helper that does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poisoned {
    /// The slot.
    pub at: u32,
    /// What is missing.
    pub what: String,
}

/// A function in a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedFunction {
    /// Its name.
    pub name: String,
    /// The slot that it starts at.
    pub start: u32,
}

/// The most slots that all programs of an object take together.
const MAX_TOTAL: usize = 16 << 20;

/// Relocates the programs of an object that are to be loaded.
///
/// # Errors
/// What does not resolve; where only an instruction depends on it, that is poisoned
/// instead.
pub fn relocate(object: &Object, target: &Target) -> Result<Linked, RelocateError> {
    let name_file = |error: RelocateError| error.of_file(&object.file);
    let externs = externs::resolve(object, target).map_err(name_file)?;
    let structures = struct_ops::layout(object, target).map_err(name_file)?;
    let code = core::apply(object, target).map_err(name_file)?;
    let mut programs = Vec::new();
    let mut total = 0;
    for (index, def) in object.programs.iter().enumerate().filter(|(_, def)| def.autoload) {
        let image = image::link(object, &code, def).map_err(name_file)?;
        total += image.insns.len();
        if total > MAX_TOTAL {
            return Err(name_file(Kind::TooLong { slots: total, most: MAX_TOTAL }.into()));
        }
        programs.push(finish(object, &externs, image, def.clone(), index));
    }
    let mut maps = object.maps.clone();
    for map in maps.iter_mut().filter(|map| map.origin == MapOrigin::Kconfig) {
        map.contents = externs::kconfig_contents(object, &externs, map.value_size);
    }
    Ok(Linked {
        name: object.name.clone(),
        file: object.file.clone(),
        license: object.license.clone(),
        kernel_version: object.kernel_version,
        programs,
        maps,
        btf: object.btf.clone(),
        structures,
        arena: object.arena.clone(),
    })
}

/// The helper numbers that stand for a missing map and a missing kernel function; the
/// index of what is missing is added.
const POISON_MAP: i32 = 2_001_000_000;
const POISON_KFUNC: i32 = 2_002_000_000;

/// Puts in what maps and externs are.
fn finish(
    object: &Object,
    externs: &[Resolution],
    image: Image,
    def: ProgramDef,
    index: usize,
) -> LinkedProgram {
    let Image { mut insns, sites, mut poisoned, functions, func_info, line_info } = image;
    let kconfig = object.maps.iter().position(|map| map.origin == MapOrigin::Kconfig);
    let mut map_references = Vec::new();
    for site in sites {
        let at = site.at as usize;
        let Some(&Slot { imm, .. }) = insns.get(at) else { continue };
        let fill = match site.to {
            Symbol::Map(map) => Fill::Map(map),
            Symbol::MapValue { map, offset } => {
                Fill::MapValue { map, offset: (imm as u32).wrapping_add(offset) }
            }
            Symbol::Extern(extern_index) => match (&externs[extern_index], kconfig) {
                (Resolution::Kconfig { offset, .. }, Some(map)) => {
                    Fill::MapValue { map, offset: *offset }
                }
                (resolution, _) => Fill::Extern(extern_index, resolution),
            },
            Symbol::Call(_) | Symbol::FunctionAddress(_) => continue,
        };
        match fill {
            Fill::Map(map) | Fill::MapValue { map, .. } if !object.maps[map].autocreate => {
                poison(&mut insns, at, POISON_MAP.saturating_add(map as i32));
                poison(&mut insns, at + 1, POISON_MAP.saturating_add(map as i32));
                let what = format!("map {:?}, which is not created", object.maps[map].name);
                poisoned.push(Poisoned { at: site.at, what });
            }
            Fill::Map(map) => {
                insns[at].src = ImmKind::MapFd as u8;
                insns[at].imm = map as i32;
                map_references.push(MapReference { at: site.at, map });
            }
            Fill::MapValue { map, offset } => {
                insns[at].src = ImmKind::MapValue as u8;
                insns[at].imm = map as i32;
                set_imm(&mut insns, at + 1, offset as i32);
                map_references.push(MapReference { at: site.at, map });
            }
            Fill::Extern(of, resolution) => {
                if let Some(what) = put_extern(&mut insns, at, object, of, resolution) {
                    poisoned.push(Poisoned { at: site.at, what });
                }
            }
        }
    }
    map_references.sort_by_key(|reference| reference.at);
    poisoned.sort_by_key(|poisoned| poisoned.at);
    LinkedProgram { def, index, insns, map_references, poisoned, functions, func_info, line_info }
}

enum Fill<'a> {
    Map(usize),
    MapValue { map: usize, offset: u32 },
    Extern(usize, &'a Resolution),
}

/// Puts in a kernel symbol. Gives what is missing, if that poisons the instruction.
fn put_extern(
    insns: &mut [Slot],
    at: usize,
    object: &Object,
    index: usize,
    resolution: &Resolution,
) -> Option<String> {
    let is_call = matches!(skep_isa::decode_at(insns, at), Ok(Insn::Call(_)));
    match resolution {
        Resolution::Kernel { btf_id } if is_call => {
            put(insns, at, Insn::Call(Callee::Kfunc { btf_id: *btf_id as i32, module: 0 }));
        }
        Resolution::Kernel { btf_id } => {
            insns[at].src = ImmKind::BtfId as u8;
            insns[at].imm = *btf_id as i32;
            set_imm(insns, at + 1, 0);
        }
        _ if is_call => {
            poison(insns, at, POISON_KFUNC.saturating_add(index as i32));
            return Some(format!("kernel function {:?}", object.externs[index].name));
        }
        other => {
            let address = match other {
                Resolution::Address(address) => *address,
                _ => 0,
            };
            insns[at].imm = Imm64::constant(address).lo as i32;
            set_imm(insns, at + 1, Imm64::constant(address).hi as i32);
        }
    }
    None
}

/// Replaces the instruction of one slot.
fn put(insns: &mut [Slot], at: usize, insn: Insn) {
    if let (Some(place), Some(slot)) = (insns.get_mut(at), skep_isa::encode(&[insn]).first()) {
        *place = *slot;
    }
}

fn set_imm(insns: &mut [Slot], at: usize, imm: i32) {
    if let Some(slot) = insns.get_mut(at) {
        slot.imm = imm;
    }
}

/// Makes a slot a call of a helper that does not exist.
fn poison(insns: &mut [Slot], at: usize, helper: i32) {
    put(insns, at, Insn::Call(Callee::Helper(helper as u32)));
}
