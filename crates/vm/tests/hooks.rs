//! What a hook keeps between its runs, and what it does not.

use std::sync::Arc;

use skep_sys::{Command, Kernel, MapCreate, MapDelete, MapElem, ProgLoad};
use skep_vm::Vm;
use skep_vm::hooks::PacketHook;

const PROG_ARRAY: u32 = 3;

fn insn(code: u8, dst: u8, src: u8, imm: i32) -> [u8; 8] {
    let mut bytes = [code, src << 4 | dst, 0, 0, 0, 0, 0, 0];
    bytes[4..].copy_from_slice(&imm.to_ne_bytes());
    bytes
}

fn load(vm: &Vm, insns: &[[u8; 8]]) -> i32 {
    let load = ProgLoad {
        prog_type: 6,
        insn_cnt: insns.len() as u32,
        insns: Some(insns.concat().into()),
        license: Some(b"GPL\0"[..].into()),
        ..ProgLoad::default()
    };
    vm.bpf(&mut Command::ProgLoad(Box::new(load))).expect("a program") as i32
}

fn close(vm: &Vm, fd: i32) {
    // SAFETY: it came from `load`, and is used for the last time.
    unsafe { vm.close(fd) };
}

#[test]
fn an_idle_hook_keeps_no_program_that_it_went_on_to() {
    let vm = Arc::new(Vm::with_cpus(1));
    let attr = MapCreate {
        map_type: PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapCreate::default()
    };
    let map_fd = vm.bpf(&mut Command::MapCreate(attr)).expect("a map");
    let first = load(
        &vm,
        &[
            insn(0x18, 2, 1, map_fd as i32),
            insn(0, 0, 0, 0),
            insn(0xb7, 3, 0, 0),
            insn(0x85, 0, 0, 12), // tail_call(ctx, map, 0)
            insn(0xb7, 0, 0, 2),
            insn(0x95, 0, 0, 0),
        ],
    );
    let mut hook = PacketHook::new(&vm, first).expect("XDP");
    let key = [0; 4];
    for verdict in 3..6 {
        let next = load(&vm, &[insn(0xb7, 0, 0, verdict), insn(0x95, 0, 0, 0)]);
        let program = Arc::downgrade(&vm.program(next).expect("a program"));
        let mut value = next.to_ne_bytes();
        let element = MapElem {
            map_fd,
            key: Some(key[..].into()),
            value: (&mut value[..]).into(),
            ..MapElem::default()
        };
        assert_eq!(vm.bpf(&mut Command::MapUpdate(element)), Ok(0));
        close(&vm, next);
        for _ in 0..3 {
            assert_eq!(hook.run(&[0; 64]).map(|ran| ran.retval), Ok(verdict as u32));
        }
        assert!(program.upgrade().is_some());
        let element = MapDelete { map_fd, key: Some(key[..].into()), ..MapDelete::default() };
        assert_eq!(vm.bpf(&mut Command::MapDelete(element)), Ok(0));
        assert!(program.upgrade().is_none(), "the hook is idle");
        assert_eq!(hook.run(&[0; 64]).map(|ran| ran.retval), Ok(2));
    }
}
