//! The maps of a run, by the words that programs know them by, and the programs that tail
//! calls lead to.

use skep_abi::limits::MAX_TAIL_CALLS;
use std::sync::Arc;

use skep_abi::MapType;

use super::{Run, Stop};
use crate::memory::value::{Kind, Value};
use crate::objects::map::MapHandle;
use crate::objects::program::Program;

/// Numbers of maps that were found in other maps start here.
const FOUND_MAPS: u32 = 1 << 31;

impl Run<'_> {
    /// The program that a tail call leads to; counts the call.
    ///
    /// # Errors
    /// What should be a map is none.
    pub fn tail_target(&mut self, map: Value, index: u32) -> Result<Option<Arc<Program>>, Stop> {
        let map = match map.kind() {
            Kind::Map => self.known_map(map),
            _ => return Err(self.bad_argument("bpf_tail_call", 2, "is no map")),
        };
        if self.tail_calls >= MAX_TAIL_CALLS {
            return Ok(None);
        }
        // Other maps may have keys of another size.
        if map.map.map_type() != MapType::ProgArray {
            return Err(self.bad_argument("bpf_tail_call", 2, "is no program array"));
        }
        let target = map.program(index);
        self.tail_calls += u32::from(target.is_some());
        Ok(target)
    }

    /// A word that compiled code knows a map by.
    pub fn map_of(&self, word: u64) -> Option<Value> {
        let index = Value::map_number(word)?;
        let known = match index.checked_sub(FOUND_MAPS) {
            Some(found) => (found as usize) < self.held.maps().len(),
            None => (index as usize) < self.program.maps.len(),
        };
        known.then(|| Value::map(index))
    }

    /// The map that a value names.
    pub fn map(&self, value: Value) -> Arc<MapHandle> {
        Arc::clone(self.known_map(value))
    }

    /// The same, lent.
    pub fn known_map(&self, value: Value) -> &Arc<MapHandle> {
        let index = value.map_index();
        match index.checked_sub(FOUND_MAPS) {
            Some(found) => &self.held.maps()[found as usize],
            None => &self.program.maps[index as usize],
        }
    }

    /// A value for a map that was found in another one.
    pub fn found_map(&mut self, map: Arc<MapHandle>) -> Value {
        Value::map(FOUND_MAPS + self.held.found(map))
    }
}
