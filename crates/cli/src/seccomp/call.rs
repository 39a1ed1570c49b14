//! `why` and `resolve`: single calls.

use std::io::Write;

use serde_json::{Value, json};
use skep_lang::seccomp::{ARGS, Arch, Data, Reason, arch, behind};

use super::policy::PolicyArgs;
use super::shown::arch_name;
use crate::failure::{Failure, Outcome, Status};
use crate::terminal::print_json;

/// Explain what a policy makes of a call: which rule decides, and why
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep seccomp why profile.json openat
  skep seccomp why profile.json socket family=AF_INET arg1=1
  skep seccomp why -e 'default allow errno(EPERM) { ptrace }' 101")]
pub struct WhyArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// The call, by name or number
    call: String,
    /// Values of its arguments, by name or as arg0 to arg5; 0 otherwise
    #[arg(value_name = "ARG=VALUE")]
    args: Vec<String>,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// Give the numbers of calls, and the names of numbers
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep seccomp resolve openat                on every architecture
  skep seccomp resolve --arch x86_64 257 clone3")]
pub struct ResolveArgs {
    /// Names and numbers
    #[arg(required = true)]
    calls: Vec<String>,
    /// Only these architectures
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    arch: Vec<String>,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// A call for people: `socket(2, 1, 0, 0, 0, 0) on x86_64`.
pub fn data_text(data: &Data) -> String {
    let arch = Arch::all().find(|arch| arch.audit() == data.arch && arch.is_own(data.nr));
    let name = arch.and_then(|arch| arch.call(data.nr));
    let name = name.map_or_else(|| format!("syscall[{}]", data.nr as i32), str::to_owned);
    let args: Vec<String> = data.args.iter().map(|arg| format!("{arg:#x}")).collect();
    format!("{name}({}) on {}", args.join(", "), arch_name(data.arch, data.nr))
}

/// The same for scripts.
pub fn data_json(data: &Data) -> Value {
    let arch = Arch::all().find(|arch| arch.audit() == data.arch && arch.is_own(data.nr));
    json!({
        "call": arch.and_then(|arch| arch.call(data.nr)), "nr": data.nr,
        "arch": arch.map(Arch::name), "audit": data.arch, "args": data.args,
    })
}

/// A number: decimal, hexadecimal, negative, or a constant's name.
fn value(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    };
    match number {
        Some(number) => Some(if negative { number.wrapping_neg() } else { number }),
        None => arch::constant(text),
    }
}

fn number(arch: Arch, text: &str) -> Option<u32> {
    let by_number = || value(text).filter(|_| !text.starts_with(char::is_alphabetic));
    arch.number(text).or_else(|| by_number().and_then(|number| u32::try_from(number).ok()))
}

/// `skep seccomp why`.
pub fn why(args: &WhyArgs, out: &mut dyn Write) -> Outcome {
    let (policy, filter) = args.policy.compile()?;
    let mut decisions = Vec::new();
    for &arch in &policy.arches {
        let Some(nr) = number(arch, &args.call) else { continue };
        let mut data = Data { nr, arch: arch.audit(), ip: 0, args: [0; ARGS] };
        for arg in &args.args {
            let parsed = arg.split_once('=').and_then(|(name, text)| {
                let index = arch::argument(arch.call(nr).unwrap_or_default(), name)?;
                Some((usize::from(index), value(text)?))
            });
            let (index, value) = parsed.filter(|(index, _)| *index < ARGS).ok_or_else(|| {
                let names = arch::arguments(arch.call(nr).unwrap_or_default()).join(", ");
                Failure::unusable(format!("{arg:?} is no argument and value"))
                    .hint(format!("as in arg0=3; names are {names}"))
            })?;
            data.args[index] = value;
        }
        let (action, reason) = filter.decide(&data);
        let rule = match reason {
            Reason::Rule(index) => policy.rules.get(index),
            _ => None,
        };
        let text = match reason {
            Reason::Rule(_) => match rule {
                Some(rule) if rule.conditions.is_empty() => {
                    format!("by {}, whatever the arguments", rule.place)
                }
                Some(rule) => {
                    let held: Vec<String> = rule.conditions.iter().map(|c| c.to_string()).collect();
                    format!("by {}, since {}", rule.place, held.join(" and "))
                }
                None => String::new(),
            },
            Reason::Default => "by the default: no rule holds".into(),
            Reason::Newer(kernel) => {
                format!("since it is newer than the policy's kernel {kernel}")
            }
            Reason::BadArch => "since its architecture is not listed".into(),
        };
        let others = filter.plan().texts(arch.audit(), nr);
        decisions.push(json!({
            "data": data_json(&data), "action": action.to_string(), "reason": text,
            "place": rule.map(|rule| rule.place.clone()), "rules": others,
            "constant": filter.machine().is_constant_allow(nr, arch.audit()),
        }));
        if !args.json {
            writeln!(out, "{}: {action} {text}", data_text(&data))?;
            if others.len() > 1 {
                others.iter().try_for_each(|other| writeln!(out, "    {other}"))?;
            }
        }
    }
    if decisions.is_empty() {
        return Err(Failure::unusable(format!("there is no call {:?}", args.call))
            .hint("skep seccomp resolve NAME shows who has it; numbers are taken, too"));
    }
    if args.json {
        print_json(out, &Value::from(decisions))?;
    }
    Ok(Status::Done)
}

/// `skep seccomp resolve`.
pub fn resolve(args: &ResolveArgs, out: &mut dyn Write) -> Outcome {
    let arches: Vec<Arch> = match args.arch.is_empty() {
        true => Arch::all().collect(),
        false => {
            let arch = |name: &String| {
                Arch::of_name(name)
                    .ok_or_else(|| Failure::unusable(format!("there is no architecture {name:?}")))
            };
            args.arch.iter().map(arch).collect::<Result<_, _>>()?
        }
    };
    let mut rows = Vec::new();
    for call in &args.calls {
        let mut found = false;
        for &arch in &arches {
            let Some(nr) = number(arch, call) else { continue };
            let Some(name) = arch.call(nr) else { continue };
            found = true;
            let by = behind(arch, name);
            if !args.json {
                let by = by.map_or(String::new(), |(by, index)| format!("  also {by}({index})"));
                writeln!(out, "{:12} {name} {nr}{by}", arch.name())?;
            }
            rows.push(json!({ "arch": arch.name(), "call": name, "nr": nr,
                "behind": by.map(|(by, index)| json!({ "call": by, "index": index })),
                "since": arch::since(name).map(|since| since.to_string()) }));
        }
        if !found {
            // Only behind another call.
            for &arch in &arches {
                let Some((by, index)) = behind(arch, call) else { continue };
                found = true;
                if !args.json {
                    writeln!(out, "{:12} {call} by {by}({index})", arch.name())?;
                }
                rows.push(json!({ "arch": arch.name(), "call": call, "nr": null,
                    "behind": json!({ "call": by, "index": index }) }));
            }
        }
        if !found {
            return Err(Failure::refused(format!("there is no call {call:?}"))
                .hint("--arch ARCH says where; without, it is looked for everywhere"));
        }
    }
    if args.json {
        print_json(out, &Value::from(rows))?;
    }
    Ok(Status::Done)
}
