//! One function and one frame: the equations of [`super`] over its instructions.

/// What is known of a frame's slots at one instruction, a bit for each slot.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Point {
    /// Some visit read them.
    pub reads: u64,
    /// Every visit wrote them.
    pub writes: u64,
    /// Written here or on every way from here.
    pub done: u64,
    /// May be read here or later, and are not written before.
    pub live: u64,
}

/// What one visit changed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Change {
    /// The solution is out of date.
    pub stale: bool,
    /// Fewer slots are written than was thought.
    pub fewer: bool,
}

impl Point {
    /// A visit reads these slots. Whether the solution is out of date with that.
    pub fn read(&mut self, slots: u64) -> bool {
        let new = slots & !self.reads;
        self.reads |= slots;
        new & !self.live != 0
    }

    /// A visit writes these slots, which is the first one or not.
    pub fn write(&mut self, slots: u64, first: bool) -> Change {
        // Linux takes what it knew through 32 bits, and so forgets slots that are deeper.
        let known = u64::from(self.writes as u32);
        let slots = if first { slots } else { slots & known };
        let change = Change { stale: slots != known, fewer: known & !slots != 0 };
        if change.stale {
            self.writes = slots;
        }
        change
    }
}

/// An instruction in its function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Its place from the function's start.
    pub at: u32,
    /// Those that may follow it.
    pub next: [Option<u32>; 2],
    /// The function may end here although something follows.
    pub may_end: bool,
}

/// Solves the equations. `steps` are the function's instructions in post-order.
pub(super) fn solve(points: &mut [Point], steps: &[Step]) {
    let mut settled = false;
    while !settled {
        settled = true;
        for step in steps {
            settled &= !settle(points, step);
        }
    }
}

/// Brings one instruction up to date with those behind it; true if that changed it.
fn settle(points: &mut [Point], step: &Step) -> bool {
    let after = step.next.iter().flatten().map(|&next| points[next as usize]);
    let behind = after.map(|next| (next.live, next.done));
    let Some((live, done)) = behind.reduce(|(live, done), next| (live | next.0, done & next.1))
    else {
        return false;
    };
    let point = &mut points[step.at as usize];
    let new = Point {
        live: point.reads | (live & !point.writes),
        done: point.writes | if step.may_end { 0 } else { done },
        ..*point
    };
    std::mem::replace(point, new) != new
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way through the graph, each edge at most twice.
    fn ways(steps: &[Step], at: u32, way: &mut Vec<u32>, found: &mut Vec<Vec<u32>>) {
        way.push(at);
        let step = steps.iter().find(|step| step.at == at).expect("an instruction");
        if step.next == [None, None] || step.may_end {
            found.push(way.clone());
        }
        for next in step.next.into_iter().flatten() {
            let taken = way.windows(2).filter(|pair| **pair == [at, next]).count();
            if taken < 2 {
                ways(steps, next, way, found);
            }
        }
        way.pop();
    }

    /// Graphs of a few instructions with random reads and writes: a slot is live where
    /// some way reads it before it is written. Where an end has no successor, Linux takes
    /// nothing that it reads itself; no instruction there reads.
    #[test]
    fn a_slot_is_live_where_some_way_reads_it_first() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut below = |limit: u64| random.u64(..limit);
        for _ in 0..2000 {
            let len = 3 + below(4) as u32;
            let mut steps: Vec<Step> = (0..len)
                .map(|at| {
                    let next = (at + 1 < len).then_some(at + 1);
                    let jump = (next.is_some() && below(2) == 0).then(|| below(len.into()) as u32);
                    Step { at, next: [next, jump], may_end: false }
                })
                .collect();
            steps.reverse();
            let mut points = vec![Point::default(); len as usize];
            for point in &mut points[..len as usize - 1] {
                point.write(below(8), true);
                point.read(below(8));
            }
            solve(&mut points, &steps);
            for at in 0..len - 1 {
                let mut found = Vec::new();
                ways(&steps, at, &mut Vec::new(), &mut found);
                for slot in 0..3 {
                    let first = |way: &Vec<u32>| {
                        let mut touched = way.iter().map(|&at| points[at as usize]);
                        let bit = 1 << slot;
                        touched
                            .find(|point| (point.reads | point.writes) & bit != 0)
                            .is_some_and(|point| point.reads & bit != 0)
                    };
                    let live = points[at as usize].live & 1 << slot != 0;
                    assert_eq!(live, found.iter().any(first), "{at} slot {slot} in {points:?}");
                }
            }
        }
    }

    #[test]
    fn what_only_some_visits_write_is_not_written() {
        let mut point = Point::default();
        assert_eq!(point.write(0b11, true), Change { stale: true, fewer: false });
        assert_eq!(point.write(0b111, false), Change::default());
        assert_eq!(point.write(0b01, false), Change { stale: true, fewer: true });
        assert_eq!(point.writes, 0b01);
    }
}
