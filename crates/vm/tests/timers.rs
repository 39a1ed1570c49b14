//! A timer that a program arms calls on a vCPU, again and again while it arms itself, and stops with
//! its map and its program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_abi::{Errno, MapType, ProgType};
use skep_btf::{Builder, Endian, FuncLinkage, Member};
use skep_isa::{Slot, assemble, encode};
use skep_sys::{BtfLoad, Command, Fd, Kernel, MapCreate, MapElem, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// Types, and their numbers: of the key, of the value, of both functions.
fn types(kernel: &Arc<dyn Kernel>) -> (Fd, [u32; 4]) {
    let mut types = Builder::new();
    let int = types.int("int", 4, 1);
    let long = types.int("unsigned long long", 8, 0);
    let member = |name, type_id, bit_offset| Member { name, type_id, bit_offset, bitfield_size: 0 };
    let opaque = types.array(long, int, 2);
    let timer = types.structure("bpf_timer", 16, &[member("__opaque", opaque, 0)]);
    let members = [member("timer", timer, 0), member("calls", long, 128)];
    let value = types.structure("value", 24, &members);
    let (to_int, to_value) = (types.ptr(int), types.ptr(value));
    let nothing = types.ptr(0);
    let main = types.func_proto(int, &[("context", nothing)]);
    let main = types.func("arms", main, FuncLinkage::Global);
    let called = [("map", nothing), ("key", to_int), ("value", to_value)];
    let called = types.func_proto(int, &called);
    let called = types.func("is_called", called, FuncLinkage::Static);
    let bytes = types.to_bytes(Endian::Little);
    let size = bytes.len() as u32;
    let load = BtfLoad { btf: Some(bytes.into()), btf_size: size, ..BtfLoad::default() };
    let fd = Fd::open(kernel, &mut Command::BtfLoad(load)).expect("types");
    (fd, [int, value, main, called])
}

fn array(kernel: &Arc<dyn Kernel>, value_size: u32, types: Option<(&Fd, u32, u32)>) -> Fd {
    let mut create = MapCreate {
        map_type: MapType::Array as u32,
        key_size: 4,
        value_size,
        max_entries: 1,
        ..MapCreate::default()
    };
    if let Some((fd, key, value)) = types {
        create.btf_fd = fd.raw() as u32;
        (create.btf_key_type_id, create.btf_value_type_id) = (key, value);
    }
    Fd::open(kernel, &mut Command::MapCreate(create)).expect("an array")
}

/// The word of a counter.
fn count(kernel: &Arc<dyn Kernel>, map: &Fd) -> u64 {
    let mut value = [0; 8];
    let elem = MapElem {
        map_fd: map.raw() as u32,
        key: Some((&[0; 4][..]).into()),
        value: value.as_mut_slice().into(),
        ..MapElem::default()
    };
    kernel.bpf(&mut Command::MapLookup(elem)).expect("a count");
    u64::from_ne_bytes(value)
}

fn load(kernel: &Arc<dyn Kernel>, text: &str, types: &Fd, infos: &[(u32, u32)]) -> Fd {
    let slots = encode(&assemble(text).unwrap_or_else(|error| panic!("{error}\n{text}")));
    let bytes = Slot::join(&slots);
    let infos: Vec<u8> =
        infos.iter().flat_map(|(pc, of)| [pc.to_ne_bytes(), of.to_ne_bytes()].concat()).collect();
    let mut log = vec![0u8; 1 << 16];
    let load = ProgLoad {
        prog_type: ProgType::SchedCls as u32,
        insn_cnt: slots.len() as u32,
        insns: Some((&bytes[..]).into()),
        license: Some((&b"GPL\0"[..]).into()),
        prog_btf_fd: types.raw() as u32,
        func_info_rec_size: 8,
        func_info_cnt: infos.len() as u32 / 8,
        func_info: Some((&infos[..]).into()),
        log_level: 1,
        log_size: log.len() as u32,
        log_buf: log.as_mut_slice().into(),
        ..ProgLoad::default()
    };
    Fd::open(kernel, &mut Command::ProgLoad(Box::new(load)))
        .unwrap_or_else(|errno: Errno| panic!("{errno}\n{}", String::from_utf8_lossy(&log)))
}

#[test]
fn a_timer_fires_until_its_map_and_program_are_gone() {
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new().with_engine(engine));
        let (types, [int, value, main, called]) = types(&kernel);
        let timers = array(&kernel, 24, Some((&types, int, value)));
        let counter = array(&kernel, 8, None);
        let armed = "r2 = 1000000\nr3 = 0\ncall bpf_timer_start\n";
        let main_text = format!(
            "*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = map[fd:{0}] ll\n\
             call bpf_map_lookup_elem\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\n\
             r2 = map[fd:{0}] ll\nr3 = 1\ncall bpf_timer_init\nr1 = r6\nr2 = subprog[+AWAY] ll\n\
             call bpf_timer_set_callback\nr1 = r6\n{armed}out:\nr0 = 0\nexit\n",
            timers.raw()
        );
        let called_text = format!(
            "r6 = r3\nr1 = map[fd:{}][0]+0 ll\nr2 = 1\nlock *(u64 *)(r1 + 0) += r2\n\
             r1 = r6\n{armed}r0 = 0\nexit\n",
            counter.raw()
        );
        // Where the callback is, and how far from the instruction that names it.
        let slots = |text: &str| encode(&assemble(text).expect("code")).len();
        let (before, _) = main_text.split_once("r2 = subprog").expect("it is named");
        let at = slots(&main_text.replace("AWAY", "0"));
        let named = slots(&format!("{before}out:\nexit\n")) - 1;
        let text = main_text.replace("AWAY", &(at - named - 1).to_string()) + &called_text;
        let program = load(&kernel, &text, &types, &[(0, main), (at as u32, called)]);

        let packet = [0; 64];
        let run = TestRun {
            prog_fd: program.raw() as u32,
            data_size_in: packet.len() as u32,
            data_in: Some((&packet[..]).into()),
            ..TestRun::default()
        };
        kernel.bpf(&mut Command::TestRun(Box::new(run))).expect("a run");
        let begun = Instant::now();
        while count(&kernel, &counter) < 3 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{engine:?}: it does not call");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop((program, timers));
        // A call that had begun ends; a timer that went on would call every millisecond.
        let stopped = Instant::now();
        loop {
            let before = count(&kernel, &counter);
            std::thread::sleep(Duration::from_millis(100));
            if count(&kernel, &counter) == before {
                break;
            }
            assert!(stopped.elapsed() < Duration::from_secs(60), "{engine:?}: it goes on");
        }
    }
}
