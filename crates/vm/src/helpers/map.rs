//! Helpers on maps.

use std::sync::Arc;

use skep_abi::helper::id;
use skep_abi::{Errno, MapType};
use skep_isa::Reg;
use skep_maps::Cursor;
use skep_maps::mem::bytes::Bytes;

use super::{Function, failure, status};
use crate::memory::value::{Kind, Region, Value};
use crate::objects::map::MapHandle;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::MAP_LOOKUP_ELEM, lookup_elem),
    (id::MAP_UPDATE_ELEM, update_elem),
    (id::MAP_DELETE_ELEM, delete_elem),
    (id::MAP_PUSH_ELEM, push_elem),
    (id::MAP_POP_ELEM, pop_elem),
    (id::MAP_PEEK_ELEM, peek_elem),
    (id::FOR_EACH_MAP_ELEM, for_each_map_elem),
    (id::MAP_LOOKUP_PERCPU_ELEM, lookup_percpu_elem),
];

impl Run<'_> {
    /// The map in a register.
    pub(crate) fn map_argument(
        &self,
        helper: &'static str,
        reg: Reg,
    ) -> Result<&Arc<MapHandle>, Stop> {
        let value = self.read(reg)?;
        match value.kind() {
            Kind::Map => Ok(self.known_map(value)),
            _ => Err(self.bad_argument(helper, reg.number(), "is no map")),
        }
    }
}

fn is_map_of_maps(map: &MapHandle) -> bool {
    matches!(map.map.map_type(), MapType::ArrayOfMaps | MapType::HashOfMaps)
}

/// A pointer to the value that a look-up found, or null.
fn value_pointer(found: Option<Region>) -> Value {
    found.map_or(Value::scalar(0), |region| region.pointer(0))
}

fn lookup_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_map_lookup_elem";
    let map = run.map_argument(NAME, Reg::R1)?;
    let key = run.bytes_argument(NAME, Reg::R2, map.map.key_size().into())?;
    if is_map_of_maps(map) {
        return Ok(map.inner(&key).map_or(Value::scalar(0), |inner| run.found_map(inner)));
    }
    Ok(value_pointer(map.lookup_region(&key, run.cpu())))
}

fn lookup_percpu_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_map_lookup_percpu_elem";
    let map = run.map_argument(NAME, Reg::R1)?;
    let key = run.bytes_argument(NAME, Reg::R2, map.map.key_size().into())?;
    let cpu = run.read(Reg::R3)?.bits as u32;
    if cpu >= run.env.cpus() {
        return Ok(Value::scalar(0));
    }
    Ok(value_pointer(map.lookup_region(&key, cpu)))
}

fn update_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_map_update_elem";
    let map = run.map_argument(NAME, Reg::R1)?;
    let key = run.bytes_argument(NAME, Reg::R2, map.map.key_size().into())?;
    let value = run.bytes_argument(NAME, Reg::R3, map.map.value_size().into())?;
    let flags = run.read(Reg::R4)?.bits;
    Ok(status(map.update(&key, &value, flags, run.cpu())))
}

fn delete_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_map_delete_elem";
    let map = run.map_argument(NAME, Reg::R1)?;
    let key = run.bytes_argument(NAME, Reg::R2, map.map.key_size().into())?;
    Ok(status(map.delete(&key, run.cpu())))
}

fn push_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_map_push_elem";
    let map = run.map_argument(NAME, Reg::R1)?;
    let value = run.bytes_argument(NAME, Reg::R2, map.map.value_size().into())?;
    let flags = run.read(Reg::R3)?.bits;
    Ok(status(map.map.push(&value, flags)))
}

fn pop_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    take("bpf_map_pop_elem", run, |map, value| map.map.pop(value))
}

fn peek_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    take("bpf_map_peek_elem", run, |map, value| map.map.peek(value))
}

fn take(
    name: &'static str,
    run: &mut Run<'_>,
    take: impl FnOnce(&MapHandle, &mut [u8]) -> Result<(), Errno>,
) -> Result<Value, Stop> {
    let map = run.map_argument(name, Reg::R1)?;
    let size = map.map.value_size();
    let mut value = match map.map.map_type() {
        // It is asked for this value.
        MapType::BloomFilter => run.bytes_argument(name, Reg::R2, size.into())?,
        _ => Bytes::zeros(size as usize),
    };
    let result = take(map, &mut value);
    // Linux clears the buffer of an empty queue.
    run.write_argument(name, Reg::R2, &value)?;
    Ok(status(result))
}

/// `bpf_for_each_map_elem(map, callback, context, flags)`: the callback gets the
/// map, key, value and context, and stops the walk by returning 1.
fn for_each_map_elem(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_for_each_map_elem";
    let map_value = run.read(Reg::R1)?;
    let map = Arc::clone(run.map_argument(NAME, Reg::R1)?);
    let (callback, context) = (run.read(Reg::R2)?, run.read(Reg::R3)?);
    if callback.kind() != Kind::Function {
        return Err(run.bad_argument(NAME, 2, "is no subprogram"));
    }
    if run.read(Reg::R4)?.bits != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let mut walked = 0;
    let mut cursor = Cursor::default();
    while let Some(element) = map.map.walk(&mut cursor, run.cpu()) {
        walked += 1;
        let value = map.element_region(&element).pointer(0);
        let key = match map.key_region(&element) {
            Some(region) => region.pointer(0),
            None => run.lend(element.index),
        };
        if run.call_back(callback, &[map_value, key, value, context])? != 0 {
            break;
        }
    }
    Ok(Value::scalar(walked))
}
