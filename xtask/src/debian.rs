//! `parity debian`: the programs of Debian's objects, each loaded into the embedded kernel and run
//! once, on a context of zeros in the default world. Maps whose size the tools set in user space
//! get a size here, and programs whose function they choose there get one. Prints how many run, and
//! why the others do not; what Linux refuses here by the same types is no program to run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use skep_abi::MapType;
use skep_abi::flags::test_run::OWN;
use skep_btf::Kind;
use skep_load::{Object, Options as LoadOptions, Target, load, relocate};
use skep_sys::{Kernel, Linux, TestRun};
use skep_vm::Vm;

use crate::corpus;

/// Elements of a map that its object gives none: the tools do, by their options.
const ELEMENTS: u32 = 1024;
/// Bytes of values of such a map.
const VALUE: u32 = 8;

/// What to run.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Only programs whose name (file:program) has this in it
    #[arg(long)]
    only: Option<String>,
}

/// Programs that run at least.
const GOAL: usize = 354;

/// What stands in objects for functions of a file system, which tools choose, and how those end
/// that they are.
const CHOSEN: [(&str, &[&str]); 5] = [
    ("dummy_file_read", &["_file_read_iter"]),
    ("dummy_file_write", &["_file_write_iter"]),
    ("dummy_file_open", &["_file_open"]),
    ("dummy_file_sync", &["_sync_file", "_file_fsync"]),
    ("dummy_getattr", &["_getattr"]),
];
/// File systems that tools know, and what others are made of.
const FILE_SYSTEMS: [&str; 7] = ["ext4", "xfs", "btrfs", "f2fs", "nfs", "generic", "shmem"];

/// Runs them, writes `target/parity/debian.txt`, and prints the figures. Gives whether as many
/// run as did before.
///
/// # Errors
/// The objects cannot be had.
pub fn execute(options: &Options) -> Result<bool> {
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let target = Target::of(&*linux);
    let (mut all, mut run, mut refused) = (0, 0, 0);
    let mut reasons = BTreeMap::<String, usize>::new();
    let mut report = String::new();
    let (mut sized, mut chosen) = (0, 0);
    for found in corpus::objects()? {
        let Ok(mut object) = Object::open(&found.path) else {
            *reasons.entry("the loader does not read the object".into()).or_default() += 1;
            continue;
        };
        sized += give_sizes(&mut object);
        chosen += give_functions(&mut object, &target);
        let names: Vec<String> = object.programs.iter().map(|def| def.name.clone()).collect();
        for name in names {
            let full = format!("{}:{name}", found.name);
            if options.only.as_ref().is_some_and(|only| !full.contains(only.as_str())) {
                continue;
            }
            all += 1;
            match run_once(&object, &name, &target) {
                Ok(retval) => {
                    run += 1;
                    writeln!(report, "{full}: runs, {retval}")?;
                }
                Err(why) if refuses(&object, &name, &target, &linux) => {
                    refused += 1;
                    writeln!(report, "{full}: Linux refuses it, too: {why}")?;
                }
                Err(why) => {
                    writeln!(report, "{full}: {why}")?;
                    *reasons.entry(in_short(&why)).or_default() += 1;
                }
            }
        }
    }
    std::fs::write("target/parity/debian.txt", &report)?;
    println!(
        "parity debian: {sized} maps are sized by the tools; here they have {ELEMENTS} elements"
    );
    println!("parity debian: {chosen} programs get a function that the tools choose");
    println!("parity debian: {refused} programs are refused by Linux here, too");
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (why, count) in reasons {
        println!("parity debian: not run: {count}: {why}");
    }
    println!("parity debian: run {run} of {}", all - refused);
    Ok(options.only.is_some() || run >= GOAL)
}

/// Gives sizes to the maps that have none; gives how many that were.
fn give_sizes(object: &mut Object) -> usize {
    let mut sized = 0;
    for map in &mut object.maps {
        let kind = map.kind();
        let unsized_kinds = [
            MapType::SkStorage,
            MapType::TaskStorage,
            MapType::InodeStorage,
            MapType::CgrpStorage,
            MapType::CgroupStorage,
            MapType::PercpuCgroupStorage,
            // As many as there are CPUs, which loaders know.
            MapType::PerfEventArray,
        ];
        if kind.is_none_or(|kind| unsized_kinds.contains(&kind)) {
            continue;
        }
        let before = (map.max_entries, map.value_size);
        if map.max_entries == 0 {
            map.max_entries = match kind {
                Some(MapType::Ringbuf) => 1 << 18,
                // One for each CPU.
                Some(MapType::Cpumap) => 1,
                _ => ELEMENTS,
            };
        }
        let valued = !matches!(kind, Some(MapType::Ringbuf | MapType::UserRingbuf));
        if valued && map.value_size == 0 {
            map.value_size = if kind == Some(MapType::StackTrace) { 127 * 8 } else { VALUE };
        }
        sized += usize::from(before != (map.max_entries, map.value_size));
    }
    sized
}

/// Gives functions to the programs that have none but a name for it; gives how many that were.
fn give_functions(object: &mut Object, target: &Target) -> usize {
    let mut chosen = 0;
    for def in &mut object.programs {
        let named = CHOSEN.iter().find(|(name, _)| def.target.as_deref() == Some(*name));
        let Some((_, ends)) = named else { continue };
        let names =
            FILE_SYSTEMS.iter().flat_map(|of| ends.iter().map(move |end| format!("{of}{end}")));
        let known = |name: &String| {
            target.kernel_btf().is_ok_and(|types| types.find(name, Kind::Func).is_some())
        };
        if let Some(name) = names.into_iter().find(known) {
            def.target = Some(name);
            chosen += 1;
        }
    }
    chosen
}

/// The object with this program alone.
fn alone(object: &Object, name: &str) -> Object {
    let mut alone = object.clone();
    for def in &mut alone.programs {
        def.autoload = def.name == name;
    }
    alone
}

/// Whether Linux refuses to load it, too. What the tools give a program of Linux's to look at
/// (`xdpdump`) would load there.
fn refuses(object: &Object, name: &str, target: &Target, linux: &Arc<dyn Kernel>) -> bool {
    /// Stands for a function of another program.
    const OF_A_PROGRAM: &str = "func";
    let mut named = object.programs.iter().filter(|def| def.name == name);
    if named.any(|def| def.target.as_deref() == Some(OF_A_PROGRAM)) {
        return false;
    }
    match relocate(&alone(object, name), target) {
        Ok(linked) => load(&linked, target, linux, &LoadOptions::default()).is_err(),
        Err(_) => true,
    }
}

fn run_once(object: &Object, name: &str, target: &Target) -> Result<u32, String> {
    let alone = alone(object, name);
    let linked = relocate(&alone, target).map_err(|error| format!("relocation: {error}"))?;
    let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
    let skep = load(&linked, target, &kernel, &LoadOptions::default())
        .map_err(|error| format!("load: {error}"))?;
    let program = skep.program(name).ok_or("there is no such program")?;
    let run = TestRun { flags: OWN, repeat: 1, ..TestRun::default() };
    let (run, result) = program.test_run(run);
    let retval = run.retval;
    let message = run.diagnostic.map(|diagnostic| diagnostic.message);
    match result {
        Ok(()) => Ok(retval),
        Err(errno) => Err(format!("run: {errno}: {}", message.unwrap_or_default())),
    }
}

/// A reason without what is the program's own.
fn in_short(why: &str) -> String {
    if why.contains("the kernel has no") {
        return "what it attaches to is not in this kernel".into();
    }
    let line = why.lines().next().unwrap_or_default();
    let line: String = line.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    line.chars().take(160).collect()
}
