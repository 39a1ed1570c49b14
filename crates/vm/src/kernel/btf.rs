//! BTF_LOAD.

use std::sync::Arc;

use skep_abi::Capabilities;
use skep_sys::{BtfLoad, Errno};

use super::vm::Vm;
use crate::objects::btf::BtfObject;
use crate::objects::table::Object;

/// `BPF_F_TOKEN_FD`.
const TOKEN_FD: u32 = skep_abi::flags::map::TOKEN_FD;
/// Linux's largest BTF (`BTF_MAX_SIZE`).
const MAX_SIZE: u32 = 16 * 1024 * 1024;

pub(super) fn load(vm: &Vm, attr: &mut BtfLoad<'_>) -> Result<u32, Errno> {
    if attr.btf_flags & !TOKEN_FD != 0 {
        return Err(Errno::EINVAL);
    }
    if attr.btf_flags & TOKEN_FD != 0 {
        // There are no tokens here: no fd can be one.
        return match vm.files().get(attr.btf_token_fd as u32) {
            Ok(_) => Err(Errno::EINVAL),
            Err(errno) => Err(errno),
        };
    }
    vm.needs(Capabilities::BPF)?;
    if attr.btf_size > MAX_SIZE {
        return Err(Errno::E2BIG);
    }
    super::prog::check_log(attr.btf_log_level, attr.btf_log_size, attr.btf_log_buf.is_null())?;
    let bytes = super::input(&attr.btf, attr.btf_size as usize)?;
    let parsed = skep_btf::Btf::parse(bytes.to_vec());
    let types = match parsed {
        Ok(types) => Arc::new(types),
        Err(error) => {
            let (level, size) = (attr.btf_log_level, attr.btf_log_size);
            let (log, true_size) = (&mut attr.btf_log_buf, &mut attr.btf_log_true_size);
            super::prog::write_log(log, level, size, true_size, &format!("{error}\n"))?;
            return Err(Errno::EINVAL);
        }
    };
    let make = |id| Ok(BtfObject { id, bytes: bytes.into(), types });
    let btf = vm.objects().btfs.enter(make)?;
    Ok(vm.files().open(Object::Btf(btf)) as u32)
}
