//! A policy as text again: a container profile, TOML, lines of systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};
use skep_abi::Errno;

use super::parse::sets;
use super::policy::{Action, Call, Condition, Op, Policy, Rule};

/// What a form has no words for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}{}{what}", if place.is_empty() { "" } else { ": " })]
pub struct ConvertError {
    /// Where it stands.
    pub place: String,
    /// What it is.
    pub what: String,
}

fn error(place: &str, what: impl Into<String>) -> ConvertError {
    ConvertError { place: place.to_owned(), what: what.into() }
}

/// Rules that follow each other and differ in their calls only.
fn groups(policy: &Policy) -> impl Iterator<Item = &[Rule]> {
    policy.rules.chunk_by(|one, other| {
        (one.action, &one.conditions, &one.place) == (other.action, &other.conditions, &other.place)
    })
}

/// A container profile. What is newer than the policy's kernel has no words there but
/// `kernel`, which others pass over.
///
/// # Errors
/// A call that is a number.
pub fn to_oci(policy: &Policy) -> Result<String, ConvertError> {
    let constant = |action: Action| match action {
        Action::Notify => "SCMP_ACT_NOTIFY".to_owned(),
        action => format!("SCMP_ACT_{}", action.name().to_ascii_uppercase()),
    };
    let with_data = |value: &mut Value, action: Action, [name, data]: [&str; 2]| {
        value[name] = constant(action).into();
        if let Action::Errno(number) | Action::Trace(number) = action {
            value[data] = number.into();
        }
    };
    let mut profile = json!({});
    with_data(&mut profile, policy.default, ["defaultAction", "defaultErrnoRet"]);
    let arches = policy.arches.iter();
    profile["architectures"] =
        arches.map(|arch| format!("SCMP_ARCH_{}", arch.name().to_ascii_uppercase())).collect();
    if !policy.flags.names().is_empty() {
        profile["flags"] = policy.flags.names().into();
    }
    if let Some(kernel) = policy.kernel {
        profile["kernel"] = kernel.to_string().into();
    }
    let mut entries = Vec::new();
    for group in groups(policy) {
        let mut names = Vec::new();
        for rule in group {
            match &rule.call {
                Call::Name(name) => names.push(name.as_str()),
                Call::Number(number) => {
                    let what = format!("call {number} has no name, and profiles have no numbers");
                    return Err(error(&rule.place, what));
                }
            }
        }
        let mut entry = json!({ "names": names });
        with_data(&mut entry, group[0].action, ["action", "errnoRet"]);
        let args: Vec<Value> = group[0].conditions.iter().map(comparison).collect();
        if !args.is_empty() {
            entry["args"] = args.into();
        }
        entries.push(entry);
    }
    profile["syscalls"] = entries.into();
    Ok(format!("{profile:#}\n"))
}

fn comparison(condition: &Condition) -> Value {
    let (value, second) = match condition.op {
        Op::MaskedEq(mask) => (mask, condition.value),
        _ => (condition.value, 0),
    };
    json!({
        "index": condition.arg,
        "value": value,
        "valueTwo": second,
        "op": format!("SCMP_CMP_{}", condition.op.name()),
    })
}

/// TOML.
pub fn to_toml(policy: &Policy) -> String {
    let mut out = format!("default = \"{}\"\n", policy.default);
    let quoted = |names: Vec<String>| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        names.join(", ")
    };
    if policy.bad_arch != Action::KillProcess {
        let _ = writeln!(out, "bad-arch = \"{}\"", policy.bad_arch);
    }
    let arches = policy.arches.iter().map(|arch| arch.name().to_owned()).collect();
    let _ = writeln!(out, "arches = [{}]", quoted(arches));
    if let Some(kernel) = policy.kernel {
        let _ = writeln!(out, "kernel = \"{kernel}\"");
    }
    let flag = |name: &&str| name.trim_start_matches("SECCOMP_FILTER_FLAG_").to_ascii_lowercase();
    let flags: Vec<String> = policy.flags.names().iter().map(flag).collect();
    if !flags.is_empty() {
        let _ = writeln!(out, "flags = [{}]", quoted(flags));
    }
    for group in groups(policy) {
        let calls: Vec<String> = group
            .iter()
            .map(|rule| match &rule.call {
                Call::Name(name) => toml::Value::String(name.clone()).to_string(),
                Call::Number(number) => number.to_string(),
            })
            .collect();
        let _ = writeln!(out, "\n[[rule]]\ncalls = [");
        for line in calls.chunks(8) {
            let _ = writeln!(out, "  {},", line.join(", "));
        }
        let _ = writeln!(out, "]\naction = \"{}\"", group[0].action);
        let when: Vec<String> = group[0].conditions.iter().map(Condition::to_string).collect();
        if !when.is_empty() {
            let _ = writeln!(out, "when = \"{}\"", when.join(" && "));
        }
    }
    out
}

/// Lines of systemd's.
///
/// # Errors
/// Conditions on arguments, calls that are numbers, and actions that systemd has not.
pub fn to_systemd(policy: &Policy) -> Result<String, ConvertError> {
    let allows = policy.default != Action::Allow;
    let mut out = String::new();
    let arches: Vec<String> =
        policy.arches.iter().map(|arch| arch.name().replace("x86_64", "x86-64")).collect();
    let _ = writeln!(out, "SystemCallArchitectures={}", arches.join(" "));
    match policy.default {
        Action::Errno(number) => {
            let _ = writeln!(out, "SystemCallErrorNumber={}", named(number));
        }
        Action::Allow | Action::KillProcess => {}
        other => return Err(error("", format!("systemd has no {other} for other calls"))),
    }
    let mut lists: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    for rule in &policy.rules {
        let Call::Name(name) = &rule.call else {
            return Err(error(&rule.place, format!("systemd has no call {}", rule.call)));
        };
        if !rule.conditions.is_empty() {
            return Err(error(
                &rule.place,
                format!("systemd does not look at arguments of {name}"),
            ));
        }
        let (list, word) = match rule.action {
            Action::Allow if allows => ("SystemCallFilter=", name.clone()),
            Action::Allow => continue,
            Action::Log => {
                lists.entry("SystemCallLog=").or_default().insert(name.clone());
                ("SystemCallFilter=", name.clone())
            }
            Action::Errno(number) => {
                let list = if allows { "SystemCallFilter=" } else { "SystemCallFilter=~" };
                (list, format!("{name}:{}", named(number)))
            }
            Action::KillProcess => {
                let list = if allows { "SystemCallFilter=" } else { "SystemCallFilter=~" };
                (list, format!("{name}:kill"))
            }
            other => return Err(error(&rule.place, format!("systemd has no {other}"))),
        };
        listed.insert(name.as_str());
        if allows || rule.action != Action::Log {
            lists.entry(list).or_default().insert(word);
        }
    }
    for (list, words) in &lists {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _ = writeln!(out, "{list}{}", words.join(" "));
    }
    // systemd allows these unless it is told not to.
    let always = sets::calls("@default").unwrap_or_default();
    let others: Vec<&str> = always.into_iter().filter(|name| !listed.contains(name)).collect();
    if allows && !others.is_empty() {
        let _ = writeln!(out, "SystemCallFilter=~{}", others.join(" "));
    }
    Ok(out)
}

fn named(number: u16) -> String {
    Errno(number.into()).name().map_or_else(|| number.to_string(), str::to_owned)
}
