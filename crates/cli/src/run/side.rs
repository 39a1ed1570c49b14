//! A kernel with the object in it: what one packet does there, and what all of them
//! added up to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use skep::abi::{Errno, ProgType, Trap, TrapKind};
use skep::load::{
    Linked, LinkedProgram, LoadError, LoadErrorKind, Options, Program, RingBuffer, Skep, Target,
};
use skep::sys::{Kernel, TestRun};
use skep::vm::Vm;
use skep::vm::hooks::{PacketError, PacketHook};

use super::records::{Printed, Ring};
use super::verdict;
use crate::doctor::missing_capabilities;
use crate::failure::Failure;

/// A kernel, the object in it, and its tally.
pub struct Side {
    engine: Engine,
    skep: Skep,
    program: Program,
    prog_type: ProgType,
    /// Ring buffers that are read.
    pub rings: Vec<Ring>,
    /// What programs printed; nothing of Linux's.
    pub printed: Arc<Mutex<Printed>>,
    /// What came of the packets.
    pub tally: Tally,
}

/// Sums over packets.
#[derive(Debug, Default)]
pub struct Tally {
    /// Packets with a verdict.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that the kernel does not take.
    pub outside: u64,
    /// Time that the program ran.
    pub time: Duration,
    /// Packets and bytes by verdict.
    pub verdicts: BTreeMap<u32, (u64, u64)>,
}

enum Engine {
    Embedded { vm: Arc<Vm>, hook: PacketHook },
    Linux { input: Vec<u8>, output: Vec<u8>, len: usize },
}

/// What a packet came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ran {
    /// The program returned this.
    Verdict(u32),
    /// The kernel does not take such a packet.
    Outside,
}

/// Room for what TEST_RUN gives back.
const OUTPUT: usize = 1 << 17;
const ETH_HLEN: usize = 14;
/// `struct __sk_buff`; a context of zeros makes Linux fill in the packet's length.
const SK_BUFF: usize = 192;

impl Side {
    /// Loads the object into the embedded kernel.
    ///
    /// # Errors
    /// What does not load.
    pub fn embedded(
        vm: Arc<Vm>,
        linked: &Linked,
        target: &Target,
        options: &Options,
        name: &str,
    ) -> Result<Side, Failure> {
        let kernel: Arc<dyn Kernel> = vm.clone();
        let skep = load(&kernel, linked, target, options)?;
        let program = named(&skep, name)?;
        let hook = PacketHook::new(&vm, program.fd().raw())
            .map_err(|error| Failure::unusable(format!("program {name:?}: {error}")))?;
        let printed = Arc::new(Mutex::new(Printed::default()));
        let lines = printed.clone();
        vm.environment().set_printer(move |text| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).add(text);
        });
        Side::new(Engine::Embedded { vm, hook }, skep, program, printed)
    }

    /// Loads the object into the machine's kernel.
    ///
    /// # Errors
    /// What does not load.
    pub fn linux(
        kernel: Arc<dyn Kernel>,
        linked: &Linked,
        target: &Target,
        options: &Options,
        name: &str,
    ) -> Result<Side, Failure> {
        let skep = load(&kernel, linked, target, options)?;
        let program = named(&skep, name)?;
        let engine = Engine::Linux { input: Vec::new(), output: vec![0; OUTPUT], len: 0 };
        Side::new(engine, skep, program, Arc::default())
    }

    fn new(
        engine: Engine,
        skep: Skep,
        program: Program,
        printed: Arc<Mutex<Printed>>,
    ) -> Result<Side, Failure> {
        let mut rings = Vec::new();
        for map in skep.maps() {
            // What is no ring buffer says so.
            if let Ok(reader) = RingBuffer::new(map) {
                rings.push(Ring::new(map.clone(), reader));
            }
        }
        let prog_type = program.def().prog_type.unwrap_or(ProgType::Unspec);
        Ok(Side { engine, skep, program, prog_type, rings, printed, tally: Tally::default() })
    }

    /// `embedded`, `linux`.
    pub fn name(&self) -> &'static str {
        match self.engine {
            Engine::Embedded { .. } => "embedded",
            Engine::Linux { .. } => "linux",
        }
    }

    /// The loaded object.
    pub fn skep(&self) -> &Skep {
        &self.skep
    }

    /// The program that runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its type.
    pub fn prog_type(&self) -> ProgType {
        self.prog_type
    }

    /// Stops the clock at a packet's time, and draws a random number for it.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn set_clock(&self, ns: u64, random: u32) -> Result<(), Failure> {
        if let Engine::Embedded { vm, .. } = &self.engine {
            vm.environment().set_time(Some(ns));
        }
        super::clock::set(&self.skep, ns, random).map_err(|errno| {
            Failure::unusable(format!("the program's clock cannot be set: {errno}"))
        })
    }

    /// Whether the kernel takes a packet of this length.
    pub fn takes(&self, len: usize) -> bool {
        // A page holds head room, packet and `struct skb_shared_info`.
        const XDP_ROOM: usize = 4096 - 256 - 320;
        const SKB_ROOM: usize = 4096 - 64 - 320;
        match (&self.engine, self.prog_type) {
            (Engine::Embedded { .. }, _) => len >= ETH_HLEN,
            (Engine::Linux { .. }, ProgType::Xdp) => len > ETH_HLEN && len <= XDP_ROOM,
            (Engine::Linux { .. }, ProgType::SocketFilter) => {
                len > ETH_HLEN && len <= SKB_ROOM - ETH_HLEN
            }
            (Engine::Linux { .. }, _) => len > ETH_HLEN && len <= SKB_ROOM,
        }
    }

    /// Runs the program on a frame that the kernel takes, and counts it.
    ///
    /// # Errors
    /// The program trapped, or the kernel failed: which instruction, and its source.
    pub fn run(&mut self, frame: &[u8]) -> Result<Ran, Failure> {
        let ran = match &mut self.engine {
            Engine::Embedded { vm, hook } => {
                let started = Instant::now();
                let verdict = hook.run(vm, frame);
                self.tally.time += started.elapsed();
                match verdict {
                    Ok(verdict) => Ran::Verdict(verdict.retval),
                    Err(PacketError::TooShort(_)) => Ran::Outside,
                    Err(error) => return Err(explain(self.program.linked(), &self.skep, &error)),
                }
            }
            Engine::Linux { input, output, len } => {
                input.clear();
                if self.prog_type == ProgType::SocketFilter {
                    // TEST_RUN takes a header away; the frame keeps its own this way.
                    input.extend_from_slice(&frame[..ETH_HLEN]);
                }
                input.extend_from_slice(frame);
                let context = [0; SK_BUFF];
                let is_skb = self.prog_type != ProgType::Xdp;
                let (run, result) = self.program.test_run(TestRun {
                    data_size_in: input.len() as u32,
                    data_in: Some(input.as_slice().into()),
                    data_size_out: output.len() as u32,
                    data_out: output.as_mut_slice().into(),
                    ctx_size_in: if is_skb { SK_BUFF as u32 } else { 0 },
                    ctx_in: is_skb.then(|| context[..].into()),
                    ..TestRun::default()
                });
                let (retval, size, duration) = (run.retval, run.data_size_out, run.duration);
                drop(run);
                match result {
                    Ok(()) => {
                        *len = (size as usize).min(output.len());
                        self.tally.time += Duration::from_nanos(duration.into());
                        Ran::Verdict(retval)
                    }
                    // A packet that is cut behind its IP header's start, say.
                    Err(Errno::EINVAL) => Ran::Outside,
                    Err(errno) => {
                        return Err(Failure::unusable(format!(
                            "BPF_PROG_TEST_RUN failed: {errno}"
                        )));
                    }
                }
            }
        };
        match ran {
            Ran::Verdict(retval) => {
                let bytes = frame.len() as u64;
                self.tally.packets += 1;
                self.tally.bytes += bytes;
                let sum = self.tally.verdicts.entry(verdict::class(self.prog_type, retval));
                let sum = sum.or_default();
                *sum = (sum.0 + 1, sum.1 + bytes);
            }
            Ran::Outside => self.tally.outside += 1,
        }
        Ok(ran)
    }

    /// The last packet as the program left it.
    pub fn packet(&self) -> &[u8] {
        match &self.engine {
            Engine::Embedded { hook, .. } => hook.packet(),
            Engine::Linux { output, len, .. } => {
                let added = if self.prog_type == ProgType::SocketFilter { ETH_HLEN } else { 0 };
                output.get(added..*len).unwrap_or_default()
            }
        }
    }
}

fn named(skep: &Skep, name: &str) -> Result<Program, Failure> {
    match skep.program(name) {
        Some(program) => Ok(program.clone()),
        None => Err(Failure::unusable(format!("program {name:?} was not loaded"))),
    }
}

fn load(
    kernel: &Arc<dyn Kernel>,
    linked: &Linked,
    target: &Target,
    options: &Options,
) -> Result<Skep, Failure> {
    skep::load::load(linked, target, kernel, options)
        .map_err(|error| refusal(&error, kernel.name()))
}

/// What a kernel refused: an unusable object, a missing permission, or a rejected program
/// with the verifier's last words.
fn refusal(error: &LoadError, kernel: &str) -> Failure {
    let missing = missing_capabilities();
    let failure = match error.errno() {
        Some(Errno::EPERM) if kernel == "linux" && !missing.is_empty() => {
            let failure = Failure::unusable(error);
            let missing = missing.join(", ");
            return failure.hint(format!(
                "this process lacks {missing}: become root, or leave out --kernel {kernel}"
            ));
        }
        _ if error.is_unusable_input() => Failure::unusable(error),
        _ => Failure::refused(error),
    };
    let failure = match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    };
    match error.kind() {
        LoadErrorKind::Program { log, diagnostic, .. } => {
            let said = diagnostic.as_ref().map(|diagnostic| diagnostic.message.clone());
            failure.detail(said.unwrap_or_else(|| last_lines(log)))
        }
        _ => failure,
    }
}

/// The end of a verifier's log, where the reason stands.
fn last_lines(log: &str) -> String {
    const MOST: usize = 16;
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(MOST)..].join("\n")
}

/// A trap, with its place in the source.
fn explain(program: &LinkedProgram, skep: &Skep, error: &PacketError) -> Failure {
    match error {
        PacketError::Trapped(trap) => {
            let what = match (&trap.kind, poisoned(program, trap)) {
                (TrapKind::UnknownHelper { .. } | TrapKind::Poisoned { .. }, Some(what)) => {
                    format!("reached an instruction that could not be resolved: {what}")
                }
                (kind, _) => kind.to_string(),
            };
            let place = source_of(program, skep, trap.pc);
            let failure = Failure::refused(format!("insn {}{place}: {what}", trap.pc));
            match trap.frames.len() {
                0 | 1 => failure,
                _ => {
                    let callers: Vec<String> =
                        trap.frames[1..].iter().map(|frame| frame.pc.to_string()).collect();
                    failure.detail(format!("called from insn {}", callers.join(", ")))
                }
            }
        }
        PacketError::OutOfBudget => {
            Failure::refused("the budget of instructions is used up").hint("--budget N allows more")
        }
        PacketError::Program(_) | PacketError::TooShort(_) => Failure::unusable(error),
    }
}

fn poisoned<'a>(program: &'a LinkedProgram, trap: &Trap) -> Option<&'a str> {
    let found = program.poisoned.iter().find(|poisoned| poisoned.at == trap.pc);
    found.map(|poisoned| poisoned.what.as_str())
}

/// ` (prog.bpf.c:34: x = *p;)`, or nothing.
fn source_of(program: &LinkedProgram, skep: &Skep, pc: u32) -> String {
    let line = program.line_info.iter().rev().find(|line| line.insn_off <= pc);
    let (Some(line), Some(btf)) = (line, skep.types()) else { return String::new() };
    let file = btf.string(line.file_name_off).unwrap_or_default();
    let text = btf.string(line.line_off).unwrap_or_default().trim();
    let file = file.rsplit('/').next().unwrap_or(file);
    match text {
        "" => format!(" ({file}:{})", line.line),
        text => format!(" ({file}:{}: {text})", line.line),
    }
}
