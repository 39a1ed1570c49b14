//! What a call costs: a program that returns 0 at once.

use anyhow::{Context, Result};
use skep_vm::Engine as VmEngine;
use skep_vm::jit::Passes;

use crate::run::embedded::Embedded;
use crate::run::measure::{median, turns};
use crate::run::peers::{Engine, Linux, LowMemory, Skep};

/// Median nanoseconds of a call.
pub struct Empty {
    /// By a repeated BPF_PROG_TEST_RUN of Linux.
    pub linux: f64,
    /// By one of the embedded kernel.
    pub test_run: f64,
    /// By [`skep_vm::jit::Code::run`], without a kernel.
    pub code: f64,
}

/// `r0 = 0; exit`
const PROGRAM: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// Measures the three in turns.
pub fn measure(times: usize) -> Result<Empty> {
    let memory = LowMemory::new()?;
    let packet = memory.packet();
    let mut engines: Vec<Option<Box<dyn Engine>>> = vec![
        Some(Box::new(Linux::new(&PROGRAM, packet.clone())?)),
        Some(Box::new(Embedded::new(VmEngine::Auto, &PROGRAM, packet)?)),
        Some(Box::new(Skep::elided(&PROGRAM, Passes::ALL)?)),
    ];
    let all = turns(&mut engines, &memory, times);
    let time = |at: usize| median(&all[at]).context("the empty program does not return 0");
    Ok(Empty { linux: time(0)?, test_run: time(1)?, code: time(2)? })
}
