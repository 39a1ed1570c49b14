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
mod checker;
mod ctx;
mod disasm;
pub mod domain;
mod env;
mod error;
mod explore;
mod format;
mod global;
mod helper;
mod kernel_types;
mod kfunc;
mod log;
mod mem;
mod objects;
mod precision;
mod print;
mod program;
mod prune;
mod record;
mod reg;
mod stack;
mod stack_live;
mod state;
mod structure;
mod value;

pub use env::Env;
pub use error::VerifyError;
pub use log::{Log, message};
pub use program::{FuncInfo, LineInfo, MapDef, MapRef, Program};

use skep_abi::{Capabilities, Errno, Reason};

/// Most instructions of a program whose loader holds CAP_BPF.
const MAX_INSNS: usize = 1_000_000;
/// Most instructions of any other.
const MAX_INSNS_UNPRIVILEGED: usize = 4096;

/// What a verified program is known to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Whether each instruction is reached.
    pub reached: Vec<bool>,
    /// Instructions that were followed, counted once for each path.
    pub processed: u32,
    /// Bytes of stack of each function, in the order of their starts.
    pub stack_depths: Vec<u32>,
}

/// Verifies a program as Linux 6.18 would, and writes what Linux would log.
pub fn verify(program: &Program, env: &Env, log: &mut Log) -> Result<Verified, VerifyError> {
    let refuse = |errno| Err(VerifyError { pc: None, errno, reason: Reason::Silent });
    let privileged = env.caps.allow(Capabilities::BPF);
    let limit = if privileged { MAX_INSNS } else { MAX_INSNS_UNPRIVILEGED };
    if program.slots.is_empty() || program.slots.len() > limit {
        return refuse(Errno::E2BIG);
    }
    let mut checker = checker::Checker::new(program, env, log);
    checker.run()?;
    Ok(Verified {
        reached: checker.aux.iter().map(|aux| aux.seen).collect(),
        processed: checker.processed,
        stack_depths: checker.subprogs.iter().map(|sub| sub.stack_depth as u32).collect(),
    })
}
