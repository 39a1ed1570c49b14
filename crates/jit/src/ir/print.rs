//! The SSA form as text, for tests and for people.

use std::fmt;

use super::vector::Vector;
use super::{Blk, Edge, Func, Module, Op, Term, Val};

impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Blk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, func) in self.funcs.iter().enumerate() {
            writeln!(f, "func {index}, {} frames", func.frames)?;
            write!(f, "{func}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &blk in &self.order {
            let block = &self.blocks[blk.at()];
            writeln!(f, "{blk}({}):", self.list(&block.params))?;
            for &inst in &block.insts {
                writeln!(f, "    {}", self.line(inst))?;
            }
            writeln!(f, "    {}", self.end(&block.term))?;
        }
        Ok(())
    }
}

impl Func {
    fn name(&self, val: Val) -> String {
        match self.number(val) {
            Some(number) if number as i64 > -4096 && (number as i64) < 4096 => {
                (number as i64).to_string()
            }
            Some(number) => format!("{number:#x}"),
            None => val.to_string(),
        }
    }

    fn list(&self, vals: &[Val]) -> String {
        vals.iter().map(|&val| self.name(val)).collect::<Vec<_>>().join(", ")
    }

    fn line(&self, inst: Val) -> String {
        let name = |val| self.name(val);
        match self.op(inst) {
            Op::Const(number) => format!("{inst} = {number}"),
            Op::Param => format!("{inst} = param"),
            Op::Frame(index) => format!("{inst} = frame {index}"),
            Op::Bin(op, width, left, right) => {
                format!("{inst} = {op:?}.{width:?} {}, {}", name(left), name(right))
            }
            Op::Ext { bits, signed, of } => {
                format!("{inst} = {}{bits} {}", if signed { 's' } else { 'u' }, name(of))
            }
            Op::Ones(of) => format!("{inst} = ones {}", name(of)),
            Op::Swap(bits, of) => format!("{inst} = swap{bits} {}", name(of)),
            Op::Cmp(cond, width, left, right) => {
                format!("{inst} = {cond:?}.{width:?} {}, {}", name(left), name(right))
            }
            Op::Select(test, yes, no) => {
                format!("{inst} = {} ? {} : {}", name(test), name(yes), name(no))
            }
            Op::Load { size, signed, base, off } => {
                let sign = if signed { "s" } else { "" };
                format!("{inst} = load.{size:?}{sign} {} {off:+}", name(base))
            }
            Op::Store { size, base, off, value } => {
                format!("store.{size:?} {} {off:+}, {}", name(base), name(value))
            }
            Op::Atomic { op, size, base, off, value, expected } => format!(
                "{inst} = {op:?}.{size:?} {} {off:+}, {}, {}",
                name(base),
                name(value),
                name(expected)
            ),
            Op::Acquire { size, base, off } => {
                format!("{inst} = acquire.{size:?} {} {off:+}", name(base))
            }
            Op::Release { size, base, off, value } => {
                format!("release.{size:?} {} {off:+}, {}", name(base), name(value))
            }
            Op::Call { func, args, .. } => format!("{inst} = call {func}({})", self.list(&args)),
            Op::Ask { callee, args, .. } => {
                format!("{inst} = ask {callee}({})", self.list(&args))
            }
            Op::TailCall { nested, args, .. } => {
                let how = if nested { "nested " } else { "" };
                format!("{inst} = {how}tail call({})", self.list(&args))
            }
            Op::Cpu => format!("{inst} = cpu"),
            Op::Answer => format!("{inst} = answer"),
            Op::Legacy { size, at } => format!("{inst} = packet.{size:?} {}", name(at)),
            Op::Context { cell, .. } => format!("{inst} = context {cell}"),
            Op::StoreContext { size, off, value } => {
                format!("store.{size:?} context {off:+}, {}", name(value))
            }
            Op::Enter(depth) => format!("enter {depth}"),
            Op::Spend(cost) => format!("spend {cost}"),
            Op::Vector(op) => self.vector_line(inst, op),
        }
    }

    fn vector_line(&self, inst: Val, op: Vector) -> String {
        let name = |val| self.name(val);
        let rest = match op {
            Vector::Param(size) => format!("param.{size:?}"),
            Vector::Splat(size, of) => format!("splat.{size:?} {}", name(of)),
            Vector::Load { size, base, off } => format!("load.{size:?} {} {off:+}", name(base)),
            Vector::Store { size, base, off, value } => {
                return format!("lanes store.{size:?} {} {off:+}, {}", name(base), name(value));
            }
            Vector::Bin(op, size, left, right) => {
                format!("{op:?}.{size:?} {}, {}", name(left), name(right))
            }
            Vector::Shift(op, size, of, amount) => {
                format!("{op:?}.{size:?} {}, {amount}", name(of))
            }
            Vector::Cmp(cond, size, left, right) => {
                format!("{cond:?}.{size:?} {}, {}", name(left), name(right))
            }
            Vector::Select(_, mask, yes, no) => {
                format!("{} ? {} : {}", name(mask), name(yes), name(no))
            }
            Vector::Widen { from, signed, high, of } => {
                let (sign, half) =
                    (if signed { "s" } else { "u" }, if high { "high" } else { "low" });
                format!("{sign}widen.{from:?} {half} {}", name(of))
            }
            Vector::Narrow { from, upper, parts } => {
                let half = if upper { "upper " } else { "" };
                format!("narrow.{from:?} {half}{}", self.list(&parts))
            }
            Vector::Product { high, of } => {
                format!("product {} {}", if high { "high" } else { "low" }, self.list(&of))
            }
            Vector::Swap(size, of) => format!("swap.{size:?} {}", name(of)),
            Vector::Lane(size, lane, of) => format!("lane.{size:?} {} {lane}", name(of)),
        };
        format!("{inst} = lanes {rest}")
    }

    fn end(&self, term: &Term) -> String {
        let edge = |edge: &Edge| format!("{}({})", edge.to, self.list(&edge.args));
        match term {
            Term::Jump(to) => format!("jump {}", edge(to)),
            Term::Branch { cond, width, left, right, yes, no } => format!(
                "if {cond:?}.{width:?} {}, {} then {} else {}",
                self.name(*left),
                self.name(*right),
                edge(yes),
                edge(no)
            ),
            Term::Switch { on, cases, default } => {
                let cases: Vec<_> =
                    cases.iter().map(|(number, to)| format!("{number} => {}", edge(to))).collect();
                format!(
                    "switch {} {{ {}, else {} }}",
                    self.name(*on),
                    cases.join(", "),
                    edge(default)
                )
            }
            Term::Return(val) => format!("return {}", self.name(*val)),
            Term::Trap(exit, pc) => format!("trap {exit:?} at {pc}"),
        }
    }
}
