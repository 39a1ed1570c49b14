//! Creating maps: their attributes, their first contents, and pins.
//!
//! Counterpart: libbpf's `bpf_object__create_maps`.

use std::path::Path;
use std::sync::Arc;

use skep_abi::{Errno, MapType, Typed};
use skep_sys::{Command, Fd, Kernel, MapCreate, MapFreeze, MapInfo, ObjGet, ObjPin};

use super::{Map, Options, Program, kernel_name};
use crate::error::{LoadError, LoadErrorKind as Kind};
use crate::object::MapDef;
use crate::relocate::{Linked, Structure};

/// Creates all maps that are to be; the others stay `None`.
pub(super) fn maps(
    linked: &Linked,
    kernel: &Arc<dyn Kernel>,
    btf: Option<&Fd>,
    options: &Options,
) -> Result<Vec<Option<Map>>, LoadError> {
    let mut maps = Vec::with_capacity(linked.maps.len());
    for (index, def) in linked.maps.iter().enumerate() {
        if !def.autocreate {
            maps.push(None);
            continue;
        }
        let structure = linked.structures.iter().find(|structure| structure.map == index);
        let creation = Creation { linked, kernel, btf, def, structure };
        maps.push(Some(creation.map(options)?));
    }
    // Maps of maps last, when all that they hold is there.
    for (map, def) in maps.iter().zip(&linked.maps).filter(|(_, def)| holds_maps(def)) {
        for &(slot, index) in &def.slots {
            if let (Some(map), Some(Some(held))) = (map, maps.get(index)) {
                set_slot(map, slot, held.fd().raw())?;
            }
        }
    }
    Ok(maps)
}

/// Sets the elements of program arrays. Programs that were not loaded stay out.
pub(super) fn fill_program_arrays(
    linked: &Linked,
    maps: &[Option<Map>],
    programs: &[Program],
) -> Result<(), LoadError> {
    for (map, def) in maps.iter().zip(&linked.maps) {
        let (Some(map), Some(MapType::ProgArray)) = (map, def.kind()) else { continue };
        for &(slot, index) in &def.slots {
            let loaded = linked.programs.iter().position(|program| program.index == index);
            if let Some(program) = loaded.and_then(|loaded| programs.get(loaded)) {
                set_slot(map, slot, program.fd().raw())?;
            }
        }
    }
    Ok(())
}

fn set_slot(map: &Map, slot: u32, fd: i32) -> Result<(), LoadError> {
    map.update(&slot.to_ne_bytes(), &fd.to_ne_bytes(), 0).map_err(|errno| {
        let doing = format!("setting element {slot}");
        Kind::Map { name: map.name().into(), doing, errno }.into()
    })
}

fn holds_maps(def: &MapDef) -> bool {
    def.kind().is_some_and(|kind| kind.row().of_maps)
}

struct Creation<'a> {
    linked: &'a Linked,
    kernel: &'a Arc<dyn Kernel>,
    btf: Option<&'a Fd>,
    def: &'a MapDef,
    /// The kernel's side of a structure of operations.
    structure: Option<&'a Structure>,
}

impl Creation<'_> {
    /// A map from its pin, or a new one.
    fn map(&self, options: &Options) -> Result<Map, LoadError> {
        let def = self.completed(self.def);
        if let Some(map) = options.reuse.iter().find(|map| map.name() == def.name)
            && def.origin.section().is_none()
        {
            return self.taken_over(map, &def);
        }
        let pin = options.pin_dir.as_deref().filter(|_| def.pinned).map(|dir| dir.join(&def.name));
        if let Some(path) = &pin
            && let Some(fd) = self.pinned(path, &def)?
        {
            return Ok(Map::new(fd, def, self.linked.btf.clone()));
        }
        let inner = match &def.inner {
            Some(inner) => {
                let fd = self.create(&self.completed(inner), None);
                Some(fd.map_err(|errno| self.failed("creating what it holds", errno))?)
            }
            None => None,
        };
        let fd =
            self.create(&def, inner.as_ref()).map_err(|errno| self.failed("creating", errno))?;
        let map = Map::new(fd, def, self.linked.btf.clone());
        self.fill(&map)?;
        if let Some(path) = pin {
            self.pin(&path, &map)?;
        }
        Ok(map)
    }

    /// A map that was there before.
    fn taken_over(&self, map: &Map, def: &MapDef) -> Result<Map, LoadError> {
        let had = map.def();
        let differs = [
            ("type", had.map_type != def.map_type),
            ("key size", had.key_size != def.key_size),
            ("value size", had.value_size != def.value_size),
            ("max_entries", had.max_entries != def.max_entries),
            ("flags", had.flags != def.flags),
            ("extra", had.extra != def.extra),
        ];
        match differs.iter().find(|(_, differs)| *differs) {
            None => Ok(map.clone()),
            Some((what, _)) => {
                let doing = format!("going on with the map that is there, of another {what},");
                Err(self.failed(&doing, Errno::EINVAL))
            }
        }
    }

    fn failed(&self, doing: &str, errno: Errno) -> LoadError {
        Kind::Map { name: self.def.name.clone(), doing: doing.into(), errno }.into()
    }

    /// An array of perf events without a size gets one for each CPU; the value of a
    /// structure is as large as the kernel's.
    fn completed(&self, def: &MapDef) -> MapDef {
        let mut def = def.clone();
        if let Some(structure) = self.structure {
            def.value_size = structure.contents.len() as u32;
        }
        if def.kind() == Some(MapType::PerfEventArray) && def.max_entries == 0 {
            def.max_entries = self.kernel.possible_cpus();
        }
        def
    }

    /// Creates a map, with the types of its elements if the kernel takes them.
    fn create(&self, def: &MapDef, inner: Option<&Fd>) -> Result<Fd, Errno> {
        let with_types = self.btf.filter(|_| takes_types(def));
        let has_types = def.key_type_id != 0 || def.value_type_id != 0;
        let result = self.try_create(def, inner, with_types);
        match result {
            Err(errno) if has_types && with_types.is_some() && errno != Errno::EPERM => {
                self.try_create(def, inner, None)
            }
            other => other,
        }
    }

    fn try_create(
        &self,
        def: &MapDef,
        inner: Option<&Fd>,
        types: Option<&Fd>,
    ) -> Result<Fd, Errno> {
        let mut create = MapCreate {
            map_type: def.map_type,
            key_size: def.key_size,
            value_size: def.value_size,
            max_entries: def.max_entries,
            map_flags: def.flags,
            numa_node: def.numa_node,
            map_name: kernel_name(&def.name),
            map_extra: def.extra,
            inner_map_fd: inner.map_or(0, |fd| fd.raw() as u32),
            ..MapCreate::default()
        };
        if let Some(types) = types {
            create.btf_fd = types.raw() as u32;
            create.btf_key_type_id = def.key_type_id;
            create.btf_value_type_id = def.value_type_id;
        }
        if let Some(structure) = self.structure {
            create.btf_vmlinux_value_type_id = structure.value_type_id;
            create.btf_value_type_id = 0;
        }
        Fd::open(self.kernel, &mut Command::MapCreate(create))
    }

    /// The first contents; constants are frozen then.
    fn fill(&self, map: &Map) -> Result<(), LoadError> {
        let def = map.def();
        if def.kind() == Some(MapType::Arena) {
            return self.fill_arena(map);
        }
        if def.origin.section().is_none() {
            return Ok(());
        }
        if !def.contents.is_empty() {
            let mut value = def.contents.clone();
            value.resize(def.value_size as usize, 0);
            map.update(&0u32.to_ne_bytes(), &value, 0)
                .map_err(|errno| self.failed("setting its first contents", errno))?;
        }
        if def.origin.is_frozen() {
            let mut freeze = Command::MapFreeze(MapFreeze {
                map_fd: map.fd().raw() as u32,
                ..MapFreeze::default()
            });
            self.kernel.bpf(&mut freeze).map_err(|errno| self.failed("freezing", errno))?;
        }
        Ok(())
    }

    /// Variables go to the start of their arena.
    fn fill_arena(&self, map: &Map) -> Result<(), LoadError> {
        let bytes = &self.linked.arena;
        if bytes.is_empty() {
            return Ok(());
        }
        let len = 4096 * map.def().max_entries as usize;
        let mapping =
            map.fd().map(0, len, true).map_err(|errno| self.failed("mapping its memory", errno))?;
        match mapping.write(0, bytes) {
            true => Ok(()),
            false => Err(self.failed("setting its variables, which need more pages", Errno::E2BIG)),
        }
    }

    /// The map at a path, if there is one.
    fn pinned(&self, path: &Path, def: &MapDef) -> Result<Option<Fd>, LoadError> {
        let mut get =
            Command::ObjGet(ObjGet { pathname: Some(c_path(path).into()), ..ObjGet::default() });
        let fd = match Fd::open(self.kernel, &mut get) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(pin_error(path, def, "taking the pinned map", errno)),
        };
        let info = MapInfo::query(&**self.kernel, fd.raw())
            .map_err(|errno| pin_error(path, def, "asking what is pinned", errno))?;
        let is_same = info.map_type == def.map_type
            && info.key_size == def.key_size
            && info.value_size == def.value_size
            && info.max_entries == def.max_entries
            && info.map_extra == def.extra;
        match is_same {
            true => Ok(Some(fd)),
            false => {
                Err(pin_error(path, def, "using the pinned map, which differs", Errno::EINVAL))
            }
        }
    }

    fn pin(&self, path: &Path, map: &Map) -> Result<(), LoadError> {
        let mut pin = Command::ObjPin(ObjPin {
            pathname: Some(c_path(path).into()),
            bpf_fd: map.fd().raw() as u32,
            ..ObjPin::default()
        });
        let result = self.kernel.bpf(&mut pin);
        result.map(drop).map_err(|errno| pin_error(path, map.def(), "pinning", errno))
    }
}

fn pin_error(path: &Path, def: &MapDef, doing: &str, errno: Errno) -> LoadError {
    let doing = format!("{doing} at {:?}", path.display().to_string());
    Kind::Map { name: def.name.clone(), doing, errno }.into()
}

fn c_path(path: &Path) -> Vec<u8> {
    let mut bytes = path.as_os_str().as_encoded_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Whether a map of this kind is created with its types.
fn takes_types(def: &MapDef) -> bool {
    def.kind().is_none_or(|kind| kind.row().typed == Typed::Kept)
}
