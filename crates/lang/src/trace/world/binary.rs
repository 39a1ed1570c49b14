//! Programs and libraries: where they are, their functions, and the probes they declare.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::matches;
use crate::trace::ast::Name;

/// Files larger than this are not looked into.
const LARGEST: u64 = 1 << 30;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Binary {
    /// Functions and variables with their sizes.
    pub symbols: BTreeMap<Name, u64>,
    /// Functions alone.
    pub functions: Vec<Name>,
    /// Providers and names of declared probes.
    pub usdt: Vec<(Name, Name)>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Option<Binary> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > LARGEST {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let mut binary = Binary::default();
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        let Ok(name) = symbol.name() else {
            continue;
        };
        if name.is_empty() || symbol.is_undefined() {
            continue;
        }
        if symbol.kind() == SymbolKind::Text {
            binary.functions.push(name.into());
        }
        binary.symbols.insert(name.into(), symbol.size());
    }
    binary.functions.sort();
    binary.functions.dedup();
    if let Some(section) = file.section_by_name(".note.stapsdt")
        && let Ok(notes) = section.data()
    {
        binary.usdt = probes(notes);
    }
    Some(binary)
}

/// Probes of a note section: each note is three addresses, then provider, name and arguments.
fn probes(notes: &[u8]) -> Vec<(Name, Name)> {
    let mut found = Vec::new();
    let mut rest = notes;
    while rest.len() >= 12 {
        let word = |at: usize| {
            rest.get(at..at + 4)
                .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
        };
        let (Some(owner), Some(size)) = (word(0), word(4)) else {
            break;
        };
        let from = 12 + owner.next_multiple_of(4);
        let Some(note) = rest.get(from..from.saturating_add(size)) else {
            break;
        };
        let mut texts = note.get(24..).unwrap_or(&[]).split(|byte| *byte == 0);
        let mut text = || texts.next().and_then(|text| std::str::from_utf8(text).ok());
        if let (Some(provider), Some(name)) = (text(), text())
            && !provider.is_empty()
        {
            found.push((Name::from(provider), Name::from(name)));
        }
        rest = rest.get(from + size.next_multiple_of(4)..).unwrap_or(&[]);
    }
    found.sort();
    found.dedup();
    found
}

fn is_binary(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 4];
    let Ok(mut file) = std::fs::File::open(path) else {
        return false;
    };
    path.is_file() && file.read_exact(&mut head).is_ok() && head == *b"\x7fELF"
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Files that a path or pattern names.
pub(super) fn find(pattern: &str) -> Vec<Name> {
    let mut candidates = vec![PathBuf::from(pattern)];
    if !pattern.contains('/') {
        candidates.extend(search_path().into_iter().map(|folder| folder.join(pattern)));
    }
    let mut found = Vec::new();
    for candidate in candidates {
        if pattern.contains('*') {
            glob(&candidate, &mut found);
        } else if is_binary(&candidate) {
            found.push(candidate);
        }
    }
    found.iter().map(|path| Name::from(&*path.to_string_lossy())).collect()
}

/// Files of one folder by a pattern in the last part.
fn glob(pattern: &Path, found: &mut Vec<PathBuf>) {
    let (Some(folder), Some(last)) = (pattern.parent(), pattern.file_name()) else {
        return;
    };
    let last = last.to_string_lossy();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(|name| matches(&last, &name.to_string_lossy())))
        .filter(|path| is_binary(path))
        .collect();
    files.sort();
    found.extend(files);
}

/// Where libraries are.
const LIBRARIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// A library's file by its name: `libc`, `libc.so.6`.
pub(super) fn library(name: &str) -> Option<Name> {
    for folder in LIBRARIES {
        let exact = Path::new(folder).join(name);
        if name.contains(".so") && is_binary(&exact) {
            return Some(exact.to_string_lossy().as_ref().into());
        }
        let mut found = Vec::new();
        glob(&Path::new(folder).join(format!("{name}.so*")), &mut found);
        if let Some(first) = found.first() {
            return Some(first.to_string_lossy().as_ref().into());
        }
    }
    None
}
