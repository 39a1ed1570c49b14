//! Several processes of one embedded kernel: what they share, what each has for itself, and
//! what its capabilities let it do, beside threads of this process on Linux that hold the same.

use std::sync::Arc;

use skep_abi::{Capabilities, MapType, ProgType};
use skep_isa::{assemble, encode};
use skep_sys::{
    BtfLoad, Command, Errno, GetById, Kernel, Linux, MapCreate, MapElem, NextId, ObjGet, ObjPin,
    ObjectKind, ProgInfo, ProgLoad, TestRun,
};
use skep_vm::Vm;

fn array(kernel: &dyn Kernel) -> u32 {
    let attr = MapCreate {
        map_type: MapType::Array as u32,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapCreate::default()
    };
    kernel.bpf(&mut Command::MapCreate(attr)).expect("an array")
}

fn lookup(kernel: &dyn Kernel, map_fd: u32) -> Result<u64, Errno> {
    let mut value = [0; 8];
    kernel.bpf(&mut Command::MapLookup(MapElem {
        map_fd,
        key: Some([0; 4][..].into()),
        value: (&mut value[..]).into(),
        ..MapElem::default()
    }))?;
    Ok(u64::from_ne_bytes(value))
}

fn update(kernel: &dyn Kernel, map_fd: u32, value: u64) -> Result<u32, Errno> {
    let mut value = value.to_ne_bytes();
    kernel.bpf(&mut Command::MapUpdate(MapElem {
        map_fd,
        key: Some([0; 4][..].into()),
        value: (&mut value[..]).into(),
        ..MapElem::default()
    }))
}

fn by_id(kernel: &dyn Kernel, kind: ObjectKind, id: u32) -> Result<u32, Errno> {
    kernel.bpf(&mut Command::GetById(kind, GetById { id, ..GetById::default() }))
}

fn load(kernel: &dyn Kernel, prog_type: ProgType, attach: u32) -> Result<u32, Errno> {
    let insns = encode(&assemble("r0 = 0\nexit").expect("assembles"));
    let bytes: Vec<u8> = insns.iter().flat_map(|slot| slot.to_bytes()).collect();
    kernel.bpf(&mut Command::ProgLoad(Box::new(ProgLoad {
        prog_type: prog_type as u32,
        expected_attach_type: attach,
        insn_cnt: insns.len() as u32,
        insns: Some(bytes[..].into()),
        license: Some(b"GPL\0"[..].into()),
        ..ProgLoad::default()
    })))
}

#[test]
fn processes_share_objects_and_have_fds_of_their_own() {
    let first = Vm::with_cpus(1);
    let second = first.process(Capabilities::all());
    let map = array(&first);
    assert_eq!(lookup(&second, map), Err(Errno::EBADF));
    let program = load(&first, ProgType::SocketFilter, 0).expect("it is accepted");
    let run = |kernel: &Vm| {
        let frame = [0; 64];
        kernel.bpf(&mut Command::TestRun(Box::new(TestRun {
            prog_fd: program,
            data_size_in: 64,
            data_in: Some(frame[..].into()),
            ..TestRun::default()
        })))
    };
    assert_eq!(run(&first), Ok(0));
    assert_eq!(run(&second), Err(Errno::EBADF));

    // By its id, and by a pin, it is the same map.
    update(&first, map, 7).expect("it is written");
    let id = by_id(&second, ObjectKind::Map, 1).expect("the first map");
    assert_eq!(lookup(&second, id), Ok(7));
    let pin =
        ObjPin { bpf_fd: map, pathname: Some(b"/sys/fs/bpf/m\0"[..].into()), ..ObjPin::default() };
    first.bpf(&mut Command::ObjPin(pin)).expect("it is pinned");
    let got = second
        .bpf(&mut Command::ObjGet(ObjGet {
            pathname: Some(b"/sys/fs/bpf/m\0"[..].into()),
            ..ObjGet::default()
        }))
        .expect("it is there");
    update(&second, got, 8).expect("it is written");
    assert_eq!(lookup(&first, map), Ok(8));

    // What one closes the other keeps, and what a process leaves behind is closed.
    #[allow(unsafe_code, reason = "fds of the embedded kernel are numbers in a table")]
    // SAFETY: nothing else uses the number.
    unsafe {
        first.close(map as i32);
    }
    assert_eq!(lookup(&first, map), Err(Errno::EBADF));
    assert_eq!(lookup(&second, id), Ok(8));
    let third = second.process(Capabilities::all());
    let own = array(&third);
    assert_eq!(own, 3, "the first fd of a process");
    assert!(by_id(&first, ObjectKind::Map, 2).is_ok());
    drop(third);
    // `first` still holds the one that it got by its id.
    assert!(by_id(&second, ObjectKind::Map, 2).is_ok());
    drop(first);
    assert_eq!(by_id(&second, ObjectKind::Map, 2).map(|_| ()), Ok(()));
    assert_eq!(by_id(&second, ObjectKind::Map, 3), Err(Errno::ENOENT));
}

/// What a process is told of a program's code: bytes of instructions, and its name's first.
fn told(kernel: &dyn Kernel, fd: u32) -> Option<(usize, u32)> {
    let info = ProgInfo::query(kernel, fd as i32).ok()?;
    Some((info.xlated.len(), info.prog_type))
}

#[test]
fn instructions_are_shown_to_who_may_load_them() {
    let socket_filter = ProgType::SocketFilter as u32;
    let all = Vm::with_cpus(1);
    let fd = load(&all, ProgType::SocketFilter, 0).expect("it is accepted");
    assert_eq!(told(&all, fd), Some((16, socket_filter)));
    let pathname = b"/sys/fs/bpf/p\0";
    let pin = ObjPin { bpf_fd: fd, pathname: Some(pathname[..].into()), ..ObjPin::default() };
    all.bpf(&mut Command::ObjPin(pin)).expect("it is pinned");
    let some = all.process(Capabilities::NET_ADMIN);
    let get = ObjGet { pathname: Some(pathname[..].into()), ..ObjGet::default() };
    let fd = some.bpf(&mut Command::ObjGet(get)).expect("it is there");
    assert_eq!(told(&some, fd), Some((0, socket_filter)));

    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        let linux = Linux::new();
        let Ok(fd) = load(&linux, ProgType::SocketFilter, 0) else {
            println!("skipped: Linux does not let us load programs");
            return;
        };
        let without = std::thread::spawn(move || {
            let mut sets = capabilities(None).ok()?;
            sets.effective &= CapabilitySet::NET_ADMIN;
            set_capabilities(None, sets).ok()?;
            told(&linux, fd)
        });
        assert_eq!(without.join().expect("it ends"), Some((0, socket_filter)));
    }
}

/// What needs rights, each with a name. Gives whether it was refused with EPERM.
fn deeds(kernel: &dyn Kernel) -> Vec<(String, bool)> {
    let mut deeds = Vec::new();
    let mut note = |name: String, result: Result<u32, Errno>| {
        if let Ok(fd) = result
            && !name.starts_with("next")
        {
            #[allow(unsafe_code, reason = "the fd was just made")]
            // SAFETY: nothing else uses the number.
            unsafe {
                kernel.close(fd as i32);
            }
        }
        deeds.push((name, result == Err(Errno::EPERM)));
    };
    for kind in [ObjectKind::Prog, ObjectKind::Map, ObjectKind::Btf] {
        let next = NextId { start_id: 0, ..NextId::default() };
        note(format!("next {kind:?}"), kernel.bpf(&mut Command::NextId(kind, next)));
        note(format!("by id {kind:?}"), by_id(kernel, kind, u32::MAX >> 1));
    }
    // No BTF: who may not load any is told that first.
    let btf = BtfLoad { btf: Some([0; 4][..].into()), btf_size: 4, ..BtfLoad::default() };
    note("BTF".into(), kernel.bpf(&mut Command::BtfLoad(btf)));
    for (map_type, key_size, value_size, max_entries, map_flags) in [
        (MapType::Hash, 4, 8, 1, 0),
        (MapType::Array, 4, 8, 1, 0),
        (MapType::ProgArray, 4, 4, 1, 0),
        (MapType::PercpuHash, 4, 8, 1, 0),
        (MapType::PercpuArray, 4, 8, 1, 0),
        (MapType::LruHash, 4, 8, 64, 0),
        (MapType::LruPercpuHash, 4, 8, 64, 0),
        (MapType::LpmTrie, 8, 8, 1, skep_abi::flags::map::NO_PREALLOC),
        (MapType::Devmap, 4, 4, 1, 0),
        (MapType::DevmapHash, 4, 4, 1, 0),
        (MapType::Cpumap, 4, 4, 1, 0),
        (MapType::Xskmap, 4, 4, 1, 0),
        (MapType::Queue, 0, 8, 1, 0),
        (MapType::Stack, 0, 8, 1, 0),
        (MapType::Ringbuf, 0, 0, 4096, 0),
    ] {
        let attr = MapCreate {
            map_type: map_type as u32,
            key_size,
            value_size,
            max_entries,
            map_flags,
            ..MapCreate::default()
        };
        note(format!("{map_type:?}"), kernel.bpf(&mut Command::MapCreate(attr)));
    }
    for (prog_type, attach) in [
        (ProgType::SocketFilter, 0),
        (ProgType::Xdp, 0),
        (ProgType::SchedCls, 0),
        (ProgType::CgroupSkb, 0),
        (ProgType::Tracepoint, 0),
        (ProgType::RawTracepoint, 0),
        (ProgType::PerfEvent, 0),
        (ProgType::CgroupDevice, 0),
        (ProgType::SkReuseport, 0),
        (ProgType::LwtIn, 0),
        (ProgType::SockOps, 0),
    ] {
        note(format!("{prog_type:?}"), load(kernel, prog_type, attach));
    }
    deeds
}

/// A set and Linux's names of it.
#[cfg(target_os = "linux")]
const SETS: [(Capabilities, rustix::thread::CapabilitySet); 5] = {
    use rustix::thread::CapabilitySet as Linux;
    [
        (Capabilities::BPF, Linux::BPF),
        (Capabilities::NET_ADMIN, Linux::NET_ADMIN),
        (Capabilities::BPF.union(Capabilities::NET_ADMIN), Linux::BPF.union(Linux::NET_ADMIN)),
        (Capabilities::BPF.union(Capabilities::PERFMON), Linux::BPF.union(Linux::PERFMON)),
        (Capabilities::SYS_ADMIN, Linux::SYS_ADMIN),
    ]
};

#[cfg(target_os = "linux")]
#[test]
fn capabilities_let_processes_do_what_they_let_them_do_on_linux() {
    use rustix::thread::{capabilities, set_capabilities};

    let vm = Vm::with_cpus(1);
    let disabled = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
    let disabled = disabled.is_ok_and(|text| text.trim() != "0");
    let mut compared = 0;
    for (set, linux_set) in SETS {
        let ours = deeds(&vm.process(set));
        // A thread has capabilities of its own, and takes them along when it ends.
        let linux = std::thread::spawn(move || {
            let mut sets = capabilities(None).ok()?;
            sets.effective &= linux_set;
            (sets.effective == linux_set).then_some(())?;
            set_capabilities(None, sets).ok()?;
            let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
            Some(deeds(&*linux))
        });
        let Some(linux) = linux.join().expect("it ends") else {
            println!("skipped: Linux with {set:?}: this process does not hold them");
            continue;
        };
        for ((name, ours), (_, linux)) in ours.iter().zip(&linux) {
            // This Linux may refuse programs and maps of all who do not hold CAP_BPF; the
            // embedded kernel is one that does not.
            let general = disabled && !set.allow(Capabilities::BPF);
            if general && *linux && !ours {
                continue;
            }
            assert_eq!(ours, linux, "{name} with {set:?}: refused with EPERM or not");
            compared += 1;
        }
    }
    println!("{compared} compared");
}
