//! Policies as steps, each with calls and what is decided of them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use skep_lang::seccomp::{Action, Arch, Call, Condition, Data, Filter, Op, Policy, Rule, behind};

/// The number of the standard output where the cases were recorded, which had it redirected.
/// Policies have it for `STDOUT_FILENO`; calls have the usual 1.
const RECORDED_STDOUT: u64 = 3;
const STDOUT: u64 = 1;

/// Compares. Gives whether all agree.
pub(super) fn execute(folder: &Path) -> Result<bool> {
    let path = folder.join("seccomp-cases.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (mut agree, mut all, mut calls) = (0, 0, 0);
    for line in text.lines() {
        let set: Value = serde_json::from_str(line).context("a line is no JSON")?;
        all += 1;
        match judge(&set) {
            Ok(count) => {
                agree += 1;
                calls += count;
            }
            Err(error) => println!("{}: {error:#}", set["test"]),
        }
    }
    println!("{calls} calls decided");
    println!("parity seccomp-cases: agree {agree} of {all}");
    Ok(agree == all)
}

/// How many calls were decided, all of them as they should be.
fn judge(set: &Value) -> Result<u64> {
    let policy = match policy(&set["policy"]) {
        Ok(policy) if set["policy_error"].is_null() => policy,
        Ok(_) => bail!("the policy should be refused"),
        Err(error) if set["policy_error"].is_null() => return Err(error),
        Err(_) => return Ok(0),
    };
    let filter = Filter::new(&policy)?;
    filter.prove()?;
    let mut decided = 0;
    for case in set["cases"].as_array().context("no cases")? {
        let expected = action(case["result"].as_str().context("no result")?)?;
        for arch in selected(case["arch"].as_str().context("no arch")?, &policy)? {
            decided += one(case, arch, expected, &filter)?;
        }
    }
    Ok(decided)
}

/// A case on one architecture.
fn one(case: &Value, arch: Arch, expected: Action, filter: &Filter) -> Result<u64> {
    let name = case["syscall"].as_str().context("no call")?;
    let numbers = match name.parse::<i64>() {
        Ok(number) => vec![number as u32],
        Err(_) => match range(name) {
            Some(range) => range.map(|number| number as u32).collect(),
            // A call behind another one is made by that.
            None => match behind(arch, name).map(|(by, _)| by).or(Some(name)) {
                Some(name) => vec![arch.number(name).unwrap_or(u32::MAX - 1)],
                None => Vec::new(),
            },
        },
    };
    let mut choices: Vec<Vec<u64>> = Vec::new();
    for arg in case["args"].as_array().context("no arguments")? {
        let arg = arg.as_str().context("an argument is no text")?;
        choices.push(match (arg, range(arg)) {
            ("N", _) => vec![0],
            (_, Some(range)) => range.collect(),
            _ => vec![integer(arg)?],
        });
    }
    let mut decided = 0;
    for nr in numbers {
        let total: usize = choices.iter().map(Vec::len).product();
        for index in 0..total {
            let mut rest = index;
            let mut args = [0; 6];
            for (arg, values) in args.iter_mut().zip(&choices) {
                *arg = values[rest % values.len()];
                rest /= values.len();
            }
            let data = Data { nr, arch: arch.audit(), ip: 0, args };
            let (by_rules, found) = (filter.decide(&data).0, filter.run(&data));
            if found != expected || by_rules != expected {
                bail!("{} {case}: {found}, by the rules {by_rules}, not {expected}", arch.name());
            }
            decided += 1;
        }
    }
    Ok(decided)
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<u64>> {
    let (first, last) = text.split_once('-')?;
    Some(integer(first).ok()?..=integer(last).ok()?)
}

fn integer(text: &str) -> Result<u64> {
    Ok(match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16)?,
        None => match text.strip_prefix('-') {
            Some(digits) => digits.parse::<u64>()?.wrapping_neg(),
            None => text.parse()?,
        },
    })
}

fn action(text: &str) -> Result<Action> {
    Action::of_text(text).with_context(|| format!("no action {text}"))
}

/// The architectures that a case is for.
fn selected(text: &str, policy: &Policy) -> Result<Vec<Arch>> {
    let mut arches = Vec::new();
    for part in text.split(',') {
        let (added, name) = match part.strip_prefix('-') {
            Some(name) => (false, name),
            None => (true, part.strip_prefix('+').unwrap_or(part)),
        };
        let of_policy = |wanted: fn(&Arch) -> bool| {
            policy.arches.iter().copied().filter(wanted).collect::<Vec<_>>()
        };
        let named = match name {
            "all" => of_policy(|_| true),
            "all_le" => of_policy(|arch| arch.is_little()),
            "all_be" => of_policy(|arch| !arch.is_little()),
            "all_64" => of_policy(|arch| arch.audit() >> 31 == 1),
            "all_32" => of_policy(|arch| arch.audit() >> 31 == 0),
            name => {
                let arch =
                    Arch::of_name(name).with_context(|| format!("no architecture {name}"))?;
                // A case of an architecture that the policy does not have is none of its.
                policy.arches.iter().copied().filter(|of| *of == arch).collect()
            }
        };
        match added {
            true => arches.extend(named),
            false => arches.retain(|arch| !named.contains(arch)),
        }
    }
    Ok(arches)
}

/// The policy that steps make.
fn policy(steps: &Value) -> Result<Policy> {
    let mut policy = Policy::new(Action::KillThread);
    policy.bad_arch = Action::KillThread;
    policy.arches = vec![Arch::X86_64];
    for step in steps.as_array().context("no steps")? {
        let text = |index: usize| step[index].as_str().context("no text");
        let arch = |name: &str| match name {
            "NATIVE" => Ok(Arch::X86_64),
            name => Arch::of_name(name).with_context(|| format!("no architecture {name}")),
        };
        match text(1)? {
            "init" => policy.default = action(text(2)?)?,
            "reset" => {
                policy.rules.clear();
                policy.arches = vec![Arch::X86_64];
                if let Some(default) = step[2].as_str() {
                    policy.default = action(default)?;
                }
            }
            "add_arch" => {
                let arch = arch(text(2)?)?;
                if !policy.arches.contains(&arch) {
                    policy.arches.push(arch);
                }
            }
            "remove_arch" => {
                let arch = arch(text(2)?)?;
                policy.arches.retain(|of| *of != arch);
            }
            "set_attr" if step[2] == "ACT_BADARCH" => policy.bad_arch = action(text(3)?)?,
            "set_attr" | "priority" => {}
            "rule" | "rule_exactly" => policy.rules.push(rule(step)?),
            other => bail!("no step {other}"),
        }
    }
    Ok(policy)
}

fn rule(step: &Value) -> Result<Rule> {
    let call = match (&step[3], step[3].as_i64()) {
        (Value::String(name), _) => Call::Name(name.clone()),
        (_, Some(number)) => Call::Number(number as u32),
        (other, None) => bail!("no call {other}"),
    };
    let mut conditions = Vec::new();
    for comparison in step[4].as_array().context("no comparisons")? {
        let value = |index: usize| comparison[index].as_u64().unwrap_or_default();
        let (op, value) = match comparison[1].as_str().context("no comparison")? {
            "NE" => (Op::Ne, value(2)),
            "LT" => (Op::Lt, value(2)),
            "LE" => (Op::Le, value(2)),
            "EQ" => (Op::Eq, value(2)),
            "GE" => (Op::Ge, value(2)),
            "GT" => (Op::Gt, value(2)),
            "MASKED_EQ" => (Op::MaskedEq(value(2)), value(3)),
            other => bail!("no comparison {other}"),
        };
        let arg = comparison[0].as_u64().context("no argument")? as u8;
        let is_stdout = (&call, arg, value) == (&Call::Name("write".into()), 0, RECORDED_STDOUT);
        let value = if is_stdout { STDOUT } else { value };
        conditions.push(Condition { arg, op, value });
    }
    let action = action(step[2].as_str().context("no action")?)?;
    Ok(Rule { call, action, conditions, place: String::new() })
}
