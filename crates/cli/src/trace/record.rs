//! `--record`: what the programs of a script saw, as events that `--replay` and `skep run
//! --events` read.
//!
//! Lines are written whole: when the disk is full or skep is killed, what is there is whole
//! events, but for the last line of a killed one.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, ftruncate, open};
use skep::abi::ProgType;
use skep::lang::trace::checked::Point as Probe;
use skep::load::event::{self, EventRecord, EventTask};
use skep::vm::Task;
use skep::vm::hooks::Event;

use crate::failure::Failure;

/// Bytes that are written at once.
const AT_ONCE: usize = 1 << 16;

/// A file of events.
pub struct Recorder {
    path: PathBuf,
    file: File,
    /// Lines that are not written yet, and how many.
    pending: Vec<u8>,
    waiting: u64,
    /// Bytes and events that are written.
    bytes: u64,
    events: u64,
    /// Why no more is written, and how many events were not.
    failed: Option<io::Error>,
    lost: u64,
}

impl Recorder {
    /// Begins a file, which only its owner may read; what was in it is gone. No link is
    /// followed.
    ///
    /// # Errors
    /// It cannot be made, is a link, or no regular file.
    pub fn create(path: &Path) -> Result<Recorder, Failure> {
        let failed = |reason: &str| {
            Failure::unusable(format!("{}: cannot be recorded to: {reason}", path.display()))
        };
        // Without waiting: a pipe has nobody at its other end.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| match errno {
            rustix::io::Errno::LOOP => failed("it is a link"),
            errno => failed(&io::Error::from(errno).to_string()),
        })?;
        let of = fstat(&file).map_err(|errno| failed(&io::Error::from(errno).to_string()))?;
        if FileType::from_raw_mode(of.st_mode) != FileType::RegularFile {
            return Err(failed("it is no regular file"));
        }
        if of.st_nlink != 1 {
            return Err(failed("it has several names"));
        }
        fchmod(&file, Mode::RUSR | Mode::WUSR)
            .and_then(|()| ftruncate(&file, 0))
            .map_err(|errno| failed(&io::Error::from(errno).to_string()))?;
        Ok(Recorder {
            path: path.to_owned(),
            file: file.into(),
            pending: Vec::new(),
            waiting: 0,
            bytes: 0,
            events: 0,
            failed: None,
            lost: 0,
        })
    }

    /// Adds an event that a program of this probe sees.
    pub fn add(&mut self, attach: &str, kind: ProgType, event: &Event) {
        if self.failed.is_some() {
            self.lost += 1;
            return;
        }
        let line = event::line(&record_of(attach, kind, event));
        self.pending.extend_from_slice(line.as_bytes());
        self.waiting += 1;
        if self.pending.len() >= AT_ONCE {
            self.write();
        }
    }

    fn write(&mut self) {
        let mut written = 0;
        while written < self.pending.len() && self.failed.is_none() {
            match self.file.write(&self.pending[written..]) {
                Ok(0) => self.failed = Some(io::ErrorKind::WriteZero.into()),
                Ok(len) => written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.failed = Some(error),
            }
        }
        // Of what was written the whole lines stay.
        let whole = self.pending[..written].iter().rposition(|byte| *byte == b'\n');
        let whole = &self.pending[..whole.map_or(0, |at| at + 1)];
        self.bytes += whole.len() as u64;
        let events = whole.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.events += events;
        if self.failed.is_some() {
            let _ = self.file.set_len(self.bytes);
            self.lost = self.waiting - events;
        }
        self.pending.clear();
        self.waiting = 0;
    }

    /// Writes what is left. Gives how many events there are.
    ///
    /// # Errors
    /// Something could not be written; the text says how many events are there.
    pub fn finish(&mut self) -> Result<u64, String> {
        if !self.pending.is_empty() {
            self.write();
        }
        match &self.failed {
            None => Ok(self.events),
            Some(error) => {
                let (path, kept, lost) = (self.path.display(), self.events, self.lost);
                let reason = error.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default();
                Err(format!("{path}: {reason}; {kept} events are there, {lost} are not"))
            }
        }
    }
}

/// What the events of a probe are called in a file, and the type of their programs.
pub fn name(probe: &Probe) -> Option<(String, ProgType)> {
    Some(match probe {
        Probe::Tracepoint { category, event } => {
            (format!("tracepoint:{category}:{event}"), ProgType::Tracepoint)
        }
        Probe::RawTracepoint { event, .. } => {
            (format!("rawtracepoint:{event}"), ProgType::RawTracepoint)
        }
        Probe::Uprobe { path, function, offset, ret } => {
            let provider = if *ret { "uretprobe" } else { "uprobe" };
            (format!("{provider}:{path}:{function}+{offset}"), ProgType::Kprobe)
        }
        _ => return None,
    })
}

fn record_of(attach: &str, kind: ProgType, event: &Event) -> EventRecord {
    let world = event.world.clone().unwrap_or_default();
    EventRecord {
        prog_type: Some(kind),
        attach: attach.to_owned(),
        context: event.context.clone(),
        data: event.data.clone(),
        socket: event.socket.clone(),
        memory: world.memory.into_iter().map(|of| (of.address, of.bytes)).collect(),
        time: event.time,
        cpu: event.cpu,
        task: world.task.as_ref().map(task_of),
        stacks: [world.kernel_stack, world.user_stack],
        cookie: event.cookie,
        function: event.function,
    }
}

fn task_of(task: &Task) -> EventTask {
    let text = |comm: &[u8; 16]| {
        let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
        String::from_utf8_lossy(&comm[..end]).into_owned()
    };
    EventTask {
        pid: task.pid,
        tgid: task.tgid,
        uid: task.uid,
        gid: task.gid,
        comm: text(&task.comm),
        cgroups: task.cgroups.clone(),
        parent: (task.parent != (0, [0; 16])).then(|| (task.parent.0, text(&task.parent.1))),
    }
}
