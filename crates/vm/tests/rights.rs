//! What fds may do: `mmap` and writing commands, on both kernels.

use std::sync::Arc;
use std::time::Duration;

use skep_sys::{Command, Errno, Kernel, Linux, MapCreate, MapElem, MapFreeze, Mapping, ProgLoad};
use skep_vm::Vm;

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const RINGBUF: u32 = 27;
const RDONLY: u32 = 1 << 3;
const WRONLY: u32 = 1 << 4;
const RDONLY_PROG: u32 = 1 << 7;
const MMAPABLE: u32 = 1 << 10;
const PAGE: usize = 4096;

/// The embedded kernel, and the machine's where it lets us.
fn kernels() -> Vec<Arc<dyn Kernel>> {
    let mut kernels: Vec<Arc<dyn Kernel>> = vec![Arc::new(Vm::with_cpus(2))];
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    match create(&*linux, ARRAY, 0) {
        Ok(_) => kernels.push(linux),
        Err(errno) => println!("skipped: Linux's maps: {errno}"),
    }
    kernels
}

fn create(kernel: &dyn Kernel, map_type: u32, map_flags: u32) -> Result<i32, Errno> {
    let (key_size, value_size) = if map_type == RINGBUF { (0, 0) } else { (4, 8) };
    let max_entries = if map_type == RINGBUF { PAGE as u32 } else { 1 };
    let attr = MapCreate {
        map_type,
        key_size,
        value_size,
        max_entries,
        map_flags,
        ..MapCreate::default()
    };
    kernel.bpf(&mut Command::MapCreate(attr)).map(|fd| fd as i32)
}

fn freeze(kernel: &dyn Kernel, fd: i32) -> Result<u32, Errno> {
    kernel.bpf(&mut Command::MapFreeze(MapFreeze { map_fd: fd as u32, ..MapFreeze::default() }))
}

fn update(kernel: &dyn Kernel, fd: i32) -> Result<u32, Errno> {
    let (key, mut value) = ([0; 4], [0; 8]);
    kernel.bpf(&mut Command::MapUpdate(MapElem {
        map_fd: fd as u32,
        key: Some(key[..].into()),
        value: (&mut value[..]).into(),
        ..MapElem::default()
    }))
}

/// Maps one page.
fn map(kernel: &dyn Kernel, fd: i32, offset: u64, writable: bool) -> Result<Mapping, Errno> {
    // SAFETY: the fd is the kernel's, where it is one, and no test closes those.
    unsafe { kernel.mmap(fd, offset, PAGE, writable) }
}

/// Maps one page; gives whether it could be written.
fn mapped(kernel: &dyn Kernel, fd: i32, offset: u64, writable: bool) -> Result<bool, Errno> {
    let mapping = map(kernel, fd, offset, writable)?;
    Ok(mapping.write(0, &[0]))
}

#[test]
fn a_mapping_may_do_what_its_fd_may() {
    for kernel in kernels() {
        let (kernel, name) = (&*kernel, kernel.name());
        let array = |flags| create(kernel, ARRAY, MMAPABLE | flags).expect("a map");
        let [both, read, write, program] = [0, RDONLY, WRONLY, RDONLY_PROG].map(array);
        let frozen = array(0);
        assert_eq!(freeze(kernel, frozen), Ok(0), "{name}");
        let ring = create(kernel, RINGBUF, 0).expect("a map");
        let [hash, still, blind] =
            [0, RDONLY, WRONLY].map(|flags| create(kernel, HASH, flags).expect("a map"));
        let (r0, exit) = ([0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]);
        let load = ProgLoad {
            prog_type: 6,
            insn_cnt: 2,
            insns: Some([r0, exit].concat().into()),
            license: Some(b"GPL\0"[..].into()),
            ..ProgLoad::default()
        };
        let loaded = kernel.bpf(&mut Command::ProgLoad(Box::new(load))).expect("a program") as i32;
        for (what, fd, offset, reading, writing) in [
            ("both", both, 0, Ok(false), Ok(true)),
            ("to read", read, 0, Err(Errno::EINVAL), Err(Errno::EACCES)),
            ("to write", write, 0, Err(Errno::EACCES), Err(Errno::EACCES)),
            ("for programs to read", program, 0, Ok(false), Err(Errno::EACCES)),
            ("frozen", frozen, 0, Ok(false), Err(Errno::EPERM)),
            ("a ring", ring, 0, Ok(false), Ok(true)),
            ("a ring's producer", ring, PAGE as u64, Ok(false), Err(Errno::EPERM)),
            ("a hash map", hash, 0, Err(Errno::ENOTSUPP), Err(Errno::ENOTSUPP)),
            ("a hash map to read", still, 0, Err(Errno::ENOTSUPP), Err(Errno::EACCES)),
            ("a hash map to write", blind, 0, Err(Errno::EACCES), Err(Errno::EACCES)),
            ("a program", loaded, 0, Err(Errno::ENODEV), Err(Errno::ENODEV)),
            ("past the end", both, PAGE as u64, Err(Errno::EINVAL), Err(Errno::EINVAL)),
            ("askew", both, 8, Err(Errno::EINVAL), Err(Errno::EINVAL)),
        ] {
            assert_eq!(mapped(kernel, fd, offset, false), reading, "{name}: {what}");
            assert_eq!(mapped(kernel, fd, offset, true), writing, "{name}: {what}, to write");
        }
    }
}

#[test]
fn a_map_that_is_mapped_to_be_written_is_not_frozen() {
    for kernel in kernels() {
        let (kernel, name) = (&*kernel, kernel.name());
        let fd = create(kernel, ARRAY, MMAPABLE).expect("a map");
        let reading = map(kernel, fd, 0, false).expect("a mapping");
        let writing = map(kernel, fd, 0, true).expect("a mapping");
        assert_eq!(freeze(kernel, fd), Err(Errno::EBUSY), "{name}");
        assert_eq!(update(kernel, fd), Ok(0), "{name}");
        drop(writing);
        assert_eq!(freeze(kernel, fd), Ok(0), "{name}");
        assert_eq!(update(kernel, fd), Err(Errno::EPERM), "{name}");
        assert_eq!(freeze(kernel, fd), Err(Errno::EPERM), "{name}");
        drop(reading);
    }
}

#[test]
fn numbers_that_are_no_fds_are_bad_ones() {
    let vm = Vm::with_cpus(1);
    for fd in [-1, i32::MIN, 3, i32::MAX] {
        assert_eq!(map(&vm, fd, 0, false).err(), Some(Errno::EBADF));
        // SAFETY: the embedded kernel looks every number up, and none of these is open.
        let (polled, ()) = unsafe { (vm.poll(fd, Duration::ZERO), vm.close(fd)) };
        assert_eq!(polled, Err(Errno::EBADF));
        assert_eq!(vm.program(fd).err(), Some(Errno::EBADF));
    }
}
