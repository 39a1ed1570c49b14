//! Ctrl-C and SIGTERM while a command works on its input: the first one ends the work
//! where it stands, so that there is a report of what was done; a second one ends the
//! process at once. One that follows within a moment is the same one: `timeout` sends its
//! signal to the command, and again to the group. Before the work has begun, all do what they
//! always do.
//!
//! A process that was ended so dies of the signal in the end, as its caller expects: a
//! shell shows 130 or 143, and a script that runs it stops.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A signal that ends work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal(i32);

impl Signal {
    /// `SIGINT`, `SIGTERM`.
    pub fn name(self) -> &'static str {
        match self.0 {
            2 => "SIGINT",
            _ => "SIGTERM",
        }
    }

    /// The exit status that a shell shows.
    pub fn status(self) -> u8 {
        128 + self.0 as u8
    }

    /// Does what the signal would have done at first.
    pub fn die(self) {
        #[cfg(unix)]
        let _ = signal_hook::low_level::emulate_default_handler(self.0);
    }
}

/// Whether to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    came: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Stop {
    /// Waits for signals from now on.
    pub fn on_signals() -> Stop {
        let stop = Stop::default();
        #[cfg(unix)]
        {
            let again = Arc::new(AtomicBool::new(false));
            // Where handlers cannot be had, signals go on to do what they do.
            let _ = handle(&stop, &again).and_then(|first| arm(first, again));
        }
        stop
    }

    /// The signal that came.
    pub fn signal(&self) -> Option<Signal> {
        let came = self.came.load(Ordering::Relaxed);
        came.then(|| Signal(self.which.load(Ordering::Relaxed) as i32))
    }
}

/// Has the first signal noted, and each end the process once `again` is set. Gives what can be
/// read when there was one.
#[cfg(unix)]
fn handle(stop: &Stop, again: &Arc<AtomicBool>) -> io::Result<std::os::unix::net::UnixStream> {
    use signal_hook::{flag, low_level::pipe};
    let (first, told) = std::os::unix::net::UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        flag::register_conditional_default(signal, again.clone())?;
        flag::register_usize(signal, stop.which.clone(), signal as usize)?;
        flag::register(signal, stop.came.clone())?;
        pipe::register(signal, told.try_clone()?)?;
    }
    Ok(first)
}

/// Sets `again` a moment after the first signal.
#[cfg(unix)]
fn arm(mut first: std::os::unix::net::UnixStream, again: Arc<AtomicBool>) -> io::Result<()> {
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(200);
    let wait = move || {
        if first.read_exact(&mut [0]).is_ok() {
            std::thread::sleep(MOMENT);
            again.store(true, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new().name("skep-signal".into()).spawn(wait).map(drop)
}

/// A file to read until there is a signal: pipes and terminals may have nothing to read
/// for as long as they like.
pub struct Input {
    file: File,
    /// Where there is waiting.
    stop: Option<Stop>,
}

impl Input {
    /// Opens a file, or the standard input for `-`.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn open(path: &Path, stop: &Stop) -> io::Result<Input> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Input { file, stop: (!metadata.is_file()).then(|| stop.clone()) })
    }
}

impl Input {
    /// Whether what was read can be read again.
    pub fn is_repeatable(&self) -> bool {
        self.stop.is_none()
    }
}

/// Opens a file. A pipe is opened without waiting for who writes to it: that is for
/// reading it.
#[cfg(target_os = "linux")]
fn open(path: &Path) -> io::Result<File> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;

    if path.as_os_str() == "-" {
        return Ok(io::stdin().as_fd().try_clone_to_owned()?.into());
    }
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    if path.as_os_str() == "-" {
        use std::os::fd::AsFd;
        return Ok(io::stdin().as_fd().try_clone_to_owned()?.into());
    }
    File::open(path)
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(stop) = &self.stop {
                wait(&self.file, stop)?;
            }
            match self.file.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

/// Waits until there is something to read, or the end of it, or a signal.
#[cfg(target_os = "linux")]
fn wait(file: &File, stop: &Stop) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    // A signal that comes between the look and the wait is seen after this time.
    let moment = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    loop {
        if stop.signal().is_some() {
            return Err(io::Error::other("stopped by a signal"));
        }
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&moment)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn wait(_file: &File, _stop: &Stop) -> io::Result<()> {
    Ok(())
}
