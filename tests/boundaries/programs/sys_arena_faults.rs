//! A mapped arena whose pages nobody allocated: an access fails, it does not kill.

use skep::sys::{Command, Fd, MapCreate};

use crate::tools;

/// With `BPF_F_SEGV_ON_FAULT`, and beyond the arena's last page.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let arena = |flags: u32| {
        Fd::open(&kernel, &mut Command::MapCreate(MapCreate {
            map_type: 33,
            max_entries: 2,
            map_flags: 1 << 10 | flags,
            ..MapCreate::default()
        }))
    };
    let Ok(strict) = arena(1 << 17) else {
        println!("skipped: no arenas here");
        return;
    };
    let mapping = strict.map(0, 8192, true).unwrap();
    assert!(!mapping.read(0, &mut [0; 8]));
    assert!(!mapping.write(4096, &[1]));
    assert_eq!((mapping.load_u32(0), mapping.load_u64(8)), (None, None));
    assert!(!mapping.store_u64(0, 1));
    let lazy = arena(0).unwrap();
    let mapping = lazy.map(0, 4 * 4096, true).unwrap();
    assert!(mapping.write(4090, &[1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(mapping.load_u64(4096).unwrap().to_ne_bytes()[..2], [7, 8]);
    assert!(mapping.store_u64(8, 9));
    assert_eq!(mapping.load_u64(8), Some(9));
    // Whether there is more than its 2 pages is Linux's to say.
    let _ = mapping.read(3 * 4096, &mut [0]);
}
