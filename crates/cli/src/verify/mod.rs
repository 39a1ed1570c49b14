//! `skep verify`: would Linux load the programs of objects, and if not, why; and
//! `skep stat`: what their verification takes, as veristat says it.
//!
//! ```text
//!   inputs ──> files ── judge::open ──> Object ── judge::object ──> Judged, or Unusable
//!   baseline ─────────────────────────────────────────────────────> Regression
//!        render, json, report, stats: one form of output for each
//! ```

mod baseline;
mod creatable;
pub mod inputs;
pub mod judge;
mod privilege;
mod probes;
mod render;
mod report;
mod stats;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use skep::abi::{Capabilities, SectionDef};
use skep::baseline::Baseline;
use skep::load::Target;
use skep::sys::{Host, possible_cpus};
use skep::verify::{Env, Log};

use crate::failure::{Failure, Outcome, Status};
use crate::objects::LoaderArgs;
use crate::terminal::{Guard, Paint, clean};
use crate::{files, types};
use baseline::Regression;
use judge::{Judged, Verdict};
use report::{Run, Unusable};

/// Which programs, for whom, against which kernel.
#[derive(clap::Args)]
pub struct SubjectArgs {
    /// BPF objects, and folders with objects in them
    #[arg(required = true)]
    objects: Vec<PathBuf>,
    /// Only the program of this name
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// Judge for a process without capabilities
    #[arg(long, conflicts_with = "caps")]
    unprivileged: bool,
    /// Judge for a process with these capabilities: bpf, perfmon, net_admin, sys_admin
    #[arg(long, value_name = "CAPS", value_parser = privilege::parse)]
    caps: Option<Capabilities>,
    /// The kernel's types: raw BTF or an ELF file with it; this machine's unless given. With
    /// several, one verdict for each
    #[arg(long, value_name = "FILE")]
    btf: Vec<PathBuf>,
    #[command(flatten)]
    pub loader: LoaderArgs,
    /// Judge programs as this type, whatever their sections are called: xdp, tc, sched_cls
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    pub kind: Option<&'static SectionDef>,
    /// Have the maps in a map look like another map of the object
    #[arg(long, value_name = "OUTER=MAP", value_parser = pair)]
    pub inner: Vec<(String, String)>,
    /// Give a map another number of entries, as an application does before it loads
    #[arg(long, value_name = "MAP=N", value_parser = entries)]
    pub entries: Vec<(String, u32)>,
    /// Set a variable of a data section, as before a load
    #[arg(long = "map", value_name = "SECTION=VARIABLE:VALUE")]
    pub map: Vec<String>,
    /// Judge as if this were the licence
    #[arg(long, value_name = "TEXT")]
    pub license: Option<String>,
    /// Kernel configuration (CONFIG_X=y lines) that goes before the machine's
    #[arg(long, value_name = "FILE")]
    kconfig: Option<PathBuf>,
}

/// Say whether Linux 6.18 would load the programs of objects, and if not, why
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skep verify prog.bpf.o                      every program
  skep verify build/ more.bpf.o               every program of every object
  skep verify prog.bpf.o --program ingress    one
  skep verify prog.bpf.o --log                with the log, as Linux prints it at level 2
  skep verify prog.bpf.o --unprivileged       for a process without capabilities
  skep verify prog.bpf.o --caps bpf,net_admin for one with these
  skep verify prog.bpf.o --btf vmlinux-6.18   against the types of another kernel
  skep verify prog.bpf.o --map .rodata=debug:1  with a variable set before the load
  skep verify prog.bpf.o --loader cilium      as cilium/ebpf would load it
  skep verify build/ --output sarif > skep.sarif
  skep verify build/ --baseline before.csv    and what is worse than it was

Exit status: 0 if all are accepted, 1 if one is rejected or worse than in the baseline, 2 if
one cannot be judged or an object has no programs.")]
pub struct Args {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Print the verifier's log, at level 2
    #[arg(long)]
    log: bool,
    /// One JSON object a line for each program (see docs/verify.md)
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// In which form to print
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
    /// An earlier run (--output csv, or veristat's CSV) to compare with
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// By how many per cent instructions, states and stack may grow over the baseline
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, requires = "baseline", value_parser = percent)]
    threshold: f64,
}

/// Show what verification takes, in veristat's columns
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skep stat build/
  skep stat prog.bpf.o --output csv > before.csv     for --baseline, and for veristat -C

The status is 0 whatever the verdicts are, and 2 if an object cannot be judged.")]
pub struct StatArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// A table, or CSV with all columns
    #[arg(long, short, value_enum, value_name = "FORM", default_value_t = StatForm::Table)]
    output: StatForm,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One object a line
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// XML as JUnit's, for test reports
    Junit,
    /// Workflow commands of GitHub Actions
    Github,
    /// All columns of veristat
    Csv,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StatForm {
    Table,
    Csv,
}

fn kind(text: &str) -> Result<&'static SectionDef, String> {
    SectionDef::of_type(text).ok_or_else(|| match SectionDef::nearest(text) {
        Some(near) => format!("no section or program type is called that; {:?} is", near.name),
        None => "no section or program type is called that".into(),
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((outer, inner)) if !outer.is_empty() && !inner.is_empty() => {
            Ok((outer.into(), inner.into()))
        }
        _ => Err("expected OUTER=MAP".into()),
    }
}

fn entries(text: &str) -> Result<(String, u32), String> {
    let (map, count) = pair(text).map_err(|_| "expected MAP=N")?;
    Ok((map, count.parse().map_err(|_| "expected a number of entries")?))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim().parse::<f64>().ok();
    number.filter(|number| number.is_finite() && *number >= 0.0).ok_or("expected a number".into())
}

/// A kernel to judge for.
pub struct Kernel {
    pub target: Target,
    pub env: Env,
    /// Whose types, for people.
    types: String,
}

impl Kernel {
    /// A kernel that programs are relocated for, asked by a process with these capabilities.
    pub fn new(target: Target, caps: Capabilities, types: String) -> Kernel {
        let vmlinux = target.kernel_btf().ok().cloned();
        let env = Env { caps, vmlinux, cpus: possible_cpus(), ..Env::default() };
        Kernel { target, env, types }
    }
}

/// The kernels of the command line: one for each file of types.
fn kernels(args: &SubjectArgs) -> Result<Vec<Kernel>, Failure> {
    let kconfig = args.kconfig.as_deref().map(files::read_text).transpose()?.unwrap_or_default();
    let caps = privilege::of(args);
    let kernel = |file: Option<&Path>| {
        let mut target = Target::new(Host::default()).with_kconfig(kconfig.clone());
        // Read here, so that what is wrong with it is told by its name.
        if let Some(file) = file {
            target = target.with_kernel_btf(Arc::new(types::open(file, None)?));
        }
        let types = match (file, target.kernel_btf()) {
            (Some(file), _) => file.display().to_string(),
            (None, Ok(_)) => {
                format!("this machine's ({})", Host::default().release().unwrap_or_default())
            }
            (None, Err(_)) => "none".into(),
        };
        Ok(Kernel::new(target, caps, types))
    };
    match args.btf.is_empty() {
        true => Ok(vec![kernel(None)?]),
        false => args.btf.iter().map(|file| kernel(Some(file))).collect(),
    }
}

/// What is told of an object: its kernel and name, its programs, and why there are none.
type Each<'a> = dyn FnMut(&Kernel, &Path, &[Judged], Option<&Failure>) -> Result<(), Failure> + 'a;

/// Judges all objects for all kernels; `each` is told of each object as soon as it is done.
fn judge_all(
    args: &SubjectArgs,
    log_level: u32,
    each: &mut Each<'_>,
) -> Result<(Vec<Judged>, Vec<Unusable>), Failure> {
    let paths = inputs::objects(&args.objects)?;
    let kernels = kernels(args)?;
    let (mut judged, mut unusable) = (Vec::new(), Vec::new());
    let mut is_found = args.program.is_none();
    let mut names = Vec::new();
    for kernel in &kernels {
        for path in &paths {
            let result = judge::open(path, args).and_then(|object| {
                if let Some(name) = &args.program {
                    let has_it = object.programs.iter().any(|def| def.name == *name);
                    is_found |= has_it;
                    names.extend(object.programs.iter().map(|def| def.name.clone()).take(12));
                    if !has_it {
                        return Ok(Vec::new());
                    }
                }
                judge::object(path, &object, kernel, log_level)
            });
            match result {
                Ok(programs) => {
                    each(kernel, path, &programs, None)?;
                    judged
                        .extend(programs.into_iter().map(|of| Judged { log: String::new(), ..of }));
                }
                Err(failure) => {
                    each(kernel, path, &[], Some(&failure))?;
                    unusable.push(Unusable {
                        object: path.display().to_string(),
                        message: failure.message().to_owned(),
                        hint: failure.hint_text().to_owned(),
                    });
                }
            }
        }
    }
    if !is_found && unusable.is_empty() {
        let name = args.program.as_deref().unwrap_or_default();
        names.sort_unstable();
        names.dedup();
        let failure = Failure::unusable(format!("there is no program {name:?}"));
        let which = if paths.len() == 1 { "the object has" } else { "the objects have" };
        return Err(failure.hint(format!("{which}: {}", names.join(", "))));
    }
    Ok((judged, unusable))
}

/// `skep verify`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let form = if args.json { Form::Json } else { args.output };
    let baseline = args.baseline.as_deref().map(baseline::read).transpose()?;
    let log_level = if args.log { Log::LEVEL2 } else { 0 };
    let mut printer = Printer { form, many: false, last: None, object: String::new() };
    printer.many = args.subject.objects.len() > 1 || args.subject.objects[0].is_dir();
    let caps = privilege::name(privilege::of(&args.subject));
    let (judged, unusable) =
        judge_all(&args.subject, log_level, &mut |kernel, path, programs, failure| {
            printer.object(&caps, kernel, path, programs, failure, out)
        })?;
    let regressions = match &baseline {
        Some(baseline) => baseline::compare(baseline, &judged, args.threshold),
        None => Vec::new(),
    };
    let run = Run { judged: &judged, unusable: &unusable, regressions: &regressions };
    match form {
        Form::Text => {
            summary(&run, baseline.as_ref(), printer.many, out)?;
        }
        Form::Json => {
            for of in &regressions {
                line(&json_regression(of), out)?;
            }
        }
        Form::Sarif => report::sarif(&run, out)?,
        Form::Junit => report::junit(&run, out)?,
        Form::Github => report::github(&run, out)?,
        Form::Csv => {
            stats::csv(&judged, out)?;
            for of in &regressions {
                eprintln!("{}", regression(of));
            }
        }
    }
    Ok(status(&run))
}

/// `skep stat`.
pub fn stat(args: StatArgs, out: &mut dyn Write) -> Outcome {
    let mut files = 0;
    let (judged, unusable) = judge_all(&args.subject, 0, &mut |_, _, programs, failure| {
        files += usize::from(!programs.is_empty());
        if let Some(failure) = failure {
            failure.print();
        }
        Ok(())
    })?;
    match args.output {
        StatForm::Table => stats::table(&judged, files, unusable.len(), out)?,
        StatForm::Csv => stats::csv(&judged, out)?,
    }
    Ok(if unusable.is_empty() { Status::Done } else { Status::Unusable })
}

/// The worst of all.
fn status(run: &Run<'_>) -> Status {
    let is = |status: Status| run.judged.iter().any(|of| of.status() == status);
    match () {
        () if !run.unusable.is_empty() || is(Status::Unusable) => Status::Unusable,
        () if !run.regressions.is_empty() || is(Status::Refused) => Status::Refused,
        () => Status::Done,
    }
}

/// Prints text and JSON while objects are judged.
struct Printer {
    form: Form,
    many: bool,
    /// The types that the last line named.
    last: Option<String>,
    /// The object that the last title named.
    object: String,
}

impl Printer {
    fn object(
        &mut self,
        caps: &str,
        kernel: &Kernel,
        path: &Path,
        programs: &[Judged],
        failure: Option<&Failure>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        match self.form {
            Form::Text => {
                if self.last.as_deref() != Some(&kernel.types) {
                    self.last = Some(kernel.types.clone());
                    self.object.clear();
                    let types = clean(&kernel.types);
                    writeln!(out, "for Linux 6.18, {caps}, types: {types}")?;
                }
                for judged in programs {
                    if self.many && self.object != judged.object {
                        self.object.clone_from(&judged.object);
                        writeln!(out, "{}", Paint::stdout().bold(&clean(&judged.object)))?;
                    }
                    render::write(judged, out)?;
                    // The log has names and source lines of the object.
                    Guard::new(out).write_all(judged.log.as_bytes())?;
                }
            }
            Form::Json => {
                for judged in programs {
                    line(&json(judged), out)?;
                }
                if let Some(failure) = failure {
                    line(&json_failure(path, failure, &kernel.types), out)?;
                }
            }
            _ => {}
        }
        if let Some(failure) = failure {
            // What is printed comes in order where both go to a terminal.
            out.flush()?;
            failure.print();
        }
        Ok(())
    }
}

fn summary(
    run: &Run<'_>,
    baseline: Option<&Baseline>,
    many: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let paint = Paint::stdout();
    for of in run.regressions {
        writeln!(out, "{}  {}", paint.red("worse   "), regression(of))?;
    }
    if let Some(baseline) = baseline {
        let known = baseline::known(baseline, run.judged);
        let (worse, fresh) = (run.regressions.len(), run.judged.len() - known);
        writeln!(
            out,
            "against the baseline: {known} programs compared, {fresh} new, {worse} worse"
        )?;
    }
    if many {
        let count = |status: Status| run.judged.iter().filter(|of| of.status() == status).count();
        writeln!(
            out,
            "{} accepted, {} rejected, {} without a verdict; {} objects cannot be loaded",
            count(Status::Done),
            count(Status::Refused),
            count(Status::Unusable),
            run.unusable.len()
        )?;
    }
    Ok(())
}

/// A regression in a line, with its place.
fn regression(of: &Regression) -> String {
    let place = of.source.as_ref().map_or(String::new(), |at| format!("{}: ", report::place(at)));
    let text = format!("{place}{}: {} ({})", of.program, of.message, of.object);
    clean(&text).into_owned()
}

fn line(json: &Json, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer(Guard::json(out), json).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

fn json(judged: &Judged) -> Json {
    let def = &judged.program.def;
    let is_accepted = matches!(judged.verdict, Verdict::Accepted);
    let counts = Some(judged.counts).filter(|_| is_accepted);
    let mut json = json!({
        "object": judged.object,
        "program": def.name,
        "section": def.section,
        "type": def.prog_type.map(|kind| kind.name()),
        "verdict": judged.word(),
        "errno": judged.errno().and_then(|errno| errno.name()),
        "insn": judged.insn(),
        "message": judged.message(),
        "source": judged.source().map(|at| json!({ "file": at.file, "line": at.line })),
        "processed": counts.map(|counts| counts.processed),
        "states": counts.map(|counts| counts.total_states),
        "time_us": judged.time as u64,
        "btf": judged.types,
        "stack": judged.stack,
        "help": render::help(judged),
    });
    if !judged.log.is_empty() {
        json["log"] = judged.log.clone().into();
    }
    json
}

fn json_failure(path: &Path, failure: &Failure, types: &str) -> Json {
    json!({
        "object": path.display().to_string(),
        "program": null,
        "verdict": "error",
        "message": failure.message(),
        "help": failure.hint_text(),
        "btf": types,
    })
}

fn json_regression(of: &Regression) -> Json {
    json!({
        "object": of.object,
        "program": of.program,
        "regression": of.what,
        "message": of.message,
        "source": of.source.as_ref().map(|at| json!({ "file": at.file, "line": at.line })),
    })
}
