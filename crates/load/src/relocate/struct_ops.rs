//! Structures of operations, as the kernel lays them out.
//!
//! The object's structure and the kernel's may differ: members go by their names.
//! Functions in it are programs, each of which is verified as the member that it
//! stands for. Counterpart: libbpf's `bpf_map__init_kern_struct_ops`.

use skep_btf::core::essential_name;
use skep_btf::{Btf, Composite, Kind as TypeKind, Member, Type};

use crate::error::{RelocateError, RelocateErrorKind as Kind};
use crate::object::{MapDef, MapOrigin, Object};
use crate::target::Target;

/// A structure in the kernel's layout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Structure {
    /// Index into [`crate::Linked::maps`].
    pub map: usize,
    /// The kernel's type that the map's value is of (`struct bpf_struct_ops_NAME`).
    pub value_type_id: u32,
    /// The kernel's type that programs attach to (`struct NAME`).
    pub type_id: u32,
    /// The value, with zeros where functions belong.
    pub contents: Vec<u8>,
    /// The functions.
    pub members: Vec<StructureMember>,
}

/// A function in a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StructureMember {
    /// Index of the member in the kernel's structure, which is the program's attach type.
    pub index: u32,
    /// Where the program's fd belongs in the value, in bytes.
    pub offset: u32,
    /// Index into [`Object::programs`].
    pub program: usize,
}

/// The structures of an object that are to be created.
pub(super) fn layout(object: &Object, target: &Target) -> Result<Vec<Structure>, RelocateError> {
    let is_wanted = |map: &MapDef| map.autocreate && matches!(map.origin, MapOrigin::StructOps(_));
    let mut structures = Vec::new();
    for (index, map) in object.maps.iter().enumerate().filter(|(_, map)| is_wanted(map)) {
        let Some(btf) = &object.btf else { continue };
        let kernel = target.kernel_btf().map_err(|reason| {
            let need = "structures of operations".into();
            RelocateError::from(Kind::NoKernelBtf { need, reason })
        })?;
        let layout = Layout { local: btf, kernel, map };
        let structure = layout.structure(index).map_err(|reason| {
            RelocateError::from(Kind::Structure { name: map.name.clone(), reason })
        })?;
        structures.push(structure);
    }
    Ok(structures)
}

struct Layout<'a> {
    local: &'a Btf,
    kernel: &'a Btf,
    map: &'a MapDef,
}

impl Layout<'_> {
    fn structure(&self, map: usize) -> Result<Structure, String> {
        let local = structure(self.local, self.map.value_type_id)?;
        let name = essential_name(local.name);
        let (value_type_id, type_id) =
            (self.find(&format!("bpf_struct_ops_{name}"))?, self.find(name)?);
        let (value, kernel) =
            (structure(self.kernel, value_type_id)?, structure(self.kernel, type_id)?);
        let holder = value.members.iter().find(|member| member.type_id == type_id);
        let holder = holder.ok_or_else(|| format!("the kernel's {:?} has no data", value.name))?;
        let mut structure = Structure {
            map,
            value_type_id,
            type_id,
            contents: vec![0; value.size as usize],
            members: Vec::new(),
        };
        for (index, member) in local.members.iter().enumerate() {
            let place = Place { kernel: &kernel, start: holder.bit_offset / 8 };
            self.put(index, &member, &place, &mut structure)?;
        }
        Ok(structure)
    }

    fn find(&self, name: &str) -> Result<u32, String> {
        let id = self.kernel.find(name, TypeKind::Struct);
        id.ok_or_else(|| format!("the kernel has no struct {name:?}"))
    }

    /// Puts one member where the kernel has it.
    fn put(
        &self,
        index: usize,
        member: &Member<'_>,
        place: &Place<'_>,
        structure: &mut Structure,
    ) -> Result<(), String> {
        let text = |error: skep_btf::BtfError| error.to_string();
        let size = self.local.size_of(member.type_id).map_err(text)? as usize;
        let start = (member.bit_offset / 8) as usize;
        let bytes = self.map.contents.get(start..start + size);
        let bytes = bytes.ok_or_else(|| format!("member {:?} is outside", member.name))?;
        let program = self.map.operations.iter().rfind(|of| of.member == index);
        let mut members = place.kernel.members.iter().enumerate();
        let Some((kernel_index, of)) = members.find(|(_, of)| of.name == member.name) else {
            // What is not set need not exist.
            return match program.is_none() && bytes.iter().any(|&byte| byte != 0) {
                true => Err(format!("the kernel has no member {:?}", member.name)),
                false => Ok(()),
            };
        };
        if member.bitfield_size != 0 || of.bitfield_size != 0 {
            return Err(format!("member {:?} is a bitfield", member.name));
        }
        let kinds = (
            self.local.resolved(member.type_id).map_err(text)?.kind(),
            self.kernel.resolved(of.type_id).map_err(text)?.kind(),
        );
        if kinds.0 != kinds.1 {
            let (ours, theirs) = kinds;
            return Err(format!("member {:?} is a {ours}, the kernel's a {theirs}", member.name));
        }
        let offset = place.start + of.bit_offset / 8;
        if kinds.0 == TypeKind::Ptr {
            if let Some(program) = program {
                structure.members.push(StructureMember {
                    index: kernel_index as u32,
                    offset,
                    program: program.program,
                });
            }
            return Ok(());
        }
        let theirs = self.kernel.size_of(of.type_id).map_err(text)? as usize;
        let target = structure.contents.get_mut(offset as usize..offset as usize + size);
        match target {
            Some(target) if theirs == size => {
                target.copy_from_slice(bytes);
                Ok(())
            }
            _ => Err(format!("member {:?} has {size} bytes, the kernel's {theirs}", member.name)),
        }
    }
}

/// Where the kernel's structure is in the map's value.
struct Place<'a> {
    kernel: &'a Composite<'a>,
    start: u32,
}

fn structure(btf: &Btf, id: u32) -> Result<Composite<'_>, String> {
    match btf.type_by_id(id) {
        Ok(Type::Struct(structure)) => Ok(structure),
        Ok(other) => Err(format!("type [{id}] is a {}, expected a struct", other.kind())),
        Err(error) => Err(error.to_string()),
    }
}
