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

const NAMES: [&str; 17] = [
    "plain", "text", "down", "callee", "tail", "real", "table", "only_return", "one_byte",
    "neighbour", "middle", "calls_first", "branches", "by_place", "loops", "jumps_away",
    "by_pointer",
];

/// Where in a file functions are.
fn offsets(file: &Path, names: &[&str]) -> Vec<u64> {
    let bytes = std::fs::read(file).unwrap();
    let elf = object::File::parse(&bytes[..]).unwrap();
    let all = || elf.symbols().chain(elf.dynamic_symbols());
    let offset = |name: &&str| {
        let symbol = all().find(|of| of.name() == Ok(name) && of.is_definition());
        let address = symbol.unwrap_or_else(|| panic!("no {name}")).address();
        let home = elf.segments().find(|of| {
            (of.address()..of.address() + of.size()).contains(&address)
        });
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

const MODES: [&str; 9] = [
    "shapes", "threads", "forks", "jumps", "signals", "trapped", "library", "many", "again",
];

/// Each mode does and says what it does bare.
fn behaves(bed: &Bed, watch: Watch) {
    let mut options = Options::none();
    let file = bed.path();
    for offset in offsets(&file, &NAMES) {
        options.function(&file, offset, watch);
    }
    for mode in MODES {
        let bare = bed.command(mode).output().unwrap();
        let Some(seen) = seen(bed.command(mode), &options) else { return };
        let told = (programs::status(bare.status), String::from_utf8_lossy(&bare.stdout).into());
        println!("{mode}: {:?} {:?}", seen.counts, seen.times());
        assert_eq!((seen.status, seen.output), told, "{mode}: {:?}", seen.counts);
        assert_eq!(seen.counts.lost, 0, "{mode}: {:?}", seen.counts);
        assert_eq!(seen.counts.unplanted, 0, "{mode}: {:?}", seen.counts);
    }
}

const BOTH: Watch = Watch { entry: true, ret: true, registers: false, stack: false, memory: 0, result: false };

#[test]
fn programs_with_probes_behave_as_they_do_bare() {
    let Some(bed) = Bed::new("bare", &["-ldl"]) else { return };
    behaves(&bed, Watch { ret: false, ..BOTH });
    behaves(&bed, BOTH);
    behaves(&bed, Watch { registers: true, stack: true, memory: 1, result: true, ..BOTH });
}
