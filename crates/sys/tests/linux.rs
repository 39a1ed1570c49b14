//! The running Linux through the seam. Where `bpf(2)` is not permitted, each test
//! says so and is skipped.

use std::sync::Arc;

use skep_abi::{Errno, MapType};
use skep_sys::{Command, Fd, Kernel, Linux, MapCreate, MapElem, MapInfo, MapNextKey, Output};

fn hash_map(kernel: &Arc<dyn Kernel>) -> Option<Fd> {
    let mut create = Command::MapCreate(MapCreate {
        map_type: MapType::Hash as u32,
        key_size: 4,
        value_size: 8,
        max_entries: 16,
        map_name: *b"seam\0\0\0\0\0\0\0\0\0\0\0\0",
        ..MapCreate::default()
    });
    match kernel.bpf(&mut create) {
        Ok(fd) => Some(Fd::new(kernel.clone(), fd as i32)),
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
fn a_slice_too_short_for_the_map_is_refused_before_linux_writes() {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let Some(map) = hash_map(&kernel) else { return };
    let mut short = [0; 3];
    let mut next = Command::MapNextKey(MapNextKey {
        map_fd: map.raw() as u32,
        next_key: Output::Slice(&mut short),
        ..MapNextKey::default()
    });
    assert_eq!(kernel.bpf(&mut next), Err(Errno::EFAULT));
}
