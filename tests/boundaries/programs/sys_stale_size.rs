//! An fd that was closed through one handle to Linux and is another map now: no slice is
//! written past its end by what the first handle knew of it.

use std::sync::Arc;

use skep::sys::{Errno, Fd, Kernel, Linux};

use crate::tools;

/// Two handles; the number of a small map comes back as a large one's.
pub fn main() {
    let Some(one) = tools::linux() else { return };
    let other: Arc<dyn Kernel> = Arc::new(Linux::new());
    let small = Fd::open(&other, &mut tools::creating(2, 8, 1, 0)).unwrap();
    let number = small.raw();
    tools::lookup(&*one, number as u32, 0, &mut [0; 8]).unwrap();
    drop(small);
    let large = Fd::open(&one, &mut tools::creating(2, 4096, 1, 0)).unwrap();
    assert_eq!(large.raw(), number, "Linux gives the lowest free number");
    tools::update(&*one, number as u32, 0, &mut [0x77; 4096]).unwrap();
    let mut area = vec![0u8; 4096];
    let (out, behind) = area.split_at_mut(8);
    assert_eq!(tools::lookup(&*one, number as u32, 0, out), Err(Errno::EFAULT));
    assert!(behind.iter().all(|&byte| byte == 0), "bytes behind the slice changed");
    // And what fits is not refused for what was known before.
    tools::lookup(&*one, number as u32, 0, &mut area).unwrap();
    assert!(area.iter().all(|&byte| byte == 0x77));
}
