//! What a script can refer to: functions, events, types and programs, of this machine or of
//! a described one.

mod binary;
mod fixture;
mod kernel;
mod machine;
pub mod tracefs;

pub use fixture::{Fixture, FixtureError};
pub use machine::Machine;

use std::collections::HashSet;
use std::sync::Arc;

use super::ast::Name;
use super::c::{CEnum, CFunction, CType, Headers, Lookup};

/// A world of things to trace.
pub trait World: Lookup {
    /// Whether there are types of the kernel at all.
    fn has_types(&self) -> bool;

    /// Names of the modules that are loaded, `vmlinux` included.
    fn modules(&self) -> Vec<Name>;

    /// Functions that can be traced, with their modules.
    fn functions(&self) -> Vec<(Name, Name)>;

    /// Raw tracepoints, with their modules.
    fn raw_tracepoints(&self) -> Vec<(Name, Name)>;

    /// Tracepoints, with their categories.
    fn tracepoints(&self) -> Vec<(Name, Name)>;

    /// The fields of a tracepoint, in their order.
    fn tracepoint_fields(&self, category: &str, event: &str) -> Option<Vec<TracepointField>>;

    /// BPF programs that are loaded: numbers and functions.
    fn programs(&self) -> Vec<(u32, Name)>;

    /// A kernel function's parameters and result.
    fn function(&self, name: &str) -> Option<CFunction>;

    /// The kernel's enumerations that have a constant of one of these names; each has a name.
    fn enumerations_with(&self, _words: &HashSet<Name>) -> Vec<Arc<CEnum>> {
        Vec::new()
    }

    /// Whether a header that is not there is an error.
    fn needs_headers(&self) -> bool {
        false
    }

    /// A kernel variable's type.
    fn variable(&self, name: &str) -> Option<CType>;

    /// What `iter` can run over.
    fn iterators(&self) -> Vec<Name>;

    /// Files that a path names: itself, by the search path, or by `*` in it.
    fn binaries(&self, pattern: &str) -> Vec<Name>;

    /// The file of a library by its name, for example `libc`.
    fn library(&self, name: &str) -> Option<Name>;

    /// Functions of a file.
    fn binary_functions(&self, path: &str) -> Vec<Name>;

    /// Probes that a file declares: providers and names.
    fn usdt(&self, path: &str) -> Vec<(Name, Name)>;

    /// Size of a symbol of a file.
    fn symbol_size(&self, path: &str, name: &str) -> Option<u64>;

    /// A function's parameters by a file's debug information.
    fn binary_function(&self, path: &str, name: &str) -> Option<CFunction>;

    /// Whether a file has debug information.
    fn has_debug_info(&self, path: &str) -> bool;

    /// The address of a source line.
    fn line_address(&self, path: &str, file: &str, line: u64, column: u64) -> Option<u64>;

    /// Whether a kernel function may be called from programs.
    fn kfunc(&self, name: &str) -> bool;

    /// Whether the kernel has something.
    fn has(&self, feature: Feature) -> bool;

    /// Files for `#include`.
    fn headers(&self) -> &dyn Headers;

    /// The text of a script to import, by the path that its import says.
    fn import(&self, path: &str) -> Import;
}

/// What an import brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Import {
    /// Scripts and headers, each with its name.
    Files(Vec<(String, String)>),
    /// Nothing, and why.
    Refused(String),
    /// There is no such file.
    Missing,
}

/// A field of a tracepoint's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracepointField {
    /// Its name.
    pub name: Name,
    /// Its type as the format says it, without an array's count.
    pub of: String,
    /// An array's count; 0 is a count that is not said.
    pub count: Option<u32>,
    /// Bytes from the start.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Whether it can be negative.
    pub signed: bool,
}

/// What a kernel has or has not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are those of helpers and ways to attach")]
pub enum Feature {
    DPath,
    KprobeMulti,
    KprobeSession,
    UprobeMulti,
    KtimeGetTaiNs,
    GetFuncIp,
    MapLookupPercpuElem,
    Loop,
}

/// Whether a name is a pattern.
pub fn is_pattern(name: &str) -> bool {
    name.contains('*') || (name.contains('[') && name.contains(']'))
}

/// Whether a text matches a pattern, in which `*` stands for any text.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*').filter(|part| !part.is_empty());
    let mut rest = text;
    if !pattern.starts_with('*')
        && let Some(first) = parts.next()
    {
        match rest.strip_prefix(first) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    if pattern.ends_with('*') || rest.is_empty() {
        return true;
    }
    // A last part may match later than its first place.
    let last = pattern.rsplit('*').next().unwrap_or("");
    pattern.contains('*') && rest.ends_with(last) && !last.is_empty()
}
