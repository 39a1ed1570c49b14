//! Raw attributes of `bpf(2)`: the embedded kernel and the running Linux give the
//! same errno for the same bytes, 100,000 times (`SKEP_ATTRIBUTES` sets how often,
//! `SKEP_SEED` where the random numbers start).
//!
//! Both kernels hold the same objects. Pointers are null or lead into three buffers,
//! each with an unmapped page behind it; fds are the run's own, closed, or of the
//! wrong kind; valid maps are small; programs are two instructions or refused before
//! they would be verified.

use std::collections::BTreeMap;

use skep_abi::{Cmd, Errno, MapType};
use skep_sys::{Kernel, Memory, raw_bpf};
use skep_vm::Vm;

/// Numbers that depend on a seed alone.
struct Random(fastrand::Rng);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A buffer whose end is the end of what is mapped.
struct Buffer {
    start: *mut u8,
    len: usize,
}

impl Buffer {
    fn new(pages: usize) -> Buffer {
        let len = pages * 4096;
        // SAFETY: a new anonymous mapping; its last page is made inaccessible.
        let start = unsafe {
            let start = libc::mmap(
                std::ptr::null_mut(),
                len + 4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start.byte_add(len), 4096, libc::PROT_NONE), 0);
            start.cast::<u8>()
        };
        Buffer { start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped for as long as the process lives, and only used here while no
        // system call runs.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    fn address(&self) -> u64 {
        self.start as u64
    }
}

fn linux_bpf(cmd: u32, attr: &mut [u8]) -> Result<u32, Errno> {
    // SAFETY: pointers in `attr` are null or lead into buffers that end at an unmapped
    // page, so the kernel writes nowhere else.
    let result = unsafe { libc::syscall(libc::SYS_bpf, cmd, attr.as_mut_ptr(), attr.len()) };
    u32::try_from(result)
        .map_err(|_| Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)))
}

/// Two instructions: `r0 = 0; exit`.
const TRIVIAL: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// Map types that both kernels have.
const MAP_TYPES: [MapType; 12] = [
    MapType::Array,
    MapType::Hash,
    MapType::PercpuArray,
    MapType::PercpuHash,
    MapType::LruHash,
    MapType::LpmTrie,
    MapType::ProgArray,
    MapType::PerfEventArray,
    MapType::Ringbuf,
    MapType::Xskmap,
    MapType::Queue,
    MapType::Stack,
];

/// BTF of keys and values: numbers, structures, and structures with what the kernel keeps
/// in values for itself.
fn types() -> Vec<u8> {
    let mut strings = vec![0u8];
    let mut types: Vec<u32> = Vec::new();
    let mut name = |text: &str| {
        strings.extend(text.as_bytes());
        strings.push(0);
        (strings.len() - text.len() - 1) as u32
    };
    const INT: u32 = 1 << 24;
    const STRUCT: u32 = 4 << 24;
    const TYPEDEF: u32 = 8 << 24;
    const ARRAY: u32 = 3 << 24;
    let member = name("member");
    // 1 and 2: numbers.
    types.extend([name("u32"), INT, 4, 32, name("u64"), INT, 8, 64]);
    let mut structure = |types: &mut Vec<u32>, text: &str, size: u32, members: &[(u32, u32)]| {
        types.extend([name(text), STRUCT | members.len() as u32, size]);
        for (type_id, byte) in members {
            types.extend([member, *type_id, byte * 8]);
        }
    };
    // 3 to 11: a lock and a timer, and values of 24 bytes with and without them.
    structure(&mut types, "bpf_spin_lock", 4, &[(1, 0)]);
    structure(&mut types, "bpf_timer", 16, &[(2, 0), (2, 8)]);
    structure(&mut types, "locked", 24, &[(3, 0), (1, 4)]);
    structure(&mut types, "locked_last", 24, &[(2, 0), (2, 8), (1, 16), (3, 20)]);
    structure(&mut types, "locked_behind", 24, &[(1, 0), (3, 4)]);
    structure(&mut types, "locked_inside", 24, &[(1, 0), (5, 0)]);
    structure(&mut types, "timed", 24, &[(4, 0), (3, 16)]);
    structure(&mut types, "plain", 24, &[(2, 0)]);
    structure(&mut types, "prefix", 8, &[(1, 0), (1, 4)]);
    // 12 and 13: by other names; 14: locks in a row.
    types.extend([name("alias"), TYPEDEF, 5, name("index"), TYPEDEF, 1]);
    types.extend([0, ARRAY, 0, 3, 1, 2]);
    // 15: a structure with those.
    types.extend([name("row"), STRUCT | 1, 24, member, 14, 0]);

    let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut btf = Vec::new();
    btf.extend(0xeb9fu16.to_ne_bytes());
    btf.extend([1, 0]);
    for word in [24, 0, types.len(), types.len(), strings.len()] {
        btf.extend((word as u32).to_ne_bytes());
    }
    btf.extend(types);
    btf.extend(strings);
    btf
}

/// Type of a value of 24 bytes that starts with a lock.
const LOCKED: u32 = 5;
/// Types of 24 bytes.
const VALUES: [u32; 9] = [LOCKED, LOCKED, 6, 7, 8, 9, 10, 12, 15];
/// Types of keys.
const KEYS: [u32; 6] = [1, 1, 1, 2, 11, 13];

fn put(attr: &mut [u8], words: &[(usize, u32)]) {
    for (offset, word) in words {
        attr[*offset..offset + 4].copy_from_slice(&word.to_ne_bytes());
    }
}

struct Run {
    random: Random,
    vm: Vm,
    buffers: Vec<Buffer>,
    /// The types, as an fd of Linux's and of the embedded kernel's.
    types: (u32, u32),
    /// The run's own fds: Linux's and the embedded kernel's.
    fds: Vec<(u32, u32)>,
    maps: Vec<(u32, u32)>,
}

/// What a field of an attribute holds.
#[derive(Clone, Copy)]
enum Field {
    Pointer,
    Fd,
    Small,
    Flags,
    Size,
    MapType,
    ProgType,
    /// A value that is mostly zero.
    Zero,
    /// 64 bits of flags.
    LongFlags,
}

/// Fields of a command with their offsets; 8 bytes for pointers and long flags.
fn fields(cmd: Cmd) -> &'static [(usize, Field)] {
    use Field::{Fd, Flags, LongFlags, MapType, Pointer, ProgType, Size, Small, Zero};
    match cmd {
        Cmd::MapCreate => &[
            (0, MapType),
            (4, Size),
            (8, Size),
            (12, Small),
            (16, Flags),
            (20, Fd),
            (24, Zero),
            (28, Zero),
            (44, Zero),
            (48, Zero),
            (52, Zero),
            (56, Zero),
            (60, Zero),
            (64, Zero),
            (72, Zero),
            (76, Zero),
            (80, Zero),
            (88, Zero),
        ],
        Cmd::MapLookupElem | Cmd::MapUpdateElem | Cmd::MapLookupAndDeleteElem => {
            &[(0, Fd), (8, Pointer), (16, Pointer), (24, LongFlags)]
        }
        Cmd::MapDeleteElem => &[(0, Fd), (8, Pointer)],
        Cmd::MapGetNextKey => &[(0, Fd), (8, Pointer), (16, Pointer)],
        Cmd::MapLookupBatch
        | Cmd::MapLookupAndDeleteBatch
        | Cmd::MapUpdateBatch
        | Cmd::MapDeleteBatch => &[
            (0, Pointer),
            (8, Pointer),
            (16, Pointer),
            (24, Pointer),
            (32, Small),
            (36, Fd),
            (40, LongFlags),
            (48, LongFlags),
        ],
        Cmd::MapFreeze => &[(0, Fd)],
        Cmd::ProgLoad => &[
            (0, ProgType),
            (4, Small),
            (8, Pointer),
            (16, Pointer),
            (24, Zero),
            (28, Zero),
            (32, Zero),
            (40, Small),
            (44, Flags),
            (48, Zero),
            (64, Zero),
            (68, Zero),
            (72, Zero),
            (108, Zero),
            (112, Zero),
            (144, Zero),
        ],
        Cmd::ProgTestRun => &[
            (0, Fd),
            (4, Small),
            (8, Size),
            (12, Size),
            (16, Pointer),
            (24, Pointer),
            (40, Zero),
            (44, Zero),
            (48, Zero),
            (56, Zero),
            (64, Zero),
            (68, Zero),
            (72, Zero),
        ],
        Cmd::ObjGetInfoByFd => &[(0, Fd), (4, Size), (8, Pointer)],
        Cmd::BtfLoad => {
            &[(0, Pointer), (8, Zero), (16, Size), (20, Zero), (24, Zero), (32, Zero), (36, Zero)]
        }
        _ => &[],
    }
}

const COMMANDS: [Cmd; 15] = [
    Cmd::MapCreate,
    Cmd::MapLookupElem,
    Cmd::MapUpdateElem,
    Cmd::MapDeleteElem,
    Cmd::MapGetNextKey,
    Cmd::MapLookupAndDeleteElem,
    Cmd::MapLookupBatch,
    Cmd::MapLookupAndDeleteBatch,
    Cmd::MapUpdateBatch,
    Cmd::MapDeleteBatch,
    Cmd::MapFreeze,
    Cmd::ProgLoad,
    Cmd::ProgTestRun,
    Cmd::ObjGetInfoByFd,
    Cmd::BtfLoad,
];

impl Run {
    /// Makes the objects that both kernels hold; `None` where Linux refuses.
    fn new(seed: u64) -> Option<Run> {
        let mut run = Run {
            random: Random(fastrand::Rng::with_seed(seed)),
            vm: Vm::new(),
            buffers: vec![Buffer::new(16), Buffer::new(64), Buffer::new(1)],
            types: (0, 0),
            fds: Vec::new(),
            maps: Vec::new(),
        };
        run.types = run.load_types()?;
        for map_type in MAP_TYPES {
            let (key, value, entries, flags) = match map_type {
                MapType::LpmTrie => (8, 8, 8, 1),
                MapType::ProgArray | MapType::PerfEventArray | MapType::Xskmap => (4, 4, 4, 0),
                MapType::Ringbuf => (0, 0, 4096, 0),
                MapType::Queue | MapType::Stack => (0, 8, 4, 0),
                // Linux evicts up to 128 entries early.
                MapType::LruHash => (4, 24, 1024, 0),
                _ => (4, 24, 8, 0),
            };
            for access in [0, 1 << 3, 1 << 4] {
                // Not all types take access flags.
                run.add_map(&[
                    (0, map_type as u32),
                    (4, key),
                    (8, value),
                    (12, entries),
                    (16, flags | access),
                ]);
            }
        }
        // Values with a lock in front or behind, and with a timer.
        for map_type in [MapType::Array, MapType::Hash] {
            for value in [LOCKED, LOCKED, 6, 7, 9] {
                let shape = [(0, map_type as u32), (4, 4), (8, 24), (12, 8)];
                let types = [(52, 1), (56, value)];
                assert!(run.add_map(&[&shape[..], &types].concat()), "Linux has locks in values");
            }
        }
        run.fds = run.maps.clone();
        for prog_type in [1u32, 6, 3] {
            let mut attr = [0u8; 72];
            attr[0..4].copy_from_slice(&prog_type.to_ne_bytes());
            attr[4..8].copy_from_slice(&2u32.to_ne_bytes());
            run.buffers[0].bytes()[..16].copy_from_slice(&TRIVIAL);
            run.buffers[0].bytes()[16..20].copy_from_slice(b"GPL\0");
            let at = run.buffers[0].address();
            attr[8..16].copy_from_slice(&at.to_ne_bytes());
            attr[16..24].copy_from_slice(&(at + 16).to_ne_bytes());
            let linux = linux_bpf(Cmd::ProgLoad as u32, &mut attr.clone()).unwrap();
            let mut memory = run.memory();
            let own = raw_bpf(&run.vm, Cmd::ProgLoad as u32, &mut attr, &mut memory).unwrap();
            run.fds.push((linux, own));
        }
        // A file that is none of bpf's, and an fd that is closed.
        // SAFETY: a constant path; the fd stays open.
        let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        run.fds.push((null as u32, run.vm.open_foreign() as u32));
        // Closed however few of its bytes the attribute holds.
        run.fds.push((0x7f7f_7f7f, 0x7f7f_7f7f));
        run.fds.push((u32::MAX, u32::MAX));
        Some(run)
    }

    /// Loads the types on both kernels; `None` where Linux lets nobody.
    fn load_types(&mut self) -> Option<(u32, u32)> {
        let types = types();
        let mut attr = [0u8; 32];
        self.buffers[0].bytes()[..types.len()].copy_from_slice(&types);
        attr[0..8].copy_from_slice(&self.buffers[0].address().to_ne_bytes());
        put(&mut attr, &[(16, types.len() as u32)]);
        let linux = match linux_bpf(Cmd::BtfLoad as u32, &mut attr.clone()) {
            Err(Errno::EPERM) => return None,
            other => other.expect("Linux takes the types"),
        };
        let mut memory = self.memory();
        let own = raw_bpf(&self.vm, Cmd::BtfLoad as u32, &mut attr, &mut memory);
        Some((linux, own.expect("the embedded kernel takes the types")))
    }

    /// Makes a map on both kernels; gives whether Linux does. Type ids are those of the
    /// loaded types.
    fn add_map(&mut self, words: &[(usize, u32)]) -> bool {
        let (mut for_linux, mut attr) = ([0u8; 72], [0u8; 72]);
        put(&mut for_linux, words);
        put(&mut attr, words);
        if words.iter().any(|(offset, _)| *offset == 56) {
            put(&mut for_linux, &[(48, self.types.0)]);
            put(&mut attr, &[(48, self.types.1)]);
        }
        let Ok(linux) = linux_bpf(Cmd::MapCreate as u32, &mut for_linux) else { return false };
        let mut memory = Memory::default();
        let own = raw_bpf(&self.vm, Cmd::MapCreate as u32, &mut attr, &mut memory);
        let own = own.unwrap_or_else(|errno| panic!("{words:?}: {errno}"));
        self.maps.push((linux, own));
        true
    }

    /// Makes a MAP_CREATE one with types, which mostly suit the map.
    fn give_types(&mut self, linux: &mut [u8], own: &mut [u8]) {
        let random = &mut self.random;
        let (key, value) = (random.pick(&KEYS), random.pick(&VALUES));
        let key_size = match key {
            2 | 11 => 8,
            _ => 4,
        };
        let any = random.below(16) as u32;
        let mut words = vec![
            (4, if random.one_in(16) { 16 } else { key_size }),
            (8, if random.one_in(16) { 4 } else { 24 }),
            (12, random.pick(&[1, 8])),
            (52, random.pick(&[key, key, key, key, key, key, key, 0, any])),
            (56, random.pick(&[value, value, value, value, value, value, value, 0, any])),
        ];
        let known = MAP_TYPES[random.below(MAP_TYPES.len() as u64) as usize] as u32;
        let with_locks = random.pick(&[MapType::Array, MapType::Hash]) as u32;
        let map_type = random.pick(&[known, with_locks]);
        let trie = u32::from(map_type == MapType::LpmTrie as u32);
        let access = random.pick(&[0, 0, 0, 0, 1 << 3, 1 << 7, 1 << 8]);
        words.extend([(0, map_type), (16, access | trie)]);
        let (linux_fd, own_fd) = match random.below(16) {
            0 => self.fds[random.below(self.fds.len() as u64) as usize],
            _ => self.types,
        };
        put(linux, &words);
        put(own, &words);
        put(linux, &[(48, linux_fd)]);
        put(own, &[(48, own_fd)]);
    }

    /// The buffers as the embedded kernel sees them.
    fn memory(&mut self) -> Memory {
        let mut memory = Memory::default();
        for buffer in &mut self.buffers {
            memory.add(buffer.address(), buffer.bytes().to_vec());
        }
        memory
    }

    fn fill_buffers(&mut self, cmd: Cmd) {
        // Structures with addresses inside are zero: what they point to is not ours.
        let zero = cmd == Cmd::ObjGetInfoByFd;
        for index in 0..self.buffers.len() {
            let words: Vec<u64> =
                (0..16).map(|_| self.random.pick(&[0, 1, 2, 7, 24, 1 << 32])).collect();
            let start = self.buffers[index].bytes();
            for (at, word) in start.chunks_exact_mut(8).take(16).zip(&words) {
                at.copy_from_slice(&(if zero { 0 } else { *word }).to_ne_bytes());
            }
        }
        if cmd == Cmd::ProgLoad {
            self.buffers[0].bytes()[..16].copy_from_slice(&TRIVIAL);
            self.buffers[0].bytes()[16..20].copy_from_slice(b"GPL\0");
        }
    }

    fn pointer(&mut self) -> u64 {
        if self.random.one_in(8) {
            return 0;
        }
        let index = self.random.below(self.buffers.len() as u64) as usize;
        let buffer = &self.buffers[index];
        match self.random.below(8) {
            // The last bytes before the unmapped page.
            0 => buffer.address() + buffer.len as u64 - self.random.pick(&[1, 4, 8, 16]),
            _ => buffer.address(),
        }
    }

    /// A value of a field, for Linux and for the embedded kernel.
    fn value(&mut self, field: Field) -> (u64, u64) {
        let same = |value: u64| (value, value);
        match field {
            Field::Pointer => same(self.pointer()),
            Field::Fd => {
                let index = self.random.below(self.fds.len() as u64) as usize;
                let (linux, own) = self.fds[index];
                (linux.into(), own.into())
            }
            Field::Small => same(self.random.pick(&[0, 1, 2, 2, 2, 3, 8, 64])),
            Field::Flags => {
                let bit = 1 << self.random.below(20);
                let other = 1 << self.random.below(32);
                same(self.random.pick(&[0, 0, 0, bit, bit, other]))
            }
            Field::Size => same(
                self.random
                    .pick(&[0, 1, 4, 4, 4, 8, 14, 24, 64, 104, 232, 512, 4000, 4096, 4097, 65536]),
            ),
            Field::MapType => {
                let known = MAP_TYPES[self.random.below(MAP_TYPES.len() as u64) as usize] as u64;
                let beyond = 34 + self.random.below(100);
                same(self.random.pick(&[known, known, known, known, known, 0, beyond]))
            }
            Field::ProgType => same(self.random.pick(&[0, 1, 3, 6, 8, 33, 100])),
            Field::Zero => {
                let other = self.random.next() & 0xffff_ffff;
                same(if self.random.one_in(40) { self.random.pick(&[1, 2, 8, other]) } else { 0 })
            }
            Field::LongFlags => {
                same(self.random.pick(&[0, 0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 1 << 33, u64::MAX]))
            }
        }
    }

    /// One command on both kernels; gives what differs.
    fn step(&mut self) -> (String, Result<(), String>) {
        let unknown = self.random.one_in(50);
        let mut cmd = self.random.pick(&COMMANDS);
        if cmd == Cmd::MapFreeze && !self.random.one_in(200) {
            // What is frozen stays so; most of the time the maps should take writes.
            cmd = Cmd::MapUpdateElem;
        }
        let number = if unknown { 38 + self.random.below(1000) as u32 } else { cmd as u32 };
        let len = match self.random.below(12) {
            0 => self.random.below(170) as usize,
            1 => self.random.pick(&[168, 169, 176, 200, 4096, 4097, 5000]),
            _ => 168,
        };
        self.fill_buffers(cmd);
        let (mut linux, mut own) = (vec![0u8; len.max(168)], vec![0u8; len.max(168)]);
        for &(offset, field) in fields(cmd) {
            let (for_linux, for_own) = self.value(field);
            let size = match field {
                Field::Pointer | Field::LongFlags => 8,
                _ => 4,
            };
            linux[offset..offset + size].copy_from_slice(&for_linux.to_ne_bytes()[..size]);
            own[offset..offset + size].copy_from_slice(&for_own.to_ne_bytes()[..size]);
        }
        if cmd == Cmd::MapCreate && self.random.one_in(2) {
            self.give_types(&mut linux, &mut own);
        }
        // A byte somewhere behind, which Linux must notice.
        if self.random.one_in(20) {
            let at = self.random.below(len.max(1) as u64) as usize;
            let end = fields(cmd).iter().map(|&(offset, _)| offset + 8).max().unwrap_or(0);
            if at >= end {
                linux[at] = 1;
                own[at] = 1;
            }
        }
        linux.truncate(len);
        own.truncate(len);
        if cmd == Cmd::ProgLoad && !unknown && !self.harmless_load(&own) {
            return ("skipped".into(), Ok(()));
        }
        let name = if unknown { "unknown".to_owned() } else { cmd.name().to_owned() };

        let mut memory = self.memory();
        let given = own.clone();
        let on_linux = linux_bpf(number, &mut linux);
        let on_own = raw_bpf(&self.vm, number, &mut own, &mut memory);
        if let Ok(fd) = on_linux
            && fd > 0
        {
            // SAFETY: the command just gave this fd.
            unsafe { libc::close(fd as i32) };
        }
        if let Ok(fd) = on_own
            && fd > 0
        {
            // SAFETY: the command just gave this fd.
            unsafe { self.vm.close(fd as i32) };
        }
        if cmd == Cmd::MapLookupAndDeleteBatch {
            // Which elements it takes out depends on the order of a table.
            self.empty_maps();
        }
        // Which key comes last, and which bucket is full, depends on the order of a table.
        let by_order: &[Errno] = match cmd {
            Cmd::MapGetNextKey => &[Errno::ENOENT, Errno::EFAULT],
            Cmd::MapLookupBatch | Cmd::MapLookupAndDeleteBatch => {
                &[Errno::ENOENT, Errno::ENOSPC, Errno::EFAULT]
            }
            _ => &[],
        };
        let in_order = |result: Result<u32, Errno>| match result {
            Ok(_) => !by_order.is_empty(),
            Err(errno) => by_order.contains(&errno),
        };
        let same =
            on_linux.map(|_| ()) == on_own.map(|_| ()) || (in_order(on_linux) && in_order(on_own));
        let verdict = if same {
            Ok(())
        } else {
            Err(format!("{name}: linux {on_linux:?}, embedded {on_own:?}, attr {}", words(&given)))
        };
        let outcome = match on_linux {
            Ok(_) => "ok".to_owned(),
            Err(errno) => format!("{errno:?}"),
        };
        (format!("{name} {outcome}"), verdict)
    }

    /// Takes every element out of the hash maps, on both kernels.
    fn empty_maps(&mut self) {
        for (linux, own) in self.maps.clone() {
            for kernel in [Some(linux), None] {
                for _ in 0..16 {
                    let key = self.buffers[0].address();
                    let mut attr = [0u8; 24];
                    attr[0..4].copy_from_slice(&kernel.unwrap_or(own).to_ne_bytes());
                    attr[16..24].copy_from_slice(&key.to_ne_bytes());
                    let mut memory = Memory::default();
                    memory.add(key, vec![0; 64]);
                    let next = match kernel {
                        Some(_) => linux_bpf(Cmd::MapGetNextKey as u32, &mut attr),
                        None => {
                            raw_bpf(&self.vm, Cmd::MapGetNextKey as u32, &mut attr, &mut memory)
                        }
                    };
                    if next.is_err() {
                        break;
                    }
                    attr[8..16].copy_from_slice(&key.to_ne_bytes());
                    attr[16..24].fill(0);
                    let deleted = match kernel {
                        Some(_) => linux_bpf(Cmd::MapDeleteElem as u32, &mut attr[..16]),
                        None => raw_bpf(
                            &self.vm,
                            Cmd::MapDeleteElem as u32,
                            &mut attr[..16],
                            &mut memory,
                        ),
                    };
                    if deleted.is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// Whether a load is refused before verification, or is the trivial program.
    fn harmless_load(&self, attr: &[u8]) -> bool {
        let word = |offset: usize| {
            attr.get(offset..offset + 8)
                .map_or(0, |bytes| u64::from_ne_bytes(bytes.try_into().unwrap()))
        };
        let count = word(4) as u32;
        count == 0 || (count == 2 && word(8) == self.buffers[0].address()) || word(8) == 0
    }
}

fn words(attr: &[u8]) -> String {
    attr.chunks(4)
        .enumerate()
        .filter(|(_, word)| word.iter().any(|&byte| byte != 0))
        .map(|(index, word)| {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            format!("{}={:#x}", index * 4, u32::from_ne_bytes(bytes))
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn raw_attributes_give_the_same_errno_as_on_linux() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let Some(mut run) = Run::new(number("SKEP_SEED", 0x5eed)) else {
        println!("skipped: bpf(2) is not permitted");
        return;
    };
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut differences: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for _ in 0..number("SKEP_ATTRIBUTES", 100_000) {
        let (outcome, verdict) = run.step();
        *outcomes.entry(outcome).or_default() += 1;
        if let Err(text) = verdict {
            let class = text.split(", attr").next().unwrap_or_default().to_owned();
            differences.entry(class).or_insert((0, text)).0 += 1;
        }
    }
    for (outcome, count) in &outcomes {
        println!("{count:7} {outcome}");
    }
    let listed: Vec<String> =
        differences.values().map(|(count, example)| format!("{count:6} {example}")).collect();
    assert!(listed.is_empty(), "the kernels differ:\n{}", listed.join("\n"));
}
