//! Which processes are seen, where not all are: a map of them, which a program at
//! `sched_process_fork` adds to what they start.

use skep_abi::MapType;
use skep_abi::flags::update;
use skep_abi::helper::id;
use skep_btf::FuncInfo;
use skep_isa::build::Builder;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};
use skep_load::{Function, MapDef, Object, Reference, Symbol};

use super::super::checked::Point;
use super::super::plan::{FORKS, ONLY};
use super::Shared;

/// So many processes at once are told from others.
const MOST: u32 = 1 << 16;

/// Whether a probe sees what any process does.
pub(super) fn sees_all(point: Option<&Point>) -> bool {
    matches!(
        point,
        Some(
            Point::Tracepoint { .. }
                | Point::RawTracepoint { .. }
                | Point::Kprobe { .. }
                | Point::Fentry { .. }
                | Point::Uprobe { .. }
                | Point::Usdt { .. }
                | Point::Software { .. }
                | Point::Hardware { .. }
                | Point::Profile(_)
        )
    )
}

/// The map of processes that are seen.
pub(super) fn map() -> MapDef {
    MapDef::new(ONLY, MapType::Hash, 4, 4, MOST)
}

/// Adds the program that follows processes to those that they start. `tgid` is the place of a
/// process's number in its `struct task_struct`, `map` the map's index.
pub(super) fn add(
    shared: &mut Shared<'_>,
    object: &mut Object,
    tgid: u32,
    map: usize,
) -> Result<(), String> {
    let mut b = Builder::new();
    let out = b.label();
    let stack = |b: &mut Builder, dst, at: i32| {
        b.copy(dst, Reg::R10);
        b.alu(AluOp::Add, dst, Operand::Imm(at));
    };
    let number = |b: &mut Builder, task: i16, at: i32| {
        b.load(Size::DW, Reg::R3, Reg::R6, task);
        b.alu(AluOp::Add, Reg::R3, Operand::Imm(tgid.cast_signed()));
        stack(b, Reg::R1, at);
        b.set(Reg::R2, 4);
        b.helper(id::PROBE_READ_KERNEL);
    };
    b.copy(Reg::R6, Reg::R1);
    // The parent, then the child.
    number(&mut b, 0, -8);
    let first = b.here();
    b.map(Reg::R1, 0);
    stack(&mut b, Reg::R2, -8);
    b.helper(id::MAP_LOOKUP_ELEM);
    b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), out);
    number(&mut b, 8, -16);
    b.store(Size::W, Reg::R10, -24, Operand::Imm(1));
    let second = b.here();
    b.map(Reg::R1, 0);
    stack(&mut b, Reg::R2, -16);
    stack(&mut b, Reg::R3, -24);
    b.set(Reg::R4, update::ANY as i32);
    b.helper(id::MAP_UPDATE_ELEM);
    b.place(out);
    b.set(Reg::R0, 0);
    b.exit();
    let (insns, places) = b.finish_placed().map_err(|error| error.to_string())?;
    let section = "raw_tp/sched_process_fork";
    let mut function = Function::new(FORKS, section, &insns);
    let at = [first, second].into_iter().filter_map(|label| places.of(label));
    function.references = at.map(|at| Reference { at, to: Symbol::Map(map) }).collect();
    let type_id = shared.function_type(FORKS, false);
    function.func_info = vec![FuncInfo { insn_off: 0, type_id }];
    shared.functions.push(function);
    object.add_program(FORKS, section, shared.functions.len() - 1)
}
