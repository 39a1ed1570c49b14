//! Structures of the kernel that programs look at: tasks and their credentials, laid out by the
//! kernel's types. They are made when somebody reads of them; what nobody described is zero.

use skep_btf::{Btf, Kind, Type};
use skep_isa::Size;

use super::Run;
use super::world::{MOST_TASKS, World};
use crate::memory::value::{Kind as ValueKind, Value};
use crate::objects::map::MapHandle;

/// Where the fields are that are not zero, and how large the structures are.
pub(crate) struct Layout {
    task: Shape<8>,
    cred: Shape<8>,
    map: Shape<6>,
}

/// Places of some fields of a structure; those that it has not are none.
struct Shape<const N: usize> {
    size: u64,
    fields: [Option<u64>; N],
}

/// Fields of `struct task_struct`.
const TASK: [&str; 8] =
    ["pid", "tgid", "comm", "real_parent", "parent", "group_leader", "cred", "real_cred"];
/// Fields of `struct cred`.
const CRED: [&str; 8] = ["uid", "gid", "suid", "sgid", "euid", "egid", "fsuid", "fsgid"];

/// Fields of `struct bpf_map`.
const MAP: [&str; 6] = ["map_type", "key_size", "value_size", "max_entries", "map_flags", "id"];

/// Where the credentials of tasks would be, and the bytes between two.
const CREDS: u64 = 0xffff_8880_6b00_0000;
const CRED_SIZE: u64 = 0x200;

impl<const N: usize> Shape<N> {
    fn of(types: &Btf, name: &str, fields: [&str; N]) -> Option<Shape<N>> {
        let Ok(Type::Struct(of)) = types.type_by_id(types.find(name, Kind::Struct)?) else {
            return None;
        };
        let place = |field: &str| {
            let member = of.members.iter().find(|member| member.name == field)?;
            Some(u64::from(member.bit_offset / 8))
        };
        Some(Shape { size: of.size.into(), fields: fields.map(place) })
    }

    /// Bytes from `offset` on, of a structure with these in its fields.
    fn read(&self, offset: u64, values: &[&[u8]; N], to: &mut [u8]) -> bool {
        let end = offset + to.len() as u64;
        if end > self.size {
            return false;
        }
        to.fill(0);
        for (place, value) in self.fields.iter().zip(values) {
            let Some(place) = *place else { continue };
            for (at, byte) in (place..).zip(*value) {
                if (offset..end).contains(&at) {
                    to[(at - offset) as usize] = *byte;
                }
            }
        }
        true
    }
}

impl Layout {
    /// That of these types.
    pub fn of(types: &Btf) -> Option<Layout> {
        Some(Layout {
            task: Shape::of(types, "task_struct", TASK)?,
            cred: Shape::of(types, "cred", CRED)?,
            map: Shape::of(types, "bpf_map", MAP)?,
        })
    }

    /// Copies what the kernel's structure of a map has at an offset.
    fn read_map(&self, map: &MapHandle, offset: u64, to: &mut [u8]) -> bool {
        let of = &map.map;
        let fields = [
            of.map_type() as u32,
            of.key_size(),
            of.value_size(),
            of.max_entries(),
            of.flags(),
            map.id,
        ]
        .map(u32::to_ne_bytes);
        self.map.read(offset, &fields.each_ref().map(|field| &field[..]), to)
    }

    /// Copies what is at an address; false where no structure is.
    pub fn read(&self, world: &World, address: u64, to: &mut [u8]) -> bool {
        if let Some((pid, offset)) = World::task_at(address) {
            return self.read_task(world, pid, offset, to);
        }
        let Some(offset) = address.checked_sub(CREDS) else { return false };
        if offset >= CRED_SIZE * MOST_TASKS {
            return false;
        }
        let (uid, gid) = world.user();
        let [uid, gid] = [uid, gid].map(u32::to_ne_bytes);
        let values = [&uid, &gid, &uid, &gid, &uid, &gid, &uid, &gid].map(|id| &id[..]);
        self.cred.read(offset % CRED_SIZE, &values, to)
    }

    fn read_task(&self, world: &World, pid: u32, offset: u64, to: &mut [u8]) -> bool {
        let (own, group) = world.ids();
        let runs = pid == own || pid == group;
        let parent_name = world.task.as_ref().filter(|task| task.parent.0 == pid);
        let (tgid, comm) = match runs {
            true => (group, world.comm()),
            false => (pid, parent_name.map_or([0; 16], |task| task.parent.1)),
        };
        let parent = if runs { world.parent().map_or(0, World::task_address) } else { 0 };
        let cred = if runs { CREDS + u64::from(pid) * CRED_SIZE } else { 0 };
        let [id, group] = [pid, tgid].map(u32::to_ne_bytes);
        let [parent, leader, cred] =
            [parent, World::task_address(tgid), cred].map(u64::to_ne_bytes);
        let values: [&[u8]; 8] = [&id, &group, &comm, &parent, &parent, &leader, &cred, &cred];
        self.task.read(offset, &values, to)
    }
}

impl Run<'_> {
    /// What a load from the kernel's structure of a map gives; `None` where the pointer is no
    /// map, or the types are not known.
    pub fn load_map_field(&self, pointer: Value, offset: i64, size: Size) -> Option<u64> {
        if pointer.kind() != ValueKind::Map {
            return None;
        }
        let layout = self.env.structures()?;
        let within = pointer.bits.wrapping_sub(Value::map(pointer.map_index()).bits);
        let offset = within.checked_add_signed(offset)?;
        let mut word = [0; 8];
        let bytes = &mut word[..size.bytes() as usize];
        layout.read_map(self.known_map(pointer), offset, bytes).then(|| u64::from_le_bytes(word))
    }

    /// Copies what an address leads to in the world: what was captured, or a structure of the
    /// kernel's. False where not all of it is there.
    pub fn read_world(&self, address: u64, to: &mut [u8]) -> bool {
        let world = self.world();
        world.read(address, to)
            || self.env.structures().is_some_and(|layout| layout.read(&world, address, to))
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::Task;
    use super::*;

    #[test]
    fn an_address_is_of_one_task_and_of_nothing_else() {
        for pid in [0, 1, 8192, 32_375, MOST_TASKS as u32 - 1] {
            assert_eq!(World::task_at(World::task_address(pid) + 1264), Some((pid, 1264)));
        }
        assert_eq!(World::task_at(World::task_address(MOST_TASKS as u32)), None);
        assert_eq!(World::task_at(World::cgroup_address(1)), None);
        assert_eq!(World::task_at(CREDS + CRED_SIZE * MOST_TASKS - 1), None);
    }

    #[test]
    fn a_task_reads_as_it_was_described_and_zero_elsewhere() {
        let place = |fields: &[(usize, u64)]| {
            let mut places = [None; 8];
            fields.iter().for_each(|(at, place)| places[*at] = Some(*place));
            places
        };
        let task = Shape { size: 64, fields: place(&[(0, 8), (1, 12), (2, 16), (6, 40)]) };
        let map = Shape { size: 0, fields: [None; 6] };
        let layout = Layout { task, cred: Shape { size: 32, fields: place(&[(0, 4)]) }, map };
        let task = Task { pid: 7, tgid: 6, uid: 5, comm: Task::name(b"cat"), ..Task::default() };
        let world = World { task: Some(task), ..World::default() };
        let at = World::task_address(7);
        let mut bytes = [9; 16];
        assert!(layout.read(&world, at + 8, &mut bytes));
        assert_eq!(bytes, *b"\x07\0\0\0\x06\0\0\0cat\0\0\0\0\0");
        let mut pointer = [0; 8];
        assert!(layout.read(&world, at + 40, &mut pointer));
        let mut user = [0; 4];
        assert!(layout.read(&world, u64::from_ne_bytes(pointer) + 4, &mut user));
        assert_eq!(u32::from_ne_bytes(user), 5);
        assert!(layout.read(&world, at + 60, &mut user));
        assert_eq!(user, [0; 4]);
        assert!(!layout.read(&world, at + 62, &mut user), "not all of it");
    }
}
