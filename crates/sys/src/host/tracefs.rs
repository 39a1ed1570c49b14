//! Files of tracefs: tracepoints, their numbers and formats, and the functions that can be
//! probed.
//!
//! Where it is mounted it is read there. Where it is not, and the process may mount, it is
//! opened by a mount of one's own (`fsopen(2)`, `fsmount(2)`) that stands at no path: nobody
//! else sees it, and it goes with the process.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// Where it is mounted, as a rule.
const MOUNTED: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// tracefs, open.
#[derive(Debug)]
pub struct Tracefs {
    root: OwnedFd,
}

impl Tracefs {
    /// Opens it where it is mounted, or by a mount of one's own.
    ///
    /// # Errors
    /// It is mounted nowhere, and may not be; the message says what to do.
    pub fn open() -> io::Result<Tracefs> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut denied = None;
        for path in MOUNTED {
            let Ok(root) = rustix::fs::open(path, flags, Mode::empty()) else { continue };
            match openat(&root, "events", flags, Mode::empty()) {
                Ok(_) => return Ok(Tracefs { root }),
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => denied = Some(errno),
            }
        }
        match (mount(), denied) {
            (Ok(root), _) => Ok(Tracefs { root }),
            (Err(_), Some(errno)) => Err(errno.into()),
            (Err(errno), None) => {
                let error = io::Error::from(errno);
                let hint = "tracefs is mounted nowhere, and cannot be opened without; as root: \
                            mount -t tracefs tracefs /sys/kernel/tracing";
                Err(io::Error::new(error.kind(), format!("{hint} ({error})")))
            }
        }
    }

    /// Reads a file, its path from the root of tracefs.
    ///
    /// # Errors
    /// Those of opening and reading it.
    pub fn read(&self, path: &str) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut text = String::new();
        File::from(openat(&self.root, path, flags, Mode::empty())?).read_to_string(&mut text)?;
        Ok(text)
    }

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// Those of opening and reading it.
    pub fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.root, path, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The number of a tracepoint, by which it is opened.
    ///
    /// # Errors
    /// `NotFound` where there is none of that name; `InvalidInput` for what is no name.
    pub fn tracepoint(&self, category: &str, name: &str) -> io::Result<u64> {
        let is_name = |part: &str| !part.is_empty() && !part.contains('/') && part != "..";
        if !is_name(category) || !is_name(name) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let text = self.read(&format!("events/{category}/{name}/id"))?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// A mount that stands at no path.
fn mount() -> Result<OwnedFd, rustix::io::Errno> {
    use rustix::mount::{fsconfig_create, fsmount, fsopen};
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

#[cfg(test)]
mod tests {
    use super::Tracefs;

    #[test]
    fn a_tracepoint_has_the_number_that_its_format_says() {
        let tracefs = match Tracefs::open() {
            Ok(tracefs) => tracefs,
            Err(error) => {
                println!("skipped: {error}");
                return;
            }
        };
        let number = tracefs.tracepoint("sched", "sched_switch").unwrap();
        let format = tracefs.read("events/sched/sched_switch/format").unwrap();
        assert!(format.contains(&format!("ID: {number}\n")), "{format}");
        assert!(tracefs.list("events/sched").unwrap().contains(&"sched_switch".to_owned()));
        assert!(tracefs.tracepoint("sched", "no_such").is_err());
        assert!(tracefs.tracepoint("sched/..", "sched_switch").is_err());
    }
}
