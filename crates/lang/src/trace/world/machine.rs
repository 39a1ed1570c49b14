//! This machine: its kernel's types and events, its programs and libraries. Everything is
//! read when it is first asked for.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use skep_btf::Kind;

use super::binary::{self, Binary};
use super::kernel::KernelTypes;
use super::{Feature, Import, TracepointField, World, tracefs};
use crate::trace::ast::Name;
use crate::trace::c::{CEnum, CFunction, CRecord, CType, Headers, Lookup};

/// Where the kernel's types are.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// This machine.
pub struct Machine {
    types: OnceLock<Option<KernelTypes>>,
    functions: OnceLock<Vec<(Name, Name)>>,
    tracepoints: OnceLock<Vec<(Name, Name)>>,
    binaries: Mutex<HashMap<String, Option<Arc<Binary>>>>,
    headers: Include,
    /// The folder that imports are relative to.
    folder: PathBuf,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new(Path::new("."))
    }
}

impl Machine {
    /// This machine, for a script in a folder.
    pub fn new(folder: &Path) -> Machine {
        Machine {
            types: OnceLock::new(),
            functions: OnceLock::new(),
            tracepoints: OnceLock::new(),
            binaries: Mutex::new(HashMap::new()),
            headers: Include { folders: Vec::new() },
            folder: folder.to_path_buf(),
        }
    }

    /// With folders for `#include`, before the system's own.
    #[must_use]
    pub fn including(mut self, folders: Vec<PathBuf>) -> Machine {
        self.headers.folders = folders;
        self
    }

    fn types(&self) -> Option<&KernelTypes> {
        self.types.get_or_init(|| KernelTypes::read(Path::new(TYPES))).as_ref()
    }

    fn binary(&self, path: &str) -> Option<Arc<Binary>> {
        let mut known = self.binaries.lock().ok()?;
        known
            .entry(path.to_owned())
            .or_insert_with(|| binary::read(Path::new(path)).map(Arc::new))
            .clone()
    }
}

/// Functions of the kernel that can be traced: by the list of ftrace, else by all symbols.
fn kernel_functions() -> Vec<(Name, Name)> {
    let module = |rest: Option<&str>| -> Name {
        let module = rest.and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
        module.unwrap_or("vmlinux").into()
    };
    for folder in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        let list = Path::new(folder).join("available_filter_functions");
        if let Ok(text) = std::fs::read_to_string(list) {
            return text
                .lines()
                .filter_map(|line| {
                    let mut words = line.split_whitespace();
                    let name = words.next()?;
                    Some((module(words.next()), name.into()))
                })
                .collect();
        }
    }
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let kind = words.next()?;
            let name = words.next()?;
            matches!(kind, "t" | "T").then(|| (module(words.next()), name.into()))
        })
        .collect()
}

impl Lookup for Machine {
    fn record(&self, name: &str) -> Option<Arc<CRecord>> {
        self.types()?.record(name)
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        self.types()?.typedef(name)
    }

    fn enumeration(&self, name: &str) -> Option<Arc<CEnum>> {
        self.types()?.enumeration(name)
    }
}

impl World for Machine {
    fn has_types(&self) -> bool {
        Path::new(TYPES).exists()
    }

    fn modules(&self) -> Vec<Name> {
        let text = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let loaded = text.lines().filter_map(|line| line.split(' ').next());
        let mut modules: Vec<Name> = loaded.map(Name::from).collect();
        modules.push("vmlinux".into());
        modules
    }

    fn functions(&self) -> Vec<(Name, Name)> {
        self.functions.get_or_init(kernel_functions).clone()
    }

    fn raw_tracepoints(&self) -> Vec<(Name, Name)> {
        let found = self.types().map(|types| types.names(Kind::Typedef, "btf_trace_"));
        found.unwrap_or_default().into_iter().map(|name| ("vmlinux".into(), name)).collect()
    }

    fn tracepoints(&self) -> Vec<(Name, Name)> {
        self.tracepoints.get_or_init(|| tracefs::all(self.types())).clone()
    }

    fn tracepoint_fields(&self, category: &str, event: &str) -> Option<Vec<TracepointField>> {
        tracefs::fields(category, event, self.types(), self)
    }

    fn programs(&self) -> Vec<(u32, Name)> {
        Vec::new()
    }

    fn function(&self, name: &str) -> Option<CFunction> {
        let types = self.types()?;
        match name.strip_prefix("btf_trace_") {
            Some(event) => types.raw_tracepoint(event),
            None => types.function(name),
        }
    }

    fn enumerations_with(&self, words: &HashSet<Name>) -> Vec<Arc<CEnum>> {
        self.types().map(|types| types.enumerations_with(words)).unwrap_or_default()
    }

    fn needs_headers(&self) -> bool {
        true
    }

    fn variable(&self, name: &str) -> Option<CType> {
        self.types()?.variable(name)
    }

    fn iterators(&self) -> Vec<Name> {
        let found = self.types().map(|types| types.names(Kind::Struct, "bpf_iter__"));
        let mut found = found.unwrap_or_default();
        found.retain(|name| !name.ends_with("__safe_trusted"));
        found
    }

    fn binaries(&self, pattern: &str) -> Vec<Name> {
        binary::find(pattern)
    }

    fn library(&self, name: &str) -> Option<Name> {
        binary::library(name)
    }

    fn binary_functions(&self, path: &str) -> Vec<Name> {
        self.binary(path).map(|binary| binary.functions.clone()).unwrap_or_default()
    }

    fn usdt(&self, path: &str) -> Vec<(Name, Name)> {
        self.binary(path).map(|binary| binary.usdt.clone()).unwrap_or_default()
    }

    fn symbol_size(&self, path: &str, name: &str) -> Option<u64> {
        self.binary(path)?.symbols.get(name).copied()
    }

    fn binary_function(&self, _path: &str, _name: &str) -> Option<CFunction> {
        None
    }

    fn has_debug_info(&self, _path: &str) -> bool {
        false
    }

    fn line_address(&self, _path: &str, _file: &str, _line: u64, _column: u64) -> Option<u64> {
        None
    }

    fn kfunc(&self, name: &str) -> bool {
        self.types().is_some_and(|types| types.function(name).is_some())
    }

    fn has(&self, feature: Feature) -> bool {
        // Entry and return are attached one by one, which every kernel with kprobes can.
        feature != Feature::KprobeSession
    }

    fn headers(&self) -> &dyn Headers {
        &self.headers
    }

    fn import(&self, path: &str) -> Import {
        import(&self.folder.join(path))
    }
}

/// Files that scripts include.
struct Include {
    folders: Vec<PathBuf>,
}

/// Headers larger than this are not read.
const LARGEST: u64 = 4 << 20;

impl Headers for Include {
    fn read(&self, name: &str, local: bool) -> Option<String> {
        if name.split('/').any(|part| part == "..") {
            return None;
        }
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kernel = |tree: &str, part: &str| {
            PathBuf::from(format!("/lib/modules/{}/{tree}/{part}", release.trim()))
        };
        let mut folders = self.folders.clone();
        if local {
            folders.push(PathBuf::from("."));
        }
        for folder in ["/usr/local/include", "/usr/include", "/usr/include/x86_64-linux-gnu"] {
            folders.push(PathBuf::from(folder));
        }
        for part in ["include", "include/uapi", "arch/x86/include", "arch/x86/include/uapi"] {
            folders.push(kernel("source", part));
        }
        folders
            .into_iter()
            .find_map(|folder| {
                let path = folder.join(name);
                let size = std::fs::metadata(&path).ok().filter(|found| found.is_file())?.len();
                (size <= LARGEST).then(|| std::fs::read(&path).ok()).flatten()
            })
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A file, or all files of a folder, unless others may write there.
fn import(path: &Path) -> Import {
    let Ok(found) = std::fs::metadata(path) else {
        return Import::Missing;
    };
    let folder = if found.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if world_writable(folder) {
        return Import::Refused(format!(
            "refusing to import from a world-writable directory: {}",
            folder.display()
        ));
    }
    let mut paths = vec![path.to_path_buf()];
    if found.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        paths = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        paths.sort();
    }
    let mut files = Vec::new();
    for path in paths {
        let name = path.to_string_lossy().into_owned();
        let known = [".bt", ".h"].iter().any(|end| name.ends_with(end));
        if !known {
            if name.ends_with(".bpf.c") {
                return Import::Refused(format!("{name}: programs in C cannot be imported"));
            }
            continue;
        }
        let small = std::fs::metadata(&path).is_ok_and(|found| found.len() <= LARGEST);
        match std::fs::read_to_string(&path) {
            Ok(text) if small => files.push((name, text)),
            _ => return Import::Refused(format!("{name}: cannot be read")),
        }
    }
    Import::Files(files)
}

#[cfg(unix)]
fn world_writable(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn world_writable(_folder: &Path) -> bool {
    false
}
