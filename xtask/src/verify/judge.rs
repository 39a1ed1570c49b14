//! A kernel in front of Linux that keeps what maps and types programs refer to, and
//! puts each program that is loaded to Linux and to the verifier.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skep_abi::{MapType, ProgType, Reason};
use skep_btf::Btf;
use skep_isa::{AluOp, Insn, Slot, decode_at};
use skep_sys::{
    Below, Between, Command, Errno, Layer, Linux, MapCreate, Output, ProgInfo, ProgLoad, RawFd,
};
use skep_verify::{
    Counts, Env, FuncInfo, LineInfo, Log, MapDef, MapRef, Program, Verified, VerifyError, message,
    tag, verify,
};

use super::Options;
use super::privilege::Privilege;

/// Room for Linux's log: of a longer one the end is kept, which is what is read.
const LOG_ROOM: usize = 1 << 20;
/// Stands for the address that an arena is mapped at.
const ARENA_ADDRESS: u64 = 1 << 32;
/// Longest that the verifier may take over a program.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one side says of a program.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Success or the errno.
    pub result: Result<(), Errno>,
    /// The instruction at fault.
    pub insn: Option<u32>,
    /// The reason's row, where it is ours.
    pub reason: &'static str,
    /// The log, empty for an accepted program.
    pub log: String,
    /// From program to verdict, without a log; on Linux as it says itself.
    pub time: Duration,
    /// Instructions that were followed, and states: most for one instruction, all, and
    /// most at a time.
    pub counts: [u32; 4],
    /// What the program is called by its instructions, where it was accepted.
    pub tag: [u8; 8],
}

impl Verdict {
    /// What is to be expected of a program, as far as that is said.
    fn expected(success: bool) -> Verdict {
        Verdict {
            result: if success { Ok(()) } else { Err(Errno::EINVAL) },
            insn: None,
            reason: "",
            log: String::new(),
            time: Duration::ZERO,
            counts: [0; 4],
            tag: [0; 8],
        }
    }

    /// The line that goes with the errno.
    pub fn message(&self) -> &str {
        message(&self.log)
    }
}

/// One program, judged twice.
#[derive(Clone, Debug)]
pub struct Case {
    /// Who loads.
    pub privilege: Privilege,
    /// The reference.
    pub linux: Verdict,
    /// The verifier; what keeps it from a verdict where there is none.
    pub ours: Result<Verdict, &'static str>,
}

#[derive(Default)]
struct Seen {
    maps: HashMap<RawFd, Arc<MapDef>>,
    btfs: HashMap<RawFd, Arc<Btf>>,
    contents: HashMap<RawFd, Vec<u8>>,
    cases: Vec<Case>,
    /// What is expected of the next program, where it cannot be asked of Linux.
    expected: Option<bool>,
}

/// What stands before Linux: the verifier beside it.
pub struct Judge {
    cpus: u32,
    vmlinux: Option<Arc<Btf>>,
    privileges: Vec<Privilege>,
    /// Whether accepted programs get a log as well.
    logs: bool,
    seen: Mutex<Seen>,
}

impl Judge {
    /// Judges as the options say.
    pub fn of_linux(vmlinux: Option<Arc<Btf>>, options: &Options) -> Arc<Layer<Judge>> {
        let judge = Judge {
            cpus: skep_sys::possible_cpus(),
            vmlinux,
            privileges: options.privileges(),
            logs: options.logs,
            seen: Mutex::default(),
        };
        Arc::new(Layer::new(Arc::new(Linux::new()), judge))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all maps and types, before another object is loaded.
    pub fn forget(&self) {
        *self.seen() = Seen::default();
    }

    /// Forgets types, which are about to be closed.
    pub fn forget_btf(&self, fd: RawFd) {
        self.seen().btfs.remove(&fd);
    }

    /// The next program is not put to Linux: whoever wrote it says whether it loads.
    pub fn expect(&self, success: bool) {
        self.seen().expected = Some(success);
    }

    /// Whether the last program was not put to Linux.
    pub fn has_expectation(&self) -> bool {
        self.seen().expected.is_some()
    }

    /// What was judged since the last call.
    pub fn take_cases(&self) -> Vec<Case> {
        std::mem::take(&mut self.seen().cases)
    }

    fn map_created(&self, fd: RawFd, create: &MapCreate<'_>) {
        let mut seen = self.seen();
        let end = create.map_name.iter().position(|byte| *byte == 0).unwrap_or(16);
        let map = MapDef {
            name: String::from_utf8_lossy(&create.map_name[..end]).into_owned(),
            kind: MapType::from_number(create.map_type).unwrap_or(MapType::Unspec),
            key_size: create.key_size,
            value_size: create.value_size,
            max_entries: create.max_entries,
            flags: create.map_flags,
            extra: create.map_extra,
            btf: seen.btfs.get(&(create.btf_fd as RawFd)).cloned(),
            key_type: create.btf_key_type_id,
            value_type: create.btf_value_type_id,
            inner: seen.maps.get(&(create.inner_map_fd as RawFd)).cloned(),
            frozen: None,
        };
        seen.maps.insert(fd, Arc::new(map));
    }

    fn program(&self, attr: &ProgLoad<'_>) -> Option<Program> {
        let seen = self.seen();
        let words = |input: &skep_sys::Input<'_>, size: u32, count: u32| -> Vec<Vec<u32>> {
            let bytes = input.as_deref().unwrap_or_default();
            let record = |chunk: &[u8]| {
                let word = |word: &[u8]| u32::from_le_bytes(word.try_into().expect("4 bytes"));
                chunk.chunks_exact(4).map(word).collect()
            };
            bytes.chunks(size.max(4) as usize).take(count as usize).map(record).collect()
        };
        let func_info = words(&attr.func_info, attr.func_info_rec_size, attr.func_info_cnt);
        let line_info = words(&attr.line_info, attr.line_info_rec_size, attr.line_info_cnt);
        let end = attr.prog_name.iter().position(|byte| *byte == 0).unwrap_or(16);
        Some(Program {
            slots: Slot::split(attr.insns.as_deref()?)?,
            kind: ProgType::from_number(attr.prog_type)?,
            attach_type: attr.expected_attach_type,
            flags: attr.prog_flags,
            gpl: skep_abi::is_gpl_compatible(attr.license.as_deref().unwrap_or_default()),
            name: String::from_utf8_lossy(&attr.prog_name[..end]).into_owned(),
            maps: seen
                .maps
                .iter()
                .map(|(fd, map)| MapRef { fd: *fd, map: Arc::clone(map) })
                .collect(),
            fd_array: attr.fd_array.as_deref().map(|bytes| {
                let fd = |word: &[u8]| i32::from_le_bytes(word.try_into().expect("4 bytes"));
                bytes.chunks_exact(4).map(fd).collect()
            }),
            btf: seen.btfs.get(&(attr.prog_btf_fd as RawFd)).cloned(),
            func_info: func_info
                .iter()
                .map(|words| FuncInfo { pc: words[0], type_id: words[1] })
                .collect(),
            line_info: line_info
                .iter()
                .map(|words| LineInfo {
                    pc: words[0],
                    file_name_off: words[1],
                    line_off: words[2],
                    line: words[3] >> 10,
                    column: words[3] & 0x3ff,
                })
                .collect(),
            modules: Vec::new(),
            attach_btf_id: attr.attach_btf_id,
            hook: None,
        })
    }

    /// Puts a program to both, with each set of capabilities. Gives what Linux says to
    /// the first.
    fn judge(&self, below: &Below<'_>, attr: &ProgLoad<'_>) -> Result<u32, Errno> {
        // A loader asks again for a log of what was refused.
        if let Some(case) = self.seen().cases.first() {
            return Err(case.linux.result.err().unwrap_or(Errno::EBUSY));
        }
        let program = self.program(attr).map(Arc::new);
        let expected = self.seen().expected;
        if let Some(success) = expected {
            let linux = Verdict::expected(success);
            let ours = match &program {
                Some(program) => {
                    let silent = self.verdict(program, Privilege::All);
                    self.ask_verifier(program, Privilege::All, &linux, silent)
                }
                None => Err("a program type that is not known"),
            };
            self.seen().cases.push(Case { privilege: Privilege::All, linux, ours });
            return Err(Errno::EOPNOTSUPP);
        }
        let mut first = None;
        for &privilege in &self.privileges {
            let silent = program.as_ref().map(|program| self.verdict(program, privilege));
            if let (Some(program), Some((Ok(Err(error)), _))) = (&program, &silent)
                && breaks_linux(program, error)
            {
                println!("not put to Linux, which would crash: the fork that it does not check");
                continue;
            }
            let (result, linux) = self.ask_linux(below, attr, privilege);
            first.get_or_insert(result);
            // Without the right to load this type there is no verdict.
            if result == Err(Errno::EPERM) {
                continue;
            }
            let ours = match (&program, silent) {
                (Some(program), Some(silent)) => {
                    self.ask_verifier(program, privilege, &linux, silent)
                }
                _ => Err("a program type that is not known"),
            };
            let case = Case { privilege, linux, ours };
            self.seen().cases.push(case);
        }
        first.unwrap_or(Err(Errno::EPERM))
    }

    /// The verifier's own verdict, without a log, and how long it took.
    fn verdict(&self, program: &Arc<Program>, privilege: Privilege) -> Silent {
        let before = Instant::now();
        let result = self.judged(program, privilege, &mut Log::silent());
        (result, before.elapsed())
    }

    fn judged(
        &self,
        program: &Arc<Program>,
        privilege: Privilege,
        log: &mut Log,
    ) -> Result<Result<Counts, VerifyError>, &'static str> {
        let env = self.env(privilege);
        let counts = |verified: Verified| verified.counts();
        let judging = std::panic::AssertUnwindSafe(|| verify(program, &env, log).map(counts));
        std::panic::catch_unwind(judging).map_err(|_| "panic")
    }

    fn env(&self, privilege: Privilege) -> Env {
        Env {
            caps: privilege.set(),
            vmlinux: self.vmlinux.clone(),
            cpus: self.cpus,
            mitigations: true,
        }
    }

    fn ask_linux(
        &self,
        below: &Below<'_>,
        attr: &ProgLoad<'_>,
        privilege: Privilege,
    ) -> (Result<u32, Errno>, Verdict) {
        let load = |level: u32, buffer: &mut [u8]| {
            let mut command = load_command(attr, level, buffer);
            // Whoever may load at all may drop capabilities.
            privilege.during(|| below.bpf(&mut command)).unwrap_or(Err(Errno::EPERM))
        };
        let mut statistics = vec![0; 4096];
        let result = load(Log::STATS, &mut statistics);
        let mut log = text(&statistics);
        let (time, counts) = figures(&log);
        if is_long(counts) {
            // What ran for so long is not asked again; its message is there.
        } else if self.logs || result.is_err() && result != Err(Errno::EPERM) {
            let mut buffer = vec![0; LOG_ROOM];
            // For the log alone; what was loaded goes with the others.
            let _ = load(Log::LEVEL2, &mut buffer);
            log = text(&buffer);
        }
        let insn = failing_insn(&log);
        let info = result.map(|fd| ProgInfo::query(below.kernel(), fd as RawFd));
        let tag = info.map_or([0; 8], |info| info.map_or([0; 8], |info| info.tag));
        let result_only = result.map(drop);
        let verdict = Verdict { result: result_only, insn, reason: "", log, time, counts, tag };
        (result, verdict)
    }

    fn ask_verifier(
        &self,
        program: &Arc<Program>,
        privilege: Privilege,
        linux: &Verdict,
        (result, time): Silent,
    ) -> Result<Verdict, &'static str> {
        let result = result?;
        if time > PATIENCE {
            return Err("time-out");
        }
        let error = result.as_ref().err();
        let mut text = error.map_or(String::new(), |error| error.reason.to_string());
        if !is_long(linux.counts) && (self.logs || result.is_err()) {
            let mut log = Log::new(Log::LEVEL2);
            if self.judged(program, privilege, &mut log)? != result {
                return Err("another verdict with a log");
            }
            text = log.text().to_string();
        }
        Ok(Verdict {
            result: error.map_or(Ok(()), |error| Err(error.errno)),
            insn: error.and_then(|error| error.pc),
            reason: error.map_or("", |error| error.reason.name()),
            log: text,
            time,
            counts: result.as_ref().map_or([0; 4], |counts| {
                let Counts { processed, max_states_per_insn, total_states, peak_states } = *counts;
                [processed, max_states_per_insn, total_states, peak_states]
            }),
            tag: if error.is_none() { tag(&program.slots) } else { [0; 8] },
        })
    }
}

/// The instruction that a log was at when it ended: the one that the message names, or
/// the last line `12: (b7) ...`.
pub fn failing_insn(log: &str) -> Option<u32> {
    if let Some(at) = message(log).strip_prefix("infinite loop detected at insn ") {
        return at.parse().ok();
    }
    log.lines().rev().find_map(|line| {
        let (number, rest) = line.split_once(": (")?;
        let is_opcode = rest.as_bytes().get(2) == Some(&b')');
        number.parse().ok().filter(|_| is_opcode)
    })
}

/// A log up to its closing zero.
fn text(buffer: &[u8]) -> String {
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

/// The time and the counts in a log's statistics.
fn figures(log: &str) -> (Duration, [u32; 4]) {
    let after = |name: &str| -> u32 {
        let rest = log.rsplit_once(name).map_or("", |(_, rest)| rest);
        rest.split(' ').next().and_then(|word| word.trim().parse().ok()).unwrap_or(0)
    };
    let names = ["processed ", "max_states_per_insn ", "total_states ", "peak_states "];
    (Duration::from_micros(after("verification time ").into()), names.map(after))
}

/// What the verifier says without a log (or what kept it from that), and the time.
type Silent = (Result<Result<Counts, VerifyError>, &'static str>, Duration);

/// Whether there are too many paths at an `and` or `or` that makes one of a number
/// that is 0 or -1: Linux 6.18.44 forgets to look whether that failed
/// (`maybe_fork_scalars`), and the thread that loads dies in the kernel.
fn breaks_linux(program: &Program, error: &VerifyError) -> bool {
    let insn = error.pc.and_then(|pc| decode_at(&program.slots, pc as usize).ok());
    matches!(error.reason, Reason::TooManyJumps { .. })
        && matches!(insn, Some(Insn::Alu { op: AluOp::And | AluOp::Or, .. }))
}

/// Whether so many instructions were followed that a log of them all is not worth its
/// time. The message is in every log.
fn is_long([processed, ..]: [u32; 4]) -> bool {
    processed > 10_000
}

/// The same program, with a log if there is room for one.
fn load_command<'a>(attr: &ProgLoad<'a>, log_level: u32, buffer: &'a mut [u8]) -> Command<'a> {
    let log_size = buffer.len() as u32;
    let log_buf = if log_size == 0 { Output::Null } else { Output::Slice(buffer) };
    Command::ProgLoad(Box::new(ProgLoad {
        prog_type: attr.prog_type,
        insn_cnt: attr.insn_cnt,
        insns: attr.insns.clone(),
        license: attr.license.clone(),
        log_level,
        log_size,
        log_buf,
        kern_version: attr.kern_version,
        prog_flags: attr.prog_flags,
        prog_name: attr.prog_name,
        prog_ifindex: attr.prog_ifindex,
        expected_attach_type: attr.expected_attach_type,
        prog_btf_fd: attr.prog_btf_fd,
        func_info_rec_size: attr.func_info_rec_size,
        func_info: attr.func_info.clone(),
        func_info_cnt: attr.func_info_cnt,
        line_info_rec_size: attr.line_info_rec_size,
        line_info: attr.line_info.clone(),
        line_info_cnt: attr.line_info_cnt,
        attach_btf_id: attr.attach_btf_id,
        attach_prog_fd: attr.attach_prog_fd,
        fd_array: attr.fd_array.clone(),
        ..ProgLoad::default()
    }))
}

impl Between for Judge {
    fn bpf(&self, below: &Below<'_>, command: &mut Command<'_>) -> Result<u32, Errno> {
        match command {
            Command::ProgLoad(attr) => return self.judge(below, attr),
            Command::BtfLoad(attr) => {
                let bytes = attr.btf.as_deref().map(<[u8]>::to_vec);
                let fd = below.bpf(command)?;
                if let Some(Ok(btf)) = bytes.map(Btf::parse) {
                    self.seen().btfs.insert(fd as RawFd, Arc::new(btf));
                }
                return Ok(fd);
            }
            _ => {}
        }
        let fd = below.bpf(command)?;
        match command {
            Command::MapCreate(create) => self.map_created(fd as RawFd, create),
            Command::MapUpdate(elem) => {
                if let Output::Slice(value) = &elem.value {
                    self.seen().contents.insert(elem.map_fd as RawFd, value.to_vec());
                }
            }
            Command::MapFreeze(freeze) => {
                let fd = freeze.map_fd as RawFd;
                let mut seen = self.seen();
                let bytes = seen.contents.get(&fd).cloned();
                if let Some(map) = seen.maps.get_mut(&fd) {
                    let size = map.value_size as usize;
                    let bytes = bytes.unwrap_or_else(|| vec![0; size]);
                    Arc::make_mut(map).frozen = Some(bytes.into());
                }
            }
            _ => {}
        }
        Ok(fd)
    }
    fn mapped(&self, fd: RawFd) {
        if let Some(map) = self.seen().maps.get_mut(&fd)
            && map.kind == MapType::Arena
            && map.extra == 0
        {
            // That it is mapped decides, not where.
            Arc::make_mut(map).extra = ARENA_ADDRESS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::failing_insn;

    #[test]
    fn the_failing_instruction_is_the_last_that_was_printed() {
        let log = "0: R1=ctx() R10=fp0\n0: (b7) r0 = 0\n1: (85) call bpf_x#7\nR1 !read_ok\n";
        assert_eq!(failing_insn(log), Some(1));
        assert_eq!(failing_insn("unreachable insn 3\n"), None);
    }
}
