//! What a call of a helper does besides its result: references that end, callbacks,
//! what only some helpers check. Counterpart: the middle of `check_helper_call`.

use skep_abi::helper::id;
use skep_abi::{
    ArgKind, AttachType, Callback, Effects, Helper, MapType, ProgType, Proto, Reason, flags,
};

use super::Meta;
use crate::checker::Checker;
use crate::error::{Check, ENOTSUPP, Fault, bug, fail};
use crate::log::say;
use crate::reg::{DynptrKind, Flags};

impl Checker<'_> {
    pub(super) fn record_map(&mut self, helper: &Helper, meta: &Meta) -> Check {
        if !helper.effects.contains(Effects::RECORDS_MAP) {
            return Ok(());
        }
        let Some(map) = meta.map else { bug!("expected map for helper call") };
        let def = &self.code.maps[usize::from(map)].def;
        let writes = helper.effects.contains(Effects::WRITES_MAP);
        if writes && def.flags & flags::map::RDONLY_PROG != 0 {
            fail!(EACCES, MapUpdateForbidden);
        }
        let (kind, max) = (def.kind, def.max_entries);
        if !self.cur.speculative {
            self.found.facts.call(self.pc, map);
        }
        if helper.id == id::TAIL_CALL {
            if kind != MapType::ProgArray {
                fail!(EINVAL, TailCallMap);
            }
            let index = self.cur.reg(3);
            if index.is_scalar()
                && index.value.as_constant().is_some_and(|index| index < max.into())
            {
                self.mark_precise(3)?;
            }
        }
        Ok(())
    }

    pub(super) fn release_argument(&mut self, number: u32, proto: &Proto, meta: &Meta) -> Check {
        let Some(n) = meta.release else { return Ok(()) };
        let reg = *self.cur.reg(n.into());
        if proto.args[usize::from(n) - 1].kind == ArgKind::Dynptr {
            return self.release_dynptr(&reg);
        }
        let released = if number == id::KPTR_XCHG && meta.ref_id != 0 {
            let (in_rcu, invalid, ref_id) = (self.in_rcu(), self.invalid(), meta.ref_id);
            let held = self.cur.release(ref_id);
            if held {
                self.cur.change_regs(
                    |reg| reg.ref_id == ref_id,
                    |reg| {
                        if in_rcu && reg.flags.contains(Flags::ALLOC | Flags::PERCPU) {
                            reg.ref_id = 0;
                            reg.flags -= Flags::ALLOC;
                            reg.flags |= Flags::RCU;
                        } else {
                            *reg = invalid;
                        }
                    },
                );
            }
            held
        } else if meta.ref_id != 0 {
            self.release_reference(meta.ref_id)
        } else {
            reg.is_null()
        };
        if !released {
            fail!(EINVAL, NotAcquired { name: self.helper_name(number).into(), id: number });
        }
        Ok(())
    }

    /// Ends a reference; all copies of the pointer are worth nothing then.
    pub(crate) fn release_reference(&mut self, id: u32) -> bool {
        if !self.cur.release(id) {
            return false;
        }
        let invalid = self.invalid();
        self.cur.change_regs(|reg| reg.ref_id == id, |reg| *reg = invalid);
        true
    }

    /// What only some helpers do; true if packets move.
    pub(super) fn special_effects(&mut self, helper: &Helper, meta: &mut Meta) -> Check<bool> {
        match helper.id {
            id::TAIL_CALL => self.check_leaks("tail_call", false, true)?,
            id::GET_LOCAL_STORAGE if !self.cur.reg(2).is_null() => {
                fail!(EINVAL, LocalStorageFlags);
            }
            id::FOR_EACH_MAP_ELEM => {
                let Some(map) = meta.map else { bug!("no map to walk") };
                if !self.can_iterate(map) {
                    return Err(Fault::new(ENOTSUPP, Reason::CallbackMap));
                }
            }
            id::SNPRINTF => self.check_snprintf()?,
            id::DYNPTR_FROM_MEM if !self.cur.reg(1).is_map_value() => {
                let kind = self.cur.reg(1).type_name();
                fail!(EACCES, DynptrFromMem { kind });
            }
            id::DYNPTR_DATA => {
                let reg = *self.cur.reg(1);
                let (id, ref_id, _) = self.dynptr_of(&reg)?;
                (meta.dynptr_id, meta.ref_id) = (id, ref_id);
            }
            id::DYNPTR_WRITE => {
                let reg = *self.cur.reg(1);
                let (_, _, kind) = self.dynptr_of(&reg)?;
                return Ok(matches!(kind, DynptrKind::Skb | DynptrKind::SkbMeta));
            }
            id::SET_RETVAL
                if self.program.kind == ProgType::Lsm
                    && self.program.attach_type == AttachType::LsmCgroup as u32
                    && self.target_is_void() =>
            {
                fail!(EINVAL, LsmSetRetval);
            }
            _ => {}
        }
        match &helper.callback {
            Some(callback) if helper.id == id::LOOP => self.loop_callback(callback, meta)?,
            Some(callback) => self.push_callback(meta.subprog, callback)?,
            None => {}
        }
        Ok(false)
    }

    fn loop_callback(&mut self, callback: &Callback, meta: &Meta) -> Check {
        let flags = *self.cur.reg(4);
        let subprog = meta.subprog;
        let check_flags = match self.aux().loop_inline {
            None => true,
            Some((fits, _)) => fits,
        };
        if check_flags {
            if flags.is_null() {
                self.mark_precise(4)?;
            }
            let fits =
                flags.is_null() && self.aux().loop_inline.is_none_or(|(_, known)| known == subprog);
            self.aux().loop_inline = Some((fits, subprog));
        }
        self.mark_precise(1)?;
        let rounds = self.cur.reg(1).value.umax();
        if u64::from(self.cur.frame().callback_depth) < rounds {
            return self.push_callback(subprog, callback);
        }
        self.cur.frame_mut().callback_depth = 0;
        if self.log.is_full() {
            say!(self.log, "frame{} bpf_loop iteration limit reached\n", self.cur.depth());
        }
        Ok(())
    }

    fn check_snprintf(&mut self) -> Check {
        let len = self.cur.reg(5).value.tnum.value.0;
        if !len.is_multiple_of(8) {
            fail!(EINVAL, Silent);
        }
        let format = self.const_str(3)?;
        if !crate::format::is_valid(&format, (len / 8) as usize) {
            fail!(EINVAL, FormatInvalid);
        }
        Ok(())
    }

    pub(super) fn check_func_ip(&self, number: u32) -> Check {
        let name = || self.helper_name(number).to_string();
        match self.program.kind {
            ProgType::Kprobe => Ok(()),
            ProgType::Tracing => {
                /// What stands at a function.
                const FUNCTIONS: [AttachType; 3] =
                    [AttachType::TraceFentry, AttachType::TraceFexit, AttachType::ModifyReturn];
                if FUNCTIONS.iter().any(|&at| self.program.attach_type == at as u32) {
                    return Ok(());
                }
                Err(Fault::new(ENOTSUPP, Reason::FuncIpTracing { name: name(), id: number }))
            }
            kind => Err(Fault::new(
                ENOTSUPP,
                Reason::FuncIp { name: name(), id: number, kind: kind as u32 },
            )),
        }
    }
}
