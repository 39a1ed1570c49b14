//! The programs that bpftrace's tests start, as far as they are needed: this program under
//! their names.

use std::time::Duration;

/// Their names.
pub const NAMES: &[&str] = &["syscall", "true"];

/// Runs what this program is called as; `None` where that is its own name.
pub fn run() -> Option<std::process::ExitCode> {
    let mut arguments = std::env::args();
    let path = arguments.next()?;
    let name = std::path::Path::new(&path).file_name()?.to_str()?;
    let done = match name {
        "true" => true,
        "syscall" => call(&arguments.collect::<Vec<String>>()),
        _ => return None,
    };
    Some(if done { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE })
}

/// Makes the system call that is named.
fn call(arguments: &[String]) -> bool {
    let [name, rest @ ..] = arguments else { return false };
    match (&name[..], rest) {
        ("nanosleep", [nanos]) => {
            let nanos: f64 = nanos.parse().unwrap_or(0.0);
            let time = Duration::from_nanos(nanos as u64);
            let time = rustix::thread::Timespec {
                tv_sec: time.as_secs().cast_signed(),
                tv_nsec: i64::from(time.subsec_nanos()),
            };
            matches!(rustix::thread::nanosleep(&time), rustix::thread::NanosleepRelativeResult::Ok)
        }
        ("execve", [path, rest @ ..]) => {
            use std::os::unix::process::CommandExt as _;
            // It comes back only where it failed.
            let _ = std::process::Command::new(path).args(rest).exec();
            false
        }
        ("openat", []) => {
            let path = std::env::temp_dir().join(format!("skep-openat-{}", std::process::id()));
            let flags = rustix::fs::OFlags::CREATE;
            let file = rustix::fs::open(&path, flags, rustix::fs::Mode::RUSR);
            let _ = std::fs::remove_file(&path);
            file.is_ok()
        }
        _ => false,
    }
}
