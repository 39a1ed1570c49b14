//! Container profiles: the OCI runtime specification's `linux.seccomp`, with what Docker
//! and Podman add to it (`archMap`, `includes`, `excludes`, `errno` by name).

use serde_json::{Map, Value};
use skep_abi::Version;

use super::{Environment, ParseError};
use crate::seccomp::arch::{self, Arch};
use crate::seccomp::policy::{ARGS, Action, Call, Condition, Op, Policy, Rule, number};

type Object = Map<String, Value>;

/// Reads a profile.
pub(super) fn parse(text: &str, environment: &Environment) -> Result<Policy, ParseError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
        ParseError::new(place, format!("is no JSON: {reason}"))
    })?;
    // A container's whole configuration has it further down.
    let inner = value.pointer("/linux/seccomp").unwrap_or(&value);
    let profile = object(inner, "")?;
    if !profile.contains_key("defaultAction") {
        return Err(ParseError::new("", "there is no `defaultAction`")
            .hint("a profile is {\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [...]}"));
    }
    let default = action(profile, "defaultAction", ["defaultErrno", "defaultErrnoRet"], "")?;
    let mut policy = Policy { arches: arches(profile, environment)?, ..Policy::new(default) };
    for (index, flag) in strings(profile, "flags", "")?.into_iter().enumerate() {
        if !policy.flags.set(flag) {
            return Err(ParseError::new(format!("flags[{index}]"), format!("no flag {flag:?}")));
        }
    }
    if let Some(kernel) = text_of(profile, "kernel", "")? {
        policy.kernel = Some(version(kernel, "kernel")?);
    }
    for (index, entry) in list(profile, "syscalls", "")?.iter().enumerate() {
        let place = format!("syscalls[{index}]");
        let entry = object(entry, &place)?;
        if !counts(entry, environment, &place)? {
            continue;
        }
        let action = action(entry, "action", ["errno", "errnoRet"], &place)?;
        let conditions = conditions(entry, &place)?;
        // Old profiles have one name in an entry.
        let mut names = strings(entry, "names", &place)?;
        names.extend(text_of(entry, "name", &place)?);
        for name in names {
            if name.starts_with('@') {
                let error = ParseError::new(&place, format!("{name:?} is a set of calls"));
                return Err(error.hint("profiles have names of calls only; TOML takes sets"));
            }
            policy.rules.push(Rule {
                call: Call::Name(name.to_owned()),
                action,
                conditions: conditions.clone(),
                place: place.clone(),
            });
        }
    }
    Ok(policy)
}

fn arches(profile: &Object, environment: &Environment) -> Result<Vec<Arch>, ParseError> {
    let arch = |name: &str, place: &str| {
        Arch::of_name(name)
            .ok_or_else(|| ParseError::new(place, format!("no architecture {name:?}")))
    };
    let mut arches = Vec::new();
    for (index, entry) in list(profile, "archMap", "")?.iter().enumerate() {
        let place = format!("archMap[{index}]");
        let entry = object(entry, &place)?;
        let name = text_of(entry, "architecture", &place)?.unwrap_or_default();
        let subs = strings(entry, "subArchitectures", &place)?;
        // Those of other machines may be unknown here.
        if Arch::of_name(name) == Some(environment.arch) {
            arches.push(environment.arch);
            for sub in subs {
                arches.push(arch(sub, &place)?);
            }
        }
    }
    for (index, name) in strings(profile, "architectures", "")?.into_iter().enumerate() {
        arches.push(arch(name, &format!("architectures[{index}]"))?);
    }
    let mut seen = Vec::new();
    arches.retain(|arch| {
        !seen.contains(arch) && {
            seen.push(*arch);
            true
        }
    });
    if arches.is_empty() {
        arches.push(environment.arch);
    }
    Ok(arches)
}

/// Whether an entry counts here.
fn counts(entry: &Object, environment: &Environment, place: &str) -> Result<bool, ParseError> {
    let has_cap = |cap: &&str| environment.caps.iter().any(|has| has.eq_ignore_ascii_case(cap));
    let is_arch = |name: &&str| Arch::of_name(name) == Some(environment.arch);
    for (key, included) in [("includes", true), ("excludes", false)] {
        let Some(value) = entry.get(key).filter(|value| !value.is_null()) else { continue };
        let place = format!("{place}.{key}");
        let filter = object(value, &place)?;
        let caps = strings(filter, "caps", &place)?;
        let arches = strings(filter, "arches", &place)?;
        let min = match text_of(filter, "minKernel", &place)? {
            Some(text) => Some(version(text, &place)?),
            None => None,
        };
        let new_enough = |min| environment.kernel.is_none_or(|kernel| kernel >= min);
        let holds = match included {
            true => {
                caps.iter().all(has_cap)
                    && (arches.is_empty() || arches.iter().any(is_arch))
                    && min.is_none_or(new_enough)
            }
            false => {
                !caps.iter().any(has_cap)
                    && !arches.iter().any(is_arch)
                    && !min.is_some_and(new_enough)
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

fn version(text: &str, place: &str) -> Result<Version, ParseError> {
    arch::version(text)
        .ok_or_else(|| ParseError::new(place, format!("{text:?} is no version like \"5.10\"")))
}

fn action(
    object: &Object,
    key: &str,
    [errno_name, errno_number]: [&str; 2],
    place: &str,
) -> Result<Action, ParseError> {
    let place = join(place, key);
    let text = text_of(object, key, "")?.ok_or_else(|| ParseError::new(&place, "is missing"))?;
    let plain = Action::of_text(text).filter(|_| !text.contains('(')).ok_or_else(|| {
        ParseError::new(&place, format!("no action {text:?}")).hint(
            "actions are SCMP_ACT_ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE, TRAP",
        )
    })?;
    let named = text_of(object, errno_name, &place)?.filter(|name| !name.is_empty());
    let data =
        match (named, object.get(errno_number)) {
            (Some(name), _) => Some(number(name).ok_or_else(|| {
                ParseError::new(&place, format!("no error has the name {name:?}"))
            })?),
            (None, Some(value)) if !value.is_null() => {
                let number = value.as_u64().and_then(|value| u16::try_from(value).ok());
                Some(number.ok_or_else(|| {
                    ParseError::new(&place, format!("{errno_number} is no number up to 65535"))
                })?)
            }
            _ => None,
        };
    match (plain, data) {
        // Others have it without meaning.
        (Action::Errno(_) | Action::Trace(_), Some(data)) => plain.with(data).ok_or_else(|| {
            ParseError::new(&place, format!("{data} is no error number; the largest is 4095"))
        }),
        // As the specification has it.
        (Action::Trace(_), None) => Ok(Action::Trace(1)),
        _ => Ok(plain),
    }
}

fn conditions(entry: &Object, place: &str) -> Result<Vec<Condition>, ParseError> {
    let mut conditions = Vec::new();
    for (index, value) in list(entry, "args", place)?.iter().enumerate() {
        let place = format!("{place}.args[{index}]");
        let arg = object(value, &place)?;
        let integer = |key: &str| match arg.get(key) {
            None | Some(Value::Null) => Ok(0),
            Some(value) => value.as_u64().ok_or_else(|| {
                ParseError::new(join(&place, key), format!("{value} is no number of 64 bits"))
            }),
        };
        let (number, first, second) = (integer("index")?, integer("value")?, integer("valueTwo")?);
        let op = text_of(arg, "op", &place)?.unwrap_or_default();
        let plain = match op.strip_prefix("SCMP_CMP_").unwrap_or(op) {
            "NE" => Op::Ne,
            "LT" => Op::Lt,
            "LE" => Op::Le,
            "EQ" => Op::Eq,
            "GE" => Op::Ge,
            "GT" => Op::Gt,
            "MASKED_EQ" => Op::MaskedEq(first),
            _ => {
                let error = ParseError::new(join(&place, "op"), format!("no comparison {op:?}"));
                return Err(error.hint("SCMP_CMP_ and one of NE, LT, LE, EQ, GE, GT, MASKED_EQ"));
            }
        };
        let value = if matches!(plain, Op::MaskedEq(_)) { second } else { first };
        let Some(number) = u8::try_from(number).ok().filter(|&arg| usize::from(arg) < ARGS) else {
            let text = format!("argument {number}; calls have 0 to 5");
            return Err(ParseError::new(join(&place, "index"), text));
        };
        conditions.push(Condition { arg: number, op: plain, value });
    }
    Ok(conditions)
}

fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Object, ParseError> {
    value.as_object().ok_or_else(|| ParseError::new(place, "is no object `{...}`"))
}

/// The list of a key; empty where it is missing or null.
fn list<'a>(object: &'a Object, key: &str, place: &str) -> Result<&'a [Value], ParseError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(ParseError::new(join(place, key), "is no list `[...]`")),
    }
}

fn strings<'a>(object: &'a Object, key: &str, place: &str) -> Result<Vec<&'a str>, ParseError> {
    let values = list(object, key, place)?.iter().enumerate();
    let text = |(index, value): (usize, &'a Value)| {
        let place = || format!("{}[{index}]", join(place, key));
        value.as_str().ok_or_else(|| ParseError::new(place(), "is no text"))
    };
    values.map(text).collect()
}

fn text_of<'a>(object: &'a Object, key: &str, place: &str) -> Result<Option<&'a str>, ParseError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ParseError::new(join(place, key), "is no text")),
    }
}
