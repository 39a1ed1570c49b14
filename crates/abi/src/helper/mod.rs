//! The helper functions of Linux 6.18 (`enum bpf_func_id`): `rows` holds the table,
//! `id` their names in code; `proto` says what can stand in a signature, `effects` what a
//! call does besides, `family` who may call what, `maps` which map goes with which helper.

mod effects;
mod family;
pub mod id;
mod maps;
mod proto;
mod rows;

pub use effects::{Callback, Called, Effects, Given, Yield};
pub use family::{Allowed, Family, When};
pub use proto::{Arg, ArgKind, Proto, Ret, RetKind, TypeFlags, proto};

use crate::{AttachType, Capabilities, MapType, ProgType, Version};
use rows::HELPERS;

/// One helper function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Number, as in the `imm` of a call.
    pub id: u32,
    /// Name with its prefix: `bpf_map_lookup_elem`.
    pub name: &'static str,
    /// The first version of Linux that has it.
    pub since: Version,
    /// Its signatures; program types may have different ones.
    pub protos: &'static [Proto],
    /// The only types of map that it takes; `None` where it takes all.
    pub maps: Option<&'static [MapType]>,
    /// What a call does besides.
    pub effects: Effects,
    /// How it calls a subprogram, if it does.
    pub callback: Option<Callback>,
    /// What is known of the number that it returns.
    pub yields: Yield,
    /// Why the embedded kernel leaves it to Linux.
    pub linux_only: Option<&'static str>,
}

/// What a program is, as far as it decides which helpers it may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller<'a> {
    /// Its type.
    pub prog_type: ProgType,
    /// How it is to be attached; number 0 where that was left open.
    pub attach_type: AttachType,
    /// What its loader holds.
    pub capabilities: Capabilities,
    /// The kernel function that it is to be attached to, if there is one; the member
    /// of a structure that it implements.
    pub target: Option<&'a str>,
}

impl Helper {
    const fn maps(self, maps: &'static [MapType]) -> Helper {
        Helper { maps: Some(maps), ..self }
    }

    const fn effects(self, effects: Effects) -> Helper {
        Helper { effects, ..self }
    }

    const fn calls(self, given: &'static [Given], called: Called, most: i32) -> Helper {
        Helper { callback: Some(Callback { given, called, returns: (0, most) }), ..self }
    }

    const fn linux_only(self, why: &'static str) -> Helper {
        Helper { linux_only: Some(why), ..self }
    }

    const fn yields(self, yields: Yield) -> Helper {
        Helper { yields, ..self }
    }

    /// Whether it reads from addresses that nobody vouches for.
    pub fn reads_any_address(&self) -> bool {
        let addressed =
            |proto: &Proto| proto.args.iter().any(|arg| arg.flags.contains(TypeFlags::ADDRESS));
        self.effects.contains(Effects::FORMATS) || self.protos.iter().any(addressed)
    }

    /// The helper with this number.
    pub fn from_id(id: u32) -> Option<&'static Helper> {
        HELPERS.get((id as usize).checked_sub(1)?)
    }

    /// The helper with this name.
    pub fn from_name(name: &str) -> Option<&'static Helper> {
        HELPERS.iter().find(|row| row.name == name)
    }

    /// Every row, in the order of their numbers, which start at 1.
    pub const fn all() -> &'static [Helper] {
        HELPERS
    }

    /// Its signature for this caller; `None` where a program like that cannot use it.
    pub fn proto(&self, caller: &Caller<'_>) -> Option<&'static Proto> {
        Family::of(caller.prog_type, caller.attach_type)
            .iter()
            .filter(|family| caller.capabilities.allow(family.needs()))
            .find_map(|family| {
                self.protos
                    .iter()
                    .find(|proto| proto.families.contains(family) && proto.when.holds(caller))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_numbers() {
        for (index, row) in Helper::all().iter().enumerate() {
            assert_eq!(row.id as usize, index + 1, "{}", row.name);
        }
        assert_eq!(Helper::all().len(), 211);
    }

    #[test]
    fn later_helpers_came_with_later_kernels() {
        for pair in Helper::all().windows(2) {
            assert!(pair[0].since <= pair[1].since, "{}", pair[1].name);
        }
    }

    #[test]
    fn a_size_follows_the_memory_that_it_is_the_size_of() {
        for row in Helper::all() {
            for proto in row.protos {
                assert!(proto.args.len() <= 5, "{}", row.name);
                for (index, arg) in proto.args.iter().enumerate() {
                    if matches!(arg.kind, ArgKind::Size | ArgKind::SizeOrZero) {
                        let before = index.checked_sub(1).map(|index| proto.args[index].kind);
                        assert_eq!(before, Some(ArgKind::Mem), "{} {index}", row.name);
                    }
                }
            }
        }
    }
}
