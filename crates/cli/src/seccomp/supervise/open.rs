//! Files opened for who asks, beneath folders of a list.
//!
//! The path is copied out of the caller's memory once; what is decided and opened is the
//! copy. `/proc/PID` is held open from before the kernel says that the call still waits,
//! so that memory, root and folders are those of the caller and of no later process with
//! its number. Names are resolved here, beneath a folder of the list, without symbolic
//! links out of it; the caller gets the file and no second look at the name.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    Mode, OFlags, ResolveFlags, fcntl_getfl, fcntl_setfl, openat, openat2, readlinkat,
};
use rustix::io::Errno;
use skep::sys::host::seccomp::{Answer, Listener, Notification};

/// The longest path, its end included (`PATH_MAX`).
const PATH_MAX: usize = 4096;
/// The folder of relative paths (`AT_FDCWD`).
const CWD: i32 = -100;

/// What may be opened.
pub struct Allowed {
    /// Folders, as the caller sees them.
    pub folders: Vec<PathBuf>,
    /// For writing, too.
    pub write: bool,
}

/// What is asked for.
struct Asked {
    folder: i32,
    path: u64,
    flags: OFlags,
    mode: u32,
    /// What it forbids by itself.
    resolve: ResolveFlags,
}

/// Answers a call that opens a file.
pub fn answer(
    listener: &Listener,
    call: &Notification,
    name: &str,
    allowed: &Allowed,
) -> io::Result<()> {
    match opened(listener, call, name, allowed) {
        Ok((file, cloexec)) => {
            use std::os::fd::AsFd;
            listener.answer_with(call.id, file.as_fd(), cloexec)
        }
        Err(errno) => listener.answer(call.id, Answer::Errno(errno.raw_os_error())),
    }
}

fn opened(
    listener: &Listener,
    call: &Notification,
    name: &str,
    allowed: &Allowed,
) -> Result<(OwnedFd, bool), Errno> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let process = openat(rustix::fs::CWD, format!("/proc/{}", call.pid), folder, Mode::empty())?;
    let memory: File =
        openat(&process, "mem", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into();
    let root = openat(&process, "root", folder, Mode::empty())?;
    // From here on it is known whose they are.
    if !listener.is_valid(call.id) {
        return Err(Errno::SRCH);
    }
    let asked = asked(call, name, &memory)?;
    let path = path(&memory, asked.path)?;
    if !listener.is_valid(call.id) {
        return Err(Errno::SRCH);
    }
    let access = asked.flags & (OFlags::RDONLY | OFlags::WRONLY | OFlags::RDWR);
    let makes = OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND | OFlags::TMPFILE;
    let makes = makes.difference(OFlags::DIRECTORY);
    if !allowed.write && (access != OFlags::RDONLY || asked.flags.intersects(makes)) {
        return Err(Errno::ACCESS);
    }
    let path = absolute(&process, asked.folder, path)?;
    let beneath = |folder: &&PathBuf| path.starts_with(folder);
    let folders = allowed.folders.iter().filter(beneath);
    let chosen = folders.max_by_key(|folder| folder.components().count()).ok_or(Errno::ACCESS)?;
    let within_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let start = openat2(&root, chosen.as_path(), folder, Mode::empty(), within_root)?;
    let rest = path.strip_prefix(chosen).unwrap_or(Path::new(""));
    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    let new = OFlags::CREATE | OFlags::TMPFILE.difference(OFlags::DIRECTORY);
    let mode = match asked.flags.intersects(new) {
        true => Mode::from_raw_mode(asked.mode & 0o777),
        false => Mode::empty(),
    };
    // A pipe without another end must not keep the supervisor.
    let flags = match asked.flags.contains(OFlags::PATH) {
        true => asked.flags | OFlags::CLOEXEC,
        false => asked.flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | asked.resolve;
    let file = openat2(&start, rest, flags, mode, resolve)?;
    if !asked.flags.intersects(OFlags::NONBLOCK | OFlags::PATH) {
        fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    }
    Ok((file, asked.flags.contains(OFlags::CLOEXEC)))
}

/// The arguments of the call, by its kind.
fn asked(call: &Notification, name: &str, memory: &File) -> Result<Asked, Errno> {
    let args = call.args;
    let none = ResolveFlags::empty();
    let (folder, path, flags, mode, resolve) = match name {
        "open" => (CWD, args[0], args[1], args[2], none),
        "openat" => (args[0] as i32, args[1], args[2], args[3], none),
        _ => {
            // `struct open_how`, copied once.
            let mut how = [0; 24];
            if args[3] != how.len() as u64 {
                return Err(Errno::INVAL);
            }
            memory.read_exact_at(&mut how, args[2]).map_err(|_| Errno::FAULT)?;
            let number = |at: usize| {
                let bytes = how.get(at..).and_then(|rest| rest.first_chunk());
                bytes.copied().map_or(0, u64::from_ne_bytes)
            };
            // Where names may lead is narrower here in any case.
            let kept = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            let resolve = ResolveFlags::from_bits_retain(number(16)) & kept;
            (args[0] as i32, args[1], number(0), number(8), resolve)
        }
    };
    let flags = OFlags::from_bits_retain(flags as u32);
    Ok(Asked { folder, path, flags, mode: mode as u32, resolve })
}

/// A copy of the path that stands in the caller's memory.
fn path(memory: &File, address: u64) -> Result<PathBuf, Errno> {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = vec![0; PATH_MAX];
    let mut len = 0;
    while len < bytes.len() {
        // Up to the next page, behind which there may be nothing.
        let at = address.checked_add(len as u64).ok_or(Errno::FAULT)?;
        let page = (4096 - (at % 4096) as usize).min(bytes.len() - len);
        match memory.read_at(&mut bytes[len..len + page], at) {
            Ok(0) | Err(_) => return Err(Errno::FAULT),
            Ok(count) => {
                let found = bytes[len..len + count].iter().position(|byte| *byte == 0);
                if let Some(end) = found {
                    bytes.truncate(len + end);
                    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
                    return if path.as_os_str().is_empty() { Err(Errno::NOENT) } else { Ok(path) };
                }
                len += count;
            }
        }
    }
    Err(Errno::NAMETOOLONG)
}

/// A path from the caller's root, with `.` and `..` taken out by the letter.
fn absolute(process: &OwnedFd, folder: i32, path: PathBuf) -> Result<PathBuf, Errno> {
    use std::os::unix::ffi::OsStringExt;
    let link = |name: &str| {
        let link = readlinkat(process, name, Vec::new())?;
        Ok::<_, Errno>(PathBuf::from(std::ffi::OsString::from_vec(link.into_bytes())))
    };
    let full = if path.is_absolute() {
        path
    } else {
        let base = match folder {
            CWD => link("cwd")?,
            folder => link(&format!("fd/{folder}"))?,
        };
        let base = base.strip_prefix(link("root")?).map_err(|_| Errno::ACCESS)?;
        Path::new("/").join(base).join(path)
    };
    let mut plain = PathBuf::from("/");
    for part in full.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(plain)
}
