//! CO-RE, "compile once, run everywhere": what each record of an object asks for
//! on the kernel that it meets.
//!
//! [`Resolver::resolve`] is the whole of it, stage by stage: parse the access
//! string into a `Spec`, find candidates by their name without
//! `___flavor`, match the spec with each, compute a value from each match, and
//! insist that all agree. It returns numbers and patches nothing. The rules are
//! those of libbpf 1.7's `relo_core.c`, down to the pruning of candidates.

mod compat;
mod compute;
mod record;
mod spec;

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use record::{Access, Patch, Relocation, RelocationKind, Resolved};

pub use crate::index::essential_name;
use crate::{Btf, BtfError};
use compute::{Computed, compute};
use spec::Spec;

/// The helper number in the call that stands for an instruction whose record
/// cannot be resolved ("bad relo"). Linux says `invalid func unknown#195896080`.
pub const POISON_HELPER: i32 = 0xbad2310;

/// How many members one match may look at, far above any real type.
const MATCH_BUDGET: u32 = 1 << 22;

/// The BTFs that types are looked for in: the kernel's first, its modules' only
/// when the kernel has no candidate.
#[derive(Clone, Debug)]
pub struct Targets {
    kernel: Arc<Btf>,
    modules: Vec<Arc<Btf>>,
}

impl Targets {
    /// The kernel's BTF, or the one that the user gives instead.
    pub fn new(kernel: Arc<Btf>) -> Targets {
        Targets { kernel, modules: Vec::new() }
    }

    /// Adds a module's split BTF.
    pub fn add_module(&mut self, module: Arc<Btf>) {
        self.modules.push(module);
    }

    fn candidates(&self, essential: &str, kind: crate::Kind) -> Vec<Candidate<'_>> {
        let mut found = Vec::new();
        if let Some(base) = self.kernel.base() {
            find_candidates(base, essential, kind, &mut found);
        }
        find_candidates(&self.kernel, essential, kind, &mut found);
        if found.is_empty() {
            for module in &self.modules {
                find_candidates(module, essential, kind, &mut found);
            }
        }
        found
    }
}

fn find_candidates<'a>(
    btf: &'a Btf,
    essential: &str,
    kind: crate::Kind,
    found: &mut Vec<Candidate<'a>>,
) {
    let compatible = |&id: &u32| btf.kind_of(id).is_some_and(|of| of.core_compatible(kind));
    found.extend(btf.flavors(essential).filter(compatible).map(|id| Candidate { btf, id }));
}

/// A type that may be the one that a record means.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    btf: &'a Btf,
    id: u32,
}

/// Why a record makes the load fail. The `record` is as [`Resolver::describe`] has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// A record of a kind that we do not know.
    #[error("CO-RE record {record}: unknown kind {kind}")]
    UnknownKind {
        /// The record.
        record: String,
        /// Its kind's number.
        kind: u32,
    },
    /// The record makes no sense for the object's own types.
    #[error("CO-RE record {record}: {reason}")]
    BadRecord {
        /// The record.
        record: String,
        /// What is wrong.
        reason: String,
    },
    /// Types without a name cannot be looked for.
    #[error("CO-RE record {record}: a type without a name cannot be looked for in the kernel")]
    Anonymous {
        /// The record.
        record: String,
    },
    /// Several types of the kernel match, and they do not agree.
    #[error("CO-RE record {record}: ambiguous, {one} but {other}")]
    Ambiguous {
        /// The record.
        record: String,
        /// What one type gives.
        one: String,
        /// What another gives.
        other: String,
    },
    /// The kernel's types are wrong, or nest too deep.
    #[error("CO-RE record {record}: {error}")]
    Btf {
        /// The record.
        record: String,
        /// What is wrong.
        error: BtfError,
    },
}

/// What a stage reports; [`Resolver`] adds which record it was.
#[derive(Debug)]
enum Problem {
    Bad(String),
    Btf(BtfError),
}

impl From<BtfError> for Problem {
    fn from(error: BtfError) -> Problem {
        Problem::Btf(error)
    }
}

impl From<&str> for Problem {
    fn from(reason: &str) -> Problem {
        Problem::Bad(reason.into())
    }
}

/// Whether the type `target` of a kernel may stand for the type `local` of an object,
/// whose names are known to agree. This is what a kernel variable or function has to
/// pass before a program may use it.
pub fn types_are_compatible(
    local: &Btf,
    local_id: u32,
    target: &Btf,
    target_id: u32,
) -> Result<bool, BtfError> {
    match compat::Compat::new(local, target).types_are_compatible(local_id, target_id) {
        Ok(are) => Ok(are),
        Err(Problem::Btf(error)) => Err(error),
        Err(Problem::Bad(_)) => Ok(false),
    }
}

/// Resolves the records of one object.
///
/// Candidates are looked up once for each type, and those that did not match
/// one record are not tried for the next, as in libbpf. Give it the records in
/// the object's order.
#[derive(Debug)]
pub struct Resolver<'a> {
    local: &'a Btf,
    targets: &'a Targets,
    candidates: FxHashMap<u32, Vec<Candidate<'a>>>,
}

impl<'a> Resolver<'a> {
    /// For the records of the object whose types `local` holds.
    pub fn new(local: &'a Btf, targets: &'a Targets) -> Resolver<'a> {
        Resolver { local, targets, candidates: FxHashMap::default() }
    }

    /// What to do to the instruction of one record.
    pub fn resolve(&mut self, relocation: &Relocation) -> Result<Resolved, CoreError> {
        let problem = |problem| match problem {
            Problem::Bad(reason) => {
                CoreError::BadRecord { record: self.describe(relocation), reason }
            }
            Problem::Btf(error) => CoreError::Btf { record: self.describe(relocation), error },
        };
        if let RelocationKind::Unknown(kind) = relocation.kind {
            return Err(CoreError::UnknownKind { record: self.describe(relocation), kind });
        }
        let root = self.local.type_by_id(relocation.type_id);
        let root = root.map_err(|error| problem(error.into()))?;
        let local = Spec::parse(self.local, relocation).map_err(problem)?;
        if relocation.kind == RelocationKind::TypeIdLocal {
            // Linking may have renumbered the types, so what stands there is not checked.
            return Ok(Resolved::Patch(Patch {
                expected: None,
                value: relocation.type_id.into(),
                access: Access::Keep,
            }));
        }
        if root.name().is_empty() {
            return Err(CoreError::Anonymous { record: self.describe(relocation) });
        }

        let known = self.candidates.get(&relocation.type_id).cloned();
        let candidates = known
            .unwrap_or_else(|| self.targets.candidates(essential_name(root.name()), root.kind()));
        let mut matching = Vec::new();
        let mut agreed: Option<(Spec<'_>, Computed)> = None;
        for candidate in &candidates {
            let matched = local.match_with(candidate.btf, candidate.id).map_err(problem)?;
            let Some(spec) = matched else { continue };
            let computed = compute(&local, Some(&spec)).map_err(problem)?;
            match &agreed {
                None => agreed = Some((spec, computed)),
                Some((first, result)) => {
                    let disagreement =
                        |one: &dyn fmt::Display, other: &dyn fmt::Display| CoreError::Ambiguous {
                            record: self.describe(relocation),
                            one: format!("[{}] gives {one}", first.root),
                            other: format!("[{}] gives {other}", candidate.id),
                        };
                    if first.bit_offset != spec.bit_offset {
                        let bits = |offset: u32| format!("bit offset {offset}");
                        return Err(disagreement(&bits(first.bit_offset), &bits(spec.bit_offset)));
                    }
                    if result.value != computed.value {
                        let shown = |value: Option<u64>| match value {
                            Some(value) => value.to_string(),
                            None => "no value".to_string(),
                        };
                        return Err(disagreement(&shown(result.value), &shown(computed.value)));
                    }
                }
            }
            matching.push(*candidate);
        }
        let computed = match agreed {
            Some((_, computed)) => computed,
            None => compute(&local, None).map_err(problem)?,
        };
        // Where nothing matches, all candidates stay for the records to come.
        let kept = if matching.is_empty() { candidates } else { matching };
        self.candidates.insert(relocation.type_id, kept);

        Ok(match computed.value {
            Some(value) => Resolved::Patch(Patch {
                expected: computed.expected,
                value,
                access: computed.access,
            }),
            None => Resolved::Poison(self.describe(relocation)),
        })
    }

    /// The record in libbpf's one line: `<byte_off> [7] struct task_struct.pid (0:4 @ offset 20)`.
    pub fn describe(&self, relocation: &Relocation) -> String {
        let spec = Spec::parse(self.local, relocation);
        match spec {
            Ok(spec) => spec.to_string(),
            Err(_) => format!(
                "<{}> [{}] + {}",
                relocation.kind,
                relocation.type_id,
                self.local.string(relocation.access_str_off).unwrap_or("?"),
            ),
        }
    }
}
