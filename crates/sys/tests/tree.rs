//! System calls of process trees, beside what strace and the kernel count of them, and the
//! programs beside themselves untraced.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod tree {
    pub mod campaign;
    pub mod programs;
}

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use skep_sys::host::tree::{Capture, Counts, Enter, Event, Options, Tree, What};
use tree::programs::{self, Program};

/// What became of a command.
struct Seen {
    status: i32,
    output: Vec<u8>,
    events: Vec<Event>,
    counts: Counts,
}

impl Seen {
    fn calls(&self) -> BTreeMap<u32, u64> {
        let mut calls = BTreeMap::new();
        for enter in self.enters() {
            *calls.entry(enter.number).or_insert(0) += 1;
        }
        calls
    }

    fn enters(&self) -> impl Iterator<Item = &Enter> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Enter(enter) => Some(&**enter),
            _ => None,
        })
    }

    fn count(&self, number: i64) -> u64 {
        self.calls().get(&(number as u32)).copied().unwrap_or(0)
    }
}

/// Runs a command in a tree; None, with a line, where the machine cannot.
fn seen(command: Command, options: &Options) -> Option<Seen> {
    use std::io::Read;
    let mut command = command;
    command.stdout(std::process::Stdio::piped());
    let mut tree = match Tree::start(command, options) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            println!("skipped: {error}");
            return None;
        }
        tree => tree.unwrap(),
    };
    let (_, stdout, _) = tree.pipes();
    let output = std::thread::spawn(move || {
        let mut output = Vec::new();
        stdout.unwrap().read_to_end(&mut output).unwrap();
        output
    });
    let (began, mut events) = (Instant::now(), Vec::new());
    let status = loop {
        events.extend(tree.batch(Duration::from_millis(20)));
        if let Some(status) = tree.try_wait().unwrap() {
            break programs::status(status);
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it hangs");
    };
    let (_, rest, counts) = tree.finish();
    events.extend(rest);
    Some(Seen { status, output: output.join().unwrap(), events, counts })
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script);
    command
}

/// A program in each of its modes does and says what it does bare, and its calls of getppid are
/// all seen.
fn behaves(program: &Program) {
    for (mode, calls) in programs::MODES {
        let bare = program.command(mode).output().unwrap();
        let Some(seen) = seen(program.command(mode), &Options::default()) else {
            return;
        };
        let told = (programs::status(bare.status), String::from_utf8_lossy(&bare.stdout));
        assert_eq!((seen.status, String::from_utf8_lossy(&seen.output)), told, "{mode}");
        if let Some(calls) = calls {
            assert_eq!(seen.count(libc::SYS_getppid), *calls, "{mode}: {:?}", seen.counts);
        }
        // A thread may be killed by another's exec, or leave by longjmp out of a handler, in the
        // middle of a record.
        let most = match *mode {
            "exec_thread" => 1,
            "longjmps" => 3,
            _ => 0,
        };
        assert!(seen.counts.lost <= most, "{mode}: {:?}", seen.counts);
    }
}

#[test]
fn programs_behave_as_they_do_bare() {
    let Some(program) = Program::compiled(&[]) else { return };
    behaves(&program);
}

#[test]
fn static_programs_behave_as_they_do_bare() {
    let Some(program) = Program::compiled(&["-static"]) else { return };
    behaves(&program);
}

/// Scripts whose calls do not depend on who comes first.
const SCRIPTS: [&str; 7] = [
    "exec /bin/true",
    "exec /bin/ls -la /usr",
    "/bin/true; nosuchcommand 2>/dev/null; (exit 4); exec /bin/echo $?",
    "x=$(/bin/echo a); y=$(/bin/cat /etc/passwd | wc -l >/dev/null; echo b); echo $x$y",
    "exec env -i /usr/bin/env A=b /bin/sh -c 'exec /usr/bin/env'",
    "exec find /usr/share/doc -name 'x*'",
    "exec perl -e 'print \"x\" x 10; system(\"true\"); print `ls /`'",
];

#[test]
fn each_call_that_strace_sees_is_seen() {
    let mut compared = 0;
    for script in SCRIPTS {
        let Some(theirs) = programs::strace(script) else {
            println!("skipped: no strace");
            return;
        };
        let Some(seen) = seen(shell(script), &Options::default()) else { return };
        let bare = shell(script).output().unwrap();
        assert_eq!(seen.output, bare.stdout, "{script}");
        assert_eq!(seen.status, programs::status(bare.status), "{script}");
        let mut ours = seen.calls();
        // How often a shell that waits is interrupted by SIGCHLD depends on who comes first.
        let settle = |calls: &mut BTreeMap<u32, u64>| {
            for call in [libc::SYS_rt_sigreturn, libc::SYS_wait4] {
                calls.remove(&(call as u32));
            }
        };
        let mut theirs = theirs;
        settle(&mut ours);
        settle(&mut theirs);
        assert_eq!(ours, theirs, "{script}: {:?}", seen.counts);
        compared += ours.values().sum::<u64>();
    }
    println!("{compared} calls compared");
}

#[test]
fn calls_end_with_their_results() {
    let script = "exec /bin/cat /nonexistent /etc/hostname";
    let Some(seen) = seen(shell(script), &Options::default()) else { return };
    let mut open = Vec::new();
    let mut results = Vec::new();
    for event in &seen.events {
        match &event.what {
            What::Enter(enter) => open.push((event.tid, enter.number)),
            What::Exit { number, result } => {
                let Some(at) = open.iter().rposition(|call| *call == (event.tid, *number)) else {
                    panic!("an end without a beginning: {event:?}");
                };
                open.remove(at);
                if *number == libc::SYS_openat as u32 {
                    results.push(*result);
                }
            }
            _ => {}
        }
    }
    let last: Vec<i64> = open.iter().map(|call| i64::from(call.1)).collect();
    assert_eq!(last, [libc::SYS_exit_group], "what has not ended");
    assert!(results.contains(&-i64::from(libc::ENOENT)) && results.iter().any(|&fd| fd > 2));
    let times: Vec<u64> = seen.events.iter().map(|event| event.time).collect();
    assert!(times.is_sorted(), "in the order of time");
}

#[test]
fn what_pointers_point_to_is_captured() {
    let options = Options::none()
        .capture(libc::SYS_openat as u32, 1, Capture::Text(256))
        .capture(libc::SYS_execve as u32, 0, Capture::Text(256))
        .capture(libc::SYS_execve as u32, 1, Capture::List(20))
        .capture(libc::SYS_write as u32, 1, Capture::Bytes { length: 2, most: 64 });
    let script = "cat /etc/hostname; /bin/echo one two '' three; true; exec /bin/echo last";
    let Some(seen) = seen(shell(script), &options) else { return };
    let texts = |enter: &Enter, argument: u8| -> Vec<String> {
        let of = enter.memory.iter().filter(|item| item.argument == argument);
        of.map(|item| String::from_utf8_lossy(&item.bytes).into_owned()).collect()
    };
    let of = |number: i64| seen.enters().filter(move |enter| enter.number == number as u32);
    let opened: Vec<String> = of(libc::SYS_openat).flat_map(|enter| texts(enter, 1)).collect();
    assert!(opened.contains(&"/etc/hostname\0".into()), "{opened:?}");
    let executed: Vec<Vec<String>> = of(libc::SYS_execve)
        .map(|enter| {
            let path = texts(enter, 0);
            path.into_iter().chain(texts(enter, 1).into_iter().skip(1)).collect()
        })
        .collect();
    let line = |words: &[&str]| words.iter().map(|word| format!("{word}\0")).collect::<Vec<_>>();
    let two = line(&["/bin/echo", "/bin/echo", "one", "two", "", "three"]);
    assert!(executed.contains(&two), "{executed:?}");
    assert_eq!(executed.last(), Some(&line(&["/bin/echo", "/bin/echo", "last"])));
    let written: Vec<String> = of(libc::SYS_write).flat_map(|enter| texts(enter, 1)).collect();
    assert!(written.contains(&"one two  three\n".into()), "{written:?}");
    // Nothing else was asked for.
    assert!(seen.enters().all(|enter| [257, 59, 1].contains(&enter.number)));
}

#[test]
fn a_bad_pointer_is_the_programs_own_matter() {
    let Some(program) = Program::compiled(&[]) else { return };
    let options = Options::default()
        .capture(libc::SYS_execve as u32, 0, Capture::Text(256))
        .capture(libc::SYS_execve as u32, 1, Capture::List(20))
        .capture(libc::SYS_ppoll as u32, 3, Capture::Fixed(128))
        .capture(libc::SYS_rt_sigprocmask as u32, 1, Capture::Fixed(8));
    for mode in ["failing", "masks"] {
        let bare = program.command(mode).output().unwrap();
        let Some(seen) = seen(program.command(mode), &options) else { return };
        assert_eq!(String::from_utf8_lossy(&seen.output), String::from_utf8_lossy(&bare.stdout));
    }
}

#[test]
fn programs_with_rights_of_their_own_keep_them_and_are_counted() {
    let Some(program) = Program::compiled(&[]) else { return };
    // As nobody: what a tracer without rights would take away.
    let Some(script) = programs::set_id(program.folder()) else {
        println!("skipped: needs root, setpriv, and a place where set-user-id works");
        return;
    };
    let Some(seen) = seen(shell(&script), &Options::default()) else { return };
    assert_eq!(String::from_utf8_lossy(&seen.output), "0\n", "the effective user");
    assert!(seen.counts.untraced >= 1, "{:?}", seen.counts);
}

#[test]
fn programs_of_32_bits_run_untraced_and_are_counted() {
    let Some(program) = Program::compiled(&[]) else { return };
    let Some(narrow) = programs::narrow(program.folder()) else {
        println!("skipped: no 32-bit programs run here");
        return;
    };
    let script = format!("{}; echo $?; /bin/true; {0}; exit $?", narrow.display());
    let Some(seen) = seen(shell(&script), &Options::default()) else { return };
    assert_eq!((seen.status, &seen.output[..]), (7, &b"7\n"[..]));
    assert_eq!((seen.counts.untraced, seen.counts.executed), (2, 2), "{:?}", seen.counts);
}

/// What Linux counts of a script, where perf may. (perf puts a folder into PATH: names are whole.)
fn perf(script: &str) -> Option<u64> {
    let done = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "/bin/sh", "-c", script])
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    line.split(',').next()?.parse().ok()
}

#[test]
fn each_call_that_linux_counts_is_seen() {
    let Some(program) = Program::compiled(&[]) else { return };
    let own = |mode: &str| format!("exec {} {mode}", program.path());
    for script in
        ["exec /usr/bin/find /usr/share".into(), own("forks"), own("vforks"), own("registers")]
    {
        let Some(theirs) = perf(&script) else {
            println!("skipped: no perf, or no right to count");
            return;
        };
        let mut command = shell(&script);
        command.stdin(std::process::Stdio::null());
        let Some(seen) = seen(command, &Options::default()) else { return };
        // perf begins behind the first execve.
        let ours = seen.enters().count() as u64 - 1;
        assert_eq!(ours, theirs, "{script}: {:?}", seen.counts);
    }
}

#[test]
fn births_and_execs_are_told() {
    let Some(program) = Program::compiled(&[]) else { return };
    let Some(vforks) = seen(program.command("vforks"), &Options::none()) else { return };
    let born = vforks.events.iter().filter(|e| matches!(e.what, What::Born { shares: true, .. }));
    let executed = vforks.events.iter().filter(|e| matches!(e.what, What::Exec { .. }));
    assert_eq!((born.count(), executed.count()), (50, 26));
    let Some(threads) = seen(program.command("threads"), &Options::none()) else { return };
    let first = threads.events[0].pid;
    let born = |event: &&Event| matches!(event.what, What::Born { parent, .. } if parent == first);
    let born: Vec<&Event> = threads.events.iter().filter(born).collect();
    assert_eq!(born.len(), 40);
    assert!(born.iter().all(|event| event.pid == first && event.tid != first));
}

#[test]
fn what_is_written_over_shared_memory_harms_nobody_else() {
    let Some(program) = Program::compiled(&[]) else { return };
    for _ in 0..10 {
        // It may harm itself; the others must come to their end, and so must the reader.
        let mut script = String::from("for i in 1 2 3; do ");
        script
            .push_str(&format!("{} hostile & /bin/echo $i; wait $!; done; exit 5", program.path()));
        let Some(seen) = seen(shell(&script), &Options::default()) else { return };
        assert_eq!((seen.status, &seen.output[..]), (5, &b"1\n2\n3\n"[..]));
    }
}

#[test]
fn a_reader_that_stalls_stops_nobody_for_long() {
    let Some(program) = Program::compiled(&[]) else { return };
    let mut command = program.command("many_calls");
    command.stdout(std::process::Stdio::null());
    let mut tree = match Tree::start(command, &Options::default()) {
        Ok(tree) => tree,
        Err(error) => return println!("skipped: {error}"),
    };
    let began = Instant::now();
    let status = loop {
        if let Some(status) = tree.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it hangs");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success());
    let (_, events, counts) = tree.finish();
    let begun = events.iter().filter(|e| matches!(e.what, What::Enter(_))).count() as u64;
    let ended = events.iter().filter(|e| matches!(e.what, What::Exit { .. })).count() as u64;
    assert!(counts.lost > 0, "{counts:?}");
    // 100,000 calls and what libc makes of its own.
    assert!(begun + ended + counts.lost >= 200_000, "{begun} {ended} {counts:?}");
}

#[test]
fn a_tree_whose_reader_leaves_goes_on() {
    let mut tree = match Tree::start(
        shell("for i in 1 2 3 4; do /bin/true; done; exit 9"),
        &Options::default(),
    ) {
        Ok(tree) => tree,
        Err(error) => return println!("skipped: {error}"),
    };
    let _ = tree.batch(Duration::from_millis(5));
    let (mut child, _, _) = tree.finish();
    assert_eq!(programs::status(child.wait().unwrap()), 9);
}

#[test]
fn a_command_that_is_not_there_is_an_error() {
    let Err(error) = Tree::start(Command::new("/nonexistent"), &Options::default()) else {
        panic!("started");
    };
    assert!(
        matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::Unsupported),
        "{error}"
    );
}
