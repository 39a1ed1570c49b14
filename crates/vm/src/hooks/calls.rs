//! System calls and functions of a process tree ([`skep_sys::host::tree`]) as the events that
//! Linux's trace points and probes would give for them: contexts laid out as its, with the task
//! and the memory that a program may ask for.
//!
//! A trace point is known by its category and name, as `tracepoint/CATEGORY/NAME` has them;
//! `syscalls/sys_enter_X` and `sys_exit_X` belong to one call, whose number the caller knows.

use std::collections::HashMap;

use skep_sys::host::tree::{self, What};

use super::events::Event;
use crate::run::world::{Captured, Task, World};

/// Where a program can be hooked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Point {
    /// A call begins: one of a number, or any (`raw_syscalls:sys_enter`).
    Enter(Option<u32>),
    /// A call has ended.
    Exit(Option<u32>),
    /// A task was made (`sched:sched_process_fork`).
    Fork,
    /// A program was executed (`sched:sched_process_exec`).
    Exec,
    /// A thread ends (`sched:sched_process_exit`).
    End,
    /// A function is called (a uprobe): the number that the tree knows it by.
    Call(u32),
    /// A function has returned (a uretprobe).
    Return(u32),
}

/// How a program's context is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// The record of the trace point (`BPF_PROG_TYPE_TRACEPOINT`).
    Record,
    /// `struct pt_regs` (`BPF_PROG_TYPE_KPROBE`), of functions.
    Registers,
    /// The arguments of the trace point, a word each (`BPF_PROG_TYPE_RAW_TRACEPOINT`): of calls
    /// a pointer to the registers and the number, or the result.
    Words,
}

impl Point {
    /// The trace point of this category and name, if it is one of process trees. `number` gives
    /// the number of a call.
    pub fn of(category: &str, name: &str, number: impl Fn(&str) -> Option<u32>) -> Option<Point> {
        Some(match (category, name) {
            ("raw_syscalls", "sys_enter") => Point::Enter(None),
            ("raw_syscalls", "sys_exit") => Point::Exit(None),
            ("sched", "sched_process_fork") => Point::Fork,
            ("sched", "sched_process_exec") => Point::Exec,
            ("sched", "sched_process_exit") => Point::End,
            ("syscalls", name) => {
                let (point, call): (fn(_) -> _, _) = match name.strip_prefix("sys_enter_") {
                    Some(call) => (Point::Enter, call),
                    None => (Point::Exit, name.strip_prefix("sys_exit_")?),
                };
                // Linux names these trace points after its functions.
                let call = match call {
                    "newstat" | "newlstat" | "newfstat" | "newuname" => &call[3..],
                    "sendfile64" => "sendfile",
                    "umount" => "umount2",
                    call => call,
                };
                point(Some(number(call)?))
            }
            _ => return None,
        })
    }

    /// The point that stands for all calls, of a point of one.
    pub fn any(self) -> Option<Point> {
        match self {
            Point::Enter(_) => Some(Point::Enter(None)),
            Point::Exit(_) => Some(Point::Exit(None)),
            _ => None,
        }
    }

    /// Whether an event of this point (which says which call) is one of `other`'s.
    pub fn is(self, other: Point) -> bool {
        match (self, other) {
            (Point::Enter(_), Point::Enter(None)) | (Point::Exit(_), Point::Exit(None)) => true,
            (one, other) => one == other,
        }
    }
}

/// An event of a trace point.
#[derive(Clone, Debug)]
pub struct Happening {
    /// Which.
    pub point: Point,
    record: Event,
    /// The context of words, and the registers that the first leads to.
    words: Option<([u64; 2], Vec<u8>)>,
}

impl Happening {
    fn new(point: Point, record: Event) -> Happening {
        Happening { point, record, words: None }
    }

    /// As a program of this layout sees it; None: what the words of this point lead to is not
    /// known.
    pub fn event(&self, layout: Layout) -> Option<Event> {
        let mut event = self.record.clone();
        if layout == Layout::Words {
            let (context, registers) = self.words.as_ref()?;
            event.context = words(context);
            let memory = Captured { address: REGISTERS, bytes: registers.clone() };
            event.world.get_or_insert_default().memory.push(memory);
        }
        Some(event)
    }
}

/// What is known of a tree's tasks, from their events.
#[derive(Default)]
pub struct Calls {
    /// By process: user, group and name.
    processes: HashMap<u32, Process>,
    /// By thread: the name, where it has one of its own; the call that it is in.
    threads: HashMap<u32, Thread>,
}

#[derive(Clone)]
struct Process {
    uid: u32,
    gid: u32,
    comm: [u8; 16],
    /// Its parent's process id and name.
    parent: (u32, [u8; 16]),
}

impl Process {
    /// The command before it has executed anything: a child of this process that is as it.
    fn ours() -> Process {
        let own = World::default();
        let ((uid, gid), comm) = (own.user(), own.comm());
        Process { uid, gid, comm, parent: (std::process::id(), comm) }
    }
}

#[derive(Default)]
struct Thread {
    pid: u32,
    comm: Option<[u8; 16]>,
    /// The path that it executes.
    path: Vec<u8>,
    /// Memory of its last call.
    memory: Vec<Captured>,
}

/// `struct trace_entry`
const ENTRY: usize = 8;
/// An address like a kernel's, where the registers of a call can be read.
const REGISTERS: u64 = 0xffff_c900_0012_bf58;
/// Words of `struct pt_regs`, and two of them.
const REGISTER_WORDS: usize = 21;
const RAX: usize = 10;
const ORIG_RAX: usize = 15;
/// Segments of 64-bit programs.
const USER_CS: u64 = 0x33;
/// See [`USER_CS`].
const USER_DS: u64 = 0x2b;
/// `PR_SET_NAME`
const SET_NAME: u64 = 15;
/// Tasks of a tree that are known at once: who makes more up is forgotten.
const MOST: usize = 1 << 16;

/// Numbers that change who a task is, or end it.
mod number {
    pub const EXECVE: u32 = 59;
    pub const EXIT: u32 = 60;
    pub const PRCTL: u32 = 157;
    pub const EXIT_GROUP: u32 = 231;
    pub const EXECVEAT: u32 = 322;
}

impl Calls {
    /// The events of trace points that something of a tree stands for, in their order.
    pub fn events(&mut self, of: &tree::Event) -> Vec<Happening> {
        if self.processes.len() > MOST || self.threads.len() > MOST {
            self.processes.clear();
            self.threads.clear();
        }
        match &of.what {
            What::Enter(enter) => {
                let mut events = vec![self.enter(of, enter)];
                if matches!(enter.number, number::EXIT | number::EXIT_GROUP) {
                    events.push(self.end(of, enter.number));
                }
                events
            }
            What::Exit { number, result } => vec![self.exit(of, *number, *result)],
            What::Born { parent, by, .. } => vec![self.born(of, *parent, *by)],
            What::Exec { name, uid, gid, parent } => {
                let parent = (*parent, self.comm(*parent, *parent));
                let process = Process { uid: *uid, gid: *gid, comm: *name, parent };
                self.processes.insert(of.pid, process);
                vec![self.executed(of)]
            }
            What::Function(called) => vec![self.function(of, called)],
            What::Gone => {
                self.processes.remove(&of.pid);
                self.threads.retain(|_, thread| thread.pid != of.pid);
                Vec::new()
            }
        }
    }

    fn enter(&mut self, of: &tree::Event, enter: &tree::Enter) -> Happening {
        let captured =
            |item: &tree::Captured| Captured { address: item.address, bytes: item.bytes.to_vec() };
        let memory: Vec<Captured> = enter.memory.iter().map(captured).collect();
        let thread = self.threads.entry(of.tid).or_default();
        thread.pid = of.pid;
        thread.memory.clone_from(&memory);
        let text = |argument: u8| enter.memory.iter().find(|item| item.argument == argument);
        match enter.number {
            number::EXECVE | number::EXECVEAT => {
                let path = text(u8::from(enter.number == number::EXECVEAT));
                thread.path = path.map_or(Vec::new(), |item| item.bytes.to_vec());
            }
            number::PRCTL if enter.args[0] == SET_NAME => {
                let name = text(1).map(|item| item.bytes.strip_suffix(&[0]).unwrap_or(&item.bytes));
                thread.comm = name.map(Task::name);
            }
            _ => {}
        }
        let mut context = vec![0; ENTRY];
        context.extend(words(&[enter.number.into()]));
        context.extend(words(&enter.args));
        let mut record = self.event(of, context, memory);
        if let Some(world) = &mut record.world {
            world.user_stack = vec![enter.ip];
        }
        let point = Point::Enter(Some(enter.number));
        let words = Some(([REGISTERS, enter.number.into()], registers(enter)));
        Happening { point, record, words }
    }

    fn exit(&mut self, of: &tree::Event, number: u32, result: i64) -> Happening {
        let mut context = vec![0; ENTRY];
        context.extend(words(&[number.into(), result as u64]));
        // What the call was given is still there, as far as anybody knows.
        let thread = self.threads.get(&of.tid);
        let memory = thread.map_or(Vec::new(), |thread| thread.memory.clone());
        let mut registers = [0u64; REGISTER_WORDS];
        (registers[RAX], registers[ORIG_RAX]) = (result as u64, number.into());
        let words = Some(([REGISTERS, result as u64], words(&registers)));
        let record = self.event(of, context, memory);
        Happening { point: Point::Exit(Some(number)), record, words }
    }

    fn born(&mut self, of: &tree::Event, parent: u32, by: u32) -> Happening {
        let name = self.comm(parent, by);
        if of.pid != parent {
            let process = self.processes.get(&parent).cloned().unwrap_or_else(Process::ours);
            let parent = (parent, process.comm);
            self.processes.insert(of.pid, Process { comm: name, parent, ..process });
        }
        let thread = Thread { pid: of.pid, comm: Some(name), ..Thread::default() };
        self.threads.insert(of.tid, thread);
        // Both names lie behind the fixed part: offset and length of each.
        let name_len = name.iter().position(|&b| b == 0).unwrap_or(15) + 1;
        let place = |at: usize| (name_len << 16 | at) as u32;
        let mut context = vec![0; ENTRY];
        for word in [place(24), by, place(24 + name_len), of.tid] {
            context.extend(word.to_le_bytes());
        }
        context.extend(&name[..name_len]);
        context.extend(&name[..name_len]);
        // Linux's event is the parent's.
        let of = tree::Event { pid: parent, tid: by, ..of.clone() };
        Happening::new(Point::Fork, self.event(&of, context, Vec::new()))
    }

    fn executed(&mut self, of: &tree::Event) -> Happening {
        let old = self.threads.remove(&of.tid).unwrap_or_default();
        self.threads.retain(|_, thread| thread.pid != of.pid);
        let mut path = old.path;
        if path.last() != Some(&0) {
            path.push(0);
        }
        let mut context = vec![0; ENTRY];
        for word in [(path.len() << 16 | 20) as u32, of.tid, of.tid] {
            context.extend(word.to_le_bytes());
        }
        context.extend(&path);
        // The end of the call still has what it began with.
        let thread = Thread { pid: of.pid, comm: None, path: Vec::new(), memory: old.memory };
        self.threads.insert(of.tid, thread);
        Happening::new(Point::Exec, self.event(of, context, Vec::new()))
    }

    fn function(&self, of: &tree::Event, called: &tree::Called) -> Happening {
        let captured =
            |item: &tree::Captured| Captured { address: item.address, bytes: item.bytes.to_vec() };
        let memory = called.memory.iter().map(captured).collect();
        let mut registers = [0u64; REGISTER_WORDS];
        registers[..called.registers.len()].copy_from_slice(&called.registers);
        let fixed = [(16, called.ip), (17, USER_CS), (18, called.flags), (19, called.sp)];
        for (at, value) in fixed.into_iter().chain([(ORIG_RAX, u64::MAX), (20, USER_DS)]) {
            registers[at] = value;
        }
        let mut record = self.event(of, words(&registers), memory);
        record.function = called.function;
        if let Some(world) = &mut record.world {
            world.user_stack = stack(called);
        }
        let point = match called.returned {
            true => Point::Return(called.number),
            false => Point::Call(called.number),
        };
        Happening::new(point, record)
    }

    fn end(&mut self, of: &tree::Event, number: u32) -> Happening {
        /// `prio` of a task that is not niced.
        const PRIO: u32 = 120;
        let mut context = vec![0; ENTRY];
        context.extend(self.comm(of.pid, of.tid));
        context.extend(of.tid.to_le_bytes());
        context.extend(PRIO.to_le_bytes());
        context.extend(u32::from(number == number::EXIT_GROUP).to_le_bytes());
        Happening::new(Point::End, self.event(of, context, Vec::new()))
    }

    fn comm(&self, pid: u32, tid: u32) -> [u8; 16] {
        let own = self.threads.get(&tid).and_then(|thread| thread.comm);
        let comm = own.or_else(|| Some(self.processes.get(&pid)?.comm));
        comm.unwrap_or_else(|| World::default().comm())
    }

    fn event(&self, of: &tree::Event, context: Vec<u8>, memory: Vec<Captured>) -> Event {
        let process = self.processes.get(&of.pid).cloned().unwrap_or_else(Process::ours);
        let task = Task {
            pid: of.tid,
            tgid: of.pid,
            uid: process.uid,
            gid: process.gid,
            comm: self.comm(of.pid, of.tid),
            parent: process.parent,
            cgroups: Vec::new(),
        };
        let world = World { task: Some(task), memory, ..World::default() };
        Event { context, time: Some(of.time), world: Some(world), ..Event::default() }
    }
}

/// What called what, by the frames that rbp leads to, as far as the stack was captured.
fn stack(called: &tree::Called) -> Vec<u64> {
    /// As many as Linux gives.
    const MOST: usize = 127;
    const RBP: usize = 4;
    let mut stack = vec![called.ip];
    if !called.returned && called.caller != 0 {
        stack.push(called.caller);
    }
    let captured = called.memory.iter().find(|item| item.address == called.sp);
    let word = |at: u64| {
        let inside = usize::try_from(at.checked_sub(called.sp)?).ok()?;
        let bytes = captured?.bytes.get(inside..inside.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let mut frame = called.registers[RBP];
    while stack.len() < MOST
        && let (Some(next), Some(caller)) = (word(frame), word(frame.wrapping_add(8)))
        && caller != 0
    {
        stack.push(caller);
        if next <= frame {
            break;
        }
        frame = next;
    }
    stack
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// `struct pt_regs` of a call that begins.
fn registers(enter: &tree::Enter) -> Vec<u8> {
    let mut regs = [0u64; REGISTER_WORDS];
    let [di, si, dx, r10, r8, r9] = enter.args;
    for (at, value) in [(14, di), (13, si), (12, dx), (7, r10), (9, r8), (8, r9)] {
        regs[at] = value;
    }
    regs[4] = enter.bp;
    regs[ORIG_RAX] = enter.number.into();
    regs[16] = enter.ip;
    regs[19] = enter.sp;
    words(&regs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(call: &str) -> Option<u32> {
        [("openat", 257), ("uname", 63)].into_iter().find(|known| known.0 == call).map(|of| of.1)
    }

    #[test]
    fn trace_points_are_known_by_their_names() {
        let of = |category, name| Point::of(category, name, number);
        assert_eq!(of("syscalls", "sys_enter_openat"), Some(Point::Enter(Some(257))));
        assert_eq!(of("syscalls", "sys_exit_newuname"), Some(Point::Exit(Some(63))));
        assert_eq!(of("raw_syscalls", "sys_exit"), Some(Point::Exit(None)));
        assert_eq!(of("syscalls", "sys_enter_nosuch"), None);
        assert_eq!(of("block", "block_rq_issue"), None);
        assert!(Point::Enter(Some(257)).is(Point::Enter(None)));
        assert!(!Point::Enter(Some(257)).is(Point::Exit(None)));
        assert!(!Point::Enter(Some(257)).is(Point::Enter(Some(63))));
    }

    #[test]
    fn contexts_are_laid_out_as_linuxs() {
        let mut calls = Calls::default();
        let enter = tree::Enter { number: 257, args: [1, 2, 3, 4, 5, 6], ..Default::default() };
        let what = What::Enter(Box::new(enter));
        let of = tree::Event { time: 9, pid: 7, tid: 8, what };
        let [happening] = &calls.events(&of)[..] else { panic!() };
        assert_eq!(happening.point, Point::Enter(Some(257)));
        let event = happening.event(Layout::Record).unwrap();
        assert_eq!(event.context[8..], words(&[257, 1, 2, 3, 4, 5, 6]));
        let task = event.world.as_ref().unwrap().task.as_ref().unwrap();
        assert_eq!((task.pid, task.tgid, event.time), (8, 7, Some(9)));
        let raw = happening.event(Layout::Words).unwrap();
        let mut si = [0; 8];
        assert!(raw.world.as_ref().unwrap().read(REGISTERS + 104, &mut si));
        assert_eq!(u64::from_le_bytes(si), 2);
    }

    #[test]
    fn functions_have_registers_and_stacks() {
        let mut registers = [0; 15];
        (registers[14], registers[4]) = (77, 0x7010);
        let stack: Vec<u8> = words(&[0x111, 5, 0x7020, 0x222, 0x7030, 0x333, 0, 0x444]);
        let memory =
            vec![tree::Captured { argument: 7, address: 0x7000, bytes: stack.into_boxed_slice() }];
        let called = tree::Called {
            number: 3,
            function: 0x400,
            ip: 0x400,
            sp: 0x7000,
            caller: 0x111,
            registers,
            memory,
            ..Default::default()
        };
        let what = What::Function(Box::new(called));
        let mut calls = Calls::default();
        let of = tree::Event { time: 9, pid: 7, tid: 8, what };
        let [happening] = &calls.events(&of)[..] else { panic!() };
        assert_eq!(happening.point, Point::Call(3));
        let event = happening.event(Layout::Registers).unwrap();
        assert_eq!(event.context.len(), 168);
        assert_eq!(event.context[112..120], 77u64.to_le_bytes());
        assert_eq!(event.context[128..136], 0x400u64.to_le_bytes());
        let world = event.world.unwrap();
        assert_eq!(world.user_stack, [0x400, 0x111, 0x222, 0x333, 0x444]);
        assert_eq!(event.function, 0x400);
    }

    #[test]
    fn children_have_their_parents_name_until_they_execute() {
        let mut calls = Calls::default();
        let mut see =
            |pid, what| calls.events(&tree::Event { time: 0, pid, tid: pid, what }).remove(0);
        let name = |text: &[u8]| Task::name(text);
        let exec = |text| What::Exec { name: name(text), uid: 5, gid: 6, parent: 1 };
        see(10, exec(b"sh"));
        let born = see(11, What::Born { parent: 10, by: 10, shares: false });
        assert_eq!(born.point, Point::Fork);
        assert_eq!(&born.record.context[24..], b"sh\0sh\0");
        let comm = |happening: &Happening| {
            let task = happening.record.world.clone().unwrap().task.unwrap();
            (task.comm, task.uid)
        };
        let exit = || What::Exit { number: 57, result: 0 };
        assert_eq!(comm(&see(11, exit())), (name(b"sh"), 5));
        assert_eq!(comm(&see(11, exec(b"true"))), (name(b"true"), 5));
        assert_eq!(comm(&see(11, exit())), (name(b"true"), 5));
        assert_eq!(comm(&see(10, exit())), (name(b"sh"), 5));
    }
}
