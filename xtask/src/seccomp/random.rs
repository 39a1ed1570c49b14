//! Random policies: each program is proved, and run beside the rules, which are read here
//! once more, one by one.

use anyhow::{Result, bail};
use skep_lang::seccomp::{Action, Arch, Call, Condition, Data, Filter, Op, Policy, Rule};

use super::Options;

/// Compares. Gives whether all agree.
pub(super) fn execute(options: &Options) -> Result<bool> {
    let (mut cases, mut instructions) = (0, 0);
    for seed in options.seed..options.seed + u64::from(options.count) {
        let mut random = Random::new(seed);
        let policy = policy(&mut random);
        let filter = Filter::new(&policy)?;
        cases += match filter.prove() {
            Ok(proof) => proof.cases,
            Err(error) => bail!("seed {seed}: {error}\n{policy:#x?}"),
        };
        instructions += filter.filters().len();
        for _ in 0..options.inputs {
            let data = call(&policy, &mut random);
            let (expected, found) = (by_hand(&policy, &data), filter.run(&data));
            if expected != found {
                bail!("seed {seed}: {data:x?}: {found}, not {expected}\n{policy:#x?}");
            }
        }
    }
    println!("{cases} cases, {instructions} instructions");
    println!("parity seccomp-random: agree {} of {}", options.count, options.count);
    Ok(true)
}

/// A xorshift generator.
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

pub(super) const ACTIONS: [Action; 9] = [
    Action::Allow,
    Action::Allow,
    Action::Errno(1),
    Action::Errno(38),
    Action::Log,
    Action::Trap(0),
    Action::KillProcess,
    Action::Trace(7),
    Action::Notify,
];

/// Values that meet: near each other, and on both sides of the words' border.
fn value(random: &mut Random) -> u64 {
    match random.below(8) {
        0..=3 => random.below(6),
        4 => (random.below(3) << 32) + random.below(4),
        5 => u64::from(u32::MAX) - random.below(2),
        6 => u64::MAX - random.below(3),
        _ => random.next(),
    }
}

fn condition(random: &mut Random, args: u64) -> Condition {
    let mask = match random.below(3) {
        0 => 1 << random.below(64),
        1 => value(random),
        _ => random.pick(&[0x7e02_0000, 0xff, 0xffff_ffff, 3, u64::MAX]),
    };
    let ops = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Eq, Op::Ge, Op::Gt, Op::MaskedEq(mask)];
    Condition { arg: random.below(args) as u8, op: random.pick(&ops), value: value(random) }
}

/// Rules for up to three calls, 1 to 6 for each.
pub(super) fn policy(random: &mut Random) -> Policy {
    let mut policy = Policy::new(random.pick(&ACTIONS));
    policy.arches = match random.below(4) {
        0 => vec![Arch::X86_64, Arch::X86],
        1 => vec![Arch::S390x],
        2 => vec![Arch::X86_64, Arch::X32],
        _ => vec![Arch::X86_64],
    };
    for _ in 0..=random.below(3) {
        let call = random.pick(&["read", "socket", "clone", "mmap", "openat", "ioctl"]);
        let args = 1 + random.below(6);
        for _ in 0..=random.below(6) {
            let conditions = (0..random.below(4)).map(|_| condition(random, args)).collect();
            policy.rules.push(Rule {
                call: Call::Name(call.into()),
                action: random.pick(&ACTIONS),
                conditions,
                place: String::new(),
            });
        }
    }
    policy
}

/// A call near what the policy asks for.
pub(super) fn call(policy: &Policy, random: &mut Random) -> Data {
    let arch = random.pick(&policy.arches);
    let rule = &policy.rules[random.below(policy.rules.len() as u64) as usize];
    let nr = match &rule.call {
        Call::Name(name) => arch.number(name).unwrap_or(0),
        Call::Number(number) => *number,
    };
    let mut args = [0; 6];
    args.fill_with(|| value(random));
    for condition in &rule.conditions {
        let arg = &mut args[usize::from(condition.arg)];
        match random.below(6) {
            0..=2 => *arg = condition.value,
            3 => *arg = condition.value.wrapping_add(1),
            4 => *arg = condition.value.wrapping_sub(1),
            _ => *arg ^= 1 << random.below(64),
        }
    }
    let nr = match random.below(20) {
        0 => random.below(500) as u32,
        1 => {
            args[0] = random.below(3) | random.below(2) << 40;
            SOCKETCALL.0
        }
        _ => nr,
    };
    Data { nr, arch: arch.audit(), ip: random.next(), args }
}

/// Which of the policy's architectures a call is of.
fn arch(policy: &Policy, data: &Data) -> Option<Arch> {
    let is_own = |arch: &&Arch| arch.audit() == data.arch && arch.is_own(data.nr);
    policy.arches.iter().find(is_own).copied()
}

/// The number of socketcall(2) where there is one, and what it calls `socket`.
const SOCKETCALL: (u32, u64) = (102, 1);

/// What a rule asks of this call; `None` where it is for another. Behind socketcall(2) no filter
/// sees arguments: a rule that asks for some is passed over there, or stops all.
pub(super) fn conditions(policy: &Policy, data: &Data, rule: &Rule) -> Option<Vec<Condition>> {
    let arch = arch(policy, data)?;
    let name = match &rule.call {
        Call::Number(number) => {
            return (*number == data.nr).then(|| rule.conditions.clone());
        }
        Call::Name(name) => name,
    };
    if arch.number(name) == Some(data.nr) {
        return Some(rule.conditions.clone());
    }
    let (number, value) = SOCKETCALL;
    let has_one = matches!(arch, Arch::X86 | Arch::S390x) && name == "socket";
    let is_kept = rule.conditions.is_empty() || rule.action < policy.default;
    (has_one && is_kept && data.nr == number)
        .then(|| vec![Condition { arg: 0, op: Op::MaskedEq(u64::from(u32::MAX)), value }])
}

/// The strictest of the rules that hold; of those with the same action one that no other
/// that holds is narrower than, and which comes first where rules are put so that narrower
/// ones come before wider ones.
pub(super) fn by_hand(policy: &Policy, data: &Data) -> Action {
    if arch(policy, data).is_none() {
        return policy.bad_arch;
    }
    let asked = |rule: &Rule| {
        let conditions = conditions(policy, data, rule)?;
        Some(Rule { conditions, ..rule.clone() })
    };
    let mut left: Vec<Rule> = policy.rules.iter().filter_map(asked).collect();
    left.sort_by_key(|rule| rule.action.parts().0);
    // The order: again and again the first one that no other one left is narrower than.
    let implies = |one: &Rule, other: &Rule| {
        let follows = |condition: &Condition| {
            one.conditions.iter().any(|given| condition.follows_from(given))
        };
        other.conditions.iter().all(follows)
    };
    let same = |one: &Rule, other: &Rule| one.action.parts().0 == other.action.parts().0;
    while !left.is_empty() {
        let free = left.iter().position(|rule| {
            let narrower =
                |one: &&Rule| same(one, rule) && implies(one, rule) && !implies(rule, one);
            left.iter().find(narrower).is_none() && same(rule, &left[0])
        });
        let rule = left.remove(free.unwrap_or(0));
        if rule.conditions.iter().all(|condition| condition.holds(&data.args)) {
            return rule.action;
        }
    }
    policy.default
}
