//! The BPF objects of Debian's packages: files of their own, and those that programs
//! carry in their read-only data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The packages whose objects parity is measured on.
pub const PACKAGES: [&str; 3] = ["libxdp1", "xdp-tools", "libbpf-tools"];

/// One object, as a file.
pub struct CorpusObject {
    /// The package that it is from.
    pub package: &'static str,
    /// The file in the package, with a number where it carries several objects.
    pub name: String,
    /// Where its bytes are.
    pub path: PathBuf,
}

/// All objects of all packages, extracted below `target/parity/objects`.
///
/// # Errors
/// A package that is not installed, or a file that cannot be read or written.
pub fn objects() -> Result<Vec<CorpusObject>> {
    let mut objects = Vec::new();
    for package in PACKAGES {
        let before = objects.len();
        let folder = Path::new("target/parity/objects").join(package);
        std::fs::create_dir_all(&folder)?;
        for file in files(package)? {
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            let images = images(&bytes);
            let is_one = images.len() == 1;
            for (number, image) in images.into_iter().enumerate() {
                let stem = file.file_name().unwrap_or_default().to_string_lossy();
                let stem = stem.strip_suffix(".o").unwrap_or(&stem);
                let name = if is_one { stem.into() } else { format!("{stem}-{number}") };
                let path = folder.join(format!("{name}.o"));
                std::fs::write(&path, image)?;
                objects.push(CorpusObject { package, name, path });
            }
        }
        if objects.len() == before {
            bail!("{package} has no BPF objects");
        }
    }
    Ok(objects)
}

/// The regular files of an installed package, each once.
fn files(package: &str) -> Result<BTreeSet<PathBuf>> {
    let list = Command::new("dpkg").args(["-L", package]).output().context("dpkg")?;
    if !list.status.success() {
        bail!("{package} is not installed: apt-get install {}", PACKAGES.join(" "));
    }
    let list = String::from_utf8(list.stdout)?;
    let real = |line: &str| std::fs::canonicalize(line).ok().filter(|path| path.is_file());
    Ok(list.lines().filter_map(real).collect())
}

/// The BPF objects in a file: ELF images of machine 247, wherever they start.
fn images(bytes: &[u8]) -> Vec<&[u8]> {
    const START: &[u8] = b"\x7fELF\x02\x01\x01";
    let mut images = Vec::new();
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], START) {
        at += found;
        match image_len(&bytes[at..]) {
            Some(len) => {
                images.push(&bytes[at..at + len]);
                at += len;
            }
            None => at += 1,
        }
    }
    images
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The length of the BPF object that starts here: up to the end of its last section.
fn image_len(bytes: &[u8]) -> Option<usize> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    if u16_at(18)? != 247 {
        return None;
    }
    let (headers, count) = (usize::try_from(u64_at(40)?).ok()?, usize::from(u16_at(60)?));
    let mut end = headers.checked_add(64 * count)?;
    for index in 0..count {
        let header = headers.checked_add(64 * index)?;
        let kind = u16_at(header + 4)?;
        let (offset, size) = (u64_at(header + 24)?, u64_at(header + 32)?);
        // Sections of zeros take no room in the file.
        if kind != 8 {
            end = end.max(usize::try_from(offset.checked_add(size)?).ok()?);
        }
    }
    (end <= bytes.len()).then_some(end)
}
