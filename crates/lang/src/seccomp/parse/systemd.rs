//! The lines of systemd's units that say what a service may call (systemd.exec(5)):
//! `SystemCallFilter=`, `SystemCallErrorNumber=`, `SystemCallArchitectures=`,
//! `SystemCallLog=`. Other lines are passed over.

use skep_abi::limits::MAX_ERRNO;
use std::collections::BTreeMap;

use super::{Environment, ParseError, sets};
use crate::seccomp::arch::{self, Arch};
use crate::seccomp::policy::{Action, Call, Policy, Rule, number};

/// The calls that an allow-list has in any case.
const ALWAYS: &str = "@default";

/// What lines ask for so far.
#[derive(Default)]
struct Lines {
    /// Whether the list says what is allowed; the first line decides.
    allows: Option<bool>,
    /// Calls of the list, each with its own error and its line.
    calls: BTreeMap<String, (Option<Action>, usize)>,
    logged: BTreeMap<String, usize>,
    error: Option<Action>,
    arches: Vec<Arch>,
}

/// Reads the lines.
pub(super) fn parse(text: &str, environment: &Environment) -> Result<Policy, ParseError> {
    let mut lines = Lines::default();
    let mut known = false;
    for (line, number) in text.lines().zip(1..) {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        let value = value.trim();
        match key.trim_end() {
            "SystemCallFilter" => lines.filter(value, number)?,
            "SystemCallErrorNumber" => lines.error = error(value, number)?,
            "SystemCallArchitectures" => lines.arches(value, number)?,
            "SystemCallLog" => lines.log(value, number)?,
            _ => continue,
        }
        known = true;
    }
    if !known {
        return Err(ParseError::new("", "no line is about system calls")
            .hint("for example: SystemCallFilter=@system-service"));
    }
    Ok(lines.policy(environment))
}

fn error(text: &str, line: usize) -> Result<Option<Action>, ParseError> {
    match text {
        "" => Ok(None),
        "kill" => Ok(Some(Action::KillProcess)),
        text => number(text)
            .filter(|&data| data <= MAX_ERRNO)
            .map(|data| Some(Action::Errno(data)))
            .ok_or_else(|| ParseError::new(format!("line {line}"), format!("no error {text:?}"))),
    }
}

impl Lines {
    fn filter(&mut self, value: &str, line: usize) -> Result<(), ParseError> {
        if value.is_empty() {
            self.calls.clear();
            self.allows = None;
            return Ok(());
        }
        let (inverted, list) = match value.strip_prefix('~') {
            Some(list) => (true, list),
            None => (false, value),
        };
        if self.allows.is_none() && !inverted {
            // Without these nothing runs; a later line may take them out again.
            let always = sets::calls(ALWAYS).unwrap_or_default();
            self.calls.extend(always.into_iter().map(|call| (call.to_owned(), (None, line))));
        }
        let allows = *self.allows.get_or_insert(!inverted);
        for word in list.split_whitespace() {
            let (name, own) = match word.split_once(':') {
                Some((name, text)) => (name, error(text, line)?),
                None => (word, None),
            };
            for call in named(name, line)? {
                // A line of the other kind takes out of the list, but for what it gives
                // an error of its own.
                match inverted == allows && own.is_none() {
                    true => {
                        self.calls.remove(call);
                    }
                    false => {
                        self.calls.insert(call.to_owned(), (own, line));
                    }
                }
            }
        }
        Ok(())
    }

    fn log(&mut self, value: &str, line: usize) -> Result<(), ParseError> {
        if value.is_empty() {
            self.logged.clear();
        }
        let (inverted, list) = match value.strip_prefix('~') {
            Some(list) => (true, list),
            None => (false, value),
        };
        if inverted && self.logged.is_empty() {
            self.logged = arch::names().map(|name| (name.to_owned(), line)).collect();
        }
        for word in list.split_whitespace() {
            for call in named(word, line)? {
                match inverted {
                    true => drop(self.logged.remove(call)),
                    false => drop(self.logged.insert(call.to_owned(), line)),
                }
            }
        }
        Ok(())
    }

    fn arches(&mut self, value: &str, line: usize) -> Result<(), ParseError> {
        if value.is_empty() {
            self.arches.clear();
        }
        for name in value.split_whitespace() {
            let arch = Arch::of_name(name).ok_or_else(|| {
                ParseError::new(format!("line {line}"), format!("no architecture {name:?}"))
            })?;
            if !self.arches.contains(&arch) {
                self.arches.push(arch);
            }
        }
        Ok(())
    }

    fn policy(self, environment: &Environment) -> Policy {
        let stop = self.error.unwrap_or(Action::KillProcess);
        let allows = self.allows == Some(true);
        let mut policy = Policy::new(if allows { stop } else { Action::Allow });
        policy.arches = match self.arches.is_empty() {
            true => vec![environment.arch],
            false => self.arches,
        };
        let mut push = |call: &str, action, line: usize| {
            policy.rules.push(Rule {
                call: Call::Name(call.to_owned()),
                action,
                conditions: Vec::new(),
                place: format!("line {line}"),
            });
        };
        for (call, (own, line)) in &self.calls {
            push(call, own.unwrap_or(if allows { Action::Allow } else { stop }), *line);
        }
        for (call, line) in &self.logged {
            push(call, Action::Log, *line);
        }
        policy
    }
}

/// The calls of a name; unknown ones are passed over, as systemd does, but not unknown sets.
fn named(name: &str, line: usize) -> Result<Vec<&str>, ParseError> {
    match name.starts_with('@') {
        false => Ok(vec![name]),
        true => match sets::calls(name) {
            Some(calls) => Ok(calls.into_iter().collect()),
            None => Err(ParseError::new(format!("line {line}"), format!("there is no set {name}"))
                .hint(sets::hint())),
        },
    }
}
