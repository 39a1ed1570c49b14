//! Files to read, by name: `-` for the standard input, and sizes with a limit. (Files to
//! write are in [`crate::output`].)

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;

/// The largest text or raw file that is read.
pub const MAX_TEXT: u64 = 64 << 20;

/// A name for messages.
pub fn shown(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "standard input".into(),
        false => path.display().to_string(),
    }
}

/// A failure that names its file.
pub fn in_file(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::unusable(format!("{}: {error}", shown(path)))
}

fn io_failure(path: &Path, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    };
    in_file(path, format!("cannot be read: {reason}"))
}

/// Reads a file, or the standard input for `-`, up to `limit` bytes.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(limit + 1).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|error| io_failure(path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(in_file(path, format!("is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads a text.
///
/// # Errors
/// It cannot be read, or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read(path, MAX_TEXT)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        in_file(path, format!("offset {at:#x}: is no text (UTF-8)"))
    })
}

/// Whether bytes are text: UTF-8 without control characters but white space.
pub fn is_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(4096)];
    let is_utf8 = match std::str::from_utf8(start) {
        Ok(_) => true,
        // A character that goes on behind the part that is looked at.
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && start.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

/// Whether two names lead to one file.
#[cfg(unix)]
pub fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Whether two names lead to one file.
#[cfg(not(unix))]
pub fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
