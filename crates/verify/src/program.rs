//! What is judged: a program with its maps by definition, its types, and where it
//! means to attach. Plain data; any byte string is a program here, and what is
//! wrong with it is found in Linux's order. Counterpart: `union bpf_attr` of
//! `BPF_PROG_LOAD`, resolved.

use std::sync::Arc;

use skep_abi::{HookRow, MapType, ProgType};
use skep_btf::Btf;
use skep_isa::Slot;

/// A program to verify.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its instructions as they would be loaded, relocated.
    pub slots: Vec<Slot>,
    /// Program type.
    pub kind: ProgType,
    /// `expected_attach_type`: an attach type's number, or a member's index for
    /// `struct_ops`.
    pub attach_type: u32,
    /// `prog_flags` (`skep_abi::flags::prog`).
    pub flags: u32,
    /// Whether its licence lets it call GPL-only functions.
    pub gpl: bool,
    /// Its name, for people.
    pub name: String,
    /// The maps that it may name by fd, where nobody else knows them ([`crate::verify_with`]).
    pub maps: Vec<MapRef>,
    /// `fd_array`: what `MapIdx` immediates and module kfuncs index.
    pub fd_array: Option<Vec<i32>>,
    /// BTF of the program.
    pub btf: Option<Arc<Btf>>,
    /// Function records, by increasing slot.
    pub func_info: Vec<FuncInfo>,
    /// Line records, by increasing slot.
    pub line_info: Vec<LineInfo>,
    /// BTF of kernel modules that it may name by fd.
    pub modules: Vec<(i32, Arc<Btf>)>,
    /// What it attaches to, by type id in the kernel's BTF; 0 for nothing.
    pub attach_btf_id: u32,
    /// The hook of an application that it is for, of type [`ProgType::Unspec`] then.
    pub hook: Option<Arc<HookRow>>,
}

impl Default for Program {
    fn default() -> Program {
        Program {
            slots: Vec::new(),
            kind: ProgType::Unspec,
            attach_type: 0,
            flags: 0,
            gpl: false,
            name: String::new(),
            maps: Vec::new(),
            fd_array: None,
            btf: None,
            func_info: Vec::new(),
            line_info: Vec::new(),
            modules: Vec::new(),
            attach_btf_id: 0,
            hook: None,
        }
    }
}

impl Program {
    /// The map of an fd, of those that it lists.
    pub fn map(&self, fd: i32) -> Option<Arc<MapDef>> {
        self.maps.iter().find(|map| map.fd == fd).map(|map| Arc::clone(&map.map))
    }
}

/// A map and the fd by which instructions name it.
#[derive(Clone, Debug)]
pub struct MapRef {
    /// The fd.
    pub fd: i32,
    /// The map.
    pub map: Arc<MapDef>,
}

/// Finds the definition of a map by its fd.
pub type MapsByFd<'m> = &'m mut dyn FnMut(i32) -> Option<Arc<MapDef>>;

/// A map by its definition.
#[derive(Clone, Debug)]
pub struct MapDef {
    /// Name, at most 15 bytes.
    pub name: String,
    /// Type.
    pub kind: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of elements.
    pub max_entries: u32,
    /// `map_flags` (`skep_abi::flags::map`).
    pub flags: u32,
    /// `map_extra`: the user's address of an arena, and more.
    pub extra: u64,
    /// Types of key and value.
    pub btf: Option<Arc<Btf>>,
    /// Type id of the key, 0 for none.
    pub key_type: u32,
    /// Type id of the value, 0 for none.
    pub value_type: u32,
    /// What an array or hash of maps holds.
    pub inner: Option<Arc<MapDef>>,
    /// The contents, where the map is frozen: what a program may read as constants.
    pub frozen: Option<Arc<[u8]>>,
}

impl Default for MapDef {
    fn default() -> MapDef {
        MapDef {
            name: String::new(),
            kind: MapType::Unspec,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: 0,
            extra: 0,
            btf: None,
            key_type: 0,
            value_type: 0,
            inner: None,
            frozen: None,
        }
    }
}

/// A function's start and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// First slot.
    pub pc: u32,
    /// The `Func` in the program's BTF.
    pub type_id: u32,
}

/// The source line of a run of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// First slot.
    pub pc: u32,
    /// File name, in the BTF's strings.
    pub file_name_off: u32,
    /// Text, in the BTF's strings.
    pub line_off: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
}
