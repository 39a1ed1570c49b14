//! What `bpf(2)` takes: each map type is created once, and a program of two
//! instructions is loaded as each program type. Nothing is attached or kept.

use std::sync::Arc;

use skep::abi::{AttachType, Errno, MapType, ProgType, flags};
use skep::btf::{Builder, Endian};
use skep::isa::{Slot, assemble, encode};
use skep::sys::{BtfLoad, Command, Fd, Kernel, Linux, MapCreate, ProgLoad};

use super::{Check, State};

/// What the system call says to us.
pub enum Permission {
    Allowed,
    Denied,
    Absent,
    Failed(Errno),
}

fn kernel() -> Arc<dyn Kernel> {
    Arc::new(Linux::new())
}

fn create(kernel: &Arc<dyn Kernel>, attr: MapCreate<'_>) -> Result<Fd, Errno> {
    Fd::open(kernel, &mut Command::MapCreate(attr))
}

/// Creates a small array.
pub fn permission() -> Permission {
    let attr = MapCreate {
        map_type: MapType::Array as u32,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapCreate::default()
    };
    match create(&kernel(), attr) {
        Ok(_) => Permission::Allowed,
        Err(Errno::EPERM | Errno::EACCES) => Permission::Denied,
        Err(Errno::ENOSYS) => Permission::Absent,
        Err(errno) => Permission::Failed(errno),
    }
}

/// What an attempt says about the kernel.
fn check(name: &str, result: Result<(), Errno>) -> Check {
    match result {
        Ok(()) => Check::new(name, State::Ok, "available"),
        Err(Errno::EPERM | Errno::EACCES) => Check::new(name, State::Missing, "not permitted"),
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOTSUPP | Errno::ENOSYS) => {
            Check::new(name, State::Missing, "not in this kernel")
        }
        Err(errno) => Check::new(name, State::Missing, format!("fails: {errno}")),
    }
}

/// Creates a map of each type.
pub fn maps() -> Vec<Check> {
    let kernel = kernel();
    let btf = load_btf(&kernel);
    let known = MapType::ALL.iter().filter(|&&kind| kind != MapType::Unspec);
    known.map(|&kind| check(kind.name(), map(&kernel, kind, btf.as_ref()))).collect()
}

/// The types of maps that a kernel creates.
pub fn map_types(kernel: &Arc<dyn Kernel>) -> Vec<MapType> {
    let btf = load_btf(kernel);
    let created =
        |kind: &MapType| *kind != MapType::Unspec && map(kernel, *kind, btf.as_ref()).is_ok();
    MapType::ALL.iter().copied().filter(created).collect()
}

/// What the smallest map of a type looks like: key, value, entries, flags.
fn smallest(kind: MapType) -> (u32, u32, u32, u32) {
    const PAGE: u32 = 4096;
    use MapType::*;
    match kind {
        LpmTrie => (8, 8, 1, flags::map::NO_PREALLOC),
        StackTrace => (4, 8, 1, 0),
        CgroupStorage | PercpuCgroupStorage => (16, 8, 0, 0),
        Queue | Stack => (0, 4, 1, 0),
        BloomFilter => (0, 4, 1, 0),
        Ringbuf | UserRingbuf => (0, 0, PAGE, 0),
        SkStorage | InodeStorage | TaskStorage | CgrpStorage => (4, 4, 0, flags::map::NO_PREALLOC),
        Arena => (0, 0, 1, flags::map::MMAPABLE),
        Array | PercpuArray | Hash | PercpuHash | LruHash | LruPercpuHash => (4, 8, 1, 0),
        _ => (4, 4, 1, 0),
    }
}

fn map(kernel: &Arc<dyn Kernel>, kind: MapType, btf: Result<&Fd, &Errno>) -> Result<(), Errno> {
    let (key_size, value_size, max_entries, map_flags) = smallest(kind);
    let mut attr = MapCreate {
        map_type: kind as u32,
        key_size,
        value_size,
        max_entries,
        map_flags,
        ..MapCreate::default()
    };
    let mut inner = None;
    match kind {
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            let map_type = MapType::Array as u32;
            let template = MapCreate {
                map_type,
                key_size: 4,
                value_size: 8,
                max_entries: 1,
                ..MapCreate::default()
            };
            inner = Some(create(kernel, template)?);
        }
        // Local storage describes its values by types.
        MapType::SkStorage
        | MapType::InodeStorage
        | MapType::TaskStorage
        | MapType::CgrpStorage => {
            let btf = btf.map_err(|&errno| errno)?;
            attr.btf_fd = btf.raw() as u32;
            (attr.btf_key_type_id, attr.btf_value_type_id) = (1, 1);
        }
        // Such a map stands for a type of the kernel; that it asks for one shows that it is there.
        MapType::StructOps => {
            attr.btf_vmlinux_value_type_id = 1;
            attr.map_flags = flags::map::LINK;
            return match create(kernel, attr) {
                Err(Errno::ENOTSUPP | Errno::ENOENT) | Ok(_) => Ok(()),
                Err(errno) => Err(errno),
            };
        }
        _ => {}
    }
    if let Some(inner) = &inner {
        attr.inner_map_fd = inner.raw() as u32;
    }
    create(kernel, attr).map(drop)
}

/// BTF of one `int`.
fn load_btf(kernel: &Arc<dyn Kernel>) -> Result<Fd, Errno> {
    let mut builder = Builder::new();
    builder.int("int", 4, 1);
    let bytes = builder.to_bytes(Endian::Little);
    let attr = BtfLoad {
        btf: Some(bytes.as_slice().into()),
        btf_size: bytes.len() as u32,
        ..BtfLoad::default()
    };
    Fd::open(kernel, &mut Command::BtfLoad(attr))
}

/// Loads a program of each type.
pub fn programs() -> Vec<Check> {
    let kernel = kernel();
    let known = ProgType::ALL.iter().filter(|&&kind| kind != ProgType::Unspec);
    known.map(|&kind| check(kind.name(), program(&kernel, kind))).collect()
}

/// The types of programs that a kernel knows.
pub fn program_types(kernel: &Arc<dyn Kernel>) -> Vec<ProgType> {
    let known = |kind: &ProgType| *kind != ProgType::Unspec && program(kernel, *kind).is_ok();
    ProgType::ALL.iter().copied().filter(known).collect()
}

/// What the smallest program of a type has to say about where it will go.
pub fn attach_type(kind: ProgType) -> Option<AttachType> {
    use ProgType::*;
    match kind {
        CgroupSockAddr => Some(AttachType::CgroupInet4Connect),
        CgroupSockopt => Some(AttachType::CgroupGetsockopt),
        SkLookup => Some(AttachType::SkLookup),
        Netfilter => Some(AttachType::Netfilter),
        Tracing => Some(AttachType::TraceFentry),
        Lsm => Some(AttachType::LsmMac),
        _ => None,
    }
}

fn program(kernel: &Arc<dyn Kernel>, kind: ProgType) -> Result<(), Errno> {
    // Sound for every type: some want 0, others 1, and one of them is refused only
    // after the type was recognised.
    let insns = assemble("r0 = 0\nexit").map_err(|_| Errno::EINVAL)?;
    let insns = Slot::join(&encode(&insns));
    let mut log = vec![0; 4096];
    let mut attr = ProgLoad {
        prog_type: kind as u32,
        insns: Some(insns.as_slice().into()),
        insn_cnt: 2,
        license: Some(b"GPL\0"[..].into()),
        expected_attach_type: attach_type(kind).map_or(0, |kind| kind as u32),
        log_level: 1,
        log_size: log.len() as u32,
        ..ProgLoad::default()
    };
    let by_type =
        matches!(kind, ProgType::Tracing | ProgType::Ext | ProgType::Lsm | ProgType::StructOps);
    if by_type {
        attr.attach_btf_id = 1;
    }
    if kind == ProgType::Syscall {
        attr.prog_flags = flags::prog::SLEEPABLE;
    }
    attr.log_buf = (&mut log[..]).into();
    let mut command = Command::ProgLoad(Box::new(attr));
    let result = Fd::open(kernel, &mut command);
    drop(command);
    match result {
        Ok(_) => Ok(()),
        // The verifier had something to say, so it knows the type: that type 1 is no
        // function to attach to, that the program returns the wrong thing.
        Err(Errno::EPERM) => Err(Errno::EPERM),
        Err(_) if log[0] != 0 => Ok(()),
        Err(Errno::ENOTSUPP) if by_type => Ok(()),
        Err(errno) => Err(errno),
    }
}
