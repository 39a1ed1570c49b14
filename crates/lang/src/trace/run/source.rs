//! Events that do not come from the kernel: what a command does, seen without rights.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use skep_load::Program;

use super::super::checked::Point;
use super::{Places, RunError, Session};

/// A command and what it does, which whoever runs a script brings. It is started already; what
/// it did so far waits for the programs.
pub trait Source {
    /// The command's process.
    fn process(&self) -> u32;

    /// Has a loaded program run at each event of a point from now on; false where such events
    /// do not come from here.
    ///
    /// # Errors
    /// What keeps it from that.
    fn attach(&mut self, program: &Program, point: &Point) -> Result<bool, String>;

    /// Runs programs on some of what happened, `each` after each event; waits for the first
    /// event as long as is said. Gives whether the command has ended and all is done.
    ///
    /// # Errors
    /// A program that trapped, or what `each` says; what keeps the command from being seen.
    fn turn(
        &mut self,
        most: Duration,
        each: &mut dyn FnMut() -> Result<bool, String>,
    ) -> Result<bool, String>;

    /// What its processes have mapped, as far as that is known: they may be gone when names are
    /// looked up.
    fn places(&self) -> Option<Arc<Mutex<Places>>> {
        None
    }

    /// What a reader should know when all is over: events that were lost, how the command
    /// ended.
    fn notes(&mut self) -> Vec<String>;
}

impl Session<'_, '_> {
    /// Has a program of this number run on the source's events, where its points are there.
    pub(super) fn take_from_source(&mut self, index: usize) -> Result<bool, RunError> {
        if self.source.is_none() {
            return Ok(false);
        }
        let program = self.program(index)?;
        let of = &self.script.programs[index];
        let Some(source) = &mut self.source else { return Ok(false) };
        let mut all = true;
        for point in &of.points {
            all &= source.attach(&program, point).map_err(|error| {
                RunError::Attach(format!("Unable to attach probe: {}: {error}", of.name))
            })?;
        }
        Ok(all)
    }

    /// Has programs run on some of what happened; gives whether there will be no more.
    pub(super) fn turn_of_source(&mut self, most: Duration) -> Result<bool, RunError> {
        let Some(source) = self.source.take() else { return Ok(false) };
        // The ring is read after each event: what a program says is never lost for want of room.
        let mut failed = None;
        let ended = source.turn(most, &mut || match self.drain() {
            Ok(_) => Ok(self.exit.is_none()),
            Err(error) => {
                failed = Some(error);
                Ok(false)
            }
        });
        self.source = Some(source);
        match failed {
            Some(error) => Err(error),
            None => ended.map_err(RunError::Child),
        }
    }
}
