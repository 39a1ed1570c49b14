//! Calls of the program's own functions, callbacks, returns, and the loads that are
//! calls in disguise. Counterpart: `check_func_call`, `push_callback_call`,
//! `prepare_func_exit`, `check_return_code`, `check_ld_imm`, `check_ld_abs`.

use skep_abi::limits::MAX_FRAMES;
use std::rc::Rc;

use skep_abi::helper::id;
use skep_abi::{AttachType, Errno, ProgType, Reason};
use skep_btf::FuncLinkage;
use skep_isa::{Callee, Imm64, ImmKind, Reg as R};

use crate::checker::Checker;
use crate::cover;
use crate::error::{Check, bug, fail};
use crate::explore::Next;
use crate::log::say;
use crate::reg::{Flags, Kind, Reg};
use crate::state::{Frame, RefKind, State};

impl Checker<'_> {
    pub(crate) fn check_call(&mut self, callee: Callee) -> Check<Option<Next>> {
        if self.cur.active_locks > 0 {
            let allowed = match callee {
                // The one helper that may be.
                Callee::Helper(id) => id == id::SPIN_UNLOCK,
                Callee::Kfunc { btf_id, module } => self.kfunc_allowed_locked(btf_id, module),
                Callee::Local(_) | Callee::Register(_) => true,
            };
            if !allowed {
                fail!(EINVAL, CallWhileLocked);
            }
        }
        match callee {
            Callee::Local(_) => self.check_local_call()?,
            Callee::Kfunc { btf_id, module } => {
                self.check_kfunc_call(btf_id, module)?;
                if module == 0 && self.kfunc_name(btf_id, 0) == Some("bpf_throw") {
                    return self.check_exit(true).map(Some);
                }
            }
            Callee::Helper(id) => {
                self.check_helper_call(id)?;
                if id == id::TAIL_CALL && self.cur.depth() > 0 {
                    return self.leave_by_tail_call().map(Some);
                }
            }
            Callee::Register(_) => fail!(EINVAL, CallReserved),
        }
        self.shown.touched_regs |= 1;
        Ok(None)
    }

    /// Name of a subprogram, "" without BTF.
    pub(crate) fn subprog_name(&self, index: usize) -> String {
        self.program
            .func_info
            .get(index)
            .map_or(String::new(), |info| self.type_name(crate::reg::PROGRAM_BTF, info.type_id))
    }

    pub(crate) fn clear_caller_saved(&mut self) {
        for number in 0..6 {
            *self.cur.reg_mut(number) = Reg::UNINIT;
        }
        self.shown.touched_regs |= 0x3f;
    }

    fn check_local_call(&mut self) -> Check {
        let target = self.callee_pc(self.pc).and_then(|pc| self.subprog_starting(pc as u32));
        let Some(index) = target else { bug!("target of func call is not a program") };
        let args = self.check_call_args(index);
        if self.found.subprogs[index].is_global {
            return self.check_global_call(index, args);
        }
        if let Err(fault) = args
            && fault.errno == Errno::EFAULT
        {
            return Err(fault);
        }
        let mut callee = self.new_frame(&self.cur, index)?;
        callee.regs[1..6].copy_from_slice(&self.cur.frame().regs[1..6]);
        self.clear_caller_saved();
        self.cur.frames.push(Rc::new(callee));
        self.forget_untouched();
        // The main loop goes on behind what this names.
        self.pc = self.found.subprogs[index].start.wrapping_sub(1);
        self.reset_stack_chain();
        if self.log.is_verbose() {
            let depth = self.cur.depth();
            say!(self.log, "caller:\n");
            self.print_current(depth - 1, true);
            say!(self.log, "callee:\n");
            self.print_current(depth, true);
        }
        Ok(())
    }

    pub(crate) fn new_frame(&self, state: &State, index: usize) -> Check<Frame> {
        let depth = state.frames.len();
        if depth >= MAX_FRAMES {
            fail!(E2BIG, FramesTooDeep { frames: depth as u32 + 1 });
        }
        Ok(Frame::new(&self.explored.meter, self.pc as i32, depth as u8, index as u32))
    }

    fn check_global_call(&mut self, index: usize, args: Check) -> Check {
        let name = self.subprog_name(index);
        if self.cur.active_locks > 0 {
            say!(self.log, "global function calls are not allowed while holding a lock,\n");
            fail!(EINVAL, GlobalWhileLocked);
        }
        let atomic = self.cur.rcu_lock || self.cur.preempt_locks > 0 || self.cur.irq_id != 0;
        if self.found.subprogs[index].might_sleep && (atomic || !self.in_sleepable()) {
            say!(
                self.log,
                "global functions that may sleep are not allowed in non-sleepable context,\n\
                 i.e., in a RCU/IRQ/preempt-disabled section, or in\n"
            );
            fail!(EINVAL, GlobalSleeps);
        }
        if let Err(fault) = args {
            if fault.reason != Reason::Silent {
                say!(self.log, "{}\n", fault.reason);
            }
            let reason = Reason::GlobalArgs { func: index as u32, name };
            return Err(crate::error::Fault::new(fault.errno, reason));
        }
        say!(self.log, "Func#{index} ('{name}') is global and assumed valid.\n");
        if self.found.subprogs[index].changes_packet {
            self.clear_packet_pointers();
        }
        self.found.subprogs[index].called = true;
        self.clear_caller_saved();
        *self.cur.reg_mut(0) = self.unknown();
        Ok(())
    }

    /// Packets may have moved: pointers into them are worth nothing.
    pub(crate) fn clear_packet_pointers(&mut self) {
        let invalid = self.invalid();
        self.cur.change_regs(
            |reg| {
                reg.is_packet_or_end()
                    || (matches!(reg.kind, Kind::Mem { .. })
                        && reg.flags.intersects(Flags::PACKET_SLICE))
            },
            |reg| *reg = invalid,
        );
    }

    /// What must not be held when the program gives up control.
    pub(crate) fn check_leaks(
        &mut self,
        what: &'static str,
        exception: bool,
        locks: bool,
    ) -> Check {
        if locks && self.cur.active_locks > 0 {
            fail!(EINVAL, InsideLock { what });
        }
        if exception || self.cur.depth() == 0 {
            let returned = (self.program.kind == ProgType::StructOps && !exception)
                .then(|| self.cur.reg(0).ref_id);
            let mut leaked = false;
            for held in &self.cur.refs {
                if held.kind == RefKind::Pointer && Some(held.id) != returned {
                    say!(self.log, "Unreleased reference id={} alloc_insn={}\n", held.id, held.pc);
                    leaked = true;
                }
            }
            if leaked {
                fail!(EINVAL, LeaksReference { what });
            }
        }
        if locks && self.cur.irq_id != 0 {
            fail!(EINVAL, InsideIrq { what });
        }
        if locks && self.cur.rcu_lock {
            fail!(EINVAL, InsideRcu { what });
        }
        if locks && self.cur.preempt_locks > 0 {
            fail!(EINVAL, InsidePreempt { what });
        }
        Ok(())
    }

    pub(crate) fn check_exit(&mut self, exception: bool) -> Check<Next> {
        let outermost = self.cur.depth() == 0;
        let what = if exception { "bpf_throw" } else { "BPF_EXIT instruction in main prog" };
        self.check_leaks(what, exception, exception || outermost)?;
        if exception {
            return Ok(Next::End);
        }
        if !outermost {
            self.update_stack_liveness();
            self.return_to_caller()?;
            return Ok(Next::GoPrint);
        }
        self.check_return(0, "R0")?;
        Ok(Next::End)
    }

    /// A tail call that succeeds ends this function with whatever the other program
    /// returns, and with packets that it may have changed. One that fails goes on here.
    fn leave_by_tail_call(&mut self) -> Check<Next> {
        self.fork(self.pc + 1, false, Errno::EFAULT)?;
        self.clear_packet_pointers();
        *self.cur.reg_mut(0) = self.unknown();
        self.update_stack_liveness();
        self.return_to_caller()?;
        Ok(Next::GoPrint)
    }

    fn return_to_caller(&mut self) -> Check {
        let r0 = *self.cur.reg(0);
        if r0.is_stack() {
            fail!(EINVAL, StackReturned);
        }
        let (callsite, in_callback, range, depth) = {
            let frame = self.cur.frame();
            (frame.callsite as u32, frame.in_callback, frame.ret_range, self.cur.depth())
        };
        if in_callback {
            if !r0.is_scalar() {
                fail!(EACCES, ReturnNotScalar);
            }
            self.mark_precise(0)?;
            let r0 = *self.cur.reg(0);
            if i64::from(range.0) > r0.value.smin() || r0.value.smax() > i64::from(range.1) {
                return Err(return_fault(&r0, range, "At callback return", "R0"));
            }
            if !self.found.aux[callsite as usize].calls_callback {
                bug!("in callback at {}, callsite {callsite} !calls_callback", self.pc);
            }
        } else {
            self.cur.frame_at_mut(depth - 1).regs[0] = r0;
        }
        let back = callsite + u32::from(!in_callback);
        if self.log.is_verbose() {
            say!(self.log, "returning from callee:\n");
            self.print_current(depth, true);
            say!(self.log, "to caller at {back}:\n");
            self.print_current(depth - 1, true);
        }
        self.cur.frames.pop();
        self.pc = back;
        if in_callback && let Some(entry) = self.explored.previous_entry(&self.cur, back) {
            let (old, unknown) = (&self.explored.node(entry).state, self.unknown());
            cover::widen(old, &mut self.cur, self.path.id_gen, unknown);
        }
        Ok(())
    }

    /// Whether the program may return what this register holds.
    pub(crate) fn check_return(&mut self, number: u8, name: &'static str) -> Check {
        let outer = self.cur.frame_at(0);
        let (is_subprog, in_exception, in_async, callback_range) = (
            outer.subprog != 0,
            outer.in_exception_callback,
            outer.in_async_callback,
            outer.ret_range,
        );
        let calls_back = matches!(self.program.kind, ProgType::StructOps | ProgType::Lsm)
            && self.program.attach_type != AttachType::LsmCgroup as u32;
        if calls_back && (!is_subprog || in_exception) && self.target_is_void() {
            return Ok(());
        }
        self.shown.touched_regs |= 1 << number;
        let reg = *self.cur.reg(number.into());
        if reg.kind == Kind::Uninit {
            fail!(EACCES, NotReadable { reg: number });
        }
        if self.is_pointer_value(number.into()) {
            fail!(EACCES, LeaksAsReturn { reg: number });
        }
        if in_async {
            return self.check_return_range(
                number,
                name,
                callback_range,
                "At async callback return",
            );
        }
        if is_subprog && !in_exception {
            if !reg.is_scalar() {
                fail!(EINVAL, SubprogReturn { reg: number, kind: reg.type_name() });
            }
            return Ok(());
        }
        match self.return_range() {
            Some(range) => self.check_return_range(number, name, range, "At program exit"),
            None => Ok(()),
        }
    }

    fn check_return_range(
        &mut self,
        number: u8,
        name: &'static str,
        range: (i32, i32),
        context: &'static str,
    ) -> Check {
        let reg = *self.cur.reg(number.into());
        if !reg.is_scalar() {
            fail!(EINVAL, ReturnUnknown { context, reg: number, kind: reg.type_name() });
        }
        self.mark_precise(number)?;
        let narrow = self.program.kind == ProgType::Lsm;
        let (min, max) = if narrow {
            (reg.value.smin32().into(), reg.value.smax32().into())
        } else {
            (reg.value.smin(), reg.value.smax())
        };
        if i64::from(range.0) > min || max > i64::from(range.1) {
            return Err(return_fault(&reg, range, context, name));
        }
        Ok(())
    }

    /// What the program type may return; `None` for anything.
    fn return_range(&self) -> Option<(i32, i32)> {
        if self.program.kind == ProgType::RawTracepoint && self.program.attach_btf_id != 0 {
            return Some((0, 0));
        }
        match self.hook() {
            Some(hook) => hook.returns,
            None => self.program.kind.row().returned(self.program.attach_type),
        }
    }

    pub(crate) fn check_ld_imm(&mut self, dst: R, imm: Imm64) -> Check {
        self.check_dst(dst)?;
        let aux = &self.found.aux[self.pc as usize];
        let reg = match imm.kind {
            ImmKind::Const => Reg { precise: !self.rights.bpf, ..Reg::constant(imm.value()) },
            ImmKind::BtfId => {
                let Some((kind, flags)) = aux.btf_var else { bug!("unresolved pseudo btf id") };
                Reg::pointer(kind, flags)
            }
            ImmKind::Func => {
                let target =
                    self.callee_pc(self.pc).and_then(|pc| self.subprog_starting(pc as u32));
                let Some(subprog) = target else { bug!("no subprogram behind an address") };
                let Some(info) = self.program.func_info.get(subprog) else {
                    fail!(EINVAL, CallbackNoInfo);
                };
                let is_static = self.program.btf.as_ref().is_some_and(|btf| {
                    matches!(
                        btf.type_by_id(info.type_id),
                        Ok(skep_btf::Type::Func { linkage: FuncLinkage::Static, .. })
                    )
                });
                if !is_static {
                    fail!(EINVAL, CallbackNotStatic);
                }
                Reg::pointer(Kind::Func { subprog: subprog as u32 }, Flags::empty())
            }
            ImmKind::MapFd | ImmKind::MapIdx | ImmKind::MapValue | ImmKind::MapIdxValue => {
                let Some(map) = aux.map else { bug!("unresolved map") };
                if matches!(imm.kind, ImmKind::MapFd | ImmKind::MapIdx) {
                    Reg::pointer(Kind::MapPtr { map, uid: 0 }, Flags::empty())
                } else if self.code.maps[usize::from(map)].def.kind == skep_abi::MapType::Arena {
                    self.unknown()
                } else {
                    let off = aux.map_off as i32;
                    Reg { off, ..Reg::pointer(Kind::MapValue { map, uid: 0 }, Flags::empty()) }
                }
            }
        };
        *self.cur.reg_mut(dst.number().into()) = reg;
        Ok(())
    }

    pub(crate) fn check_ld_abs(&mut self, src: Option<R>) -> Check {
        if !self.program.kind.row().legacy_loads {
            fail!(EINVAL, LdAbsType);
        }
        self.check_src(R::R6)?;
        self.check_leaks("BPF_LD_[ABS|IND]", false, true)?;
        let context = *self.cur.reg(6);
        if !context.is_ctx() {
            fail!(EINVAL, LdAbsCtx);
        }
        if let Some(src) = src {
            self.check_src(src)?;
        }
        self.check_pointer_offset(&context, 6, false)?;
        self.clear_caller_saved();
        *self.cur.reg_mut(0) = self.unknown();
        if self.cur.depth() > 0 {
            // A read beyond the packet ends the program with 0, here as if the
            // function returned.
            let on = self.cur.clone();
            self.push_fork(on, self.pc + 1, Errno::EFAULT)?;
            *self.cur.reg_mut(0) = self.zero();
            self.update_stack_liveness();
            self.return_to_caller()?;
            self.pc = self.pc.wrapping_sub(1);
        }
        Ok(())
    }
}

fn return_fault(
    reg: &Reg,
    (min, max): (i32, i32),
    context: &'static str,
    name: &'static str,
) -> Box<crate::error::Fault> {
    let mut has = String::new();
    if reg.value.smin() > i64::MIN {
        has += &format!(" smin={}", reg.value.smin());
    }
    if reg.value.smax() < i64::MAX {
        has += &format!(" smax={}", reg.value.smax());
    }
    if has.is_empty() {
        has += " unknown scalar value";
    }
    crate::error::Fault::new(
        Errno::EINVAL,
        Reason::ReturnRange { context, reg: name, has, min, max },
    )
}
