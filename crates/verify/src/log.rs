//! The verifier's log: text in Linux's format, at its levels. Counterpart:
//! `kernel/bpf/log.c`.

use std::fmt::{self, Write};

/// What a verification leaves to read.
#[derive(Clone, Debug, Default)]
pub struct Log {
    level: u32,
    text: String,
    /// Bytes that were dropped from the front.
    dropped: usize,
    limit: usize,
}

/// Bits of the level.
impl Log {
    /// States at branches.
    pub const LEVEL1: u32 = 1;
    /// Every instruction and every path.
    pub const LEVEL2: u32 = 2;
    /// Only the closing statistics.
    pub const STATS: u32 = 4;

    /// A log that keeps nothing.
    pub fn silent() -> Log {
        Log::default()
    }

    /// A log of this level (bits), which keeps the last 64 MiB.
    pub fn new(level: u32) -> Log {
        Log { level, text: String::new(), dropped: 0, limit: 64 << 20 }
    }

    /// What was logged.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_on(&self) -> bool {
        self.level != 0
    }

    /// Whether instructions and states are wanted.
    pub(crate) fn is_verbose(&self) -> bool {
        self.level & (Log::LEVEL1 | Log::LEVEL2) != 0
    }

    /// Whether every path is to stay in it.
    pub(crate) fn is_full(&self) -> bool {
        self.level & Log::LEVEL2 != 0
    }

    pub(crate) fn wants_stats(&self) -> bool {
        self.level & Log::STATS != 0
    }

    pub(crate) fn position(&self) -> usize {
        self.dropped + self.text.len()
    }

    /// Forgets what was logged after this position.
    pub(crate) fn rewind(&mut self, position: usize) {
        self.text.truncate(position.saturating_sub(self.dropped));
        self.dropped = self.dropped.min(position);
    }

    /// Ends a line that was begun, so that what comes next stands alone.
    pub(crate) fn end_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    pub(crate) fn write(&mut self, arguments: fmt::Arguments<'_>) {
        if self.level == 0 {
            return;
        }
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(arguments);
        if self.text.len() > self.limit {
            let mut cut = self.text.len() - self.limit / 2;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.text.drain(..cut);
            self.dropped += cut;
        }
    }
}

/// Writes to a log, unless it is silent.
macro_rules! say {
    ($log:expr, $($what:tt)+) => {
        if $log.is_on() {
            $log.write(format_args!($($what)+));
        }
    };
}

pub(crate) use say;

/// The line of a log that tells why the program was refused: the last one that is
/// not a state, an instruction, a source line, a note on precision, or statistics.
/// For Linux's logs and for our own.
pub fn message(log: &str) -> &str {
    log.lines().rev().find(|line| is_message(line)).unwrap_or("")
}

fn is_message(line: &str) -> bool {
    let line = line.trim_end();
    if line.is_empty() {
        return false;
    }
    let statistics = ["processed ", "verification time ", "stack depth "];
    let notes = [
        "; ",
        "from ",
        "mark_precise: ",
        "caller:",
        "callee:",
        "returning from callee:",
        "to caller at ",
        "cur state:",
        "old state:",
        " frame",
        "arg#0 reference type(",
        "Func#",
        "Validating ",
        "func#",
        "Live regs before insn:",
        "force_precise: ",
        "SCC ",
        "propagating ",
    ];
    if statistics.iter().chain(&notes).any(|start| line.starts_with(start)) {
        return false;
    }
    // `frame 0: ...`, but not `frame pointer is read only`.
    let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    if line.strip_prefix("frame ").is_some_and(numbered) {
        return false;
    }
    if line.starts_with('R') && line.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
        // A dumped register (`R1=ctx()`), not a sentence about one.
        return !line[1..].trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('=');
    }
    if line.starts_with(" R") && line.contains('=') && line.as_bytes()[2].is_ascii_digit() {
        return false;
    }
    if line.starts_with('(') && line.contains(") live stack update done") {
        return false;
    }
    if line.starts_with('(') && line.contains(") frame ") {
        return false;
    }
    // `12: (b7) r0 = 0`, `12: R0=0`, `12: safe`, and indented live registers.
    let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let numbered = rest.len() < line.trim_start().len() && rest.starts_with(':');
    if numbered {
        let rest = &rest[1..];
        return !(rest.is_empty()
            || rest.starts_with(" (")
            || rest.starts_with(" R")
            || rest.starts_with(" safe")
            || rest.starts_with(" frame")
            || rest.starts_with(" fp")
            || rest.starts_with(" refs")
            || rest.starts_with(" ."))
            && !rest.trim_start().starts_with(|c: char| c == '.' || c.is_ascii_digit());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_the_line_before_the_statistics() {
        let log = "0: R1=ctx() R10=fp0\n0: (61) r0 = *(u32 *)(r1 +0)\n\
                   R1 invalid mem access 'scalar'\nprocessed 1 insns (limit 1000000) x\n";
        assert_eq!(message(log), "R1 invalid mem access 'scalar'");
    }

    #[test]
    fn a_sentence_about_frames_is_a_message() {
        assert_eq!(
            message("0: R1=ctx()\nframe pointer is read only\n"),
            "frame pointer is read only"
        );
        assert_eq!(message("div by zero\nframe 0: regs=r1\n"), "div by zero");
    }

    #[test]
    fn states_after_an_infinite_loop_are_no_message() {
        let log = "infinite loop detected at insn 1\ncur state: R1=ctx() R10=fp0\n\
                   old state: R1=ctx() R10=fp0\nprocessed 2 insns\n";
        assert_eq!(message(log), "infinite loop detected at insn 1");
    }

    #[test]
    fn rewinding_forgets_a_path() {
        let mut log = Log::new(Log::LEVEL1);
        say!(log, "a");
        let here = log.position();
        say!(log, "b");
        log.rewind(here);
        assert_eq!(log.text(), "a");
    }
}
