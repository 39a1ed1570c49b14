//! `parity retval`: programs of Linux's selftests that say what they return (`__retval`), by
//! TEST_RUN on the running kernel and on the embedded one, with each of its engines. What
//! Linux runs here decides which count, and what it returns is what they have to return.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use skep_abi::{Errno, MapType, ProgType};
use skep_btf::Btf;
use skep_load::{LoadErrorKind, Object, Options as LoadOptions, Skep, Target, load, relocate};
use skep_sys::{Kernel, Linux, TestRun};
use skep_vm::{Engine, Vm};

use crate::run::pin_to_cpu_0;
use crate::verify::selftests::{self, Annotation};

/// What Linux's own runner gives them: so many bytes, all 0.
const DATA: usize = 64;
/// What its source says where a program returns what says nothing.
const POINTER: &str = "POINTER_VALUE";

/// The embedded kernel's engines by name.
const ENGINES: [(&str, Engine); 3] =
    [("interpreter", Engine::Interpreter), ("guarded", Engine::Guarded), ("elided", Engine::Auto)];

/// Programs that return something else here, and why.
const KNOWN: [(&str, &str); 1] = [(
    "verifier_netfilter_ctx.bpf.o:with_valid_ctx_access_test6",
    "it reads the packet's own structure, which leads nowhere",
)];

/// What to run.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Only programs whose name (file:program) has this in it
    #[arg(long)]
    only: Option<String>,
}

#[derive(Default)]
struct Tally {
    annotated: usize,
    judged: usize,
    agree: [usize; ENGINES.len()],
    wrong: usize,
    /// Why Linux runs some not.
    unjudged: BTreeMap<String, usize>,
    /// Why the embedded kernel runs some not that Linux runs.
    missing: BTreeMap<String, usize>,
    report: String,
}

/// Compares, writes `target/parity/retval.txt`, and prints the figures. Gives whether nothing
/// that ran returned anything else than on Linux, but for what is [`KNOWN`].
///
/// # Errors
/// The selftests cannot be built.
pub fn execute(options: &Options) -> Result<bool> {
    pin_to_cpu_0()?;
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let target = Target::of(&*linux);
    let vmlinux = std::fs::read("/sys/kernel/btf/vmlinux").context("/sys/kernel/btf/vmlinux")?;
    let vmlinux = Btf::parse(vmlinux)?;
    let named = selftests::saying("__retval(")?;
    let mut tally = Tally::default();
    for path in selftests::objects(&vmlinux, |name| named.iter().any(|named| named == name))? {
        compare_object(&path, &linux, &target, options, &mut tally)?;
    }
    std::fs::write("target/parity/retval.txt", &tally.report)?;
    let judged = tally.judged;
    println!(
        "parity retval: {} programs say what they return, Linux runs {judged}",
        tally.annotated
    );
    for (why, count) in &tally.unjudged {
        println!("parity retval: not judged: {count}: {why}");
    }
    for (index, (engine, _)) in ENGINES.into_iter().enumerate() {
        let agree = tally.agree[index];
        let share = 100.0 * agree as f64 / judged.max(1) as f64;
        println!("parity retval: {engine}: agree {agree} of {judged} ({share:.1} %)");
    }
    for (why, count) in &tally.missing {
        println!("parity retval: not run: {count}: {why}");
    }
    println!("parity retval: {} runs returned something else without a known reason", tally.wrong);
    Ok(tally.wrong == 0 && judged > 0)
}

fn compare_object(
    path: &Path,
    linux: &Arc<dyn Kernel>,
    target: &Target,
    options: &Options,
    tally: &mut Tally,
) -> Result<()> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Ok(object) = Object::open(path) else {
        *tally
            .unjudged
            .entry(format!("{file}: objects that the loader does not read"))
            .or_default() += 1;
        return Ok(());
    };
    let names: Vec<String> = object.programs.iter().map(|def| def.name.clone()).collect();
    for name in names {
        let full = format!("{file}:{name}");
        if options.only.as_ref().is_some_and(|only| !full.contains(only.as_str())) {
            continue;
        }
        let annotation = object.btf.as_ref().map(|btf| Annotation::of(btf, &name));
        let annotation = annotation.unwrap_or_default();
        let Some(expected) = annotation.retval.clone() else { continue };
        tally.annotated += 1;
        compare_program(&object, &name, &full, &annotation, linux, target, tally)
            .with_context(|| format!("{full}, which returns {expected}"))?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "a program, where it runs, and what is told of it")]
fn compare_program(
    object: &Object,
    name: &str,
    full: &str,
    annotation: &Annotation,
    linux: &Arc<dyn Kernel>,
    target: &Target,
    tally: &mut Tally,
) -> Result<()> {
    let in_an_array = |index: usize| {
        let arrays = object.maps.iter().filter(|map| map.kind() == Some(MapType::ProgArray));
        arrays.flat_map(|map| &map.slots).any(|slot| slot.1 == index)
    };
    let mut alone = object.clone();
    for (index, def) in alone.programs.iter_mut().enumerate() {
        def.autoload = def.name == name || in_an_array(index);
    }
    let mut kind = None;
    if let Some(def) = alone.program_mut(name) {
        def.flags = (def.flags | annotation.flags) & !annotation.cleared;
        kind = def.prog_type;
    }
    let unjudged = |why: &str, tally: &mut Tally| {
        *tally.unjudged.entry(why.to_owned()).or_default() += 1;
        let _ = writeln!(tally.report, "{full}: not judged: {why}");
    };
    let Ok(linked) = relocate(&alone, target) else {
        unjudged("does not relocate", tally);
        return Ok(());
    };
    let judge = match load(&linked, target, linux, &LoadOptions::default()) {
        Ok(judge) => judge,
        Err(error) => {
            let why = match error.kind() {
                LoadErrorKind::AttachTarget { .. } => "its target is not in this kernel",
                LoadErrorKind::Map { .. } => "Linux refuses its maps",
                _ => "Linux refuses it",
            };
            unjudged(why, tally);
            writeln!(tally.report, "  {error}")?;
            return Ok(());
        }
    };
    let returned = match run(&judge, name, kind) {
        Ok(returned) => returned,
        Err((errno, _)) => {
            unjudged(&format!("Linux does not run it: {errno}"), tally);
            return Ok(());
        }
    };
    tally.judged += 1;
    let mut reason = None;
    for (index, (engine, with)) in ENGINES.into_iter().enumerate() {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new().with_engine(with));
        let ours = load(&linked, target, &kernel, &LoadOptions::default())
            .map_err(|error| format!("does not load: {:?}", error.kind()))
            .and_then(|skep| {
                run(&skep, name, kind).map_err(|(errno, message)| match message {
                    Some(message) => message,
                    None => format!("TEST_RUN of {kind:?}: {errno}"),
                })
            });
        match ours {
            Ok(ours) if ours == returned || annotation.retval.as_deref() == Some(POINTER) => {
                tally.agree[index] += 1;
            }
            Ok(ours) => {
                let known = KNOWN.iter().find(|(name, _)| *name == full).map(|(_, why)| *why);
                tally.wrong += usize::from(known.is_none());
                let why = known.map_or_else(String::new, |why| format!(": {why}"));
                let what =
                    format!("{full}, {engine}: returns {ours:#x}, on Linux {returned:#x}{why}");
                println!("{what}");
                writeln!(tally.report, "{what}")?;
            }
            Err(why) => {
                writeln!(tally.report, "{full}, {engine}: not run: {why}")?;
                reason = Some(first_words(&why));
            }
        }
    }
    if let Some(reason) = reason {
        *tally.missing.entry(reason).or_default() += 1;
    }
    Ok(())
}

/// A reason without what is the program's own.
fn first_words(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    line.chars().take(100).collect()
}

/// What the program returns; what Linux's runner does not hand to a type, it gets none of.
fn run(
    skep: &Skep,
    name: &str,
    kind: Option<ProgType>,
) -> std::result::Result<u32, (Errno, Option<String>)> {
    let program = skep.program(name).ok_or((Errno::ENOENT, None))?;
    let (data, mut out) = ([0; DATA], [0; DATA * 4]);
    let run = match kind {
        Some(ProgType::Syscall | ProgType::RawTracepoint | ProgType::Tracing) => TestRun::default(),
        _ => TestRun {
            data_size_in: DATA as u32,
            data_in: Some((&data[..]).into()),
            data_size_out: out.len() as u32,
            data_out: (&mut out[..]).into(),
            repeat: 1,
            ..TestRun::default()
        },
    };
    let (run, result) = program.test_run(run);
    let retval = run.retval;
    let message = run.diagnostic.map(|diagnostic| diagnostic.message);
    result.map(|()| retval).map_err(|errno| (errno, message))
}
