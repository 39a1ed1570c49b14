//! Judging the programs of objects, each loaded on its own, on all cores.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use skep_abi::{AttachType, ProgType};
use skep_btf::Btf;
use skep_load::{LoadErrorKind, Object, Options as LoadOptions, Target, load, relocate};
use skep_sys::Kernel;

use super::judge::{Case, Judge};
use super::report::Report;
use super::selftests::Annotation;
use super::{Corpus, Options};

/// What became of one program.
struct Outcome {
    name: String,
    /// Whether it ran only here, beside what is expected of it.
    expected: bool,
    /// With each set of capabilities, or why there is no verdict.
    cases: Result<Vec<Case>, String>,
}

/// The objects that paths name: files, and what is in folders.
///
/// # Errors
/// A folder that cannot be read.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut expanded = Vec::new();
    for path in paths {
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                expanded.push(entry?.path());
            }
        } else {
            expanded.push(path.clone());
        }
    }
    expanded.retain(|path| path.extension().is_some_and(|extension| extension == "o"));
    expanded.sort();
    Ok(expanded)
}

/// Judges every program of these objects.
///
/// # Errors
/// None yet but the report's.
pub fn judge(
    corpus: Corpus,
    paths: &[PathBuf],
    vmlinux: &Arc<Btf>,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, Vec<Outcome>)>> = Mutex::default();
    let work = || {
        let judge = Judge::of_linux(Some(Arc::clone(vmlinux)), options);
        let kernel: Arc<dyn Kernel> = Arc::clone(&judge) as Arc<dyn Kernel>;
        let target = Target::of(&*kernel);
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(at) else { break };
            let of_object = judge_object(path, &judge, &kernel, &target, options);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, of_object));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(at, _)| *at);
    for outcome in outcomes.into_iter().flat_map(|(_, outcomes)| outcomes) {
        match outcome.cases {
            Ok(cases) => {
                let corpus = if outcome.expected { Corpus::Trampolines } else { corpus };
                for case in &cases {
                    report.add(corpus, &outcome.name, case, options.logs);
                }
            }
            Err(why) => report.skip(format!("{}: {why}", corpus.name())),
        }
    }
    Ok(())
}

fn judge_object(
    path: &Path,
    judge: &Judge,
    kernel: &Arc<dyn Kernel>,
    target: &Target,
    options: &Options,
) -> Vec<Outcome> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let Ok(object) = Object::open(path) else {
        let cases = Err("objects that the loader does not read".into());
        return vec![Outcome { name: file.into_owned(), expected: false, cases }];
    };
    let names = object.programs.iter().map(|def| def.name.clone());
    let wanted =
        |name: &String| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let outcome = |name: String| Outcome {
        cases: judge_program(&object, &name, judge, kernel, target),
        expected: judge.has_expectation(),
        name: format!("{file}:{name}"),
    };
    names.filter(wanted).map(outcome).collect()
}

fn judge_program(
    object: &Object,
    name: &str,
    judge: &Judge,
    kernel: &Arc<dyn Kernel>,
    target: &Target,
) -> Result<Vec<Case>, String> {
    let mut object = object.clone();
    object.select(|def| def.name == name);
    judge.forget();
    let annotation = object.btf.as_ref().map(|btf| Annotation::of(btf, name)).unwrap_or_default();
    if let Some(def) = object.program_mut(name) {
        def.flags = (def.flags | annotation.flags) & !annotation.cleared;
        let attach = def.attach_type.map_or(0, |of| of as u32);
        if def.prog_type.is_some_and(|kind| needs_trampoline(kind, attach)) {
            let without = "programs that run from trampolines, of which nothing is expected";
            judge.expect(annotation.success.ok_or(without)?);
        }
    }
    let linked = relocate(&object, target).map_err(|_| "programs that do not relocate")?;
    let loaded = load(&linked, target, kernel, &LoadOptions::default());
    let cases = judge.take_cases();
    match loaded {
        Err(error) if cases.is_empty() => Err(match error.kind() {
            LoadErrorKind::Btf { .. } => "programs whose types the kernel refuses",
            LoadErrorKind::Map { .. } => "programs whose maps the kernel refuses",
            LoadErrorKind::NoType { .. } => "programs in sections that libbpf does not know",
            LoadErrorKind::AttachTarget { .. } => "programs whose target this kernel has not",
            _ => "programs that are not permitted",
        }
        .into()),
        _ if cases.is_empty() => Err("programs that are not permitted".into()),
        _ => Ok(cases),
    }
}

/// Whether a program is called from a trampoline, which this kernel may lack.
fn needs_trampoline(kind: ProgType, attach: u32) -> bool {
    let traces = [AttachType::TraceFentry, AttachType::TraceFexit, AttachType::ModifyReturn];
    match kind {
        ProgType::Tracing => traces.iter().any(|of| *of as u32 == attach),
        ProgType::Lsm | ProgType::StructOps => true,
        _ => false,
    }
}
