//! Which objects: files by name, and those that are in folders.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::files::in_file;

/// Folders within folders that are looked into.
const DEPTH: u32 = 32;

/// All objects, those of a folder by their names.
///
/// # Errors
/// A folder that cannot be read, or has no object in it.
pub fn objects(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in named {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let before = all.len();
        walk(path, DEPTH, &mut all)?;
        if all.len() == before {
            let failure = in_file(path, "has no BPF objects in it");
            return Err(failure.hint("objects are files whose names end in .o, for machine BPF"));
        }
    }
    Ok(all)
}

fn walk(folder: &Path, depth: u32, all: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| in_file(folder, format!("cannot be read: {error}"));
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a folder may lead back to where we come from.
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && depth > 0 {
            walk(&path, depth - 1, all)?;
        } else if !kind.is_dir() && path.extension().is_some_and(|end| end == "o") && is_bpf(&path)
        {
            all.push(path);
        }
    }
    Ok(())
}

/// Whether a file starts like an ELF file for BPF; objects for other machines lie beside
/// them where programs are built.
fn is_bpf(path: &Path) -> bool {
    let mut start = [0; 20];
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let read = is_file && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok();
    read && start.starts_with(b"\x7fELF") && matches!(start[18..20], [247, 0] | [0, 247])
}
