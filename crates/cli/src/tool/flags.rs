//! The command line of a tool, by its row.

use std::collections::HashMap;

use clap::{Arg, ArgAction, Command};

use super::table::{Flag, To, Tool};
use crate::trace::run::Which;

/// What a command line says.
#[derive(Debug, Default)]
pub struct Given {
    /// Flags and their values, by their words; the value of one without is empty.
    values: HashMap<&'static str, String>,
    /// What is to be traced.
    pub patterns: Vec<String>,
    /// Named parameters of the script.
    pub named: Vec<(String, Option<String>)>,
    /// What rows must have.
    pub filters: Vec<Filter>,
    /// The script sees this process alone.
    pub process: Option<u32>,
    /// The command to start.
    pub command: Option<String>,
    /// Records instead of columns.
    pub json: bool,
    /// The script is printed, not run.
    pub script: bool,
    /// The kernel that was asked for.
    pub kernel: Option<Which>,
    /// Seconds between outputs.
    pub interval: Option<u64>,
    /// So many outputs.
    pub count: Option<u64>,
    /// Seconds until the end.
    pub duration: Option<u64>,
}

/// What a row must have.
#[derive(Debug)]
pub enum Filter {
    /// A number in a field.
    Equal(&'static str, i64),
    /// Text in a field.
    Contains(&'static str, String),
}

impl Given {
    /// Whether a flag is given.
    pub fn has(&self, flag: &str) -> bool {
        self.values.contains_key(flag)
    }

    /// A flag's value.
    pub fn value(&self, flag: &str) -> Option<&str> {
        self.values.get(flag).map(String::as_str)
    }

    /// A flag's value, a number.
    pub fn number(&self, flag: &str) -> Option<u64> {
        self.value(flag)?.parse().ok()
    }

    /// Whether a port is among those that a flag lists, or it lists none.
    pub fn lists(&self, flag: &str, port: i64) -> bool {
        let is_it = |one: &str| one.trim().parse() == Ok(port);
        self.value(flag).is_none_or(|list| list.split(',').any(is_it))
    }
}

/// A parameter's name in scripts.
pub fn parameter(word: &str) -> String {
    word.replace('-', "_")
}

/// The command line as clap reads it.
pub fn command(tool: &'static Tool) -> Command {
    let has = |short: char| tool.flags.iter().any(|flag| flag.short == Some(short));
    let plain =
        |long| Arg::new(long).long(long).action(ArgAction::SetTrue).help_heading("Of all tools");
    let mut cmd = Arg::new("cmd").long("cmd").help_heading("Of all tools");
    if !has('c') {
        cmd = cmd.short('c');
    }
    let mut json = plain("json");
    if !has('j') {
        json = json.short('j');
    }
    let mut command = Command::new(tool.name)
        .bin_name(format!("skep tool {}", tool.name))
        .about(tool.about)
        .arg(cmd.value_name("COMMAND").help("Start a command, and trace its processes alone"))
        .arg(json.help("A JSON value for each event, or output"))
        .arg(plain("script").help("Print the script instead"))
        .arg(
            Arg::new("kernel")
                .long("kernel")
                .help_heading("Of all tools")
                .value_parser(clap::value_parser!(Which))
                .help("linux or embedded"),
        );
    for flag in tool.flags {
        command = command.arg(arg(flag));
    }
    command
}

fn arg(flag: &'static Flag) -> Arg {
    let mut arg = Arg::new(flag.long).help(flag.about);
    if flag.is_operand() {
        arg = arg.value_name(flag.value.unwrap_or(flag.long));
        if flag.to == To::Pattern {
            return arg.required(true).num_args(1..).action(ArgAction::Append);
        }
        return arg;
    }
    arg = arg.long(flag.long);
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    match flag.value {
        Some(value) => arg.value_name(value),
        None => arg.action(ArgAction::SetTrue),
    }
}

/// Reads a tool's command line.
pub fn parse(tool: &'static Tool, words: &[String]) -> Result<Given, clap::Error> {
    let mut command = command(tool);
    let words = std::iter::once(tool.name.to_owned()).chain(words.iter().cloned());
    let matches = command.try_get_matches_from_mut(words)?;
    let mut given = Given {
        command: matches.get_one::<String>("cmd").cloned(),
        json: matches.get_flag("json"),
        script: matches.get_flag("script"),
        kernel: matches.get_one::<Which>("kernel").copied(),
        ..Given::default()
    };
    for flag in tool.flags {
        if flag.to == To::Pattern {
            let patterns = matches.get_many::<String>(flag.long);
            given.patterns.extend(patterns.into_iter().flatten().cloned());
            continue;
        }
        let value = match flag.value {
            Some(_) => matches.get_one::<String>(flag.long).cloned(),
            None => matches.get_flag(flag.long).then(String::new),
        };
        if let Some(value) = value {
            given
                .take(flag, value)
                .map_err(|text| command.error(clap::error::ErrorKind::InvalidValue, text))?;
        }
    }
    Ok(given)
}

impl Given {
    fn take(&mut self, flag: &'static Flag, value: String) -> Result<(), String> {
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("--{} wants a number, and got {value:?}", flag.long))
        };
        let name = parameter(flag.long);
        match flag.to {
            To::Parameter => {
                let value = flag.value.map(|_| value.clone());
                self.named.push((name, value));
            }
            To::Scaled(by) => {
                self.named.push((name, Some(number()?.saturating_mul(by).to_string())));
            }
            To::Equal(field) => {
                self.filters.push(Filter::Equal(field, number()?.cast_signed()));
            }
            To::Contains(field) => self.filters.push(Filter::Contains(field, value.clone())),
            To::Process => {
                let process = u32::try_from(number()?).map_err(|error| error.to_string())?;
                self.process = Some(process);
            }
            To::Duration => self.duration = Some(number()?),
            To::Interval => self.interval = Some(number()?),
            To::Count => self.count = Some(number()?),
            To::Shown | To::Pattern => {}
        }
        self.values.insert(flag.long, value);
        Ok(())
    }
}
