//! The command that a script is started with: it stops before its first instruction of its own
//! until all is attached.
//!
//! A shell stops itself and then becomes the command, so that its number is known before, and
//! nothing of skep is in it.

use std::process::{Child as Process, Command};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::RunError;

/// A command that was started.
#[derive(Debug)]
pub struct Child {
    process: Process,
    gone: bool,
}

/// What the shell does; the command is its arguments.
const STOP_THEN_BE: &str = "kill -STOP $$; exec \"$@\"";

impl Child {
    /// Starts a command, stopped.
    ///
    /// # Errors
    /// It cannot be found, or started.
    pub fn start(command: &str) -> Result<Child, RunError> {
        let words = words(command);
        let Some(program) = words.first() else {
            return Err(RunError::Child("the command is empty".into()));
        };
        if find(program).is_none() {
            let reason = format!("path '{program}' does not exist or is not executable");
            return Err(RunError::Child(format!("Failed to start command: {reason}")));
        }
        let process = Command::new("/bin/sh").args(["-c", STOP_THEN_BE, "sh"]).args(&words).spawn();
        let process = process.map_err(|error| RunError::Child(format!("/bin/sh: {error}")))?;
        let child = Child { process, gone: false };
        if let Some(pid) = child.pid() {
            // Until it has stopped, or is gone, which is seen later.
            let _ = waitpid(Some(pid), WaitOptions::UNTRACED);
        }
        Ok(child)
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.process.id().cast_signed())
    }

    /// Its number.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Lets it go.
    ///
    /// # Errors
    /// It cannot be sent a signal.
    pub fn go(&mut self) -> Result<(), RunError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        kill_process(pid, Signal::CONT).map_err(|error| RunError::Child(error.to_string()))
    }

    /// Whether it has ended.
    pub fn is_gone(&mut self) -> bool {
        if !self.gone {
            self.gone = !matches!(self.process.try_wait(), Ok(None));
        }
        self.gone
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_gone() {
            // Whoever traces it is not there any more: so bpftrace.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// A command's words: quotes keep spaces, a backslash the next character.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                word.get_or_insert_default().extend(chars.next());
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Where a program is: by its path, else by `PATH`.
fn find(program: &str) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_program = |path: &std::path::Path| {
        path.metadata().is_ok_and(|of| of.is_file() && of.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(program.into()).filter(|path: &std::path::PathBuf| is_program(path));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(
            words(r#"ls  -l 'a b' "c \" d" e\ f ''"#),
            ["ls", "-l", "a b", "c \" d", "e f", ""]
        );
    }

    #[test]
    fn a_command_waits_until_it_is_let_go() {
        let mut child = Child::start("true").unwrap();
        assert!(!child.is_gone());
        child.go().unwrap();
        let started = std::time::Instant::now();
        while !child.is_gone() {
            assert!(started.elapsed().as_secs() < 60);
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let error = Child::start("/does/not/exist").unwrap_err().to_string();
        assert!(error.contains("does not exist or is not executable"), "{error}");
    }
}
