//! How loaded programs are compiled: which checks, which passes, on which maps. They are
//! when they first run, and keep their code. How much is done for it is decided
//! beforehand, by their size.

use std::sync::Arc;

use skep_abi::MapType;
use skep_abi::context::memory::is_memory;
use skep_isa::{Callee, Insn, Pc};
use skep_jit::{
    Checks, Code, DirectValue, JitError, Layout, Machine, MachineCode, MapView, Options, Passes,
    Source, assemble, generate,
};

use super::{callees, perf_map};
use crate::helpers::tags;
use crate::kfuncs;
use crate::memory::value::Value;
use crate::objects::map::MapHandle;
use crate::objects::program::{How, Program};
use crate::run::panics::caught;

/// Programs of more instructions than this are interpreted.
const MOST_COMPILED: usize = 100_000;
/// Programs of more instructions than this get no passes but the cheap ones.
const MOST_OPTIMISED: usize = 10_000;

impl Program {
    /// Its compiled code, made at the first call; `None` where there is none.
    pub(crate) fn code(&self, how: How) -> Option<&Arc<Code>> {
        let code = self.code.get_or_init(|| {
            let code = compile(self, how)?;
            perf_map::add(&self.name, self.id, &code);
            Ok(Arc::new(code))
        });
        code.as_ref().ok()
    }

    /// Why it is interpreted, where it was to be compiled and could not be.
    pub fn compile_error(&self) -> Option<&JitError> {
        self.code.get().and_then(|code| code.as_ref().err())
    }

    /// Its compiled code, where it was compiled. It is no one's to run but the kernel's: what
    /// it was verified for is not checked again.
    pub(crate) fn compiled(&self) -> Option<&Arc<Code>> {
        self.code.get().and_then(|code| code.as_ref().ok())
    }

    /// What its compiled code checks, where it was compiled.
    pub fn checks(&self) -> Option<Checks> {
        self.compiled().map(|code| code.checks())
    }
}

/// The passes that a program of its size gets.
fn tier(program: &Program, how: How) -> Result<Passes, JitError> {
    match program.insns.len() {
        0..=MOST_OPTIMISED => Ok(how.passes),
        len if len <= MOST_COMPILED => Ok(how.passes.only(Passes::CHEAP)),
        _ => Err(JitError::TooLarge { what: "instructions" }),
    }
}

/// Compiles a loaded program: without checks where the verifier accepted it and every
/// check is vouched for by that, unless they are `guarded` all the same.
fn compile(program: &Program, how: How) -> Result<Code, JitError> {
    let passes = tier(program, how)?;
    let make = |source: Source<'_>, options: Options| {
        // SAFETY: checks are left out only where the verifier accepted the program; its code is
        // only run with what it was verified for.
        unsafe { generate(source, options) }
    };
    let generated = caught(|| plan(program, how.guarded, passes, make));
    generated.unwrap_or_else(|panic| Err(JitError::Backend(panic.to_string())))
}

/// The machine code of a loaded program, with the instruction that each part of it comes
/// from. It is the code that it is run by, but it is not made to run.
///
/// # Errors
/// Something that is not compiled.
pub(crate) fn list(program: &Program, how: How) -> Result<(Checks, MachineCode), JitError> {
    plan(program, how.guarded, tier(program, how)?, |source, options| {
        let native = assemble(source, options, Machine::host()?, true)?;
        Ok((options.checks, native))
    })
}

/// Says what of a loaded program is compiled, and how.
fn plan<R>(
    program: &Program,
    guarded: bool,
    passes: Passes,
    then: impl FnOnce(Source<'_>, Options) -> R,
) -> R {
    // What these helpers read is checked, and only checked code tells where things are. So are
    // loads through pointers to the kernel's structures, which lead nowhere here.
    let wild = is_memory(program.prog_type)
        || program.insns.iter().any(|insn| match insn {
            Insn::Call(Callee::Helper(id)) => {
                tags::reads_any_address(*id) || tags::gives_kernel_memory(*id)
            }
            Insn::Call(Callee::Kfunc { btf_id, .. }) => {
                kfuncs::row(*btf_id as u32).is_some_and(|row| row.reads_any_address())
                    || kfuncs::gives_kernel_memory(*btf_id as u32)
            }
            _ => false,
        })
        || program.maps.iter().any(|map| map.owned.is_some() || map.map.arena().is_some());
    let maps: Vec<MapView> = (0..).zip(&program.maps).map(|(at, map)| view(at, map)).collect();
    // SAFETY: the program has its maps as long as its code, and the functions are made for
    // each other.
    let source = unsafe { Source::hosted(&program.insns, &maps, callees::of, &callees::HOST) };
    let called: Vec<Pc> = program.exception_callback.into_iter().collect();
    let source = source.calling(&called);
    let counted = program.hook.as_ref().is_some_and(|hook| hook.is_counted());
    let source = if counted { source.counting() } else { source };
    let Some(proof) = program.proof.as_ref().filter(|_| !guarded && !wild) else {
        return then(source, Options { checks: Checks::Guarded, passes });
    };
    let number = |map: &Option<Arc<MapHandle>>| {
        let map = map.as_ref()?;
        let at = program.maps.iter().position(|known| Arc::ptr_eq(known, map))?;
        Some(at as u32)
    };
    let known: Vec<Option<u32>> = proof.maps.iter().map(number).collect();
    let source = source.with_facts(proof.verified.facts(), &known);
    then(source, Options { checks: Checks::Elided, passes })
}

/// A map as code sees it, by its number in the program.
fn view(number: u32, handle: &MapHandle) -> MapView {
    let map = &handle.map;
    let of_maps = matches!(map.map_type(), MapType::ArrayOfMaps | MapType::HashOfMaps);
    let direct = handle.direct_region().map(|region| DirectValue {
        start: region.start(),
        len: region.size(),
        writable: region.is_writable(),
    });
    let layout = |layout: skep_maps::Layout| Layout {
        base: layout.base,
        slot: layout.slot,
        area: layout.area,
        count: layout.count,
    };
    MapView {
        word: Value::map(number).bits,
        address: Arc::as_ptr(map).expose_provenance() as u64,
        key_size: map.key_size(),
        value_size: map.value_size(),
        direct,
        constant: map.constant(),
        elements: map.layout().map(layout),
        slots: map.object_slots().map(layout),
        lookup: callees::lookup(map.plain_key(), of_maps),
        of_maps,
    }
}
