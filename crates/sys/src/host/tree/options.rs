//! What of which calls is wanted, and how the agent has to treat them.

use std::path::Path;

use super::layout::{CALLS, CAPTURE, CLONE, ENTER, EXIT, ROWS_EACH, Row, SIGRETURN, SPECIAL, form};

use super::probes::{Watch, Wish};

/// What is recorded of system calls.
#[derive(Clone, Debug)]
pub struct Options {
    wanted: Vec<u8>,
    rows: Vec<Row>,
    wishes: Vec<Wish>,
}

/// Memory behind an argument, captured when the call begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capture {
    /// A text that ends with a zero byte: so many bytes at most.
    Text(usize),
    /// As many bytes as another argument says, so many at most.
    Bytes {
        /// The argument that holds the length, from 0.
        length: u8,
        /// The most.
        most: usize,
    },
    /// So many bytes.
    Fixed(usize),
    /// A list of pointers to texts that ends with a null pointer (`argv`): so many texts, of
    /// 128 bytes at most each.
    List(usize),
}

impl Capture {
    /// The row of the table. Lengths are in units of 64 bytes, up to 8 KiB.
    fn row(self, argument: u8) -> Row {
        let units = |bytes: usize| (bytes.div_ceil(64)).min(127) as u16;
        let (form, length, most) = match self {
            Capture::Text(most) => (form::TEXT, 0, units(most)),
            Capture::Bytes { length, most } => (form::BYTES, u16::from(length % 6), units(most)),
            Capture::Fixed(len) => (form::FIXED, 0, units(len)),
            Capture::List(count) => (form::LIST, 0, units(count * super::layout::ITEM)),
        };
        u16::from(argument % 6) | form << 3 | length << 6 | most << 9
    }
}

/// Calls about which the agent has to do something (`agent/special.rs`), by number.
const SPECIAL_CALLS: [i64; 15] = [
    libc::SYS_munmap,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_rt_sigsuspend,
    libc::SYS_prctl,
    libc::SYS_arch_prctl,
    libc::SYS_pselect6,
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_seccomp,
    // They do not return: their record must be out before.
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Those that may return twice.
const CLONE_CALLS: [i64; 4] = [libc::SYS_clone, libc::SYS_fork, libc::SYS_vfork, libc::SYS_clone3];

impl Default for Options {
    /// All calls, when they begin and when they end.
    fn default() -> Options {
        let mut options = Options::none();
        options.wanted.iter_mut().for_each(|wanted| *wanted |= ENTER | EXIT);
        options
    }
}

impl Options {
    /// No call: only what becomes of processes.
    pub fn none() -> Options {
        let mut wanted = vec![0; CALLS];
        let mut class = |calls: &[i64], class: u8| {
            for &call in calls {
                wanted[call as usize] |= class;
            }
        };
        class(&SPECIAL_CALLS, SPECIAL);
        class(&CLONE_CALLS, CLONE);
        class(&[libc::SYS_rt_sigreturn], SIGRETURN);
        Options { wanted, rows: vec![0; CALLS * ROWS_EACH], wishes: Vec::new() }
    }

    /// Has a call recorded when it begins, and when it ends.
    #[must_use]
    pub fn call(mut self, number: u32, enter: bool, exit: bool) -> Options {
        if let Some(wanted) = self.wanted.get_mut(number as usize) {
            *wanted &= !(ENTER | EXIT);
            *wanted |= (u8::from(enter) * ENTER) | (u8::from(exit) * EXIT);
        }
        self
    }

    /// Has memory behind an argument (from 0) captured when a call begins. A call has room for
    /// four; of clone, fork and rt_sigreturn none is captured.
    #[must_use]
    pub fn capture(mut self, number: u32, argument: u8, what: Capture) -> Options {
        let number = number as usize;
        let Some(wanted) = self.wanted.get_mut(number) else {
            return self;
        };
        let rows = &mut self.rows[number * ROWS_EACH..][..ROWS_EACH];
        let row = what.row(argument);
        let there = rows.iter().position(|&known| known == 0 || known & 7 == row & 7);
        if *wanted & (CLONE | SIGRETURN) == 0
            && let Some(place) = there
        {
            *wanted |= ENTER | CAPTURE;
            rows[place] = row;
        }
        self
    }

    /// Has captured what programs that look at a call mostly look at: texts, lists of texts, the
    /// beginnings of buffers, by a table of calls.
    #[must_use]
    pub fn captured(self, number: u32) -> Options {
        super::captures::of(number)
            .fold(self, |options, (argument, what)| options.capture(number, argument, what))
    }

    /// Has a function probed: calls and returns of the instruction at this offset of a program
    /// or library, which is found wherever the tree maps the file. Gives the number by which
    /// [`Called`](super::Called) names it.
    pub fn function(&mut self, file: &Path, offset: u64, watch: Watch) -> u32 {
        // The text of libraries is mapped by this.
        self.wanted[libc::SYS_mmap as usize] |= SPECIAL;
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let known = self.wishes.iter_mut().position(|of| of.offset == offset && of.file == file);
        if let Some(known) = known {
            self.wishes[known].watch = self.wishes[known].watch.and(watch);
            return known as u32;
        }
        self.wishes.push(Wish { file, offset, watch });
        self.wishes.len() as u32 - 1
    }

    pub(super) fn wishes(&self) -> &[Wish] {
        &self.wishes
    }

    pub(super) fn begins(&self, number: u32) -> bool {
        self.wanted.get(number as usize).is_some_and(|wanted| wanted & ENTER != 0)
    }

    pub(super) fn captures(&self, number: u32) -> bool {
        self.wanted.get(number as usize).is_some_and(|wanted| wanted & CAPTURE != 0)
    }

    pub(super) fn tables(&self) -> (&[u8], &[Row]) {
        (&self.wanted, &self.rows)
    }
}
