//! A kernel with the object in it: what one packet does there, and what all of them
//! added up to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use skep::abi::context::at;
use skep::abi::{Errno, MapType, ProgType, Trap, TrapKind};
use skep::load::{
    Linked, LinkedProgram, LoadError, LoadErrorKind, Options, Program, RingBuffer, Skep, Target,
    clock,
};
use skep::sys::{Kernel, Output, TestRun};
use skep::vm::Vm;
use skep::vm::hooks::{Arrival, PacketError, PacketHook, Redirected};

use super::records::{Printed, Ring};
#[cfg(target_os = "linux")]
use super::trace::{self, Trace};
use super::{engine, verdict};
use crate::doctor::missing_capabilities;
use crate::embedded;
use crate::failure::Failure;

/// A kernel, the object in it, and its tally.
pub struct Side {
    engine: Engine,
    skep: Skep,
    program: Program,
    prog_type: ProgType,
    /// Ring buffers that are read.
    pub rings: Vec<Ring>,
    /// What programs printed.
    pub printed: Arc<Mutex<Printed>>,
    /// Where Linux's programs print to, for those that do.
    #[cfg(target_os = "linux")]
    trace: Option<Trace>,
    /// Why it is not known what they print.
    unheard: Option<String>,
    /// What came of the packets.
    pub tally: Tally,
    /// What was left out, and why.
    pub notes: Vec<String>,
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
    /// Packets with a verdict of which only the start was recorded.
    pub cut: u64,
    /// Time that the compiler of the embedded kernel took, before the first packet.
    pub compiling: Duration,
    /// Time that the program ran.
    pub time: Duration,
    /// Packets and bytes by verdict.
    pub verdicts: BTreeMap<u32, (u64, u64)>,
}

enum Engine {
    Embedded(PacketHook),
    Linux(Exchange),
}

/// What TEST_RUN takes and gives.
struct Exchange {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Where the packet is in `output`.
    packet: Range<usize>,
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
const SK_BUFF: usize = at::skb::SIZE_OF as usize;
/// `struct xdp_md`; coming back, it says how much of the output is metadata.
const XDP_MD: usize = at::xdp::SIZE_OF as usize;

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
        let (skep, notes) = load_what_is_used(&kernel, linked, target, options)?;
        let program = named(&skep, name)?;
        let hook =
            PacketHook::new(&vm, program.fd().raw()).map_err(|error| not_run(name, &error))?;
        let started = Instant::now();
        hook.compile();
        let compiling = started.elapsed();
        let printed = Arc::new(Mutex::new(Printed::default()));
        let lines = printed.clone();
        vm.environment().set_printer(move |text| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).add(text);
        });
        let mut side = Side::new(Engine::Embedded(hook), skep, program, printed)?;
        side.tally.compiling = compiling;
        side.notes = notes;
        Ok(side)
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
        let (skep, notes) = load_what_is_used(&kernel, linked, target, options)?;
        let program = named(&skep, name)?;
        let exchange = Exchange { input: Vec::new(), output: vec![0; OUTPUT], packet: 0..0 };
        let mut side = Side::new(Engine::Linux(exchange), skep, program, Arc::default())?;
        side.notes = notes;
        side.listen();
        Ok(side)
    }

    /// Opens what programs print to, where one of them prints.
    #[cfg(target_os = "linux")]
    fn listen(&mut self) {
        let prints = |program: &Program| {
            let mut slots = program.linked().insns.iter();
            slots.any(|slot| {
                (slot.code, slot.src) == (0x85, 0) && trace::HELPERS.contains(&slot.imm)
            })
        };
        if !self.skep.programs().iter().any(prints) {
            return;
        }
        match Trace::new() {
            Ok(trace) => self.trace = Some(trace),
            Err(error) => {
                self.unheard =
                    Some(format!("what the program prints in Linux is not shown: {error}"));
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn listen(&mut self) {}

    /// A note on what programs printed and nobody saw.
    pub fn not_heard(&self) -> Option<String> {
        #[cfg(target_os = "linux")]
        if let Some(lost @ 1..) = self.trace.as_ref().map(|trace| trace.lost) {
            return Some(format!("{lost} lines that the program printed in Linux were lost"));
        }
        self.unheard.clone()
    }

    /// Whether it is known what programs print.
    pub fn is_heard(&self) -> bool {
        self.unheard.is_none()
    }

    /// Takes what programs wrote into ring buffers and printed; keeps it for a comparison,
    /// too, if there is one.
    pub fn drain(&mut self, compares: bool) {
        self.rings.iter_mut().for_each(|ring| ring.drain(compares));
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.compares = compares;
        #[cfg(target_os = "linux")]
        if let Some(trace) = &mut self.trace {
            trace.drain(&mut printed);
        }
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
        Ok(Side {
            engine,
            skep,
            program,
            prog_type,
            rings,
            printed,
            #[cfg(target_os = "linux")]
            trace: None,
            unheard: None,
            tally: Tally::default(),
            notes: Vec::new(),
        })
    }

    /// `embedded`, `linux`.
    pub fn name(&self) -> &'static str {
        match self.engine {
            Engine::Embedded(_) => "embedded",
            Engine::Linux(_) => "linux",
        }
    }

    /// What ran the program: `elided`, `guarded`, `interpreter`, or Linux's own.
    pub fn engine(&self) -> Option<&'static str> {
        match &self.engine {
            Engine::Embedded(hook) => Some(engine::name(hook.program())),
            Engine::Linux(_) => None,
        }
    }

    /// A note on a program that was to be compiled and could not be.
    pub fn not_compiled(&self) -> Option<String> {
        match &self.engine {
            Engine::Embedded(hook) => {
                let error = hook.program().compile_error()?;
                Some(format!("interpreted: {error}"))
            }
            Engine::Linux(_) => None,
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

    /// Runs the embedded kernel's program on a frame of an interface, at this time or at the
    /// kernel's; what comes of it is counted by who calls. None: the frame is too short.
    ///
    /// # Errors
    /// The program trapped: which instruction, and its source.
    #[cfg(target_os = "linux")]
    #[inline]
    pub fn run_live(
        &mut self,
        frame: &[u8],
        of: &Arrival,
        time: Option<u64>,
    ) -> Result<Option<u32>, Failure> {
        let Engine::Embedded(hook) = &mut self.engine else { return Ok(None) };
        hook.set_time(time);
        match hook.run_on(frame, of) {
            Ok(verdict) => Ok(Some(verdict.retval)),
            Err(PacketError::TooShort(_)) => {
                self.tally.outside += 1;
                Ok(None)
            }
            Err(error) => Err(explain(self.program.linked(), &self.skep, &error)),
        }
    }

    /// Where the last frame goes that the embedded kernel's program redirected.
    ///
    /// # Errors
    /// The program of a device trapped.
    #[cfg(target_os = "linux")]
    pub fn redirect(&mut self) -> Result<Redirected, Failure> {
        let Engine::Embedded(hook) = &mut self.engine else { return Ok(Redirected::default()) };
        hook.redirect().map_err(|error| Failure::refused(format!("a device's program: {error}")))
    }

    /// How many bytes later the last frame begins than it came.
    #[cfg(target_os = "linux")]
    pub fn moved(&self) -> isize {
        match &self.engine {
            Engine::Embedded(hook) => hook.moved(),
            Engine::Linux(_) => 0,
        }
    }

    /// The VLAN tag that stands beside the last frame, with its Ethernet type.
    #[cfg(target_os = "linux")]
    pub fn tag(&mut self) -> Option<(u16, u16)> {
        match &mut self.engine {
            Engine::Embedded(hook) => hook.tag(),
            Engine::Linux(_) => None,
        }
    }

    /// The embedded kernel's time.
    #[cfg(target_os = "linux")]
    pub fn now(&self) -> Option<u64> {
        match &self.engine {
            Engine::Embedded(hook) => Some(hook.now()),
            Engine::Linux(_) => None,
        }
    }

    /// Stops the clock at a packet's time, and draws a random number for it.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn set_clock(&mut self, ns: u64, random: u32) -> Result<(), Failure> {
        if let Engine::Embedded(hook) = &mut self.engine {
            hook.set_time(Some(ns));
        }
        clock::set(&self.skep, ns, random).map_err(|errno| {
            Failure::unusable(format!("the program's clock cannot be set: {errno}"))
        })
    }

    /// Whether the kernel takes a packet of this length.
    pub fn takes(&self, len: usize) -> bool {
        // A page holds head room, packet and `struct skb_shared_info`.
        const XDP_ROOM: usize = 4096 - 256 - 320;
        const SKB_ROOM: usize = 4096 - 64 - 320;
        match (&self.engine, self.prog_type) {
            (Engine::Embedded(_), _) => len >= ETH_HLEN,
            (Engine::Linux(_), ProgType::Xdp) => len > ETH_HLEN && len <= XDP_ROOM,
            (Engine::Linux(_), ProgType::SocketFilter) => {
                len > ETH_HLEN && len <= SKB_ROOM - ETH_HLEN
            }
            (Engine::Linux(_), _) => len > ETH_HLEN && len <= SKB_ROOM,
        }
    }

    /// Runs the program on a frame that the kernel takes, and counts it.
    ///
    /// # Errors
    /// The program trapped, or the kernel failed: which instruction, and its source.
    pub fn run(&mut self, frame: &[u8]) -> Result<Ran, Failure> {
        let ran = match &mut self.engine {
            Engine::Embedded(hook) => {
                let started = Instant::now();
                let verdict = hook.run(frame);
                self.tally.time += started.elapsed();
                match verdict {
                    Ok(verdict) => Ran::Verdict(verdict.retval),
                    Err(PacketError::TooShort(_)) => Ran::Outside,
                    Err(error) => return Err(explain(self.program.linked(), &self.skep, &error)),
                }
            }
            Engine::Linux(exchange) => {
                exchange.run(&self.program, self.prog_type, frame, &mut self.tally.time)?
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
            Engine::Embedded(hook) => hook.packet(),
            Engine::Linux(exchange) => {
                exchange.output.get(exchange.packet.clone()).unwrap_or_default()
            }
        }
    }
}

impl Exchange {
    /// Runs a program once; adds the time that Linux measured to `time`.
    fn run(
        &mut self,
        program: &Program,
        prog_type: ProgType,
        frame: &[u8],
        time: &mut Duration,
    ) -> Result<Ran, Failure> {
        let is_filter = prog_type == ProgType::SocketFilter;
        self.input.clear();
        if is_filter {
            // TEST_RUN takes a header away; the frame keeps its own this way.
            self.input.extend_from_slice(&frame[..ETH_HLEN]);
        }
        self.input.extend_from_slice(frame);
        let size = self.input.len() as u32;
        let (mut context, mut context_out) = (vec![0; SK_BUFF], [0; XDP_MD]);
        let is_xdp = prog_type == ProgType::Xdp;
        if is_xdp {
            context.truncate(XDP_MD);
            context[4..8].copy_from_slice(&size.to_ne_bytes());
        }
        let (run, result) = program.test_run(TestRun {
            data_size_in: size,
            data_in: Some(self.input.as_slice().into()),
            data_size_out: self.output.len() as u32,
            data_out: self.output.as_mut_slice().into(),
            ctx_size_in: context.len() as u32,
            ctx_in: Some(context.as_slice().into()),
            ctx_size_out: if is_xdp { XDP_MD as u32 } else { 0 },
            ctx_out: if is_xdp { (&mut context_out[..]).into() } else { Output::Null },
            ..TestRun::default()
        });
        let (retval, size, duration) = (run.retval, run.data_size_out, run.duration);
        drop(run);
        match result {
            Ok(()) => {
                let end = (size as usize).min(self.output.len());
                let metadata = context_out.first_chunk().copied().map_or(0, u32::from_ne_bytes);
                let start = if is_filter { ETH_HLEN } else { metadata as usize };
                self.packet = start.min(end)..end;
                *time += Duration::from_nanos(duration.into());
                Ok(Ran::Verdict(retval))
            }
            // A packet that ends within its IP header, say.
            Err(Errno::EINVAL) => Ok(Ran::Outside),
            Err(errno) => Err(Failure::unusable(format!("BPF_PROG_TEST_RUN failed: {errno}"))),
        }
    }
}

fn named(skep: &Skep, name: &str) -> Result<Program, Failure> {
    match skep.program(name) {
        Some(program) => Ok(program.clone()),
        None => Err(Failure::unusable(format!("program {name:?} was not loaded"))),
    }
}

/// Loads an object into a kernel.
///
/// # Errors
/// What the kernel refused, and why.
pub fn load(
    kernel: &Arc<dyn Kernel>,
    linked: &Linked,
    target: &Target,
    options: &Options,
) -> Result<Skep, Failure> {
    load_what_is_used(kernel, linked, target, options).map(|(skep, _)| skep)
}

/// The same; says also which maps were left out.
pub fn load_what_is_used(
    kernel: &Arc<dyn Kernel>,
    linked: &Linked,
    target: &Target,
    options: &Options,
) -> Result<(Skep, Vec<String>), Failure> {
    let mut left_out: Option<Linked> = None;
    let mut notes = Vec::new();
    loop {
        let linked = left_out.as_ref().unwrap_or(linked);
        let error = match skep::load::load(linked, target, kernel, options) {
            Ok(skep) => return Ok((skep, notes)),
            Err(error) => error,
        };
        // A map that no program uses stops none.
        match unused(linked, &error) {
            Some(map) => {
                let mut less = linked.clone();
                less.maps[map].autocreate = false;
                let name = &less.maps[map].name;
                notes.push(format!(
                    "map {name} is left out, since no program uses it: {}",
                    error.kind()
                ));
                left_out = Some(less);
            }
            None => return Err(refusal(linked, &error, kernel.name())),
        }
    }
}

/// The map that could not be created, if no program that is loaded refers to it and no map
/// holds it.
fn unused(linked: &Linked, error: &LoadError) -> Option<usize> {
    let LoadErrorKind::Map { name, errno, .. } = error.kind() else { return None };
    if *errno == Errno::EPERM {
        return None;
    }
    let map = linked.maps.iter().position(|map| map.name == *name && map.autocreate)?;
    let refers = |program: &LinkedProgram| program.map_references.iter().any(|of| of.map == map);
    let holds = |outer: &skep::load::MapDef| {
        outer.kind() != Some(MapType::ProgArray) && outer.slots.iter().any(|slot| slot.1 == map)
    };
    let is_used = linked.programs.iter().any(refers) || linked.maps.iter().any(holds);
    (!is_used).then_some(map)
}

/// What a kernel refused: an unusable object, a missing permission, or a rejected program
/// with the verifier's last words.
fn refusal(linked: &Linked, error: &LoadError, kernel: &str) -> Failure {
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
    let is_embedded = kernel == "embedded";
    if let LoadErrorKind::Map { name, .. } = error.kind()
        && kernel != "linux"
        && let Some(kind) =
            linked.maps.iter().find(|map| map.name == *name).and_then(|map| map.kind())
        && !embedded::has_map(kind)
    {
        let message = format!("map {name:?}: the embedded kernel has no maps of type {kind}");
        return failure
            .context(&message)
            .hint("--kernel linux has them; `skep inspect --embedded` lists what there is");
    }
    let failure = match error.hint() {
        Some(_) if is_embedded && is_too_large(error) => failure.hint(
            "a map may have a quarter of the machine's memory here; --memory-limit SIZE allows more",
        ),
        Some(hint) => failure.hint(hint),
        None => failure,
    };
    match error.kind() {
        LoadErrorKind::Program { name, log, diagnostic, .. } => {
            let failure = match kernel {
                "linux" => failure,
                _ => failure.hint(format!(
                    "skep verify explains why (--program {name}); --unverified runs it all the \
                     same, in the interpreter"
                )),
            };
            let said = diagnostic.as_ref().map(|diagnostic| diagnostic.message.clone());
            failure.detail(said.unwrap_or_else(|| last_lines(log)))
        }
        _ => failure,
    }
}

/// Whether a map is larger than the kernel allows.
fn is_too_large(error: &LoadError) -> bool {
    matches!(error.kind(), LoadErrorKind::Map { errno: Errno::ENOMEM | Errno::E2BIG, .. })
}

/// The end of a verifier's log, where the reason stands.
fn last_lines(log: &str) -> String {
    const MOST: usize = 16;
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(MOST)..].join("\n")
}

/// Why a program cannot be hooked.
fn not_run(name: &str, error: &PacketError) -> Failure {
    let failure = Failure::unusable(format!("program {name:?}: {error}"));
    match error {
        PacketError::Missing(_) => failure.hint(LACKS),
        _ => failure,
    }
}

/// Where to find what is missing.
pub const LACKS: &str =
    "--kernel linux has what Linux has; `skep inspect --embedded` lists what is here";

/// Why a packet has no verdict, with its place in the source.
fn explain(program: &LinkedProgram, skep: &Skep, error: &PacketError) -> Failure {
    match error {
        PacketError::Trapped(trap) => trapped(program, skep, trap),
        PacketError::OutOfBudget => {
            Failure::refused("the budget of instructions is used up").hint("--budget N allows more")
        }
        PacketError::Program(_)
        | PacketError::Missing(_)
        | PacketError::TooShort(_)
        | PacketError::TooLong(_)
        | PacketError::Vcpu(_) => Failure::unusable(error),
    }
}

/// A trap, with its place in the source.
pub fn trapped(program: &LinkedProgram, skep: &Skep, trap: &Trap) -> Failure {
    let what = match (&trap.kind, poisoned(program, trap)) {
        (TrapKind::UnknownHelper { .. } | TrapKind::Poisoned { .. }, Some(what)) => {
            format!("reached an instruction that could not be resolved: {what}")
        }
        (TrapKind::UnknownHelper { id }, None) => format!(
            "it calls {}, which the embedded kernel does not have",
            embedded::helper_name(*id)
        ),
        (kind, _) => kind.to_string(),
    };
    let place = source_of(program, skep, trap.pc);
    let failure = Failure::refused(format!("insn {}{place}: {what}", trap.pc));
    let failure = match trap.kind {
        TrapKind::UnknownHelper { .. } | TrapKind::UnknownKfunc { .. } => failure.hint(LACKS),
        _ => failure,
    };
    match trap.frames.len() {
        0 | 1 => failure,
        _ => {
            let callers: Vec<String> =
                trap.frames[1..].iter().map(|frame| frame.pc.to_string()).collect();
            failure.detail(format!("called from insn {}", callers.join(", ")))
        }
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
