use skep_abi::{MapType, ProgType};
use skep_isa::{Slot, assemble, encode};
use skep_sys::{Command, Fd, Kernel, MapCreate, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};
use std::sync::Arc;
fn main() {
    for engine in [Engine::Auto, Engine::Guarded, Engine::Interpreter] {
        let vm = Arc::new(Vm::new().with_engine(engine));
        let kernel: Arc<dyn Kernel> = vm.clone();
        let mut c = Command::MapCreate(MapCreate {
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: 16,
            max_entries: 64,
            ..MapCreate::default()
        });
        let map = kernel.bpf(&mut c).unwrap();
        let mut c = Command::MapCreate(MapCreate {
            map_type: MapType::Hash as u32,
            key_size: 4,
            value_size: 16,
            max_entries: 64,
            ..MapCreate::default()
        });
        let hash = kernel.bpf(&mut c).unwrap();
        let lookup = |map| {
            format!(
                "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\nr2 = *(u8 *)(r2 + 3)\nr2 &= 63\n*(u32 *)(r10 - 4) = r2\nr2 = r10\nr2 += -4\nr1 = map[fd:{map}] ll\ncall 1\nif r0 == 0 goto out\nr1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\nout:\nr0 = 2\nexit\n"
            )
        };
        let lp = "r1 = 1000\nr2 = subprog[+6] ll\nr3 = r10\nr4 = 0\ncall 181\nr0 = 2\nexit\ncb:\nr0 = 0\nexit\n".to_string();
        for (name, asm) in [
            ("empty", "r0 = 2\nexit\n".to_string()),
            ("array", lookup(map)),
            ("hash", lookup(hash)),
            ("ktime", "call 5\nr0 = 2\nexit\n".to_string()),
            ("cpu", "call 8\nr0 = 2\nexit\n".to_string()),
            ("loop1000", lp),
        ] {
            let insns = match assemble(&asm) {
                Ok(i) => i,
                Err(e) => {
                    println!("{name}: {e}");
                    continue;
                }
            };
            let slots = encode(&insns);
            let bytes = Slot::join(&slots);
            let load = ProgLoad {
                prog_type: ProgType::Xdp as u32,
                insn_cnt: slots.len() as u32,
                insns: Some((&bytes[..]).into()),
                license: Some((&b"GPL\0"[..]).into()),
                ..ProgLoad::default()
            };
            let fd = match kernel.bpf(&mut Command::ProgLoad(Box::new(load))) {
                Ok(f) => f,
                Err(e) => {
                    println!("{name}: {e:?}");
                    continue;
                }
            };
            let program = Fd::new(kernel.clone(), fd as i32);
            let packet = [7u8; 64];
            let mut best = u32::MAX;
            for _ in 0..7 {
                let run = TestRun {
                    prog_fd: program.raw() as u32,
                    data_size_in: 64,
                    data_in: Some((&packet[..]).into()),
                    repeat: if name == "loop1000" { 3000 } else { 300000 },
                    ..TestRun::default()
                };
                let mut command = Command::TestRun(Box::new(run));
                kernel.bpf(&mut command).unwrap();
                let Command::TestRun(run) = command else { unreachable!() };
                best = best.min(run.duration);
            }
            println!("{engine:?} {name}: {best} ns");
        }
    }
}
