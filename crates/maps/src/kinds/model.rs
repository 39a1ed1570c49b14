//! What a map of maps asks of the maps in it.

use skep_abi::{MapType, flags};

use crate::fields::Fields;

/// What all inner maps of a map of maps have in common (`bpf_map_meta_equal()`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    pub(crate) map_type: MapType,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) flags: u32,
    pub(crate) fields: Fields,
    /// Counts for some types only.
    pub(crate) max_entries: u32,
}

impl Model {
    /// Whether a map may be an inner one.
    pub(crate) fn admits(&self, other: Model) -> bool {
        let size_matters = match self.map_type {
            MapType::Array => self.flags & flags::map::INNER_MAP == 0,
            MapType::Xskmap => true,
            _ => false,
        };
        Model { max_entries: self.max_entries, ..other } == *self
            && (!size_matters || other.max_entries == self.max_entries)
    }
}
