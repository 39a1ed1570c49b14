//! Tail calls: how code goes on to another program in the place of its own.
//!
//! A verified program leaves for the code of its target with the address of that: see
//! [`jump`]. It counts no references and only notes which program runs;
//! whoever has to know it [settles](settle) that first. All other ways, out of
//! subprograms, of guarded code, to programs that are interpreted, lead through the host.
//! What a call leads to is looked up when it is made, so that a replaced target counts
//! from the next call on; the guard keeps the replaced one to the end of the run.
//!
//! Counterpart: `emit_bpf_tail_call_direct` and its indirect sibling in
//! `arch/x86/net/bpf_jit_comp.c`.

use skep_abi::limits::MAX_TAIL_CALLS;
use std::ptr::null;
use std::sync::Arc;

use skep_abi::TrapKind;
use skep_jit::{Code, Exit, State};
use skep_maps::object_in;

use super::entry::{entered, leave, site, stop};
use super::{enter, fill, reason, run_of, unsettled};
use crate::helpers::tags::Tag;
use crate::memory::value::Value;
use crate::objects::program::Program;
use crate::run::panics::caught;
use crate::run::{Run, Stop};

/// After code left: with the next program, or with the reason.
pub fn go_on<'r>(run: &mut Run<'r>, state: &mut State<'r>) -> Result<u64, Stop> {
    loop {
        settle(run);
        if state.exit() != Exit::TailCall {
            return Err(reason(run, state));
        }
        state.take_exit();
        let Some(native) = run.native.as_mut() else {
            return Err(TrapKind::BadInstruction.into());
        };
        let Some(target) = native.next.take() else {
            return Err(TrapKind::BadInstruction.into());
        };
        let before = std::mem::replace(&mut run.program, target);
        native.first.get_or_insert(before);
        state.allow_tail_calls(run.tail_calls);
        match run_program(run, state) {
            Some(r0) if state.goes_on() => return Ok(r0),
            Some(_) => {}
            None => return interpret(run, state),
        }
    }
}

/// Enters the run's program; `None` where it has no code.
fn run_program<'r>(run: &mut Run<'r>, state: &mut State<'r>) -> Option<u64> {
    let native = run.native.as_mut()?;
    let code = run.program.code(native.how)?;
    native.guarded = code.is_guarded();
    run.given.clear();
    state.favour_none();
    let (entry, r1) = (code.entry(), native.context.bits);
    fill(run, state).then(|| enter(run, state, entry, [r1, 0, 0, 0, 0]))
}

/// Runs the run's program in the interpreter, on the frame that compiled code is at.
fn interpret<'r>(run: &mut Run<'r>, state: &mut State<'r>) -> Result<u64, Stop> {
    let native = run.native.take();
    let context = native.as_ref().map_or(Value::scalar(0), |native| native.context);
    run.budget = state.budget();
    let result = run.go_on(context, state.depth().saturating_sub(1));
    state.set_budget(run.budget);
    run.native = native;
    result
}

impl<'r> Run<'r> {
    /// Runs another program in the place of a subprogram.
    fn nest(&mut self, state: &mut State<'r>, target: Arc<Program>) -> Result<u64, Stop> {
        let Some(native) = &mut self.native else { return Err(TrapKind::BadInstruction.into()) };
        let (guarded, first) = (native.guarded, native.first.take());
        let given = std::mem::take(&mut self.given);
        let program = std::mem::replace(&mut self.program, target);
        state.allow_tail_calls(self.tail_calls);
        let run = &mut *self;
        // What was put aside comes back in any case.
        let ran = state.in_this_frame(|state| {
            caught(|| match run_program(run, state) {
                Some(r0) if state.goes_on() => Ok(r0),
                Some(_) => go_on(run, state),
                None => interpret(run, state),
            })
        });
        let result = ran.unwrap_or_else(|kind| Err(kind.into()));
        self.program = program;
        if let Some(native) = &mut self.native {
            (native.guarded, native.first, native.running) = (guarded, first, null());
        }
        self.given = given;
        fill(self, state);
        state.favour_none();
        result
    }
}

/// Makes the program that runs the run's.
#[inline]
pub fn settle(run: &mut Run<'_>) {
    if let Some(native) = &mut run.native
        && !native.running.is_null()
    {
        let running = std::mem::replace(&mut native.running, null());
        take_over(run, running);
    }
}

#[cold]
fn take_over(run: &mut Run<'_>, running: *const Program) {
    // SAFETY: `jump` found it under the guard, which is held to the end of the run.
    let running = unsafe { counted(running) };
    let before = std::mem::replace(&mut run.program, running);
    if let Some(native) = &mut run.native {
        native.first.get_or_insert(before);
    }
}

/// One more reference to a program.
///
/// # Safety
/// It is what `Arc::as_ptr` gave, of an `Arc` that there still is.
unsafe fn counted(program: *const Program) -> Arc<Program> {
    // SAFETY: as the caller promises.
    unsafe {
        Arc::increment_strong_count(program);
        Arc::from_raw(program)
    }
}

/// `bpf_tail_call` of a verified program, not of its subprograms, by a slot of a program
/// array: 0 where there is no target. What else it gives, code leaves with at once: the
/// entry of the target, or what [`go_on`] goes on with.
///
/// # Safety
/// [`Map::object_slots`](skep_maps::Map::object_slots) of one of the program's maps
/// tells of the slot.
pub unsafe extern "C" fn jump(state: *mut State<'_>, call: u64, slot: u64) -> u64 {
    let (pc, _) = site(call);
    entered(state, Some(pc), 1, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { unsettled(state) }) else {
            leave(state, Exit::UnknownCall, Some(pc));
            return 1;
        };
        let Some(how) = run.native.as_ref().map(|native| native.how) else {
            leave(state, Exit::UnknownCall, Some(pc));
            return 1;
        };
        if run.tail_calls >= MAX_TAIL_CALLS {
            return 0;
        }
        // SAFETY: as the caller promises; the program that runs holds its maps.
        let target = unsafe { object_in::<Program>(slot, run.turn.guard()) };
        let Some(target) = target else { return 0 };
        run.tail_calls += 1;
        // SAFETY: the guard is held that it was found under.
        let program = unsafe { &*target };
        // SAFETY: a state is valid while its code runs.
        let shared = unsafe { &mut *state };
        if let Some(code) = program.code(how)
            && !code.is_guarded()
            && prepare(run, shared, code)
        {
            if let Some(native) = &mut run.native {
                native.running = target;
            }
            shared.leave(Exit::Jump, pc);
            return (code.entry() as *const ()).expose_provenance() as u64;
        }
        if let Some(native) = &mut run.native {
            // SAFETY: as above.
            native.next = Some(unsafe { counted(target) });
        }
        leave(state, Exit::TailCall, Some(pc));
        1
    })
}

/// Fills the cells of code that goes on: often the same as those that are filled.
#[inline]
fn prepare(run: &mut Run<'_>, state: &mut State<'_>, code: &Code) -> bool {
    // SAFETY: null, or found by `jump` under the guard, which is still held.
    let running = run.native.as_ref().and_then(|native| unsafe { native.running.as_ref() });
    let running = running.unwrap_or(&run.program);
    let filled = running.compiled().is_some_and(|filled| filled.cells().starts_with(code.cells()));
    filled || run.context.load_all(code.cells(), state.cells())
}

/// `bpf_tail_call(ctx, map, index)`: 1 where another program goes on.
pub extern "C" fn tail_call(
    state: *mut State<'_>,
    call: u64,
    context: u64,
    map: u64,
    index: u64,
) -> u64 {
    let (pc, nested) = site(call);
    entered(state, Some(pc), 1, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            leave(state, Exit::UnknownCall, Some(pc));
            return 0;
        };
        run.pc = pc;
        // Whatever else it is, the next program gets the run's own context.
        let _ = context;
        run.turn.guard();
        let map = run.value_of(Tag::Map, map);
        let target = match run.tail_target(map, index as u32) {
            Ok(Some(target)) => target,
            Ok(None) => return 0,
            Err(why) => return stop(run, state, Some(pc), why),
        };
        if nested == 0 {
            if let Some(native) = &mut run.native {
                native.next = Some(target);
            }
            leave(state, Exit::TailCall, Some(pc));
            return 1;
        }
        // SAFETY: a state is valid while its code runs, which waits meanwhile.
        let shared = unsafe { &mut *state };
        match run.nest(shared, target) {
            Ok(answer) => {
                shared.answer(answer);
                1
            }
            Err(why) => stop(run, state, Some(pc), why),
        }
    })
}
