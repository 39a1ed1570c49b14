//! TEST_RUN.
use skep_sys::{Errno, TestRun};

use crate::Vm;

pub(super) fn run(vm: &Vm, attr: &mut TestRun<'_>) -> Result<u32, Errno> {
    vm.objects().prog(attr.prog_fd)?;
    Err(Errno::ENOTSUPP)
}
