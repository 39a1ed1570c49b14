//! Runs the built binary, and finds what to run it on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// How a command ended.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The standard output of a command that ended with 0.
    pub fn done(self) -> String {
        assert_eq!(self.status, 0, "{}", self.err);
        self.out
    }

    /// The standard output, as JSON, of a command that ended with 0.
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.done()).expect("JSON")
    }

    /// The one-line error of a command that ended with `status`, and its hint. What a
    /// kernel said may stand above it.
    pub fn failed(self, status: i32) -> (String, String) {
        assert_eq!(self.status, status, "out: {}\nerr: {}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        let line = |start: &str| {
            let lines: Vec<&str> =
                self.err.lines().filter_map(|line| line.strip_prefix(start)).collect();
            assert!(lines.len() <= 1, "{}", self.err);
            lines.first().copied().unwrap_or_default().to_owned()
        };
        let (error, hint) = (line("error: "), line("hint: "));
        assert!(!error.is_empty(), "no error line in {:?}", self.err);
        (error, hint)
    }
}

/// Runs `skep` in the folder of the workspace.
pub fn skep(args: &[&str]) -> Ran {
    skep_with(args, b"")
}

/// The same, with something on its standard input.
pub fn skep_with(args: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .current_dir(workspace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("skep starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that fails early reads nothing.
    let _ = stdin.write_all(input);
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("skep ends");
    Ran {
        status: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).expect("text"),
        err: String::from_utf8(stderr).expect("text"),
    }
}

/// What it writes to the standard output, where that is no text; it must succeed.
pub fn skep_bytes(args: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    let ran = command.args(args).current_dir(workspace()).output().expect("skep starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// A folder of its own for a test, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("skep-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    /// The name of a file in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain name").into()
    }

    /// A file in it with these contents; gives its name.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.join(name), contents).expect("a file for the test");
        self.path(name)
    }

    /// An object that `skep asm` makes from a source; gives its name.
    pub fn object(&self, name: &str, source: &str) -> String {
        let source = self.file(&format!("{name}.s"), source);
        let object = self.path(&format!("{name}.bpf.o"));
        skep(&["asm", &source, "-o", &object]).done();
        object
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether Linux lets us load programs; prints that a test is skipped where it does not.
pub fn linux_is_permitted() -> bool {
    let doctor = skep(&["doctor", "--json"]).json();
    let checks = doctor["permission"].as_array().expect("checks");
    let missing: Vec<&str> = checks
        .iter()
        .filter(|check| check["state"] == "missing")
        .filter_map(|check| check["name"].as_str())
        .collect();
    if !missing.is_empty() {
        eprintln!("skipped: Linux does not let us load programs: {}", missing.join(", "));
    }
    missing.is_empty()
}

/// The capture that the examples are shown with.
pub const CAPTURE: &str = "examples/mixed.pcapng";
