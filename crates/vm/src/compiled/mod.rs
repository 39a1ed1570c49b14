//! The kernel around compiled code: what code asks for while it runs.
//!
//! Code computes on plain 64-bit words. Helpers get values again: a map's word is its
//! number, the context's is known, a subprogram's is its first slot. Memory of elided
//! code is vouched for by the verifier, so that its region only says where it starts;
//! memory of guarded code is looked up among all regions that the run was given
//! pointers to (see [`regions`]).
//!
//! A run is reached through [`State::host`]. While compiled code runs, nobody holds a
//! reference to it: whoever enters code lends his own for that time.
#![allow(unsafe_code, reason = "enters machine code; each block says why it may")]

mod access;
mod callback;
pub(crate) mod callees;
mod direct;
mod entry;
mod perf_map;
pub(crate) mod plan;
mod regions;
mod tail;

use std::ptr::{null, null_mut};

use skep_abi::helper::id;
use skep_abi::hook::Shape;
use skep_abi::{Frame, Trap, TrapKind};
use skep_isa::{Callee, Insn, Pc, Reg, Size};
use skep_jit::{Code, Entry, Exit, KFUNCS, State};

pub(crate) use callback::{call_back, unwind};
use entry::{entered, leave, site, stop};

use crate::helpers;
use crate::helpers::tags::{self, Tag};
use crate::kfuncs;
use crate::memory::value::{Kind, Region, Value};
use crate::run::panics::caught;
use crate::run::{Outcome, Run, Stop};

/// Runs a program from its start; `None` where it has to be interpreted, since it loads
/// a field of the context that there is none of.
#[inline]
pub(crate) fn execute<'r>(
    run: &mut Run<'r>,
    state: &mut State<'r>,
    code: &Code,
    arguments: [Value; 2],
    budget: u64,
) -> Option<Outcome> {
    // Most runs return a word, which stays in a register; what else there is does not pass
    // through `caught`, which would copy it.
    let mut other = None;
    match caught(|| begin(run, state, code, arguments, budget, &mut other)) {
        Ok(Some(r0)) => Some(Outcome::Returned(r0)),
        Ok(None) => other,
        Err(kind) => Some(panicked(run, state, kind)),
    }
}

/// A panic before code was entered, or between two programs.
#[cold]
fn panicked<'r>(run: &mut Run<'r>, state: &mut State<'r>, kind: TrapKind) -> Outcome {
    state.set_host(null_mut());
    state.take_exit();
    let outcome = outcome(run, kind.into());
    tidy(run);
    outcome
}

/// What [`execute`] does: gives what the program returned, or puts the outcome into `other`.
#[inline(always)]
fn begin<'r>(
    run: &mut Run<'r>,
    state: &mut State<'r>,
    code: &Code,
    [r1, r2]: [Value; 2],
    budget: u64,
    other: &mut Option<Outcome>,
) -> Option<u64> {
    state.begin(budget);
    if code.is_guarded() {
        state.favour_none();
    }
    if !code.cells().is_empty() && !run.context.load_all(code.cells(), state.cells()) {
        return None;
    }
    let r0 = enter(run, state, code.entry(), [r1.bits, r2.bits, 0, 0, 0]);
    if state.goes_on()
        && run.held.is_empty()
        && run.given.is_empty()
        && let Some(native) = &mut run.native
        && native.first.is_none()
    {
        if run.turn.is_guarded() {
            run.turn.count();
            native.running = null();
            run.tail_calls = 0;
        }
        return Some(r0);
    }
    let result = if state.goes_on() { Ok(r0) } else { tail::go_on(run, state) };
    let outcome = match result {
        Ok(r0) => Outcome::Returned(r0),
        Err(stop) => outcome(run, stop),
    };
    tidy(run);
    *other = Some(outcome);
    None
}

#[cold]
fn outcome(run: &mut Run<'_>, stop: Stop) -> Outcome {
    match stop {
        Stop::Return(r0) => Outcome::Returned(r0),
        Stop::Budget => Outcome::OutOfBudget,
        Stop::Trap(kind) => {
            let native = run.native.as_mut();
            let frames = native.map(|native| std::mem::take(&mut native.frames));
            let frames = frames.filter(|frames| !frames.is_empty());
            let frames = frames.unwrap_or_else(|| vec![Frame { pc: run.pc }]);
            Outcome::Trapped(Trap { pc: frames[0].pc, kind, frames })
        }
    }
}

/// After a run: the program that it began with, and nothing that it was given.
fn tidy(run: &mut Run<'_>) {
    // The run has its programs, the guard and with both its maps until below.
    run.forget_found();
    run.given.clear();
    let Some(native) = &mut run.native else { return };
    if let Some(first) = native.first.take() {
        run.program = first;
        native.guarded = run.program.compiled().is_some_and(|code| code.is_guarded());
    }
    native.frames.clear();
    native.running = null();
    (native.next, native.stop, native.depth) = (None, None, 0);
    run.turn.count();
}

/// Puts the context's fields into their cells.
fn fill(run: &mut Run<'_>, state: &mut State<'_>) -> bool {
    let Some(code) = run.program.compiled() else { return false };
    code.cells().is_empty() || run.context.load_all(code.cells(), state.cells())
}

/// Puts those fields into their cells again that a store has changed.
fn refill(run: &mut Run<'_>, state: &mut State<'_>, offset: i64, size: Size) {
    let Some(code) = run.program.compiled() else { return };
    let stored = offset..offset + i64::from(size.bytes());
    for (&(at, size), cell) in code.cells().iter().zip(state.cells()) {
        let field = i64::from(at)..i64::from(at) + i64::from(size.bytes());
        if field.start < stored.end
            && stored.start < field.end
            && let Some(value) = run.context.load(at, size)
        {
            *cell = value.bits;
        }
    }
}

/// Enters code of the run's.
#[inline]
fn enter<'r>(run: &mut Run<'r>, state: &mut State<'r>, entry: Entry, args: [u64; 5]) -> u64 {
    let state: *mut State<'r> = state;
    // SAFETY: a state is valid while it is lent to this function.
    let before = unsafe { (*state).set_host((&raw mut *run).cast()) };
    let mut context = 0;
    if let Some(native) = &mut run.native {
        native.state = state;
        context = native.context.bits;
    }
    let [r1, r2, r3, r4, r5] = args;
    // SAFETY: guarded code accesses what it finds in the state or asks for; elided code is
    // a verified program's, with the maps, the context and the arguments that it was
    // verified for. Both call the functions below, which reach the run through the state.
    let mut r0 = unsafe { entry(state, r1, r2, r3, r4, r5) };
    // SAFETY: the state is valid, and nobody else uses it once code left.
    while unsafe { (*state).exit() } == Exit::Jump {
        let entry = std::ptr::with_exposed_provenance::<()>(r0 as usize);
        // SAFETY: what code returns that leaves so is the entry of code as above, which
        // `tail::jump` found; it lives as long as the run's guard is held.
        r0 = unsafe {
            (*state).take_exit();
            std::mem::transmute::<*const (), Entry>(entry)(state, context, 0, 0, 0, 0)
        };
    }
    // SAFETY: as above.
    unsafe { (*state).set_host(before) };
    r0
}

/// Why code left.
fn reason(run: &mut Run<'_>, state: &mut State<'_>) -> Stop {
    let (exit, pc) = (state.take_exit(), state.pc());
    let Some(native) = &mut run.native else { return TrapKind::BadInstruction.into() };
    match exit {
        Exit::Host => {
            // Who was called with no more than words does not know from where.
            if native.frames.is_empty() && matches!(native.stop, Some(Stop::Trap(_))) {
                native.frames.push(Frame { pc });
            }
            native.stop.take().unwrap_or(TrapKind::BadInstruction.into())
        }
        Exit::Budget => Stop::Budget,
        _ => {
            native.frames.push(Frame { pc });
            match (trap_kind(exit, pc), run.program.insns.get(pc as usize)) {
                (TrapKind::UnknownKfunc { .. }, Some(Insn::Call(Callee::Kfunc { btf_id, .. }))) => {
                    run.program.unknown_kfunc(*btf_id)
                }
                (kind, _) => kind,
            }
            .into()
        }
    }
}

/// What code that left by itself trapped at.
fn trap_kind(exit: Exit, pc: Pc) -> TrapKind {
    match exit {
        Exit::Memory => TrapKind::NotAPointer { register: 0, value: 0, write: false },
        Exit::CallDepth => TrapKind::CallDepth,
        Exit::BadJump => TrapKind::BadJump { target: pc.into() },
        Exit::UnknownCall => TrapKind::UnknownKfunc { btf_id: 0 },
        _ => TrapKind::BadInstruction,
    }
}

/// The run that a state belongs to.
///
/// # Safety
/// `state` is what compiled code got, and nobody else uses the run meanwhile.
#[inline]
unsafe fn run_of<'s, 'r>(state: *mut State<'r>) -> Option<&'s mut Run<'r>> {
    // SAFETY: as the caller promises.
    let run = unsafe { unsettled(state) }?;
    tail::settle(run);
    Some(run)
}

/// The same, where nobody asks which program runs: the run's may be one that was left by
/// [`tail::jump`].
///
/// # Safety
/// As [`run_of`].
#[inline]
unsafe fn unsettled<'s, 'r>(state: *mut State<'r>) -> Option<&'s mut Run<'r>> {
    // SAFETY: a state is valid while its code runs.
    let run = unsafe { (*state).host() }.cast::<Run<'r>>();
    // SAFETY: null, or lent by `enter` for as long as the code runs.
    unsafe { run.as_mut() }
}

/// Calls a helper.
extern "C" fn helper(
    state: *mut State<'_>,
    call: u64,
    r1: u64,
    r2: u64,
    r3: u64,
    r4: u64,
    r5: u64,
) -> u64 {
    let (pc, id) = site(call);
    entered(state, Some(pc), 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            leave(state, Exit::UnknownCall, Some(pc));
            return 0;
        };
        run.pc = pc;
        run.take_words(id, [r1, r2, r3, r4, r5]);
        let result = match id.checked_sub(KFUNCS) {
            Some(number) => kfuncs::call(run, number),
            None => helpers::call(run, id),
        };
        // SAFETY: a state is valid while its code runs.
        run.after_helper(unsafe { &mut *state }, id);
        match result {
            Ok(value) => {
                // SAFETY: as above.
                run.give(unsafe { &mut *state }, value);
                value.bits
            }
            Err(why) => stop(run, state, Some(pc), why),
        }
    })
}

impl<'r> Run<'r> {
    /// Whether the code that runs makes checks.
    fn is_guarded(&self) -> bool {
        self.native.as_ref().is_some_and(|native| native.guarded)
    }

    /// Puts words into r1 to r5, as the values that a helper takes.
    fn take_words(&mut self, id: u32, words: [u64; 5]) {
        let own;
        let row = match id.checked_sub(KFUNCS) {
            Some(number) => kfuncs::row(number).unwrap_or(tags::of(u32::MAX)),
            None if Shape::of(id).is_some() => {
                own = helpers::own::row(self, id).unwrap_or(*tags::of(u32::MAX));
                &own
            }
            None => tags::of(id),
        };
        let Some(native) = &self.native else { return };
        let (guarded, context) = (native.guarded, native.context);
        for at in 0..row.count.min(ARGUMENTS.len()) {
            let (reg, tag, word) = (ARGUMENTS[at], row.tags[at], words[at]);
            match tag {
                Tag::Scalar => self.regs.set_number(reg, word),
                Tag::Memory if !guarded && word != 0 => {
                    // SAFETY: the verifier saw that the word is the address of as much as
                    // the helper takes there.
                    let region = unsafe { Region::vouched(word) };
                    self.regs.set(reg, region.pointer(0));
                }
                Tag::Context if word == context.bits => self.regs.set(reg, context),
                Tag::Map if !guarded && Value::map_number(word).is_none() => {
                    // SAFETY: no other words are maps of a verified program.
                    let map = unsafe { direct::inner_handle(word) };
                    let value = self.found_map(map);
                    self.regs.set(reg, value);
                }
                _ => self.regs.set(reg, self.value_of(tag, word)),
            }
        }
    }

    /// A helper with the context may have changed it; one that gives a record back has
    /// ended it.
    fn after_helper(&mut self, state: &mut State<'r>, id: u32) {
        if tags::changes_context(id) {
            fill(self, state);
            state.favour_none();
        }
        if matches!(id, id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD) {
            self.given.take(self.regs.bits(Reg::R1));
            state.favour_none();
        }
        if matches!(id, id::RINGBUF_SUBMIT_DYNPTR | id::RINGBUF_DISCARD_DYNPTR) {
            state.favour_none();
        }
    }

    /// Guarded code gets a value: what it points into is the program's from now on.
    fn give(&mut self, state: &mut State<'r>, value: Value) {
        let memory = matches!(value.kind(), Kind::MapValue | Kind::Record | Kind::Memory);
        if memory && self.is_guarded() {
            self.given.add(value.region());
            self.favour(state, value.region());
        }
    }

    fn favour(&self, state: &mut State<'r>, region: Region) {
        if region.is_writable() {
            // SAFETY: a region of the run's, which stays while the run has it: what it gives
            // back is favoured no more.
            unsafe { state.favour(region.start(), region.size()) };
        }
    }
}

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
