//! The memory of a perf event, as its writer and its reader share it: a page of positions
//! (`struct perf_event_mmap_page`), then records in a ring (`perf_event_open(2)`).

/// Where the writer's position is in the first page.
pub const DATA_HEAD: usize = 1024;
/// Where the reader's position is.
pub const DATA_TAIL: usize = 1032;
/// Where it says how far from its start the ring is.
pub const DATA_OFFSET: usize = 1040;
/// Where it says how many bytes the ring has.
pub const DATA_SIZE: usize = 1048;

/// Bytes of a record's header: `u32 type, u16 misc, u16 size`.
pub const HEADER: usize = 8;
/// `PERF_RECORD_LOST`: an id, and how many records there was no room for.
pub const LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE`: of a program's output a length, and so many bytes.
pub const SAMPLE: u32 = 9;
/// The sample was taken in the kernel (`PERF_RECORD_MISC_KERNEL`).
pub const IN_KERNEL: u16 = 1;
