//! What holds of all maps of a type. `rows` has a row for each. Counterpart: the operations
//! of each map (`bpf_map_types.h`) and the lists of types around them.

mod rows;

use crate::{Capabilities, MapType};

bitflags::bitflags! {
    /// Special fields that values of maps of a type may have (`map_check_btf`).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct SpecialFields: u8 {
        /// `bpf_spin_lock`, `bpf_res_spin_lock`.
        const LOCKS = 1 << 0;
        /// `bpf_timer`, `bpf_wq`, `bpf_task_work`, and roots of lists and trees.
        const OWNED = 1 << 1;
        /// Pointers to kernel objects, and reference counts.
        const KPTRS = 1 << 2;
        /// Pointers to user memory.
        const UPTRS = 1 << 3;
    }
}

/// What the values of a map are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Values {
    /// Bytes; for each CPU, where [`MapRow::percpu`].
    Bytes,
    /// None that a system call sees.
    None,
    /// Objects: an fd on the way in, an id on the way out.
    Fds,
    /// A pair whose second word may be an fd of a program on the way in, and is its id on
    /// the way out.
    Pairs,
}

/// What becomes of types of keys and values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Typed {
    /// They are kept.
    Kept,
    /// Loaders leave them out; Linux would take them.
    LeftOut,
    /// Loaders leave them out; Linux refuses them.
    Refused,
}

/// Maps of a type.
#[derive(Clone, Copy, Debug)]
pub struct MapRow {
    /// The type.
    pub kind: MapType,
    /// The kernel's structure for it.
    pub structure: &'static str,
    /// Without these nobody creates one (`map_create`).
    pub needs: Capabilities,
    /// What its values are.
    pub values: Values,
    /// Whether each CPU has a value of its own.
    pub percpu: bool,
    /// Whether it is an array of values: keys are indices, and all are there.
    pub array: bool,
    /// Whether its values are maps.
    pub of_maps: bool,
    /// Whether it may throw elements out for new ones.
    pub evicts: bool,
    /// Whether programs that may sleep may use it.
    pub sleepable: bool,
    /// Whether `bpf_for_each_map_elem` walks it.
    pub walkable: bool,
    /// Whether programs may have the address of a part of its value as a constant.
    pub direct_value: bool,
    /// What becomes of its types.
    pub typed: Typed,
    /// Special fields that its values may have.
    pub fields: SpecialFields,
}

impl MapType {
    /// What holds of maps of this type.
    pub fn row(self) -> &'static MapRow {
        &rows::ROWS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_numbers() {
        for &kind in MapType::ALL {
            assert_eq!(kind.row().kind, kind);
        }
        assert_eq!(rows::ROWS.len(), MapType::ALL.len());
    }
}
