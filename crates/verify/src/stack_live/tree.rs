//! Functions by the calls that led to them, as a tree: each knows who called it, and from
//! where.

use rustc_hash::FxHashMap;
use skep_abi::limits::MAX_FRAMES;

use super::flow::{Change, Point, Step, solve};

/// A function under a chain of calls.
pub(crate) type InstanceId = usize;

/// All functions that were entered, by their calls.
#[derive(Default)]
pub(crate) struct Calls {
    instances: Vec<Instance>,
    /// By who called from where, and the function's start.
    known: FxHashMap<(Option<(InstanceId, u32)>, u32), InstanceId>,
}

/// A function under a chain of calls, with what is known of the stack at its instructions.
pub(crate) struct Instance {
    caller: Option<(InstanceId, u32)>,
    start: u32,
    len: u32,
    /// Frames that it can reach: its own and those of its callers.
    frames: usize,
    /// By frame; none where nothing was ever read or written.
    points: [Option<Box<[Point]>>; MAX_FRAMES],
    /// Which of its instructions were visited to their end.
    visited: Vec<bool>,
    change: Change,
}

impl Calls {
    /// The function that starts at `start`, called from there (or from nowhere).
    pub fn enter(&mut self, caller: Option<(InstanceId, u32)>, start: u32, len: u32) -> InstanceId {
        let instances = &mut self.instances;
        *self.known.entry((caller, start)).or_insert_with(|| {
            let frames = caller.map_or(1, |(caller, _)| instances[caller].frames + 1);
            instances.push(Instance {
                caller,
                start,
                len,
                frames,
                points: Default::default(),
                visited: vec![false; len as usize],
                change: Change::default(),
            });
            instances.len() - 1
        })
    }

    pub fn get(&self, id: InstanceId) -> &Instance {
        &self.instances[id]
    }

    pub fn at(&mut self, id: InstanceId) -> &mut Instance {
        &mut self.instances[id]
    }

    /// What a function reads and surely writes of its callers' frames, its call does.
    pub fn tell_caller(&mut self, id: InstanceId) {
        let Some((caller, call)) = self.instances[id].caller else { return };
        let mut written = [0; MAX_FRAMES];
        for (frame, written) in written.iter_mut().enumerate().take(self.instances[id].frames - 1) {
            let Some(points) = &self.instances[id].points[frame] else { continue };
            let start = points[0];
            *written = start.done;
            self.instances[caller].read(frame, call, start.live);
        }
        self.instances[caller].write(call, &written);
    }
}

impl Instance {
    /// Its first instruction.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The instruction that called it; of no meaning for what nobody called.
    pub fn call(&self) -> u32 {
        self.caller.map_or(0, |(_, call)| call)
    }

    /// Whether it has to be solved anew.
    pub fn is_stale(&self) -> bool {
        self.change.stale
    }

    fn point(&mut self, frame: usize, pc: u32) -> &mut Point {
        let len = self.len as usize;
        let points = self.points[frame]
            .get_or_insert_with(|| vec![Point::default(); len].into_boxed_slice());
        &mut points[(pc - self.start) as usize]
    }

    /// An instruction reads slots of a frame.
    pub fn read(&mut self, frame: usize, pc: u32, slots: u64) {
        self.change.stale |= self.point(frame, pc).read(slots);
    }

    /// An instruction was visited to its end, and wrote these slots, by frame.
    pub fn write(&mut self, pc: u32, written: &[u64; MAX_FRAMES]) {
        let first = !self.visited[(pc - self.start) as usize];
        for (frame, &slots) in written.iter().enumerate().take(self.frames) {
            if slots == 0 && (first || self.points[frame].is_none()) {
                continue;
            }
            let change = self.point(frame, pc).write(slots, first);
            self.change.stale |= change.stale;
            self.change.fewer |= change.fewer;
        }
        self.visited[(pc - self.start) as usize] = true;
    }

    /// Solves each frame that anything is known of.
    pub fn solve(&mut self, steps: &[Step]) {
        for points in self.points[..self.frames].iter_mut().flatten() {
            if self.change.fewer {
                points.iter_mut().for_each(|point| point.done = 0);
            }
            solve(points, steps);
        }
        self.change = Change::default();
    }

    /// Slots of a frame that may be read at an instruction or later.
    pub fn live(&self, frame: usize, pc: u32) -> u64 {
        let points = self.points[frame].as_deref().unwrap_or_default();
        points.get(pc.wrapping_sub(self.start) as usize).map_or(0, |point| point.live)
    }
}
