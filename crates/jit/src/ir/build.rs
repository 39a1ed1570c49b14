//! From instructions to SSA: each function's blocks, with registers as values.
//!
//! A block that more than one edge leads to takes the registers that are live there
//! as parameters; any other inherits them. Registers that nothing was written to are
//! 0. The number of times that `may_goto` lets a loop go on is one more register.

use skep_isa::{AluOp, Callee, ImmKind, Insn, Operand, Order, Pc, Reg, Size, Width, movsx};

use skep_verify::{Edges, Region};

use super::{Bin, Blk, Block, Edge, Exit, Func, Module, Op, Term, Val};
use crate::describe::{ByteOrder, Callees, Inline, JitError, KFUNCS, Source};
use crate::state::CELLS;

/// Registers and the counter of `may_goto`; r10 never changes.
const REGS: usize = 12;
const FRAME_POINTER: usize = 10;
const MAY_GOTO: usize = 11;

/// Instructions of all functions together, in multiples of the program's: functions
/// that share code are built once for each.
const SHARING: usize = 4;

/// Times that a `may_goto` lets a loop go on (`BPF_MAX_LOOPS`).
const MAY_GOTO_LIMIT: u64 = 8 * 1024 * 1024;

/// Builds the program and the subprograms that it calls. With `budget`, backward
/// jumps and calls spend from it.
///
/// # Errors
/// An instruction that is not compiled, or code shared between too many functions.
pub fn build(source: Source<'_>, budget: bool) -> Result<Module, JitError> {
    let insns = source.insns;
    let mut builder = Builder {
        source,
        insns,
        budget,
        changes_context: changes_context(source),
        starts: vec![None; insns.len()],
        seen: vec![false; insns.len()],
        funcs: vec![None; insns.len()],
        // The program itself; who calls its first slot calls a function of its own.
        entries: vec![0],
        callbacks: Vec::new(),
        cells: Vec::new(),
        constants: constants(source),
    };
    for &entry in source.called.iter().filter(|entry| (**entry as usize) < insns.len()) {
        builder.callback(entry);
    }
    let (mut funcs, mut total) = (Vec::new(), 0);
    while let Some(&entry) = builder.entries.get(funcs.len()) {
        let plan = builder.plan(entry)?;
        total += plan.insns;
        if total > SHARING * insns.len().max(1024) {
            return Err(JitError::TooLarge { what: "instructions of all functions" });
        }
        funcs.push(builder.fill(entry, &plan, !funcs.is_empty())?);
        builder.forget(&plan);
    }
    let cells = in_order(builder.cells, &mut funcs);
    Ok(Module { funcs, callbacks: builder.callbacks, cells })
}

/// Cells by the offsets of their fields: programs that call each other often load the same
/// ones, and need not have them filled again then.
fn in_order(mut cells: Vec<(u32, Size)>, funcs: &mut [Func]) -> Vec<(u32, Size)> {
    let before = cells.clone();
    cells.sort_by_key(|&(off, size)| (off, size.bytes()));
    for op in funcs.iter_mut().flat_map(|func| &mut func.ops) {
        if let Op::Context { cell, .. } = op
            && let Some(at) = cells.iter().position(|&field| field == before[usize::from(*cell)])
        {
            *cell = at as u16;
        }
    }
    cells
}

/// Values of maps that nobody can ever change, with their addresses.
fn constants(source: Source<'_>) -> Vec<(u64, Vec<u8>)> {
    let all = source.maps.iter().filter_map(|map| Some((map.direct?.start, map.constant.clone()?)));
    all.collect()
}

/// Whether something in the program may change what a load of the context gives.
fn changes_context(source: Source<'_>) -> bool {
    source.insns.iter().zip(0..).any(|(insn, pc)| match *insn {
        Insn::Call(Callee::Helper(id)) => (source.callees)(id).changes_context,
        Insn::Store { .. } | Insn::StoreRelease { .. } | Insn::Atomic { .. } => {
            source.facts.is_some_and(|facts| facts.at(pc).region == Region::Context)
        }
        _ => false,
    })
}

pub(super) struct Builder<'i> {
    pub(super) source: Source<'i>,
    insns: &'i [Insn],
    pub(super) budget: bool,
    /// Whether cells of the context do not keep their values.
    changes_context: bool,
    /// The block that starts at a slot, in the function at hand.
    starts: Vec<Option<Blk>>,
    /// Slots that were seen in the function at hand.
    seen: Vec<bool>,
    /// The function that starts at a slot.
    funcs: Vec<Option<u32>>,
    entries: Vec<Pc>,
    callbacks: Vec<(Pc, u32)>,
    cells: Vec<(u32, Size)>,
    /// Values of maps that never change, with their addresses.
    constants: Vec<(u64, Vec<u8>)>,
}

/// The blocks of a function before they are filled. Block 0 is the entry, which only
/// jumps to the block of the first slot.
pub(super) struct Plan {
    /// First slot of each block from 1 on; slots outside of the program trap.
    first: Vec<i64>,
    /// Registers that each block reads before it writes them, or passes on.
    live: Vec<u16>,
    /// Edges that lead to each block.
    incoming: Vec<u32>,
    insns: usize,
}

impl Builder<'_> {
    /// The number of the function that starts at a slot, which exists.
    pub(super) fn function(&mut self, entry: Pc) -> u32 {
        let entries = &mut self.entries;
        *self.funcs[entry as usize].get_or_insert_with(|| {
            entries.push(entry);
            entries.len() as u32 - 1
        })
    }

    /// The function that a slot starts becomes one that are called back.
    fn callback(&mut self, entry: Pc) {
        if self.callbacks.iter().all(|&(known, _)| known != entry) {
            let func = self.function(entry);
            self.callbacks.push((entry, func));
        }
    }

    /// The number of a function that is one that are called back.
    pub(super) fn known_callback(&self, entry: u64) -> Option<u32> {
        let known = self.callbacks.iter().find(|&&(pc, _)| u64::from(pc) == entry);
        known.map(|&(_, func)| func)
    }

    /// The cell of a field of the context.
    fn cell(&mut self, off: i32, size: Size) -> Option<u16> {
        let field = (u32::try_from(off).ok()?, size);
        let known = self.cells.iter().position(|&known| known == field);
        let at = known.unwrap_or(self.cells.len());
        if known.is_none() && at < CELLS {
            self.cells.push(field);
        }
        (at < CELLS).then_some(at as u16)
    }

    /// What the verifier knows of a place that it reached; all that may be, without it.
    fn is_reached(&self, pc: Pc) -> bool {
        self.source.facts.is_none_or(|facts| facts.at(pc).reached)
    }

    pub(super) fn edges(&self, pc: Pc) -> Edges {
        let both = Edges { falls: true, jumps: true };
        self.source.facts.map_or(both, |facts| facts.at(pc).edges)
    }

    /// The number at an address, if it can never change.
    fn constant_at(&self, address: u64, size: Size) -> Option<u64> {
        self.constants.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            let found = bytes.get(at..at.checked_add(size.bytes() as usize)?)?;
            let mut word = [0; 8];
            Some(match self.source.bytes {
                ByteOrder::Little => {
                    word[..found.len()].copy_from_slice(found);
                    u64::from_le_bytes(word)
                }
                ByteOrder::Big => {
                    word[8 - found.len()..].copy_from_slice(found);
                    u64::from_be_bytes(word)
                }
            })
        })
    }

    fn is_context(&self, pc: Pc) -> bool {
        self.source.facts.is_some_and(|facts| facts.at(pc).region == Region::Context)
    }

    pub(super) fn insn(&self, pc: i64) -> Option<&Insn> {
        usize::try_from(pc).ok().and_then(|pc| self.insns.get(pc))
    }

    /// Finds the blocks of a function, the registers live at their starts, and how
    /// many edges lead to each.
    fn plan(&mut self, entry: Pc) -> Result<Plan, JitError> {
        let mut plan = Plan { first: vec![-1], live: Vec::new(), incoming: Vec::new(), insns: 0 };
        let mut outside = Vec::new();
        self.start(&mut plan, &mut outside, entry.into());
        let mut next = 1;
        // Which slots start blocks is known only after all were seen, so first mark.
        let mut work = vec![i64::from(entry)];
        while let Some(mut pc) = work.pop() {
            while let Some(&insn) = self.insn(pc) {
                if std::mem::replace(&mut self.seen[pc as usize], true) {
                    break;
                }
                plan.insns += 1;
                let after = pc + i64::from(insn.slots());
                if let Some(off) = insn.jump() {
                    let target = pc + 1 + i64::from(off);
                    self.start(&mut plan, &mut outside, target);
                    work.push(target);
                    if insn.falls_through() {
                        self.start(&mut plan, &mut outside, after);
                    }
                } else if self.goes_on(insn) || insn.falls_through() && self.insn(after).is_none() {
                    self.start(&mut plan, &mut outside, after);
                }
                if !insn.falls_through() || matches!(insn, Insn::Hole) {
                    break;
                }
                pc = after;
            }
        }
        let count = plan.first.len();
        (plan.live, plan.incoming) = (vec![0; count], vec![0; count]);
        plan.incoming[1] = 1;
        // Backwards, since most edges lead forward: few rounds until nothing changes.
        let mut blocks: Vec<usize> = (1..count).collect();
        blocks.sort_by_key(|&blk| std::cmp::Reverse(plan.first[blk]));
        let mut summaries = vec![Summary::default(); count];
        while next < count {
            summaries[next] = self.summary(&plan, next);
            for to in summaries[next].to.into_iter().flatten() {
                plan.incoming[to.at()] += 1;
            }
            next += 1;
        }
        let mut changed = true;
        while changed {
            changed = false;
            for &blk in &blocks {
                let summary = &summaries[blk];
                let out = summary.to.iter().flatten().fold(0, |out, to| out | plan.live[to.at()]);
                let live = summary.reads | out & !summary.writes;
                changed |= live != plan.live[blk];
                plan.live[blk] = live;
            }
        }
        Ok(plan)
    }

    /// Whether an instruction is a tail call.
    fn goes_on(&self, insn: Insn) -> bool {
        match insn {
            Insn::Call(Callee::Helper(id)) => {
                matches!((self.source.callees)(id).inline, Some(Inline::TailCall))
            }
            _ => false,
        }
    }

    /// Lets a block start at a slot.
    fn start(&mut self, plan: &mut Plan, outside: &mut Vec<i64>, pc: i64) {
        let blk = Blk(plan.first.len() as u32);
        match usize::try_from(pc).ok().and_then(|pc| self.starts.get_mut(pc)) {
            Some(Some(_)) => {}
            Some(free) => {
                *free = Some(blk);
                plan.first.push(pc);
            }
            None if outside.contains(&pc) => {}
            None if outside.len() < 64 => {
                outside.push(pc);
                plan.first.push(pc);
            }
            None => {}
        }
    }

    pub(super) fn block_at(&self, plan: &Plan, pc: i64) -> Option<Blk> {
        match usize::try_from(pc).ok().and_then(|pc| self.starts.get(pc)) {
            Some(known) => *known,
            None => {
                let outside = plan.first.iter().position(|&first| first == pc);
                outside.map(|at| Blk(at as u32))
            }
        }
    }

    fn forget(&mut self, plan: &Plan) {
        for &first in &plan.first {
            if let Ok(pc) = usize::try_from(first)
                && pc < self.starts.len()
            {
                self.starts[pc] = None;
            }
        }
        self.seen.fill(false);
    }

    /// What a block reads, writes, and where it leads to.
    fn summary(&self, plan: &Plan, blk: usize) -> Summary {
        let mut summary = Summary::default();
        let mut pc = plan.first[blk];
        while let Some(&insn) = self.insn(pc) {
            let (reads, writes) = registers(insn, self.source.callees);
            summary.reads |= reads & !summary.writes;
            summary.writes |= writes;
            let after = pc + i64::from(insn.slots());
            if let Some(off) = insn.jump() {
                summary.to[0] = self.block_at(plan, pc + 1 + i64::from(off));
                if insn.falls_through() {
                    summary.to[1] = self.block_at(plan, after);
                }
                break;
            }
            if !insn.falls_through() || matches!(insn, Insn::Hole) {
                break;
            }
            pc = after;
            if let Some(next) = self.block_at(plan, pc) {
                summary.to[0] = Some(next);
                break;
            }
        }
        summary
    }

    fn fill(&mut self, entry: Pc, plan: &Plan, is_subprogram: bool) -> Result<Func, JitError> {
        let count = plan.first.len();
        let empty = Block { params: vec![], insts: vec![], term: Term::Trap(Exit::BadJump, entry) };
        let mut func = Func {
            ops: Vec::with_capacity(plan.insns * 2),
            pcs: Vec::with_capacity(plan.insns * 2),
            blocks: vec![empty; count],
            order: Vec::new(),
            frames: 1,
            bytes: self.source.bytes,
            callees: self.source.callees,
        };
        let zero = func.push(Op::Const(0), entry);
        let mut regs = [zero; REGS];
        for reg in &mut regs[1..=5] {
            *reg = func.push(Op::Param, entry);
            func.blocks[0].params.push(*reg);
        }
        regs[FRAME_POINTER] = func.push(Op::Frame(0), entry);
        func.blocks[0].insts.push(regs[FRAME_POINTER]);
        regs[MAY_GOTO] = func.push(Op::Const(MAY_GOTO_LIMIT), entry);
        // Depth first: a block is filled after one that leads to it.
        let mut states: Vec<Option<[Val; REGS]>> = vec![None; count];
        let first = Blk(1);
        let edge = enter(&mut func, plan, first, &regs, &mut states);
        func.blocks[0].term = Term::Jump(edge);
        let mut filled = vec![false; count];
        let mut work = vec![first];
        while let Some(blk) = work.pop() {
            if std::mem::replace(&mut filled[blk.at()], true) {
                continue;
            }
            let Some(regs) = states[blk.at()] else { continue };
            let (func, states) = (&mut func, &mut states);
            let mut filler = Filler { builder: self, plan, func, states, regs, blk, is_subprogram };
            filler.block()?;
            let from = work.len();
            // Blocks that are none of the plan's stand between.
            let mut between = vec![blk];
            let mut at = 0;
            while let Some(&blk) = between.get(at) {
                at += 1;
                for edge in func.blocks[blk.at()].term.edges() {
                    match edge.to.at() < count {
                        true => work.push(edge.to),
                        false if between.contains(&edge.to) => {}
                        false => between.push(edge.to),
                    }
                }
            }
            work[from..].reverse();
        }
        func.compute_order();
        Ok(func)
    }
}

#[derive(Clone, Default)]
struct Summary {
    reads: u16,
    writes: u16,
    to: [Option<Blk>; 2],
}

/// The number of the kernel's function that an instruction calls.
fn number(insn: Insn) -> Option<u32> {
    match insn {
        Insn::Call(Callee::Helper(id)) => Some(id),
        Insn::Call(Callee::Kfunc { btf_id, .. }) => Some(KFUNCS.saturating_add(btf_id as u32)),
        _ => None,
    }
}

/// Registers that an instruction reads and writes, as masks.
fn registers(insn: Insn, callees: Callees) -> (u16, u16) {
    let one = |reg: Reg| 1u16 << reg.number();
    let operand = |operand: Operand| match operand {
        Operand::Reg(reg) => one(reg),
        Operand::Imm(_) => 0,
    };
    let arguments = 0b11_1110;
    let (reads, writes) = match insn {
        Insn::Alu { op: AluOp::Mov, dst, src, .. } => (operand(src), one(dst)),
        Insn::Alu { dst, src, .. } => (one(dst) | operand(src), one(dst)),
        Insn::MovSx { dst, src, .. } | Insn::AddrSpaceCast { dst, src, .. } => (one(src), one(dst)),
        Insn::Neg { dst, .. } | Insn::ByteSwap { dst, .. } => (one(dst), one(dst)),
        Insn::LoadImm64 { dst, .. } => (0, one(dst)),
        Insn::LoadAbs { .. } => (1 << 6, arguments | 1),
        Insn::LoadInd { src, .. } => (1 << 6 | one(src), arguments | 1),
        Insn::Load { dst, base, .. } | Insn::LoadAcquire { dst, base, .. } => (one(base), one(dst)),
        Insn::Store { base, src, .. } => (one(base) | operand(src), 0),
        Insn::StoreRelease { base, src, .. } => (one(base) | one(src), 0),
        // Whether it writes src or r0 does not matter: both are read.
        Insn::Atomic { base, src, .. } => (one(base) | one(src) | 1, 0),
        Insn::Branch { dst, src, .. } => (one(dst) | operand(src), 0),
        Insn::MayGoto { .. } => (1 << MAY_GOTO, 1 << MAY_GOTO),
        Insn::Call(Callee::Register(reg)) => (arguments | one(reg), arguments | 1),
        Insn::Call(Callee::Helper(_) | Callee::Kfunc { .. }) => {
            let callee = callees(number(insn).unwrap_or(u32::MAX));
            let read = arguments & ((1 << (callee.words + 1)) - 1);
            match callee.inline {
                // A tail call without a target leaves r0 as it was.
                Some(Inline::TailCall) => (read, arguments),
                _ => (read, arguments | 1),
            }
        }
        Insn::Call(_) => (arguments, arguments | 1),
        Insn::Exit => (1, 0),
        Insn::Hole | Insn::Ja { .. } | Insn::Gotol { .. } => (0, 0),
    };
    (reads & !(1 << FRAME_POINTER), writes)
}

/// Makes an edge to a block: gives it its parameters at the first visit.
fn enter(
    func: &mut Func,
    plan: &Plan,
    to: Blk,
    regs: &[Val; REGS],
    states: &mut [Option<[Val; REGS]>],
) -> Edge {
    if plan.incoming[to.at()] < 2 {
        states[to.at()] = Some(*regs);
        return Edge { to, args: Vec::new() };
    }
    let live = (0..REGS).filter(|&reg| plan.live[to.at()] >> reg & 1 == 1);
    if states[to.at()].is_none() {
        let mut inside = [func.zero(); REGS];
        inside[FRAME_POINTER] = regs[FRAME_POINTER];
        for reg in live.clone() {
            inside[reg] = func.push(Op::Param, plan.first[to.at()].max(0) as Pc);
            func.blocks[to.at()].params.push(inside[reg]);
        }
        states[to.at()] = Some(inside);
    }
    Edge { to, args: live.map(|reg| regs[reg]).collect() }
}

impl Func {
    /// The constant 0, which a function is built with first.
    pub fn zero(&self) -> Val {
        Val(0)
    }
}

pub(super) struct Filler<'f, 'i> {
    pub(super) builder: &'f mut Builder<'i>,
    pub(super) plan: &'f Plan,
    pub(super) func: &'f mut Func,
    states: &'f mut [Option<[Val; REGS]>],
    pub(super) regs: [Val; REGS],
    pub(super) blk: Blk,
    pub(super) is_subprogram: bool,
}

impl Filler<'_, '_> {
    fn block(&mut self) -> Result<(), JitError> {
        let mut pc = self.plan.first[self.blk.at()];
        let term = loop {
            let Some(&insn) = self.builder.insn(pc) else {
                break Term::Trap(Exit::BadJump, pc.max(0) as Pc);
            };
            if let Some(term) = self.insn(pc as Pc, insn)? {
                break term;
            }
            pc += i64::from(insn.slots());
            if let Some(next) = self.builder.block_at(self.plan, pc) {
                break Term::Jump(self.edge(next));
            }
        };
        self.func.blocks[self.blk.at()].term = term;
        Ok(())
    }

    fn edge(&mut self, to: Blk) -> Edge {
        enter(self.func, self.plan, to, &self.regs, self.states)
    }

    pub(super) fn target(&mut self, pc: Pc, off: i32) -> Edge {
        let target = i64::from(pc) + 1 + i64::from(off);
        match self.builder.block_at(self.plan, target) {
            Some(to) => self.edge(to),
            // One of too many slots outside of the program.
            None => {
                let term = Term::Trap(Exit::BadJump, pc);
                self.func.blocks.push(Block { params: vec![], insts: vec![], term });
                Edge { to: Blk(self.func.blocks.len() as u32 - 1), args: vec![] }
            }
        }
    }

    /// The edge of a jump; a backward one spends its length.
    pub(super) fn jump(&mut self, pc: Pc, off: i32) -> Edge {
        let edge = self.target(pc, off);
        if off >= 0 || !self.builder.budget {
            return edge;
        }
        let spend = self.func.push(Op::Spend(off.unsigned_abs()), pc);
        self.func.blocks.push(Block { params: vec![], insts: vec![spend], term: Term::Jump(edge) });
        Edge { to: Blk(self.func.blocks.len() as u32 - 1), args: vec![] }
    }

    pub(super) fn emit(&mut self, pc: Pc, op: Op) -> Val {
        let val = self.func.push(op, pc);
        self.func.blocks[self.blk.at()].insts.push(val);
        val
    }

    pub(super) fn constant(&mut self, pc: Pc, number: u64) -> Val {
        self.func.push(Op::Const(number), pc)
    }

    fn get(&self, reg: Reg) -> Val {
        self.regs[reg.number() as usize]
    }

    fn set(&mut self, reg: Reg, val: Val) {
        self.regs[reg.number() as usize] = val;
    }

    pub(super) fn operand(&mut self, pc: Pc, operand: Operand) -> Val {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => self.constant(pc, imm as i64 as u64),
        }
    }

    fn truncate(&mut self, pc: Pc, of: Val) -> Val {
        match self.func.number(of) {
            Some(number) => self.constant(pc, number & 0xffff_ffff),
            None => self.emit(pc, Op::Ext { bits: 32, signed: false, of }),
        }
    }

    /// What a load gives, where it is of memory that never changes.
    fn known(&self, base: Reg, off: i16, size: Size) -> Option<u64> {
        let base = self.func.number(self.get(base))?;
        self.builder.constant_at(base.wrapping_add_signed(off.into()), size)
    }

    /// After a call: r0 is its result, r1 to r5 are gone.
    pub(super) fn returned(&mut self, result: Val) {
        self.set(Reg::R0, result);
        let zero = self.func.zero();
        self.regs[1..=5].fill(zero);
    }

    fn legacy(&mut self, pc: Pc, size: Size, at: Val) {
        let result = self.emit(pc, Op::Legacy { size, at });
        self.returned(result);
    }

    /// A load from the context, of code that knows that it is one.
    fn context(&mut self, pc: Pc, size: Size, off: i16) -> Result<Val, JitError> {
        let cell = self.builder.cell(off.into(), size);
        let cell = cell.ok_or(JitError::TooLarge { what: "fields of the context" })?;
        let fixed = !self.builder.changes_context;
        Ok(self.emit(pc, Op::Context { cell, fixed }))
    }

    /// The number that an immediate of 64 bits stands for.
    fn imm64(&mut self, pc: Pc, imm: skep_isa::Imm64) -> Option<u64> {
        let source = self.builder.source;
        Some(match imm.kind {
            ImmKind::Const => imm.value(),
            ImmKind::MapIdx => source.maps.get(imm.lo as usize)?.word,
            ImmKind::MapIdxValue => {
                let value = source.maps.get(imm.lo as usize)?.direct?;
                value.start.wrapping_add(imm.hi.into())
            }
            ImmKind::Func => {
                let target = i64::from(pc) + 1 + i64::from(imm.lo as i32);
                let entry = u64::try_from(target).ok()?;
                // One outside of the program is a number until it is called.
                if self.builder.insn(target).is_some() {
                    self.builder.callback(target as Pc);
                }
                entry
            }
            ImmKind::MapFd | ImmKind::MapValue | ImmKind::BtfId => return None,
        })
    }

    /// Translates an instruction; gives the block's end where it ends one.
    fn insn(&mut self, pc: Pc, insn: Insn) -> Result<Option<Term>, JitError> {
        if !self.builder.is_reached(pc) {
            return Ok(Some(Term::Trap(Exit::BadInstruction, pc)));
        }
        let fetched = matches!(insn, Insn::Atomic { src: Reg::R10, .. });
        if fetched || registers(insn, self.builder.source.callees).1 >> FRAME_POINTER & 1 == 1 {
            return Err(JitError::Unsupported { pc, what: "writes to r10" });
        }
        match insn {
            Insn::Alu { op, width, dst, src } => {
                let right = self.operand(pc, src);
                let op = match op {
                    AluOp::Mov => {
                        let val = match width {
                            Width::W64 => right,
                            Width::W32 => self.truncate(pc, right),
                        };
                        self.set(dst, val);
                        return Ok(None);
                    }
                    AluOp::Add => Bin::Add,
                    AluOp::Sub => Bin::Sub,
                    AluOp::Mul => Bin::Mul,
                    AluOp::Div => Bin::Div,
                    AluOp::SDiv => Bin::SDiv,
                    AluOp::Or => Bin::Or,
                    AluOp::And => Bin::And,
                    AluOp::Lsh => Bin::Shl,
                    AluOp::Rsh => Bin::Shr,
                    AluOp::Mod => Bin::Mod,
                    AluOp::SMod => Bin::SMod,
                    AluOp::Xor => Bin::Xor,
                    AluOp::Arsh => Bin::Sar,
                };
                let val = self.emit(pc, Op::Bin(op, width, self.get(dst), right));
                self.set(dst, val);
            }
            Insn::MovSx { width, from, dst, src } => {
                let bits = from.bits() as u8;
                let mut val = self.emit(pc, Op::Ext { bits, signed: true, of: self.get(src) });
                if width == Width::W32 {
                    val = self.truncate(pc, val);
                }
                self.set(dst, val);
            }
            Insn::Neg { width, dst } => {
                let zero = self.func.zero();
                let val = self.emit(pc, Op::Bin(Bin::Sub, width, zero, self.get(dst)));
                self.set(dst, val);
            }
            Insn::ByteSwap { order, size, dst } => {
                let (bits, of) = (size.bits() as u8, self.get(dst));
                let swaps = match order {
                    Order::Le => self.func.bytes == ByteOrder::Big,
                    Order::Be => self.func.bytes == ByteOrder::Little,
                    Order::Swap => true,
                };
                let val = match (swaps, size) {
                    (true, _) => self.emit(pc, Op::Swap(bits, of)),
                    (false, Size::DW) => of,
                    (false, _) => self.emit(pc, Op::Ext { bits, signed: false, of }),
                };
                self.set(dst, val);
            }
            Insn::AddrSpaceCast { .. } if self.builder.source.facts.is_some() => {
                return Err(JitError::Unsupported { pc, what: "casts of addresses" });
            }
            Insn::AddrSpaceCast { dst, src, .. } => self.set(dst, self.get(src)),
            Insn::LoadImm64 { dst, imm } => match self.imm64(pc, imm) {
                Some(number) => {
                    let val = self.constant(pc, number);
                    self.set(dst, val);
                }
                None => return Ok(Some(Term::Trap(Exit::BadInstruction, pc))),
            },
            Insn::Load { size, signed, dst, off, .. } if self.builder.is_context(pc) => {
                let mut val = self.context(pc, size, off)?;
                if signed {
                    let bits = size.bits() as u8;
                    val = self.emit(pc, Op::Ext { bits, signed, of: val });
                }
                self.set(dst, val);
            }
            Insn::Store { size, off, src, .. } if self.builder.is_context(pc) => {
                let value = self.operand(pc, src);
                self.emit(pc, Op::StoreContext { size, off: off.into(), value });
            }
            Insn::Load { size, signed, dst, base, off }
                if let Some(number) = self.known(base, off, size) =>
            {
                let number = if signed { movsx(Width::W64, size, number) } else { number };
                let val = self.constant(pc, number);
                self.set(dst, val);
            }
            Insn::Load { size, signed, dst, base, off } => {
                let op = Op::Load { size, signed, base: self.get(base), off: off.into() };
                let val = self.emit(pc, op);
                self.set(dst, val);
            }
            Insn::Store { size, base, off, src } => {
                let value = self.operand(pc, src);
                self.emit(pc, Op::Store { size, base: self.get(base), off: off.into(), value });
            }
            Insn::LoadAcquire { size, dst, base, off } => {
                let op = Op::Acquire { size, base: self.get(base), off: off.into() };
                let val = self.emit(pc, op);
                self.set(dst, val);
            }
            Insn::StoreRelease { size, base, off, src } => {
                let (base, value) = (self.get(base), self.get(src));
                self.emit(pc, Op::Release { size, base, off: off.into(), value });
            }
            Insn::Atomic { op, size, base, off, src } => {
                use skep_isa::AtomicOp as A;
                let (base, value, expected) = (self.get(base), self.get(src), self.get(Reg::R0));
                let off = off.into();
                let old = self.emit(pc, Op::Atomic { op, size, base, off, value, expected });
                match op {
                    A::Cmpxchg => self.set(Reg::R0, old),
                    A::Add { fetch } | A::Or { fetch } | A::And { fetch } | A::Xor { fetch }
                        if !fetch => {}
                    _ => self.set(src, old),
                }
            }
            Insn::Branch { off, .. } if !self.builder.edges(pc).falls => {
                return Ok(Some(Term::Jump(self.jump(pc, off.into()))));
            }
            Insn::Branch { .. } if !self.builder.edges(pc).jumps => {}
            Insn::Branch { cond, width, dst, src, off } => {
                let (left, right) = (self.get(dst), self.operand(pc, src));
                let yes = self.jump(pc, off.into());
                let no = self.target(pc, 0);
                return Ok(Some(Term::Branch { cond, width, left, right, yes, no }));
            }
            Insn::Ja { off } => return Ok(Some(Term::Jump(self.jump(pc, off.into())))),
            Insn::Gotol { off } => return Ok(Some(Term::Jump(self.jump(pc, off)))),
            Insn::MayGoto { off } => {
                let (left, zero) = (self.regs[MAY_GOTO], self.func.zero());
                let yes = self.jump(pc, off.into());
                let one = self.constant(pc, 1);
                self.regs[MAY_GOTO] = self.emit(pc, Op::Bin(Bin::Sub, Width::W64, left, one));
                let no = self.target(pc, 0);
                let (cond, width) = (skep_isa::Cond::Eq, Width::W64);
                return Ok(Some(Term::Branch { cond, width, left, right: zero, yes, no }));
            }
            Insn::Call(Callee::Local(off)) => {
                let target = i64::from(pc) + 1 + i64::from(off);
                let entry = match self.builder.insn(target) {
                    Some(_) => target as Pc,
                    None => return Ok(Some(Term::Trap(Exit::BadJump, pc))),
                };
                if self.builder.budget {
                    self.emit(pc, Op::Spend(1));
                }
                let func = self.builder.function(entry);
                let args = std::array::from_fn(|arg| self.regs[arg + 1]);
                let result = self.emit(pc, Op::Call { func, depth: 0, args });
                self.returned(result);
            }
            Insn::Call(Callee::Kfunc { .. }) if !self.builder.source.hosted => {
                return Ok(Some(Term::Trap(Exit::UnknownCall, pc)));
            }
            Insn::Call(Callee::Register(_)) => {
                return Err(JitError::Unsupported { pc, what: "calls through registers" });
            }
            Insn::Call(_) | Insn::LoadAbs { .. } | Insn::LoadInd { .. }
                if !self.builder.source.hosted =>
            {
                return Err(JitError::Unsupported { pc, what: "calls of helpers" });
            }
            Insn::Call(Callee::Helper(_) | Callee::Kfunc { .. }) => {
                return Ok(number(insn).and_then(|number| self.ask(pc, number)));
            }
            Insn::LoadAbs { size, offset } => {
                let at = self.constant(pc, offset as u32 as u64);
                self.legacy(pc, size, at);
            }
            Insn::LoadInd { size, src, offset } => {
                let offset = self.constant(pc, offset as u32 as u64);
                let at = Op::Bin(Bin::Add, Width::W32, self.get(src), offset);
                let at = self.emit(pc, at);
                self.legacy(pc, size, at);
            }
            Insn::Exit => return Ok(Some(Term::Return(self.get(Reg::R0)))),
            Insn::Hole => return Ok(Some(Term::Trap(Exit::BadInstruction, pc))),
        }
        Ok(None)
    }
}
