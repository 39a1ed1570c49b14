//! `parity debian`: the programs of Debian's objects, each loaded into the embedded kernel and run
//! once, on a context of zeros in the default world. Maps whose size the tools set in user space
//! get a size here. Prints how many run, and why the others do not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use skep_abi::flags::test_run::OWN;
use skep_abi::{AttachType, MapType, ProgType};
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
const GOAL: usize = 336;

/// Runs them, writes `target/parity/debian.txt`, and prints the figures. Gives whether as many
/// run as did before.
///
/// # Errors
/// The objects cannot be had.
pub fn execute(options: &Options) -> Result<bool> {
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let target = Target::of(&*linux);
    let (mut all, mut run) = (0, 0);
    let mut reasons = BTreeMap::<String, usize>::new();
    let mut report = String::new();
    let mut sized = 0;
    for found in corpus::objects()? {
        let Ok(mut object) = Object::open(&found.path) else {
            *reasons.entry("the loader does not read the object".into()).or_default() += 1;
            continue;
        };
        sized += give_sizes(&mut object);
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
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (why, count) in reasons {
        println!("parity debian: not run: {count}: {why}");
    }
    println!("parity debian: run {run} of {all}");
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

fn run_once(object: &Object, name: &str, target: &Target) -> Result<u32, String> {
    let mut alone = object.clone();
    let mut kind = None;
    for def in &mut alone.programs {
        def.autoload = def.name == name;
        if def.autoload {
            kind = def.prog_type.zip(def.attach_type);
        }
    }
    let linked = relocate(&alone, target).map_err(|error| format!("relocation: {error}"))?;
    let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
    let skep = load(&linked, target, &kernel, &LoadOptions::default())
        .map_err(|error| format!("load: {error}"))?;
    let program = skep.program(name).ok_or("there is no such program")?;
    let run = TestRun { flags: OWN, repeat: 1, ..TestRun::default() };
    let (run, result) = program.test_run(run);
    let retval = run.retval;
    let message = run.diagnostic.map(|diagnostic| diagnostic.message);
    let iterates = matches!(kind, Some((ProgType::Tracing, AttachType::TraceIter)));
    match result {
        Ok(()) => Ok(retval),
        Err(_) if iterates => Err("run: an iterator, which runs by reading its link".into()),
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
