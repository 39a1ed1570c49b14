//! The commands of `bpf(2)`: `command` has them as structures, `rows` what each field is
//! for, `wire` their bytes, `memory` what raw bytes point to. What all commands have in
//! common is done here, by the rows.

mod command;
mod memory;
mod rows;
mod wire;

pub(crate) use command::each;
pub use command::{
    BtfLoad, Command, GetById, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze, MapNextKey,
    NextId, ObjGet, ObjInfo, ObjPin, ObjectKind, ProgLoad, TestRun,
};
pub use memory::{Memory, NestedBuffer};
pub(crate) use rows::{FieldRow, Holds, Len, Role, Row};
pub use wire::{ATTR_SIZE, Input, Output};
pub(crate) use wire::{Attr, Slot};

use skep_abi::Errno;

impl Command<'_> {
    /// Takes the numbers that a kernel wrote into the attribute.
    pub(crate) fn take_numbers(&mut self, attr: &Attr) {
        for field in self.row().fields.iter().filter(|field| field.role == Role::Given) {
            if let Slot::Number(number) = self.slot(field.at) {
                *number = attr[field.at..].first_chunk().copied().map_or(0, u32::from_ne_bytes);
            }
        }
    }

    /// Puts the numbers that a kernel wrote into the attribute, whose pointers stay.
    pub(crate) fn put_numbers(&self, attr: &mut Attr) {
        for field in self.row().fields.iter().filter(|field| field.role == Role::Given) {
            let number = self.number(field.at) as u32;
            attr[field.at..field.at + 4].copy_from_slice(&number.to_ne_bytes());
        }
    }

    /// `EFAULT` where the command states more bytes than a slice has.
    pub(crate) fn check_lengths(&self) -> Result<(), Errno> {
        let fits = |field: &FieldRow| {
            let Some(memory) = self.memory(field.at) else { return true };
            match field.role {
                Role::In(len, _) | Role::Out(len) | Role::InOut(len) | Role::Nested(len) => {
                    self.fits(len, memory)
                }
                Role::Fd | Role::OptFd | Role::Given => true,
            }
        };
        if self.row().fields.iter().all(fits) { Ok(()) } else { Err(Errno::EFAULT) }
    }

    fn fits(&self, len: Len, memory: &[u8]) -> bool {
        let number = |at: usize| self.number(at) as usize;
        match len {
            Len::Of(at) | Len::OfOrAll(at) => memory.len() >= number(at),
            Len::Records(size, count) => memory.len() >= number(size) * number(count),
            Len::Slots(count) => memory.len() >= 8 * number(count),
            Len::Indexed(count) => number(count) <= memory.len() / 4 && self.indices_fit(memory),
            Len::Map | Len::Text => true,
        }
    }

    /// Whether every entry of an array of fds that the instructions name is there: a kernel
    /// reads it by the instructions' own numbers. What stands there may be no program at
    /// all, so slots are looked at as bytes.
    fn indices_fit(&self, fds: &[u8]) -> bool {
        const LD_IMM64: u8 = 0x18;
        const CALL: u8 = 0x85;
        let Command::ProgLoad(load) = self else { return true };
        let has = |index: i64| usize::try_from(index).is_ok_and(|index| index < fds.len() / 4);
        let slots = load.insns.as_deref().unwrap_or_default().chunks_exact(8);
        slots.take(load.insn_cnt as usize).all(|slot| {
            let imm = i32::from_ne_bytes([slot[4], slot[5], slot[6], slot[7]]);
            let off = i16::from_ne_bytes([slot[2], slot[3]]);
            match (slot[0], slot[1] >> 4) {
                // BPF_PSEUDO_MAP_IDX and _IDX_VALUE.
                (LD_IMM64, 5 | 6) => has(imm.into()),
                // BPF_PSEUDO_KFUNC_CALL of a module's function.
                (CALL, 2) if off != 0 => has(off.into()),
                _ => true,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use skep_abi::Cmd;

    use super::*;

    fn all() -> impl Iterator<Item = Command<'static>> {
        let empty = ([0; ATTR_SIZE], Memory::default());
        Cmd::ALL.iter().filter_map(move |&cmd| Command::decode(cmd, &empty.0, &empty.1))
    }

    #[test]
    fn each_command_has_a_row_and_each_row_a_command() {
        assert_eq!(all().count(), Cmd::ALL.iter().filter(|cmd| Row::of(**cmd).is_some()).count());
        for command in all() {
            assert_eq!(command.row().cmd, command.cmd());
        }
    }

    /// A pointer that no row tells of would go to a kernel unchecked.
    #[test]
    fn each_pointer_and_each_fd_has_a_role() {
        for mut command in all() {
            let row = command.row();
            for at in (0..row.end).step_by(4) {
                let listed = row.fields.iter().find(|field| field.at == at);
                let pointer = matches!(command.slot(at), Slot::Input(_) | Slot::Output(_));
                let memory = listed.is_some_and(|field| {
                    !matches!(field.role, Role::Fd | Role::OptFd | Role::Given)
                });
                assert_eq!(pointer, memory, "{:?} {at}", row.cmd);
                if let (Some(field), false) = (listed, pointer) {
                    assert!(matches!(command.slot(at), Slot::Number(_)), "{}", field.name);
                }
            }
        }
    }
}
