//! Subprograms that helpers call back: by [`call_back`] from helpers that are
//! the interpreter's, too, and by [`for_each`] from the walk over a map of verified code.

use skep_abi::TrapKind;
use skep_jit::{Entry, Exit, State};
use skep_maps::{Cursor, Map};

use super::entry::{entered, leave, site, stop};
use super::{enter, reason, run_of};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

/// Calls a subprogram from a helper.
pub(crate) fn call_back<'r>(
    run: &mut Run<'r>,
    function: Value,
    arguments: &[Value],
) -> Result<u64, Stop> {
    let entry = run.callback(function.bits)?;
    let Some(native) = &mut run.native else { return Err(TrapKind::BadInstruction.into()) };
    let guarded = native.guarded;
    let pointer = native.state;
    // SAFETY: the state of the code that called the helper; it waits meanwhile.
    let state = unsafe { &mut *pointer };
    if !state.spend() {
        return Err(Stop::Budget);
    }
    native.depth += 1;
    let mut words = [0; 5];
    for (word, &value) in words.iter_mut().zip(arguments) {
        *word = value.bits;
        run.give(state, value);
    }
    let pc = run.pc;
    let called = |state: &mut State<'r>| enter(run, state, entry, words);
    let r0 = match guarded {
        true => state.in_next_frame(called).ok_or(TrapKind::CallDepth)?,
        false => state.in_this_frame(called),
    };
    run.pc = pc;
    if let Some(native) = &mut run.native {
        native.depth -= 1;
    }
    if state.goes_on() { Ok(r0) } else { Err(reason(run, state)) }
}

/// Gives up the frames of all that waits for the helper that runs.
pub(crate) fn unwind(run: &mut Run<'_>) {
    if let Some(native) = &run.native {
        // SAFETY: the state of the code that called the helper; it waits meanwhile.
        unsafe { (*native.state).unwind() };
    }
}

impl<'r> Run<'r> {
    /// The code of a subprogram that is called back.
    fn callback(&self, function: u64) -> Result<Entry, Stop> {
        let callback = self.program.compiled().and_then(|code| code.callback(function));
        callback.ok_or(TrapKind::BadJump { target: function as i64 }.into())
    }

    /// What [`for_each`] does.
    fn for_each_element(
        &mut self,
        state: &mut State<'r>,
        map: &Map,
        [word, function, context]: [u64; 3],
    ) -> Result<u64, Stop> {
        let entry = self.callback(function)?;
        let (pc, cpu) = (self.pc, self.cpu());
        let (mut cursor, mut walked) = (Cursor::default(), 0);
        while let Some(element) = map.walk(&mut cursor, cpu) {
            walked += 1;
            if !state.spend() {
                return Err(Stop::Budget);
            }
            let index = element.index;
            let key = match element.key {
                Some(key) => key.as_ptr().expose_provenance(),
                None => (&raw const index).expose_provenance(),
            };
            let value = element.value.as_ptr().expose_provenance();
            let stops = enter(self, state, entry, [word, key as u64, value as u64, context, 0]);
            if !state.goes_on() {
                return Err(reason(self, state));
            }
            if stops != 0 {
                break;
            }
        }
        self.pc = pc;
        Ok(walked)
    }
}

/// `bpf_for_each_map_elem` of a verified program on a map that it names, with no flags: the
/// callback gets the map, a key, its value and the context, and ends the walk with 1.
///
/// # Safety
/// `map` is one that the program has and `word` what the program calls it; `function` is
/// its subprogram for this.
pub unsafe extern "C" fn for_each(
    state: *mut State<'_>,
    call: u64,
    map: *const Map,
    word: u64,
    function: u64,
    context: u64,
) -> u64 {
    let (pc, _) = site(call);
    entered(state, Some(pc), 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            leave(state, Exit::UnknownCall, Some(pc));
            return 0;
        };
        run.pc = pc;
        // SAFETY: the run holds its maps while its code runs; a state is valid meanwhile.
        let (map, shared) = unsafe { (&*map, &mut *state) };
        match run.for_each_element(shared, map, [word, function, context]) {
            Ok(walked) => walked,
            Err(why) => stop(run, state, Some(pc), why),
        }
    })
}
