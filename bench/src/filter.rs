//! `bench filter SKEP`: `skep filter` beside tcpdump on two large captures, by the CPU time of
//! whole processes; and filters on packets in cache beside libpcap's `bpf_filter`, by the
//! thread's CPU time. Sides take turns; a figure is the median of the turns' quotients.

use std::ffi::{CStr, c_char, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

const TURNS: usize = 5;
const CACHE_TURNS: usize = 21;

/// Bytes of a capture.
const LARGE: u64 = 1 << 30;

/// Selective: one packet in some thousands matches.
const SELECTIVE: [&str; 3] =
    ["tcp port 443 and host 10.0.0.7", "udp port 53 and src net 10.1.2.0/24", "icmp or arp"];

/// The most time beside tcpdump's, and memory.
const SELECTIVE_GOAL: f64 = 0.4;
const COUNT_GOAL: f64 = 0.5;
const WRITE_GOAL: f64 = 0.7;
const MEMORY_GOAL: i64 = 64 << 10;

/// The most time beside libpcap's function, and to the first answer.
const CACHE_GOAL: f64 = 0.2;
const FIRST_GOAL: f64 = 1.0;

/// Filters of about 5, 20 and 100 instructions.
const CACHED: [&str; 3] = [
    "ip and tcp",
    "tcp port 80",
    "tcp port 80 or tcp port 8080 or host 10.0.0.1 or host 10.0.0.2 or net 172.16.0.0/12 or udp \
     portrange 5000-6000 or ip6 host 2001:db8::1 or (ip[8] < 5 and tcp[tcpflags] & tcp-syn != 0) \
     or vlan 7 and (host 10.0.0.3 or port 53 or port 67)",
];

/// Runs the bench; 1 when short of a goal.
pub fn run(arguments: &[String]) -> ExitCode {
    let [skep] = arguments else {
        eprintln!("usage: skep-bench filter SKEP");
        return ExitCode::from(2);
    };
    match measure(Path::new(skep)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("skep-bench filter: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn measure(skep: &Path) -> Result<bool> {
    let mut good = true;
    let mut rows = Vec::new();
    let mut row = |name: String, figure: f64, goal: f64| {
        let met = figure <= goal;
        println!("{name}: {figure:.3}, goal {goal}{}", if met { "" } else { "  MISSED" });
        rows.push(json!({ "name": name, "figure": figure, "goal": goal }));
        good &= met;
    };
    for text in CACHED {
        let (quotient, ns, insns) = in_cache(text)?;
        row(
            format!("{insns} instructions in cache ({ns:.1} ns), of bpf_filter"),
            quotient,
            CACHE_GOAL,
        );
    }
    row("expression to first answer, of libpcap".into(), first_answer()?, FIRST_GOAL);
    for (name, size) in [("mean of 600 bytes", 600), ("64 bytes", 64)] {
        let capture = capture(size)?;
        let file = capture.to_string_lossy().into_owned();
        for text in SELECTIVE {
            let (quotient, memory) = processes(
                [skep, Path::new("tcpdump")],
                [
                    &["filter", "-r", &file, "-w", "/dev/null", text],
                    &["-r", &file, "-w", "/dev/null", text],
                ],
            )?;
            row(format!("{name}: {text:?} to /dev/null, of tcpdump"), quotient, SELECTIVE_GOAL);
            row(format!("{name}: KiB of memory"), memory as f64, MEMORY_GOAL as f64);
        }
        let (quotient, _) = processes(
            [skep, Path::new("tcpdump")],
            [
                &["filter", "-r", &file, "--count", SELECTIVE[0]],
                &["-r", &file, "--count", SELECTIVE[0]],
            ],
        )?;
        row(format!("{name}: --count, of tcpdump"), quotient, COUNT_GOAL);
        let out = capture.with_extension("out").to_string_lossy().into_owned();
        let (quotient, _) = processes(
            [skep, Path::new("tcpdump")],
            [&["filter", "-r", &file, "-w", &out], &["-r", &file, "-w", &out]],
        )?;
        std::fs::remove_file(&out).ok();
        row(format!("{name}: all to a file, of tcpdump"), quotient, WRITE_GOAL);
    }
    std::fs::write("target/bench/filter.json", serde_json::to_string_pretty(&rows)?)?;
    Ok(good)
}

/// Numbers that depend on a seed alone.
struct Numbers(fastrand::Rng);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
    }
}

/// A frame of IPv4 with TCP or UDP, or of ARP.
fn frame(numbers: &mut Numbers, size: usize) -> Vec<u8> {
    let mut frame = vec![0; size.max(60)];
    frame[12..14].copy_from_slice(&[0x08, if numbers.below(5_000) == 0 { 6 } else { 0 }]);
    frame[14] = 0x45;
    let len = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&len.to_be_bytes());
    frame[22] = 64;
    frame[23] = if numbers.below(3) == 0 { 17 } else { 6 };
    for at in [26, 30] {
        let address =
            [10, numbers.below(50) as u8, numbers.below(40) as u8, numbers.below(250) as u8];
        frame[at..at + 4].copy_from_slice(&address);
    }
    let ports = [numbers.below(60_000) + 1024, [443, 80, 53, 22][numbers.below(4) as usize]];
    for (at, port) in [34, 36].into_iter().zip(ports) {
        frame[at..at + 2].copy_from_slice(&(port as u16).to_be_bytes());
    }
    frame
}

/// A capture of a gibibyte, made once.
fn capture(size: u64) -> Result<PathBuf> {
    let path = PathBuf::from(format!("target/bench/frames-{size}.pcap"));
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() >= LARGE) {
        return Ok(path);
    }
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut numbers = Numbers(fastrand::Rng::with_seed(size));
    let (mut written, mut second) = (24, 0u32);
    while written < LARGE {
        let len = if size <= 64 { size } else { 64 + numbers.below(2 * (size - 64)) };
        let frame = frame(&mut numbers, len as usize);
        second += 1;
        let len = frame.len() as u32;
        for word in [second / 1000, second % 1000 * 1000, len, len] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
        written += 16 + u64::from(len);
    }
    out.flush()?;
    Ok(path)
}

/// Seconds of CPU time of a process, and its memory in KiB.
fn process(program: &Path, arguments: &[&str]) -> Result<(f64, i64)> {
    let child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| program.display().to_string())?;
    let mut status = 0;
    // SAFETY: all zeros is a valid structure of numbers; the call waits for our own child,
    // which nobody else waits for, and writes to both.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) < 0 {
            bail!("wait4: {}", std::io::Error::last_os_error());
        }
        usage
    };
    if status != 0 {
        bail!("{} {arguments:?} fails: {status}", program.display());
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok((seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The quotient of two programs' times, and the memory of the first.
fn processes(programs: [&Path; 2], arguments: [&[&str]; 2]) -> Result<(f64, i64)> {
    let mut quotients = Vec::new();
    let mut memory = 0;
    for _ in 0..TURNS {
        let (ours, used) = process(programs[0], arguments[0])?;
        let (theirs, _) = process(programs[1], arguments[1])?;
        memory = memory.max(used);
        quotients.push(ours / theirs);
    }
    Ok((median(quotients), memory))
}

/// libpcap's functions.
struct Libpcap {
    filter: unsafe extern "C" fn(*const u64, *const u8, u32, u32) -> u32,
    open_dead: unsafe extern "C" fn(i32, i32) -> *mut c_void,
    compile: unsafe extern "C" fn(*mut c_void, *mut BpfProgram, *const c_char, i32, u32) -> i32,
    free: unsafe extern "C" fn(*mut BpfProgram),
}

#[repr(C)]
struct BpfProgram {
    len: u32,
    insns: *const u64,
}

impl Libpcap {
    fn open() -> Result<Libpcap> {
        // SAFETY: loading a library runs its constructors, of which libpcap has none that
        // matter; the functions have the types of pcap.h, and the library stays loaded.
        unsafe {
            let library = libc::dlopen(c"libpcap.so.0.8".as_ptr(), libc::RTLD_NOW);
            if library.is_null() {
                bail!("libpcap.so.0.8 is not installed");
            }
            let symbol = |name: &CStr| {
                let found = libc::dlsym(library, name.as_ptr());
                if found.is_null() { Err(anyhow!("libpcap has no {name:?}")) } else { Ok(found) }
            };
            Ok(Libpcap {
                filter: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*const u64, *const u8, u32, u32) -> u32,
                >(symbol(c"bpf_filter")?),
                open_dead: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(i32, i32) -> *mut c_void,
                >(symbol(c"pcap_open_dead")?),
                compile: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(
                        *mut c_void,
                        *mut BpfProgram,
                        *const c_char,
                        i32,
                        u32,
                    ) -> i32,
                >(symbol(c"pcap_compile")?),
                free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut BpfProgram)>(
                    symbol(c"pcap_freecode")?,
                ),
            })
        }
    }

    /// Compiles an expression and runs it on one packet.
    fn first(&self, text: &CStr, packet: &[u8]) -> u32 {
        let mut program = BpfProgram { len: 0, insns: std::ptr::null() };
        // SAFETY: the handle and the program are libpcap's own, and freed (but the handle,
        // once a call); the packet is as long as is said.
        unsafe {
            let handle = (self.open_dead)(1, 262_144);
            if (self.compile)(handle, &raw mut program, text.as_ptr(), 1, u32::MAX) != 0 {
                return u32::MAX;
            }
            let len = packet.len() as u32;
            let taken = (self.filter)(program.insns, packet.as_ptr(), len, len);
            (self.free)(&raw mut program);
            taken
        }
    }
}

fn frames() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(fastrand::Rng::with_seed(5));
    (0..256).map(|_| frame(&mut numbers, 60)).collect()
}

/// Nanoseconds of a packet, by a function over all of them.
fn nanoseconds(frames: &[Vec<u8>], mut takes: impl FnMut(&[u8]) -> bool) -> (f64, usize) {
    const ROUNDS: usize = 400;
    let start = Instant::now();
    let mut taken = 0;
    for _ in 0..ROUNDS {
        taken += frames.iter().filter(|frame| takes(frame)).count();
    }
    (start.elapsed().as_nanos() as f64 / (ROUNDS * frames.len()) as f64, taken)
}

/// The quotient of our time and libpcap's for its own program, ours in nanoseconds, and the
/// program's length.
fn in_cache(text: &str) -> Result<(f64, f64, usize)> {
    let libpcap = Libpcap::open()?;
    let frames = frames();
    let mut filter = skep::filter(text)?;
    let insns = filter.program().filters().iter().map(|insn| u64::from_ne_bytes(insn.to_bytes()));
    let insns: Vec<u64> = insns.collect();
    // The first packets are interpreted; what runs then is measured.
    for frame in frames.iter().cycle().take(40 * frames.len()) {
        std::hint::black_box(filter.matches(frame));
    }
    let (mut quotients, mut times) = (Vec::new(), Vec::new());
    for _ in 0..CACHE_TURNS {
        let (ours, one) = nanoseconds(&frames, |frame| filter.matches(frame));
        let (theirs, other) = nanoseconds(&frames, |frame| {
            let len = frame.len() as u32;
            // SAFETY: a program that was checked, and a packet as long as is said.
            unsafe { (libpcap.filter)(insns.as_ptr(), frame.as_ptr(), len, len) != 0 }
        });
        if one != other {
            bail!("{text}: {one} and {other} packets");
        }
        quotients.push(ours / theirs);
        times.push(ours);
    }
    Ok((median(quotients), median(times), insns.len()))
}

fn first_answer() -> Result<f64> {
    const ROUNDS: usize = 200;
    let libpcap = Libpcap::open()?;
    let frames = frames();
    let text = c"tcp port 80 and host 10.0.0.7";
    let ours = text.to_str()?;
    let mut quotients = Vec::new();
    for _ in 0..CACHE_TURNS {
        let start = Instant::now();
        let mut one = 0;
        for frame in frames.iter().cycle().take(ROUNDS) {
            one += u32::from(skep::filter(ours)?.matches(frame));
        }
        let mine = start.elapsed();
        let start = Instant::now();
        let mut other = 0;
        for frame in frames.iter().cycle().take(ROUNDS) {
            other += u32::from(libpcap.first(text, frame) != 0);
        }
        if one != other {
            bail!("{ours}: {one} and {other} packets");
        }
        quotients.push(mine.as_secs_f64() / start.elapsed().as_secs_f64());
    }
    Ok(median(quotients))
}
