//! The running Linux through the seam. Where `bpf(2)` is not permitted, each test
//! says so and is skipped.

use std::sync::Arc;
use std::time::Duration;

use skep_abi::{Errno, MapType};
use skep_sys::{
    Command, Fd, Kernel, Linux, MapBatch, MapCreate, MapElem, MapFreeze, MapInfo, MapNextKey,
    Output,
};

fn hash_map(kernel: &Arc<dyn Kernel>) -> Option<Fd> {
    let mut create = Command::MapCreate(MapCreate {
        map_type: MapType::Hash as u32,
        key_size: 4,
        value_size: 8,
        max_entries: 16,
        map_name: *b"seam\0\0\0\0\0\0\0\0\0\0\0\0",
        ..MapCreate::default()
    });
    match Fd::open(kernel, &mut create) {
        Ok(fd) => Some(fd),
        Err(Errno::EPERM) => {
            println!("skipped: bpf(2) is not permitted");
            None
        }
        Err(errno) => panic!("MAP_CREATE: {errno}"),
    }
}

#[test]
fn elements_go_into_linux_and_come_back() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let Some(map) = hash_map(&kernel) else { return };
    let map_fd = map.raw() as u32;
    let (key, mut value) = (7u32.to_ne_bytes(), 42u64.to_ne_bytes());
    let mut update = Command::MapUpdate(MapElem {
        map_fd,
        key: Some(key[..].into()),
        value: (&mut value[..]).into(),
        ..MapElem::default()
    });
    assert_eq!(kernel.bpf(&mut update), Ok(0));

    let mut found = [0; 8];
    let mut lookup = Command::MapLookup(MapElem {
        map_fd,
        key: Some(key[..].into()),
        value: (&mut found[..]).into(),
        ..MapElem::default()
    });
    assert_eq!(kernel.bpf(&mut lookup), Ok(0));
    assert_eq!(u64::from_ne_bytes(found), 42);

    let info = MapInfo::query(&*kernel, map.raw()).unwrap();
    assert_eq!((info.key_size, info.value_size, info.max_entries), (4, 8, 16));
    assert_eq!(&info.name[..5], b"seam\0");
}

#[test]
fn linux_refuses_a_slice_too_short_for_the_map_by_itself() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let Some(map) = hash_map(&kernel) else { return };
    let mut short = [0; 3];
    let mut next = Command::MapNextKey(MapNextKey {
        map_fd: map.raw() as u32,
        next_key: Output::Slice(&mut short),
        ..MapNextKey::default()
    });
    assert_eq!(kernel.bpf(&mut next), Err(Errno::ENOENT), "no key, nothing to copy");
    let (key, mut value) = (7u32.to_ne_bytes(), 42u64.to_ne_bytes());
    let mut update = Command::MapUpdate(MapElem {
        map_fd: map.raw() as u32,
        key: Some(key[..].into()),
        value: (&mut value[..]).into(),
        ..MapElem::default()
    });
    assert_eq!(kernel.bpf(&mut update), Ok(0));
    let mut short = [0; 3];
    let mut next = Command::MapNextKey(MapNextKey {
        map_fd: map.raw() as u32,
        next_key: Output::Slice(&mut short),
        ..MapNextKey::default()
    });
    assert_eq!(kernel.bpf(&mut next), Err(Errno::EFAULT));
}

#[test]
fn numbers_that_are_no_fds_are_refused() {
    let kernel = Linux::new();
    for fd in [-1, i32::MIN, i32::MAX] {
        // SAFETY: no such fd can be open, so there is none that could be another's.
        let (mapped, polled) = unsafe {
            kernel.close(fd);
            (kernel.mmap(fd, 0, 4096, true), kernel.poll(fd, Duration::ZERO))
        };
        assert_eq!(mapped.err(), Some(Errno::EBADF), "{fd}");
        assert_eq!(polled, Err(Errno::EBADF), "{fd}");
    }
}

#[test]
fn a_batch_tells_how_far_it_came_before_its_slice_ended() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let Some(map) = hash_map(&kernel) else { return };
    let mut keys: Vec<u8> = (0..8u32).flat_map(u32::to_ne_bytes).collect();
    let mut values = [1u8; 5 * 8 + 3];
    let mut command = Command::MapUpdateBatch(MapBatch {
        keys: (&mut keys[..]).into(),
        values: (&mut values[..]).into(),
        count: 8,
        map_fd: map.raw() as u32,
        ..MapBatch::default()
    });
    assert_eq!(kernel.bpf(&mut command), Err(Errno::EFAULT));
    let Command::MapUpdateBatch(batch) = &command else { unreachable!() };
    assert_eq!(batch.count, 5);
}

#[test]
fn slices_of_every_length_come_back_whole() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let Some(map) = hash_map(&kernel) else { return };
    let map_fd = map.raw() as u32;
    let (key, mut value) = (7u32.to_ne_bytes(), 42u64.to_ne_bytes());
    let mut update = Command::MapUpdate(MapElem {
        map_fd,
        key: Some(key[..].into()),
        value: (&mut value[..]).into(),
        ..MapElem::default()
    });
    assert_eq!(kernel.bpf(&mut update), Ok(0));
    // Longer than the value, and than what a thread keeps ready: the rest stays as it was.
    for len in [8, 9, 4096, 1 << 16, (1 << 16) + 1, 1 << 20] {
        let mut found = vec![0xee; len];
        let mut lookup = Command::MapLookup(MapElem {
            map_fd,
            key: Some(key[..].into()),
            value: (&mut found[..]).into(),
            ..MapElem::default()
        });
        assert_eq!(kernel.bpf(&mut lookup), Ok(0), "{len}");
        assert_eq!(found[..8], 42u64.to_ne_bytes(), "{len}");
        assert!(found[8..].iter().all(|&byte| byte == 0xee), "{len}");
    }
    for len in 0..8 {
        let mut found = vec![0; len];
        let mut lookup = Command::MapLookup(MapElem {
            map_fd,
            key: Some(key[..].into()),
            value: (&mut found[..]).into(),
            ..MapElem::default()
        });
        assert_eq!(kernel.bpf(&mut lookup), Err(Errno::EFAULT), "{len}");
    }
}

#[test]
fn an_fd_knows_its_kernel() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let Some(map) = hash_map(&kernel) else { return };
    assert!(map.belongs_to(&kernel) && map.belongs_to(&kernel.clone()));
    assert!(!map.belongs_to(&(Arc::new(Linux::new()) as Arc<dyn Kernel>)));
    let no_fd = &mut Command::MapFreeze(MapFreeze::default());
    assert_eq!(Fd::open(&kernel, no_fd).err(), Some(Errno::EINVAL));
}

#[test]
fn mapped_bytes_are_copied_at_every_offset() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let create = MapCreate {
        map_type: MapType::Array as u32,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
        map_flags: 1 << 10,
        ..MapCreate::default()
    };
    let Ok(array) = Fd::open(&kernel, &mut Command::MapCreate(create)) else {
        println!("skipped: bpf(2) is not permitted");
        return;
    };
    let mapping = array.map(0, 4096, true).unwrap();
    let pattern: Vec<u8> = (1..=40).collect();
    for offset in 0..16 {
        for len in 0..pattern.len() {
            assert!(mapping.write(0, &[0; 64]));
            assert!(mapping.write(offset, &pattern[..len]));
            let mut all = [0xff; 64];
            assert!(mapping.read(0, &mut all));
            let mut expected = [0; 64];
            expected[offset..offset + len].copy_from_slice(&pattern[..len]);
            assert_eq!(all, expected, "{len} at {offset}");
            let mut part = vec![0; len];
            assert!(mapping.read(offset, &mut part));
            assert_eq!(part, pattern[..len]);
        }
    }
    assert!(!mapping.read(4095, &mut [0; 2]) && !mapping.write(usize::MAX, &[0]));
}

#[test]
fn samples_of_a_perf_event_are_the_kernels_to_write() {
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let event = match Fd::perf_event(&linux, 0, 1) {
        Ok(event) => event,
        Err(errno) => {
            println!("skipped: perf events: {errno}");
            return;
        }
    };
    let memory = event.map(0, 8192, true).expect("a page of positions, and one of samples");
    let tail = skep_abi::perf::DATA_TAIL;
    assert!(memory.store_u64(tail, 8));
    assert_eq!(memory.load_u64(tail), Some(8));
    // Linux answers that with SIGBUS.
    for offset in [4096, 8184] {
        assert_eq!(memory.load_u64(offset), Some(0));
        assert!(!memory.store_u64(offset, 1));
        assert!(!memory.write(offset - 4, &[1; 8]));
    }
}
