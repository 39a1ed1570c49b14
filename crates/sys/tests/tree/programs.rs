//! Test programs, and what others count of them.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Modes of `behaves.c`, and how often getppid is called in them where that is certain.
pub const MODES: &[(&str, Option<u64>)] = &[
    ("threads", Some(8000)),
    ("forks", Some(500)),
    ("vforks", Some(25)),
    ("storm", None),
    ("longjmps", None),
    ("interrupted", None),
    ("altstack", Some(50)),
    ("sigsys", Some(20)),
    ("masks", Some(10)),
    ("filter", Some(11)),
    ("strict", None),
    ("cancel", None),
    ("gate", None),
    ("gsbase", None),
    ("many_sites", Some(100)),
    ("registers", Some(10)),
    ("exec_thread", None),
    ("failing", None),
    ("killed", Some(10)),
    ("crashed", Some(10)),
    ("unmapself", Some(20)),
];

/// `behaves.c`, compiled.
pub struct Program {
    folder: PathBuf,
    path: PathBuf,
}

impl Program {
    /// None, with a line, where there is no compiler.
    pub fn compiled(flags: &[&str]) -> Option<Program> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("skep-tree-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("behaves");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tree/behaves.c");
        let done = Command::new("gcc")
            .args(["-O1", "-w", "-pthread", source, "-o"])
            .arg(&path)
            .args(flags)
            .output();
        let program = Program { folder, path };
        match done {
            Ok(output) if output.status.success() => Some(program),
            _ => {
                println!("skipped: gcc {flags:?} does not compile here");
                None
            }
        }
    }

    pub fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(mode).stderr(std::process::Stdio::null());
        command
    }

    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    pub fn path(&self) -> String {
        self.path.display().to_string()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// As a shell has it.
pub fn status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// How often strace sees each call of a script, by number.
pub fn strace(script: &str) -> Option<BTreeMap<u32, u64>> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let name = format!("skep-strace-{}-{number}", std::process::id());
    let file = std::env::temp_dir().join(name);
    // Raw numbers: no table of names is needed.
    let done = Command::new("strace")
        .args(["-f", "-n", "-qq", "-e", "signal=none", "-o"])
        .arg(&file)
        .args(["/bin/sh", "-c", script])
        .output();
    let lines = std::fs::read_to_string(&file).ok();
    std::fs::remove_file(&file).ok();
    done.ok()?;
    let mut calls = BTreeMap::new();
    for line in lines?.lines().filter(|line| !line.contains("resumed>")) {
        let number = line.split_once('[')?.1.split_once(']')?.0.trim();
        *calls.entry(number.parse().ok()?).or_insert(0) += 1;
    }
    Some(calls)
}

/// A set-user-id program of root's in a folder that prints its effective user, where there can
/// be one; and what runs it as nobody.
pub fn set_id(folder: &std::path::Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("id");
    std::fs::copy("/usr/bin/id", &path).ok()?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).ok()?;
    let script =
        format!("setpriv --reuid 65534 --regid 65534 --clear-groups {} -u", path.display());
    let bare = Command::new("/bin/sh").args(["-c", &script]).output().ok()?;
    (bare.stdout == b"0\n").then_some(script)
}

/// A 32-bit program that ends with status 7, where such run.
pub fn narrow(folder: &std::path::Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    /// `mov $1, %eax; mov $7, %ebx; int $0x80`
    const CODE: [u8; 12] = [0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80];
    const AT: u32 = 0x0804_8000;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    let put = |file: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| file.extend(word.to_le_bytes()));
    };
    // The entry, one program header behind this one, and the code behind both.
    put(&mut file, &[AT + 84, 52, 0, 0]);
    put(&mut file, &[32 << 16 | 52, 1, 0]);
    put(&mut file, &[1, 0, AT, AT, 96, 96, 5, 0x1000]);
    file.extend(CODE);
    let path = folder.join("narrow");
    std::fs::write(&path, file).ok()?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).ok()?;
    let bare = Command::new(&path).status().ok()?;
    (bare.code() == Some(7)).then_some(path)
}
