//! `%gr`: the flags of an allocation in the kernel by their names.
//!
//! Numbers are those of Linux 6.18 (`enum ___GFP_DMA_BIT` and its siblings in its BTF); names
//! of several bits come before those of one, as in `include/trace/events/mmflags.h`.

const fn bit(number: u32) -> u64 {
    1 << number
}

const DMA: u64 = bit(0);
const HIGHMEM: u64 = bit(1);
const DMA32: u64 = bit(2);
const MOVABLE: u64 = bit(3);
const HIGH: u64 = bit(5);
const IO: u64 = bit(6);
const FS: u64 = bit(7);
const DIRECT_RECLAIM: u64 = bit(10);
const KSWAPD_RECLAIM: u64 = bit(11);
const NOWARN: u64 = bit(13);
const NORETRY: u64 = bit(16);
const NOMEMALLOC: u64 = bit(19);
const COMP: u64 = bit(18);
const HARDWALL: u64 = bit(20);
const ACCOUNT: u64 = bit(22);

const RECLAIM: u64 = DIRECT_RECLAIM | KSWAPD_RECLAIM;
const KERNEL: u64 = RECLAIM | IO | FS;
const USER: u64 = KERNEL | HARDWALL;
const HIGHUSER: u64 = USER | HIGHMEM;
const HIGHUSER_MOVABLE: u64 = HIGHUSER | MOVABLE;
const TRANSHUGE_LIGHT: u64 = (HIGHUSER_MOVABLE | COMP | NOMEMALLOC | NOWARN) & !RECLAIM;

/// Names, and the bits that they stand for.
const NAMES: &[(u64, &str)] = &[
    (TRANSHUGE_LIGHT | DIRECT_RECLAIM, "GFP_TRANSHUGE"),
    (TRANSHUGE_LIGHT, "GFP_TRANSHUGE_LIGHT"),
    (HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE"),
    (HIGHUSER, "GFP_HIGHUSER"),
    (USER, "GFP_USER"),
    (KERNEL | ACCOUNT, "GFP_KERNEL_ACCOUNT"),
    (KERNEL, "GFP_KERNEL"),
    (RECLAIM | IO, "GFP_NOFS"),
    (HIGH | KSWAPD_RECLAIM, "GFP_ATOMIC"),
    (RECLAIM, "GFP_NOIO"),
    (KSWAPD_RECLAIM | NOWARN, "GFP_NOWAIT"),
    (DMA, "GFP_DMA"),
    (HIGHMEM, "__GFP_HIGHMEM"),
    (DMA32, "GFP_DMA32"),
    (HIGH, "__GFP_HIGH"),
    (IO, "__GFP_IO"),
    (FS, "__GFP_FS"),
    (bit(8), "__GFP_ZERO"),
    (DIRECT_RECLAIM, "__GFP_DIRECT_RECLAIM"),
    (KSWAPD_RECLAIM, "__GFP_KSWAPD_RECLAIM"),
    (bit(12), "__GFP_WRITE"),
    (NOWARN, "__GFP_NOWARN"),
    (bit(14), "__GFP_RETRY_MAYFAIL"),
    (bit(15), "__GFP_NOFAIL"),
    (NORETRY, "__GFP_NORETRY"),
    (bit(17), "__GFP_MEMALLOC"),
    (COMP, "__GFP_COMP"),
    (NOMEMALLOC, "__GFP_NOMEMALLOC"),
    (HARDWALL, "__GFP_HARDWALL"),
    (bit(21), "__GFP_THISNODE"),
    (ACCOUNT, "__GFP_ACCOUNT"),
    (bit(23), "__GFP_ZEROTAGS"),
    (bit(24), "__GFP_NO_OBJ_EXT"),
];

/// The names of flags, with `|` between them; what has none is a number at the end.
pub fn names(flags: u64) -> String {
    if flags == 0 {
        return "0".into();
    }
    let mut rest = flags;
    let mut found = Vec::new();
    for (bits, name) in NAMES {
        if rest & bits == *bits {
            found.push((*name).to_owned());
            rest &= !bits;
        }
    }
    if rest != 0 {
        found.push(format!("{rest:#x}"));
    }
    found.join("|")
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn the_largest_names_come_first() {
        assert_eq!(names(0xcc0), "GFP_KERNEL");
        assert_eq!(names(0xdc0), "GFP_KERNEL|__GFP_ZERO");
        assert_eq!(names(0x820), "GFP_ATOMIC");
        assert_eq!(names(1 << 40), "0x10000000000");
        assert_eq!(names(0), "0");
    }
}
