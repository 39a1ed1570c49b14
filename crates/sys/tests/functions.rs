//! Functions of programs that are probed without rights, beside the programs as they are and
//! what Linux's own probes count.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "tree/programs.rs"]
#[allow(dead_code)]
mod programs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use object::{Object, ObjectSegment, ObjectSymbol};
use skep_sys::host::tree::{Called, Counts, Event, Options, Tree, Watch, What};

/// `functions.c` and a library, compiled into a folder of their own.
struct Bed {
    folder: PathBuf,
}

impl Bed {
    fn new(name: &str, flags: &[&str]) -> Option<Bed> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("functions-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let bed = Bed { folder };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tree/functions.c");
        let library = bed.folder.join("library.c");
        std::fs::write(&library, "static long c; long in_library(long a) { c += a; return c; }")
            .unwrap();
        let gcc = |to: &str, from: &Path, flags: &[&str]| {
            let mut gcc = Command::new("gcc");
            gcc.args(["-O2", "-w", "-pthread", "-o"]).arg(bed.folder.join(to)).arg(from);
            gcc.args(flags).output().is_ok_and(|done| done.status.success())
        };
        let done = gcc("program", Path::new(source), flags)
            && gcc("library.so", &library, &["-shared", "-fPIC"]);
        if !done {
            println!("skipped: gcc {flags:?} does not compile here");
            return None;
        }
        Some(bed)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("program")
    }

    fn library(&self) -> PathBuf {
        self.folder.join("library.so")
    }

    fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(self.path());
        command.args([mode]).args([self.library()]).stderr(Stdio::null());
        command
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

const NAMES: [&str; 18] = [
    "plain",
    "text",
    "down",
    "callee",
    "tail",
    "real",
    "table",
    "only_return",
    "one_byte",
    "neighbour",
    "middle",
    "calls_first",
    "branches",
    "by_place",
    "loops",
    "jumps_away",
    "by_pointer",
    "leaves",
];

/// Where in a file functions are.
fn offsets(file: &Path, names: &[&str]) -> Vec<u64> {
    let bytes = std::fs::read(file).unwrap();
    let elf = object::File::parse(&bytes[..]).unwrap();
    let all = || elf.symbols().chain(elf.dynamic_symbols());
    let offset = |name: &&str| {
        let symbol = all().find(|of| of.name() == Ok(name) && of.is_definition());
        let address = symbol.unwrap_or_else(|| panic!("no {name}")).address();
        let home =
            elf.segments().find(|of| (of.address()..of.address() + of.size()).contains(&address));
        let home = home.unwrap();
        address - home.address() + home.file_range().0
    };
    names.iter().map(offset).collect()
}

struct Seen {
    status: i32,
    output: String,
    events: Vec<Event>,
    counts: Counts,
}

impl Seen {
    fn called(&self) -> impl Iterator<Item = &Called> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Function(called) => Some(&**called),
            _ => None,
        })
    }

    /// How often each was called, and how often it returned.
    fn times(&self) -> BTreeMap<u32, (u64, u64)> {
        let mut times = BTreeMap::new();
        for called in self.called() {
            let of: &mut (u64, u64) = times.entry(called.number).or_default();
            if called.returned { of.1 += 1 } else { of.0 += 1 }
        }
        times
    }
}

fn seen(mut command: Command, options: &Options) -> Option<Seen> {
    use std::io::Read;
    command.stdout(Stdio::piped());
    let mut tree = match Tree::start(command, options) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            println!("skipped: {error}");
            return None;
        }
        tree => tree.unwrap(),
    };
    assert_eq!(tree.refused(), [], "all can be probed");
    let (_, stdout, _) = tree.pipes();
    let output = std::thread::spawn(move || {
        let mut output = String::new();
        stdout.unwrap().read_to_string(&mut output).unwrap();
        output
    });
    let (began, mut events) = (Instant::now(), Vec::new());
    let status = loop {
        events.extend(tree.batch(Duration::from_millis(20)));
        if let Some(status) = tree.try_wait().unwrap() {
            break programs::status(status);
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it hangs");
    };
    let (_, rest, counts) = tree.finish();
    events.extend(rest);
    Some(Seen { status, output: output.join().unwrap(), events, counts })
}

const MODES: [&str; 9] =
    ["shapes", "threads", "forks", "jumps", "signals", "trapped", "library", "many", "again"];

const ENTRY: Watch =
    Watch { entry: true, ret: false, registers: false, stack: false, memory: 0, result: false };
const BOTH: Watch = Watch { ret: true, ..ENTRY };
const ALL: Watch = Watch { registers: true, stack: true, memory: 0x3f, result: true, ..BOTH };

fn options(bed: &Bed, watch: Watch) -> Options {
    let (mut options, file) = (Options::none(), bed.path());
    for offset in offsets(&file, &NAMES) {
        options.function(&file, offset, watch);
    }
    let library = bed.library();
    options.function(&library, offsets(&library, &["in_library"])[0], watch);
    options
}

/// How often a mode calls each function, and how often each returns.
fn expected(mode: &str) -> BTreeMap<&'static str, (u64, u64)> {
    let times: &[(&str, u64, u64)] = match mode {
        // Each once a round, but for what others call as well.
        "shapes" | "again" => {
            let mut all: BTreeMap<_, _> =
                NAMES[..17].iter().map(|name| (*name, (500, 500))).collect();
            // Each of 0 to 19 calls itself as often; three others call the fourth.
            all.insert("down", (5250, 5250));
            all.insert("callee", (2000, 2000));
            // It jumps to its beginning, which is no call and returns once: as Linux has it, each
            // is a call.
            all.insert("loops", (2000, 2000));
            all.insert("plain", if mode == "again" { (501, 501) } else { (500, 500) });
            return all;
        }
        "threads" => &[
            ("plain", 48000, 48000),
            ("one_byte", 48000, 48000),
            ("middle", 48000, 48000),
            ("down", 192_000, 192_000),
            ("tail", 48000, 48000),
            ("callee", 48000, 48000),
        ],
        "forks" => &[("plain", 21, 21), ("one_byte", 20, 20), ("down", 120, 120)],
        "jumps" => &[("leaves", 46500, 0), ("down", 31, 31)],
        "signals" => &[("plain", 2, 2), ("one_byte", 54, 54), ("middle", 50, 50)],
        "trapped" => &[("one_byte", 1, 1)],
        "library" => &[("in_library", 500, 500)],
        "many" => &[],
        _ => panic!("{mode}"),
    };
    times.iter().map(|(name, calls, returns)| (*name, (*calls, *returns))).collect()
}

fn name(number: u32) -> &'static str {
    NAMES.get(number as usize).copied().unwrap_or("in_library")
}

/// Each mode does and says what it does bare, and each call and return is seen.
fn behaves(bed: &Bed, watch: Watch, is_static: bool) {
    let options = options(bed, watch);
    for mode in MODES {
        if is_static && mode == "library" {
            continue;
        }
        let bare = bed.command(mode).output().unwrap();
        let Some(seen) = seen(bed.command(mode), &options) else { return };
        let told = (programs::status(bare.status), String::from_utf8_lossy(&bare.stdout).into());
        assert_eq!((seen.status, &seen.output), (told.0, &told.1), "{mode}: {:?}", seen.counts);
        let Counts { lost, unplanted, unreturned, .. } = seen.counts;
        assert_eq!((unplanted, unreturned), (0, 0), "{mode}");
        let mut times: BTreeMap<_, _> =
            seen.times().into_iter().map(|(number, times)| (name(number), times)).collect();
        // What the compiler makes of these is its own: loops.
        let mut expected = expected(mode);
        for of in [&mut times, &mut expected] {
            of.values_mut().for_each(|times| times.1 *= u64::from(watch.ret));
            let down = of.get_mut("down");
            if let Some(down) = down {
                *down = (1, 1);
            }
            if mode == "jumps" {
                of.remove("leaves");
            }
        }
        // With 8 KiB of each call a machine with other work may fall behind: that is counted.
        if lost > 0 && watch.stack {
            println!("skipped: {mode}: {lost} records were lost, and counts are not compared");
            continue;
        }
        assert_eq!((lost, times), (0, expected), "{mode}");
    }
}

#[test]
fn programs_with_probes_behave_as_they_do_bare() {
    let Some(bed) = Bed::new("bare", &["-ldl"]) else { return };
    behaves(&bed, ENTRY, false);
    behaves(&bed, BOTH, false);
}

#[test]
fn programs_with_registers_and_memory_behave_as_they_do_bare() {
    let Some(bed) = Bed::new("memory", &["-ldl"]) else { return };
    behaves(&bed, ALL, false);
}

#[test]
fn static_programs_with_probes_behave_as_they_do_bare() {
    let Some(bed) = Bed::new("static", &["-static"]) else { return };
    behaves(&bed, BOTH, true);
}

/// What Linux counts, where bpftrace may ask it.
fn linux(bed: &Bed, mode: &str, kind: &str) -> Option<BTreeMap<String, u64>> {
    let file = bed.path();
    let probes: Vec<String> =
        NAMES.iter().map(|name| format!("{kind}:{}:{name}", file.display())).collect();
    let script = format!("{} {{ @[probe] = count(); }}", probes.join(","));
    let command = format!("{} {mode} {}", file.display(), bed.library().display());
    let done = Command::new("bpftrace").args(["-e", &script, "-c", &command]).output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if !text.contains("Attaching") || !done.status.success() {
        return None;
    }
    let lines = text.lines().filter_map(|line| {
        let (probe, count) = line.strip_prefix("@[")?.split_once("]: ")?;
        Some((probe.rsplit_once(':')?.1.to_owned(), count.trim().parse().ok()?))
    });
    Some(lines.collect())
}

#[test]
fn each_call_that_linux_counts_is_seen() {
    let Some(bed) = Bed::new("linux", &["-ldl"]) else { return };
    let mut compared = 0;
    for mode in ["shapes", "threads", "forks"] {
        for (kind, watch) in [("uprobe", ENTRY), ("uretprobe", Watch { entry: false, ..BOTH })] {
            // Linux sees no more than 64 open returns of a thread: so deep goes nobody here.
            let Some(theirs) = linux(&bed, mode, kind) else {
                println!("skipped: no bpftrace, or no right to probe");
                return;
            };
            let Some(seen) = seen(bed.command(mode), &options(&bed, watch)) else { return };
            let ours: BTreeMap<String, u64> = seen
                .times()
                .into_iter()
                .map(|(number, times)| (name(number).to_owned(), times.0 + times.1))
                .collect();
            assert_eq!(ours, theirs, "{mode} {kind}: {:?}", seen.counts);
            compared += ours.values().sum::<u64>();
        }
    }
    println!("{compared} events compared");
}

#[test]
fn arguments_results_memory_and_stacks_are_told() {
    let Some(bed) = Bed::new("told", &["-ldl", "-fno-omit-frame-pointer"]) else { return };
    let Some(seen) = seen(bed.command("shapes"), &options(&bed, ALL)) else { return };
    let of = |wanted: &'static str, returned: bool| {
        seen.called().filter(move |of| name(of.number) == wanted && of.returned == returned)
    };
    const RDI: usize = 14;
    const RSI: usize = 13;
    const RAX: usize = 10;
    for (i, called) in of("plain", false).enumerate() {
        assert_eq!((called.registers[RDI], called.registers[RSI]), (i as u64, 1));
        assert_eq!(called.function, called.ip);
    }
    for (i, returned) in of("plain", true).enumerate() {
        assert_eq!(returned.registers[RAX], 3 * i as u64 + 1);
        assert_ne!(returned.function, returned.ip);
    }
    let called: Vec<&Called> = of("plain", false).collect();
    let back = of("plain", true).map(|of| (of.ip, of.sp, of.function));
    // Where a call says that it will return to, it does.
    assert!(back.eq(called.iter().map(|of| (of.caller, of.sp + 8, of.function))));
    let text = of("text", false).next().unwrap();
    let item = text.memory.iter().find(|item| item.argument == 0).unwrap();
    assert_eq!((&item.bytes[..5], item.address), (&b"four\0"[..], text.registers[RDI]));
    let stack = text.memory.iter().find(|item| item.argument == 7).unwrap();
    assert_eq!(stack.address, text.sp);
    assert_eq!(stack.bytes[..8], text.caller.to_le_bytes());
    let times: Vec<u64> = seen.events.iter().map(|event| event.time).collect();
    assert!(times.is_sorted(), "in the order of time");
}

#[test]
fn what_cannot_be_probed_is_said() {
    let Some(bed) = Bed::new("refused", &["-ldl"]) else { return };
    let (file, mut options) = (bed.path(), Options::none());
    let plain = offsets(&file, &["middle"])[0];
    options.function(&file, plain + 2, ENTRY);
    options.function(&file, 1 << 40, ENTRY);
    let tree = match Tree::start(bed.command("many"), &options) {
        Ok(tree) => tree,
        Err(error) => return println!("skipped: {error}"),
    };
    let refused: Vec<String> = tree.refused().iter().map(|(_, why)| why.clone()).collect();
    assert!(refused.iter().any(|why| why.contains("within an instruction")), "{refused:?}");
    assert!(refused.iter().any(|why| why.contains("none of the file's code")), "{refused:?}");
    tree.finish().0.wait().unwrap();
    let mut options = Options::none();
    options.function(Path::new("/etc/passwd"), 0, ENTRY);
    let error = Tree::start(bed.command("many"), &options).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("/etc/passwd"), "{error}");
}

#[test]
fn a_program_goes_on_when_nobody_reads_any_more() {
    let Some(bed) = Bed::new("left", &["-ldl"]) else { return };
    for mode in MODES {
        let bare = bed.command(mode).output().unwrap();
        for watch in [ENTRY, BOTH] {
            let mut command = bed.command(mode);
            command.stdout(Stdio::piped());
            let mut tree = match Tree::start(command, &options(&bed, watch)) {
                Ok(tree) => tree,
                Err(error) => return println!("skipped: {error}"),
            };
            // It is in the middle of something.
            let _ = tree.batch(Duration::from_millis(4));
            let (mut child, ..) = tree.finish();
            let stdout = child.stdout.take();
            let output = child.wait().unwrap();
            assert_eq!(programs::status(output), programs::status(bare.status), "{mode}");
            drop(stdout);
        }
    }
}

/// How often something is done at random moments: `SKEP_TREE_KILLS`, or some tens of times.
fn kills() -> u64 {
    std::env::var("SKEP_TREE_KILLS").map_or(20, |kills| kills.parse().unwrap())
}

fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below.max(1)
}

const PROGRAM: &str = "SKEP_FUNCTIONS_PROGRAM";
const SCRIPT: &str = "SKEP_FUNCTIONS_SCRIPT";
/// The modes whose output does not depend on who comes first.
const KILLED: [&str; 6] = ["shapes", "forks", "jumps", "signals", "again", "many"];

#[test]
#[ignore = "the process that is killed"]
fn tracer() {
    let (Ok(program), Ok(script)) = (std::env::var(PROGRAM), std::env::var(SCRIPT)) else { return };
    let (mut options, file) = (Options::none(), PathBuf::from(program));
    for offset in offsets(&file, &NAMES) {
        options.function(&file, offset, BOTH);
    }
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script);
    let mut tree = Tree::start(command, &options).unwrap();
    while tree.try_wait().unwrap().is_none() {
        tree.batch(Duration::from_millis(5));
    }
}

#[test]
fn programs_outlive_their_reader() {
    let Some(bed) = Bed::new("killed", &["-ldl"]) else { return };
    if let Err(error) = Tree::start(Command::new("/bin/true"), &Options::default()) {
        return println!("skipped: {error}");
    }
    let (path, output) = (bed.path().display().to_string(), bed.folder.join("output"));
    let work: String = KILLED.iter().map(|mode| format!("{path} {mode}; echo $?; ")).collect();
    let expected = Command::new("/bin/sh").args(["-c", &work]).output().unwrap().stdout;
    let expected = [&expected[..], b"end\n"].concat();
    let script = format!("({work}) >{} 2>&1; echo end >>{0}", output.display());
    let tracing = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "tracer"]).env(SCRIPT, &script).env(PROGRAM, &path);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let began = Instant::now();
    assert!(tracing().status().unwrap().success());
    let whole = began.elapsed().as_micros() as u64;
    assert_eq!(std::fs::read(&output).unwrap(), expected, "nobody is killed");
    let mut state = u64::from(std::process::id()) | 1 << 32;
    for kill in 0..kills() {
        std::fs::remove_file(&output).ok();
        let mut tracer = tracing().spawn().unwrap();
        let after = random(&mut state, whole);
        std::thread::sleep(Duration::from_micros(after));
        tracer.kill().unwrap();
        tracer.wait().unwrap();
        let (began, mut seen) = (Instant::now(), Vec::new());
        // Where it was killed before it had started anything, nothing comes.
        while began.elapsed() < Duration::from_secs(20) {
            seen = std::fs::read(&output).unwrap_or_default();
            if seen.ends_with(b"end\n") || !output.exists() && began.elapsed().as_secs() > 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if output.exists() {
            let (seen, expected) =
                (String::from_utf8_lossy(&seen), String::from_utf8_lossy(&expected));
            assert_eq!(seen, expected, "kill {kill}, after {after} us");
        }
    }
}

#[test]
fn programs_that_are_killed_hang_nobody() {
    let Some(bed) = Bed::new("dies", &["-ldl"]) else { return };
    let mut state = u64::from(std::process::id()) | 1 << 33;
    for kill in 0..kills() {
        let mode = ["threads", "forks", "shapes", "jumps"][kill as usize % 4];
        let mut command = bed.command(mode);
        command.stdout(Stdio::null());
        let mut tree = match Tree::start(command, &options(&bed, BOTH)) {
            Ok(tree) => tree,
            Err(error) => return println!("skipped: {error}"),
        };
        let after = Duration::from_micros(random(&mut state, 40_000));
        let began = Instant::now();
        let mut killed = false;
        while tree.try_wait().unwrap().is_none() {
            tree.batch(Duration::from_millis(1));
            if !killed && began.elapsed() > after {
                // SAFETY: takes numbers; it is a child of this process that was not waited for.
                unsafe { libc::kill(tree.pid() as i32, libc::SIGKILL) };
                killed = true;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{mode} hangs, killed at {after:?}");
        }
        tree.finish();
    }
}

#[test]
fn nonsense_in_shared_memory_harms_nobody_else() {
    let Some(bed) = Bed::new("hostile", &["-ldl"]) else { return };
    for seed in 0..kills() {
        let mut command = Command::new("/bin/sh");
        let path = bed.path().display().to_string();
        let script = format!("{path} hostile {seed} & {path} many; wait $!; {path} many; exit 5");
        command.args(["-c", &script]).stderr(Stdio::null());
        let Some(seen) = seen(command, &options(&bed, ALL)) else { return };
        assert_eq!((seen.status, &seen.output[..]), (5, "1498500\n1498500\n"), "seed {seed}");
    }
}

/// What a call costs, as a figure for docs: `cargo test -- --ignored --nocapture cost`.
#[test]
#[ignore = "measures"]
fn cost_of_a_call() {
    const CALLS: u64 = 1_000_000;
    let Some(bed) = Bed::new("cost", &["-ldl"]) else { return };
    let used = |status: libc::rusage| {
        let time = |of: libc::timeval| of.tv_sec as f64 * 1e9 + of.tv_usec as f64 * 1e3;
        time(status.ru_utime) + time(status.ru_stime)
    };
    // CPU time of all children that were waited for so far.
    let children = || {
        // SAFETY: the kernel writes a structure on the stack; zeros are one.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
            used(usage)
        }
    };
    let command = || {
        let mut command = Command::new(bed.path());
        command.args(["many", &CALLS.to_string()]).stdout(Stdio::null());
        command
    };
    let traced = |watch: Watch| {
        let before = children();
        let mut tree = Tree::start(command(), &options(&bed, watch)).unwrap();
        let mut count = 0;
        while tree.try_wait().unwrap().is_none() {
            count += tree.batch(Duration::from_millis(1)).len();
        }
        let (_, events, counts) = tree.finish();
        (children() - before, (count + events.len()) as u64 + counts.lost, counts.lost)
    };
    let bare = || {
        let before = children();
        command().status().unwrap();
        children() - before
    };
    for (name, watch) in [
        ("entry", ENTRY),
        ("entry with registers", Watch { registers: true, ..ENTRY }),
        ("return", Watch { entry: false, ..BOTH }),
        ("entry with the stack", Watch { registers: true, stack: true, ..ENTRY }),
    ] {
        let each = |_| {
            let (bare, (with, events, lost)) = (bare(), traced(watch));
            assert!(events >= CALLS);
            ((with - bare) / CALLS as f64, lost)
        };
        let mut runs: Vec<(f64, u64)> = (0..5).map(each).collect();
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        println!(
            "{name}: {:.0} ns added (median {:.0}), lost {:?}",
            runs[0].0, runs[2].0, runs[0].1
        );
    }
}
