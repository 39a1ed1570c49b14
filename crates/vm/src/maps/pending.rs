//! Interim.
use super::Map;
use crate::mem::value::Region;
use skep_abi::Errno;
use std::any::Any;
use std::sync::Arc;
#[allow(missing_docs)]
impl Map {
    pub fn object(&self, _index: u32) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
    pub fn object_of_key(&self, _key: &[u8]) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
    pub fn set_object(
        &self,
        _key: &[u8],
        _object: Arc<dyn Any + Send + Sync>,
        _flags: u64,
    ) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }
    pub fn has_target(&self, _key: &[u8]) -> bool {
        false
    }
    pub fn check_slot(&self, _key: &[u8], _flags: u64) -> Result<(), Errno> {
        Ok(())
    }
    pub fn check_inner(&self, _inner: &Map) -> Result<(), Errno> {
        Ok(())
    }
    pub fn push(&self, _value: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }
    pub fn pop(&self, _value: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }
    pub fn peek(&self, _value: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }
    pub fn ring_output(&self, _data: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }
    pub fn ring_reserve(&self, _size: u64, _flags: u64) -> Option<Region> {
        None
    }
    pub fn ring_submit(&self, _region: Region, _flags: u64, _discard: bool) {}
    pub fn ring_query(&self, _what: u64) -> u64 {
        0
    }
    pub fn ring_available(&self) -> Result<u64, Errno> {
        Ok(0)
    }
    pub fn map_extra(&self) -> u64 {
        0
    }
}
