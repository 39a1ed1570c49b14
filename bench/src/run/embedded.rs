//! The embedded kernel, by `BPF_PROG_TEST_RUN` like Linux.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use skep::abi::ProgType;
use skep::sys::{Command, Kernel, ProgLoad};
use skep::{TestRun, Vm};
use skep_vm::Engine as VmEngine;

use super::peers::{Engine, LowMemory};
use crate::linux;

/// A program in an embedded kernel.
pub struct Embedded {
    kernel: Arc<Vm>,
    program: u32,
    packet: Vec<u8>,
}

impl Embedded {
    /// Loads the program, to be run by `engine`.
    pub fn new(engine: VmEngine, code: &[u8], packet: Vec<u8>) -> Result<Embedded> {
        let kernel = Arc::new(Vm::new().with_engine(engine));
        let load = ProgLoad {
            prog_type: ProgType::Xdp as u32,
            insn_cnt: (code.len() / 8) as u32,
            insns: Some(code.into()),
            license: Some(b"MIT\0"[..].into()),
            ..ProgLoad::default()
        };
        let loaded = kernel.bpf(&mut Command::ProgLoad(Box::new(load)));
        let program = loaded.map_err(|errno| anyhow!("the embedded kernel: {errno}"))?;
        Ok(Embedded { kernel, program, packet })
    }

    fn run(&self, repeat: u32) -> Option<u32> {
        let run = TestRun {
            prog_fd: self.program,
            data_size_in: self.packet.len() as u32,
            data_in: Some(self.packet[..].into()),
            repeat,
            ..TestRun::default()
        };
        let mut command = Command::TestRun(Box::new(run));
        self.kernel.bpf(&mut command).ok()?;
        match command {
            Command::TestRun(run) => Some(run.retval),
            _ => None,
        }
    }
}

impl Engine for Embedded {
    fn once(&mut self, _memory: &LowMemory) -> u32 {
        self.run(1).unwrap_or(u32::MAX - 1)
    }

    fn time(&mut self, _memory: &LowMemory, rounds: u64) -> f64 {
        let start = linux::thread_time();
        std::hint::black_box(self.run(u32::try_from(rounds).unwrap_or(u32::MAX)));
        (linux::thread_time() - start) as f64 / rounds as f64
    }
}
