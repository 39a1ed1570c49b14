//! What a policy says, call by call: for each architecture the ranges of numbers that are
//! decided alike, and the rules of those that depend on arguments. This is what a policy
//! *means*; compiler and prover start here.
//!
//! **Which rule decides.** Of the rules for a call whose conditions all hold, the one with
//! the strictest action. Among those with the same action (errno with two numbers): the
//! narrower one, whose conditions imply those of the other; else the one that stands
//! first.

use std::collections::{BTreeMap, BinaryHeap};

use skep_abi::Version;

use super::arch::{Arch, X32_BIT, since};
use super::multiplex;
use super::policy::{ARGS, Action, Call, Condition, Policy, Rule};

/// Most rules for one call.
pub const MAX_RULES: usize = 4096;

/// Why a policy has no meaning.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// No architecture is listed.
    #[error("the policy is for no architecture")]
    NoArch,
    /// Words of arguments would stand in two orders.
    #[error("{} and {} have different byte orders, which takes two filters", .0.name(), .1.name())]
    ByteOrders(Arch, Arch),
    /// More rules than are compared with each other.
    #[error("{call} has more than {MAX_RULES} rules")]
    TooManyRules {
        /// The call.
        call: String,
    },
}

/// A call as a filter sees it (`struct seccomp_data`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Data {
    /// Its number, with x32's bit.
    pub nr: u32,
    /// The architecture's audit value.
    pub arch: u32,
    /// Where it was made.
    pub ip: u64,
    /// Its arguments.
    pub args: [u64; ARGS],
}

/// Why a call is decided as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// By a rule, counted from 0.
    Rule(usize),
    /// No rule takes it.
    Default,
    /// It is newer than the kernel of the policy.
    Newer(Version),
    /// Its architecture is not listed.
    BadArch,
}

/// What happens to a call, and why.
pub type Decision = (Action, Reason);

/// A rule as it holds on one architecture.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Bound {
    pub rule: usize,
    pub action: Action,
    pub conditions: Vec<Condition>,
}

/// What decides a range of numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// In the order in which they are asked.
    pub rules: Vec<Bound>,
    /// Where none of them holds.
    pub otherwise: Decision,
}

impl Target {
    /// What happens whatever the arguments.
    fn fixed(decision: Decision) -> Target {
        Target { rules: Vec::new(), otherwise: decision }
    }

    pub fn decide(&self, args: &[u64; ARGS]) -> Decision {
        let holds = |bound: &&Bound| bound.conditions.iter().all(|condition| condition.holds(args));
        let found = self.rules.iter().find(holds);
        found.map_or(self.otherwise, |bound| (bound.action, Reason::Rule(bound.rule)))
    }
}

/// Numbers from here to the next span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub first: u32,
    /// How many calls are known in it.
    pub calls: u32,
    pub target: Target,
}

/// What is decided for one audit value; spans begin at 0.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub audit: u32,
    pub spans: Vec<Span>,
}

impl Section {
    pub fn target(&self, nr: u32) -> &Target {
        let behind = self.spans.partition_point(|span| span.first <= nr);
        &self.spans[behind.saturating_sub(1)].target
    }
}

/// A policy, call by call.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) sections: Vec<Section>,
    pub(super) bad_arch: Action,
    /// Whether lower halves of arguments stand first.
    pub(super) little: bool,
}

impl Plan {
    /// What a policy says.
    ///
    /// # Errors
    /// It is for no architecture, for two byte orders, or has too many rules for a call.
    pub fn new(policy: &Policy) -> Result<Plan, PlanError> {
        let first = *policy.arches.first().ok_or(PlanError::NoArch)?;
        let other = policy.arches.iter().find(|arch| arch.is_little() != first.is_little());
        if let Some(&other) = other {
            return Err(PlanError::ByteOrders(first, other));
        }
        let mut sections: Vec<Section> = Vec::new();
        for arch in &policy.arches {
            if !sections.iter().any(|section| section.audit == arch.audit()) {
                sections.push(section(policy, *arch)?);
            }
        }
        Ok(Plan { sections, bad_arch: policy.bad_arch, little: first.is_little() })
    }

    /// What happens to a call.
    pub fn decide(&self, data: &Data) -> Decision {
        let section = self.sections.iter().find(|section| section.audit == data.arch);
        match section {
            Some(section) => section.target(data.nr).decide(&data.args),
            None => (self.bad_arch, Reason::BadArch),
        }
    }

    /// The words of `seccomp_data` that hold the halves of an argument, upper one first.
    pub(super) fn halves(&self, arg: u8) -> [u8; 2] {
        let first = 4 + 2 * arg;
        if self.little { [first + 1, first] } else { [first, first + 1] }
    }
}

/// All that shares an audit value.
fn section(policy: &Policy, arch: Arch) -> Result<Section, PlanError> {
    let audit = arch.audit();
    let listed = |arch: &Arch| policy.arches.contains(arch);
    let mut spans = Vec::new();
    let bad = || Target::fixed((policy.bad_arch, Reason::BadArch));
    let wide = Arch::X86_64;
    if audit != wide.audit() {
        fill(&mut spans, policy, arch, 0, u32::MAX)?;
    } else {
        let (low, high) = (X32_BIT, X32_BIT | X32_BIT << 1);
        let ranges = [
            (wide, 0, low - 1),
            (Arch::X32, low, high - 1),
            // Linux takes the upper bit for part of a number that no call has.
            (wide, high, high | (X32_BIT - 1)),
            (Arch::X32, high | X32_BIT, u32::MAX - 1),
            (if listed(&wide) { wide } else { Arch::X32 }, u32::MAX, u32::MAX),
        ];
        for (arch, first, last) in ranges {
            match listed(&arch) {
                true => fill(&mut spans, policy, arch, first, last)?,
                false => spans.push(Span { first, calls: 0, target: bad() }),
            }
        }
    }
    spans.dedup_by(|next, span| {
        let same = span.target == next.target;
        span.calls += if same { next.calls } else { 0 };
        same
    });
    Ok(Section { audit, spans })
}

/// The spans of an architecture between two numbers.
fn fill(
    spans: &mut Vec<Span>,
    policy: &Policy,
    arch: Arch,
    first: u32,
    last: u32,
) -> Result<(), PlanError> {
    let mut calls: BTreeMap<u32, Vec<Bound>> = BTreeMap::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        for (number, conditions) in bind(policy, rule, arch) {
            if (first..=last).contains(&number) && arch.is_own(number) {
                let bound = Bound { rule: index, action: rule.action, conditions };
                calls.entry(number).or_default().push(bound);
            }
        }
    }
    // Known calls count where a tree is balanced, and may be newer than the policy.
    for (_, number) in arch.calls().filter(|&(_, number)| (first..=last).contains(&number)) {
        calls.entry(number).or_default();
    }
    let last_known = policy.kernel.map_or(u32::MAX, |kernel| arch.last(kernel));
    let otherwise = |number: u32| match policy.kernel {
        Some(kernel) if !matches!(policy.default, Action::Allow | Action::Log) => {
            let newer = match arch.call(number) {
                Some(name) => since(name).is_some_and(|since| since > kernel),
                None => number > last_known,
            };
            match newer {
                true => (Action::Errno(arch.enosys()), Reason::Newer(kernel)),
                false => (policy.default, Reason::Default),
            }
        }
        _ => (policy.default, Reason::Default),
    };
    let mut next = Some(first);
    for (number, rules) in calls {
        let known = u32::from(arch.call(number).is_some());
        if let Some(next) = next.filter(|&next| next < number) {
            let target = Target::fixed(otherwise(next));
            // Beyond the last call of its kernel a gap changes its meaning.
            spans.push(Span { first: next, calls: 0, target });
            let edge = last_known.saturating_add(1);
            if (next + 1..number).contains(&edge) {
                spans.push(Span { first: edge, calls: 0, target: Target::fixed(otherwise(edge)) });
            }
        }
        let name = || arch.call(number).map_or_else(|| number.to_string(), str::to_owned);
        let rules = order(rules).ok_or_else(|| PlanError::TooManyRules { call: name() })?;
        let target = Target { rules, otherwise: otherwise(number) };
        spans.push(Span { first: number, calls: known, target });
        next = number.checked_add(1);
    }
    if let Some(next) = next.filter(|&next| next <= last) {
        spans.push(Span { first: next, calls: 0, target: Target::fixed(otherwise(next)) });
    }
    Ok(())
}

/// The numbers that a rule is for, with its conditions there.
fn bind(policy: &Policy, rule: &Rule, arch: Arch) -> Vec<(u32, Vec<Condition>)> {
    match &rule.call {
        // No call has a negative number, but for the one that means none.
        Call::Number(number) if *number > i32::MAX as u32 && *number != u32::MAX => Vec::new(),
        Call::Number(number) => vec![(*number, rule.conditions.clone())],
        Call::Name(name) => {
            let direct = arch.number(name).map(|number| (number, rule.conditions.clone()));
            let within = multiplex::find(arch, name).and_then(|(number, condition)| {
                // What a multiplexed call is given lies in memory, where no filter sees it.
                // So what a condition would let through is not, and what it would stop is
                // stopped whole.
                let is_seen = rule.conditions.is_empty();
                (is_seen || rule.action < policy.default).then(|| (number, vec![condition]))
            });
            direct.into_iter().chain(within).collect()
        }
    }
}

/// Puts rules in the order in which they are asked; `None` for too many of them.
fn order(mut rules: Vec<Bound>) -> Option<Vec<Bound>> {
    if rules.len() > MAX_RULES {
        return None;
    }
    for bound in &mut rules {
        bound.conditions.sort_unstable();
        bound.conditions.dedup();
    }
    rules.sort_by_key(|bound| (bound.action.parts().0, bound.rule));
    let mut ordered = Vec::with_capacity(rules.len());
    for class in rules.chunk_by(|one, other| one.action.parts().0 == other.action.parts().0) {
        if class.windows(2).all(|pair| pair[0].action == pair[1].action) {
            ordered.extend_from_slice(class);
        } else {
            ordered.extend(narrow_first(class));
        }
    }
    // What nothing can get past makes the rest idle.
    if let Some(last) = ordered.iter().position(|bound| bound.conditions.is_empty()) {
        ordered.truncate(last + 1);
    }
    Some(ordered)
}

/// Narrower rules before wider ones, else as they stand.
fn narrow_first(class: &[Bound]) -> Vec<Bound> {
    let within = |one: &Bound, other: &Bound| {
        let follows = |condition: &Condition| {
            one.conditions.iter().any(|given| condition.follows_from(given))
        };
        other.conditions.iter().all(follows)
    };
    let narrower = |one: &Bound, other: &Bound| within(one, other) && !within(other, one);
    // How many narrower ones have to come before each.
    let mut before: Vec<usize> =
        class.iter().map(|wide| class.iter().filter(|one| narrower(one, wide)).count()).collect();
    let free = |before: &[usize], index: usize| before[index] == 0;
    let mut ready: BinaryHeap<_> =
        (0..class.len()).filter(|&index| free(&before, index)).map(std::cmp::Reverse).collect();
    let mut ordered = Vec::with_capacity(class.len());
    while let Some(std::cmp::Reverse(index)) = ready.pop() {
        ordered.push(class[index].clone());
        for (wide, count) in before.iter_mut().enumerate() {
            if narrower(&class[index], &class[wide]) {
                *count -= 1;
                if *count == 0 {
                    ready.push(std::cmp::Reverse(wide));
                }
            }
        }
    }
    // "Narrower" is an order: nothing waits for itself.
    debug_assert_eq!(ordered.len(), class.len());
    ordered
}
