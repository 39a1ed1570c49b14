//! Every row of the tables beside Linux: programs of a few instructions, for each
//! program type and attach type that load at all: each helper called, each place of
//! the context read and written at each size, each return value at the edges.

use std::sync::Arc;

use anyhow::Result;
use skep_abi::ProgType;
use skep_isa::Slot;
use skep_sys::{Command, Fd, Kernel, Layer, ProgLoad};

use super::judge::Judge;
use super::report::Report;
use super::{Corpus, Options};

/// Attach types are tried up to this one.
const LAST_ATTACH: u32 = 58;
/// Helpers are tried up to this one, which does not exist.
const LAST_HELPER: i32 = 212;
/// Bytes of context that are tried.
const CONTEXT: i16 = 256;

/// Judges all of it.
///
/// # Errors
/// None yet.
pub fn judge(judge: &Arc<Layer<Judge>>, options: &Options, report: &mut Report) -> Result<()> {
    for kind in ProgType::ALL {
        let mut hooks: Vec<u32> = Vec::new();
        for attach in 0..=LAST_ATTACH {
            let accepted = [0, 1].map(|value| {
                let case = Case { kind: *kind, attach, what: format!("returns {value}") };
                case.judge(judge, &[set(0, value)], options, report)
            });
            if accepted.contains(&true) {
                hooks.push(attach);
            }
        }
        // A type that takes every attach type does not look at it.
        if hooks.len() > LAST_ATTACH as usize {
            hooks = vec![0, 42, 56];
        }
        for attach in hooks {
            for_hook(*kind, attach, judge, options, report);
        }
    }
    Ok(())
}

fn for_hook(
    kind: ProgType,
    attach: u32,
    judge: &Arc<Layer<Judge>>,
    options: &Options,
    report: &mut Report,
) {
    let mut one = |what: String, insns: &[Slot]| {
        Case { kind, attach, what }.judge(judge, insns, options, report);
    };
    for value in [-1, 2, 3, 4, 5, 8, 255, i32::MAX, i32::MIN] {
        one(format!("returns {value}"), &[set(0, value)]);
    }
    for id in 1..=LAST_HELPER {
        let call = Slot { code: 0x85, imm: id, ..Slot::default() };
        one(format!("calls {id}"), &[call, set(0, 0)]);
        one(format!("calls {id} with the context"), &[set(2, 0), set(3, 0), call, set(0, 0)]);
    }
    // Opcodes of loads and stores: W, H, B, DW.
    for (size, bytes) in [(0x00, 4), (0x08, 2), (0x10, 1), (0x18, 8)] {
        for off in 0..CONTEXT {
            let load = Slot { code: 0x61 | size, dst: 2, src: 1, off, ..Slot::default() };
            let same = [load, set(0, 0)];
            one(format!("loads {bytes} at {off}"), &same);
            if off % 4 != 0 {
                continue;
            }
            // What was read is used as a number, and as a pointer.
            let add = Slot { code: 0x27, dst: 2, imm: 3, ..Slot::default() };
            one(format!("loads {bytes} at {off} as a number"), &[load, add, set(0, 0)]);
            let through = Slot { code: 0x71, dst: 3, src: 2, ..Slot::default() };
            one(format!("loads {bytes} at {off} as a pointer"), &[load, through, set(0, 0)]);
            let store = Slot { code: 0x63 | size, dst: 1, src: 2, off, ..Slot::default() };
            one(format!("stores {bytes} at {off}"), &[set(2, 0), store, set(0, 0)]);
            let store = Slot { code: 0x62 | size, dst: 1, off, ..Slot::default() };
            one(format!("stores {bytes} at {off}, constant"), &[store, set(0, 0)]);
        }
    }
}

/// `r = value`.
fn set(reg: u8, value: i32) -> Slot {
    Slot { code: 0xb7, dst: reg, imm: value, ..Slot::default() }
}

struct Case {
    kind: ProgType,
    attach: u32,
    what: String,
}

impl Case {
    /// Whether Linux accepts the instructions and an exit.
    fn judge(
        &self,
        judge: &Arc<Layer<Judge>>,
        insns: &[Slot],
        options: &Options,
        report: &mut Report,
    ) -> bool {
        let name = format!("{:?}/{}: {}", self.kind, self.attach, self.what);
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return false;
        }
        let exit = Slot { code: 0x95, ..Slot::default() };
        let insns = [insns, &[exit]].concat();
        let mut command = Command::ProgLoad(Box::new(ProgLoad {
            prog_type: self.kind as u32,
            expected_attach_type: self.attach,
            insn_cnt: insns.len() as u32,
            insns: Some(Slot::join(&insns).into()),
            license: Some(b"GPL\0".to_vec().into()),
            ..ProgLoad::default()
        }));
        let kernel: Arc<dyn Kernel> = judge.clone();
        let loaded = Fd::open(&kernel, &mut command);
        for case in judge.take_cases() {
            report.add(Corpus::Tables, &name, &case, options.logs);
        }
        loaded.is_ok()
    }
}
