//! What a command did, and the policy that lets it do that.

use std::collections::{BTreeMap, BTreeSet};

use skep_lang::seccomp::{Action, Arch, Call, Condition, Data, Environment, Op, Policy, Rule};

/// Calls that do many things, with the arguments that choose; they are `int`s, of which
/// Linux looks at the lower half.
const CHOOSERS: [(&str, &[u8]); 22] = [
    ("arch_prctl", &[0]),
    ("bpf", &[0]),
    ("clone", &[0]),
    ("fcntl", &[1]),
    ("fcntl64", &[1]),
    ("fsconfig", &[1]),
    ("getsockopt", &[1, 2]),
    ("io_uring_register", &[1]),
    ("ioctl", &[1]),
    ("keyctl", &[0]),
    ("madvise", &[2]),
    ("mmap", &[2]),
    ("mprotect", &[2]),
    ("personality", &[0]),
    ("prctl", &[0]),
    ("ptrace", &[0]),
    ("seccomp", &[0]),
    ("setns", &[1]),
    ("setsockopt", &[1, 2]),
    ("socket", &[0, 1, 2]),
    ("socketpair", &[0, 1, 2]),
    ("unshare", &[0]),
];
/// More different choices than these are no choices.
const MAX_CHOICES: usize = 32;
const LOW: u64 = 0xffff_ffff;

/// Calls that a program makes without meaning to.
const ALWAYS: [&str; 3] = ["rt_sigreturn", "restart_syscall", "exit_group"];

/// A policy that asks about everything.
pub fn watching() -> Policy {
    let mut policy = Policy::new(Action::Notify);
    policy.bad_arch = Action::Notify;
    policy
}

/// Arguments that choose, by their places.
type Choice = Vec<(u8, u64)>;

/// Calls with the arguments that choose.
pub struct Record {
    with_args: bool,
    calls: BTreeMap<(Arch, u32), BTreeSet<Choice>>,
    /// Other architectures than are known.
    others: usize,
}

impl Record {
    /// An empty one.
    pub fn new(with_args: bool) -> Record {
        Record { with_args, calls: BTreeMap::new(), others: 0 }
    }

    /// Adds a call.
    pub fn add(&mut self, data: &Data) {
        let mut arches = Arch::all().filter(|arch| arch.audit() == data.arch);
        let Some(arch) = arches.find(|arch| arch.is_own(data.nr)) else {
            self.others += 1;
            return;
        };
        let name = arch.call(data.nr).unwrap_or_default();
        let chooser = CHOOSERS.iter().find(|row| row.0 == name && self.with_args);
        let value = |&arg: &u8| (arg, data.args[usize::from(arg)] & LOW);
        let choice = chooser.map_or(Vec::new(), |row| row.1.iter().map(value).collect());
        self.calls.entry((arch, data.nr)).or_default().insert(choice);
    }

    /// How many different calls there are.
    pub fn len(&self) -> usize {
        self.calls.len() + self.others
    }

    /// The policy that allows them.
    pub fn policy(&self) -> Policy {
        let mut policy = Policy::new(Action::Errno(1));
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        policy.kernel = Environment::version(release.trim());
        let mut push = |call: Call, conditions: Vec<Condition>| {
            let rule =
                Rule { call, action: Action::Allow, conditions, place: "learned".to_owned() };
            if !policy.rules.contains(&rule) {
                policy.rules.push(rule);
            }
        };
        for name in ALWAYS {
            push(Call::Name(name.into()), Vec::new());
        }
        let mut arches = vec![Arch::native()];
        for (&(arch, nr), choices) in &self.calls {
            if !arches.contains(&arch) {
                arches.push(arch);
            }
            let call = arch.call(nr).map_or(Call::Number(nr), |name| Call::Name(name.into()));
            if choices.len() > MAX_CHOICES {
                push(call, Vec::new());
                continue;
            }
            for choice in choices {
                let equal = |&(arg, value)| Condition { arg, op: Op::MaskedEq(LOW), value };
                push(call.clone(), choice.iter().map(equal).collect());
            }
        }
        // Calls without conditions stand together.
        policy.rules.sort_by(|one, other| {
            one.conditions.is_empty().cmp(&other.conditions.is_empty()).reverse()
        });
        policy.arches = arches;
        policy
    }
}
