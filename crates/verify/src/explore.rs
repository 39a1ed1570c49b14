//! Following paths: one instruction after another, branches pushed for later, until
//! none is left. Counterpart: `do_check`, `do_check_common`, `do_check_subprogs`.

use skep_abi::limits::{MAX_PENDING, MAX_PROCESSED};
use skep_abi::{Errno, Reason};
use skep_isa::{Insn, Operand};

use crate::checker::Checker;
use crate::error::{Check, Fault, fail};
use crate::explain::trail::Trail;
use crate::log::say;
use crate::memory::{MAX_MEMORY, Share};
use crate::reg::{Flags, Kind, Reg};
use crate::shape;
use crate::state::{Frame, Linked, State, Step};

/// A path still to follow.
pub(crate) struct Pending {
    state: State,
    pc: u32,
    prev: i32,
    log_pos: usize,
    trail_len: usize,
    _memory: Share,
}

/// What comes after an instruction.
pub(crate) enum Next {
    /// The instruction at `pc`.
    Go,
    /// Another frame's instruction; its state is to be printed.
    GoPrint,
    /// The path is at its end.
    End,
}

impl Checker<'_> {
    /// The main function, and then each global function that was called.
    pub(crate) fn explore_all(&mut self) -> Check {
        self.explore_function(0)?;
        if self.program.func_info.is_empty() {
            return Ok(());
        }
        if let Some(index) = self.code.exception_callback {
            self.found.subprogs[index].called = true;
        }
        loop {
            let mut found = false;
            for index in 1..self.found.subprogs.len() {
                let subprog = &self.found.subprogs[index];
                if !subprog.is_global || !subprog.called || subprog.verified {
                    continue;
                }
                self.explore_function(index)?;
                if self.log.is_verbose() {
                    let name = self.subprog_name(index);
                    say!(
                        self.log,
                        "Func#{index} ('{name}') is safe for any args that match its prototype\n"
                    );
                }
                self.found.subprogs[index].verified = true;
                found = true;
            }
            if !found {
                return Ok(());
            }
        }
    }

    fn explore_function(&mut self, index: usize) -> Check {
        self.shown.prev_line = None;
        let start = self.found.subprogs[index].start;
        self.pc = start;
        self.cur = State::new(Frame::new(&self.explored.meter, -1, 0, index as u32), start);
        self.forget_untouched();
        if index == 0 {
            self.check_main_signature();
            *self.cur.reg_mut(1) = Reg::pointer(Kind::Ctx, Flags::empty());
            self.acquire_arguments();
        } else {
            let name = self.subprog_name(index);
            say!(self.log, "Validating {name}() func#{index}...\n");
            self.enter_global(index)?;
        }
        self.explore()?;
        if !self.log.is_full() {
            self.log.rewind(0);
        }
        self.forget_states();
        Ok(())
    }

    pub(crate) fn forget_untouched(&mut self) {
        (self.shown.touched_regs, self.shown.touched_slots) = (!0, !0);
    }

    fn explore(&mut self) -> Check {
        let mut print = false;
        let mut prev = -1;
        loop {
            self.path.history_open = false;
            self.prev_pc = prev;
            let pc = self.pc;
            if pc >= self.len() {
                fail!(EFAULT, InvalidInsnIdx { pc, count: self.len() });
            }
            self.path.processed += 1;
            if self.path.processed > MAX_PROCESSED {
                self.log.end_line();
                fail!(E2BIG, TooLarge { processed: self.path.processed });
            }
            if self.explored.meter.bytes() > MAX_MEMORY {
                self.log.end_line();
                fail!(ENOMEM, TooMuchMemory { mib: MAX_MEMORY as u32 >> 20 });
            }
            self.cur.last_pc = prev;
            self.cur.pc = pc;
            self.note_edge(prev, pc);
            if let Some(trail) = &mut self.path.trail {
                trail.push(pc, &self.cur);
            }
            if self.found.aux[pc as usize].prune_point && self.is_visited(pc)? {
                self.log_safe(print);
                if self.end_path(&mut prev)? {
                    return Ok(());
                }
                print = true;
                continue;
            }
            if self.found.aux[pc as usize].jump_point {
                self.record_step(Step::at(pc, prev));
            }
            if self.log.is_verbose() {
                print = self.log_insn(print);
            }
            self.mark_seen(pc);
            prev = pc as i32;
            let ended = if self.cur.speculative && self.found.aux[pc as usize].nospec {
                true
            } else {
                self.execute(pc, &mut print)?
            };
            if ended {
                if self.end_path(&mut prev)? {
                    return Ok(());
                }
                print = true;
            }
        }
    }

    /// Executes one instruction; true at the end of the path.
    fn execute(&mut self, pc: u32, print: &mut bool) -> Check<bool> {
        self.begin_stack_writes(pc);
        let outcome = self.check_insn(pc);
        let recoverable = |errno| matches!(errno, Errno::EPERM | Errno::EACCES | Errno::EINVAL);
        match outcome {
            Ok(next) => {
                self.commit_stack_writes();
                match next {
                    Next::End => return Ok(true),
                    Next::GoPrint => *print = true,
                    Next::Go => {}
                }
                Ok(self.cur.speculative && self.found.aux[pc as usize].nospec_result)
            }
            Err(fault) if recoverable(fault.errno) && self.cur.speculative => {
                // The path is not real: a barrier keeps the machine off it.
                say!(self.log, "{}\n", fault.reason);
                self.commit_stack_writes();
                self.found.aux[pc as usize].nospec = true;
                self.found.aux[pc as usize].alu_state = 0;
                Ok(true)
            }
            Err(fault) => {
                self.pc = pc;
                Err(fault)
            }
        }
    }

    fn mark_seen(&mut self, pc: u32) {
        if !self.cur.speculative {
            self.found.facts.reach(pc);
        }
    }

    /// A real path came from `prev` to `pc`; also where it ends here as one already seen.
    fn note_edge(&mut self, prev: i32, pc: u32) {
        if let (false, Ok(from)) = (self.cur.speculative, u32::try_from(prev))
            && let Some(insn) = self.insn(from)
        {
            self.found.facts.edge(from, insn, pc);
        }
    }

    fn log_safe(&mut self, print: bool) {
        if !self.log.is_verbose() {
            return;
        }
        if print {
            let tail = self.speculative_text();
            say!(self.log, "\nfrom {} to {}{tail}: safe\n", self.prev_pc, self.pc);
        } else {
            say!(self.log, "{}: safe\n", self.pc);
        }
    }

    fn speculative_text(&self) -> &'static str {
        if self.cur.speculative { " (speculative execution)" } else { "" }
    }

    fn log_insn(&mut self, print: bool) -> bool {
        let mut print = print;
        if self.log.is_full() && print {
            let tail = self.speculative_text();
            say!(self.log, "\nfrom {} to {}{tail}:", self.prev_pc, self.pc);
            self.print_current(self.cur.depth(), true);
            print = false;
        }
        if self.shown.touched_regs != 0 || self.shown.touched_slots != 0 {
            self.print_insn_state();
        }
        self.print_line(self.pc, "; ");
        let start = self.log.position();
        let text = self.disassemble(self.pc);
        say!(self.log, "{}: {text}\n", self.pc);
        self.shown.prev_insn_len = self.log.position() - start;
        self.shown.prev_log_pos = self.log.position();
        print
    }

    /// Ends the path and takes up the next; true when there is none.
    fn end_path(&mut self, prev: &mut i32) -> Check<bool> {
        self.forget_untouched();
        self.finish_branch()?;
        self.update_stack_liveness();
        let Some(next) = self.path.pending.pop() else { return Ok(true) };
        if !self.log.is_full() {
            self.log.rewind(next.log_pos);
        }
        if let Some(trail) = &mut self.path.trail {
            trail.rewind(next.trail_len);
        }
        self.cur = next.state;
        self.pc = next.pc;
        *prev = next.prev;
        Ok(false)
    }

    /// Pushes a copy of the current state as a path that starts at `pc`.
    pub(crate) fn fork(&mut self, pc: u32, speculative: bool, errno: Errno) -> Check<&mut State> {
        let mut state = self.cur.clone();
        state.speculative |= speculative;
        if let Some(parent) = state.parent {
            self.explored.node_mut(parent).branches += 1;
        }
        let limit = |jumps| Reason::TooManyJumps { jumps };
        self.push_pending(state, pc, errno, limit)
    }

    /// Pushes a path with a state of its own.
    pub(crate) fn push_pending(
        &mut self,
        state: State,
        pc: u32,
        errno: Errno,
        limit: impl Fn(u32) -> Reason,
    ) -> Check<&mut State> {
        let log_pos = self.log.position();
        let trail_len = self.path.trail.as_ref().map_or(0, Trail::len);
        self.path.pending.push(Pending {
            pc,
            prev: self.pc as i32,
            log_pos,
            trail_len,
            _memory: self.explored.meter.share(state.own_size()),
            state,
        });
        let jumps = self.path.pending.len();
        if jumps > MAX_PENDING {
            return Err(Fault::new(errno, limit(jumps as u32)));
        }
        Ok(&mut self.path.pending[jumps - 1].state)
    }

    /// Records a step, or adds to the one recorded for this instruction.
    pub(crate) fn record_step(&mut self, step: Step) {
        if self.path.history_open
            && let Some(last) = self.cur.history.last_mut()
        {
            last.access = last.access.or(step.access);
            last.src_is_stack |= step.src_is_stack;
            last.dst_is_stack |= step.dst_is_stack;
            last.linked = step.linked;
            return;
        }
        self.cur.history.push(step);
        self.path.history_open = true;
    }

    pub(crate) fn record_access(&mut self, frame: u8, slot: usize) {
        let step = Step { access: Some((frame, slot as u8)), ..Step::at(self.pc, self.prev_pc) };
        self.record_step(step);
    }

    fn check_insn(&mut self, pc: u32) -> Check<Next> {
        let Some(insn) = self.insn(pc) else { return Err(shape::fault(self.slot(pc))) };
        match insn {
            Insn::Alu { .. }
            | Insn::MovSx { .. }
            | Insn::Neg { .. }
            | Insn::ByteSwap { .. }
            | Insn::AddrSpaceCast { .. } => self.check_alu(insn)?,
            Insn::Load { size, signed, dst, base, off } => {
                self.check_load(size, signed, dst, base, off, false)?;
            }
            Insn::Store { size, base, off, src } => {
                if let Operand::Reg(src) = src {
                    self.check_store(size, base, off, src, false)?;
                } else {
                    self.check_store_imm(size, base, off)?;
                }
            }
            Insn::Atomic { op, size, base, off, src } => {
                self.check_atomic(op, size, base, off, src)?;
            }
            Insn::LoadAcquire { size, dst, base, off } => {
                self.check_load_acquire(size, dst, base, off)?;
            }
            Insn::StoreRelease { size, base, off, src } => {
                self.check_store_release(size, base, off, src)?;
            }
            Insn::LoadAbs { .. } => self.check_ld_abs(None)?,
            Insn::LoadInd { src, .. } => self.check_ld_abs(Some(src))?,
            Insn::LoadImm64 { dst, imm } => {
                self.check_ld_imm(dst, imm)?;
                self.mark_seen(pc + 1);
                self.pc += 1;
            }
            Insn::Hole => fail!(EINVAL, LdImmInsn),
            Insn::Ja { off } => {
                self.path.jumps += 1;
                self.jump(off.into());
                return Ok(Next::Go);
            }
            Insn::Gotol { off } => {
                self.path.jumps += 1;
                self.jump(off);
                return Ok(Next::Go);
            }
            Insn::MayGoto { off } => {
                self.path.jumps += 1;
                self.check_may_goto(off)?;
            }
            Insn::Branch { cond, width, dst, src, off } => {
                self.path.jumps += 1;
                self.check_branch(cond, width, dst, src, off)?;
            }
            Insn::Call(callee) => {
                self.path.jumps += 1;
                if let Some(next) = self.check_call(callee)? {
                    return Ok(next);
                }
            }
            Insn::Exit => {
                self.path.jumps += 1;
                return self.check_exit(false);
            }
        }
        self.pc = self.pc.wrapping_add(1);
        Ok(Next::Go)
    }

    fn jump(&mut self, off: i32) {
        self.pc = (i64::from(self.pc) + 1 + i64::from(off)) as u32;
    }

    /// The main function's arguments, as its BTF has them; only global and
    /// replacing programs depend on them.
    fn check_main_signature(&mut self) {
        if self.program.func_info.is_empty() {
            return;
        }
        let reliable = match self.function_args(0) {
            Ok(args) => args == [crate::global::Arg::Ctx],
            Err(fault) => {
                if fault.reason != Reason::Silent {
                    say!(self.log, "{}\n", fault.reason);
                }
                false
            }
        };
        self.found.subprogs[0].unreliable |= !reliable;
    }
}

impl Step {
    pub(crate) fn at(pc: u32, prev: i32) -> Step {
        Step {
            pc,
            prev,
            access: None,
            src_is_stack: false,
            dst_is_stack: false,
            linked: Linked::default(),
        }
    }
}
