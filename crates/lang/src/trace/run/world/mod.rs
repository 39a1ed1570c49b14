//! This machine as a world of things to trace. Everything is read when it is first asked for.

mod types;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_btf::{Btf, Kind};
use skep_load::Target;
use skep_load::attach::{Pattern, symbols};
use skep_sys::Kernel;
use skep_sys::host::tracefs::Tracefs;

use super::super::ast::Name;
use super::super::c::{CEnum, CFunction, CRecord, CType, Headers, Lookup};
use super::super::world::{Feature, Import, TracepointField, World};
use types::Types;

/// This machine.
pub struct Machine {
    target: Target,
    btf: OnceCell<Option<Arc<Btf>>>,
    tracefs: OnceCell<Option<Tracefs>>,
    headers: Files,
}

/// Folders that `#include <...>` looks in, as a rule.
const INCLUDED: [&str; 3] =
    ["/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/local/include"];

impl Machine {
    /// This machine, by a kernel's types. `folders` are looked in before the usual ones.
    pub fn new(kernel: &Arc<dyn Kernel>, folders: Vec<PathBuf>) -> Machine {
        let mut headers = Files { folders };
        headers.folders.extend(INCLUDED.map(PathBuf::from));
        Machine {
            target: Target::of(&**kernel),
            btf: OnceCell::new(),
            tracefs: OnceCell::new(),
            headers,
        }
    }

    fn types(&self) -> Option<Types<'_>> {
        let btf = self.btf.get_or_init(|| self.target.kernel_btf().ok().cloned());
        btf.as_deref().map(Types)
    }

    fn tracefs(&self) -> Option<&Tracefs> {
        self.tracefs.get_or_init(|| Tracefs::open().ok()).as_ref()
    }
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
        self.types().is_some()
    }

    fn modules(&self) -> Vec<Name> {
        let text = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let loaded = text.lines().filter_map(|line| line.split(' ').next()).map(Name::from);
        std::iter::once(Name::from("vmlinux")).chain(loaded).collect()
    }

    fn functions(&self) -> Vec<(Name, Name)> {
        let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let function = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let (kind, name) = (words.nth(1)?, words.next()?);
            if !matches!(kind, "t" | "T") || name.contains('.') || name.starts_with("__pfx_") {
                return None;
            }
            let module = words.next().map_or("vmlinux", |word| word.trim_matches(['[', ']']));
            Some((Name::from(module), Name::from(name)))
        };
        text.lines().filter_map(function).collect()
    }

    fn raw_tracepoints(&self) -> Vec<(Name, Name)> {
        let Some(types) = self.types() else { return Vec::new() };
        let names = types.with_prefix(Kind::Typedef, "btf_trace_");
        names.into_iter().map(|name| ("vmlinux".into(), name)).collect()
    }

    fn tracepoints(&self) -> Vec<(Name, Name)> {
        let Some(tracefs) = self.tracefs() else { return Vec::new() };
        let mut all = Vec::new();
        for category in tracefs.list("events").unwrap_or_default() {
            for event in tracefs.list(&format!("events/{category}")).unwrap_or_default() {
                if event != "enable" && event != "filter" {
                    all.push((category.as_str().into(), event.into()));
                }
            }
        }
        all
    }

    fn tracepoint_fields(&self, category: &str, event: &str) -> Option<Vec<TracepointField>> {
        if category.contains('/') || event.contains('/') {
            return None;
        }
        let text = self.tracefs()?.read(&format!("events/{category}/{event}/format")).ok()?;
        Some(fields(&text))
    }

    fn programs(&self) -> Vec<(u32, Name)> {
        Vec::new()
    }

    fn function(&self, name: &str) -> Option<CFunction> {
        let types = self.types()?;
        types.function(name).or_else(|| types.event(name))
    }

    fn variable(&self, name: &str) -> Option<CType> {
        self.types()?.variable(name)
    }

    fn iterators(&self) -> Vec<Name> {
        let Some(types) = self.types() else { return Vec::new() };
        types.with_prefix(Kind::Func, "bpf_iter_").into_iter().filter(|name| !name.contains("__")).collect()
    }

    fn binaries(&self, pattern: &str) -> Vec<Name> {
        let name = |path: PathBuf| Name::from(path.display().to_string());
        if !super::super::world::is_pattern(pattern) {
            let found = symbols::resolve(Path::new(pattern)).ok();
            return found.filter(|path| path.is_file()).map(name).into_iter().collect();
        }
        matching(Path::new(pattern)).into_iter().map(name).collect()
    }

    fn library(&self, library: &str) -> Option<Name> {
        let file = format!("lib{}.so", library.trim_start_matches("lib"));
        let found = symbols::resolve(Path::new(&file)).ok().filter(|path| path.is_file());
        let numbered = || {
            let folders = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"];
            folders.iter().find_map(|folder| matching(&Path::new(folder).join(format!("{file}.*"))).into_iter().next())
        };
        found.or_else(numbered).map(|path| path.display().to_string().into())
    }

    fn binary_functions(&self, path: &str) -> Vec<Name> {
        let found = symbols::functions(Path::new(path)).unwrap_or_default();
        found.into_iter().map(|function| function.name.into()).collect()
    }

    fn usdt(&self, _path: &str) -> Vec<(Name, Name)> {
        Vec::new()
    }

    fn symbol_size(&self, path: &str, name: &str) -> Option<u64> {
        let found = symbols::functions(Path::new(path)).ok()?;
        found.into_iter().find(|function| function.name == name).map(|function| function.size)
    }

    fn binary_function(&self, _path: &str, _name: &str) -> Option<CFunction> {
        None
    }

    fn has_debug_info(&self, _path: &str) -> bool {
        false
    }

    fn line_address(&self, _: &str, _: &str, _: u64, _: u64) -> Option<u64> {
        None
    }

    fn kfunc(&self, name: &str) -> bool {
        self.types().is_some_and(|types| types.0.find(name, Kind::Func).is_some())
            && skep_abi::Kfunc::from_name(name).is_some()
    }

    fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::KprobeMulti | Feature::KprobeSession => {
                Path::new("/sys/kernel/tracing/available_filter_functions").exists()
            }
            _ => true,
        }
    }

    fn headers(&self) -> &dyn Headers {
        &self.headers
    }

    fn import(&self, path: &str) -> Import {
        match std::fs::read_to_string(path) {
            Ok(text) => Import::Files(vec![(path.to_owned(), text)]),
            Err(_) => Import::Missing,
        }
    }
}

/// Files of headers.
struct Files {
    folders: Vec<PathBuf>,
}

/// Larger headers are not read.
const MOST_HEADER: u64 = 4 << 20;

impl Headers for Files {
    fn read(&self, name: &str, local: bool) -> Option<String> {
        let own = local.then(|| PathBuf::from(name));
        let others = self.folders.iter().map(|folder| folder.join(name));
        let path = own.into_iter().chain(others).find(|path| {
            path.metadata().is_ok_and(|of| of.is_file() && of.len() <= MOST_HEADER)
        })?;
        let bytes = std::fs::read(path).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The files that a pattern means.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    /// So many files at most.
    const MOST: usize = 10_000;
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !super::super::world::is_pattern(&text) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let wanted = Pattern::new(text.into_owned());
        let inside = |path: &PathBuf| {
            let folder = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            let named = names.filter(|name| wanted.matches(&name.to_string_lossy()));
            let mut paths: Vec<PathBuf> = named.map(|name| path.join(name)).collect();
            paths.sort();
            paths
        };
        found = found.iter().flat_map(inside).take(MOST).collect();
    }
    found.retain(|path| path.is_file());
    found
}

/// The fields that a tracepoint's `format` names, without those that all have.
fn fields(text: &str) -> Vec<TracepointField> {
    text.lines().filter_map(field).filter(|field| !field.name.starts_with("common_")).collect()
}

/// A line: `field:const char * filename;	offset:24;	size:8;	signed:0;`
fn field(line: &str) -> Option<TracepointField> {
    let mut parts = line.trim().split(';').map(str::trim);
    let declared = parts.next()?.strip_prefix("field:")?;
    let mut number = |name: &str| -> Option<u32> {
        parts.next()?.strip_prefix(name)?.strip_prefix(':')?.parse().ok()
    };
    let (offset, size, signed) = (number("offset")?, number("size")?, number("signed")?);
    let (declared, count) = match declared.strip_suffix(']').and_then(|of| of.rsplit_once('[')) {
        Some((declared, count)) => (declared, Some(count.trim().parse().unwrap_or(0))),
        None => (declared, None),
    };
    let (of, name) = declared.trim().rsplit_once([' ', '*'])?;
    // The star belongs to the type.
    let of = if declared.trim()[of.len()..].starts_with('*') { format!("{of}*") } else { of.into() };
    let of = of.trim().to_owned();
    Some(TracepointField { name: name.into(), of, count, offset, size, signed: signed != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_name_their_fields() {
        let text = "name: x\nID: 1\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n\
            \tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
            \tfield:__data_loc char[] name;\toffset:12;\tsize:4;\tsigned:0;\n\
            \tfield:umode_t mode;\toffset:40;\tsize:8;\tsigned:0;\n";
        let found = fields(text);
        let shown: Vec<(&str, &str, Option<u32>, u32)> =
            found.iter().map(|of| (&*of.name, &*of.of, of.count, of.offset)).collect();
        let expected = [
            ("filename", "const char *", None, 24),
            ("comm", "char", Some(16), 8),
            ("name", "__data_loc char[]", None, 12),
            ("mode", "umode_t", None, 40),
        ];
        assert_eq!(shown, expected);
    }
}
