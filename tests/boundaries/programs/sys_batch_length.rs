//! A batch of more elements than its slices have room for.

use skep::Errno;
use skep::sys::{Command, Fd, MapBatch};

use crate::tools;

/// 64 elements of 4096 bytes into room for 3 of them and a little.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let map = Fd::open(&kernel, &mut tools::creating(2, 4096, 64, 0)).unwrap();
    for key in 0..64 {
        tools::update(&*kernel, map.raw() as u32, key, &mut [0x77; 4096]).unwrap();
    }
    let mut area = vec![0u8; 64 * 4096];
    let (values, behind) = area.split_at_mut(3 * 4096 + 9);
    let (mut keys, mut position) = ([0u8; 64 * 4], [0u8; 4]);
    let mut command = Command::MapLookupBatch(MapBatch {
        map_fd: map.raw() as u32,
        count: 64,
        keys: (&mut keys[..]).into(),
        values: values.into(),
        out_batch: (&mut position[..]).into(),
        ..MapBatch::default()
    });
    assert_eq!(kernel.bpf(&mut command), Err(Errno::EFAULT));
    drop(command);
    assert!(behind.iter().all(|&byte| byte == 0), "bytes behind the values changed");
}
