//! What a kernel refuses, and which capability is missing.

use std::fmt;

use skep_abi::{Capabilities, Diagnostic, Errno, ProgType, hook};

use crate::relocate::Poisoned;

/// What a kernel refused.
#[derive(Clone, Debug)]
pub struct LoadError {
    file: String,
    kind: Box<LoadErrorKind>,
}

/// The refusals.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadErrorKind {
    /// The object's types.
    #[error("the kernel refuses the object's BTF: {errno}")]
    Btf {
        /// Why.
        #[source]
        errno: Errno,
    },
    /// A map.
    #[error("map {name:?}: {doing} failed: {errno}")]
    Map {
        /// The map's name.
        name: String,
        /// What failed.
        doing: String,
        /// Why.
        #[source]
        errno: Errno,
    },
    /// A program whose section's name says no type.
    #[error("program {program:?}: its section {section:?} {}", no_type(.section))]
    NoType {
        /// The program's name.
        program: String,
        /// Its section.
        section: String,
    },
    /// What a program attaches to does not exist.
    #[error("program {program:?}: {reason}")]
    AttachTarget {
        /// The program's name.
        program: String,
        /// What is missing.
        reason: String,
    },
    /// A program.
    #[error(
        "program {name:?}: the kernel refuses it: {errno}{}",
        because(.poisoned.as_ref(), .diagnostic.as_ref(), .log)
    )]
    Program {
        /// The program's name.
        name: String,
        /// Its type.
        prog_type: ProgType,
        /// Why.
        #[source]
        errno: Errno,
        /// The verifier's log.
        log: String,
        /// What the kernel says beyond that.
        diagnostic: Option<Diagnostic>,
        /// The unresolved instruction that it would get to, if that is the reason.
        poisoned: Option<Poisoned>,
    },
}

/// The cause: what could not be resolved, or else the verifier's own words.
fn because(poisoned: Option<&Poisoned>, diagnostic: Option<&Diagnostic>, log: &str) -> String {
    if let Some(Poisoned { at, what }) = poisoned {
        return format!(", for instruction {at} could not be resolved: {what}");
    }
    let said = match diagnostic {
        Some(Diagnostic { pc: Some(pc), message, .. }) => format!("insn {pc}: {message}"),
        Some(diagnostic) => diagnostic.message.clone(),
        None => last_words(log).into(),
    };
    match said.lines().next().unwrap_or_default() {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

/// The line of a verifier's log that says why it refuses: the last one that is neither
/// statistics nor a state.
fn last_words(log: &str) -> &str {
    let is_noise = |line: &&str| {
        let line = line.trim();
        line.is_empty()
            || ["processed ", "verification time", "stack depth", "mark_precise", "from "]
                .iter()
                .any(|start| line.starts_with(start))
    };
    log.lines().rev().find(|line| !is_noise(line)).unwrap_or_default().trim()
}

impl LoadError {
    /// The refusal.
    pub fn kind(&self) -> &LoadErrorKind {
        &self.kind
    }

    /// The kernel's errno.
    pub fn errno(&self) -> Option<Errno> {
        match &*self.kind {
            LoadErrorKind::Btf { errno }
            | LoadErrorKind::Map { errno, .. }
            | LoadErrorKind::Program { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the object itself is unusable, as opposed to a program in it that a
    /// kernel does not want to run.
    pub fn is_unusable_input(&self) -> bool {
        match &*self.kind {
            LoadErrorKind::Map { errno, .. } => *errno != Errno::EPERM,
            LoadErrorKind::NoType { .. } | LoadErrorKind::AttachTarget { .. } => true,
            LoadErrorKind::Btf { .. } | LoadErrorKind::Program { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match &*self.kind {
            LoadErrorKind::Program { errno: Errno::EPERM, prog_type, .. } => format!(
                "loading this type of program needs {}; become root, or use the embedded kernel",
                capabilities(*prog_type)
            ),
            LoadErrorKind::Btf { errno: Errno::EPERM }
            | LoadErrorKind::Map { errno: Errno::EPERM, .. } => {
                "this needs CAP_BPF; become root, or use the embedded kernel".into()
            }
            LoadErrorKind::Map { errno: Errno::EINVAL, .. } => {
                "check type, sizes, max_entries and flags in the map's definition: none of them \
                 may be 0 where that type of map needs it"
                    .into()
            }
            LoadErrorKind::Map { errno: Errno::ENOMEM | Errno::E2BIG, .. } => {
                "the map is larger than the kernel allows; lower max_entries or the value's size"
                    .into()
            }
            LoadErrorKind::NoType { section, .. } if section.starts_with(hook::SECTION) => {
                "its application loads it, by skep::Hook".into()
            }
            LoadErrorKind::NoType { .. } => {
                "name the section by the program's type, such as SEC(\"xdp\") or SEC(\"tc\")".into()
            }
            _ => return None,
        })
    }

    pub(crate) fn of_file(mut self, file: &str) -> LoadError {
        self.file = file.into();
        self
    }
}

/// What is wrong with a section's name that says no type.
fn no_type(section: &str) -> &'static str {
    match section.starts_with(hook::SECTION) {
        true => "is for a hook of an application, and this is not its kernel",
        false => "does not say what type it is of",
    }
}

impl From<LoadErrorKind> for LoadError {
    fn from(kind: LoadErrorKind) -> LoadError {
        LoadError { file: String::new(), kind: Box::new(kind) }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.escape_debug(), self.kind)
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

/// The capabilities that Linux wants for a type of program.
fn capabilities(prog_type: ProgType) -> &'static str {
    let needs = prog_type.row().needs;
    if needs.contains(Capabilities::PERFMON) {
        "CAP_BPF and CAP_PERFMON"
    } else if needs.contains(Capabilities::NET_ADMIN) {
        "CAP_BPF and CAP_NET_ADMIN"
    } else {
        "CAP_BPF"
    }
}
