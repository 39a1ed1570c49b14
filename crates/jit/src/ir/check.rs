//! What always holds of a function between passes. Tests run it after each pass, so
//! that a pass that breaks something is named instead of the code that it led to.
//!
//! - The order lists each reachable block once, the entry first; nothing leads there.
//! - An edge has as many arguments as its block has parameters.
//! - A value is defined once, in one place; constants are in no block.
//! - Each use is dominated by its definition.
//! - Cases of a switch are sorted and differ.

use super::flow::Dominators;
use super::vector::Vector;
use super::{Blk, Func, Module, Op, Term, Val};

/// Checks every function.
///
/// # Errors
/// What does not hold, and where.
pub fn check_module(module: &Module) -> Result<(), String> {
    for (index, func) in module.funcs.iter().enumerate() {
        check(func, module.funcs.len()).map_err(|error| format!("func {index}: {error}"))?;
    }
    Ok(())
}

/// Where values are defined: block and place in it; parameters come before place 0.
type Places = Vec<Option<(Blk, u32)>>;

fn check(func: &Func, funcs: usize) -> Result<(), String> {
    let mut fresh = func.clone();
    fresh.compute_order();
    let (mut known, mut reached) = (func.order.clone(), fresh.order.clone());
    known.sort();
    reached.sort();
    if known != reached || func.order.first() != Some(&Blk::ENTRY) {
        return Err(format!("order {:?}, reachable {reached:?}", func.order));
    }
    if func.ops.len() != func.pcs.len() {
        return Err("a value without an instruction".into());
    }
    let preds = func.preds();
    if !preds.of(Blk::ENTRY).is_empty() {
        return Err("the entry has predecessors".into());
    }
    let places = places(func)?;
    let dominators = Dominators::new(func, &preds);
    let used = |val: Val, blk: Blk, at: u32| -> Result<(), String> {
        if func.number(val).is_some() {
            return Ok(());
        }
        match places.get(val.at()).copied().flatten() {
            Some((home, place)) if home == blk && place <= at => Ok(()),
            Some((home, _)) if home != blk && dominators.dominates(home, blk) => Ok(()),
            place => Err(format!("{blk}: {val} ({place:?}) does not reach its use at {at}")),
        }
    };
    for &blk in &func.order {
        let block = &func.blocks[blk.at()];
        for (at, &inst) in block.insts.iter().enumerate() {
            let mut result = Ok(());
            func.op(inst).each(|val| {
                if result.is_ok() {
                    result = used(val, blk, at as u32);
                }
            });
            result?;
            if let Op::Call { func: callee, .. } = func.op(inst)
                && callee as usize >= funcs
            {
                return Err(format!("{inst} calls function {callee} of {funcs}"));
            }
        }
        let mut result = Ok(());
        block.term.each(|val| {
            if result.is_ok() {
                result = used(val, blk, u32::MAX);
            }
        });
        result?;
        for edge in block.term.edges() {
            let (given, wanted) = (edge.args.len(), func.blocks[edge.to.at()].params.len());
            if given != wanted {
                return Err(format!("{blk} gives {} {given} of {wanted} arguments", edge.to));
            }
        }
        if let Term::Switch { cases, .. } = &block.term
            && !cases.is_sorted_by(|a, b| a.0 < b.0)
        {
            return Err(format!("{blk}: cases out of order"));
        }
    }
    Ok(())
}

fn places(func: &Func) -> Result<Places, String> {
    let mut places: Places = vec![None; func.ops.len()];
    let mut define = |val: Val, place: (Blk, u32)| match places.get_mut(val.at()) {
        None => Err(format!("{val} does not exist")),
        Some(Some(other)) => Err(format!("{val} is defined at {other:?} and at {place:?}")),
        Some(free) => {
            *free = Some(place);
            Ok(())
        }
    };
    for &blk in &func.order {
        let block = &func.blocks[blk.at()];
        for &param in &block.params {
            if !matches!(func.op(param), Op::Param | Op::Vector(Vector::Param(_))) {
                return Err(format!("{param} of {blk} is no parameter"));
            }
            define(param, (blk, 0))?;
        }
        for (at, &inst) in block.insts.iter().enumerate() {
            let op = func.op(inst);
            if matches!(op, Op::Const(_) | Op::Param | Op::Vector(Vector::Param(_))) {
                return Err(format!("{inst} in {blk} is no instruction"));
            }
            define(inst, (blk, at as u32 + 1))?;
        }
    }
    Ok(places)
}
