//! What runs of TEST_RUN and of bare instructions work on: stacks and packet buffers, kept
//! for the next one, since making them costs more than most runs.

use std::sync::{Arc, Mutex, PoisonError};

use skep_abi::{Errno, ProgType};

use super::machine::Machine;
use super::runner::{Runner, Scene};
use crate::contexts::plain::Plain;
use crate::contexts::skb::Skb;
use crate::contexts::xdp::Xdp;
use crate::contexts::{Context, NoContext};
use crate::memory::stack::Stack;
use crate::memory::value::Value;
use crate::objects::program::{How, Program};
use crate::run::Outcome;
use crate::run::vcpus::NoVcpu;
use crate::run::world::Call;

/// What a context is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Nothing,
    Xdp,
    Skb,
    /// The fields that programs of this type, to be attached like this, know.
    Plain(ProgType, u32),
}

type Parts = (Box<Stack>, Box<dyn Context>);

/// Stacks and contexts that nobody uses.
#[derive(Default)]
pub(crate) struct Workspaces(Mutex<Vec<(Place, Parts)>>);

/// So many are kept: as many as run at the same time, mostly.
const KEPT: usize = 16;

impl Workspaces {
    fn take(&self, place: Place) -> Option<Parts> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(|(known, _)| *known == place)?;
        Some(kept.swap_remove(at).1)
    }

    fn give_back(&self, place: Place, parts: Parts) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push((place, parts));
        }
    }
}

/// A context that programs run on, with a stack, for as long as this lives.
pub(crate) struct Workspace<'m> {
    machine: &'m Machine,
    place: Place,
    /// Away while a program runs, and gone when that panicked.
    parts: Option<Parts>,
}

impl<'m> Workspace<'m> {
    /// One that nobody else uses.
    ///
    /// # Errors
    /// `ENOTSUPP` for fields that there is no row of.
    pub fn new(machine: &'m Machine, place: Place) -> Result<Workspace<'m>, Errno> {
        let make = || -> Result<Parts, Errno> {
            let context: Box<dyn Context> = match place {
                Place::Nothing => Box::new(NoContext),
                Place::Xdp => Box::new(Xdp::new()),
                Place::Skb => Box::new(Skb::new()),
                Place::Plain(kind, attach) => Box::new(Plain::new(kind, attach)?),
            };
            Ok((Box::default(), context))
        };
        let parts = machine.workspaces.take(place).map_or_else(make, Ok)?;
        Ok(Workspace { machine, place, parts: Some(parts) })
    }

    /// The fields.
    ///
    /// # Errors
    /// `ENOTSUPP` where it is something else.
    pub fn plain(&mut self) -> Result<&mut Plain, Errno> {
        self.parts.as_mut().and_then(|(_, context)| context.plain()).ok_or(Errno::ENOTSUPP)
    }

    /// The XDP buffer.
    ///
    /// # Errors
    /// `ENOTSUPP` where it is something else.
    pub fn xdp(&mut self) -> Result<&mut Xdp, Errno> {
        self.parts.as_mut().and_then(|(_, context)| context.xdp()).ok_or(Errno::ENOTSUPP)
    }

    /// The socket buffer.
    ///
    /// # Errors
    /// `ENOTSUPP` where it is something else.
    pub fn skb(&mut self) -> Result<&mut Skb, Errno> {
        self.parts.as_mut().and_then(|(_, context)| context.skb()).ok_or(Errno::ENOTSUPP)
    }

    /// Makes the stack one of zeros, as far as it was used.
    pub fn clear_stack(&mut self) {
        if let Some((stack, _)) = &mut self.parts {
            stack.clear();
        }
    }

    /// Runs a program `times` times, but no further than to a run that does not return.
    /// Gives how the last run ended, and how it was called by then.
    pub fn run(
        &mut self,
        how: Option<How>,
        program: &Arc<Program>,
        arguments: [Value; 2],
        scene: Scene,
        times: u32,
    ) -> Result<(Outcome, Call), NoVcpu> {
        let Some((stack, context)) = self.parts.take() else { return Err(NoVcpu::Nested) };
        let runner = Runner::new(self.machine, how, program.clone(), stack, context, arguments);
        let cpu = scene.cpu;
        let mut runner = runner.with_scene(scene);
        let outcome = runner.lease_on(&self.machine.vcpus, cpu).map(|mut running| {
            let mut left = times;
            loop {
                let outcome = running.run();
                left = left.saturating_sub(1);
                if left == 0 || !matches!(outcome, Outcome::Returned(_)) {
                    break outcome;
                }
            }
        });
        let call = runner.call();
        self.parts = Some(runner.into_parts());
        outcome.map(|outcome| (outcome, call))
    }
}

impl Drop for Workspace<'_> {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.machine.workspaces.give_back(self.place, parts);
        }
    }
}
