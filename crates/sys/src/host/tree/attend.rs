//! The thread that attends to execs: the only one that traces anybody, and only from before
//! an execve until the new program has its agent.
//!
//! It holds the robust futex by which the kernel tells the tree that this process is gone,
//! before it lets go of whom it traces. Processes that ask state who they are in memory that
//! all of the tree can write; one is believed when its own memory has the tree's token.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use super::inject::{Template, Unfit};
use super::layout::{EXEC_SLOT, EXECS, LEFT, TOKEN, TOKEN_LEN, exec, shared};
use super::memory::{Code, Shared};

/// What it has done.
#[derive(Default)]
pub(super) struct Done {
    /// Programs that got the agent.
    pub injected: AtomicU64,
    /// 32-bit programs.
    pub narrow: AtomicU64,
    /// Others that did not.
    pub failed: AtomicU64,
}

/// Whom it traces at the moment.
struct Followed {
    slot: Option<usize>,
    since: Instant,
    /// The exec has failed, or nobody waits any more: it is let go at its next stop.
    release: bool,
}

/// An exec that takes longer goes on untraced.
const PATIENCE: Duration = Duration::from_secs(10);

/// A thread that is waited for under a number that it does not have any more is found by then.
const RENUMBERED: Duration = Duration::from_millis(500);
/// Most are over by then.
const SOON: Duration = Duration::from_millis(1);

pub(super) struct Attendant {
    pub shared: Arc<Shared>,
    pub code: Code,
    pub template: Template,
    pub done: Arc<Done>,
    pub stop: Arc<AtomicBool>,
}

/// Where the tree's first process and the attendant meet: the child says who it is, and waits
/// to be told to go on.
pub(super) struct Meeting {
    pub from_child: io::PipeReader,
    pub to_child: io::PipeWriter,
}

impl Attendant {
    /// Runs until it is told to stop. `ready` is told whether the tree's mark is set.
    pub fn run(mut self, meeting: Meeting, ready: &std::sync::mpsc::Sender<io::Result<()>>) {
        let mark = supported().and_then(|()| Mark::set(&self.shared));
        // Its own waits are short.
        // SAFETY: takes numbers.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        let mark = match mark {
            Ok(mark) => mark,
            Err(error) => return drop(ready.send(Err(error))),
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        let mut followed = HashMap::new();
        let first = self.first(meeting, &mut followed);
        while !self.stop.load(Acquire) {
            let bell = self.shared.word(shared::DOORBELL).load(Acquire);
            self.requests(&mut followed);
            let moved = self.stops(&mut followed);
            self.ends(&mut followed, first);
            if moved {
                continue;
            }
            // An exec is a matter of some 100 us: to sleep and be woken takes longer here.
            let newest = followed.values().map(|who| who.since.elapsed()).min();
            match newest {
                None => self.shared.wait(shared::DOORBELL, bell, Duration::from_millis(200)),
                Some(age) if age < SOON => std::thread::yield_now(),
                Some(_) => self.shared.wait(shared::DOORBELL, bell, Duration::from_micros(50)),
            }
        }
        drop(mark);
    }

    /// The tree's first process, which waits between fork and exec.
    fn first(&self, mut meeting: Meeting, followed: &mut HashMap<i32, Followed>) -> Option<i32> {
        let mut pid = [0; 4];
        // Nobody comes where the command could not be started.
        meeting.from_child.read_exact(&mut pid).ok()?;
        let pid = i32::from_ne_bytes(pid);
        match seize(pid) {
            Ok(()) => {
                followed
                    .insert(pid, Followed { slot: None, since: Instant::now(), release: false });
            }
            Err(_) => drop(self.done.failed.fetch_add(1, Relaxed)),
        }
        // It may have been killed meanwhile.
        meeting.to_child.write_all(&[1]).ok();
        Some(pid)
    }

    /// What slots ask for.
    fn requests(&self, followed: &mut HashMap<i32, Followed>) {
        for slot in 0..EXECS {
            let state = self.shared.exec(slot, 0);
            match state.load(Acquire) {
                exec::ASKED => self.attach(slot, followed),
                exec::FAILED => {
                    let whom = followed.iter_mut().find(|(_, who)| who.slot == Some(slot));
                    match whom {
                        Some((&pid, who)) if !who.release => {
                            who.release = true;
                            interrupt(pid);
                        }
                        Some(_) => {}
                        None => self.answer(slot, exec::FREE),
                    }
                }
                _ => {}
            }
        }
    }

    fn attach(&self, slot: usize, followed: &mut HashMap<i32, Followed>) {
        let state = self.shared.exec(slot, 0);
        if state.compare_exchange(exec::ASKED, exec::COMING, AcqRel, Relaxed).is_err() {
            return;
        }
        let word = |field| self.shared.exec(slot, field).load(Relaxed);
        let (tid, base) = (word(1) as i32, u64::from(word(5)) << 32 | u64::from(word(4)));
        let taken = followed.contains_key(&tid) || followed.values().any(|w| w.slot == Some(slot));
        if taken || !self.has_token(tid, base) || seize(tid).is_err() {
            self.answer(slot, exec::REFUSED);
            return;
        }
        let there = state.compare_exchange(exec::COMING, exec::ATTACHED, AcqRel, Relaxed).is_ok();
        let who = Followed { slot: Some(slot), since: Instant::now(), release: !there };
        followed.insert(tid, who);
        if there {
            self.shared.wake(exec_offset(slot));
        } else {
            self.answer(slot, exec::FREE);
            interrupt(tid);
        }
    }

    /// Whether a thread's process has the tree's agent where it says.
    fn has_token(&self, tid: i32, base: u64) -> bool {
        if tid <= 0 {
            return false;
        }
        let mut token = [0u8; TOKEN_LEN];
        let local = libc::iovec { iov_base: token.as_mut_ptr().cast(), iov_len: TOKEN_LEN };
        let at = base.wrapping_add(TOKEN as u64);
        let remote = libc::iovec { iov_base: at as *mut _, iov_len: TOKEN_LEN };
        // SAFETY: the kernel writes as many bytes as there are, and checks the other address.
        let read =
            unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) };
        read == TOKEN_LEN as isize && token == self.code.token
    }

    fn answer(&self, slot: usize, state: u32) {
        self.shared.exec(slot, 0).store(state, Release);
        self.shared.wake(exec_offset(slot));
    }

    /// Those that have stopped. Gives whether there were any.
    fn stops(&mut self, followed: &mut HashMap<i32, Followed>) -> bool {
        let mut any = false;
        while let Some((pid, status)) = stopped() {
            any = true;
            self.stop_of(pid, status, followed);
        }
        any
    }

    fn stop_of(&mut self, pid: i32, status: i32, followed: &mut HashMap<i32, Followed>) {
        let (event, signal) = (status >> 8, status & 0xff);
        if event == libc::PTRACE_EVENT_EXEC {
            // The thread that executed has its process's number from here on.
            let mut before: libc::c_ulong = 0;
            // SAFETY: the kernel writes a word.
            unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, pid, 0, &raw mut before) };
            let who = followed.remove(&(before as i32)).or_else(|| followed.remove(&pid));
            let slot = who.and_then(|who| who.slot);
            let number = slot.map_or(0, |slot| self.shared.exec(slot, 2).load(Relaxed));
            let done = self.template.inject(pid, number.into());
            let count = match done {
                Ok(()) => &self.done.injected,
                Err(Unfit::Narrow) => &self.done.narrow,
                Err(_) => &self.done.failed,
            };
            count.fetch_add(1, Relaxed);
            detach(pid, 0);
            if let Some(slot) = slot {
                self.answer(slot, exec::FREE);
            }
            return;
        }
        // A signal of its own goes on to it; a stop of its whole process is its own matter.
        let group = event == libc::PTRACE_EVENT_STOP && signal != libc::SIGTRAP;
        let passed = if event == 0 { signal } else { 0 };
        match followed.get(&pid) {
            Some(who) if !who.release => match group {
                true => request(libc::PTRACE_LISTEN, pid, 0),
                false => request(libc::PTRACE_CONT, pid, passed),
            },
            _ => {
                detach(pid, passed);
                if let Some(slot) = followed.remove(&pid).and_then(|who| who.slot) {
                    self.answer(slot, exec::FREE);
                }
            }
        }
    }

    /// Those that have ended, or take too long. The first is its parent's to wait for, which is
    /// this process.
    fn ends(&self, followed: &mut HashMap<i32, Followed>, first: Option<i32>) {
        let mut gone = Vec::new();
        for (&pid, who) in followed.iter_mut() {
            // A thread that executes gets its process's number: the stop that follows is
            // under that, and the old number is nobody's.
            let ended = has_ended(pid, Some(pid) != first);
            if ended.unwrap_or_else(|| who.since.elapsed() > RENUMBERED) {
                gone.push(pid);
            } else if !who.release && who.since.elapsed() > PATIENCE {
                who.release = true;
                interrupt(pid);
            }
        }
        for pid in gone {
            if let Some(slot) = followed.remove(&pid).and_then(|who| who.slot) {
                self.answer(slot, exec::FREE);
            }
        }
    }
}

/// Whether this machine can do it. To be asked by a thread that is not under a dispatch of
/// its own, which the question would end.
fn supported() -> io::Result<()> {
    const SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
    /// `HWCAP2_FSGSBASE`
    const FSGSBASE: u64 = 2;
    let unsupported = |why| Err(io::Error::new(io::ErrorKind::Unsupported, why));
    // SAFETY: takes numbers.
    unsafe {
        if libc::getauxval(libc::AT_HWCAP2) & FSGSBASE == 0 {
            return unsupported("the CPU or Linux has no FSGSBASE");
        }
        if libc::prctl(SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) != 0 {
            return unsupported("Linux has no Syscall User Dispatch here");
        }
    }
    Ok(())
}

fn exec_offset(slot: usize) -> usize {
    shared::EXEC_SLOTS + slot * EXEC_SLOT
}

fn seize(tid: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACEEXEC;
    // SAFETY: takes numbers; what it does is to another process.
    match unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0, libc::c_long::from(options)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn request(what: libc::c_uint, pid: i32, signal: i32) {
    // SAFETY: as in `seize`. Where it fails, the process is gone.
    unsafe { libc::ptrace(what, pid, 0, libc::c_long::from(signal)) };
}

fn interrupt(pid: i32) {
    request(libc::PTRACE_INTERRUPT, pid, 0);
}

fn detach(pid: i32, signal: i32) {
    request(libc::PTRACE_DETACH, pid, signal);
}

/// One that this thread traces and that has stopped, and why. No child of others' is waited for.
fn stopped() -> Option<(i32, i32)> {
    // SAFETY: zeros are a siginfo; the kernel writes one.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WSTOPPED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: as above.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
    // SAFETY: waitid has filled in these, or left zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    (result == 0 && pid != 0).then_some((pid, status))
}

/// Whether one that is traced has ended; `reap` says that its real parent may be told. None: it
/// is traced no more.
fn has_ended(pid: i32, reap: bool) -> Option<bool> {
    let wait = |keep: i32| {
        // SAFETY: as in `stopped`.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD | keep;
        // SAFETY: as above.
        let result = unsafe { libc::waitid(libc::P_PID, pid as u32, &raw mut info, flags) };
        // SAFETY: as above.
        (result == 0).then(|| (unsafe { info.si_pid() }, info.si_code))
    };
    // A tracer is told of stops even when it asks for ends alone, and they are gone then: so
    // this looks first, and takes what is an end.
    let (who, how) = wait(libc::WNOWAIT)?;
    let ended = matches!(how, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED);
    if who != 0 && ended && reap {
        wait(0);
    }
    Some(who != 0 && ended)
}

/// The robust futex by which the tree knows that somebody reads.
struct Mark {
    shared: Arc<Shared>,
    list: Box<List>,
    old: (*mut libc::c_void, usize),
}

/// `struct robust_list_head`, and the one entry.
#[repr(C)]
struct List {
    head: *const Entry,
    offset: libc::c_long,
    pending: *const Entry,
    entry: Entry,
}
#[repr(C)]
struct Entry {
    next: *const Entry,
}

impl Mark {
    /// Sets it for the calling thread.
    fn set(shared: &Arc<Shared>) -> io::Result<Mark> {
        let mut list = Box::new(List {
            head: std::ptr::null(),
            offset: 0,
            pending: std::ptr::null(),
            entry: Entry { next: std::ptr::null() },
        });
        let alive = shared.word(shared::ALIVE);
        list.head = &raw const list.entry;
        // The list ends where it began.
        list.entry.next = (&raw const *list).cast();
        list.offset = alive.as_ptr() as libc::c_long - (&raw const list.entry) as libc::c_long;
        let mut old = (std::ptr::null_mut(), 0usize);
        // SAFETY: takes the address of the calling thread's own list, which the kernel reads
        // when the thread ends: `drop` puts the old one back before the box is freed. libc's
        // robust mutexes are not used by this thread.
        unsafe {
            alive.store(libc::gettid() as u32, Release);
            libc::syscall(libc::SYS_get_robust_list, 0, &raw mut old.0, &raw mut old.1);
            let head: *const List = &*list;
            match libc::syscall(libc::SYS_set_robust_list, head, 24usize) {
                0 => Ok(Mark { shared: shared.clone(), list, old }),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.shared.word(shared::ALIVE).fetch_or(LEFT, AcqRel);
        // SAFETY: it is libc's own list of this thread.
        unsafe { libc::syscall(libc::SYS_set_robust_list, self.old.0, self.old.1) };
        self.list.head = std::ptr::null();
    }
}
