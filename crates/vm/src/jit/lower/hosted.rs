//! What compiled code asks the kernel around it to do: helpers, tail calls, legacy
//! packet loads, stores to the context, and accesses that the fast checks do not let
//! through. Each is a call of one of [`host`]'s functions.

use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Value, condcodes::IntCC, types::*};
use std::sync::Arc;

use skep_abi::helper::id;
use skep_abi::{Helper, MapType, Yield};
use skep_isa::{Pc, Size};

use super::func::Lowering;
use super::memory::plain;
use crate::compiled::{self as host, direct};
use crate::helpers::tags::{self, Tag};
use crate::jit::Checks;
use crate::jit::ir::Val;
use crate::jit::state::offset;
use skep_maps::{Layout, Map};

fn is_map_of_maps(map: &Map) -> bool {
    matches!(map.map_type(), MapType::ArrayOfMaps | MapType::HashOfMaps)
}

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

    pub fn helper(&mut self, pc: Pc, helper: u32, depth: u32, args: [Val; 5]) -> Value {
        if let Some(result) = self.direct(pc, helper, args) {
            return result;
        }
        if helper == id::FOR_EACH_MAP_ELEM
            && let Some(result) = self.for_each(pc, depth, args)
        {
            return result;
        }
        let mut values = vec![self.site(pc, helper)];
        values.extend(args.map(|arg| self.value(arg)));
        self.in_frame(depth, |this| this.host(host::helper as *const () as usize, &values))
    }

    /// A helper that needs none of what the run knows of values: clocks, chance, and where
    /// nothing is checked those of [`direct`].
    fn direct(&mut self, pc: Pc, helper: u32, args: [Val; 5]) -> Option<Value> {
        let elided = self.target.checks == Checks::Elided;
        let yields = Helper::from_id(helper).map_or(Yield::Anything, |row| row.yields);
        let function = match helper {
            _ if yields == Yield::Time => direct::ktime as *const () as usize,
            _ if yields == Yield::Chance => direct::random as *const () as usize,
            _ if !elided => return None,
            id::MAP_LOOKUP_ELEM => match self.map(args[0]) {
                Some(map) if is_map_of_maps(map) => direct::inner as *const () as usize,
                Some(map) => match map.plain_key() {
                    Some(4) => direct::lookup_plain::<4> as *const () as usize,
                    Some(8) => direct::lookup_plain::<8> as *const () as usize,
                    Some(16) => direct::lookup_plain::<16> as *const () as usize,
                    _ => direct::lookup as *const () as usize,
                },
                None => direct::find as *const () as usize,
            },
            id::MAP_UPDATE_ELEM => direct::update as *const () as usize,
            id::MAP_DELETE_ELEM => direct::delete as *const () as usize,
            id::SKB_LOAD_BYTES => direct::skb_load_bytes as *const () as usize,
            id::CSUM_DIFF => direct::csum_diff as *const () as usize,
            id::XDP_ADJUST_HEAD => direct::xdp_adjust_head as *const () as usize,
            id::XDP_ADJUST_META => direct::xdp_adjust_meta as *const () as usize,
            id::XDP_ADJUST_TAIL => direct::xdp_adjust_tail as *const () as usize,
            id::SPIN_LOCK => direct::spin_lock as *const () as usize,
            id::SPIN_UNLOCK => direct::spin_unlock as *const () as usize,
            id::RINGBUF_OUTPUT => direct::ring_output as *const () as usize,
            // A record is given back as it was reserved: all of a program's, or none.
            id::RINGBUF_RESERVE | id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD
                if !self.names_all_maps() =>
            {
                return None;
            }
            id::RINGBUF_RESERVE => direct::ring_reserve as *const () as usize,
            id::RINGBUF_SUBMIT => direct::ring_submit as *const () as usize,
            id::RINGBUF_DISCARD => direct::ring_discard as *const () as usize,
            id::XDP_LOAD_BYTES => direct::xdp_load_bytes as *const () as usize,
            id::XDP_STORE_BYTES => direct::xdp_store_bytes as *const () as usize,
            _ => return None,
        };
        let row = tags::of(helper);
        let mut values = Vec::new();
        for (&arg, tag) in args.iter().zip(row.tags).take(row.count) {
            values.push(match tag {
                Tag::Map if helper == id::MAP_LOOKUP_ELEM && self.map(arg).is_none() => {
                    self.value(arg)
                }
                Tag::Map => self.map_address(arg),
                _ => self.value(arg),
            });
        }
        let result = self.host(function, &values);
        self.leave_if_ended(pc);
        Some(result)
    }

    /// `bpf_for_each_map_elem` where nothing is checked, on a map that the code names.
    fn for_each(&mut self, pc: Pc, depth: u32, args: [Val; 5]) -> Option<Value> {
        let [map, function, context, flags, _] = args;
        if self.target.checks != Checks::Elided || self.func.number(flags) != Some(0) {
            return None;
        }
        self.map(map)?;
        let mut values = vec![self.site(pc, id::FOR_EACH_MAP_ELEM), self.map_address(map)];
        values.extend([map, function, context].map(|arg| self.value(arg)));
        let function = host::callback::for_each as *const () as usize;
        Some(self.in_frame(depth, |this| this.host(function, &values)))
    }

    /// Whether the program has no maps but those that it names.
    fn names_all_maps(&self) -> bool {
        !self.target.maps.iter().any(|map| is_map_of_maps(&map.map))
    }

    /// The map that the code names here.
    fn map(&self, arg: Val) -> Option<&Arc<Map>> {
        let number = crate::memory::value::Value::map_number(self.func.number(arg)?)?;
        Some(&self.target.maps.get(number as usize)?.map)
    }

    /// The address of a map.
    fn map_address(&mut self, arg: Val) -> Value {
        match self.map(arg).map(|map| Arc::as_ptr(map).addr() as i64) {
            Some(address) => self.builder.ins().iconst(I64, address),
            None => {
                let word = self.value(arg);
                self.host(direct::map as *const () as usize, &[word])
            }
        }
    }

    pub fn tail_call(&mut self, pc: Pc, nested: bool, depth: u32, args: [Val; 3]) -> Value {
        if !nested
            && self.target.checks == Checks::Elided
            && let Some(slots) = self.map(args[1]).and_then(|map| map.object_slots())
        {
            return self.jump(pc, slots, args[2]);
        }
        let mut values = vec![self.site(pc, nested.into())];
        values.extend(args.map(|arg| self.value(arg)));
        self.in_frame(depth, |this| this.host(host::tail::tail_call as *const () as usize, &values))
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
        let entry = self.host(host::tail::jump as *const () as usize, &[site, slot]);
        self.builder.ins().brif(entry, leave, &[], next, &[]);
        self.builder.switch_to_block(leave);
        self.builder.ins().return_(&[entry]);
        self.builder.switch_to_block(next);
        self.builder.ins().iconst(I64, 0)
    }

    pub fn legacy(&mut self, pc: Pc, size: Size, at: Val) -> Value {
        let values = [self.site(pc, size.bytes()), self.value(at)];
        self.in_frame(0, |this| this.host(host::legacy as *const () as usize, &values))
    }

    pub fn store_context(&mut self, pc: Pc, size: Size, off: i32, value: Val) {
        let site = self.site(pc, size.bytes());
        let off = self.builder.ins().iconst(I64, i64::from(off));
        let value = self.value(value);
        let values = [site, off, value];
        self.in_frame(0, |this| this.host(host::store_context as *const () as usize, &values));
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
            let places = crate::memory::stack::STACK_SIZE + 1 - u64::from(size.bytes());
            (start, self.builder.ins().iconst(I64, places as i64))
        } else {
            let start = self.field(I64, offset::MEMORY);
            (start, self.field(I64, offset::PLACES + 8 * size as i32))
        };
        let within = self.builder.ins().isub(address, start);
        self.builder.ins().icmp(IntCC::UnsignedLessThan, within, places)
    }
}
