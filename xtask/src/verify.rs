//! `parity verify`: the verifier beside Linux's on the programs of objects. A kernel
//! in front of Linux keeps what maps and types a program refers to, and puts each
//! program that is loaded to both.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use skep_abi::{Capabilities, MapType, ProgType};
use skep_btf::Btf;
use skep_isa::Slot;
use skep_load::{Object, Options as LoadOptions, Target, load, relocate};
use skep_sys::{Command, Errno, Host, Kernel, Linux, MapCreate, Mapping, Output, ProgLoad, RawFd};
use skep_verify::{Env, FuncInfo, LineInfo, Log, MapDef, MapRef, Program, message, verify};

/// What to verify.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Objects, or folders of them
    paths: Vec<PathBuf>,
    /// Only programs with this in their name
    #[arg(long)]
    only: Option<String>,
    /// Print both logs of programs that differ
    #[arg(long)]
    logs: bool,
}

/// One program, judged twice.
struct Case {
    linux: Result<(), Errno>,
    linux_log: String,
    ours: Result<(), Errno>,
    ours_log: String,
    times: (Duration, Duration),
}

#[derive(Default)]
struct Seen {
    maps: HashMap<RawFd, Arc<MapDef>>,
    btfs: HashMap<RawFd, Arc<Btf>>,
    contents: HashMap<RawFd, Vec<u8>>,
    cases: Vec<Case>,
}

/// Linux, with the verifier beside it.
struct Judge {
    linux: Linux,
    vmlinux: Option<Arc<Btf>>,
    seen: Mutex<Seen>,
}

impl Judge {
    fn map_created(&self, fd: RawFd, create: &MapCreate<'_>) {
        let mut seen = self.seen.lock().expect("not poisoned");
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
        let seen = self.seen.lock().expect("not poisoned");
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
        })
    }

    fn judge(&self, attr: &mut ProgLoad<'_>) -> Result<u32, Errno> {
        let program = self.program(attr);
        let mut buffer = vec![0; 1 << 20];
        let mut before = Instant::now();
        let mut result = self.linux.bpf(&mut attr_with_log(attr, &mut buffer));
        if result == Err(Errno::ENOSPC) {
            buffer = vec![0; 64 << 20];
            before = Instant::now();
            result = self.linux.bpf(&mut attr_with_log(attr, &mut buffer));
        }
        let linux_time = before.elapsed();
        let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
        let linux_log = String::from_utf8_lossy(&buffer[..end]).into_owned();
        if let Some(program) = program.map(Arc::new) {
            let env = Env {
                caps: Capabilities::all(),
                vmlinux: self.vmlinux.clone(),
                cpus: self.linux.possible_cpus(),
                mitigations: true,
            };
            let mut log = Log::new(2);
            let before = Instant::now();
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                verify(&program, &env, &mut log).map(drop).map_err(|error| error.errno)
            }));
            let case = Case {
                linux: result.map(drop),
                linux_log,
                ours: judged.unwrap_or(Err(Errno(9999))),
                ours_log: log.text().to_string(),
                times: (linux_time, before.elapsed()),
            };
            self.seen.lock().expect("not poisoned").cases.push(case);
        }
        result
    }
}

/// The same program, with a log at level 2.
fn attr_with_log<'a>(attr: &ProgLoad<'a>, buffer: &'a mut [u8]) -> Command<'a> {
    Command::ProgLoad(Box::new(ProgLoad {
        prog_type: attr.prog_type,
        insn_cnt: attr.insn_cnt,
        insns: attr.insns.clone(),
        license: attr.license.clone(),
        log_level: 2,
        log_size: buffer.len() as u32,
        log_buf: Output::Slice(buffer),
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

impl Kernel for Judge {
    fn name(&self) -> &'static str {
        "linux"
    }
    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        match command {
            Command::ProgLoad(attr) => return self.judge(attr),
            Command::BtfLoad(attr) => {
                let bytes = attr.btf.as_deref().map(<[u8]>::to_vec);
                let fd = self.linux.bpf(command)?;
                if let Some(Ok(btf)) = bytes.map(Btf::parse) {
                    let mut seen = self.seen.lock().expect("not poisoned");
                    seen.btfs.insert(fd as RawFd, Arc::new(btf));
                }
                return Ok(fd);
            }
            _ => {}
        }
        let fd = self.linux.bpf(command)?;
        let mut seen = self.seen.lock().expect("not poisoned");
        match command {
            Command::MapCreate(create) => {
                drop(seen);
                self.map_created(fd as RawFd, create);
            }
            Command::MapUpdate(elem) => {
                if let Output::Slice(value) = &elem.value {
                    seen.contents.insert(elem.map_fd as RawFd, value.to_vec());
                }
            }
            Command::MapFreeze(freeze) => {
                let fd = freeze.map_fd as RawFd;
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
    fn close(&self, fd: RawFd) {
        self.linux.close(fd);
    }
    fn mmap(&self, fd: RawFd, offset: u64, len: usize, writable: bool) -> Result<Mapping, Errno> {
        self.linux.mmap(fd, offset, len, writable)
    }
    fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        self.linux.poll(fd, timeout)
    }
    fn possible_cpus(&self) -> u32 {
        self.linux.possible_cpus()
    }
    fn host(&self) -> &Host {
        self.linux.host()
    }
}

/// Compares, and prints the figures. Gives whether all programs agree.
///
/// # Errors
/// An object that cannot be read.
pub fn execute(options: &Options) -> Result<bool> {
    let linux = Linux::new();
    let vmlinux = linux.host().vmlinux_btf().and_then(|raw| Btf::parse(raw.to_vec()).ok());
    let judge = Arc::new(Judge { linux, vmlinux: vmlinux.map(Arc::new), seen: Mutex::default() });
    let kernel: Arc<dyn Kernel> = Arc::clone(&judge) as Arc<dyn Kernel>;
    let mut paths = Vec::new();
    for path in &options.paths {
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                paths.push(entry?.path());
            }
        } else {
            paths.push(path.clone());
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "o"));
    paths.sort();
    let target = Target::of(&*kernel);
    let (mut agree, mut judged, mut verdicts, mut skipped) = (0usize, 0usize, 0usize, 0usize);
    let mut report = String::new();
    let mut ratios: Vec<f64> = Vec::new();
    for path in &paths {
        let Ok(object) = Object::open(path) else {
            skipped += 1;
            continue;
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names: Vec<String> = object.programs.iter().map(|def| def.name.clone()).collect();
        for name in names {
            if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let mut object = object.clone();
            object.select(|def| def.name == name);
            *judge.seen.lock().expect("not poisoned") = Seen::default();
            let Ok(linked) = relocate(&object, &target) else {
                skipped += 1;
                continue;
            };
            let _ = load(&linked, &target, &kernel, &LoadOptions::default());
            let cases = std::mem::take(&mut judge.seen.lock().expect("not poisoned").cases);
            let Some(case) = cases.into_iter().next() else {
                skipped += 1;
                continue;
            };
            if case.linux == Err(Errno::EPERM) && case.linux_log.is_empty() {
                skipped += 1;
                continue;
            }
            judged += 1;
            let (theirs, ours) = (message(&case.linux_log), message(&case.ours_log));
            let same_verdict = case.linux.is_ok() == case.ours.is_ok();
            verdicts += usize::from(same_verdict);
            if case.linux == case.ours && (case.linux.is_ok() || theirs == ours) {
                agree += 1;
                if case.times.0 > Duration::from_micros(200) {
                    ratios.push(case.times.1.as_secs_f64() / case.times.0.as_secs_f64());
                }
                continue;
            }
            let mark = if same_verdict { "words" } else { "VERDICT" };
            writeln!(
                report,
                "{mark} {file}:{name}: {:?} {theirs:?} | {:?} {ours:?}",
                case.linux, case.ours
            )?;
            if options.logs {
                writeln!(report, "--- Linux\n{}\n--- ours\n{}", case.linux_log, case.ours_log)?;
            }
        }
    }
    std::fs::write("target/parity/verify.txt", &report).context("report")?;
    print!("{report}");
    ratios.sort_by(f64::total_cmp);
    if let Some(median) = ratios.get(ratios.len() / 2) {
        println!("time, ours / Linux's (with logs), median: {median:.2}");
    }
    println!("not judgeable: {skipped}; same verdict: {verdicts} of {judged}");
    println!("parity verify: agree {agree} of {judged}");
    Ok(agree == judged)
}
