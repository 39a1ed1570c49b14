//! From SSA to machine code: Cranelift without its optimiser, with its backtracking
//! register allocator. The SSA form knows nothing of it; this module is the border.

mod calls;
pub mod code;
mod func;
mod hosted;
pub mod machine_code;
mod memory;
mod vector;

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{
    AbiParam, ExternalName, Signature, UserExternalName, UserFuncName, types::I64,
};
use cranelift_codegen::isa::{Builder, CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, FinalizedRelocTarget};
use cranelift_frontend::FunctionBuilderContext;
use std::cell::Cell;
use std::sync::OnceLock;

use super::ir::{Func, Module};
use crate::describe::{Checks, Host, JitError, MapView};
use machine_code::{MachineCode, MachineFunction};

/// Values and blocks of a function from which on registers are given out in one pass:
/// backtracking takes time that grows with the square.
const LARGE: usize = 16_000;

/// Values and blocks of a function up to which the back end's tables are kept for the
/// next program.
const KEPT: usize = 2_000;

thread_local! {
    /// The back end's tables, while no program is compiled.
    static SPARE: Cell<Option<(FunctionBuilderContext, Context)>> = const { Cell::new(None) };
}

/// Functions start at multiples of this, and the machine reads code in such lines.
const ALIGNMENT: usize = 16;
const LINE: usize = 64;

fn backend(error: impl std::fmt::Display) -> JitError {
    JitError::Backend(error.to_string())
}

/// A machine that code is made for, with the settings that measured best: for functions
/// of usual size and for large ones.
pub struct Machine {
    usual: OwnedTargetIsa,
    large: OwnedTargetIsa,
}

impl Machine {
    /// The one that we run on.
    ///
    /// # Errors
    /// One that the back end knows nothing of.
    pub fn host() -> Result<&'static Machine, JitError> {
        static HOST: OnceLock<Result<Machine, JitError>> = OnceLock::new();
        let made = HOST.get_or_init(|| {
            let mut target = cranelift_native::builder().map_err(backend)?;
            // Products of two numbers of 32 bits would be made of whole 64-bit lanes.
            if cfg!(target_arch = "x86_64") {
                target.set("has_avx512dq", "false").map_err(backend)?;
            }
            Machine::new(target)
        });
        made.as_ref().map_err(Clone::clone)
    }

    fn new(target: Builder) -> Result<Machine, JitError> {
        Ok(Machine { usual: set_up(&target, false)?, large: set_up(&target, true)? })
    }

    /// Any that the back end was built for.
    ///
    /// # Errors
    /// It was not built for this one.
    pub fn named(triple: &str) -> Result<Machine, JitError> {
        Machine::new(cranelift_codegen::isa::lookup_by_name(triple).map_err(backend)?)
    }

    fn isa(&self, large: bool) -> &dyn TargetIsa {
        if large { &*self.large } else { &*self.usual }
    }
}

fn set_up(target: &Builder, large: bool) -> Result<OwnedTargetIsa, JitError> {
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", "none"),
        ("regalloc_algorithm", if large { "single_pass" } else { "backtracking" }),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
        // A frame of more than a page, of several inlined subprograms, must not reach over
        // the page that guards a thread's stack.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
        ("unwind_info", "false"),
        // Says where loops are.
        ("machine_code_cfg_info", "true"),
    ] {
        flags.set(name, value).map_err(backend)?;
    }
    target.finish(settings::Flags::new(flags)).map_err(backend)
}

/// Signature of every function: state, r1 to r5, gives r0. Rust calls those that are
/// `entered` from outside.
fn signature(isa: &dyn TargetIsa, entered: bool) -> Signature {
    let convention = if entered { isa.default_call_conv() } else { CallConv::Fast };
    let mut signature = Signature::new(convention);
    signature.params = vec![AbiParam::new(I64); 6];
    signature.returns = vec![AbiParam::new(I64)];
    signature
}

/// Compiles a module for a machine; its first function is the entry. With `lines`, what
/// comes out knows the instruction that each part of it comes from.
///
/// # Errors
/// The back end gave up.
pub fn lower(
    module: &Module,
    maps: &[MapView],
    host: &Host,
    checks: Checks,
    machine: &Machine,
    lines: bool,
) -> Result<MachineCode, JitError> {
    let size =
        |func: &Func| func.order.iter().map(|blk| func.blocks[blk.at()].insts.len() + 1).sum();
    let values: usize = module.funcs.iter().map(size).max().unwrap_or(0);
    let isa = machine.isa(values > LARGE);
    let mut entered = vec![false; module.funcs.len()];
    entered[0] = true;
    let hosted = module.calls_host();
    for &(_, func) in &module.callbacks {
        entered[func as usize] = true;
    }
    let mut native = MachineCode::default();
    let (mut starts, mut calls) = (Vec::new(), Vec::new());
    let (mut builders, mut context) =
        SPARE.take().unwrap_or_else(|| (FunctionBuilderContext::new(), Context::new()));
    for (index, source) in module.funcs.iter().enumerate() {
        context.clear();
        let signature = signature(isa, entered[index]);
        context.func.name = UserFuncName::user(0, index as u32);
        context.func.signature = signature;
        let target = func::Target { isa, entered: &entered, checks, maps, host, hosted, lines };
        func::lower(source, target, &mut context.func, &mut builders);
        let compiled = context
            .compile(isa, &mut ControlPlane::default())
            .map_err(|error| backend(format!("{:?}", error.inner)))?;
        let code = &mut native.bytes;
        code.resize(code.len().next_multiple_of(ALIGNMENT), 0);
        let pad = aligned(native.lead + code.len(), &compiled.bb_edges);
        // The entry is the first byte; what is before it is no part of the code.
        if index == 0 {
            native.lead = pad;
        } else {
            code.resize(code.len() + pad, 0);
        }
        let start = code.len();
        starts.push(start);
        code.extend_from_slice(compiled.buffer.data());
        if lines {
            native.functions.push(MachineFunction::new(source, compiled, start));
        }
        let relocs = compiled.buffer.relocs().to_vec();
        for reloc in relocs {
            let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = reloc.target else {
                return Err(backend("a reference to something unknown"));
            };
            let UserExternalName { index, .. } = context.func.params.user_named_funcs()[name];
            calls.push((start + reloc.offset as usize, reloc.kind, index, reloc.addend));
        }
    }
    if values <= KEPT {
        SPARE.set(Some((builders, context)));
    }
    for (at, kind, callee, addend) in calls {
        let target = starts[callee as usize] as i64 + addend;
        calls::patch(&mut native.bytes, at, kind, target - at as i64)?;
    }
    native.callbacks =
        module.callbacks.iter().map(|&(pc, func)| (pc, starts[func as usize] as u32)).collect();
    native.callbacks.sort_unstable();
    Ok(native)
}

/// How far on from `start` a function is placed best: where most loops, those that go
/// back the least first, start at the start of a line.
fn aligned(start: usize, edges: &[(u32, u32)]) -> usize {
    let back = edges.iter().filter(|(from, to)| to <= from);
    let loops: Vec<(usize, usize)> =
        back.map(|&(from, to)| (to as usize, (from - to) as usize)).collect();
    let cost = |pad: &usize| -> usize {
        let lost =
            |&(head, len): &(usize, usize)| ((start + pad + head) % LINE) * LINE / (len + LINE);
        loops.iter().map(lost).sum()
    };
    (0..LINE).step_by(ALIGNMENT).min_by_key(cost).unwrap_or(0)
}
