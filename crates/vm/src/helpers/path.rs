//! Paths of files, by the structures of the kernel that the world has. Counterparts: `bpf_d_path`
//! in `kernel/trace/bpf_trace.c`, `fs/d_path.c`; of mounts there is none.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_abi::limits::MAX_PATH;
use skep_btf::{Btf, Kind, Type};
use skep_isa::Reg;

use super::{Function, number};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[(id::D_PATH, d_path)];

/// Where the fields are that a path is found by.
struct Places {
    /// `path.dentry`
    entry: u64,
    /// `dentry.d_parent`
    parent: u64,
    /// `dentry.d_name.name`
    name: u64,
}

/// The offset of a member of a structure, or of a union in it that has no name.
fn member(types: &Btf, of: &str, name: &str) -> Option<u64> {
    let Ok(Type::Struct(of)) = types.type_by_id(types.find(of, Kind::Struct)?) else { return None };
    let bits = of.members.iter().find_map(|outer| match types.type_by_id(outer.type_id) {
        _ if outer.name == name => Some(outer.bit_offset),
        Ok(Type::Union(inner)) if outer.name.is_empty() => {
            let inner = inner.members.iter().find(|inner| inner.name == name)?;
            Some(outer.bit_offset + inner.bit_offset)
        }
        _ => None,
    });
    Some(u64::from(bits? / 8))
}

impl Places {
    fn of(types: &Btf) -> Option<Places> {
        Some(Places {
            entry: member(types, "path", "dentry")?,
            parent: member(types, "dentry", "d_parent")?,
            name: member(types, "dentry", "d_name")? + member(types, "qstr", "name")?,
        })
    }
}

/// The address at an address.
fn pointer(run: &Run<'_>, at: u64) -> Option<u64> {
    let mut word = [0; 8];
    run.read_world(at, &mut word).then(|| u64::from_le_bytes(word))
}

/// The text at an address, as far as a name may be long.
fn name(run: &Run<'_>, at: u64) -> Option<Vec<u8>> {
    const NAME_MAX: u64 = 255;
    let mut name = Vec::new();
    for index in 0..=NAME_MAX {
        let mut byte = [0];
        if !run.read_world(at.wrapping_add(index), &mut byte) {
            return None;
        }
        match byte {
            [0] => return Some(name),
            [byte] => name.push(byte),
        }
    }
    None
}

/// The path at an address, with its zero, in so many bytes.
///
/// # Errors
/// `EFAULT` where it leads nowhere, `ENAMETOOLONG` where it does not fit.
pub(crate) fn path_at(run: &Run<'_>, address: u64, room: usize) -> Result<Vec<u8>, Errno> {
    let places = run.env.kernel_types().and_then(|types| Places::of(types));
    let places = places.ok_or(Errno::EFAULT)?;
    let at = |address: u64, offset| pointer(run, address.wrapping_add(offset));
    let mut entry = at(address, places.entry).ok_or(Errno::EFAULT)?;
    // What stands at the end comes first.
    let mut names = Vec::new();
    let mut len = 1;
    loop {
        let parent = at(entry, places.parent).ok_or(Errno::EFAULT)?;
        if parent == entry {
            break;
        }
        let text = at(entry, places.name).and_then(|at| name(run, at)).ok_or(Errno::EFAULT)?;
        // A name takes a byte at least: nobody goes round in circles.
        len += 1 + text.len();
        if len > room.min(MAX_PATH) {
            return Err(Errno::ENAMETOOLONG);
        }
        names.push(text);
        entry = parent;
    }
    let mut path = Vec::with_capacity(len);
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if names.is_empty() {
        path.push(b'/');
    }
    path.push(0);
    if path.len() > room { Err(Errno::ENAMETOOLONG) } else { Ok(path) }
}

/// `bpf_d_path(path, buffer, len)`: gives the length with its zero.
fn d_path(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_d_path";
    let address = run.read(Reg::R1)?.bits;
    let room = run.size_argument(Reg::R3)?;
    if room == 0 {
        return Ok(Value::scalar(0));
    }
    run.writable_argument(NAME, Reg::R2, room)?;
    let path = path_at(run, address, room as usize);
    if let Ok(path) = &path {
        run.write_argument(NAME, Reg::R2, path)?;
    }
    Ok(number(path.map(|path| path.len() as u64)))
}
