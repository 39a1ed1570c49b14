//! Any instructions as a packet program with maps, which no verifier saw: code with all
//! checks stays in the program's memory, and gives what the interpreter gives, where that
//! returns and what it computes does not depend on addresses.
#![no_main]

use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use skep_abi::helper::id;
use skep_abi::{MapType, ProgType};
use skep_isa::arbitrary::Program;
use skep_isa::{Callee, ImmKind, Insn, Slot, encode};
use skep_sys::{Command, Kernel, MapCreate, MapElem, Output, ProgLoad, RawFd};
use skep_vm::hooks::{PacketError, PacketHook, Verdict};
use skep_vm::{Engine, Vm};

const MAPS: [(MapType, u32, u32); 6] = [
    (MapType::Array, 4, 64),
    (MapType::Hash, 4, 24),
    (MapType::PercpuArray, 4, 16),
    (MapType::Ringbuf, 0, 0),
    (MapType::LpmTrie, 8, 8),
    (MapType::Queue, 0, 8),
];
/// The first map's fd.
const FIRST: u32 = 3;

struct Input {
    kind: ProgType,
    slots: Vec<Slot>,
    packet: Vec<u8>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Input> {
        let kind = *u.choose(&[ProgType::Xdp, ProgType::SchedCls, ProgType::SocketFilter])?;
        let mut packet = vec![0; u.int_in_range(14..=80)?];
        u.fill_buffer(&mut packet)?;
        let mut program: Program = u.arbitrary()?;
        for insn in &mut program.0 {
            match insn {
                Insn::LoadImm64 { imm, .. }
                    if matches!(imm.kind, ImmKind::MapFd | ImmKind::MapValue) =>
                {
                    imm.lo = FIRST + imm.lo % MAPS.len() as u32;
                    imm.hi %= 72;
                }
                Insn::Call(Callee::Helper(id)) => *id %= 212,
                Insn::Call(callee @ Callee::Register(_)) => {
                    *callee = Callee::Helper(id::MAP_LOOKUP_ELEM)
                }
                _ => {}
            }
        }
        Ok(Input { kind, slots: encode(&program.0), packet })
    }
}

/// A verdict or none, the packet, the values of the arrays.
type After = (Result<Verdict, PacketError>, Vec<u8>, Vec<Vec<u8>>);

/// Runs it in a kernel of its own; `None` where it is no program. Who keeps the kernel
/// and the packet's buffer keeps others from lying at their addresses.
fn run(input: &Input, engine: Engine) -> Option<(After, Arc<Vm>, PacketHook)> {
    let vm = Vm::with_cpus(1).with_budget(5_000).unverified().with_engine(engine);
    let vm = Arc::new(vm);
    vm.environment().seed(1);
    vm.environment().set_time(Some(1));
    let mut maps = Vec::new();
    for (kind, key_size, value_size) in MAPS {
        let max_entries = if kind == MapType::Ringbuf { 4096 } else { 2 };
        let map_flags = if kind == MapType::LpmTrie { 1 } else { 0 };
        let map_type = kind as u32;
        let attr = MapCreate {
            map_type,
            key_size,
            value_size,
            max_entries,
            map_flags,
            ..MapCreate::default()
        };
        maps.push(vm.bpf(&mut Command::MapCreate(attr)).expect("a map"));
    }
    assert_eq!(maps[0], FIRST);
    let bytes = Slot::join(&input.slots);
    let load = ProgLoad {
        prog_type: input.kind as u32,
        insn_cnt: input.slots.len() as u32,
        insns: Some((&bytes[..]).into()),
        license: Some((&b"GPL\0"[..]).into()),
        ..ProgLoad::default()
    };
    let fd = vm.bpf(&mut Command::ProgLoad(Box::new(load))).ok()?;
    let mut hook = PacketHook::new(&vm, fd as RawFd).ok()?;
    let verdict = hook.run(&input.packet);
    let values = [0, 2].map(|map| {
        let mut value = vec![0; MAPS[map].2 as usize];
        let attr = MapElem {
            map_fd: maps[map],
            key: Some((&[0; 4][..]).into()),
            value: Output::Slice(&mut value),
            ..MapElem::default()
        };
        vm.bpf(&mut Command::MapLookup(attr)).expect("an array's first value");
        value
    });
    let after = (verdict, hook.packet().to_vec(), values.to_vec());
    Some((after, vm, hook))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let Some(guarded) = run(&input, Engine::Guarded) else { return };
    let Some(interpreted) = run(&input, Engine::Interpreter) else { return };
    // In a kernel beside, everything lies elsewhere.
    let Some(beside) = run(&input, Engine::Interpreter) else { return };
    if interpreted.0.0.is_ok() && beside.0 == interpreted.0 {
        assert_eq!(guarded.0, interpreted.0, "guarded code and the interpreter differ");
    }
});
