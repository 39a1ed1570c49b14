//! One test: its command is run in a shell of its own session, what it starts beside when the
//! probes are attached, and its output is looked through for what is expected.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Result;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{EVERYWHERE, list, text};

/// What came of a test.
pub enum Verdict {
    Same,
    Differs { command: String, output: String, reason: String },
}

/// What skep prints when all is attached.
const ATTACHED: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED\n";
/// How long that may take.
const ATTACHING: Duration = Duration::from_secs(20);

/// A shell in the tests' folder.
fn shell(command: &str, folder: &Path, environment: &str) -> Command {
    let mut shell = Command::new("/bin/bash");
    let path = std::env::var("PATH").unwrap_or_default();
    shell.args(["-c", command]).current_dir(folder);
    shell.env("PATH", format!("{}:{path}", folder.join("bin").display()));
    shell.env("__BPFTRACE_NOTIFY_PROBES_ATTACHED", "1");
    for (name, value) in environment.split_whitespace().filter_map(|word| word.split_once('=')) {
        shell.env(name, value);
    }
    shell.stdin(Stdio::null()).process_group(0);
    shell
}

/// Whether a command succeeds.
pub fn succeeds(command: &str, folder: &Path) -> bool {
    let mut shell = shell(command, folder, "");
    let status = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The command of a test.
fn command(test: &Value, folder: &Path) -> String {
    let bpftrace = folder.join("bin/bpftrace").display().to_string();
    let (run, program) = (text(test, "run"), text(test, "prog"));
    if !run.is_empty() {
        return run.replace("{{BPFTRACE}}", &bpftrace);
    }
    let json = if mode(test) == "json" { " -q -f json" } else { "" };
    let program = program.replace('\'', "'\\''");
    let sees_all = list(test, "probe_kinds").iter().any(|kind| EVERYWHERE.contains(kind));
    match (sees_all, text(test, "after")) {
        // What it starts is its own then, and nobody else is seen.
        (true, after) if !after.is_empty() => {
            let after = after.replace('\'', "'\\''").replace('"', "\\\"").replace('$', "\\$");
            format!("{bpftrace}{json} --only -c 'bash -c \"{after}\"' -e '{program}'")
        }
        _ => format!("{bpftrace}{json} -e '{program}'"),
    }
}

fn mode(test: &Value) -> &str {
    test["expect"].get(0).map_or("", |expect| text(expect, "mode"))
}

/// A command that runs, with what it has printed so far.
struct Running {
    child: Child,
    output: String,
    pieces: mpsc::Receiver<Vec<u8>>,
}

impl Running {
    fn start(mut command: Command) -> Result<Running> {
        let (mut reader, writer) = std::io::pipe()?;
        let child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
        // The command holds the pipe's other ends, which end when it does.
        drop(command);
        let (send, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut piece) {
                if send.send(piece[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Running { child, output: String::new(), pieces })
    }

    /// Reads until the end, or what is waited for, or no longer than so; gives whether there is
    /// nothing more to come.
    fn read(&mut self, until: Instant, waited_for: Option<&str>) -> bool {
        loop {
            if waited_for.is_some_and(|text| self.output.contains(text)) {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.output.push_str(&String::from_utf8_lossy(&piece)),
                Err(mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// Sends a signal to all that the command started.
    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

/// Runs a test and looks at what came of it.
///
/// # Errors
/// What keeps it from being run.
pub fn judge(test: &Value, folder: &Path) -> Result<Verdict> {
    let command = command(test, folder);
    let environment = text(test, "env").to_owned() + &environment(test);
    let mut running = Running::start(shell(&command, folder, &environment))?;
    let mut ended = running.read(Instant::now() + ATTACHING, Some(ATTACHED));
    let mut beside = None;
    if !ended && running.output.contains(ATTACHED) {
        if matches!(mode(test), "json" | "file")
            && let Some((_, after)) = running.output.split_once(ATTACHED)
        {
            running.output = after.to_owned();
        }
        let after = text(test, "after");
        if !after.is_empty() && !command.contains(" --only ") {
            // By its number: others may run a program of that name.
            let process = running.child.id().to_string();
            let after = after.replace("$(pidof bpftrace)", &process);
            let mut shell = shell(&after, folder, &environment);
            beside = Some(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        }
        let seconds = number(test, "timeout").unwrap_or(5).max(1);
        ended = running.read(Instant::now() + Duration::from_secs(seconds), None);
    }
    if !ended {
        running.signal(rustix::process::Signal::TERM);
        running.read(Instant::now() + Duration::from_secs(1), None);
        running.signal(rustix::process::Signal::KILL);
        running.read(Instant::now() + Duration::from_secs(5), None);
    }
    let status = running.child.wait()?;
    if let Some(mut beside) = beside {
        let _ = beside.kill();
        beside.wait()?;
    }
    let output = running.output;
    let differs = |reason: String| Verdict::Differs {
        command: command.clone(),
        output: output.clone(),
        reason,
    };
    for expect in test["expect"].as_array().into_iter().flatten() {
        if !is_met(expect, &output, test, folder)? {
            let (mode, value) = (text(expect, "mode"), text(expect, "value"));
            return Ok(differs(format!("{mode} {value:?}")));
        }
    }
    let wanted = number(test, "return_code").unwrap_or(0);
    let has_to_fail = test["will_fail"].as_bool().unwrap_or(false);
    let right = if has_to_fail {
        !status.success()
    } else {
        status.code().is_some_and(|code| code as u64 == wanted)
    };
    if ended && !right {
        return Ok(differs(format!("it ended with {status}")));
    }
    Ok(Verdict::Same)
}

/// A field that is a number, as text or not.
fn number(test: &Value, field: &str) -> Option<u64> {
    test[field].as_u64().or_else(|| text(test, field).parse().ok())
}

/// Writes the script that a test's command names, where the test has one.
///
/// # Errors
/// It cannot be written.
pub fn write_script(test: &Value, folder: &Path) -> Result<()> {
    let script = text(test, "script");
    let words = text(test, "run").split_whitespace();
    let mut named = words.filter(|word| word.starts_with("runtime/scripts/"));
    if let (Some(name), false) = (named.next(), script.is_empty()) {
        std::fs::write(folder.join(name), script)?;
    }
    Ok(())
}

/// Variables that a test sets as an object.
fn environment(test: &Value) -> String {
    let variables = test["env"].as_object().into_iter().flatten();
    variables.map(|(name, value)| format!(" {name}={}", value.as_str().unwrap_or(""))).collect()
}

/// Whether an output is as expected.
fn is_met(expect: &Value, output: &str, test: &Value, folder: &Path) -> Result<bool> {
    let (mode, value) = (text(expect, "mode"), text(expect, "value"));
    let whole_line = |value: &str| format!(r"^\s*{}\s*$", regex::escape(value));
    let found = |pattern: &str| -> Result<bool> { Ok(lines(pattern)?.is_match(output)) };
    Ok(match mode {
        "text" => found(&whole_line(value))?,
        "text_none" => !found(&whole_line(value))?,
        "regex" => found(value)?,
        "regex_none" => !found(value)?,
        "file" => {
            let wanted = std::fs::read_to_string(folder.join(value))?;
            // Times are those of 1970's first hour, where the machine is.
            let wanted = match test.get("localize_timestamps") {
                Some(_) => wanted.replace("%H", &hour()),
                None => wanted,
            };
            output.trim() == wanted.trim()
        }
        _ => {
            let wanted = std::fs::read_to_string(folder.join(value))?;
            let (mut found, mut all) = (output.trim().lines(), true);
            let documents: Vec<Value> = match value.ends_with(".ndjson") {
                true => {
                    wanted.trim().lines().map(serde_json::from_str).collect::<Result<_, _>>()?
                }
                false => vec![serde_json::from_str(&wanted)?],
            };
            for wanted in documents {
                let line = found.next().unwrap_or_default();
                all &= serde_json::from_str::<Value>(line).is_ok_and(|found| found == wanted);
            }
            all && found.next().is_none()
        }
    })
}

/// A pattern whose `^` and `$` are those of lines. The tests' language takes a brace that is no
/// quantifier as it is.
fn lines(pattern: &str) -> Result<Regex> {
    let counted = Regex::new(r"^\{\d+(,\d*)?\}")?;
    let (mut strict, mut rest) = (String::new(), pattern);
    while let Some(next) = rest.chars().next() {
        let len = match next {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '{' => counted.find(rest).map_or(1, |found| found.len()),
            _ => next.len_utf8(),
        };
        if &rest[..len] == "{" {
            strict.push('\\');
        }
        strict.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    Ok(RegexBuilder::new(&strict).multi_line(true).build()?)
}

/// The hour of the first second of 1970 here.
fn hour() -> String {
    let output = Command::new("date").args(["-d", "@0", "+%H"]).output();
    output.map_or("00".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
