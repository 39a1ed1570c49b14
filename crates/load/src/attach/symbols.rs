//! Functions of executable files: where in the file each starts, which is what the kernel
//! probes by. Read with the `object` crate, a piece at a time: files of any size will do.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use object::read::{ReadCache, ReadRef};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::pattern::Pattern;

/// A function of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileFunction {
    /// Its name.
    pub name: String,
    /// Where in the file it starts.
    pub offset: u64,
    /// Its bytes, as far as the file says.
    pub size: u64,
    /// Whether other files see it.
    pub is_global: bool,
}

/// The functions of a file, in the order of its tables, each once.
///
/// # Errors
/// It cannot be read, or is no ELF file; a line that names it.
pub fn functions(path: &Path) -> Result<Vec<FileFunction>, String> {
    let name = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| name(&error))?;
    let cache = ReadCache::new(BufReader::new(file));
    read(&cache).map_err(|error| name(&error))
}

/// The same from bytes.
///
/// # Errors
/// They are no ELF file.
pub fn functions_of<'data>(data: impl ReadRef<'data>) -> Result<Vec<FileFunction>, object::Error> {
    read(data)
}

fn read<'data>(data: impl ReadRef<'data>) -> Result<Vec<FileFunction>, object::Error> {
    let file = object::File::parse(data)?;
    let mut found: Vec<FileFunction> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let Some(section) = symbol.section_index() else { continue };
        let section = file.section_by_index(section)?;
        let Some((start, len)) = section.file_range() else { continue };
        let Some(inside) = symbol.address().checked_sub(section.address()) else { continue };
        let (true, Some(offset)) = (inside < len, start.checked_add(inside)) else { continue };
        let name = String::from_utf8_lossy(symbol.name_bytes()?);
        let name = name.split('@').next().unwrap_or_default().to_owned();
        if seen.insert((name.clone(), offset)) {
            let (size, is_global) = (symbol.size(), symbol.is_global());
            found.push(FileFunction { name, offset, size, is_global });
        }
    }
    Ok(found)
}

/// Where in a file a function starts. One that other files see goes before others of its name.
///
/// # Errors
/// There is none, or there are several.
pub fn offset_of(path: &Path, name: &str) -> Result<u64, String> {
    let mut of_name = functions(path)?;
    let plain = name.split('@').next().unwrap_or(name);
    of_name.retain(|function| function.name == plain);
    if of_name.iter().any(|function| function.is_global) {
        of_name.retain(|function| function.is_global);
    }
    match &of_name[..] {
        [one] => Ok(one.offset),
        [] => Err(format!("{} has no function {name:?}", path.display())),
        several => {
            let offsets: Vec<String> =
                several.iter().map(|function| format!("{:#x}", function.offset)).collect();
            let all = offsets.join(", ");
            Err(format!("{} has several functions {name:?}: at {all}", path.display()))
        }
    }
}

/// The functions of a file that a pattern means, one for each place.
///
/// # Errors
/// The file cannot be read.
pub fn matching(path: &Path, pattern: &Pattern) -> Result<Vec<FileFunction>, String> {
    let mut found = functions(path)?;
    found.retain(|function| pattern.matches(&function.name));
    found.sort_by_key(|function| function.offset);
    found.dedup_by_key(|function| function.offset);
    Ok(found)
}

/// Where a file is that is named without a folder: libraries where the machine's are (by
/// `LD_LIBRARY_PATH` first), others by `PATH`.
///
/// # Errors
/// Nowhere.
pub fn resolve(name: &Path) -> Result<PathBuf, String> {
    const LIBRARIES: [&str; 8] = [
        "/lib64",
        "/usr/lib64",
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib/aarch64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/lib",
        "/usr/lib",
    ];
    if name.components().count() > 1 || name.is_absolute() {
        return Ok(name.to_owned());
    }
    let text = name.to_string_lossy();
    let is_library = text.ends_with(".so") || text.contains(".so.");
    let (variable, fixed) = if is_library {
        ("LD_LIBRARY_PATH", &LIBRARIES[..])
    } else {
        ("PATH", &["/usr/bin", "/usr/sbin"][..])
    };
    let listed = std::env::var_os(variable).unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(&listed).collect();
    let folders = listed.into_iter().chain(fixed.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        format!(
            "{text:?} is nowhere among the {}",
            if is_library { "libraries" } else { "programs" }
        )
    })
}
