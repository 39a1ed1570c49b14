//! Policies in TOML:
//!
//! ```toml
//! default = "errno(ENOSYS)"
//! arches = ["x86_64", "x86"]
//! kernel = "6.1"
//!
//! [[rule]]
//! calls = ["@basic-io", "exit_group"]
//! action = "allow"
//!
//! [[rule]]
//! calls = ["mmap", "mprotect"]
//! action = "allow"
//! when = "(prot & PROT_EXEC) == 0"
//! ```

use toml::{Table, Value};

use super::{Environment, ParseError, expr, sets};
use crate::seccomp::arch::{self, Arch};
use crate::seccomp::policy::{Action, Call, Policy, Rule};

const KEYS: [&str; 6] = ["default", "bad-arch", "arches", "kernel", "flags", "rule"];
const RULE_KEYS: [&str; 4] = ["calls", "action", "when", "comment"];

/// Reads a policy.
pub(super) fn parse(text: &str, environment: &Environment) -> Result<Policy, ParseError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ParseError::new(format!("line {line}"), format!("is no TOML: {}", error.message()))
    })?;
    known(&table, &KEYS, "")?;
    let default = text_of(&table, "default", "")?.ok_or_else(|| {
        ParseError::new("", "there is no `default`").hint("add default = \"errno(ENOSYS)\"")
    })?;
    let mut policy = Policy { arches: Vec::new(), ..Policy::new(action(default, "default")?) };
    if let Some(text) = text_of(&table, "bad-arch", "")? {
        policy.bad_arch = action(text, "bad-arch")?;
    }
    if let Some(text) = text_of(&table, "kernel", "")? {
        let version = arch::version(text);
        policy.kernel = Some(version.ok_or_else(|| {
            ParseError::new("kernel", format!("{text:?} is no version like \"5.10\""))
        })?);
    }
    for name in texts(&table, "arches", "")? {
        let arch = Arch::of_name(name)
            .ok_or_else(|| ParseError::new("arches", format!("no architecture {name:?}")))?;
        if !policy.arches.contains(&arch) {
            policy.arches.push(arch);
        }
    }
    if policy.arches.is_empty() {
        policy.arches.push(environment.arch);
    }
    for name in texts(&table, "flags", "")? {
        let long = format!("SECCOMP_FILTER_FLAG_{}", name.to_ascii_uppercase());
        if !policy.flags.set(&long) {
            return Err(ParseError::new("flags", format!("no flag {name:?}"))
                .hint("flags are tsync, log, spec_allow, wait_killable_recv"));
        }
    }
    let rules = match table.get("rule") {
        None => &[][..],
        Some(Value::Array(rules)) => rules,
        Some(_) => return Err(ParseError::new("rule", "is no list; each begins with [[rule]]")),
    };
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("rule[{index}]");
        let table = rule.as_table().ok_or_else(|| ParseError::new(&place, "is no table"))?;
        rules_of(table, &place, &mut policy.rules)?;
    }
    Ok(policy)
}

fn rules_of(table: &Table, place: &str, rules: &mut Vec<Rule>) -> Result<(), ParseError> {
    known(table, &RULE_KEYS, place)?;
    let text = text_of(table, "action", place)?
        .ok_or_else(|| ParseError::new(place, "there is no `action`"))?;
    let action = action(text, &format!("{place}.action"))?;
    let when = text_of(table, "when", place)?;
    let mut push = |call: Call, name: &str| {
        let cases = match when {
            None => vec![Vec::new()],
            Some(when) => expr::condition(when, name).map_err(|error| ParseError {
                place: format!("{place}.when, {}", error.place),
                ..error
            })?,
        };
        for conditions in cases {
            let (call, place) = (call.clone(), place.to_owned());
            rules.push(Rule { call, action, conditions, place });
        }
        Ok(())
    };
    let calls = match table.get("calls") {
        Some(Value::Array(calls)) => calls,
        _ => return Err(ParseError::new(place, "there is no list `calls`")),
    };
    for call in calls {
        match call {
            Value::Integer(number) => {
                let number = u32::try_from(*number).map_err(|_| {
                    ParseError::new(format!("{place}.calls"), format!("no call {number}"))
                })?;
                push(Call::Number(number), "")?;
            }
            Value::String(name) if name.starts_with('@') => {
                let calls = sets::calls(name).ok_or_else(|| {
                    ParseError::new(format!("{place}.calls"), format!("there is no set {name}"))
                        .hint(sets::hint())
                })?;
                for name in calls {
                    push(Call::Name(name.to_owned()), name)?;
                }
            }
            Value::String(name) => push(Call::Name(name.clone()), name)?,
            _ => {
                return Err(ParseError::new(
                    format!("{place}.calls"),
                    "a call is a name or a number",
                ));
            }
        }
    }
    Ok(())
}

fn action(text: &str, place: &str) -> Result<Action, ParseError> {
    Action::of_text(text).ok_or_else(|| {
        ParseError::new(place, format!("no action {text:?}"))
            .hint("allow, log, errno(NAME), kill_process, kill_thread, trap, trace(N) or notify")
    })
}

fn known(table: &Table, keys: &[&str], place: &str) -> Result<(), ParseError> {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(ParseError::new(place, format!("there is no key `{key}`"))
            .hint(format!("keys are {}", keys.join(", ")))),
    }
}

fn text_of<'a>(table: &'a Table, key: &str, place: &str) -> Result<Option<&'a str>, ParseError> {
    match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ParseError::new(place, format!("`{key}` is no text"))),
    }
}

fn texts<'a>(table: &'a Table, key: &str, place: &str) -> Result<Vec<&'a str>, ParseError> {
    let error = || ParseError::new(place, format!("`{key}` is no list of texts"));
    match table.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => {
            values.iter().map(|value| value.as_str().ok_or_else(error)).collect()
        }
        Some(_) => Err(error()),
    }
}
