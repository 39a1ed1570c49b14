//! Counts the system calls of a command and of all that comes from it, by number; with `-e`,
//! prints each. Its own figures go to standard error.
//!
//! ```text
//! cargo run --release --example calls -p skep-sys -- [-e] COMMAND ARGUMENTS
//! ```

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::io::Result<()> {
    use skep_sys::host::tree::{Event, Options, Tree, What};
    use std::collections::BTreeMap;
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    let mut args = std::env::args_os().skip(1).peekable();
    let each = args.next_if(|arg| arg == "-e").is_some();
    let Some(program) = args.next() else {
        eprintln!("calls [-e] COMMAND ARGUMENTS");
        std::process::exit(2);
    };
    let mut command = std::process::Command::new(program);
    command.args(args);
    let mut tree = Tree::start(command, &Options::default())?;
    let mut counts = BTreeMap::new();
    let mut see = |event: Event| {
        if each {
            eprintln!("{event:?}");
        }
        if let What::Enter(enter) = &event.what {
            *counts.entry(enter.number).or_insert(0u64) += 1;
        }
    };
    let status = loop {
        tree.batch(Duration::from_millis(50)).into_iter().for_each(&mut see);
        if let Some(status) = tree.try_wait()? {
            break status;
        }
    };
    let (_, events, figures) = tree.finish();
    events.into_iter().for_each(&mut see);
    for (number, count) in &counts {
        eprintln!("{number} {count}");
    }
    eprintln!("total {} {figures:?}", counts.values().sum::<u64>());
    let code = status.code().unwrap_or(128 + status.signal().unwrap_or(0));
    std::process::exit(code)
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    eprintln!("for Linux on x86-64 only");
}
