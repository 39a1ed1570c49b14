//! Symbols of processes: by the files that are mapped where an address lies.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use skep_load::attach::symbols::{FileFunction, functions};

/// A part of a process's memory that a file is mapped in.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// Behind its last.
    pub end: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// The file.
    pub file: PathBuf,
}

/// What is mapped in processes that may be gone when somebody asks.
#[derive(Debug, Default)]
pub struct Places {
    processes: HashMap<u32, Vec<Mapping>>,
}

impl Places {
    /// A process that lives yet: what it has mapped now is remembered, once.
    pub fn see(&mut self, process: u32) {
        self.processes.entry(process).or_insert_with(|| read_mappings(process));
    }

    /// It has executed another program.
    pub fn forget(&mut self, process: u32) {
        self.processes.remove(&process);
    }

    /// Something that it has mapped, if it is not known yet.
    pub fn add(&mut self, process: u32, mapping: Mapping) {
        let known = self.processes.entry(process).or_default();
        if !known.iter().any(|of| of.start <= mapping.start && mapping.start < of.end) {
            known.push(mapping);
        }
    }
}

/// Symbols of processes that were asked for.
#[derive(Debug, Default)]
pub struct UserSymbols {
    mappings: HashMap<u32, Vec<Mapping>>,
    /// Functions by their places in files, sorted.
    files: HashMap<PathBuf, Vec<FileFunction>>,
    /// What was seen while they lived.
    pub seen: Option<Arc<Mutex<Places>>>,
}

impl UserSymbols {
    /// The symbol of an address and the file that it is in; the number where there is none.
    pub fn name(&mut self, address: u64, process: u32, with_offset: bool) -> (String, String) {
        let unknown = || (format!("{address:#x}"), "[unknown]".to_owned());
        let is_there = |of: &&Mapping| (of.start..of.end).contains(&address);
        let seen = self.seen.as_ref().and_then(|seen| {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.processes.get(&process)?.iter().find(is_there).cloned()
        });
        let found = seen.or_else(|| {
            let mappings = self.mappings.entry(process).or_insert_with(|| read_mappings(process));
            mappings.iter().find(is_there).cloned()
        });
        let Some(mapping) = found else { return unknown() };
        // By the process's own root: it may be another.
        let inside = mapping.file.strip_prefix("/").unwrap_or(&mapping.file);
        let by_root = Path::new("/proc").join(process.to_string()).join("root").join(inside);
        let path = if by_root.exists() { by_root } else { mapping.file.clone() };
        let place = address - mapping.start + mapping.offset;
        let functions = self.files.entry(mapping.file.clone()).or_insert_with(|| {
            let mut found = functions(&path).unwrap_or_default();
            found.sort_by_key(|function| function.offset);
            found
        });
        let after = functions.partition_point(|function| function.offset <= place);
        let Some(function) = after.checked_sub(1).map(|at| &functions[at]) else {
            return unknown();
        };
        let inside = place - function.offset;
        if function.size > 0 && inside >= function.size {
            return unknown();
        }
        let file = mapping.file.display().to_string();
        match with_offset {
            true => (format!("{}+{inside}", function.name), file),
            false => (function.name.clone(), file),
        }
    }
}

fn read_mappings(process: u32) -> Vec<Mapping> {
    let text = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
    text.lines().filter_map(mapping).collect()
}

/// A line of `/proc/PID/maps` that names a file.
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let offset = words.nth(1)?;
    let file = words.nth(2)?.trim_start();
    let number = |text| u64::from_str_radix(text, 16).ok();
    file.starts_with('/').then(|| {
        let file = PathBuf::from(file);
        Some(Mapping { start: number(start)?, end: number(end)?, offset: number(offset)?, file })
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_are_read() {
        let line = "7f00-7f80 r-xp 00001000 08:01 42                         /usr/lib/a b.so";
        let of = mapping(line).unwrap();
        assert_eq!((of.start, of.end, of.offset), (0x7f00, 0x7f80, 0x1000));
        assert_eq!(of.file, Path::new("/usr/lib/a b.so"));
        assert!(mapping("7f00-7f80 rw-p 00000000 00:00 0 [heap]").is_none());
    }
}
