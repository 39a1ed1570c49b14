//! The types of objects in a kernel, each read once.

use std::collections::HashMap;
use std::sync::Arc;

use skep::btf::Btf;
use skep::sys::{BtfInfo, Kernel, MapInfo, ObjectKind};

use super::pick;

/// BTF by id.
#[derive(Default)]
pub struct Types {
    read: HashMap<u32, Option<Arc<Btf>>>,
    kernel: Option<Option<Arc<Btf>>>,
}

impl Types {
    /// The BTF of an id; `None` where it cannot be had.
    pub fn of(&mut self, kernel: &Arc<dyn Kernel>, id: u32) -> Option<Arc<Btf>> {
        let read = || {
            let fd = pick::by_id(kernel, ObjectKind::Btf, id).ok()?;
            let info = BtfInfo::query(&**kernel, fd.raw()).ok()?;
            Btf::parse(info.btf).ok().map(Arc::new)
        };
        self.read.entry(id).or_insert_with(read).clone()
    }

    /// Types of a map's keys and values, and their ids there: 0 for none.
    pub fn of_map(
        &mut self,
        kernel: &Arc<dyn Kernel>,
        info: &MapInfo,
    ) -> Option<(Arc<Btf>, u32, u32)> {
        if info.btf_vmlinux_value_type_id != 0 {
            let own = || skep::load::Target::of(&**kernel).kernel_btf().ok().cloned();
            let btf = self.kernel.get_or_insert_with(own).clone()?;
            return Some((btf, 0, info.btf_vmlinux_value_type_id));
        }
        if info.btf_value_type_id == 0 {
            return None;
        }
        let btf = self.of(kernel, info.btf_id)?;
        Some((btf, info.btf_key_type_id, info.btf_value_type_id))
    }
}
