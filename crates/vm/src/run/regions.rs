//! Where an address points: guarded code's are looked up among everything that the run was
//! given pointers to, and only there.

use std::collections::BTreeMap;

use super::Run;
use crate::memory::stack::{FRAME_SIZE, STACK_SIZE};
use crate::memory::value::{Region, Value};

/// Regions that helpers gave pointers to: map values, records, words lent to callbacks.
/// By their first address.
#[derive(Default)]
pub(crate) struct Given(BTreeMap<u64, Region>);

impl Given {
    /// What a region holds is the program's from now on.
    pub fn add(&mut self, region: Region) {
        self.0.insert(region.start(), region);
    }

    /// The region that starts there is the program's no more.
    pub fn take(&mut self, start: u64) {
        self.0.remove(&start);
    }

    /// None is the program's any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether nothing was given.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The region that an address is in, or right behind.
    fn at(&self, address: u64) -> Option<Region> {
        let (_, region) = self.0.range(..=address).next_back()?;
        (address - region.start() <= region.size().into()).then_some(*region)
    }
}

impl Run<'_> {
    /// What guarded code's address points into; a number where it is nowhere.
    pub fn locate(&self, address: u64) -> Value {
        let region = self.region_at(address);
        region.map_or(Value::scalar(address), |region| region.value(address))
    }

    fn region_at(&self, address: u64) -> Option<Region> {
        let inside =
            |region: &Region| address.wrapping_sub(region.start()) <= u64::from(region.size());
        let start = self.stack.start();
        if address.wrapping_sub(start) < STACK_SIZE {
            let frame = (address - start) / u64::from(FRAME_SIZE);
            return Some(self.stack.region(frame as usize));
        }
        let mut packet = self.context.packet().into_iter().flatten();
        let at_end = |region: Region| address - region.start() == u64::from(region.size());
        let found = packet.find(inside).or(self.memory.filter(inside));
        match found.or(self.given.at(address)) {
            // What starts where another thing ends counts more.
            Some(region) if !at_end(region) => Some(region),
            other => {
                let own = self.direct_values().find(inside).or(other);
                own.or_else(|| self.env.heap.object(address))
            }
        }
    }

    /// Values of maps that the program has the address of from the start.
    fn direct_values(&self) -> impl Iterator<Item = Region> {
        self.program.maps.iter().filter_map(|map| map.direct_region())
    }
}
