//! `diff` and `why` beside the rules, which are read one by one: pairs of random policies, of
//! which the second is the first with some rules changed. A call that both decide alike is in
//! no difference; any other is in one that says what both decide, and each example shows it.

use anyhow::{Context, Result, bail, ensure};
use skep_lang::seccomp::{Action, Data, DiffError, Difference, Filter, Policy, Reason, Rule, diff};

use super::Options;
use super::random::{ACTIONS, by_hand, call, conditions, policy};
use crate::inputs::Random;

/// Compares. Gives whether all agree.
pub(super) fn execute(options: &Options) -> Result<bool> {
    let (mut open, mut told, mut differing) = (0u32, 0, 0u64);
    for seed in options.seed..options.seed + u64::from(options.count) {
        let mut random = Random::new(seed ^ 0x5eed);
        let old = policy(&mut random);
        let new = changed(&old, &mut random);
        let filters = [Filter::new(&old)?, Filter::new(&new)?];
        let found = match diff(filters[0].plan(), filters[1].plan()) {
            Ok(found) => Some(found),
            Err(DiffError::TooComplex) => {
                open += 1;
                None
            }
            Err(error) => bail!("seed {seed}: {error}"),
        };
        told += found.iter().flatten().count();
        for difference in found.iter().flatten() {
            let shown = example(difference, &old, &new);
            shown.with_context(|| format!("seed {seed}: {difference:x?}\n{old:#x?}\n{new:#x?}"))?;
        }
        for _ in 0..options.inputs {
            let which = if random.below(2) == 0 { &old } else { &new };
            let data = call(which, &mut random);
            let decided = (by_hand(&old, &data), by_hand(&new, &data));
            differing += u64::from(decided.0 != decided.1);
            let judged = found.as_ref().map_or(Ok(()), |found| covered(found, &data, decided));
            let judged = judged.and_then(|()| {
                reason(&old, &filters[0], &data, decided.0)?;
                reason(&new, &filters[1], &data, decided.1)
            });
            judged.with_context(|| format!("seed {seed}: {data:x?}\n{old:#x?}\n{new:#x?}"))?;
        }
    }
    println!("{told} differences, {differing} calls decided differently, {open} pairs too complex");
    let count = options.count;
    println!("parity seccomp-diff: agree {} of {count}", count - open);
    Ok(open == 0)
}

/// A policy with some rules less, some more, and some of another action.
fn changed(old: &Policy, random: &mut Random) -> Policy {
    let mut new = old.clone();
    let other = policy(random);
    for _ in 0..=random.below(3) {
        let at = random.below(new.rules.len() as u64 + 1) as usize;
        match random.below(6) {
            0 if at < new.rules.len() && new.rules.len() > 1 => drop(new.rules.remove(at)),
            1 if at < new.rules.len() => new.rules[at].action = random.choose(&ACTIONS),
            2 if at < new.rules.len() => drop(new.rules[at].conditions.pop()),
            3 => new.default = other.default,
            4 => {}
            _ => new.rules.insert(at, other.rules[at % other.rules.len()].clone()),
        }
    }
    new
}

/// Whether the example of a difference lies in it, and is decided as it says.
fn example(difference: &Difference, old: &Policy, new: &Policy) -> Result<()> {
    let data = &difference.example;
    let decided = (by_hand(old, data), by_hand(new, data));
    ensure!(decided == (difference.old, difference.new), "the example is decided {decided:?}");
    ensure!(decided.0 != decided.1, "no difference");
    let arch = if difference.arch == 0 { 0 } else { data.arch };
    ensure!(holds(difference, &Data { arch, ..*data }), "the example is not in it");
    Ok(())
}

/// Whether a call is one of a difference's.
fn holds(difference: &Difference, data: &Data) -> bool {
    let (first, last) = difference.numbers;
    difference.arch == data.arch
        && (first..=last).contains(&data.nr)
        && difference
            .conditions
            .iter()
            .all(|(condition, holds)| condition.holds(&data.args) == *holds)
}

/// Whether a call is in those differences that it should be in.
fn covered(found: &[Difference], data: &Data, decided: (Action, Action)) -> Result<()> {
    let all: Vec<&Difference> = found.iter().filter(|it| holds(it, data)).collect();
    if decided.0 == decided.1 {
        ensure!(all.is_empty(), "both decide {}, but {all:x?}", decided.0);
        return Ok(());
    }
    let says = all.iter().all(|it| (it.old, it.new) == decided);
    ensure!(!all.is_empty() && says, "{} and {}, but {all:x?}", decided.0, decided.1);
    Ok(())
}

/// Whether the rule that `why` names decides so: it holds, and asks for that action; where it
/// names none, none holds.
fn reason(policy: &Policy, filter: &Filter, data: &Data, wanted: Action) -> Result<()> {
    let (action, reason) = filter.decide(data);
    ensure!(action == wanted, "why says {action}, and it is {wanted}");
    let applies = |rule: &Rule| {
        let asked = conditions(policy, data, rule);
        asked.is_some_and(|asked| asked.iter().all(|condition| condition.holds(&data.args)))
    };
    match reason {
        Reason::Rule(index) => {
            let rule = policy.rules.get(index).context("why names a rule that is not there")?;
            ensure!(rule.action == wanted && applies(rule), "rule {index} does not decide");
        }
        Reason::Default => {
            ensure!(!policy.rules.iter().any(applies), "a rule holds, and why says the default");
        }
        Reason::BadArch | Reason::Newer(_) => {}
    }
    Ok(())
}
