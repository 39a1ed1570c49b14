//! The commands of `bpf(2)`: `command` has them as structures, `rows` what each field is
//! for, `wire` their bytes, `memory` what raw bytes point to. What all commands have in
//! common is done here, by the rows.

mod command;
mod memory;
mod rows;
mod wire;

pub(crate) use command::each;
pub use command::{
    BtfLoad, Command, EnableStats, GetById, IterCreate, LinkCreate, LinkCreateIter,
    LinkCreateKprobes, LinkCreateNetfilter, LinkCreatePerf, LinkCreateUprobes, LinkDetach,
    LinkUpdate, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze, MapNextKey, NextId, ObjGet,
    ObjInfo, ObjPin, ObjectKind, ProgAttach, ProgBindMap, ProgLoad, ProgQuery, ProgStreamRead,
    RawTracepointOpen, TaskFdQuery, TestRun, TokenCreate,
};
pub use memory::{Memory, NestedBuffer};
pub(crate) use rows::{FieldRow, Holds, Layout, Len, Role, Row};
pub use wire::{ATTR_SIZE, Input, Output};
pub(crate) use wire::{Attr, Slot};

use skep_abi::{Cmd, Errno};

/// Where a LINK_CREATE says its attach type.
const ATTACH_TYPE: usize = 8;

impl Command<'_> {
    /// Takes the numbers that a kernel wrote into the attribute.
    pub(crate) fn take_numbers(&mut self, attr: &Attr) {
        for field in self.row().fields.iter().filter(|field| field.role == Role::Given) {
            match self.slot(field.at) {
                Slot::Number(number) => {
                    *number = attr[field.at..].first_chunk().copied().map_or(0, u32::from_ne_bytes);
                }
                Slot::Long(number) => {
                    *number = attr[field.at..].first_chunk().copied().map_or(0, u64::from_ne_bytes);
                }
                Slot::Input(_) | Slot::Output(_) | Slot::Other => {}
            }
        }
    }

    /// Puts the numbers that a kernel wrote into the attribute, whose pointers stay.
    pub(crate) fn put_numbers(&mut self, attr: &mut Attr) {
        for field in self.row().fields.iter().filter(|field| field.role == Role::Given) {
            let at = field.at;
            match self.slot(at) {
                Slot::Number(number) => {
                    attr[at..at + 4].copy_from_slice(&number.to_ne_bytes());
                }
                Slot::Long(number) => attr[at..at + 8].copy_from_slice(&number.to_ne_bytes()),
                Slot::Input(_) | Slot::Output(_) | Slot::Other => {}
            }
        }
    }

    /// `EFAULT` where the command states more bytes than a slice has; `EINVAL` for a link
    /// whose bytes a kernel might read in another way than they are meant.
    pub(crate) fn check_lengths(&self) -> Result<(), Errno> {
        if self.cmd() == Cmd::LinkCreate
            && Layout::of_link(self.number(ATTACH_TYPE) as u32) != Some(self.layout())
        {
            return Err(Errno::EINVAL);
        }
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
            Len::Words(count) => memory.len() >= 4 * number(count),
            Len::Texts(count) => memory.iter().filter(|&&byte| byte == 0).count() >= number(count),
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
    use skep_abi::AttachType;

    use super::*;

    /// Each command, and LINK_CREATE in each of its layouts.
    fn all() -> impl Iterator<Item = Command<'static>> {
        let of = |cmd: Cmd, attach_type: u32| {
            let mut attr = [0; ATTR_SIZE];
            attr[ATTACH_TYPE..ATTACH_TYPE + 4].copy_from_slice(&attach_type.to_ne_bytes());
            Command::decode(cmd, &attr, &Memory::default())
        };
        let links = AttachType::ALL.iter().map(|&attach| attach as u32);
        let others = Cmd::ALL.iter().filter(|&&cmd| cmd != Cmd::LinkCreate);
        let others = others.filter_map(move |&cmd| of(cmd, 0));
        links.filter_map(move |attach| of(Cmd::LinkCreate, attach)).chain(others)
    }

    #[test]
    fn each_command_has_a_row_and_each_row_a_command() {
        let mut seen = Vec::new();
        for command in all() {
            assert_eq!(command.row().cmd, command.cmd());
            assert_eq!(command.row().layout, command.layout());
            if !seen.contains(&(command.cmd(), command.layout())) {
                seen.push((command.cmd(), command.layout()));
            }
        }
        assert!(Cmd::ALL.iter().all(|cmd| seen.iter().any(|(of, _)| of == cmd)));
        assert!(Row::all().iter().all(|row| seen.contains(&(row.cmd, row.layout))));
    }

    /// An address that is laid out as a number, or a number as an address, would be read by a
    /// kernel that knows better.
    #[test]
    fn a_link_is_laid_out_as_its_attach_type_says() {
        let kprobes = |attach: AttachType| LinkCreateKprobes {
            attach_type: attach as u32,
            ..LinkCreateKprobes::default()
        };
        let good = Command::LinkCreateKprobes(kprobes(AttachType::TraceKprobeMulti));
        assert_eq!(good.check_lengths(), Ok(()));
        let bad = Command::LinkCreateKprobes(kprobes(AttachType::TraceUprobeMulti));
        assert_eq!(bad.check_lengths(), Err(Errno::EINVAL));
        for attach in [AttachType::TraceIter as u32, AttachType::TraceUprobeMulti as u32, 4711] {
            let link = LinkCreate { attach_type: attach, target_btf_id: 1, ..Default::default() };
            assert_eq!(Command::LinkCreate(link).check_lengths(), Err(Errno::EINVAL), "{attach}");
        }
        let texts = |cnt: u32| {
            let syms = Some((&b"one\0two\0"[..]).into());
            let attach_type = AttachType::TraceKprobeMulti as u32;
            let link = LinkCreateKprobes { attach_type, cnt, syms, ..Default::default() };
            Command::LinkCreateKprobes(link).check_lengths()
        };
        assert_eq!((texts(2), texts(3)), (Ok(()), Err(Errno::EFAULT)));
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
                    let number = matches!(command.slot(at), Slot::Number(_) | Slot::Long(_));
                    assert!(number, "{}", field.name);
                }
            }
        }
    }
}
