//! The verifier: would Linux load this program, and if not, why.
//!
//! `domain` is what it knows of a number; everything else is built on top of it:
//!
//! ```text
//! Program, Env ──► structure ──► explore ──► Verified | VerifyError
//!                 (no paths)    (paths; prune and precision keep them few)
//! ```
//!
//! `alu`, `branch`, `mem`, `stack`, `call`, `helper`, `kfunc`, `objects` and `ctx`
//! say what single instructions do to a `state`.
#![forbid(unsafe_code)]

mod alu;
mod attach;
mod branch;
mod call;
mod callback;
mod checker;
mod cover;
mod ctx;
mod disasm;
pub mod domain;
mod env;
mod error;
pub mod explain;
mod explore;
mod explored;
mod facts;
pub mod format;
mod global;
mod helper;
mod hook;
mod kernel_types;
mod kfunc;
mod linked;
mod log;
mod mem;
mod memory;
mod objects;
mod precision;
mod print;
mod program;
mod prune;
mod record;
mod reg;
mod shape;
mod stack;
mod stack_live;
mod stack_slots;
mod state;
mod structure;
mod tag;

pub use env::Env;
pub use error::VerifyError;
pub use facts::{CallMap, Edges, Facts, InsnFacts, Region};
pub use linked::{KfuncRef, KfuncRefs, Linked};
pub use log::{Log, message};
pub use program::{FuncInfo, LineInfo, MapDef, MapRef, MapsByFd, Program};
pub use record::{FieldKind, SpecialField, special_fields};
pub use tag::tag;

use skep_abi::limits::{MAX_INSNS, MAX_INSNS_UNPRIVILEGED};
use std::sync::Arc;

use skep_abi::{Capabilities, Errno, ProgType};

/// A program that was accepted, and what is known of it. Only [`verify`] makes one, and
/// the facts hold for the program with the maps and the environment it was judged with,
/// and no others.
#[derive(Clone, Debug)]
pub struct Verified {
    program: Arc<Program>,
    linked: Linked,
    facts: Facts,
    counts: Counts,
    stack_depths: Vec<u32>,
}

impl Verified {
    /// The program, with its maps.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// What is known of its instructions.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its instructions, decoded, with what they name.
    pub fn linked(&self) -> &Linked {
        &self.linked
    }

    /// How much work it was to verify.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes of stack of each function, in the order of their starts.
    pub fn stack_depths(&self) -> &[u32] {
        &self.stack_depths
    }
}

/// How much was explored, as the log's last line has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions that were followed, counted once for each path.
    pub processed: u32,
    /// Most states kept for one instruction.
    pub max_states_per_insn: u32,
    /// States that were kept at some time.
    pub total_states: u32,
    /// Most states kept at a time.
    pub peak_states: u32,
}

/// Verifies a program as Linux 6.18 would, and writes what Linux would log.
///
/// # Errors
/// The first fault, with the errno of `BPF_PROG_LOAD` and the line of Linux's log.
pub fn verify(program: &Arc<Program>, env: &Env, log: &mut Log) -> Result<Verified, VerifyError> {
    verify_with(program, env, &mut |fd| program.map(fd), log)
}

/// The same, with maps that a resolver knows by their fds. It is asked once for each fd, in
/// the order of the instructions; two fds of one map get one definition.
///
/// # Errors
/// As for [`verify`].
pub fn verify_with(
    program: &Arc<Program>,
    env: &Env,
    maps: MapsByFd<'_>,
    log: &mut Log,
) -> Result<Verified, VerifyError> {
    let program = &admit(program, env)?;
    let mut checker = checker::Checker::new(program, env, maps, log);
    checker.run()?;
    let mut facts = std::mem::take(&mut checker.found.facts);
    facts.maps = checker.code.maps.iter().map(|map| Arc::clone(&map.def)).collect();
    Ok(Verified {
        program: Arc::clone(program),
        linked: checker.linked(),
        facts,
        counts: checker.counts(),
        stack_depths: checker.found.subprogs.iter().map(|sub| sub.stack_depth as u32).collect(),
    })
}

/// The program with the attach type that it gets where it names none; `None` where it
/// names one that its type does not take, or is of no type.
fn settle(program: &Arc<Program>) -> Option<Arc<Program>> {
    let row = program.kind.row();
    let attach_type = row.settle(program.attach_type)?;
    let named = program.attach_btf_id == 0 || row.names_btf;
    // Programs of no type are those of applications' hooks, and no others are.
    if (program.kind == ProgType::Unspec) != program.hook.is_some() || !named {
        return None;
    }
    let mut settled = Arc::clone(program);
    if settled.attach_type != attach_type {
        Arc::make_mut(&mut settled).attach_type = attach_type;
    }
    Some(settled)
}

/// What is looked at before the program itself; gives it with its attach type settled.
fn admit(program: &Arc<Program>, env: &Env) -> Result<Arc<Program>, VerifyError> {
    let refuse = |errno| Err(VerifyError::silent(errno));
    let privileged = env.caps.allow(Capabilities::BPF);
    let limit = if privileged { MAX_INSNS } else { MAX_INSNS_UNPRIVILEGED };
    if program.slots.is_empty() || program.slots.len() > limit {
        return refuse(Errno::E2BIG);
    }
    if !env.caps.allow(program.kind.row().needs) {
        return refuse(Errno::EPERM);
    }
    settle(program).ok_or(VerifyError::silent(Errno::EINVAL))
}
