//! BTF as an object of the kernel.

use std::sync::Arc;

use skep_btf::Btf;

/// Loaded BTF.
pub(crate) struct BtfObject {
    /// Id.
    pub id: u32,
    /// The bytes as they were loaded.
    pub bytes: Box<[u8]>,
    /// The types.
    pub types: Arc<Btf>,
}
