//! What a call does to the state besides r0: sections in which much is forbidden,
//! references that end. Counterpart: the middle of `check_kfunc_call`.

use skep_abi::limits::MAX_ERRNO;
use std::rc::Rc;

use skep_abi::{Errno, KfuncFlags};

use super::Call;
use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::reg::{Flags, Reg};
use crate::state::Byte;

impl Checker<'_> {
    /// The path on which a lock that may fail is not taken.
    pub(super) fn fork_failed_lock(&mut self) -> Check {
        let mut failed = self.cur.clone();
        for number in 0..6 {
            *failed.reg_mut(number) = Reg::UNINIT;
        }
        let mut r0 = self.unknown();
        r0.value = r0.value.with_signed_bounds(-i32::from(MAX_ERRNO), -1);
        *failed.reg_mut(0) = r0;
        self.push_fork(failed, self.pc + 1, Errno::ENOMEM)
    }

    /// RCU, preemption and IRQ sections: begun, ended, and what they forbid.
    pub(super) fn check_sections(&mut self, call: &Call) -> Check {
        let name = || call.name();
        let sleeps = call.has(KfuncFlags::SLEEPABLE);
        let (lock, unlock) = (call.is("bpf_rcu_read_lock"), call.is("bpf_rcu_read_unlock"));
        if self.cur.rcu_lock {
            if self.in_rbtree_callback() && (lock || unlock) {
                fail!(EACCES, KfuncRcuInCallback);
            }
            if lock {
                fail!(EINVAL, RcuNested { name: name() });
            } else if unlock {
                self.end_rcu_section();
            } else if sleeps {
                fail!(EACCES, SleepsInRcu { name: name() });
            }
        } else if lock {
            self.cur.rcu_lock = true;
        } else if unlock {
            fail!(EINVAL, RcuUnmatched { name: name() });
        }
        if call.is("bpf_preempt_disable") {
            self.cur.preempt_locks += 1;
        } else if call.is("bpf_preempt_enable") {
            if self.cur.preempt_locks == 0 {
                fail!(EINVAL, PreemptUnmatched { name: name() });
            }
            self.cur.preempt_locks -= 1;
        } else if sleeps && self.cur.preempt_locks > 0 {
            fail!(EACCES, SleepsInPreempt { name: name() });
        }
        if sleeps && self.cur.irq_id != 0 {
            fail!(EACCES, SleepsInIrq { name: name() });
        }
        if call.has(KfuncFlags::RCU_PROTECTED) && !self.in_rcu() {
            fail!(EACCES, NeedsRcu { name: name() });
        }
        Ok(())
    }

    /// What RCU protected, in registers, spills and iterators, may be gone.
    fn end_rcu_section(&mut self) {
        self.cur.rcu_lock = false;
        let expire = |reg: &mut Reg| {
            if reg.flags.contains(Flags::RCU) {
                reg.flags -= Flags::RCU | Flags::MAYBE_NULL;
                reg.flags |= Flags::UNTRUSTED;
            }
        };
        self.cur.change_regs(|reg| reg.flags.contains(Flags::RCU), expire);
        for frame in &mut self.cur.frames {
            let iterates = |slot: &crate::state::Slot| {
                slot.bytes[7] == Byte::Iter && slot.reg.flags.contains(Flags::RCU)
            };
            if frame.stack.iter().any(iterates) {
                let stack = &mut Rc::make_mut(frame).stack;
                stack
                    .iter_mut()
                    .filter(|slot| iterates(slot))
                    .for_each(|slot| expire(&mut slot.reg));
            }
        }
    }

    /// References that the call takes, for good or into a list or tree.
    pub(super) fn give_up_references(&mut self, call: &Call) -> Check {
        if let Some(n) = call.release {
            let id = self.cur.reg(n.into()).ref_id;
            if !self.release_reference(id) {
                fail!(EINVAL, KfuncNotAcquired { name: call.name(), id: call.id });
            }
        }
        let inserts = matches!(
            call.row.name,
            "bpf_list_push_front_impl" | "bpf_list_push_back_impl" | "bpf_rbtree_add_impl"
        );
        if inserts {
            let node = *self.cur.reg(2);
            if node.ref_id == 0 || !self.cur.holds(node.ref_id) {
                bug!("ref state missing for ref_obj_id");
            }
            let flags = self.non_owning(&node);
            self.cur.change_regs(
                |reg| reg.ref_id == node.ref_id,
                |reg| {
                    reg.ref_id = 0;
                    reg.flags |= flags;
                },
            );
            self.cur.release(node.ref_id);
        }
        Ok(())
    }
}
