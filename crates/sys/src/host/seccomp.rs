//! Seccomp filters for commands that are started, and a supervisor's answers to their calls
//! (`kernel/seccomp.c`, seccomp_unotify(2)).
//!
//! A filter is put in front of a command that is yet to be executed, never of this process:
//! one that makes calls fail in strange ways could break what safe code relies on.
//!
//! A filter may leave the child no call by which to hand the listener over, and the child's
//! own copy is closed when it executes the command. So before it installs, the child makes a
//! keeper: a process that shares its table of files, stays outside of the filter and only
//! waits. The command gets a table of its own; the supervisor takes the listener out of the
//! keeper's (`pidfd_getfd`), and ends the keeper.
#![allow(unsafe_code)]

use skep_abi::limits::MAX_ERRNO;
use std::io::{self, PipeWriter, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// How a filter is installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// Log what it does not allow.
    pub log: bool,
    /// Without the mitigation of speculative store bypass.
    pub spec_allow: bool,
    /// For all threads.
    pub tsync: bool,
    /// A call whose notification was read is only ended by fatal signals.
    pub wait_killable: bool,
}

impl Flags {
    /// For this thread alone. Others of this process must not come under the filter: they run
    /// on until the command is executed, and a call that the filter answers without making it
    /// (of memory, say) would break what they rely on.
    fn alone(self) -> Flags {
        Flags { tsync: false, ..self }
    }

    fn bits(self, listener: bool) -> libc::c_ulong {
        let bits = [
            (self.log, libc::SECCOMP_FILTER_FLAG_LOG),
            (self.spec_allow, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
            (self.tsync, libc::SECCOMP_FILTER_FLAG_TSYNC),
            // With a listener, what TSYNC gives for a thread is an errno.
            (self.tsync && listener, libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
            (self.wait_killable && listener, libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
            (listener, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER),
        ];
        bits.iter().filter(|bit| bit.0).fold(0, |bits, bit| bits | bit.1)
    }
}

/// Has a command give up new privileges and install a filter before it is executed. The
/// program's instructions are `struct sock_filter`; Linux checks them then, and starting
/// the command fails where it refuses them.
///
/// The command is for a child: [`CommandExt::exec`] fails with it. See [`exec`].
pub fn install(command: &mut Command, program: &[[u8; 8]], flags: Flags) {
    let program = program.to_vec();
    let bits = flags.bits(false);
    let own = std::process::id();
    let install = move || {
        if std::process::id() == own {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        set_filter(&program, bits).map(drop)
    };
    // SAFETY: between fork and exec only system calls are made, on memory that was
    // allocated before.
    unsafe { command.pre_exec(install) };
}

/// Executes a command under a filter in the place of this process.
///
/// Comes back with an error where the filter is refused. Where the filter is there and the
/// command cannot be executed, the process ends with status 127, since nothing that runs
/// here may rely on its calls any more. The command begins with one thread, so that
/// [`Flags::tsync`] means nothing here.
pub fn exec(mut command: Command, program: &[[u8; 8]], flags: Flags) -> io::Error {
    let program = program.to_vec();
    let bits = flags.alone().bits(false);
    let installed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let install = {
        let installed = installed.clone();
        move || {
            set_filter(&program, bits)?;
            installed.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    };
    // SAFETY: only system calls are made, on memory that was allocated before.
    unsafe { command.pre_exec(install) };
    let error = command.exec();
    if installed.load(std::sync::atomic::Ordering::Relaxed) {
        let text: &[u8] = b"error: the command cannot be executed under its filter\n";
        // SAFETY: the bytes are there; the process ends behind it.
        unsafe {
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::_exit(127);
        }
    }
    error
}

/// Starts a command under a filter with a supervisor. The command is executed as soon as
/// the supervisor lets it, so its [`Child`] comes by way of a thread.
///
/// # Errors
/// The filter is refused; the listener cannot be had (`ptrace_scope`).
pub fn supervise(
    mut command: Command,
    program: &[[u8; 8]],
    flags: Flags,
) -> io::Result<(Listener, JoinHandle<io::Result<Child>>)> {
    let (mut from_child, to_parent) = io::pipe()?;
    let program = program.to_vec();
    let bits = flags.bits(true);
    let (taken, is_taken) = channel::<()>();
    let started = std::thread::spawn(move || {
        // SAFETY: between fork and exec only system calls are made, on memory that was
        // allocated before.
        unsafe { command.pre_exec(move || announce(&to_parent, &program, bits)) };
        let child = command.spawn();
        // With it goes this process's end of the pipe.
        drop(command);
        // The keeper dies with this thread: not before the listener is taken.
        if child.is_ok() {
            let _ = is_taken.recv();
        }
        child
    });
    let mut words = [0; 12];
    let listener = match from_child.read_exact(&mut words) {
        Ok(()) => {
            let number = |at: usize| {
                let bytes = words.get(at..).and_then(|rest| rest.first_chunk());
                bytes.copied().map_or(0, i32::from_ne_bytes)
            };
            let keeper = Keeper(number(4));
            keeper.listener(number(0), number(8), &started)
        }
        Err(error) => Err(error),
    };
    drop(taken);
    match listener {
        Ok(listener) => Ok((listener, started)),
        // Why it did not start says more.
        Err(error) => match started.join() {
            Ok(Err(reason)) => Err(reason),
            _ => Err(error),
        },
    }
}

/// In the child: makes the keeper, says who both are and which number the listener gets,
/// then installs.
fn announce(to_parent: &PipeWriter, program: &[[u8; 8]], bits: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the call has no arguments.
    let pid = unsafe { libc::getpid() };
    // SAFETY: as a fork: the new process has a copy of this one's memory, and makes system
    // calls only. It is the supervisor's child, and says nothing to it when it ends.
    let keeper = unsafe {
        let flags = (libc::CLONE_FILES | libc::CLONE_PARENT) as libc::c_ulong;
        libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0)
    };
    match keeper {
        ..0 => return Err(io::Error::last_os_error()),
        0 => loop {
            // SAFETY: the calls take numbers.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::pause();
            }
        },
        1.. => {}
    }
    // New files get the lowest free number.
    // SAFETY: the file is open; the copy is closed at once.
    let next = unsafe { libc::dup(to_parent.as_raw_fd()) };
    if next < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and nothing else knows of it.
    unsafe { libc::close(next) };
    let mut words = [0; 12];
    words[..4].copy_from_slice(&pid.to_ne_bytes());
    words[4..8].copy_from_slice(&(keeper as i32).to_ne_bytes());
    words[8..].copy_from_slice(&next.to_ne_bytes());
    rustix::io::write(to_parent, &words)?;
    set_filter(program, bits).map(drop)
}

/// Installs a filter for this thread; gives what `seccomp(2)` gives.
fn set_filter(program: &[[u8; 8]], bits: libc::c_ulong) -> io::Result<libc::c_long> {
    rustix::thread::set_no_new_privs(true)?;
    let Ok(len) = libc::c_ushort::try_from(program.len()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // Linux only reads it.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `program` has `len` instructions of 8 bytes, which Linux copies and checks.
    let given = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            bits,
            &raw const program,
        )
    };
    if given < 0 { Err(io::Error::last_os_error()) } else { Ok(given) }
}

/// The process that holds the listener until it is taken; it ends with this.
struct Keeper(i32);

impl Keeper {
    fn listener(
        &self,
        child: i32,
        fd: i32,
        started: &JoinHandle<io::Result<Child>>,
    ) -> io::Result<Listener> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let open = |pid| {
            let pid = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?;
            pidfd_open(pid, PidfdFlags::empty())
        };
        let (pid, keeper) = (open(child)?, open(self.0)?);
        let since = Instant::now();
        loop {
            match pidfd_getfd(&keeper, fd, PidfdGetfdFlags::empty()) {
                Ok(fd) if is_listener(&fd) => return Ok(Listener { fd, pid }),
                Ok(_) | Err(rustix::io::Errno::BADF) => {}
                Err(error) => return Err(error.into()),
            }
            if started.is_finished() || since.elapsed() > PATIENCE {
                return Err(io::Error::other("the child did not install its filter"));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // SAFETY: the calls take numbers. The keeper is a child of this process that nothing
        // else waits for, so that its number is its own until it is waited for here.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

/// Whether a file is the supervisor's end of a filter.
fn is_listener(fd: &OwnedFd) -> bool {
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    name.is_ok_and(|name| name.as_os_str() == "anon_inode:seccomp notify")
}

/// A call that waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notification {
    /// What it is answered by.
    pub id: u64,
    /// The thread that made it, as this process sees it; 0 where it does not.
    pub pid: u32,
    /// The call's number.
    pub nr: u32,
    /// Its architecture's audit value.
    pub arch: u32,
    /// Where it was made.
    pub ip: u64,
    /// Its arguments. What they point to may change at any time.
    pub args: [u64; 6],
}

/// What a call gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It fails with an error number.
    Errno(i32),
    /// It gives this value.
    Value(i64),
    /// It is made. No security rests on this: whatever its arguments point to can be
    /// changed between now and then.
    Continue,
}

/// A supervisor's end of a filter.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    pid: OwnedFd,
}

impl Listener {
    /// Waits for a call. `None` where the time is over; what is none of a living thread any
    /// more is passed over.
    ///
    /// # Errors
    /// `UnexpectedEof` where no thread is left under the filter; those of `ioctl(2)`.
    pub fn receive(&self, timeout: Duration) -> io::Result<Option<Notification>> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        /// A wait that nobody sees the end of.
        const LONG: Duration = Duration::from_secs(1 << 30);
        let until = Instant::now() + timeout.min(LONG);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait =
                Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
            let mut files = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut files, Some(&wait)) {
                Ok(0) => return Ok(None),
                Ok(_) if files[0].revents().contains(PollFlags::IN) => {}
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.read() {
                // Its thread was ended, or a signal came.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {}
                other => return other.map(Some),
            }
        }
    }

    fn read(&self) -> io::Result<Notification> {
        // Linux writes as much as it knows of: room for what it may add, and zeros, as it
        // wants them.
        let mut room = [MaybeUninit::<libc::seccomp_notif>::zeroed(); 4];
        // SAFETY: the request writes a notification, which has room.
        let given = unsafe {
            let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
            libc::ioctl(self.fd.as_raw_fd(), request, room.as_mut_ptr())
        };
        if given < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: all bit patterns are valid, and zeros stood there before.
        let notification = unsafe { room[0].assume_init() };
        let data = notification.data;
        Ok(Notification {
            id: notification.id,
            pid: notification.pid,
            nr: data.nr as u32,
            arch: data.arch,
            ip: data.instruction_pointer,
            args: data.args,
        })
    }

    /// Answers a call.
    ///
    /// # Errors
    /// `NotFound` where it waits no more; `InvalidInput` for what is no error number.
    pub fn answer(&self, id: u64, answer: Answer) -> io::Result<()> {
        const MOST: i32 = MAX_ERRNO as i32;
        let (val, error, flags) = match answer {
            Answer::Errno(errno @ 1..=MOST) => (0, -errno, 0),
            Answer::Errno(_) => return Err(io::ErrorKind::InvalidInput.into()),
            Answer::Value(value) => (value, 0, 0),
            Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        };
        let mut response = libc::seccomp_notif_resp { id, val, error, flags };
        // SAFETY: the request reads a response.
        let given = unsafe {
            let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
            libc::ioctl(self.fd.as_raw_fd(), request, &raw mut response)
        };
        if given < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Whether a call still waits: what was read of its thread, by number, before this was
    /// asked is that thread's.
    pub fn is_valid(&self, id: u64) -> bool {
        // SAFETY: the request reads a number.
        let given = unsafe {
            let request = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;
            libc::ioctl(self.fd.as_raw_fd(), request, &raw const id)
        };
        given == 0
    }

    /// Puts a file into the table of who made a call, and answers the call with its number.
    ///
    /// # Errors
    /// `NotFound` where it waits no more; the table is full.
    pub fn answer_with(&self, id: u64, file: BorrowedFd<'_>, cloexec: bool) -> io::Result<()> {
        let addfd = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: file.as_raw_fd() as u32,
            newfd: 0,
            newfd_flags: if cloexec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: the request reads a description of a file that is open.
        let given = unsafe {
            let request = libc::SECCOMP_IOCTL_NOTIF_ADDFD;
            libc::ioctl(self.fd.as_raw_fd(), request, &raw const addfd)
        };
        if given < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The first process under the filter, to wait for or to send signals to.
    pub fn process(&self) -> BorrowedFd<'_> {
        self.pid.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ret` of an action.
    fn always(action: u32) -> Vec<[u8; 8]> {
        let mut insn = [0; 8];
        insn[..2].copy_from_slice(&6u16.to_ne_bytes());
        insn[4..].copy_from_slice(&action.to_ne_bytes());
        vec![insn]
    }

    #[test]
    fn waiting_without_end_ends_with_the_command() {
        let program = always(libc::SECCOMP_RET_ALLOW);
        let started = supervise(Command::new("/bin/true"), &program, Flags::default());
        let Ok((listener, started)) = started else {
            println!("skipped: no listener here");
            return;
        };
        let error = listener.receive(Duration::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(started.join().unwrap().unwrap().wait().unwrap().success());
        for errno in [0, -1, 4096, i32::MIN, i32::MAX] {
            let error = listener.answer(0, Answer::Errno(errno)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{errno}");
        }
    }

    #[test]
    fn programs_that_are_too_long_are_refused() {
        let program = always(libc::SECCOMP_RET_ALLOW).repeat(1 << 16);
        let mut command = Command::new("/bin/true");
        install(&mut command, &program, Flags::default());
        assert_eq!(command.spawn().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(supervise(Command::new("/bin/true"), &program, Flags::default()).is_err());
        assert!(
            exec(Command::new("/bin/true"), &program, Flags::default()).kind()
                == io::ErrorKind::InvalidInput
        );
        // Linux takes 4,096.
        assert!(
            exec(Command::new("/bin/true"), &program[..4097], Flags::default()).raw_os_error()
                == Some(libc::EINVAL)
        );
    }

    #[test]
    fn other_threads_stay_outside() {
        let all = Flags { log: true, tsync: true, ..Flags::default() };
        let bits = all.bits(false);
        assert_eq!(all.alone().bits(false), bits & !libc::SECCOMP_FILTER_FLAG_TSYNC);
    }
}
