//! A policy as plain data: rules for calls, and what holds for the others.

use skep_abi::limits::MAX_ERRNO;
use std::fmt;

use skep_abi::{Errno, Version};

use super::arch::Arch;

/// Most arguments of a call.
pub const ARGS: usize = 6;

/// What happens to a call (`SECCOMP_RET_*`), the strictest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// The process dies of `SIGSYS`.
    KillProcess,
    /// The thread does.
    KillThread,
    /// The thread gets `SIGSYS`, with this number in `si_errno`.
    Trap(u16),
    /// The call fails with this error number; 0 makes it succeed with 0.
    Errno(u16),
    /// A supervisor answers.
    Notify,
    /// A tracer decides; it sees this number. Without one, `ENOSYS`.
    Trace(u16),
    /// The call is made and logged.
    Log,
    /// The call is made.
    Allow,
}

/// Actions without their data, with the upper half of what a filter returns.
const VALUES: [(u32, Action); 8] = [
    (0x8000_0000, Action::KillProcess),
    (0x0000_0000, Action::KillThread),
    (0x0003_0000, Action::Trap(0)),
    (0x0005_0000, Action::Errno(0)),
    (0x7fc0_0000, Action::Notify),
    (0x7ff0_0000, Action::Trace(0)),
    (0x7ffc_0000, Action::Log),
    (0x7fff_0000, Action::Allow),
];

impl Action {
    /// What a filter returns for it.
    pub fn value(self) -> u32 {
        let (plain, data) = self.parts();
        VALUES.iter().find(|row| row.1 == plain).map_or(0, |row| row.0) | u32::from(data)
    }

    /// What Linux does for what a filter returns: a value without meaning kills the
    /// process, and error numbers end at 4095.
    pub fn from_value(value: u32) -> Action {
        let row = VALUES.iter().find(|row| row.0 == value & 0xffff_0000);
        match row.map_or(Action::KillProcess, |row| row.1) {
            Action::Errno(_) => Action::Errno((value as u16).min(MAX_ERRNO)),
            Action::Trap(_) => Action::Trap(value as u16),
            Action::Trace(_) => Action::Trace(value as u16),
            plain => plain,
        }
    }

    /// Without its number, and the number.
    pub fn parts(self) -> (Action, u16) {
        match self {
            Action::Trap(data) => (Action::Trap(0), data),
            Action::Errno(data) => (Action::Errno(0), data),
            Action::Trace(data) => (Action::Trace(0), data),
            plain => (plain, 0),
        }
    }

    /// Its name in the kernel's list (`/proc/sys/kernel/seccomp/actions_avail`).
    pub fn name(self) -> &'static str {
        match self {
            Action::KillProcess => "kill_process",
            Action::KillThread => "kill_thread",
            Action::Trap(_) => "trap",
            Action::Errno(_) => "errno",
            Action::Notify => "user_notif",
            Action::Trace(_) => "trace",
            Action::Log => "log",
            Action::Allow => "allow",
        }
    }

    /// Reads `allow`, `kill`, `errno(EPERM)`, `trap(5)`, with or without `SCMP_ACT_`; in
    /// any case of letters.
    pub fn of_text(text: &str) -> Option<Action> {
        let lower = text.trim().to_ascii_lowercase();
        let lower = lower.strip_prefix("scmp_act_").unwrap_or(&lower);
        let (name, data) = match lower.split_once('(') {
            Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')')?.trim())),
            None => (lower, None),
        };
        let plain = match name {
            "kill" | "kill_thread" => Action::KillThread,
            "kill_process" => Action::KillProcess,
            "trap" => Action::Trap(0),
            "errno" => Action::Errno(Errno::EPERM.0 as u16),
            "notify" | "user_notif" => Action::Notify,
            "trace" => Action::Trace(0),
            "log" => Action::Log,
            "allow" => Action::Allow,
            _ => return None,
        };
        match data {
            Some(data) => plain.with(number(data)?),
            None => Some(plain),
        }
    }

    /// The same with a number; `None` where it takes none, or not this one.
    pub fn with(self, data: u16) -> Option<Action> {
        match self {
            Action::Trap(_) => Some(Action::Trap(data)),
            Action::Errno(_) => (data <= MAX_ERRNO).then_some(Action::Errno(data)),
            Action::Trace(_) => Some(Action::Trace(data)),
            _ => None,
        }
    }
}

/// An error's name or number.
pub(super) fn number(text: &str) -> Option<u16> {
    match Errno::of_name(&text.to_ascii_uppercase()) {
        Some(errno) => Some(errno.0 as u16),
        None => u16::try_from(integer(text)?).ok(),
    }
}

/// A number: decimal, `0x`, `0o` or `0b`.
pub(super) fn integer(text: &str) -> Option<u64> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok();
    // `from_str_radix` takes a sign.
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains('+') {
        return None;
    }
    match text.get(..2).unwrap_or_default() {
        "0x" | "0X" => radix(&text[2..], 16),
        "0o" => radix(&text[2..], 8),
        "0b" => radix(&text[2..], 2),
        _ => radix(text, 10),
    }
}

/// `errno(EPERM)`, `allow`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Action::Errno(data) => match Errno(data.into()).name() {
                Some(name) => write!(f, "errno({name})"),
                None => write!(f, "errno({data})"),
            },
            Action::Trap(data @ 1..) => write!(f, "trap({data})"),
            Action::Trace(data) => write!(f, "trace({data})"),
            Action::Notify => f.write_str("notify"),
            plain => f.write_str(plain.name()),
        }
    }
}

/// How an argument is compared, unsigned, on all of its 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Op {
    Ne,
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    /// Equal in the bits of a mask.
    MaskedEq(u64),
}

impl Op {
    /// Its name in libseccomp's constants, behind `SCMP_CMP_`.
    pub fn name(self) -> &'static str {
        match self {
            Op::Ne => "NE",
            Op::Lt => "LT",
            Op::Le => "LE",
            Op::Eq => "EQ",
            Op::Ge => "GE",
            Op::Gt => "GT",
            Op::MaskedEq(_) => "MASKED_EQ",
        }
    }

    /// As expressions write it.
    pub fn symbol(self) -> &'static str {
        match self {
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Eq | Op::MaskedEq(_) => "==",
            Op::Ge => ">=",
            Op::Gt => ">",
        }
    }
}

/// A comparison of an argument.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub arg: u8,
    /// How.
    pub op: Op,
    /// With what.
    pub value: u64,
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self, args: &[u64; ARGS]) -> bool {
        let arg = args[usize::from(self.arg) % ARGS];
        match self.op {
            Op::Ne => arg != self.value,
            Op::Lt => arg < self.value,
            Op::Le => arg <= self.value,
            Op::Eq => arg == self.value,
            Op::Ge => arg >= self.value,
            Op::Gt => arg > self.value,
            Op::MaskedEq(mask) => arg & mask == self.value & mask,
        }
    }

    /// Whether it follows from another one of the same argument; says no where that takes
    /// more than looking at both.
    pub fn follows_from(&self, other: &Condition) -> bool {
        if self.arg != other.arg || self == other {
            return self == other;
        }
        let (Some(mine), Some(theirs)) = (self.range(), other.range()) else {
            // A single value can be tried.
            let only = other.range().filter(|range| range.0 == range.1);
            return only.is_some_and(|(value, _)| self.holds(&[value; ARGS]));
        };
        mine.0 <= theirs.0 && theirs.1 <= mine.1
    }

    /// The values that it takes, where they are a range; none at all is no range.
    fn range(&self) -> Option<(u64, u64)> {
        let value = self.value;
        match self.op {
            Op::Lt => Some((0, value.checked_sub(1)?)),
            Op::Le => Some((0, value)),
            Op::Eq => Some((value, value)),
            Op::Ge => Some((value, u64::MAX)),
            Op::Gt => Some((value.checked_add(1)?, u64::MAX)),
            Op::Ne | Op::MaskedEq(_) => None,
        }
    }
}

/// `arg2 == 0x1`, `arg0 & 0x7e020000 == 0`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { arg, op, value } = self;
        match op {
            Op::MaskedEq(mask) => write!(f, "arg{arg} & {mask:#x} == {value:#x}"),
            op => write!(f, "arg{arg} {} {value:#x}", op.symbol()),
        }
    }
}

/// Which call a rule is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Call {
    /// By name; means nothing on architectures that have no such call.
    Name(String),
    /// By number, the same on every architecture.
    Number(u32),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Name(name) => f.write_str(name),
            Call::Number(number) => write!(f, "{}", *number as i32),
        }
    }
}

/// What happens to a call all of whose conditions hold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// The call.
    pub call: Call,
    /// What happens.
    pub action: Action,
    /// When; always where there are none.
    pub conditions: Vec<Condition>,
    /// Where it stands: `syscalls[3]`, `line 7`.
    pub place: String,
}

/// How a filter is installed (`SECCOMP_FILTER_FLAG_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// For all threads of the process.
    pub tsync: bool,
    /// Log what is not allowed.
    pub log: bool,
    /// Without the mitigation of speculative store bypass.
    pub spec_allow: bool,
    /// A call whose notification was read is only ended by fatal signals.
    pub wait_killable: bool,
}

/// Flags with their names.
type FlagRow = (&'static str, fn(&mut Flags) -> &mut bool);

const FLAGS: [FlagRow; 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", |flags| &mut flags.tsync),
    ("SECCOMP_FILTER_FLAG_LOG", |flags| &mut flags.log),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", |flags| &mut flags.spec_allow),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", |flags| &mut flags.wait_killable),
];

impl Flags {
    /// Sets one by its name; gives whether there is such a flag.
    pub fn set(&mut self, name: &str) -> bool {
        let row = FLAGS.iter().find(|row| row.0 == name);
        row.inspect(|row| *row.1(self) = true).is_some()
    }

    /// The names of those that are set.
    pub fn names(mut self) -> Vec<&'static str> {
        FLAGS.iter().filter(|row| *row.1(&mut self)).map(|row| row.0).collect()
    }
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// What happens to calls that no rule takes.
    pub default: Action,
    /// What happens to calls of architectures that are not listed.
    pub bad_arch: Action,
    /// The architectures, at least one, all of one byte order.
    pub arches: Vec<Arch>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// The kernel that it was written for: calls that are newer fail with `ENOSYS`, unless
    /// a rule takes them or the default lets them through.
    pub kernel: Option<Version>,
    /// How it is installed.
    pub flags: Flags,
}

impl Policy {
    /// No rules, for the machine's own architecture.
    pub fn new(default: Action) -> Policy {
        Policy {
            default,
            bad_arch: Action::KillProcess,
            arches: vec![Arch::native()],
            rules: Vec::new(),
            kernel: None,
            flags: Flags::default(),
        }
    }

    /// Whether any call waits for a supervisor.
    pub fn notifies(&self) -> bool {
        let actions = self.rules.iter().map(|rule| rule.action);
        actions.chain([self.default, self.bad_arch]).any(|action| action == Action::Notify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_what_linux_reads() {
        for (value, action) in VALUES {
            assert_eq!(action.value(), value);
            assert_eq!(Action::from_value(value), action);
            assert_eq!(Action::of_text(&action.to_string()), Some(action), "{action}");
        }
        assert_eq!(Action::Errno(38).value(), 0x0005_0026);
        assert_eq!(Action::from_value(0x0005_ffff), Action::Errno(4095));
        assert_eq!(Action::from_value(0x1234_0000), Action::KillProcess);
        assert_eq!(Action::from_value(0x7fff_0001), Action::Allow);
        assert_eq!(Action::of_text("SCMP_ACT_KILL"), Some(Action::KillThread));
        assert_eq!(Action::of_text("errno(enosys)"), Some(Action::Errno(38)));
        assert_eq!(Action::of_text("errno(4096)"), None);
        assert_eq!(Action::of_text("allow(1)"), None);
    }

    #[test]
    fn what_follows_does() {
        let values = [0, 1, 5, 6, u64::MAX];
        let ops = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt, Op::MaskedEq(4)];
        let all = |of: u64| ops.map(|op| Condition { arg: 0, op, value: of });
        let conditions: Vec<Condition> = values.into_iter().flat_map(all).collect();
        let mut followed = 0;
        for one in &conditions {
            for other in conditions.iter().filter(|other| one.follows_from(other)) {
                followed += 1;
                for value in [0, 1, 2, 4, 5, 6, 7, u64::MAX - 1, u64::MAX] {
                    let args = [value; ARGS];
                    assert!(!other.holds(&args) || one.holds(&args), "{other} -> {one}");
                }
            }
        }
        assert!(followed > 100);
    }
}
