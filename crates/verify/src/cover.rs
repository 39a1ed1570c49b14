//! Whether a state that was explored covers another one: everything that is safe after the
//! first is safe after the second. Counterpart: `states_equal` and what it calls.
//!
//! Always holds where `covers(old, new)` does: each live register and slot of `old` allows
//! every value that `new` allows, or its value decided nothing; and what was known to be
//! equal in `old` (ids of numbers, objects, null checks) is equal in `new`.

use std::rc::Rc;

use crate::checker::{Aux, Findings, Path};
use crate::env::Rights;
use crate::reg::{ID_PLUS_OFFSET, IterState, Kind, Reg};
use crate::state::{Byte, Frame, Slot, State};

/// How exactly states must agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exactness {
    /// What was not read or not precise may differ.
    Loose,
    /// Everything is the same.
    Exact,
    /// The ranges of the new state lie within the old one's.
    Within,
}

/// Which id of one state stands for which of another.
pub(crate) struct IdMap {
    pairs: Vec<(u32, u32)>,
    next: u32,
}

impl IdMap {
    pub(crate) fn new(next: u32) -> IdMap {
        IdMap { pairs: Vec::new(), next }
    }

    fn agree(&mut self, old: u32, new: u32) -> bool {
        if (old == 0) != (new == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(known_old, known_new) in &self.pairs {
            if known_old == old {
                return known_new == new;
            }
            if known_new == new {
                return false;
            }
        }
        self.pairs.push((old, new));
        true
    }

    /// For scalars: what was linked to nothing may be linked now, which only adds
    /// knowledge; no id now is as good as an id of one's own. Where a scalar was linked
    /// at an offset, the scalars without one must stand for each other, too: else a
    /// branch on the one would say less of the other now than it did then.
    fn scalars_agree(&mut self, old: u32, new: u32) -> bool {
        if old == 0 {
            return true;
        }
        let new = if new == 0 {
            self.next += 1;
            self.next
        } else {
            new
        };
        self.agree(old, new)
            && (old & ID_PLUS_OFFSET == 0
                || self.agree(old & !ID_PLUS_OFFSET, new & !ID_PLUS_OFFSET))
    }

    pub(crate) fn exact(&mut self, old: &Reg, new: &Reg) -> bool {
        (old.kind, old.flags, old.off, old.value) == (new.kind, new.flags, new.off, new.value)
            && self.agree(old.id, new.id)
            && self.agree(old.ref_id, new.ref_id)
    }
}

/// A state that others are compared with.
pub(crate) struct Cover<'a> {
    aux: &'a [Aux],
    new: &'a State,
    /// The last id that was given.
    last_id: u32,
    /// Whether the stack may be read where nothing was written.
    reads_uninit: bool,
    /// Whether numbers must be the same.
    same_numbers: bool,
}

impl<'a> Cover<'a> {
    /// For the state that a path is in.
    pub(crate) fn of(
        found: &'a Findings,
        path: &Path,
        rights: &Rights,
        new: &'a State,
    ) -> Cover<'a> {
        Cover {
            aux: &found.aux,
            new,
            last_id: path.id_gen,
            reads_uninit: rights.read_uninit_stack,
            same_numbers: path.explore_alu_limits,
        }
    }

    /// Whether nothing at all changed since `old`.
    pub(crate) fn repeats(&self, old: &State) -> bool {
        let (a, b) = (old.frame(), self.new.frame());
        old.frames.len() == self.new.frames.len()
            && a.regs.iter().zip(&b.regs).all(|(a, b)| {
                (a.kind, a.flags, a.off, a.id, a.ref_id, &a.value)
                    == (b.kind, b.flags, b.off, b.id, b.ref_id, &b.value)
            })
            && self.covers(old, Exactness::Exact)
            && !iterators_differ(old, self.new)
            && old.may_goto_depth == self.new.may_goto_depth
            && old.callback_unroll_depth == self.new.callback_unroll_depth
    }

    /// Whether everything that is safe after `old` is safe now.
    pub(crate) fn covers(&self, old: &State, exactness: Exactness) -> bool {
        let new = self.new;
        if old.frames.len() != new.frames.len()
            || (old.speculative && !new.speculative)
            || old.sleepable != new.sleepable
        {
            return false;
        }
        let mut ids = IdMap::new(self.last_id);
        if !references_agree(old, new, &mut ids) {
            return false;
        }
        (0..old.frames.len()).all(|depth| {
            let (a, b) = (&old.frames[depth], &new.frames[depth]);
            a.callsite == b.callsite
                && self.frame_covers(a, b, old.frame_pc(depth), &mut ids, exactness)
        })
    }

    fn frame_covers(
        &self,
        old: &Frame,
        new: &Frame,
        pc: u32,
        ids: &mut IdMap,
        exactness: Exactness,
    ) -> bool {
        let live = self.aux[pc as usize].live_before;
        old.callback_depth <= new.callback_depth
            && (0..11).all(|number| {
                live & 1 << number == 0
                    || self.reg_covers(&old.regs[number], &new.regs[number], ids, exactness)
            })
            && self.stack_covers(old, new, ids, exactness)
    }

    fn reg_covers(&self, old: &Reg, new: &Reg, ids: &mut IdMap, exactness: Exactness) -> bool {
        if exactness == Exactness::Exact {
            return ids.exact(old, new);
        }
        if old.kind == Kind::Uninit && (exactness == Exactness::Loose || new.kind == Kind::Uninit) {
            return true;
        }
        if !old.kind.same_base(new.kind) || old.flags != new.flags {
            return false;
        }
        match old.kind {
            Kind::Scalar => {
                if self.same_numbers {
                    return old.off == new.off
                        && old.value == new.value
                        && ids.scalars_agree(old.id, new.id);
                }
                if !old.precise && exactness == Exactness::Loose {
                    return true;
                }
                let linked = old.id & ID_PLUS_OFFSET;
                let alike = linked == new.id & ID_PLUS_OFFSET;
                (old.id == 0 || alike && (linked == 0 || old.off == new.off))
                    && old.value.includes(new.value)
                    && ids.scalars_agree(old.id, new.id)
            }
            Kind::MapKey { .. }
            | Kind::MapValue { .. }
            | Kind::Mem { .. }
            | Kind::Buf
            | Kind::TpBuffer => {
                old.kind == new.kind
                    && old.off == new.off
                    && old.value.includes(new.value)
                    && ids.agree(old.id, new.id)
                    && ids.agree(old.ref_id, new.ref_id)
            }
            Kind::PacketMeta { .. } | Kind::Packet { .. } => {
                // What is at or past the end is so by as much; no range is below zero.
                let (a, b) = (old.range(), new.range());
                let has_room = if a < 0 || b < 0 { a == b } else { a <= b };
                has_room
                    && old.off == new.off
                    && ids.agree(old.id, new.id)
                    && old.value.includes(new.value)
            }
            Kind::Arena => true,
            _ => ids.exact(old, new),
        }
    }

    fn stack_covers(
        &self,
        old: &Frame,
        new: &Frame,
        ids: &mut IdMap,
        exactness: Exactness,
    ) -> bool {
        let uninit_ok = self.reads_uninit;
        old.stack.iter().enumerate().all(|(index, old_slot)| {
            let new_slot = new.stack.get(index);
            if exactness != Exactness::Loose
                && new_slot.is_none_or(|new_slot| new_slot.bytes != old_slot.bytes)
            {
                return false;
            }
            let matters = |byte: Byte| byte != Byte::Invalid && !(uninit_ok && byte == Byte::Misc);
            let Some(first) = (0..8).find(|&byte| matters(old_slot.bytes[byte])) else {
                return true;
            };
            let Some(new_slot) = new_slot else { return false };
            if let (Some(a), Some(b)) = (self.scalar_in(old_slot), self.scalar_in(new_slot)) {
                return self.reg_covers(&a, &b, ids, exactness);
            }
            for byte in first..8 {
                let (a, b) = (old_slot.bytes[byte], new_slot.bytes[byte]);
                if matters(a) && a != b && !(a == Byte::Misc && b == Byte::Zero) {
                    return false;
                }
            }
            if !matters(old_slot.bytes[7])
                || (old_slot.bytes[7] == Byte::Misc && new_slot.bytes[7] == Byte::Zero)
            {
                return true;
            }
            self.slot_covers(old_slot, new_slot, ids, exactness)
        })
    }

    fn slot_covers(&self, old: &Slot, new: &Slot, ids: &mut IdMap, exactness: Exactness) -> bool {
        match old.bytes[7] {
            Byte::Spill => self.reg_covers(&old.reg, &new.reg, ids, exactness),
            Byte::Dynptr => {
                old.reg.kind == new.reg.kind && ids.agree(old.reg.ref_id, new.reg.ref_id)
            }
            Byte::Iter => {
                let (
                    Kind::Iter { btf, id, state, .. },
                    Kind::Iter { btf: new_btf, id: new_id, state: new_state, .. },
                ) = (old.reg.kind, new.reg.kind)
                else {
                    return false;
                };
                (btf, id, state) == (new_btf, new_id, new_state)
                    && ids.agree(old.reg.ref_id, new.reg.ref_id)
            }
            Byte::IrqFlag => {
                ids.agree(old.reg.ref_id, new.reg.ref_id) && old.reg.kind == new.reg.kind
            }
            Byte::Misc | Byte::Zero | Byte::Invalid => true,
        }
    }

    /// A slot as a load of all of it would see it, if that is a number.
    fn scalar_in(&self, slot: &Slot) -> Option<Reg> {
        if slot.is_scalar_spill64() {
            return Some(slot.reg);
        }
        let unknown = slot
            .bytes
            .iter()
            .all(|&byte| byte == Byte::Misc || (byte == Byte::Invalid && self.reads_uninit));
        unknown.then_some(Reg::UNKNOWN)
    }
}

/// Forgets the values of numbers that changed since the last round of a loop and
/// do not matter, so that the loop converges.
pub(crate) fn widen(old: &State, new: &mut State, last_id: u32, unknown: Reg) {
    let mut ids = IdMap::new(last_id);
    let mut widen = |old: &Reg, new: &mut Reg| {
        if old.is_scalar()
            && new.is_scalar()
            && !old.precise
            && !new.precise
            && !ids.exact(old, new)
        {
            *new = unknown;
        }
    };
    for depth in (0..old.frames.len()).rev() {
        let (old, new) = (&old.frames[depth], Rc::make_mut(&mut new.frames[depth]));
        for (old, new) in old.regs.iter().zip(&mut new.regs) {
            widen(old, new);
        }
        for (old, new) in old.stack.iter().zip(&mut new.stack) {
            if old.is_spill() && new.is_spill() {
                widen(&old.reg, &mut new.reg);
            }
        }
    }
}

fn iterators_differ(old: &State, new: &State) -> bool {
    old.frames.iter().zip(&new.frames).any(|(old, new)| {
        old.stack.iter().enumerate().any(|(index, slot)| {
            let Kind::Iter { state: IterState::Active, depth, .. } = slot.reg.kind else {
                return false;
            };
            slot.bytes[0] == Byte::Iter
                && !new.stack.get(index).is_some_and(|slot| {
                    matches!(slot.reg.kind, Kind::Iter { depth: other, .. } if other == depth)
                })
        })
    })
}

fn references_agree(old: &State, new: &State, ids: &mut IdMap) -> bool {
    let lock = |state: &State| state.lock.map_or((0, None), |(id, home)| (id, Some(home)));
    let ((old_lock, old_home), (new_lock, new_home)) = (lock(old), lock(new));
    old.refs.len() == new.refs.len()
        && old.active_locks == new.active_locks
        && old.preempt_locks == new.preempt_locks
        && old.rcu_lock == new.rcu_lock
        && ids.agree(old.irq_id, new.irq_id)
        && ids.agree(old_lock, new_lock)
        && old_home == new_home
        && old
            .refs
            .iter()
            .zip(&new.refs)
            .all(|(old, new)| ids.agree(old.id, new.id) && old.kind == new.kind)
}
