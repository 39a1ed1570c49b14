//! What holds of all programs of a type: who may load them, where they attach, what they
//! may return, do with packets and be called with. `rows` has a row for each type.
//! Counterpart: `bpf_prog_load_check_attach`, `may_access_direct_pkt_data`,
//! `check_return_code` and their like, which have each a list of their own.

mod rows;

use crate::{AttachType, Capabilities, ProgType};

/// Programs of a type.
#[derive(Clone, Copy, Debug)]
pub struct ProgRow {
    /// The type.
    pub kind: ProgType,
    /// Without these a program is refused with EPERM, whatever it does.
    pub needs: Capabilities,
    /// Which attach types it may be loaded with.
    pub attaches: Attaches,
    /// The attach type of one that names none.
    pub default: Option<AttachType>,
    /// Whether it attaches to what a BTF id names.
    pub names_btf: bool,
    /// What it may do with the bytes of packets.
    pub packet: PacketAccess,
    /// Whether it has the packet loads of classic BPF.
    pub legacy_loads: bool,
    /// Whether it may sleep.
    pub sleeps: Sleeps,
    /// The least and the most that it may return, by attach type: the first entry counts
    /// whose list has it or is empty; where none has, anything may be returned.
    pub returns: &'static [(&'static [AttachType], (i32, i32))],
    /// The structure that it names its context by, if there is one.
    pub context: Option<&'static str>,
    /// Whether the context is memory as it seems, not a view that loads convert.
    pub context_is_memory: bool,
    /// What runs it, as far as that forbids something.
    pub runs: Runs,
}

/// Which attach types a type may be loaded with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attaches {
    /// Any: it is looked at later, or never.
    Any,
    /// Number 0, which means none.
    None,
    /// One of these.
    To(&'static [AttachType]),
}

/// What a type may do with the bytes of packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketAccess {
    /// Nothing.
    None,
    /// Read them, and give them to helpers that take them.
    Read,
    /// Change them, too.
    Write,
    /// They are a buffer of its own, for every helper.
    Own,
}

/// Whether programs of a type may sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sleeps {
    /// Never.
    Never,
    /// They must.
    Always,
    /// Where they ask for it.
    Asked,
    /// Where they ask for it and attach like this.
    At(&'static [AttachType]),
    /// Where they ask for it and do not attach like this.
    NotAt(&'static [AttachType]),
}

/// What runs the programs of a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runs {
    /// The network stack, a cgroup, or a caller who waits.
    Plainly,
    /// An event that may come at any time, other programs' locks held or not
    /// (`is_tracing_prog_type`).
    Interrupting,
    /// The same, but that its arguments have types, and only the stack of its own is small
    /// (`bpf_enable_priv_stack`).
    Typed,
    /// An event that may come at any time, on the kernel's stack.
    Writing,
}

impl ProgType {
    /// What holds of programs of this type.
    pub fn row(self) -> &'static ProgRow {
        &rows::ROWS[self as usize]
    }
}

impl ProgRow {
    /// The attach type that one gets which names this one, by number; `None` where that is
    /// refused.
    pub fn settle(&self, attach_type: u32) -> Option<u32> {
        let named = match self.default {
            Some(default) if attach_type == 0 => default as u32,
            _ => attach_type,
        };
        let taken = match self.attaches {
            Attaches::Any => true,
            Attaches::None => named == 0,
            Attaches::To(types) => types.iter().any(|&attach| attach as u32 == named),
        };
        taken.then_some(named)
    }

    /// Whether one that attaches like this may ask to sleep.
    pub fn may_sleep(&self, attach_type: u32) -> bool {
        let among = |types: &[AttachType]| types.iter().any(|&at| at as u32 == attach_type);
        match self.sleeps {
            Sleeps::Never => false,
            Sleeps::Always | Sleeps::Asked => true,
            Sleeps::At(types) => among(types),
            Sleeps::NotAt(types) => !among(types),
        }
    }

    /// The least and the most that one that attaches like this may return; `None` for
    /// anything.
    pub fn returned(&self, attach_type: u32) -> Option<(i32, i32)> {
        let among = |types: &[AttachType]| {
            types.is_empty() || types.iter().any(|&at| at as u32 == attach_type)
        };
        self.returns.iter().find(|(types, _)| among(types)).map(|&(_, range)| range)
    }

    /// Whether it interrupts what it must not wait for.
    pub fn interrupts(&self) -> bool {
        matches!(self.runs, Runs::Interrupting | Runs::Writing)
    }

    /// Whether its functions get stacks of their own where they are deep.
    pub fn has_private_stack(&self) -> bool {
        matches!(self.runs, Runs::Interrupting | Runs::Typed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_numbers() {
        for &kind in ProgType::ALL {
            assert_eq!(kind.row().kind, kind);
        }
        assert_eq!(rows::ROWS.len(), ProgType::ALL.len());
    }

    #[test]
    fn a_socket_program_without_an_attach_type_is_for_creation() {
        let row = ProgType::CgroupSock.row();
        assert_eq!(row.settle(0), Some(AttachType::CgroupInetSockCreate as u32));
    }

    #[test]
    fn attach_types_of_others_are_refused() {
        let xdp = AttachType::Xdp as u32;
        assert_eq!(ProgType::CgroupSkb.row().settle(xdp), None);
        assert_eq!(ProgType::Kprobe.row().settle(xdp), Some(xdp));
        assert_eq!(ProgType::Syscall.row().settle(1), None);
    }
}
