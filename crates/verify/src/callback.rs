//! Subprograms that a helper or kernel function calls: what their rows say of arguments
//! and results, as a frame. Counterpart: `push_callback_call` and the functions that it
//! is given (`set_*_callback_state`).

use std::rc::Rc;

use skep_abi::{Callback, Called, Errno, Given, Reason};

use crate::checker::Checker;
use crate::error::{Check, fail};
use crate::record::FieldKind;
use crate::reg::{DynptrKind, Flags, KERNEL_BTF, Kind, Reg};
use crate::state::{Frame, State};

impl Checker<'_> {
    /// A helper or kfunc that calls one of the program's functions.
    pub(crate) fn push_callback(&mut self, index: u32, callback: &Callback) -> Check {
        let subprog = index as usize;
        if let Err(fault) = self.check_call_args(subprog)
            && fault.errno == Errno::EFAULT
        {
            return Err(fault);
        }
        self.found.subprogs[subprog].is_callback = true;
        let start = self.found.subprogs[subprog].start;
        let caller = self.cur.frame().clone();
        if callback.is_asynchronous() {
            self.found.subprogs[subprog].is_async_callback = true;
            let mut frame = Frame::new(&self.explored.meter, -1, 0, index);
            frame.async_entries = caller.async_entries + 1;
            frame.in_async_callback = true;
            self.give(callback, &caller, &mut frame)?;
            let mut state = State::new(frame, 0);
            state.sleepable = callback.called == Called::Asleep;
            state.last_pc = 0;
            let limit = |jumps| Reason::TooManyJumpsAsync { jumps };
            self.push_pending(state, start, Errno::EFAULT, limit)?;
            return Ok(());
        }
        let mut state = self.cur.clone();
        let mut frame = self.new_frame(&state, subprog)?;
        frame.in_callback = true;
        self.give(callback, &caller, &mut frame)?;
        state.frame_mut().callback_depth += 1;
        state.frames.push(Rc::new(frame));
        state.callback_unroll_depth += 1;
        self.forget_untouched();
        self.push_fork(state, start, Errno::ENOMEM)?;
        self.cur.frame_mut().callback_depth = 0;
        Ok(())
    }

    /// Sets up the frame's arguments and what it may return.
    fn give(&mut self, callback: &Callback, caller: &Frame, callee: &mut Frame) -> Check {
        callee.ret_range = callback.returns;
        for (index, &given) in callback.given.iter().enumerate() {
            let precise = callee.regs[index + 1].precise;
            callee.regs[index + 1] = self.given(given, caller, precise)?;
        }
        Ok(())
    }

    fn given(&mut self, given: Given, caller: &Frame, precise: bool) -> Check<Reg> {
        let map = |reg: u8| caller.regs[usize::from(reg)].map().unwrap_or(0);
        let plain = |kind: Kind| Reg::pointer(kind, Flags::empty());
        Ok(match given {
            Given::Same(reg) => caller.regs[usize::from(reg)],
            Given::Map(reg) => plain(Kind::MapPtr { map: map(reg), uid: 0 }),
            Given::Key(reg) => plain(Kind::MapKey { map: map(reg) }),
            Given::Value(reg) => plain(Kind::MapValue { map: map(reg), uid: 0 }),
            // Any number; Linux leaves it as imprecise as it was.
            Given::Index => Reg { precise, ..Reg::UNKNOWN },
            Given::Record => {
                let kind = Kind::Dynptr { kind: DynptrKind::Local, first: true };
                Reg { id: self.new_id(), ..plain(kind) }
            }
            Given::Kernel(name) => {
                let kernel = self.btf(KERNEL_BTF);
                let id = kernel.and_then(|btf| btf.find(name, skep_btf::Kind::Struct));
                plain(Kind::Btf { btf: KERNEL_BTF, id: id.unwrap_or(0) })
            }
            Given::Element(reg) => self.tree_element(&caller.regs[usize::from(reg)])?,
        })
    }

    /// An element of the tree whose root this register points to.
    fn tree_element(&mut self, root: &Reg) -> Check<Reg> {
        let record = self.fields_behind(root);
        let found = record.find(root.off.into(), |kind| kind == FieldKind::RbRoot);
        let Some(field) = found else { fail!(EFAULT, Silent) };
        let mut element = self.graph_element(field);
        element.flags |= self.non_owning(&element);
        Ok(element)
    }
}
