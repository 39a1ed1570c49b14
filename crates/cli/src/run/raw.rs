//! `skep run --raw`: bare instructions on bare memory, as conformance suites want it.
//! Nothing verifies them.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use skep::isa::Slot;
use skep::vm::Outcome as Ended;
use skep::vm::{DEFAULT_BUDGET, RawMemory, Vm, run_raw};

use super::engine;
use crate::failure::{Failure, Outcome, Status};
use crate::files::{self, in_file};
use crate::hex;

/// What to run, and on what.
pub struct Options<'a> {
    pub file: &'a Path,
    pub hex: bool,
    pub memory: Option<&'a str>,
    pub budget: Option<u64>,
    pub engine: &'a engine::EngineArgs,
    pub json: bool,
}

/// Runs it and prints r0 in hex.
pub fn run(options: &Options<'_>, out: &mut dyn Write) -> Outcome {
    let slots = read_slots(options.file, options.hex)?;
    let memory = hex::parse(options.memory.unwrap_or(""))
        .map_err(|reason| Failure::unusable(format!("--memory: {reason}")))?;
    let vm = Vm::new().unverified().with_budget(options.budget.unwrap_or(DEFAULT_BUDGET));
    let vm = options.engine.apply(vm);
    let mut memory = RawMemory::new(&memory);
    let outcome = run_raw(&vm, &slots, &mut memory);
    match outcome.map_err(|error| in_file(options.file, error))? {
        Ended::Returned(r0) if options.json => {
            writeln!(out, "{}", json!({"r0": format!("{r0:#x}")}))?;
            Ok(Status::Done)
        }
        Ended::Returned(r0) => {
            writeln!(out, "{r0:#x}")?;
            Ok(Status::Done)
        }
        Ended::Trapped(trap) => Err(Failure::refused(trap)),
        Ended::OutOfBudget => {
            let failure = Failure::refused("the budget of instructions is used up");
            Err(failure.hint("--budget N allows more"))
        }
    }
}

/// Reads bare instructions.
///
/// # Errors
/// The file is something else; the hint says what to do with it.
pub fn read_slots(file: &Path, is_hex: bool) -> Result<Vec<Slot>, Failure> {
    let bytes = match is_hex {
        true => hex::parse(&files::read_text(file)?).map_err(|reason| in_file(file, reason))?,
        false => files::read(file, files::MAX_TEXT)?,
    };
    if bytes.is_empty() {
        return Err(in_file(file, "has no instructions"));
    }
    if !is_hex {
        if bytes.starts_with(b"\x7fELF") {
            let failure = in_file(file, "is an ELF file, expected bare instructions");
            return Err(failure.hint("give it without --raw"));
        }
        if files::is_text(&bytes) {
            let text = String::from_utf8_lossy(&bytes);
            let hint = match hex::parse(&text) {
                Ok(_) => "add --hex if it is hex text".to_owned(),
                Err(_) => {
                    format!("assemble it first: skep asm {} --raw -o FILE", file.display())
                }
            };
            return Err(in_file(file, "is a text file, expected bare instructions").hint(hint));
        }
    }
    Slot::split(&bytes).ok_or_else(|| {
        let reason =
            format!("has {} bytes, expected a multiple of 8: an instruction each", bytes.len());
        in_file(file, reason)
    })
}
