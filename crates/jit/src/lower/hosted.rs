//! What code asks of its host: calls of the kernel's functions, tail calls, legacy packet
//! loads, stores to the context, and accesses that the fast checks do not let through. Each
//! is a call of one of the host's functions.

use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Value, condcodes::IntCC, types::*};

use skep_isa::{Pc, Size};

use super::func::Lowering;
use super::memory::plain;
use crate::describe::{Callee, Checks, Inline, Layout, MapView};
use crate::ir::Val;
use crate::state::{STACK_SIZE, offset};

impl Lowering<'_, '_> {
    /// Calls a function of the host with the state and these arguments.
    pub fn host(&mut self, function: usize, arguments: &[Value]) -> Value {
        let mut signature = Signature::new(self.target.isa.default_call_conv());
        signature.params = vec![AbiParam::new(I64); arguments.len() + 1];
        signature.returns = vec![AbiParam::new(I64)];
        let signature = self.builder.import_signature(signature);
        let callee = self.builder.ins().iconst(I64, function as i64);
        let mut all = vec![self.state];
        all.extend(arguments);
        let call = self.builder.ins().call_indirect(signature, callee, &all);
        self.builder.inst_results(call)[0]
    }

    /// An instruction and what it is about, as one word.
    pub fn site(&mut self, pc: Pc, what: u32) -> Value {
        self.builder.ins().iconst(I64, (u64::from(pc) << 32 | u64::from(what)) as i64)
    }

    /// Asks a function of the kernel.
    pub fn ask(&mut self, pc: Pc, id: u32, depth: u32, args: [Val; 5]) -> Value {
        let callee = (self.func.callees)(id);
        if let Some(result) = self.direct(pc, callee, args) {
            return result;
        }
        if let Some(Inline::Walk { entry }) = callee.inline
            && let Some(result) = self.walk(pc, id, entry, depth, args)
        {
            return result;
        }
        let mut values = vec![self.site(pc, id)];
        values.extend(args.map(|arg| self.value(arg)));
        let function = self.target.host.call as usize;
        self.in_frame(depth, |this| this.host(function, &values))
    }

    /// A callee that takes plain words, where it may.
    fn direct(&mut self, pc: Pc, callee: &Callee, args: [Val; 5]) -> Option<Value> {
        let elided = self.target.checks == Checks::Elided;
        let direct = callee.direct.filter(|direct| elided || direct.guarded)?;
        if direct.balanced && !self.names_all_maps() {
            return None;
        }
        let own = args.first().filter(|_| direct.of_map).map(|&arg| self.map(arg));
        let function = match own {
            Some(Some(map)) => map.lookup,
            _ => direct.entry,
        };
        // A function that takes any map looks at the word itself.
        let by_word = matches!(own, Some(None));
        let mut values = Vec::new();
        for (&arg, is_map) in args.iter().zip(callee.maps).take(callee.words) {
            values.push(match is_map && !by_word {
                true => self.map_address(arg),
                false => self.value(arg),
            });
        }
        let result = self.host(function, &values);
        self.leave_if_ended(pc);
        Some(result)
    }

    /// A walk where nothing is checked, over a map that the code names.
    fn walk(&mut self, pc: Pc, id: u32, entry: usize, depth: u32, args: [Val; 5]) -> Option<Value> {
        let [map, function, context, flags, _] = args;
        if self.target.checks != Checks::Elided || self.func.number(flags) != Some(0) {
            return None;
        }
        self.map(map)?;
        let mut values = vec![self.site(pc, id), self.map_address(map)];
        values.extend([map, function, context].map(|arg| self.value(arg)));
        Some(self.in_frame(depth, |this| this.host(entry, &values)))
    }

    /// Whether the program has no maps but those that it names.
    fn names_all_maps(&self) -> bool {
        !self.target.maps.iter().any(|map| map.of_maps)
    }

    /// The map that the code names here.
    fn map(&self, arg: Val) -> Option<&MapView> {
        let word = self.func.number(arg)?;
        self.target.maps.iter().find(|map| map.word == word)
    }

    /// The address of a map.
    fn map_address(&mut self, arg: Val) -> Value {
        match self.map(arg).map(|map| map.address as i64) {
            Some(address) => self.builder.ins().iconst(I64, address),
            None => {
                let word = self.value(arg);
                self.host(self.target.host.map as usize, &[word])
            }
        }
    }

    pub fn tail_call(&mut self, pc: Pc, nested: bool, depth: u32, args: [Val; 3]) -> Value {
        if !nested
            && self.target.checks == Checks::Elided
            && let Some(slots) = self.map(args[1]).and_then(|map| map.slots)
        {
            return self.jump(pc, slots, args[2]);
        }
        let mut values = vec![self.site(pc, nested.into())];
        values.extend(args.map(|arg| self.value(arg)));
        let function = self.target.host.tail_call as usize;
        self.in_frame(depth, |this| this.host(function, &values))
    }

    /// Leaves for the program in a slot of an array that the code names; goes on with 0
    /// where there is none.
    fn jump(&mut self, pc: Pc, slots: Layout, index: Val) -> Value {
        let known = self.func.number(index).map(|index| index as u32);
        if known.is_some_and(|index| index >= slots.count) {
            return self.builder.ins().iconst(I64, 0);
        }
        let (leave, next) = (self.builder.create_block(), self.builder.create_block());
        let slot = match known {
            Some(index) => {
                let slot = slots.base + u64::from(index) * slots.slot;
                self.builder.ins().iconst(I64, slot as i64)
            }
            None => {
                let inside = self.builder.create_block();
                let index = self.half(index);
                let count = self.builder.ins().iconst(I32, i64::from(slots.count));
                let fits = self.builder.ins().icmp(IntCC::UnsignedLessThan, index, count);
                self.builder.ins().brif(fits, inside, &[], next, &[]);
                self.builder.switch_to_block(inside);
                let index = self.builder.ins().uextend(I64, index);
                let size = self.builder.ins().iconst(I64, slots.slot as i64);
                let off = self.builder.ins().imul(index, size);
                let base = self.builder.ins().iconst(I64, slots.base as i64);
                self.builder.ins().iadd(base, off)
            }
        };
        let site = self.site(pc, 0);
        let entry = self.host(self.target.host.jump as usize, &[site, slot]);
        self.builder.ins().brif(entry, leave, &[], next, &[]);
        self.builder.switch_to_block(leave);
        self.builder.ins().return_(&[entry]);
        self.builder.switch_to_block(next);
        self.builder.ins().iconst(I64, 0)
    }

    pub fn legacy(&mut self, pc: Pc, size: Size, at: Val) -> Value {
        let values = [self.site(pc, size.bytes()), self.value(at)];
        self.in_frame(0, |this| this.host(this.target.host.legacy as usize, &values))
    }

    pub fn store_context(&mut self, pc: Pc, size: Size, off: i32, value: Val) {
        let site = self.site(pc, size.bytes());
        let off = self.builder.ins().iconst(I64, i64::from(off));
        let value = self.value(value);
        let values = [site, off, value];
        self.in_frame(0, |this| this.host(this.target.host.store_context as usize, &values));
    }

    /// Does something that may call functions of the program, from the frame this far
    /// above the function's own, and that may end the run.
    fn in_frame(&mut self, depth: u32, done: impl FnOnce(&mut Self) -> Value) -> Value {
        let above = depth > 0 && self.target.checks == Checks::Guarded;
        if above {
            let frame = self.frame(depth);
            self.builder.ins().store(plain(), frame, self.state, offset::FRAME);
        }
        let result = done(self);
        if above {
            let frame = self.frame(0);
            self.builder.ins().store(plain(), frame, self.state, offset::FRAME);
        }
        self.leave_if_over();
        result
    }

    /// An access at an address that nothing is known of: `fast` where it is in the stack
    /// or in the region that was used last, else `slow`, which looks further. Either
    /// gives the value, where there is one.
    pub fn guarded(
        &mut self,
        address: Value,
        size: Size,
        stack_first: bool,
        fast: impl FnOnce(&mut Self) -> Option<Value>,
        slow: impl FnOnce(&mut Self) -> Option<Value>,
    ) -> Option<Value> {
        let (second, inside) = (self.builder.create_block(), self.builder.create_block());
        let (outside, after) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(outside);
        let first = self.within(address, size, stack_first);
        self.builder.ins().brif(first, inside, &[], second, &[]);
        self.builder.switch_to_block(second);
        let fits = self.within(address, size, !stack_first);
        self.builder.ins().brif(fits, inside, &[], outside, &[]);
        self.builder.switch_to_block(inside);
        let result = fast(self);
        let args: Vec<_> = result.into_iter().map(Into::into).collect();
        self.builder.ins().jump(after, &args);
        self.builder.switch_to_block(outside);
        let found = slow(self);
        self.leave_if_over();
        let args: Vec<_> = found.into_iter().map(Into::into).collect();
        self.builder.ins().jump(after, &args);
        self.builder.switch_to_block(after);
        result.map(|_| self.builder.append_block_param(after, I64))
    }

    fn within(&mut self, address: Value, size: Size, stack: bool) -> Value {
        let (start, places) = if stack {
            let start = self.field(I64, offset::STACK);
            let places = STACK_SIZE + 1 - u64::from(size.bytes());
            (start, self.builder.ins().iconst(I64, places as i64))
        } else {
            let start = self.field(I64, offset::MEMORY);
            (start, self.field(I64, offset::PLACES + 8 * size as i32))
        };
        let within = self.builder.ins().isub(address, start);
        self.builder.ins().icmp(IntCC::UnsignedLessThan, within, places)
    }
}
