//! `check`, `show` and `prove`.

use std::io::Write;

use serde_json::{Value, json};
use skep::isa::classic::{c_source, decimal, listing, parse as parse_listing};
use skep_lang::seccomp::{
    Arch, Call, Data, Filter, Machine, Policy, ProveError, Rule, arch, behind,
};

use super::call::{data_json, data_text};
use super::policy::PolicyArgs;
use crate::failure::{Failure, Outcome, Status};
use crate::files;
use crate::terminal::clean;
use crate::terminal::print_json;

/// Say what is wrong with a policy, and prove that its filter decides as its rules do
#[derive(clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// Show what a policy decides, call by call, or its program
#[derive(clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// The program: -d as a listing, -dd in C, -ddd as numbers
    #[arg(short = 'd', action = clap::ArgAction::Count)]
    program: u8,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// Prove that a filter decides as a policy's rules do: for all calls, all architectures and
/// all values of arguments
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep seccomp prove profile.json                     our own program of it
  skep seccomp prove profile.json --filter other.bpf  anyone's: raw, or as tcpdump -d prints it")]
pub struct ProveArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// A program to prove instead of our own
    #[arg(long, value_name = "FILE")]
    filter: Option<std::path::PathBuf>,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// `skep seccomp check`.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> Outcome {
    let (policy, filter) = args.policy.compile()?;
    let notes = notes(&policy, &filter);
    let proof = filter.prove();
    let arches: Vec<&str> = policy.arches.iter().map(|arch| arch.name()).collect();
    let insns = filter.filters().len();
    if args.json {
        let value = json!({
            "policy": args.policy.name(), "default": policy.default.to_string(),
            "arches": arches, "rules": policy.rules.len(), "instructions": insns,
            "proved": proof.is_ok(), "cases": proof.as_ref().map_or(0, |proof| proof.cases),
            "notes": notes,
        });
        print_json(out, &value)?;
    } else {
        for note in &notes {
            writeln!(out, "note: {}", clean(note))?;
        }
        let cases = proof.as_ref().map_or(0, |proof| proof.cases);
        writeln!(
            out,
            "{} rules, else {}; {}: {insns} instructions, {}",
            policy.rules.len(),
            policy.default,
            arches.join(", "),
            if proof.is_ok() { format!("proved in {cases} cases") } else { "not proved".into() },
        )?;
    }
    match proof {
        Ok(_) => Ok(Status::Done),
        Err(error) => Err(unproved(&args.policy.name(), &error)),
    }
}

/// What somebody who wrote this may not have meant.
fn notes(policy: &Policy, filter: &Filter) -> Vec<String> {
    let mut notes = Vec::new();
    let mut unknown: Vec<&str> = Vec::new();
    for rule in &policy.rules {
        if let Call::Name(name) = &rule.call
            && !arch::exists(name)
            && !unknown.contains(&name.as_str())
        {
            unknown.push(name);
        }
    }
    if !unknown.is_empty() {
        notes.push(format!("no architecture has a call {}", unknown.join(", ")));
    }
    for arch in &policy.arches {
        let hidden = |rule: &&Rule| match &rule.call {
            Call::Name(name) => !rule.conditions.is_empty() && behind(*arch, name).is_some(),
            Call::Number(_) => false,
        };
        if let Some(rule) = policy.rules.iter().find(hidden) {
            let by = match &rule.call {
                Call::Name(name) => behind(*arch, name).map_or("", |(by, _)| by),
                Call::Number(_) => "",
            };
            notes.push(format!(
                "{}: on {} {} is also made by {by}, where its arguments are not seen: \
                 what a condition lets through is not let through there",
                rule.place,
                arch.name(),
                rule.call
            ));
        }
        let ends = |name: &str| {
            let nr = arch.number(name)?;
            let data = Data { nr, arch: arch.audit(), ..Data::default() };
            let action = filter.decide(&data).0;
            (action < skep_lang::seccomp::Action::Notify).then(|| format!("{name} ({action})"))
        };
        for name in ["execve", "exit_group"] {
            if let Some(text) = ends(name) {
                notes.push(format!("{}: no command can do without {text}", arch.name()));
            }
        }
        // An error that a library does not take for "not there" breaks what would do without.
        for name in ["clone3", "rseq", "faccessat2", "openat2"] {
            let Some(nr) = arch.number(name) else { continue };
            let data = Data { nr, arch: arch.audit(), ..Data::default() };
            if filter.decide(&data).0 == skep_lang::seccomp::Action::Errno(1) {
                notes.push(format!(
                    "{}: {name} gives EPERM; libraries go on without it only after ENOSYS",
                    arch.name()
                ));
            }
        }
    }
    notes
}

/// `skep seccomp show`.
pub fn show(args: &ShowArgs, out: &mut dyn Write) -> Outcome {
    let (policy, filter) = args.policy.compile()?;
    let filters = filter.filters();
    match args.program {
        0 => {}
        1 => out.write_all(listing(filters).as_bytes())?,
        2 => out.write_all(c_source(filters).as_bytes())?,
        _ => out.write_all(decimal(filters).as_bytes())?,
    }
    if args.program > 0 {
        return Ok(Status::Done);
    }
    let mut arches = Vec::new();
    for arch in &policy.arches {
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        let mut calls = Vec::new();
        for (name, nr) in arch.calls() {
            let texts = filter.plan().texts(arch.audit(), nr);
            calls.push(json!({ "call": name, "nr": nr, "decides": texts }));
            let text = texts.join("; ");
            match rows.iter_mut().find(|row| row.0 == text) {
                Some(row) => row.1.push(name.to_owned()),
                None => rows.push((text, vec![name.to_owned()])),
            }
        }
        if !args.json {
            writeln!(out, "{}:", arch.name())?;
            for (text, names) in rows {
                writeln!(out, "  {text}\n      {}", names.join(" "))?;
            }
        }
        arches.push(json!({ "arch": arch.name(), "audit": arch.audit(), "calls": calls }));
    }
    if args.json {
        let value = json!({
            "default": policy.default.to_string(), "bad_arch": policy.bad_arch.to_string(),
            "instructions": filters.len(), "arches": arches,
        });
        print_json(out, &value)?;
    }
    Ok(Status::Done)
}

/// `skep seccomp prove`.
pub fn prove(args: &ProveArgs, out: &mut dyn Write) -> Outcome {
    let (policy, filter) = args.policy.compile()?;
    let (name, machine) = match &args.filter {
        None => (args.policy.name(), filter.machine().clone()),
        Some(file) => {
            let little = policy.arches.first().is_none_or(|arch| arch.is_little());
            (files::shown(file), read_machine(file, little)?)
        }
    };
    let proof = filter.plan().prove(&machine);
    let insns = machine.filters().len();
    if args.json {
        let counterexample = match &proof {
            Err(ProveError::Differs(example)) => json!({
                "call": data_json(&example.data), "program": example.program.to_string(),
                "policy": example.policy.0.to_string(),
            }),
            _ => Value::Null,
        };
        let value = json!({
            "proved": proof.is_ok(), "instructions": insns,
            "cases": proof.as_ref().map_or(0, |proof| proof.cases),
            "counterexample": counterexample,
        });
        print_json(out, &value)?;
    }
    match proof {
        Ok(proof) => {
            if !args.json {
                writeln!(
                    out,
                    "proved: {insns} instructions decide as {} rules do, for all calls and \
                     arguments ({} cases)",
                    policy.rules.len(),
                    proof.cases
                )?;
            }
            Ok(Status::Done)
        }
        Err(error) => Err(unproved(&name, &error)),
    }
}

fn unproved(name: &str, error: &ProveError) -> Failure {
    let failure = Failure::refused(format!("{name}: {error}"));
    match error {
        ProveError::Differs(example) => {
            failure.hint(format!("the call is {}", data_text(&example.data)))
        }
        ProveError::NotFollowed { .. } | ProveError::TooComplex => failure,
    }
}

/// A program of a file: raw instructions, or text.
fn read_machine(file: &std::path::Path, little: bool) -> Result<Machine, Failure> {
    use skep::isa::classic::Filter as Insn;
    let bytes = files::read(file, files::MAX_TEXT)?;
    let filters = if files::is_text(&bytes) {
        let text = String::from_utf8_lossy(&bytes);
        parse_listing(&text).map_err(|error| files::in_file(file, error))?
    } else if bytes.len() % Insn::SIZE != 0 {
        let text = format!("has {} bytes, no whole number of instructions", bytes.len());
        return Err(files::in_file(file, text));
    } else {
        let insn = |bytes: &[u8]| {
            let [a, b, jt, jf, k @ ..] = <[u8; 8]>::try_from(bytes).unwrap_or_default();
            let (code, k) = match little {
                true => (u16::from_le_bytes([a, b]), u32::from_le_bytes(k)),
                false => (u16::from_be_bytes([a, b]), u32::from_be_bytes(k)),
            };
            Insn { code, jt, jf, k }
        };
        bytes.chunks_exact(Insn::SIZE).map(insn).collect()
    };
    Machine::new(&filters, little).map_err(|error| files::in_file(file, error))
}

/// The first architecture of an audit value, for messages.
pub fn arch_name(audit: u32, nr: u32) -> String {
    let arch = Arch::all().find(|arch| arch.audit() == audit && arch.is_own(nr));
    arch.map_or_else(|| format!("{audit:#x}"), |arch| arch.name().to_owned())
}
