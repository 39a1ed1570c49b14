//! Function and line records must fit the program's layout. Counterpart:
//! `check_btf_func_early`, `check_btf_func`, `check_btf_line`.

use skep_btf::{FuncLinkage, Type};

use crate::checker::Checker;
use crate::error::{Check, fail};

impl Checker<'_> {
    fn has_records(&self) -> bool {
        !(self.program.func_info.is_empty() && self.program.line_info.is_empty())
    }

    pub(super) fn check_func_info_early(&mut self) -> Check {
        if !self.has_records() {
            return Ok(());
        }
        let Some(btf) = &self.program.btf else { fail!(EBADF, Silent) };
        let mut previous = 0;
        for (index, info) in self.program.func_info.iter().enumerate() {
            if index == 0 && info.pc != 0 {
                fail!(EINVAL, FuncInfoFirst { pc: info.pc });
            }
            if index > 0 && info.pc <= previous {
                fail!(EINVAL, FuncInfoOrder { pc: info.pc, previous });
            }
            if !matches!(btf.type_by_id(info.type_id), Ok(Type::Func { .. })) {
                fail!(EINVAL, FuncInfoType { id: info.type_id });
            }
            previous = info.pc;
        }
        Ok(())
    }

    pub(super) fn check_func_info(&mut self) -> Check {
        let (true, Some(btf)) = (!self.program.func_info.is_empty(), &self.program.btf) else {
            for subprog in self.found.subprogs.iter().skip(1) {
                if subprog.has_ld_abs {
                    fail!(EINVAL, LdAbsWithoutBtf);
                }
                if subprog.has_tail_call {
                    fail!(EINVAL, TailCallWithoutBtf);
                }
            }
            return Ok(());
        };
        if self.program.func_info.len() != self.found.subprogs.len() {
            fail!(EINVAL, FuncInfoCount);
        }
        for (index, info) in self.program.func_info.iter().enumerate() {
            let subprog = &mut self.found.subprogs[index];
            if subprog.start != info.pc {
                fail!(EINVAL, FuncInfoLayout);
            }
            let Ok(Type::Func { proto, linkage, .. }) = btf.type_by_id(info.type_id) else {
                fail!(EINVAL, FuncInfoType { id: info.type_id });
            };
            subprog.is_global = linkage == FuncLinkage::Global;
            let Ok(Type::FuncProto(proto)) = btf.type_by_id(proto) else { fail!(EINVAL, Silent) };
            let scalar = match btf.resolved(proto.ret) {
                Ok(Type::Int(int)) => matches!(int.size, 1 | 2 | 4 | 8),
                Ok(Type::Enum(_) | Type::Enum64(_)) => true,
                _ => false,
            };
            if index > 0 && !scalar && subprog.has_ld_abs {
                fail!(EINVAL, LdAbsReturn);
            }
            if index > 0 && !scalar && subprog.has_tail_call {
                fail!(EINVAL, TailCallReturn);
            }
        }
        Ok(())
    }

    pub(super) fn check_line_info(&mut self) -> Check {
        if self.program.line_info.is_empty() {
            return Ok(());
        }
        let Some(btf) = &self.program.btf else { fail!(EBADF, Silent) };
        let (mut previous, mut func, len) = (0, 0, self.len());
        for (index, line) in self.program.line_info.iter().enumerate() {
            let index = index as u32;
            if (index > 0 && line.pc <= previous) || line.pc >= len {
                fail!(EINVAL, LineInfoOffset { index, pc: line.pc, previous, len });
            }
            if self.slot(line.pc).code == 0 {
                fail!(EINVAL, LineInfoCode { index });
            }
            if !btf.has_string(line.line_off) || !btf.has_string(line.file_name_off) {
                fail!(EINVAL, LineInfoStrings { index });
            }
            if let Some(subprog) = self.found.subprogs.get(func) {
                if line.pc == subprog.start {
                    func += 1;
                } else if subprog.start < line.pc {
                    fail!(EINVAL, LineInfoMissing { func: func as u32 });
                }
            }
            previous = line.pc;
        }
        if func != self.found.subprogs.len() {
            let count = (self.found.subprogs.len() - func) as u32;
            fail!(EINVAL, LineInfoMissingFrom { count, func: func as u32 });
        }
        Ok(())
    }
}
