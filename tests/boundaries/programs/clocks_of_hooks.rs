//! A hook's clock is its own: no other run of the kernel sees it.

use std::sync::Arc;

use skep::vm::Vm;
use skep::vm::hooks::PacketHook;

use crate::tools::{self, insn};

/// Three hooks, a system call, and three clocks.
pub fn main() {
    let vm = Arc::new(Vm::with_cpus(1));
    let program = tools::load(&*vm, 6, &[insn(0x85, 0, 0, 0, 5), insn(0x95, 0, 0, 0, 0)]);
    let program = program.expect("a program");
    let hook = || PacketHook::new(&vm, program as i32).expect("XDP");
    let (mut first, mut second, mut third) = (hook(), hook(), hook());
    let now = |hook: &mut PacketHook| hook.run(&[0; 64]).map(|verdict| verdict.retval);
    vm.environment().set_time(Some(7));
    first.set_time(Some(100));
    second.set_time(Some(0));
    for _ in 0..2 {
        assert_eq!(now(&mut first), Ok(100));
        assert_eq!(now(&mut second), Ok(0));
        assert_eq!(now(&mut third), Ok(7));
        assert_eq!(vm.environment().now(), 7);
    }
    first.set_time(None);
    vm.environment().set_time(Some(8));
    assert_eq!((now(&mut first), now(&mut second), now(&mut third)), (Ok(8), Ok(0), Ok(8)));
}
