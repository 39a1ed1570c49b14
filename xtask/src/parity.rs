//! Comparison with Linux and libbpf, program by program.

use anyhow::Result;
use clap::Subcommand;

use crate::{
    attach, debian, engines, filter, generate, helpers, maps, packs, random, relocate, retval, run,
    seccomp, sound, trace, verify,
};

/// Calls of the kernel's functions in the tests.
const KFUNC_CALLS: usize = 10_000;
/// Calls of global functions in the tests.
const GLOBAL_CALLS: usize = 3_000;

/// What to compare.
#[derive(Subcommand, Clone)]
pub enum What {
    /// Instructions of Debian's objects as libbpf would load them
    Relocate,
    /// Verdict, packet and maps of programs on a capture: embedded kernel and Linux
    Run,
    /// Verdict, message and instruction of the verifier on Linux's own tests
    Verify(verify::Options),
    /// Debian's programs, each run once in the embedded kernel
    Debian(debian::Options),
    /// Skeletons and linked objects of Debian's objects, beside bpftool's
    Gen,
    /// What Linux's own tests return, on both kernels and every engine
    Retval(retval::Options),
    /// Each helper with many sets of arguments, by TEST_RUN on both kernels
    Helpers(helpers::Options),
    /// Random operations on maps of all types, on both kernels
    Maps(maps::Options),
    /// Calls of the kernel's functions with every kind of argument, beside Linux
    Kfuncs(verify::calls::Options),
    /// Calls of global functions with every kind of argument, beside Linux
    Globals(verify::calls::Options),
    /// What the verifier accepts, on the tagged interpreter, with its facts asserted
    Sound(sound::Options),
    /// What the verifier accepts, on every engine of the embedded kernel
    Engines(engines::Options),
    /// Random programs by TEST_RUN, on every engine and on Linux
    Random(random::Options),
    /// Filter expressions: libpcap's own cases, its matches on a capture, and tcpdump
    Filter(filter::Options),
    /// Verdicts by packs of the kernel's types, on Debian's objects
    Packs,
    /// Seccomp policies: shared cases, Debian's profile, random ones; each program is proved
    Seccomp(seccomp::Options),
    /// Hits of programs at each kind of hook of this Linux, beside what was done
    Attach,
    /// Tracing scripts: bpftrace's own tests on this machine
    Trace(trace::Options),
}

impl What {
    /// Every comparison, in the order of the tests.
    pub fn all() -> [What; 18] {
        let (verify, sound) = (verify::Options::short(), sound::Options::short());
        let (engines, random) = (engines::Options::short(), random::Options::short());
        [
            What::Relocate,
            What::Run,
            What::Verify(verify),
            What::Debian(debian::Options::default()),
            What::Gen,
            What::Retval(retval::Options::default()),
            What::Helpers(helpers::Options::short()),
            What::Maps(maps::Options::short()),
            What::Kfuncs(verify::calls::Options::short(KFUNC_CALLS)),
            What::Globals(verify::calls::Options::short(GLOBAL_CALLS)),
            What::Sound(sound),
            What::Engines(engines),
            What::Random(random),
            What::Filter(filter::Options::short()),
            What::Packs,
            What::Seccomp(seccomp::Options::short()),
            What::Attach,
            What::Trace(trace::Options::default()),
        ]
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            What::Relocate => "relocate",
            What::Run => "run",
            What::Verify(_) => "verify",
            What::Debian(_) => "debian",
            What::Gen => "gen",
            What::Retval(_) => "retval",
            What::Helpers(_) => "helpers",
            What::Maps(_) => "maps",
            What::Kfuncs(_) => "kfuncs",
            What::Globals(_) => "globals",
            What::Sound(_) => "sound",
            What::Engines(_) => "engines",
            What::Random(_) => "random",
            What::Filter(_) => "filter",
            What::Packs => "packs",
            What::Seccomp(_) => "seccomp",
            What::Attach => "attach",
            What::Trace(_) => "trace",
        }
    }
}

/// Compares. Gives whether the goal is met.
///
/// # Errors
/// What keeps the comparison from being made.
pub fn execute(what: &What) -> Result<bool> {
    std::fs::create_dir_all("target/parity")?;
    match what {
        What::Relocate => relocate::run(),
        What::Run => run::execute(),
        What::Verify(options) => verify::execute(options),
        What::Debian(options) => debian::execute(options),
        What::Gen => generate::execute(),
        What::Retval(options) => retval::execute(options),
        What::Maps(options) => maps::execute(options),
        What::Helpers(options) => helpers::execute(options),
        What::Kfuncs(options) => verify::calls::execute(verify::calls::Calls::Kfuncs, options),
        What::Globals(options) => verify::calls::execute(verify::calls::Calls::Globals, options),
        What::Sound(options) => sound::execute(options),
        What::Engines(options) => engines::execute(options),
        What::Random(options) => random::execute(options),
        What::Filter(options) => filter::execute(options),
        What::Packs => packs::execute(),
        What::Seccomp(options) => seccomp::execute(options),
        What::Attach => attach::execute(),
        What::Trace(options) => trace::execute(options),
    }
}
