//! Output files: written beside their place, and renamed into it when they are whole. So
//! whoever looks finds the old file or the new one, a full disk leaves the old one, and of
//! two writers the later one wins. What is no regular file (a pipe, a device) is written
//! as it is, and `-` is the standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::files::{in_file, is_same, shown};

/// An output that does not count before [`Output::commit`].
pub struct Output {
    /// The name that the user gave.
    name: PathBuf,
    out: BufWriter<File>,
    /// The file that is written and the one that it shall be.
    rename: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Begins an output file that is none of the inputs, by whatever names and links.
    ///
    /// # Errors
    /// It is one of them, cannot be made, or is a terminal.
    pub fn create(path: &Path, inputs: &[&Path]) -> Result<Output, Failure> {
        for input in inputs {
            if path.as_os_str() != "-" && is_same(path, input) {
                let message = format!("{} is both input and output", shown(path));
                return Err(Failure::unusable(message).hint("name another file for the output"));
            }
        }
        if path.as_os_str() == "-" {
            return Output::standard(path);
        }
        // Beside what a link leads to, which stays one.
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let metadata = fs::metadata(&place).ok();
        let (file, rename) = match &metadata {
            Some(metadata) if !metadata.is_file() => {
                let file = OpenOptions::new().write(true).open(&place);
                (file.map_err(|error| written(path, &error))?, None)
            }
            _ => {
                let (file, beside) = beside(&place).map_err(|error| written(path, &error))?;
                (file, Some((beside, place)))
            }
        };
        let output = Output { name: path.into(), out: BufWriter::new(file), rename };
        if let (Some(metadata), true) = (metadata, output.rename.is_some()) {
            // A file that could not be written must not be replaced either.
            if metadata.permissions().readonly() {
                let error = io::ErrorKind::PermissionDenied.into();
                return Err(written(path, &error));
            }
            let kept = output.out.get_ref().set_permissions(metadata.permissions());
            kept.map_err(|error| written(path, &error))?;
        }
        Ok(output)
    }

    fn standard(path: &Path) -> Result<Output, Failure> {
        if io::stdout().is_terminal() {
            let failure = Failure::unusable("bytes are not for a terminal");
            return Err(failure.hint("name a file, or redirect the standard output"));
        }
        let file = standard_output().map_err(|error| written(path, &error))?;
        Ok(Output { name: path.into(), out: BufWriter::new(file), rename: None })
    }

    /// Ends it: from here on it is what its name means.
    ///
    /// # Errors
    /// It cannot be written to its end, or not be renamed; the old file stays.
    pub fn commit(mut self) -> Result<(), Failure> {
        self.finish().map_err(|error| written(&self.name, &error))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        if let Some((from, to)) = &self.rename {
            // Some disks tell only now that they are full.
            self.out.get_ref().sync_data()?;
            fs::rename(from, to)?;
            self.rename = None;
        }
        Ok(())
    }

    /// What to say of an error of writing it.
    pub fn failure(&self, error: &io::Error) -> Failure {
        written(&self.name, error)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What was not committed leaves nothing behind.
impl Drop for Output {
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.rename {
            let _ = fs::remove_file(beside);
        }
    }
}

/// Writes a whole file, or to the standard output for `-`.
///
/// # Errors
/// It is an input, cannot be written, or is a terminal.
pub fn write(path: &Path, inputs: &[&Path], bytes: &[u8]) -> Result<(), Failure> {
    let mut output = Output::create(path, inputs)?;
    output.write_all(bytes).map_err(|error| output.failure(&error))?;
    output.commit()
}

/// A fresh file in the same folder, under a name that nobody else has.
fn beside(place: &Path) -> io::Result<(File, PathBuf)> {
    let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    for attempt in 0..1000 {
        let mut hidden = std::ffi::OsString::from(".");
        // A name may have 255 bytes.
        hidden.push(name.to_string_lossy().chars().take(48).collect::<String>());
        hidden.push(format!(".{}.{attempt}.part", std::process::id()));
        let beside = place.with_file_name(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok((made?, beside)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(unix)]
fn standard_output() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn standard_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// What to say of an error of writing a file. A reader that has seen enough, as with
/// `| head`, is none.
pub fn written(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return io::Error::from(error.kind()).into();
    }
    let name = match path.as_os_str() == "-" {
        true => Path::new("standard output"),
        false => path,
    };
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "no such folder".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    };
    let failure = in_file(name, format!("cannot be written: {reason}"));
    match error.kind() {
        io::ErrorKind::StorageFull => failure.hint("nothing was left behind; make room"),
        _ => failure,
    }
}
