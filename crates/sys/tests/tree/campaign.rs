//! The reader is killed at a random moment, again and again: the tree goes on as if there had
//! been none. `SKEP_TREE_KILLS=1000` has it done so often; tests do it some tens of times.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use skep_sys::host::tree::{Options, Tree};

use super::programs::Program;

/// Another process of this test, which traces what the environment says.
const SCRIPT: &str = "SKEP_TREE_SCRIPT";

#[test]
#[ignore = "the process that is killed"]
fn tracer() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script);
    let mut tree = Tree::start(command, &Options::default()).unwrap();
    while tree.try_wait().unwrap().is_none() {
        tree.batch(Duration::from_millis(5));
    }
}

fn tracing(script: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "tree::campaign::tracer"]).env(SCRIPT, script);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A random number below a bound.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below.max(1)
}

#[test]
fn the_tree_outlives_its_reader() {
    let Some(program) = Program::compiled(&[]) else { return };
    if let Err(error) = Tree::start(Command::new("/bin/true"), &Options::default()) {
        println!("skipped: {error}");
        return;
    }
    let kills: u64 = std::env::var("SKEP_TREE_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let path = program.path();
    let work = format!(
        "for i in 1 2 3; do /bin/echo $i | cat | sort; {path} vforks | tail -c 20; (exit 3); \
         echo $?; done; {path} threads; {path} forks; /bin/sh -c 'exit 7'; echo status $?"
    );
    let output: PathBuf = program.folder().join("output");
    let script = format!("({work}) >{} 2>&1; echo end >>{0}", output.display());
    let bare = Command::new("/bin/sh").arg("-c").arg(&work).output().unwrap();
    let mut expected = bare.stdout.clone();
    expected.write_all(b"end\n").unwrap();
    // How long it takes when nobody is killed.
    let began = Instant::now();
    assert!(tracing(&script).status().unwrap().success());
    let whole = began.elapsed().as_micros() as u64;
    assert_eq!(std::fs::read(&output).unwrap(), expected);
    let (mut state, mut never) = (u64::from(std::process::id()) | 1 << 32, 0);
    for kill in 0..kills {
        std::fs::remove_file(&output).ok();
        let mut tracer = tracing(&script).spawn().unwrap();
        let after = random(&mut state, whole);
        std::thread::sleep(Duration::from_micros(after));
        tracer.kill().unwrap();
        tracer.wait().unwrap();
        let began = Instant::now();
        loop {
            let there = std::fs::read(&output).unwrap_or_default();
            if there.ends_with(b"end\n") {
                assert_eq!(there, expected, "kill {kill}, after {after} us");
                break;
            }
            let waited = began.elapsed();
            // It may have been killed before there was a tree.
            if there.is_empty() && !output.exists() && waited > Duration::from_millis(500) {
                never += 1;
                break;
            }
            let so_far = String::from_utf8_lossy(&there).into_owned();
            assert!(waited < Duration::from_secs(20), "hangs, killed after {after} us: {so_far}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    println!("{kills} kills, {never} of them before the tree began");
    assert!(never < kills / 2 + 1);
}

#[test]
fn the_reader_outlives_its_tree() {
    let Some(program) = Program::compiled(&[]) else { return };
    let mut state = u64::from(std::process::id()) | 1 << 33;
    for _ in 0..30 {
        let script = format!("for i in 1 2 3 4 5; do {} vforks; done", program.path());
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).stdout(Stdio::null());
        let mut tree = match Tree::start(command, &Options::default()) {
            Ok(tree) => tree,
            Err(error) => return println!("skipped: {error}"),
        };
        let (began, after) = (Instant::now(), random(&mut state, 60_000));
        let mut killed = false;
        while tree.try_wait().unwrap().is_none() {
            tree.batch(Duration::from_millis(1));
            if !killed && began.elapsed() > Duration::from_micros(after) {
                killed = true;
                let pid = tree.pid() as i32;
                // SAFETY: takes numbers; the process is the tree's first, not waited for yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it hangs");
        }
    }
}
