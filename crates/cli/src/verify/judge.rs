//! The programs of one object, judged: what its loader would do to it, and then what the
//! verifier says of each.
//!
//! A loader gives up before the verifier sees anything: over a map that cannot be created,
//! or over what a program attaches to. That is a verdict on the object or the program, but
//! none of the verifier's, and says so.

use std::path::Path;
use std::sync::Arc;

use skep::abi::{Capabilities, Errno, Reason};
use skep::judge;
use skep::load::{AttachError, Linked, LinkedProgram, Loader, Object, Target, relocate};
use skep::verify::explain::{Explanation, Source, explain};
use skep::verify::{self as verifier, Counts, Env, Log, VerifyError};

use super::{Kernel, SubjectArgs, creatable, probes};
use crate::clock::CpuTime;
use crate::failure::{Failure, Status};
use crate::files;
use crate::objects;
use crate::run::fill;

/// A program and what is said of it.
pub struct Judged {
    /// The object, as it was named.
    pub object: String,
    /// The program as it was linked.
    pub program: LinkedProgram,
    pub verdict: Verdict,
    /// Of a refusal.
    pub explanation: Explanation,
    /// What was counted on the way, of a refusal as well.
    pub counts: Counts,
    /// Stack of the program and of its subprograms, in bytes.
    pub stack: u32,
    /// Its first line of source.
    pub start: Option<Source>,
    /// The verifier's log, where it was asked for.
    pub log: String,
    /// CPU time of the verification, in microseconds.
    pub time: u128,
    /// Whose types.
    pub types: String,
}

/// What becomes of a program.
pub enum Verdict {
    Accepted,
    /// The verifier's refusal.
    Rejected(VerifyError),
    /// The loader's refusal.
    Unloaded {
        errno: Errno,
        message: String,
        help: String,
    },
    /// No verdict, and why.
    Unknown {
        message: String,
        help: String,
    },
}

impl Judged {
    pub fn status(&self) -> Status {
        match self.verdict {
            Verdict::Accepted => Status::Done,
            Verdict::Rejected(_) | Verdict::Unloaded { .. } => Status::Refused,
            Verdict::Unknown { .. } => Status::Unusable,
        }
    }

    /// `accept`, `reject`, `error`.
    pub fn word(&self) -> &'static str {
        match self.status() {
            Status::Done => "accept",
            Status::Refused => "reject",
            Status::Unusable | Status::Stopped(_) | Status::Command(_) => "error",
        }
    }

    pub fn errno(&self) -> Option<Errno> {
        match &self.verdict {
            Verdict::Rejected(error) => Some(error.errno),
            Verdict::Unloaded { errno, .. } => Some(*errno),
            Verdict::Accepted | Verdict::Unknown { .. } => None,
        }
    }

    /// The one line of why.
    pub fn message(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Accepted => None,
            Verdict::Rejected(error) => Some(error.reason.to_string()),
            Verdict::Unloaded { message, .. } | Verdict::Unknown { message, .. } => {
                Some(message.clone())
            }
        }
    }

    /// The instruction at fault.
    pub fn insn(&self) -> Option<u32> {
        match &self.verdict {
            Verdict::Rejected(error) => error.pc,
            _ => None,
        }
    }

    /// The source line at fault.
    pub fn source(&self) -> Option<&Source> {
        self.explanation.at.as_ref()?.source.as_ref()
    }
}

/// Opens an object and prepares it as the command line says.
pub fn open(file: &Path, args: &SubjectArgs) -> Result<Object, Failure> {
    let mut object = objects::open_as(file, args.loader.loader())?;
    for (outer, inner) in &args.inner {
        object
            .set_inner(outer, inner)
            .map_err(|reason| files::in_file(file, format!("--inner {outer}={inner}: {reason}")))?;
    }
    for (name, count) in &args.entries {
        let map = object.maps.iter_mut().find(|map| map.name == *name);
        let Some(map) = map.filter(|map| map.origin.section().is_none()) else {
            return Err(files::in_file(file, format!("--entries: the object has no map {name:?}")));
        };
        map.max_entries = *count;
    }
    if let Some(license) = &args.license {
        object.license = license.clone();
    }
    let fills = fill::data_sections(&mut object, fill::read(&args.map, None)?)?;
    if let Some(fill) = fills.first() {
        let message = format!("--map {}: only variables of data sections matter here", fill.map);
        return Err(Failure::unusable(message).hint("for example --map .rodata=limit:5"));
    }
    if let Some(name) = &args.program {
        object.select(|def| def.name == *name);
    }
    if let Some(kind) = args.kind {
        object.programs.iter_mut().for_each(|program| program.set_type(kind));
    }
    Ok(object)
}

/// Judges the programs of an object that its loader would load.
///
/// # Errors
/// The object cannot be loaded at all, or has nothing to load.
pub fn object(
    file: &Path,
    object: &Object,
    kernel: &Kernel,
    log_level: u32,
) -> Result<Vec<Judged>, Failure> {
    if object.programs.iter().all(|program| !program.autoload) {
        return Err(nothing_to_judge(file, object));
    }
    let unusable = object.maps.iter().filter(|map| map.autocreate);
    for map in unusable {
        if let Err(why) = creatable::check(map) {
            let failure =
                files::in_file(file, format!("map {:?} cannot be created: {}", map.name, why.what));
            return Err(match why.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            });
        }
    }
    let mut linked = relocate(object, &kernel.target)?;
    let shown = judge::programs(&linked, &kernel.target);
    // What the verifier is given differs from what people are shown only where the loader
    // leaves out what its probes found no use for.
    let inputs = match probes::leave_out(&mut linked, object.loader, kernel.env.caps) {
        true => judge::programs(&linked, &kernel.target),
        false => shown.clone(),
    };
    let mut all = Vec::with_capacity(linked.programs.len());
    for ((program, input), full) in linked.programs.iter().zip(&inputs).zip(&shown) {
        let mut judged = Judged {
            object: file.display().to_string(),
            start: first_line(program, &linked),
            program: program.clone(),
            verdict: Verdict::Accepted,
            explanation: Explanation::default(),
            counts: Counts::default(),
            stack: 0,
            log: String::new(),
            time: 0,
            types: kernel.types.clone(),
        };
        match before_the_verifier(program, object.loader, &kernel.target) {
            Some(verdict) => judged.verdict = verdict,
            None => verify(&mut judged, input, full, &kernel.env, log_level),
        }
        all.push(judged);
    }
    Ok(all)
}

fn verify(
    judged: &mut Judged,
    input: &Arc<verifier::Program>,
    full: &Arc<verifier::Program>,
    env: &Env,
    log_level: u32,
) {
    let mut log = Log::new(log_level | Log::STATS);
    let started = CpuTime::now();
    let verdict = verifier::verify(input, env, &mut log);
    judged.time = started.elapsed().as_micros();
    statistics(judged, log.text());
    if log_level != 0 {
        judged.log = log.text().to_owned();
    }
    match verdict {
        Ok(verified) => {
            judged.counts = verified.counts();
            judged.stack = verified.stack_depths().iter().sum();
        }
        Err(error) => {
            let found = explain(full, env).filter(|(other, _)| other.reason == error.reason);
            judged.explanation = found.map(|(_, explanation)| explanation).unwrap_or_default();
            judged.verdict = match lacks_types(&error, env) {
                true => Verdict::Unknown {
                    message: error.reason.to_string(),
                    help: "this program needs the kernel's types: --btf FILE names them".into(),
                },
                false => Verdict::Rejected(error),
            };
        }
    }
}

/// Refused for want of the kernel's types: no verdict.
fn lacks_types(error: &VerifyError, env: &Env) -> bool {
    let needs_types = matches!(
        error.reason,
        Reason::NoKernelBtf | Reason::KfuncsNeedBtf | Reason::AttachNeedsBtfId
    );
    needs_types && env.vmlinux.is_none()
}

/// What was counted until a refusal stands in the log only.
fn statistics(judged: &mut Judged, log: &str) {
    for line in log.lines().rev().take(4) {
        if let Some(depths) = line.strip_prefix("stack depth ") {
            judged.stack = depths.split('+').filter_map(|depth| depth.parse::<u32>().ok()).sum();
        } else if let Some(rest) = line.strip_prefix("processed ") {
            let after = |name: &str| {
                let at = rest.find(name)? + name.len();
                rest[at..].split_whitespace().next()?.parse().ok()
            };
            judged.counts.processed =
                rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
            judged.counts.max_states_per_insn = after("max_states_per_insn ").unwrap_or(0);
            judged.counts.total_states = after("total_states ").unwrap_or(0);
            judged.counts.peak_states = after("peak_states ").unwrap_or(0);
        }
    }
}

/// What a loader says before it asks the kernel.
fn before_the_verifier(
    program: &LinkedProgram,
    loader: Loader,
    target: &Target,
) -> Option<Verdict> {
    let def = &program.def;
    if def.prog_type.is_none() {
        return Some(Verdict::Unknown {
            message: format!("{} knows no section {:?}", loader.title(), def.section),
            help: objects::section_hint(&def.section, loader),
        });
    }
    let error = target.attach_btf_id(def).err()?;
    let errno = error.errno()?;
    let (message, help) = match &error {
        AttachError::Missing { name, .. } => (
            format!("failed to find kernel BTF type ID of '{name}'"),
            format!("{error}: was it renamed, inlined, or is it of a module?"),
        ),
        other => (
            format!("no BTF-based attach target is specified: {other}"),
            format!("name it behind a slash: SEC(\"{}/FUNCTION\")", def.section),
        ),
    };
    Some(Verdict::Unloaded { errno, message, help })
}

fn first_line(program: &LinkedProgram, linked: &Linked) -> Option<Source> {
    let (line, btf) = (program.line_info.first()?, linked.btf.as_deref()?);
    Some(Source {
        file: btf.string(line.file_name_off).unwrap_or_default().to_owned(),
        line: line.line,
        column: line.column,
        text: btf.string(line.line_off).unwrap_or_default().to_owned(),
    })
}

/// Why there is nothing to judge: no program at all, or none that is loaded unasked.
fn nothing_to_judge(file: &Path, object: &Object) -> Failure {
    let names: Vec<&str> = object.programs.iter().map(|def| def.name.as_str()).take(12).collect();
    if names.is_empty() {
        let failure = files::in_file(file, "has no programs");
        return failure.hint("a program is a global function with SEC(\"xdp\") or its like");
    }
    let message = "has only programs that are not loaded unless asked for (SEC(\"?...\"))";
    files::in_file(file, message)
        .hint(format!("--program NAME judges one of: {}", names.join(", ")))
}

/// Whether a process with these capabilities holds `wanted`.
pub fn holds(caps: Capabilities, wanted: Capabilities) -> bool {
    caps.contains(Capabilities::SYS_ADMIN) || caps.contains(wanted)
}
