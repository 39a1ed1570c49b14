//! The statements that random programs are made of. Each leaves what registers hold
//! as the writer notes it; what is noted is true on every path.

use skep_abi::ProgType;
use skep_abi::helper::id;
use skep_isa::{
    AluOp, AtomicOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Order, Reg, Size, Width,
};

use super::writer::{Held, Label, MapPlace, Writer};

const CONDS: [Cond; 11] = [
    Cond::Eq,
    Cond::Ne,
    Cond::Gt,
    Cond::Ge,
    Cond::Lt,
    Cond::Le,
    Cond::Sgt,
    Cond::Sge,
    Cond::Slt,
    Cond::Sle,
    Cond::Set,
];
impl Writer<'_> {
    /// Some statements.
    pub fn block(&mut self, most: i64) {
        for _ in 0..self.dice.range(1, most) {
            self.statement();
        }
    }

    /// One statement.
    pub fn statement(&mut self) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        match self.dice.range(0, 104) {
            // What runs of programs show, not their verdicts.
            26..=29 if self.careful => self.byte_by_byte(),
            0..=17 => self.arithmetic(),
            18..=25 => self.source(),
            26..=43 => self.guarded_access(),
            44..=50 => self.map_value(),
            51..=57 => self.packet(),
            58..=64 => self.spill(),
            65..=71 => self.repeat(),
            72..=79 => self.call(),
            // Choices in loops double the paths with each round.
            80..=88 if self.loops > 0 && (self.careful || self.dice.percent(70)) => {
                self.arithmetic();
            }
            80..=88 => self.choice(),
            89..=92 => self.helper_with_memory(),
            93..=95 => self.atomic(),
            96 => self.early_exit(),
            97..=99 => self.pointers(),
            _ => self.linked(),
        }
    }

    /// Arithmetic on kept numbers.
    fn arithmetic(&mut self) {
        let dst = self.number();
        if self.careful && self.is_loop_counter(dst) {
            return;
        }
        let width = self.width();
        match self.dice.range(0, 11) {
            0 => {
                let src = self.number();
                let from = self.dice.choose(&[Size::B, Size::H]);
                self.put(Insn::MovSx { width, from, dst, src });
            }
            1 => self.put(Insn::Neg { width, dst }),
            2 => {
                let order = self.dice.choose(&[Order::Le, Order::Be, Order::Swap]);
                let size = self.dice.choose(&[Size::H, Size::W, Size::DW]);
                self.put(Insn::ByteSwap { order, size, dst });
            }
            _ => {
                let op = self.dice.choose(&AluOp::ALL);
                let shifts = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
                let divides = matches!(op, AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod);
                let src = if self.dice.percent(40) {
                    Operand::Reg(self.number())
                } else if shifts {
                    let bits = if width == Width::W64 { 63 } else { 31 };
                    Operand::Imm(self.dice.range(0, bits) as i32)
                } else {
                    let imm = self.imm();
                    Operand::Imm(if divides && imm == 0 { 1 } else { imm })
                };
                self.put(Insn::Alu { op, width, dst, src });
            }
        }
    }

    /// A number that the verifier knows little of.
    pub fn source(&mut self) {
        let dst = self.dice.choose(&[Reg::R7, Reg::R8, Reg::R9]);
        if self.is_loop_counter(dst) {
            return;
        }
        let choice = self.dice.range(0, 5);
        match choice {
            0 | 1 if self.held(Reg::R6) == Held::Ctx && self.kind != ProgType::Xdp => {
                // len, mark, protocol, ifindex, hash, all of 4 bytes.
                let off = self.dice.choose(&[0, 8, 16, 40, 44]);
                self.load(Size::W, dst, Reg::R6, off);
            }
            2 => {
                self.helper(id::KTIME_GET_NS);
                self.mov(dst, Reg::R0);
            }
            3 => {
                self.helper(id::GET_SMP_PROCESSOR_ID);
                self.mov(dst, Reg::R0);
            }
            4 if matches!(self.held(Reg::R6), Held::Value(_)) => {
                let size = self.size();
                let Held::Value(room) = self.held(Reg::R6) else { return };
                let off = self.place_in(room, size);
                self.load(size, dst, Reg::R6, off);
            }
            _ => {
                self.helper(id::GET_PRANDOM_U32);
                self.mov(dst, Reg::R0);
            }
        }
    }

    /// A multiple of the access's size that fits `room` bytes.
    fn place_in(&mut self, room: i16, size: Size) -> i16 {
        let bytes = size.bytes() as i64;
        (self.dice.range(0, (i64::from(room) - bytes) / bytes) * bytes) as i16
    }

    fn is_loop_counter(&self, reg: Reg) -> bool {
        reg == Reg::R9 && self.loops > 0
    }

    /// Makes `idx` at most `most`: by branches (to `out` where it is not), or a mask.
    fn guard(&mut self, idx: Reg, most: i64, out: Label) {
        let limit = Operand::Imm(most as i32);
        let (width, ways) = if self.careful { (Width::W64, 5) } else { (self.width(), 11) };
        match self.dice.range(0, ways) {
            0..=3 => self.branch(Cond::Gt, width, idx, limit, out),
            4 => self.branch(Cond::Ge, width, idx, Operand::Imm(most as i32 + 1), out),
            5 => {
                let inside = self.label();
                self.branch(Cond::Le, width, idx, limit, inside);
                self.jump(out);
                self.place(inside);
            }
            6 => {
                // Signed, in two steps.
                self.branch(Cond::Sgt, width, idx, limit, out);
                self.branch(Cond::Slt, width, idx, Operand::Imm(0), out);
            }
            7 => {
                // By what is linked to it.
                let delta = self.dice.range(0, 8) as i32;
                self.mov(Reg::R5, idx);
                if delta != 0 {
                    self.alu(AluOp::Add, Reg::R5, Operand::Imm(delta));
                    // Without this the sum may wrap, and Linux does not follow it back.
                    if self.dice.percent(60) {
                        self.branch(Cond::Gt, Width::W64, idx, Operand::Imm(1 << 20), out);
                    }
                }
                let limit = Operand::Imm(most as i32 + delta);
                self.branch(Cond::Gt, Width::W64, Reg::R5, limit, out);
            }
            8 => {
                // Against a register.
                self.set(Reg::R4, most as i32);
                let cond = self.dice.choose(&[Cond::Gt, Cond::Gt, Cond::Ne, Cond::Sgt]);
                self.branch(cond, width, idx, Operand::Reg(Reg::R4), out);
                if cond == Cond::Sgt {
                    self.branch(Cond::Slt, width, idx, Operand::Imm(0), out);
                }
            }
            9 => {
                // No bit above the highest of `most`.
                let mask = ((most as u64 + 2).next_power_of_two() >> 1) - 1;
                self.branch(Cond::Set, Width::W64, idx, Operand::Imm(!(mask as i32)), out);
            }
            10 => {
                self.branch(Cond::Eq, Width::W64, idx, Operand::Imm(0), out);
                self.alu(AluOp::Sub, idx, Operand::Imm(1));
                self.branch(Cond::Gt, Width::W64, idx, limit, out);
            }
            _ => {
                // By what it was added to: minimum and maximum differ.
                self.branch(Cond::Gt, Width::W64, idx, limit, out);
                self.branch(Cond::Lt, width, idx, Operand::Imm(self_low(most)), out);
            }
        }
        if width == Width::W32 && self.dice.percent(85) {
            // Upper bits, of which a 32-bit comparison says nothing.
            self.put(Insn::Alu {
                op: AluOp::Mov,
                width: Width::W32,
                dst: idx,
                src: Operand::Reg(idx),
            });
        }
    }

    /// What may stand between a guard and the access it makes safe: the index takes
    /// another register, or the stack.
    fn detour(&mut self, idx: Reg) -> Reg {
        // What is added in a detour may be the index itself.
        match self.dice.range(0, 6) {
            3 if self.careful => idx,
            0 => {
                let off = self.spill_slot();
                self.store(Size::DW, Reg::R10, off, Operand::Reg(idx));
                let back = self.dice.choose(&[Reg::R3, Reg::R4]);
                if self.dice.percent(50) {
                    self.set(idx, 0);
                }
                self.load(Size::DW, back, Reg::R10, off);
                self.features.spill = true;
                back
            }
            1 => {
                self.mov(Reg::R4, idx);
                Reg::R4
            }
            2 => {
                let imm = self.dice.choose(&[1, 2]);
                self.alu(AluOp::Lsh, idx, Operand::Imm(imm));
                self.alu(AluOp::Rsh, idx, Operand::Imm(imm));
                idx
            }
            3 => {
                let other = self.label();
                let value = self.imm();
                let cond = self.dice.choose(&CONDS);
                let number = self.number();
                self.branch(cond, Width::W64, number, Operand::Imm(value), other);
                if !self.is_loop_counter(number) {
                    self.alu(AluOp::Add, number, Operand::Imm(1));
                }
                self.place(other);
                idx
            }
            _ => idx,
        }
    }

    /// A slot for spilled registers: fp-8 to fp-96, aligned.
    fn spill_slot(&mut self) -> i16 {
        let slot = self.dice.range(0, 5) as usize;
        self.slots[slot] = Held::Nothing;
        -8 * (slot as i16 + 1)
    }

    /// An access at a variable offset that a branch makes safe.
    pub fn guarded_access(&mut self) {
        let out = self.label();
        let size = self.size();
        let bytes = i64::from(size.bytes());
        let from = self.number();
        let base = match self.dice.range(0, 9) {
            // Without CAP_PERFMON only map values may be accessed at variable offsets.
            4.. if self.careful => 0,
            any => any,
        };
        let (regs, slots) = (self.regs, self.slots);
        // The number itself, or a copy of it, is the index.
        let mut idx = from;
        if self.is_loop_counter(from) || self.dice.percent(60) {
            self.mov(Reg::R3, from);
            idx = Reg::R3;
        }
        match base {
            0..=3 => {
                let Some((value, room)) = self.value(out) else { return };
                // A look-up takes the scratch registers.
                if idx == Reg::R3 {
                    self.mov(Reg::R3, from);
                }
                let room = i64::from(room) - bytes + self.slack();
                self.guard(idx, room.max(0), out);
                let idx = self.detour(idx);
                self.mov(Reg::R2, value);
                self.alu(AluOp::Add, Reg::R2, Operand::Reg(idx));
                self.access(size, Reg::R2, 0);
            }
            4 | 5 if self.sees_packet() => {
                self.guard(idx, 128, out);
                let idx = self.detour(idx);
                self.packet_bounds(Reg::R1, Reg::R2);
                self.alu(AluOp::Add, Reg::R1, Operand::Reg(idx));
                self.mov(Reg::R0, Reg::R1);
                let room = self.dice.range(bytes, bytes + 8);
                let checked = room - self.slack();
                self.alu(AluOp::Add, Reg::R0, Operand::Imm(checked as i32));
                self.branch(Cond::Gt, Width::W64, Reg::R0, Operand::Reg(Reg::R2), out);
                let off = self.dice.range(0, room - bytes) as i16;
                self.access(size, Reg::R1, off);
            }
            6 | 7 => {
                // The stack, which must be written before.
                for slot in 6..10i16 {
                    self.store(Size::DW, Reg::R10, -8 * (slot + 1), Operand::Imm(0));
                    self.slots[slot as usize] = Held::Number;
                }
                let room = 32 - bytes + self.slack();
                self.guard(idx, room, out);
                let idx = self.detour(idx);
                self.alu(AluOp::Mov, Reg::R2, Operand::Reg(Reg::R10));
                self.alu(AluOp::Add, Reg::R2, Operand::Imm(-80));
                self.alu(AluOp::Add, Reg::R2, Operand::Reg(idx));
                if self.dice.percent(70) {
                    self.load(size, Reg::R0, Reg::R2, 0);
                } else {
                    self.store(size, Reg::R2, 0, Operand::Imm(7));
                }
            }
            _ => {
                // The value's address less what the index is below its most.
                let Some((value, room)) = self.value(out) else { return };
                if idx == Reg::R3 {
                    self.mov(Reg::R3, from);
                }
                let room = i64::from(room) - bytes + self.slack();
                self.guard(idx, room.max(0), out);
                self.mov(Reg::R2, value);
                self.alu(AluOp::Add, Reg::R2, Operand::Imm(room.max(0) as i32));
                self.alu(AluOp::Sub, Reg::R2, Operand::Reg(idx));
                self.access(size, Reg::R2, 0);
            }
        }
        self.features.guarded = true;
        self.place(out);
        self.merge(&regs, &slots);
    }

    /// A number that is read from a value's bytes, or written to them, one by one.
    fn byte_by_byte(&mut self) {
        let out = self.label();
        let (regs, slots) = (self.regs, self.slots);
        let Some((value, room)) = self.value(out) else { return };
        self.mov(Reg::R2, value);
        let bytes = self.dice.choose(&[2, 4, 8]);
        let at = self.dice.range(0, i64::from(room) - bytes);
        let (big, width) = (self.dice.percent(50), self.width());
        let number = self.number();
        let reads = self.dice.percent(60) && !self.is_loop_counter(number);
        self.mov(Reg::R4, number);
        self.set(Reg::R5, 0);
        for byte in 0..bytes {
            let off = (at + byte) as i16;
            let shift = Operand::Imm(8 * if big { bytes - 1 - byte } else { byte } as i32);
            if reads {
                self.load(Size::B, Reg::R3, Reg::R2, off);
                self.put(Insn::Alu { op: AluOp::Lsh, width: Width::W64, dst: Reg::R3, src: shift });
                let op = self.dice.choose(&[AluOp::Or, AluOp::Or, AluOp::Or, AluOp::Add]);
                self.put(Insn::Alu { op, width, dst: Reg::R5, src: Operand::Reg(Reg::R3) });
            } else {
                self.mov(Reg::R3, Reg::R4);
                self.alu(AluOp::Rsh, Reg::R3, shift);
                self.store(Size::B, Reg::R2, off, Operand::Reg(Reg::R3));
            }
        }
        if reads {
            self.mov(number, Reg::R5);
        }
        self.place(out);
        self.merge(&regs, &slots);
    }

    /// Numbers that one path links to each other, and another perhaps otherwise: a
    /// branch on one of them says something of the others, of which one is an index.
    fn linked(&mut self) {
        if self.loops > 0 || self.careful {
            return self.arithmetic();
        }
        let out = self.label();
        let (regs, slots) = (self.regs, self.slots);
        let Some((value, room)) = self.value(out) else { return };
        let size = self.size();
        let room = i64::from(room) - i64::from(size.bytes());
        let numbers = [Reg::R3, Reg::R4, Reg::R5];
        for reg in [Reg::R3, Reg::R5] {
            let from = self.number();
            self.mov(reg, from);
            if self.dice.percent(80) {
                // Without this a sum may wrap, and Linux does not follow it back.
                self.alu(AluOp::And, reg, Operand::Imm(0xff));
            }
        }
        let (otherwise, join) = (self.label(), self.label());
        let (cond, number, imm) = (self.dice.choose(&CONDS), self.number(), self.imm());
        self.branch(cond, Width::W64, number, Operand::Imm(imm), otherwise);
        let delta = self.dice.choose(&[0, 1, 1, 2, 4]);
        self.link(Reg::R3, delta);
        self.jump(join);
        self.place(otherwise);
        let (from, delta) = match self.dice.range(0, 5) {
            0 | 1 => (Reg::R5, delta),
            2 => (Reg::R3, delta + 1),
            _ => (Reg::R3, delta),
        };
        self.link(from, delta);
        self.place(join);
        for reg in [Reg::R0, Reg::R1, Reg::R2].into_iter().filter(|reg| *reg != value) {
            if self.dice.percent(30) {
                let from = self.dice.choose(&numbers);
                self.mov(reg, from);
            }
        }
        let asked = self.dice.choose(&[Reg::R3, Reg::R3, Reg::R4, Reg::R5]);
        let most = room - i64::from(delta) + self.slack();
        self.guard(asked, most.max(0), out);
        let index = self.dice.choose(&[Reg::R3, Reg::R4, Reg::R4]);
        self.mov(Reg::R2, value);
        self.alu(AluOp::Add, Reg::R2, Operand::Reg(index));
        self.access(size, Reg::R2, 0);
        self.features.guarded = true;
        self.place(out);
        self.merge(&regs, &slots);
    }

    /// Makes r4, and perhaps another number, what `from` is, and a little more.
    fn link(&mut self, from: Reg, delta: i32) {
        self.mov(Reg::R4, from);
        if self.dice.percent(25) {
            let twin = self.dice.choose(&[from, Reg::R4]);
            self.mov(Reg::R5, twin);
        }
        let width = self.width();
        for step in [delta / 2, delta - delta / 2].into_iter().filter(|step| *step != 0) {
            let src = Operand::Imm(step);
            self.put(Insn::Alu { op: AluOp::Add, width, dst: Reg::R4, src });
        }
        if self.dice.percent(15) {
            self.set(from, 3);
        }
    }

    /// Mostly nothing; sometimes a byte too much, where that is no matter.
    fn slack(&mut self) -> i64 {
        if !self.careful && self.dice.percent(2) { self.dice.range(1, 4) } else { 0 }
    }

    /// A load or a store.
    fn access(&mut self, size: Size, base: Reg, off: i16) {
        match self.dice.range(0, 3) {
            0 => {
                let number = self.number();
                self.store(size, base, off, Operand::Reg(number));
            }
            1 => {
                let imm = self.imm();
                self.store(size, base, off, Operand::Imm(imm));
            }
            _ => {
                let dst = self.dice.choose(&[Reg::R0, Reg::R5]);
                let signed = size != Size::DW && self.dice.percent(20);
                self.put(Insn::Load { size, signed, dst, base, off });
                self.hold(dst, Held::Number);
                // What was read may become a kept number: what it is then depends on the
                // way here, so only where it is one already.
                let kept = self.number();
                if !self.is_loop_counter(kept) && self.dice.percent(50) {
                    self.mov(kept, dst);
                }
            }
        }
    }

    /// A register with the address of a map value, and its size: one that is held, an
    /// array's by address, or a look-up (that leaves for `out` on null).
    fn value(&mut self, out: Label) -> Option<(Reg, i16)> {
        for reg in [Reg::R6, Reg::R7] {
            if let Held::Value(room) = self.held(reg)
                && self.dice.percent(60)
            {
                return Some((reg, room));
            }
        }
        let map = self.any_map();
        if map.direct && self.dice.percent(50) {
            let off = self.dice.range(0, 2) as u32 * 8;
            let imm = Imm64 { kind: ImmKind::MapValue, lo: map.fd as u32, hi: off };
            self.put(Insn::LoadImm64 { dst: Reg::R1, imm });
            let room = map.value - off as i16;
            self.hold(Reg::R1, Held::Value(room));
            return Some((Reg::R1, room));
        }
        self.look_up(map);
        self.branch(Cond::Eq, Width::W64, Reg::R0, Operand::Imm(0), out);
        self.hold(Reg::R0, Held::Value(map.value));
        Some((Reg::R0, map.value))
    }

    fn any_map(&mut self) -> MapPlace {
        self.dice.choose(self.maps)
    }

    /// `r0 = bpf_map_lookup_elem(map, key)`, with the key on the stack.
    fn look_up(&mut self, map: MapPlace) {
        self.key(map);
        self.map(Reg::R1, map);
        self.helper(id::MAP_LOOKUP_ELEM);
        self.hold(Reg::R0, Held::Nothing);
    }

    /// Writes a key, and its address into r2.
    fn key(&mut self, map: MapPlace) {
        let size = if map.key == 8 { Size::DW } else { Size::W };
        if self.dice.percent(50) {
            let imm = self.dice.range(0, 3) as i32;
            self.store(size, Reg::R10, -88, Operand::Imm(imm));
        } else {
            let number = self.number();
            self.store(size, Reg::R10, -88, Operand::Reg(number));
        }
        self.alu(AluOp::Mov, Reg::R2, Operand::Reg(Reg::R10));
        self.alu(AluOp::Add, Reg::R2, Operand::Imm(-88));
        self.hold(Reg::R2, Held::Nothing);
    }

    /// A look-up whose value is kept in r7, used, and dropped.
    fn map_value(&mut self) {
        if self.loops > 1 {
            return;
        }
        let out = self.label();
        let (regs, slots) = (self.regs, self.slots);
        let map = self.any_map();
        self.look_up(map);
        let is_null = self.dice.percent(80);
        if is_null {
            self.branch(Cond::Eq, Width::W64, Reg::R0, Operand::Imm(0), out);
        } else {
            let inside = self.label();
            self.branch(Cond::Ne, Width::W64, Reg::R0, Operand::Imm(0), inside);
            self.jump(out);
            self.place(inside);
        }
        self.hold(Reg::R0, Held::Value(map.value));
        self.mov(Reg::R7, Reg::R0);
        for _ in 0..self.dice.range(1, 3) {
            let size = self.size();
            let off = self.place_in(map.value, size) + self.slack() as i16;
            self.access(size, Reg::R7, off);
        }
        self.block(2);
        if self.dice.percent(70) {
            self.set(Reg::R7, 0);
        }
        self.place(out);
        self.merge(&regs, &slots);
        let imm = self.imm();
        self.set(Reg::R7, imm);
    }

    /// `start` and `end` of the packet.
    fn packet_bounds(&mut self, start: Reg, end: Reg) {
        let (data, data_end) = if self.kind == ProgType::Xdp { (0, 4) } else { (76, 80) };
        self.load(Size::W, start, Reg::R6, data);
        self.load(Size::W, end, Reg::R6, data_end);
        self.hold(start, Held::Nothing);
        self.hold(end, Held::Nothing);
    }

    /// Whether the packet can be reached.
    fn sees_packet(&self) -> bool {
        self.held(Reg::R6) == Held::Ctx && self.kind != ProgType::CgroupSkb
    }

    /// Accesses to the packet behind a check against its end.
    fn packet(&mut self) {
        if !self.sees_packet() {
            return self.arithmetic();
        }
        let out = self.label();
        let (regs, slots) = (self.regs, self.slots);
        let room = self.dice.range(1, 64);
        self.packet_bounds(Reg::R1, Reg::R2);
        self.alu(AluOp::Mov, Reg::R3, Operand::Reg(Reg::R1));
        let checked = room - self.slack();
        self.alu(AluOp::Add, Reg::R3, Operand::Imm(checked as i32));
        let (a, b) = (Reg::R3, Operand::Reg(Reg::R2));
        match self.dice.range(0, 4) {
            0 | 1 => self.branch(Cond::Gt, Width::W64, a, b, out),
            2 => self.branch(Cond::Lt, Width::W64, Reg::R2, Operand::Reg(Reg::R3), out),
            3 => {
                let inside = self.label();
                self.branch(Cond::Le, Width::W64, a, b, inside);
                self.jump(out);
                self.place(inside);
            }
            _ => {
                let inside = self.label();
                self.branch(Cond::Ge, Width::W64, Reg::R2, Operand::Reg(Reg::R3), inside);
                self.jump(out);
                self.place(inside);
            }
        }
        for _ in 0..self.dice.range(1, 3) {
            let size = self.size();
            if i64::from(size.bytes()) <= room {
                let off = self.dice.range(0, room - i64::from(size.bytes())) as i16;
                self.access(size, Reg::R1, off);
            }
        }
        self.place(out);
        self.merge(&regs, &slots);
    }

    /// A register goes through the stack.
    fn spill(&mut self) {
        let off = self.spill_slot();
        let reg = self.dice.choose(&[Reg::R7, Reg::R8, Reg::R6]);
        let held = self.held(reg);
        if held == Held::Nothing {
            return;
        }
        let size = match held {
            Held::Number => self.dice.choose(&[Size::DW, Size::DW, Size::W]),
            _ => Size::DW,
        };
        self.store(size, Reg::R10, off, Operand::Reg(reg));
        if self.dice.percent(40) {
            self.helper(id::GET_PRANDOM_U32);
        } else if held == Held::Number {
            let imm = self.imm();
            self.set(reg, imm);
        }
        let back = if held == Held::Number && self.dice.percent(30) {
            self.dice.choose(&[Reg::R7, Reg::R8])
        } else {
            reg
        };
        let smaller = held == Held::Number && self.dice.percent(15);
        let size = if smaller { self.dice.choose(&[Size::B, Size::H, Size::W]) } else { size };
        self.load(size, back, Reg::R10, off);
        self.hold(back, held);
        self.features.spill = true;
    }

    /// A loop that counts r9.
    fn repeat(&mut self) {
        if self.loops > 0 {
            return self.arithmetic();
        }
        let (regs, slots) = (self.regs, self.slots);
        let out = self.label();
        let step = self.dice.range(1, 3);
        let most = self.dice.range(1, 12) * step;
        let by_number = self.dice.percent(25);
        self.set(Reg::R9, 0);
        if by_number {
            // As often as a number says, which a branch bounds.
            let number = self.dice.choose(&[Reg::R7, Reg::R8]);
            if self.held(number) != Held::Number {
                self.set(number, 5);
            }
            self.store(Size::DW, Reg::R10, -96, Operand::Reg(number));
            self.branch(Cond::Gt, Width::W64, number, Operand::Imm(most as i32), out);
        }
        self.loops += 1;
        let entry = (self.regs, self.slots);
        let top = self.here();
        let tests_first = self.dice.percent(40);
        if tests_first {
            self.branch(Cond::Ge, Width::W64, Reg::R9, Operand::Imm(most as i32), out);
        }
        self.block(2);
        // What the body changed is not what the next round would find.
        self.restore(&entry.0);
        self.alu(AluOp::Add, Reg::R9, Operand::Imm(step as i32));
        if tests_first {
            self.jump(top);
        } else if by_number {
            self.load(Size::DW, Reg::R3, Reg::R10, -96);
            self.branch(Cond::Lt, Width::W64, Reg::R9, Operand::Reg(Reg::R3), top);
        } else {
            let cond = self.dice.choose(&[Cond::Lt, Cond::Lt, Cond::Ne, Cond::Slt]);
            let width = self.width();
            self.branch(cond, width, Reg::R9, Operand::Imm(most as i32), top);
        }
        self.loops -= 1;
        self.features.loops = true;
        self.place(out);
        self.merge(&regs, &slots);
        self.hold(Reg::R9, Held::Number);
    }

    /// Makes the kept registers hold again what they did.
    fn restore(&mut self, regs: &[Held; 11]) {
        for reg in [Reg::R7, Reg::R8] {
            let before = regs[usize::from(reg.number())];
            if before == Held::Number && self.held(reg) != Held::Number {
                let imm = self.imm();
                self.set(reg, imm);
            }
        }
    }

    /// A call of another function of the program.
    fn call(&mut self) {
        if self.callees.is_empty() {
            return self.arithmetic();
        }
        let at = self.dice.range(0, self.callees.len() as i64 - 1) as usize;
        let (function, arguments) = self.callees[at].clone();
        let out = self.label();
        let (regs, slots) = (self.regs, self.slots);
        for (index, argument) in arguments.iter().enumerate() {
            let reg = Reg::ALL[index + 1];
            match *argument {
                Held::Ctx if self.held(Reg::R6) == Held::Ctx => self.mov(reg, Reg::R6),
                Held::Stack(room) => {
                    for slot in 0..room / 8 {
                        let number = self.number();
                        self.store(Size::DW, Reg::R10, -80 + 8 * slot, Operand::Reg(number));
                    }
                    self.alu(AluOp::Mov, reg, Operand::Reg(Reg::R10));
                    self.alu(AluOp::Add, reg, Operand::Imm(-80));
                }
                Held::Value(_) => {
                    // First of the arguments, so that the look-up spoils nothing.
                    let map = self.maps[0];
                    let imm = Imm64 { kind: ImmKind::MapValue, lo: map.fd as u32, hi: 0 };
                    self.put(Insn::LoadImm64 { dst: reg, imm });
                }
                _ => {
                    let number = self.number();
                    self.mov(reg, number);
                }
            }
        }
        self.calls.push((self.insns.len(), function));
        self.put(Insn::Call(Callee::Local(0)));
        self.clobber();
        self.features.call = true;
        let kept = self.number();
        if !self.is_loop_counter(kept) {
            self.mov(kept, Reg::R0);
        }
        self.place(out);
        self.merge(&regs, &slots);
    }

    /// A choice between two blocks.
    fn choice(&mut self) {
        let (other, out) = (self.label(), self.label());
        let dst = self.number();
        let (cond, width) = (self.dice.choose(&CONDS), self.width());
        let src = if self.dice.percent(30) {
            Operand::Reg(self.number())
        } else {
            Operand::Imm(self.imm())
        };
        self.branch(cond, width, dst, src, other);
        let before = (self.regs, self.slots);
        self.block(2);
        let after = (self.regs, self.slots);
        (self.regs, self.slots) = before;
        if self.dice.percent(50) {
            self.jump(out);
            self.place(other);
            self.block(2);
        } else {
            self.place(other);
        }
        self.place(out);
        self.merge(&after.0, &after.1);
    }

    /// A helper that takes memory, of fixed or variable size.
    fn helper_with_memory(&mut self) {
        let out = self.label();
        let (regs, slots) = (self.regs, self.slots);
        match self.dice.range(0, 3) {
            0 => {
                let map = self.any_map();
                self.key(map);
                if self.dice.percent(50) {
                    for slot in 0..map.value / 8 {
                        self.store(Size::DW, Reg::R10, -192 + 8 * slot, Operand::Imm(1));
                    }
                    self.alu(AluOp::Mov, Reg::R3, Operand::Reg(Reg::R10));
                    self.alu(AluOp::Add, Reg::R3, Operand::Imm(-192));
                    self.set(Reg::R4, 0);
                    self.map(Reg::R1, map);
                    self.helper(id::MAP_UPDATE_ELEM);
                } else {
                    self.map(Reg::R1, map);
                    self.helper(id::MAP_DELETE_ELEM);
                }
            }
            1 | 2 if self.held(Reg::R6) == Held::Ctx && self.kind != ProgType::Xdp => {
                // bpf_skb_load_bytes(ctx, offset, to, len)
                let len = self.number();
                self.mov(Reg::R4, len);
                let most = 32 + self.slack();
                self.guard(Reg::R4, most, out);
                if self.careful || self.dice.percent(80) {
                    self.branch(Cond::Eq, Width::W64, Reg::R4, Operand::Imm(0), out);
                }
                self.mov(Reg::R1, Reg::R6);
                self.set(Reg::R2, 0);
                self.alu(AluOp::Mov, Reg::R3, Operand::Reg(Reg::R10));
                self.alu(AluOp::Add, Reg::R3, Operand::Imm(-128));
                self.helper(id::SKB_LOAD_BYTES);
            }
            _ if self.careful && self.kind == ProgType::CgroupSkb => self.arithmetic(),
            _ => {
                // bpf_csum_diff(from, from_size, to, to_size, seed)
                for slot in 0..4 {
                    self.store(Size::DW, Reg::R10, -128 + 8 * slot, Operand::Imm(3));
                }
                self.alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R10));
                self.alu(AluOp::Add, Reg::R1, Operand::Imm(-128));
                let number = self.number();
                self.mov(Reg::R2, number);
                self.alu(AluOp::And, Reg::R2, Operand::Imm(28));
                self.set(Reg::R3, 0);
                self.set(Reg::R4, 0);
                self.set(Reg::R5, 0);
                self.helper(id::CSUM_DIFF);
            }
        }
        self.place(out);
        self.merge(&regs, &slots);
    }

    /// An atomic on the stack or on an array.
    fn atomic(&mut self) {
        let op = self.dice.choose(&[
            AtomicOp::Add { fetch: false },
            AtomicOp::Add { fetch: true },
            AtomicOp::Or { fetch: true },
            AtomicOp::And { fetch: false },
            AtomicOp::Xor { fetch: true },
            AtomicOp::Xchg,
            AtomicOp::Cmpxchg,
        ]);
        let size = self.dice.choose(&[Size::W, Size::DW]);
        let number = self.number();
        self.mov(Reg::R3, number);
        self.set(Reg::R0, 0);
        if self.dice.percent(50) {
            let imm = Imm64 { kind: ImmKind::MapValue, lo: self.maps[0].fd as u32, hi: 0 };
            self.put(Insn::LoadImm64 { dst: Reg::R2, imm });
            self.put(Insn::Atomic { op, size, base: Reg::R2, off: 8, src: Reg::R3 });
        } else {
            self.store(Size::DW, Reg::R10, -104, Operand::Imm(1));
            self.put(Insn::Atomic { op, size, base: Reg::R10, off: -104, src: Reg::R3 });
        }
        self.hold(Reg::R2, Held::Nothing);
        if !self.is_loop_counter(number) && self.dice.percent(50) {
            self.mov(number, Reg::R3);
        }
    }

    /// Leaves the function on some condition.
    fn early_exit(&mut self) {
        let on = self.label();
        let number = self.number();
        let cond = self.dice.choose(&CONDS);
        let imm = self.imm();
        self.branch(cond, Width::W64, number, Operand::Imm(imm), on);
        self.alu(AluOp::Mov, Reg::R0, Operand::Imm(1));
        self.put(Insn::Exit);
        self.place(on);
    }

    /// What only some may do with pointers: compare them, subtract them, show them.
    fn pointers(&mut self) {
        if self.careful {
            return self.arithmetic();
        }
        let (regs, slots) = (self.regs, self.slots);
        let on = self.label();
        match self.dice.range(0, 4) {
            0 => {
                self.alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R10));
                self.branch(Cond::Eq, Width::W64, Reg::R1, Operand::Imm(0), on);
            }
            1 => {
                self.alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R10));
                self.alu(AluOp::Sub, Reg::R1, Operand::Reg(Reg::R10));
            }
            2 => {
                let imm = Imm64 { kind: ImmKind::MapValue, lo: self.maps[0].fd as u32, hi: 0 };
                self.put(Insn::LoadImm64 { dst: Reg::R2, imm });
                self.store(Size::DW, Reg::R2, 0, Operand::Reg(Reg::R10));
            }
            3 => {
                // Bytes that nobody wrote.
                self.load(Size::DW, Reg::R1, Reg::R10, -248);
            }
            _ => {
                self.alu(AluOp::Mov, Reg::R1, Operand::Reg(Reg::R10));
                let op = self.dice.choose(&AluOp::ALL);
                self.alu(op, Reg::R1, Operand::Imm(8));
            }
        }
        self.place(on);
        self.merge(&regs, &slots);
        self.hold(Reg::R1, Held::Nothing);
        self.hold(Reg::R2, Held::Nothing);
    }

    /// What is held where this path and another meet.
    fn merge(&mut self, regs: &[Held; 11], slots: &[Held; 12]) {
        let meet = |here: &mut Held, there: &Held| {
            if here != there {
                *here = Held::Nothing;
            }
        };
        self.regs.iter_mut().zip(regs).for_each(|(here, there)| meet(here, there));
        self.slots.iter_mut().zip(slots).for_each(|(here, there)| meet(here, there));
    }
}

/// A lower bound below `most`.
fn self_low(most: i64) -> i32 {
    (most / 2) as i32
}
