//! The engines of `bench run`, each behind [`Engine`].

use std::ffi::{CString, c_void};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};
use skep_isa::{Insn, Slot, decode};
use skep_vm::jit::{
    Checks, Code, CodeStack, Options, Passes, Source, State, compile, compile_unchecked, optimise,
};

use crate::linux;

/// Bytes of the packet, and where it lies behind the context.
const PACKET: usize = 1024;
const PACKET_AT: usize = 256;
const MAPPED: usize = 4096;

/// Something that runs the program.
pub trait Engine {
    /// Runs it once; gives the lower half of r0.
    fn once(&mut self, memory: &LowMemory) -> u32;
    /// Nanoseconds of CPU time that a run takes, over `rounds` of them.
    fn time(&mut self, memory: &LowMemory, rounds: u64) -> f64 {
        let start = linux::thread_time();
        for _ in 0..rounds {
            std::hint::black_box(self.once(memory));
        }
        (linux::thread_time() - start) as f64 / rounds as f64
    }
}

/// Context and packet, below 4 GiB.
pub struct LowMemory {
    start: *mut u8,
}

impl LowMemory {
    /// A mapping of its own, filled as [`LowMemory::reset`] does.
    pub fn new() -> Result<LowMemory> {
        // SAFETY: a new private mapping.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                MAPPED,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        ensure!(start != libc::MAP_FAILED, "no memory below 4 GiB");
        let memory = LowMemory { start: start.cast() };
        memory.reset();
        Ok(memory)
    }

    /// Writes context and packet anew.
    pub fn reset(&self) {
        let packet = (self.start.addr() + PACKET_AT) as u32;
        let fields = [packet.to_ne_bytes(), (packet + PACKET as u32).to_ne_bytes()].concat();
        for (at, bytes) in [(0, &fields), (PACKET_AT, &self.packet())] {
            // SAFETY: inside of the mapping, which nobody holds a reference to.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(at), bytes.len());
            }
        }
    }

    /// The packet as every run starts with it.
    pub fn packet(&self) -> Vec<u8> {
        let mut numbers = fastrand::Rng::with_seed(1);
        (0..PACKET).map(|_| numbers.u8(..)).collect()
    }

    fn context(&self) -> u64 {
        self.start.addr() as u64
    }

    /// All of it. Nobody else may hold such a slice.
    #[cfg(feature = "peers")]
    pub fn bytes(&self) -> &'static mut [u8] {
        // SAFETY: mapped until the process ends (see `Drop`, which there is none of);
        // engines use it in turns.
        unsafe { std::slice::from_raw_parts_mut(self.start, MAPPED) }
    }
}

fn clang(arguments: &[&str], source: &Path, output: &Path) -> Result<()> {
    let mut command = Command::new("clang-19");
    command.args(arguments).arg(source).arg("-o").arg(output);
    let status = command.status().context("clang-19")?;
    ensure!(status.success(), "clang-19 failed on {}", source.display());
    Ok(())
}

/// Where something made of a source goes.
pub fn output(source: &Path, target: &Path, extension: &str) -> PathBuf {
    target.join(source.file_name().unwrap_or_default()).with_extension(extension)
}

/// Compiles a program for eBPF; gives the bytes of its instructions.
pub fn compile_bpf(source: &Path, target: &Path) -> Result<Vec<u8>> {
    let output = output(source, target, "o");
    clang(&["-O2", "--target=bpf", "-mcpu=v3", "-c"], source, &output)?;
    let bytes = std::fs::read(&output)?;
    let file = object::File::parse(&*bytes)?;
    let section = file.section_by_name("xdp").context("no section xdp")?;
    ensure!(section.relocations().next().is_none(), "the program has relocations");
    Ok(section.data()?.to_vec())
}

/// Decodes instructions.
pub fn insns(code: &[u8]) -> Result<Vec<Insn>> {
    let slots: Vec<Slot> = code
        .chunks_exact(8)
        .filter_map(|bytes| bytes.try_into().ok().map(Slot::from_bytes))
        .collect();
    Ok(decode(&slots)?)
}

/// The optimised form of a program as text.
pub fn form(code: &[u8], passes: Passes) -> Result<String> {
    let module = optimise(Source::bare(&insns(code)?), Options { checks: Checks::Elided, passes })?;
    Ok(module.to_string())
}

/// The running kernel.
pub struct Linux {
    program: OwnedFd,
    packet: Vec<u8>,
}

impl Linux {
    pub fn new(code: &[u8], packet: Vec<u8>) -> Result<Linux> {
        let words: Vec<u64> = code
            .chunks_exact(8)
            .filter_map(|bytes| bytes.try_into().ok().map(u64::from_ne_bytes))
            .collect();
        Ok(Linux { program: linux::load_xdp(&words)?, packet })
    }
}

impl Engine for Linux {
    fn once(&mut self, _memory: &LowMemory) -> u32 {
        linux::test_run(&self.program, &self.packet).unwrap_or(0)
    }

    /// The kernel's own figure.
    fn time(&mut self, _memory: &LowMemory, rounds: u64) -> f64 {
        let repeat = u32::try_from(rounds).unwrap_or(u32::MAX);
        let result = linux::test_run_repeated(&self.program, &self.packet, repeat);
        result.map_or(f64::NAN, |(_, duration)| duration.into())
    }
}

/// Our compiler.
pub struct Skep {
    code: Code,
    stack: CodeStack,
}

impl Skep {
    /// Without checks, as verified programs run.
    pub fn elided(code: &[u8], passes: Passes) -> Result<Skep> {
        // SAFETY: Linux's verifier takes these programs, which run on the packet that
        // its context names.
        let code = unsafe { compile_unchecked(&insns(code)?, passes) }?;
        Ok(Skep { code, stack: CodeStack::default() })
    }

    /// With every check.
    pub fn guarded(code: &[u8], passes: Passes) -> Result<Skep> {
        Ok(Skep { code: compile(&insns(code)?, passes)?, stack: CodeStack::default() })
    }

    /// Its machine code.
    pub fn bytes(&self) -> &[u8] {
        self.code.bytes()
    }

    /// Microseconds to compile without checks, the least of a few, decoding excluded;
    /// and bytes of code.
    pub fn compile_cost(&self, code: &[u8], passes: Passes) -> (f64, usize) {
        let insns = insns(code).unwrap_or_default();
        let time = |_| {
            let start = Instant::now();
            // SAFETY: the code is not run.
            let made = unsafe { compile_unchecked(&insns, passes) };
            std::hint::black_box(made.is_ok());
            start.elapsed().as_secs_f64() * 1e6
        };
        ((0..5).map(time).fold(f64::INFINITY, f64::min), self.code.bytes().len())
    }

    fn state(stack: &mut CodeStack, memory: &LowMemory) -> State<'static> {
        // SAFETY: the stack lives in the engine, which outlives every state that it
        // makes; states are used up within `once` and `time`.
        let stack: &'static mut CodeStack = unsafe { &mut *std::ptr::from_mut(stack) };
        // SAFETY: mapped until the process ends; no reference to it is alive in a run.
        unsafe { State::bare(stack, memory.start, MAPPED as u32, u64::MAX) }
    }
}

impl Engine for Skep {
    fn once(&mut self, memory: &LowMemory) -> u32 {
        let mut state = Skep::state(&mut self.stack, memory);
        match self.code.run(&mut state, memory.context(), 0) {
            Ok(r0) => r0 as u32,
            _ => u32::MAX,
        }
    }

    fn time(&mut self, memory: &LowMemory, rounds: u64) -> f64 {
        let mut state = Skep::state(&mut self.stack, memory);
        let start = linux::thread_time();
        for _ in 0..rounds {
            match self.code.run(&mut state, memory.context(), 0) {
                Ok(r0) => _ = std::hint::black_box(r0),
                _ => return f64::NAN,
            }
        }
        (linux::thread_time() - start) as f64 / rounds as f64
    }
}

type Function = unsafe extern "C" fn(*const c_void) -> u32;

/// The same C, compiled natively.
pub struct Native {
    function: Function,
}

impl Native {
    pub fn new(source: &Path, target: &Path) -> Result<Native> {
        let output = output(source, target, "so");
        clang(&["-O2", "-shared", "-fPIC"], source, &output)?;
        let path = CString::new(output.to_string_lossy().as_bytes())?;
        // SAFETY: a library that was just made of a program of the suite.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        ensure!(!library.is_null(), "{} does not load", output.display());
        // SAFETY: the library is loaded, and stays so.
        let symbol = unsafe { libc::dlsym(library, c"program".as_ptr()) };
        if symbol.is_null() {
            bail!("{} has no program", output.display());
        }
        // SAFETY: the suite's header gives it this type.
        let function = unsafe { std::mem::transmute::<*mut c_void, Function>(symbol) };
        Ok(Native { function })
    }
}

impl Engine for Native {
    fn once(&mut self, memory: &LowMemory) -> u32 {
        // SAFETY: the context is in the mapping, and so is the packet that it names.
        unsafe { (self.function)(memory.start.cast_const().cast()) }
    }
}
