//! Answers to calls that wait, as a table in TOML.

use std::path::{Path, PathBuf};

use skep::sys::host::seccomp::{Answer, Listener, Notification};
use skep_lang::seccomp::{Arch, Condition, arch, condition};
use toml::{Table as Toml, Value};

use super::ENOSYS;
use super::open::{self, Allowed};
use crate::failure::Failure;
use crate::files::{self, in_file};

/// What `--help` says of it.
pub const HELP: &str = "\
The answers are a list; the first one for a call is its answer, and without one it fails with
ENOSYS:
  [[answer]]
  call = \"mkdir\"              # which fails
  errno = \"EROFS\"
  [[answer]]
  call = \"getuid\"             # which gives a number
  value = 1000
  [[answer]]
  call = \"kill\"               # which is made, by its registers alone
  when = \"sig == 0\"
  continue = true
  [[answer]]
  call = \"openat\"             # open, openat, openat2: opened here, beneath these folders
  open = [\"/usr/share\", \"/etc/ssl\"]
  write = false

A path is read once. The file is opened by skep beneath the folder (openat2 with
RESOLVE_BENEATH, under the command's root), and handed to the command: what the command
writes over the path meanwhile changes nothing.

Example:
  skep seccomp notify answers.toml -e 'default allow notify { openat }' -- cat /etc/ssl/cert.pem";

/// What is done about a call.
enum Deed {
    Errno(i32),
    Value(i64),
    Continue,
    Open(Allowed),
}

struct Row {
    call: String,
    /// The cases in which it is an answer; all conditions of one hold.
    cases: Vec<Vec<Condition>>,
    deed: Deed,
}

/// The answers.
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Reads a table.
    pub fn read(file: &Path) -> Result<Table, Failure> {
        let text = files::read_text(file)?;
        let toml: Toml = text.parse().map_err(|error: toml::de::Error| {
            in_file(file, format!("is no TOML: {}", error.message()))
        })?;
        let empty = Vec::new();
        let answers = match toml.get("answer") {
            None => &empty,
            Some(Value::Array(answers)) => answers,
            Some(_) => return Err(in_file(file, "`answer` is no list; each begins [[answer]]")),
        };
        let mut rows = Vec::new();
        for (index, answer) in answers.iter().enumerate() {
            let wrong = |text: String| in_file(file, format!("answer[{index}]: {text}"));
            let answer = answer.as_table().ok_or_else(|| wrong("is no table".into()))?;
            rows.push(row(answer).map_err(wrong)?);
        }
        Ok(Table { rows })
    }

    /// Answers a call.
    pub fn answer(&self, listener: &Listener, call: &Notification) -> std::io::Result<()> {
        let mut arches = Arch::all().filter(|arch| arch.audit() == call.arch);
        let name = arches.find(|arch| arch.is_own(call.nr)).and_then(|arch| arch.call(call.nr));
        let holds = |row: &&Row| {
            let case = |case: &Vec<Condition>| case.iter().all(|of| of.holds(&call.args));
            Some(row.call.as_str()) == name && row.cases.iter().any(case)
        };
        match self.rows.iter().find(holds).map(|row| &row.deed) {
            None => listener.answer(call.id, Answer::Errno(ENOSYS)),
            Some(Deed::Errno(errno)) => listener.answer(call.id, Answer::Errno(*errno)),
            Some(Deed::Value(value)) => listener.answer(call.id, Answer::Value(*value)),
            Some(Deed::Continue) => listener.answer(call.id, Answer::Continue),
            Some(Deed::Open(allowed)) => {
                open::answer(listener, call, name.unwrap_or_default(), allowed)
            }
        }
    }
}

fn row(answer: &Toml) -> Result<Row, String> {
    let keys = ["call", "when", "errno", "value", "continue", "open", "write"];
    if let Some(key) = answer.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(format!("there is no key `{key}`; keys are {}", keys.join(", ")));
    }
    let call = answer.get("call").and_then(Value::as_str).ok_or("there is no `call`")?.to_owned();
    if !arch::exists(&call) {
        return Err(format!("no architecture has a call {call}"));
    }
    let cases = match answer.get("when") {
        None => vec![Vec::new()],
        Some(when) => {
            let text = when.as_str().ok_or("`when` is no text")?;
            condition(text, &call).map_err(|error| format!("when, {error}"))?
        }
    };
    let deeds = ["errno", "value", "continue", "open"].map(|key| answer.get(key));
    let deed = match deeds {
        [Some(errno), None, None, None] => Deed::Errno(match errno {
            Value::String(name) => {
                skep::Errno::of_name(name).ok_or(format!("no error {name:?}"))?.0
            }
            Value::Integer(number @ 1..4096) => *number as i32,
            _ => return Err("`errno` is no error".into()),
        }),
        [None, Some(value), None, None] => {
            Deed::Value(value.as_integer().ok_or("`value` is no number")?)
        }
        [None, None, Some(Value::Boolean(true)), None] => Deed::Continue,
        [None, None, None, Some(Value::Array(folders))] => {
            if !matches!(call.as_str(), "open" | "openat" | "openat2") {
                return Err(format!("`open` is no answer to {call}, which opens nothing"));
            }
            let folder = |folder: &Value| match folder.as_str() {
                Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
                _ => Err("`open` is a list of absolute paths of folders".to_owned()),
            };
            let folders = folders.iter().map(folder).collect::<Result<_, _>>()?;
            let write = answer.get("write").and_then(Value::as_bool).unwrap_or_default();
            Deed::Open(Allowed { folders, write })
        }
        _ => return Err("it takes one of `errno`, `value`, `continue = true`, `open`".into()),
    };
    Ok(Row { call, cases, deed })
}
