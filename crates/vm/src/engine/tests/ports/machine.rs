//! A machine that runs code: a small program, built for it by clang, under QEMU's user
//! mode, or as it is where it is our own.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use skep_jit::ByteOrder;
use skep_jit::{State, offset};

use super::Port;
use crate::memory::stack::{FRAME_SIZE, STACK_SIZE};

/// Code, and memory for it to work on.
pub struct Job {
    pub code: Vec<u8>,
    pub memory: Vec<u8>,
}

/// What a job left behind.
#[derive(PartialEq, Debug)]
pub struct Left {
    pub returned: u64,
    pub exit: u64,
    pub memory: Vec<u8>,
}

/// Builds the program that runs code, and runs these jobs on it. `None`, and a line about
/// it, where a tool for that is missing.
pub fn run(port: &Port, jobs: &[Job], budget: u64) -> Option<Vec<Left>> {
    static RUNNERS: AtomicU32 = AtomicU32::new(0);
    let number = RUNNERS.fetch_add(1, Ordering::Relaxed);
    let runner = format!("skep-{}-{}-{number}", port.name, std::process::id());
    let runner = std::env::temp_dir().join(runner);
    build(port, &runner)?;
    let mut command = match port.name == std::env::consts::ARCH {
        true => Command::new(&runner),
        false => {
            let mut command = Command::new(format!("qemu-{}", port.name));
            command.arg(&runner);
            command
        }
    };
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("skipped: no qemu-{} (package qemu-user)", port.name);
        return None;
    };
    let word = |number: u64| match port.bytes {
        ByteOrder::Little => number.to_le_bytes(),
        ByteOrder::Big => number.to_be_bytes(),
    };
    let mut input = Vec::new();
    for job in jobs {
        input.extend(word(job.code.len() as u64));
        input.extend(word(job.memory.len() as u64));
        input.extend(word(budget));
        input.extend(&job.code);
        input.extend(&job.memory);
    }
    let mut pipe = child.stdin.take().expect("it was asked for");
    // A runner that dies early does not read everything; what it gave tells where.
    let writer = std::thread::spawn(move || pipe.write_all(&input).is_ok());
    let mut output = Vec::new();
    child.stdout.take().expect("it was asked for").read_to_end(&mut output).expect("a pipe");
    writer.join().expect("writing does not panic");
    let status = child.wait().expect("it ran");
    std::fs::remove_file(&runner).expect("it is ours");
    let mut rest = &output[..];
    let mut results = Vec::new();
    for job in jobs {
        let Some((head, tail)) = rest.split_at_checked(16) else { break };
        let Some((memory, tail)) = tail.split_at_checked(job.memory.len()) else { break };
        let number = |bytes: &[u8]| {
            let bytes = bytes.try_into().expect("8 bytes");
            match port.bytes {
                ByteOrder::Little => u64::from_le_bytes(bytes),
                ByteOrder::Big => u64::from_be_bytes(bytes),
            }
        };
        let (returned, exit) = (number(&head[..8]), number(&head[8..]));
        results.push(Left { returned, exit, memory: memory.to_vec() });
        rest = tail;
    }
    let (ran, all) = (results.len(), jobs.len());
    assert!(ran == all, "{}: {status} after {ran} of {all} jobs", port.name);
    Some(results)
}

fn build(port: &Port, into: &Path) -> Option<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/tests/ports/runner.c");
    let defines = [
        ("STACK_SIZE", STACK_SIZE as usize),
        ("FRAME_SIZE", FRAME_SIZE as usize),
        ("STATE_SIZE", size_of::<State<'_>>()),
        ("BUDGET", offset::BUDGET as usize),
        ("EXIT_FIELD", offset::EXIT as usize),
        ("FRAME", offset::FRAME as usize),
        ("STACK", offset::STACK as usize),
        ("LIMIT", offset::LIMIT as usize),
        ("MEMORY", offset::MEMORY as usize),
        ("PLACES", offset::PLACES as usize),
    ];
    let mut command = Command::new("clang-19");
    command.arg(format!("--target={}-unknown-linux-gnu", port.name));
    command.args(["-O1", "-ffreestanding", "-nostdlib", "-static", "-fno-pic"]);
    command.args(["-fno-stack-protector", "-fuse-ld=lld-19"]);
    command.args(defines.iter().map(|(name, value)| format!("-D{name}={value}")));
    command.arg(source).arg("-o").arg(into);
    match command.output() {
        Err(_) => println!("skipped: no clang-19 (packages clang-19, lld-19)"),
        Ok(output) if output.status.success() => return Some(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("lld"), "the runner for {} is not built:\n{said}", port.name);
            println!("skipped: no lld-19 (package lld-19)");
        }
    }
    None
}
