//! From SSA to machine code: Cranelift without its optimiser, with its backtracking
//! register allocator. The SSA form knows nothing of it; this module is the border.

pub mod code;
mod func;
mod hosted;
mod memory;
mod vector;

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{
    AbiParam, ExternalName, Function, Signature, UserExternalName, UserFuncName, types::I64,
};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, FinalizedRelocTarget};
use cranelift_frontend::FunctionBuilderContext;
use skep_isa::Pc;
use std::sync::{Arc, OnceLock};

use super::ir::{Func, Module};
use super::{Checks, JitError};
use crate::objects::MapHandle;
use code::CodeMemory;

/// Values and blocks of a function from which on registers are given out in one pass:
/// backtracking takes time that grows with the square.
const LARGE: usize = 16_000;

/// Functions start at multiples of this, and the machine reads code in such lines.
const ALIGNMENT: usize = 16;
const LINE: usize = 64;

fn backend(error: impl std::fmt::Display) -> JitError {
    JitError::Backend(error.to_string())
}

/// The machine that we run on, with the settings that measured best, for functions of
/// usual size and for large ones.
fn host(large: bool) -> Result<&'static OwnedTargetIsa, JitError> {
    static HOSTS: [OnceLock<Result<OwnedTargetIsa, JitError>>; 2] =
        [OnceLock::new(), OnceLock::new()];
    let made = HOSTS[usize::from(large)].get_or_init(|| {
        let mut flags = settings::builder();
        for (name, value) in [
            ("opt_level", "none"),
            ("regalloc_algorithm", if large { "single_pass" } else { "backtracking" }),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
            ("enable_probestack", "false"),
            ("unwind_info", "false"),
            // Says where loops are.
            ("machine_code_cfg_info", "true"),
        ] {
            flags.set(name, value).map_err(backend)?;
        }
        let mut target = cranelift_native::builder().map_err(backend)?;
        // Products of two numbers of 32 bits would be made of whole 64-bit lanes.
        if cfg!(target_arch = "x86_64") {
            target.set("has_avx512dq", "false").map_err(backend)?;
        }
        target.finish(settings::Flags::new(flags)).map_err(backend)
    });
    made.as_ref().map_err(Clone::clone)
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

/// Compiles a module; its first function is the entry. Gives also where the functions
/// start that helpers call.
///
/// # Errors
/// The back end gave up, or there is no memory for code.
pub fn lower(
    module: &Module,
    maps: &[Arc<MapHandle>],
    checks: Checks,
) -> Result<(CodeMemory, Vec<(Pc, u32)>), JitError> {
    let size =
        |func: &Func| func.order.iter().map(|blk| func.blocks[blk.at()].insts.len() + 1).sum();
    let values: usize = module.funcs.iter().map(size).max().unwrap_or(0);
    let isa = host(values > LARGE)?.as_ref();
    let mut entered = vec![false; module.funcs.len()];
    entered[0] = true;
    let hosted = module.calls_host();
    for &(_, func) in &module.callbacks {
        entered[func as usize] = true;
    }
    let (mut code, mut lead) = (Vec::new(), 0);
    let (mut starts, mut calls) = (Vec::new(), Vec::new());
    let mut builders = FunctionBuilderContext::new();
    let mut context = Context::new();
    for (index, source) in module.funcs.iter().enumerate() {
        context.clear();
        let signature = signature(isa, entered[index]);
        context.func =
            Function::with_name_signature(UserFuncName::user(0, index as u32), signature);
        let target = func::Target { isa, entered: &entered, checks, maps, hosted };
        func::lower(source, target, &mut context.func, &mut builders);
        let compiled = context
            .compile(isa, &mut ControlPlane::default())
            .map_err(|error| backend(format!("{:?}", error.inner)))?;
        code.resize(code.len().next_multiple_of(ALIGNMENT), 0);
        let pad = aligned(lead + code.len(), &compiled.bb_edges);
        // The entry is the first byte; what is before it is no part of the code.
        if index == 0 {
            lead = pad;
        } else {
            code.resize(code.len() + pad, 0);
        }
        let start = code.len();
        starts.push(start);
        code.extend_from_slice(compiled.buffer.data());
        let relocs = compiled.buffer.relocs().to_vec();
        for reloc in relocs {
            let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = reloc.target else {
                return Err(backend("a reference to something unknown"));
            };
            let UserExternalName { index, .. } = context.func.params.user_named_funcs()[name];
            calls.push((start + reloc.offset as usize, reloc.kind, index, reloc.addend));
        }
    }
    for (at, kind, callee, addend) in calls {
        let target = starts[callee as usize] as i64 + addend;
        patch(&mut code, at, kind, target - at as i64)?;
    }
    let mut callbacks: Vec<(Pc, u32)> =
        module.callbacks.iter().map(|&(pc, func)| (pc, starts[func as usize] as u32)).collect();
    callbacks.sort_unstable();
    let memory = CodeMemory::new(&code, lead).map_err(|error| JitError::Memory(error.kind()))?;
    Ok((memory, callbacks))
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

/// Writes the distance of a call into it.
fn patch(code: &mut [u8], at: usize, kind: Reloc, distance: i64) -> Result<(), JitError> {
    let far = || backend("a call that is too far");
    let (word, bytes) = match kind {
        Reloc::X86CallPCRel4 => {
            let distance = i32::try_from(distance).map_err(|_| far())?;
            (distance as u32, at..at + 4)
        }
        Reloc::Arm64Call => {
            let old = u32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]);
            if !(-(1 << 27)..1 << 27).contains(&distance) {
                return Err(far());
            }
            (old & 0xfc00_0000 | (distance >> 2) as u32 & 0x03ff_ffff, at..at + 4)
        }
        other => return Err(backend(format!("relocation {other}"))),
    };
    code[bytes].copy_from_slice(&word.to_le_bytes());
    Ok(())
}
