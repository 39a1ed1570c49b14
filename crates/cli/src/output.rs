//! Output files: written beside their place, and renamed into it when they are whole. So
//! whoever looks finds the old file or the new one, a full disk leaves the old one, and of
//! two writers the later one wins. Where the file system can, what is not whole yet has no
//! name, so that not even SIGKILL leaves something behind. What is no regular file (a pipe, a
//! device) is written as it is, and `-` is the standard output.

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
    place: Place,
}

/// Where an output is until it is whole, and then.
enum Place {
    /// Where it stays: a pipe, a device, the standard output.
    Here,
    /// Under no name, and then under this one.
    #[cfg(target_os = "linux")]
    Nowhere(PathBuf),
    /// Under a name of its own beside its place, and then there.
    Beside(PathBuf, PathBuf),
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
        let begun = match &metadata {
            Some(metadata) if !metadata.is_file() => {
                OpenOptions::new().write(true).open(&place).map(|file| (file, Place::Here))
            }
            _ => begin(place),
        };
        let (file, place) = begun.map_err(|error| written(path, &error))?;
        let output = Output { name: path.into(), out: BufWriter::new(file), place };
        if let (Some(metadata), false) = (metadata, matches!(output.place, Place::Here)) {
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
        Ok(Output { name: path.into(), out: BufWriter::new(file), place: Place::Here })
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
        if !matches!(self.place, Place::Here) {
            // Some disks tell only now that they are full.
            self.out.get_ref().sync_data()?;
        }
        #[cfg(target_os = "linux")]
        if let Place::Nowhere(place) = &self.place {
            let place = place.clone();
            let Some(beside) = name(self.out.get_ref(), &place)? else { return Ok(()) };
            self.place = Place::Beside(beside, place);
        }
        if let Place::Beside(from, to) = &self.place {
            fs::rename(from, to)?;
            self.place = Place::Here;
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
        if let Place::Beside(beside, _) = &self.place {
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

/// A fresh file in the folder of its place: without a name, or under one that nobody else has.
fn begin(place: PathBuf) -> io::Result<(File, Place)> {
    #[cfg(target_os = "linux")]
    if let Some(file) = nameless(&place) {
        return Ok((file, Place::Nowhere(place)));
    }
    let (file, beside) =
        fresh(&place, |beside| OpenOptions::new().write(true).create_new(true).open(beside))?;
    Ok((file, Place::Beside(beside, place)))
}

/// A file without a name, where the file system has such and a name can be given later.
#[cfg(target_os = "linux")]
fn nameless(place: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::os::fd::AsRawFd;

    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let file = File::from(openat(CWD, folder.unwrap_or(Path::new(".")), flags, mode).ok()?);
    Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())).exists().then_some(file)
}

/// Gives a file its name: its place, or where something has that name, one beside it.
#[cfg(target_os = "linux")]
fn name(file: &File, place: &Path) -> io::Result<Option<PathBuf>> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd;

    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link =
        |to: &Path| linkat(CWD, &*own, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from);
    match link(place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fresh(place, link).map(|((), beside)| Some(beside))
        }
        linked => linked.map(|()| None),
    }
}

/// Makes something beside a place, under a name that nobody else has.
fn fresh<T>(
    place: &Path,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    for attempt in 0..1000 {
        let mut hidden = std::ffi::OsString::from(".");
        // A name may have 255 bytes.
        hidden.push(name.to_string_lossy().chars().take(48).collect::<String>());
        hidden.push(format!(".{}.{attempt}.part", std::process::id()));
        let beside = place.with_file_name(hidden);
        match make(&beside) {
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
