//! The stack of all chains of calls. Counterpart: `check_max_stack_depth`.

use skep_abi::limits::PRIVATE_STACK_MIN;
use skep_abi::limits::{MAX_FRAMES, MAX_STACK};
use skep_isa::{Callee, Insn};

use crate::checker::Checker;
use crate::error::{Check, fail};

/// Where a function's stack is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StackMode {
    Undecided,
    Kernel,
    Private,
}

impl Checker<'_> {
    /// Checks all call chains from the main function and from asynchronous callbacks.
    pub(crate) fn check_stack_depth(&mut self) -> Check {
        let tail_calls = self.found.subprogs.iter().any(|subprog| subprog.has_tail_call);
        let private = !tail_calls && self.program.kind.row().has_private_stack();
        let mut modes = vec![StackMode::Undecided; self.found.subprogs.len()];
        for index in (0..self.found.subprogs.len()).rev() {
            if index == 0 || self.found.subprogs[index].is_async_callback {
                self.check_chains(index, index == 0 && private, &mut modes)?;
            }
        }
        Ok(())
    }

    fn check_chains(&self, root: usize, private: bool, modes: &mut [StackMode]) -> Check {
        let (mut depth, mut index) = (0, root);
        let mut returns: Vec<(u32, usize)> = Vec::new();
        let mut tail_call_below = false;
        let mut entering = true;
        let mut pc = self.found.subprogs[root].start;
        if !private {
            modes[root] = StackMode::Kernel;
        }
        loop {
            let subprog = &self.found.subprogs[index];
            let own = (subprog.stack_depth + 15) / 16 * 16;
            if entering {
                if index != 0 && subprog.has_tail_call && depth >= 256 {
                    fail!(EACCES, StackOfTailCalls { depth });
                }
                if private && modes[index] == StackMode::Undecided && own >= PRIVATE_STACK_MIN {
                    modes[index] = StackMode::Private;
                }
                if modes[index] == StackMode::Private {
                    if own > MAX_STACK {
                        fail!(EACCES, StackOfSubprog { subprog: index as u32, depth: own });
                    }
                } else {
                    depth += own;
                    if depth > MAX_STACK {
                        let calls = returns.len() as u32 + 1;
                        fail!(EACCES, StackCombined { calls, depth });
                    }
                }
                entering = false;
            }
            let end = self.subprog_end(index);
            let mut called = None;
            while pc < end {
                if self.is_throw(pc)
                    && (subprog.is_callback
                        || returns
                            .iter()
                            .any(|&(_, caller)| self.found.subprogs[caller].is_callback))
                {
                    fail!(EINVAL, ThrowInCallback { pc, subprog: index as u32 });
                }
                if let Some(target) = self.callee_pc(pc) {
                    let callee = self.subprog_at(target as u32);
                    let direct = matches!(self.insn(pc), Some(Insn::Call(Callee::Local(_))));
                    if self.found.subprogs[callee].is_async_callback && !direct {
                        pc += 1;
                        continue;
                    }
                    if direct && self.found.subprogs[callee].is_exception_callback {
                        fail!(EINVAL, ExceptionCallbackCalled { pc });
                    }
                    called = Some(callee);
                    break;
                }
                pc += 1;
            }
            if let Some(callee) = called {
                returns.push((pc + 1, index));
                index = callee;
                pc = self.found.subprogs[callee].start;
                if !private {
                    modes[callee] = StackMode::Kernel;
                }
                tail_call_below |= self.found.subprogs[callee].has_tail_call;
                if returns.len() >= MAX_FRAMES {
                    fail!(E2BIG, CallStackTooDeep { frames: returns.len() as u32 });
                }
                entering = true;
                continue;
            }
            if tail_call_below
                && returns
                    .iter()
                    .any(|&(_, caller)| self.found.subprogs[caller].is_exception_callback)
            {
                fail!(EINVAL, ExceptionTailCall);
            }
            if modes[index] != StackMode::Private {
                depth -= own;
            }
            let Some((back, caller)) = returns.pop() else { return Ok(()) };
            (pc, index) = (back, caller);
        }
    }

    fn is_throw(&self, pc: u32) -> bool {
        match self.insn(pc) {
            Some(Insn::Call(Callee::Kfunc { btf_id, module: 0 })) => {
                self.kfunc_name(btf_id, 0) == Some("bpf_throw")
            }
            _ => false,
        }
    }
}
