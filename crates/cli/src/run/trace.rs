//! What programs print in Linux: their lines come out of a trace instance of our own, so
//! that nobody else's are seen and nobody misses any. The instance takes the event
//! `bpf_trace_printk` of this thread only, on which TEST_RUN runs programs, and goes away
//! with us. Where tracefs is not mounted, it is mounted for this process alone: without a
//! place in the file system, by nothing but a descriptor.
//!
//! Counterpart: `kernel/trace/bpf_trace.h`, `Documentation/trace/ftrace.rst`.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::records::Printed;

/// Where tracefs is mounted, as a rule.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Kilobytes of the buffer of a CPU: it is emptied after each packet.
const BUFFER: &str = "512";

/// What stands between a line's head and its text.
const EVENT: &str = ": bpf_trace_printk: ";

/// Helpers that print: `bpf_trace_printk`, `bpf_trace_vprintk`.
pub const HELPERS: [i32; 2] = [6, 177];

/// A trace instance, and its lines so far.
pub struct Trace {
    tracefs: OwnedFd,
    name: String,
    /// Closed before the instance is removed.
    pipe: Option<File>,
    thread: String,
    /// What was read and is not yet a whole message.
    text: Vec<u8>,
    /// Messages that the buffer had no room for.
    pub lost: u64,
}

impl Trace {
    /// Makes an instance for the thread that calls this.
    ///
    /// # Errors
    /// No permission, or a kernel without tracefs, with what could not be done.
    pub fn new() -> io::Result<Trace> {
        if in_pid_namespace() {
            let error = "threads have other numbers in this pid namespace than in the trace";
            return Err(io::Error::new(ErrorKind::Unsupported, error));
        }
        let tracefs = tracefs()?;
        let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
        remove_stale(&tracefs, &thread);
        let name = format!("instances/skep-{thread}");
        mkdirat(&tracefs, &name, Mode::from_raw_mode(0o700))
            .map_err(|error| failed("making a trace instance", error.into()))?;
        let mut trace = Trace { tracefs, name, pipe: None, thread, text: Vec::new(), lost: 0 };
        trace.set("buffer_size_kb", BUFFER)?;
        trace.set("set_event_pid", &trace.thread)?;
        trace.set("events/bpf_trace/bpf_trace_printk/enable", "1")?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe =
            openat(&trace.tracefs, format!("{}/trace_pipe", trace.name), flags, Mode::empty());
        trace.pipe = Some(pipe.map_err(|error| failed("opening trace_pipe", error.into()))?.into());
        Ok(trace)
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
        let path = format!("{}/{file}", self.name);
        let set = openat(&self.tracefs, path, flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|file| File::from(file).write_all(value.as_bytes()));
        set.map_err(|error| failed(&format!("setting {file}"), error))
    }

    /// Takes the messages of the runs so far.
    pub fn drain(&mut self, printed: &mut Printed) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut bytes = [0; 1 << 14];
        loop {
            match pipe.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => self.text.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let text = std::mem::take(&mut self.text);
        let (messages, lost) = messages(&String::from_utf8_lossy(&text), &self.thread);
        self.lost += lost;
        messages.iter().for_each(|message| printed.add(message));
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = unlinkat(&self.tracefs, &self.name, AtFlags::REMOVEDIR);
    }
}

/// Removes the instances of runs that could not do so themselves: their threads are gone, or
/// had the number that this one (`own`) has now.
fn remove_stale(tracefs: &OwnedFd, own: &str) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(instances) = openat(tracefs, "instances", flags, Mode::empty()) else { return };
    let Ok(entries) = rustix::fs::Dir::read_from(&instances) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let lives = |thread: &str| {
            thread != own && std::path::Path::new(&format!("/proc/{thread}")).exists()
        };
        if is_stale(&name.to_string_lossy(), lives) {
            // Somebody else may have been faster, or may be reading it.
            let _ = unlinkat(&instances, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Whether an instance is one of ours whose thread does not live any more.
fn is_stale(name: &str, lives: impl Fn(&str) -> bool) -> bool {
    let thread = name.strip_prefix("skep-").filter(|thread| thread.parse::<u32>().is_ok());
    thread.is_some_and(|thread| !lives(thread))
}

/// Whether this process lives in a pid namespace below the machine's first.
fn in_pid_namespace() -> bool {
    // PROC_PID_INIT_INO
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|own| own.as_os_str() != FIRST)
}

/// The tracefs that is mounted, or one of our own.
fn tracefs() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for place in PLACES {
        let folder = openat(CWD, place, flags, Mode::empty());
        if let Ok(folder) = folder
            && openat(&folder, "instances", flags, Mode::empty()).is_ok()
        {
            return Ok(folder);
        }
    }
    let mounted = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|context| {
        fsconfig_create(context.as_fd())?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    });
    mounted.map_err(|error| failed("tracefs is not mounted, and mounting it", error.into()))
}

fn failed(doing: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} failed: {error}"))
}

/// The messages of a text as `trace_pipe` gives it, and how many it says were lost. A
/// message may have several lines, of which the first has a head:
/// `            skep-1234    [000] b..1.  2345.678901: bpf_trace_printk: text`.
fn messages(text: &str, thread: &str) -> (Vec<String>, u64) {
    let mut messages: Vec<String> = Vec::new();
    let mut lost = 0;
    for line in text.lines() {
        if let Some(count) = lost_events(line) {
            lost += count;
        } else if let Some(text) = first_line(line, thread) {
            messages.push(text.to_owned());
        } else if let Some(message) = messages.last_mut() {
            message.push('\n');
            message.push_str(line);
        }
    }
    (messages, lost)
}

/// The text behind the head of a thread's line.
fn first_line<'a>(line: &'a str, thread: &str) -> Option<&'a str> {
    let (head, text) = line.split_once(EVENT)?;
    // In front of it stands the thread's name, which may be anything.
    let (_, rest) = head.split_once(&format!("-{thread} "))?;
    rest.trim_start().starts_with('[').then_some(text)
}

/// `CPU:1 [LOST 12 EVENTS]`.
fn lost_events(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("CPU:")?.split_once(" [LOST ")?;
    rest.strip_suffix(" EVENTS]")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_instances_of_dead_threads_are_stale() {
        let lives = |thread: &str| thread == "77";
        assert!(is_stale("skep-78", lives));
        for name in ["skep-77", "skep-", "skep-x", "other-78", "foo"] {
            assert!(!is_stale(name, lives), "{name}");
        }
    }

    #[test]
    fn messages_of_several_lines_stay_together_and_those_of_others_stay_out() {
        let text = "            skep-77      [001] b..1.   123.456789: bpf_trace_printk: one\n\
                    <...>-77 [000] d.h1 1.000000: bpf_trace_printk: two: bpf_trace_printk: x\n\
                    and its second line\n\n\
                    CPU:1 [LOST 12 EVENTS]\n\
                    a -77 name-770 [000] ..... 1.0: bpf_trace_printk: not ours\n";
        let (found, lost) = messages(text, "77");
        assert_eq!(found[0], "one");
        assert_eq!(found[1].trim_end(), "two: bpf_trace_printk: x\nand its second line\n\na -77 name-770 [000] ..... 1.0: bpf_trace_printk: not ours".trim_end());
        assert_eq!((found.len(), lost), (2, 12));
    }
}
