//! System calls and functions of one's own processes, exactly, without any rights (x86-64).
//!
//! [`Tree::start`] starts a command, and each system call of it and of all that come from it
//! is an [`Event`]: threads, fork, vfork, chains of exec; libc, static or no libc.
//!
//! # How
//! Each process has an agent of ours mapped (`agent`, freestanding code that `build.rs` links
//! into one block). *Syscall User Dispatch* makes the kernel raise SIGSYS for every system call
//! outside of that block; the agent's handler has the call recorded and made. That costs 2 us,
//! so the instruction before a system call that is caught three times becomes a jump into the
//! agent: from then on it costs some tens of ns. Records go into a ring that each process
//! shares with the reader.
//!
//! The kernel drops the dispatch at fork, which the agent sees, and at exec, which takes the
//! agent away with all else. So before an exec the agent asks this process to attach with
//! ptrace, which gives the new program the agent (`inject`) and lets go. At no other time is
//! anybody traced: debuggers work within the tree, signals and stops are the program's own.
//!
//! Functions that are probed begin with a jump to a thunk (`probes` lays them out, the agent
//! plants them where a file is mapped), or where there is no room for one with a breakpoint,
//! whose SIGTRAP is the agent's. Returns are seen by another return address on the stack.
//!
//! # What holds
//! - **When this process dies**, at any instant, the tree goes on at full speed and untraced.
//!   The kernel itself marks a robust futex that all agents look at; nothing is left behind that
//!   needs a tracer: no filter, no breakpoint, no stopped process.
//! - **What the tree can write is not believed.** Rings and the shared page are read by
//!   atomics, each position and length is checked, and a reading ends in bounded time. The
//!   agent's code is a sealed file.
//! - **Nothing is lost silently.** A full ring makes its process wait for the reader, two seconds
//!   at most; then its events are counted as lost.
//! - Programs with rights of their own (set-user-id, capabilities), 32-bit ones, and those that
//!   enter a pid namespace run untraced, and are counted.
//!
//! It is no security boundary: a program can see the agent, and go around it. What it can see,
//! and what is never seen, is in `docs/live-processes.md`.
//!
//! # Words of the protocol
//! They are in `layout`, which agent and reader share; the steps of an exec are the states of
//! `layout::exec`.
//!
//! ```text
//! agent                 FREE → TAKEN → ASKED ........ waits: alive? ............ execve
//! attendant                              → COMING → seize → ATTACHED              → EVENT_EXEC:
//!                                                        (→ REFUSED)   inject, detach → FREE
//! agent, exec failed                                                  → FAILED → detach → FREE
//! agent, no answer                       → FREE   → ABANDONED → detach → FREE
//! ```

mod attend;
mod captures;
mod event;
mod first;
mod inject;
#[allow(dead_code)] // Some of it is the agent's alone.
mod layout;
mod memory;
mod options;
mod probes;
mod read;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use attend::{Attendant, Done, Meeting};
use layout::{Count, LEFT, shared};
use memory::{Code, Shared};
use read::Reader;

pub use event::{Called, Captured, Counts, Enter, Event, What};
pub use options::{Capture, Options};
pub use probes::Watch;

/// System calls are those below this number.
pub const CALLS: u32 = layout::CALLS as u32;
/// How often rings are looked at.
const TICK: Duration = Duration::from_millis(2);

/// A command and all that comes from it.
///
/// When it is dropped, the processes go on untraced.
pub struct Tree {
    child: Child,
    pidfd: OwnedFd,
    attended: Attended,
    reader: Reader,
    ready: VecDeque<Event>,
    /// The tree's first call, until its end is seen.
    first: Option<Box<Enter>>,
    /// The command is known to have ended.
    ended: bool,
    refused: Vec<(u32, String)>,
}

impl Tree {
    /// Starts a command.
    ///
    /// # Errors
    /// The command cannot be started; a file with functions cannot be read, or is no program or
    /// library; Linux has no Syscall User Dispatch (5.11), or the
    /// CPU no FSGSBASE.
    pub fn start(mut command: Command, options: &Options) -> io::Result<Tree> {
        let first = first::of(&command, options);
        let (wanted, rows) = options.tables();
        let laid = probes::lay(options.wishes())?;
        let code = Code::new(wanted, rows, &laid.bytes)?;
        let shared = Arc::new(Shared::new()?);
        let (from_child, to_parent) = io::pipe()?;
        let (from_parent, to_child) = io::pipe()?;
        // The child has copies of the other ends: were they open while it waits, it would
        // wait on when this process dies.
        let others = [from_child.as_raw_fd(), to_child.as_raw_fd()];
        let own = [to_parent.as_raw_fd(), from_parent.as_raw_fd()];
        let attended = Attended::begin(code, shared, Meeting { from_child, to_child })?;
        // SAFETY: between fork and exec only system calls are made, on numbers that are those
        // of the child's own copies.
        unsafe { command.pre_exec(move || meet(others, own)) };
        let child = command.spawn();
        // Where nobody was started, the attendant waits for nobody.
        drop((to_parent, from_parent));
        let child = child?;
        // It is this process's child, and nobody has waited for it yet.
        let pidfd = Pid::from_raw(child.id() as i32).ok_or(Errno::SRCH);
        let pidfd = pidfd.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))?;
        Ok(Tree {
            child,
            pidfd,
            attended,
            reader: Reader::new(),
            ready: VecDeque::new(),
            first,
            ended: false,
            refused: laid.refused,
        })
    }

    /// The process of the command.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Functions that cannot be probed, by their numbers, and why.
    pub fn refused(&self) -> &[(u32, String)] {
        &self.refused
    }

    /// Its standard input, output and error, where they are pipes; once.
    pub fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    /// How the command ended, if it has.
    ///
    /// # Errors
    /// Somebody else has waited for it. Nobody in this process may wait for children of which
    /// it knows nothing: while a child is traced for an exec, that takes the exec away.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        // It is waited for when it is known to have ended: Linux tells parents that trace of
        // every stop, whatever they ask for.
        match self.has_ended()? {
            false => Ok(None),
            true => self.child.try_wait(),
        }
    }

    fn has_ended(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
    }

    /// The next event, in the order of time; waits for it for as long as is said. None: there
    /// was none, or there will be none ([`Tree::alive`]).
    pub fn next(&mut self, most: Duration) -> Option<Event> {
        if self.ready.is_empty() {
            let events = self.batch(most);
            self.ready.extend(events);
        }
        self.ready.pop_front()
    }

    /// All events that are there; waits for the first as long as is said, or until the command
    /// ends.
    pub fn batch(&mut self, most: Duration) -> Vec<Event> {
        let (began, mut events) = (Instant::now(), Vec::from(std::mem::take(&mut self.ready)));
        loop {
            let bell = self.attended.shared.word(shared::BELL).load(Acquire);
            self.read(false, &mut events);
            if !events.is_empty() {
                return events;
            }
            let left = most.saturating_sub(began.elapsed());
            let ends = !self.ended && self.has_ended().unwrap_or(true);
            self.ended |= ends;
            if left.is_zero() || ends {
                return events;
            }
            self.attended.shared.word(shared::SLEEPS).store(1, Release);
            self.attended.shared.wait(shared::BELL, bell, left.min(TICK));
            self.attended.shared.word(shared::SLEEPS).store(0, Release);
        }
    }

    fn read(&mut self, all: bool, events: &mut Vec<Event>) {
        self.reader.read(&self.attended.shared, all, events);
        // The first exec began when nobody could see it yet.
        let pid = self.child.id();
        let first = |event: &Event| event.pid == pid && matches!(event.what, What::Exec { .. });
        if self.first.is_some()
            && let Some(at) = events.iter().position(first)
            && let Some(enter) = self.first.take()
        {
            let event = Event { what: What::Enter(enter), ..events[at].clone() };
            events.insert(at, event);
        }
    }

    /// How many processes of the tree are known to live.
    pub fn alive(&self) -> usize {
        self.reader.alive()
    }

    /// Lets the processes go on untraced, and gives the events that were left.
    pub fn finish(mut self) -> (Child, Vec<Event>, Counts) {
        self.attended.end();
        let mut events = Vec::from(std::mem::take(&mut self.ready));
        self.read(true, &mut events);
        let counts = self.counts();
        (self.child, events, counts)
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let Attended { shared, .. } = &self.attended;
        let count = |what| shared.count(what);
        let done = |what: &AtomicU64| what.load(Relaxed);
        Counts {
            lost: self.reader.lost.saturating_add(count(Count::Lost)),
            caught: count(Count::Caught),
            patched: count(Count::Patched),
            unpatched: count(Count::Unpatched),
            armed: count(Count::Armed),
            executed: count(Count::Begun),
            untraced: [Count::Untraced, Count::Unanswered]
                .map(count)
                .into_iter()
                .chain([done(&self.attended.done.narrow), done(&self.attended.done.failed)])
                // Those that could not open the files: other users, other file systems.
                .chain([done(&self.attended.done.injected).saturating_sub(count(Count::Begun))])
                .fold(0, u64::saturating_add),
            left: count(Count::Left),
            odd: count(Count::Odd),
            planted: count(Count::Planted),
            unplanted: count(Count::Unplanted),
            unreturned: count(Count::Unreturned),
        }
    }
}

/// The thread that attends to the tree, and its end.
struct Attended {
    shared: Arc<Shared>,
    done: Arc<Done>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attended {
    fn begin(code: Code, shared: Arc<Shared>, meeting: Meeting) -> io::Result<Attended> {
        let (done, stop) = (Arc::new(Done::default()), Arc::new(AtomicBool::new(false)));
        let attendant = Attendant {
            template: inject::Template::new(&code, &shared)?,
            shared: shared.clone(),
            code,
            done: done.clone(),
            stop: stop.clone(),
        };
        let (ready, is_ready) = channel();
        let thread = std::thread::Builder::new()
            .name("skep-attend".into())
            .spawn(move || attendant.run(meeting, &ready))?;
        let attended = Attended { shared, done, stop, thread: Some(thread) };
        is_ready.recv().map_err(|_| io::Error::other("the attendant has ended"))??;
        Ok(attended)
    }

    /// Tells the tree that nobody reads any more, and ends the thread.
    fn end(&mut self) {
        self.shared.word(shared::ALIVE).fetch_or(LEFT, AcqRel);
        self.stop.store(true, Release);
        self.shared.word(shared::DOORBELL).fetch_add(1, AcqRel);
        self.shared.wake(shared::DOORBELL);
        self.shared.wake(shared::DRAINED);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.end();
    }
}

/// In the child, before it executes the command: says who it is, and waits to be told to go on.
/// It goes on as well when this process is gone.
fn meet(others: [RawFd; 2], [told, heard]: [RawFd; 2]) -> io::Result<()> {
    let mut byte = 0u8;
    // SAFETY: closes the child's own copies of two fds that it does not use; reads and writes
    // what lies on the stack.
    unsafe {
        libc::close(others[0]);
        libc::close(others[1]);
        let pid = libc::getpid().to_ne_bytes();
        if libc::write(told, pid.as_ptr().cast(), pid.len()) == pid.len() as isize {
            while libc::read(heard, (&raw mut byte).cast(), 1) < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
    }
    Ok(())
}
