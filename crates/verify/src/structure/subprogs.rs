//! Subprograms: where calls and function addresses point, and that jumps stay
//! within one. Counterpart: `add_subprog_and_kfunc`, `check_subprogs`.

use skep_abi::helper::id::TAIL_CALL;
use skep_abi::limits::MAX_SUBPROGS;
use skep_btf::{Kind, Type};
use skep_isa::{Callee, ImmKind, Insn};

use crate::checker::{Checker, Code, Subprog};
use crate::error::{Check, fail};
use crate::log::say;
use crate::shape::{Flow, flow};

impl Checker<'_> {
    /// The slot that a call of, or a reference to, a subprogram means.
    pub(crate) fn callee_pc(&self, pc: u32) -> Option<i64> {
        self.code.callee_pc(pc)
    }

    pub(super) fn find_subprogs(&mut self) -> Check {
        self.add_subprog(0)?;
        for pc in 0..self.len() {
            let kfunc = match self.insn(pc) {
                Some(Insn::Call(Callee::Kfunc { btf_id, module })) => Some((btf_id, module)),
                _ => None,
            };
            let callee = self.callee_pc(pc);
            if kfunc.is_none() && callee.is_none() {
                continue;
            }
            if !self.rights.bpf {
                fail!(EPERM, CallsNeedCapBpf);
            }
            match (callee, kfunc) {
                (Some(target), _) => self.add_subprog(target)?,
                (_, Some((id, module))) => self.add_kfunc(id, module)?,
                _ => {}
            }
        }
        if let Some(pc) = self.exception_callback_pc()? {
            self.add_subprog(pc.into())?;
            let index = self.subprog_at(pc);
            self.code.exception_callback = Some(index);
            let subprog = &mut self.found.subprogs[index];
            subprog.is_callback = true;
            subprog.is_async_callback = true;
            subprog.is_exception_callback = true;
        }
        if self.log.is_full() {
            for (index, subprog) in self.found.subprogs.iter().enumerate() {
                say!(self.log, "func#{index} @{}\n", subprog.start);
            }
        }
        Ok(())
    }

    fn add_subprog(&mut self, target: i64) -> Check {
        let Some(start) = u32::try_from(target).ok().filter(|&start| start < self.len()) else {
            fail!(EINVAL, CallToInvalidDestination);
        };
        let at = self.found.subprogs.partition_point(|subprog| subprog.start < start);
        if self.found.subprogs.get(at).is_some_and(|subprog| subprog.start == start) {
            return Ok(());
        }
        if self.found.subprogs.len() >= MAX_SUBPROGS {
            fail!(E2BIG, TooManySubprograms);
        }
        self.found.subprogs.insert(at, Subprog { start, ..Subprog::default() });
        Ok(())
    }

    /// Where the exception callback starts that a tag on the main function names.
    fn exception_callback_pc(&self) -> Check<Option<u32>> {
        let (Some(main), Some(btf)) = (self.program.func_info.first(), &self.program.btf) else {
            return Ok(None);
        };
        let mut tags = btf
            .decl_tags(main.type_id)
            .filter(|&(_, component)| component == -1)
            .filter_map(|(name, _)| name.strip_prefix("exception_callback:"));
        let Some(name) = tags.next() else { return Ok(None) };
        if tags.next().is_some() {
            fail!(EEXIST, ExceptionCallbackTags);
        }
        let Some(id) = btf.find(name, Kind::Func) else {
            fail!(ENOENT, ExceptionCallbackMissing { name: name.into() });
        };
        if !matches!(
            btf.type_by_id(id),
            Ok(Type::Func { linkage: skep_btf::FuncLinkage::Global, .. })
        ) {
            fail!(EINVAL, ExceptionCallbackStatic { name: name.into() });
        }
        match self.program.func_info.iter().find(|info| info.type_id == id) {
            Some(info) if info.pc == 0 => fail!(EINVAL, ExceptionCallbackAtZero),
            Some(info) => Ok(Some(info.pc)),
            None => fail!(EINVAL, ExceptionCallbackNoInfo),
        }
    }

    pub(super) fn check_jumps(&mut self) -> Check {
        let mut current = 0;
        for pc in 0..self.len() {
            let (start, end) = (self.found.subprogs[current].start, self.subprog_end(current));
            let insn = self.insn(pc);
            match insn {
                Some(Insn::Call(Callee::Helper(TAIL_CALL))) => {
                    self.found.subprogs[current].has_tail_call = true;
                }
                Some(Insn::LoadAbs { .. } | Insn::LoadInd { .. }) => {
                    self.found.subprogs[current].has_ld_abs = true;
                }
                _ => {}
            }
            let flow = flow(insn, self.slot(pc));
            if let Flow::Jump(off) | Flow::Branch(off) = flow {
                let to = i64::from(pc) + 1 + i64::from(off);
                if to < start.into() || to >= end.into() {
                    fail!(EINVAL, JumpOutOfRange { from: pc, to });
                }
            }
            if pc + 1 == end {
                if !matches!(flow, Flow::Exit | Flow::Jump(_)) {
                    fail!(EINVAL, LastInsn);
                }
                current += 1;
            }
        }
        Ok(())
    }
}

impl Code {
    /// The slot that a call of, or a reference to, a subprogram means.
    pub(crate) fn callee_pc(&self, pc: u32) -> Option<i64> {
        match self.insn(pc)? {
            Insn::Call(Callee::Local(off)) => Some(i64::from(pc) + 1 + i64::from(off)),
            Insn::LoadImm64 { imm, .. } if imm.kind == ImmKind::Func => {
                Some(i64::from(pc) + 1 + i64::from(imm.lo as i32))
            }
            _ => None,
        }
    }
}
