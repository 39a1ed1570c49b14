//! Runs each of `programs/` in a process of its own, so that one that dies or hangs is
//! reported by name. All of them are safe code: the attribute below covers their modules.
#![forbid(unsafe_code)]

mod tools;

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

/// Names the program that this process is.
const CHILD: &str = "SKEP_BOUNDARY";
/// A program that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Programs that misbehave, for the harness's own tests.
const FAULTY: &[(&str, fn(), &str)] = &[
    ("faulty_panics", || panic!("on purpose"), "exit code 101"),
    ("faulty_dies", || std::process::abort(), "signal 6"),
    ("faulty_hangs", || std::thread::sleep(LIMIT), "still running"),
];

fn main() {
    if let Ok(name) = std::env::var(CHILD) {
        let faulty = FAULTY.iter().map(|(name, program, _)| (name, program));
        let programs = PROGRAMS.iter().map(|(name, program)| (name, program));
        let found = programs.chain(faulty).find(|(known, _)| **known == name);
        found.unwrap_or_else(|| panic!("no program {name}")).1();
        return;
    }
    let mut trials: Vec<Trial> = PROGRAMS
        .iter()
        .map(|(name, _)| Trial::test(*name, || run(name, LIMIT).map_err(Failed::from)))
        .collect();
    trials.extend(FAULTY.iter().map(|(name, _, says)| {
        Trial::test(*name, move || match run(name, Duration::from_secs(2)) {
            Err(text) if text.contains(says) => Ok(()),
            other => Err(format!("reported as {other:?}").into()),
        })
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Runs a program; the error is how it ended and what it said.
fn run(name: &str, limit: Duration) -> Result<(), String> {
    let mut child = Command::new(std::env::current_exe().map_err(|error| error.to_string())?)
        .env(CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let collect = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error is what there is to show.
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = child.stdout.take().map(|pipe| collect(Box::new(pipe)));
    let err = child.stderr.take().map(|pipe| collect(Box::new(pipe)));
    let started = Instant::now();
    let ended = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if started.elapsed() > limit => {
                child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = |pipe: Option<std::thread::JoinHandle<String>>| {
        pipe.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    let (out, err) = (text(out), text(err));
    for line in out.lines().filter(|line| line.starts_with("skipped: ")) {
        println!("{line} ({name})");
    }
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{}\n{out}{err}", how(status))),
        None => Err(format!("still running after {limit:?}\n{out}{err}")),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        _ => status.to_string(),
    }
}
