//! Kernel functions and dynptrs: the same results on every engine and on Linux, arguments at
//! their edges included.

use std::fmt::Write;
use std::sync::Arc;

use skep_abi::{Errno, MapType, ProgType};
use skep_btf::{Btf, Kind};
use skep_isa::{Slot, assemble, encode};
use skep_sys::{Command, Fd, Kernel, Linux, MapCreate, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// Bytes of the value of the only map.
const VALUE: u32 = 64;

/// A kernel with an array of one value and a ring buffer.
struct Bed {
    kernel: Arc<dyn Kernel>,
    name: String,
    array: Fd,
    ring: Fd,
    types: Arc<Btf>,
}

impl Bed {
    fn new(kernel: Arc<dyn Kernel>, name: &str, types: &Arc<Btf>) -> Result<Bed, Errno> {
        let create = |map_type: MapType, key_size, value_size, max_entries| {
            let map_type = map_type as u32;
            let create =
                MapCreate { map_type, key_size, value_size, max_entries, ..Default::default() };
            Fd::open(&kernel, &mut Command::MapCreate(create))
        };
        let (array, ring) =
            (create(MapType::Array, 4, VALUE, 1)?, create(MapType::Ringbuf, 0, 0, 4096)?);
        Ok(Bed { name: name.to_owned(), array, ring, types: Arc::clone(types), kernel })
    }

    /// `text` with what it names: `VALUE` and `RING` are the maps, `@name` a kernel function.
    fn named(&self, text: &str) -> String {
        let map = |fd: &Fd| format!("map[fd:{}] ll", fd.raw());
        let text = text.replace("VALUE", &map(&self.array)).replace("RING", &map(&self.ring));
        let mut parts = text.split('@');
        let mut named = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(part.len());
            let id = self.types.find(&part[..end], Kind::Func).unwrap_or_else(|| panic!("{part}"));
            write!(named, "{}#{id}{}", &part[..end], &part[end..]).expect("a string");
        }
        named
    }

    fn load(&self, prog_type: ProgType, text: &str) -> Fd {
        let text = self.named(text);
        let insns = assemble(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let slots = encode(&insns);
        let bytes = Slot::join(&slots);
        let mut log = vec![0u8; 1 << 16];
        let load = ProgLoad {
            prog_type: prog_type as u32,
            insn_cnt: slots.len() as u32,
            insns: Some((&bytes[..]).into()),
            license: Some((&b"GPL\0"[..]).into()),
            log_level: 1,
            log_size: log.len() as u32,
            log_buf: log.as_mut_slice().into(),
            ..ProgLoad::default()
        };
        let loaded = Fd::open(&self.kernel, &mut Command::ProgLoad(Box::new(load)));
        loaded.unwrap_or_else(|errno| {
            let log = String::from_utf8_lossy(&log);
            panic!("{}: {errno}\n{text}\n{}", self.name, log.trim_end_matches('\0'))
        })
    }

    /// What the program returns, run twice on a packet, whose bytes come back, too.
    fn run(&self, prog_type: ProgType, text: &str) -> (u32, Vec<u8>) {
        let program = self.load(prog_type, text);
        let packet: Vec<u8> = (0..80).map(|at| at * 3 + 1).collect();
        let mut out = vec![0; 200];
        let run = TestRun {
            prog_fd: program.raw() as u32,
            data_size_in: packet.len() as u32,
            data_in: Some((&packet[..]).into()),
            data_size_out: out.len() as u32,
            data_out: out.as_mut_slice().into(),
            repeat: 2,
            ..TestRun::default()
        };
        let mut command = Command::TestRun(Box::new(run));
        let ran = self.kernel.bpf(&mut command);
        let Command::TestRun(run) = command else { panic!("a test run stays one") };
        ran.unwrap_or_else(|errno| panic!("{}: {errno} {:?}\n{text}", self.name, run.diagnostic));
        let (retval, len) = (run.retval, run.data_size_out as usize);
        drop(run);
        out.truncate(len);
        (retval, out)
    }
}

/// Every engine, verified and not, and Linux where that is permitted: it comes last.
fn beds() -> Option<Vec<Bed>> {
    let Ok(types) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: no types of the running kernel");
        return None;
    };
    let types = Arc::new(Btf::parse(types).expect("the kernel's types"));
    let mut beds = Vec::new();
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        let vm = Arc::new(Vm::new().with_engine(engine));
        beds.push(Bed::new(vm, &format!("{engine:?}"), &types).unwrap());
        let vm = Arc::new(Vm::new().unverified().with_engine(engine));
        beds.push(Bed::new(vm, &format!("{engine:?}, unverified"), &types).unwrap());
    }
    let asserting = Arc::new(Vm::new().asserting_facts());
    beds.push(Bed::new(asserting, "asserting facts", &types).unwrap());
    match Bed::new(Arc::new(Linux::new()), "Linux", &types) {
        Ok(linux) => beds.push(linux),
        Err(errno) => println!("Linux skipped: bpf(2) is not permitted ({errno})"),
    }
    Some(beds)
}

/// Runs each text on all of them; what they give is the same.
fn agree(prog_type: ProgType, texts: impl IntoIterator<Item = String>) {
    let Some(beds) = beds() else { return };
    let mut wrong = Vec::new();
    for text in texts {
        let results: Vec<_> = beds.iter().map(|bed| bed.run(prog_type, &text)).collect();
        let reference = results.last().expect("a bed");
        for (bed, result) in beds.iter().zip(&results) {
            if result != reference {
                wrong.push(format!("{}: {result:x?}, not {reference:x?}\n{text}", bed.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them\n{}", wrong.len(), wrong[0]);
}

/// r6 = the value of the array, which is filled.
const VALUE_IN_R6: &str = "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = VALUE\n\
    call bpf_map_lookup_elem\nif r0 != 0 goto +2\nr0 = 99\nexit\nr6 = r0\n\
    *(u64 *)(r6 + 0) = 0x11223344\n*(u64 *)(r6 + 8) = 0x55667788\n*(u64 *)(r6 + 16) = 0x01020304\n\
    *(u64 *)(r6 + 24) = 0x0a0b0c0d\n*(u64 *)(r10 - 64) = 0\n*(u64 *)(r10 - 56) = 0\n\
    *(u64 *)(r10 - 48) = 0\n*(u64 *)(r10 - 40) = 0x70707070\n";

/// A dynptr of the value at r10 - 24.
fn from_mem(size: u32, flags: u64) -> String {
    format!(
        "{VALUE_IN_R6}r1 = r6\nr2 = {size}\nr3 = {flags}\nr4 = r10\nr4 += -24\n\
         call bpf_dynptr_from_mem\nr8 = r0\n"
    )
}

/// r0 = a digest of r7, of r8, of the value and of the buffer at r10 - 64.
fn digest() -> String {
    let mut text = "r0 = r7\nr0 *= 31\nr0 += r8\n".to_owned();
    for at in (0..32).step_by(4) {
        write!(text, "r1 = *(u32 *)(r6 + {at})\nr0 *= 31\nr0 += r1\n").expect("a string");
        write!(text, "r1 = *(u32 *)(r10 - {})\nr0 *= 31\nr0 += r1\n", 64 - at).expect("a string");
    }
    text + "exit\n"
}

#[test]
fn numbers_are_iterated_over() {
    let ranges: [(i64, i64); 12] = [
        (0, 10),
        (5, 5),
        (5, 4),
        (-3, 3),
        (0, 1),
        (i32::MIN.into(), i64::from(i32::MIN) + 5),
        (i64::from(i32::MAX) - 5, i32::MAX.into()),
        (i32::MIN.into(), i32::MAX.into()),
        (0, 8 * 1024 * 1024 + 1),
        (0, 70_000),
        (-1, 0),
        (i32::MAX.into(), i32::MIN.into()),
    ];
    // The test for null right behind the call, and somewhere else.
    let tests = ["if r0 == 0 goto done\n", "r9 = r0\nif r9 == 0 goto done\n"];
    let text = |(start, end): (i64, i64), test: &str| {
        format!(
            "r1 = r10\nr1 += -8\nr2 = {start}\nr3 = {end}\ncall @bpf_iter_num_new\nr6 = r0\nr7 = 0\n\
             next:\nr1 = r10\nr1 += -8\ncall @bpf_iter_num_next\n{test}\
             r1 = *(u32 *)(r0 + 0)\nr7 *= 3\nr7 += r1\ngoto next\n\
             done:\nr1 = r10\nr1 += -8\ncall @bpf_iter_num_destroy\nr0 = r7\nr0 ^= r6\nexit\n"
        )
    };
    agree(ProgType::Xdp, ranges.into_iter().flat_map(|range| tests.map(|test| text(range, test))));
}

#[test]
fn bits_are_iterated_over() {
    let text = |words: &str, count: u32| {
        format!(
            "{VALUE_IN_R6}{words}r1 = r10\nr1 += -24\nr3 = {count}\ncall @bpf_iter_bits_new\nr8 = r0\n\
             r7 = 0\nnext:\nr1 = r10\nr1 += -24\ncall @bpf_iter_bits_next\nif r0 == 0 goto done\n\
             r1 = *(u32 *)(r0 + 0)\nr7 *= 7\nr7 += r1\ngoto next\n\
             done:\nr1 = r10\nr1 += -24\ncall @bpf_iter_bits_destroy\n{}",
            digest()
        )
    };
    let value = "r2 = r6\n";
    let counts = [0, 1, 2, 3, 8, 512, u32::MAX];
    let cases = counts.map(|count| text(value, count));
    agree(ProgType::Xdp, cases.into_iter().chain([text("r2 = 0\n", 1)]));
}

#[test]
fn memory_is_read_and_written_through_dynptrs() {
    let mut texts = Vec::new();
    for (size, flags) in [(32, 0), (0, 0), (64, 0), (5, 0), (32, 1), (64, u32::MAX.into())] {
        let begin = from_mem(size, flags);
        for (offset, len, flags) in [
            (0, 8, 0),
            (4, 28, 0),
            (4, 29, 0),
            (31, 1, 0),
            (32, 0, 0),
            (33, 0, 0),
            (-1, 8, 0),
            (0, 8, 1),
        ] {
            texts.push(format!(
                "{begin}r1 = r10\nr1 += -64\nr2 = {len}\nr3 = r10\nr3 += -24\nr4 = {offset}\n\
                 r5 = {flags}\ncall bpf_dynptr_read\nr7 = r0\n{}",
                digest()
            ));
            texts.push(format!(
                "{begin}r1 = r10\nr1 += -24\nr2 = {offset}\nr3 = r10\nr3 += -64\nr4 = {len}\n\
                 r5 = {flags}\ncall bpf_dynptr_write\nr7 = r0\n{}",
                digest()
            ));
            let len = len.max(1);
            texts.push(format!(
                "{begin}r1 = r10\nr1 += -24\nr2 = {offset}\nr3 = {len}\ncall bpf_dynptr_data\n\
                 r7 = 1\nif r0 == 0 goto none\nr7 = *(u8 *)(r0 + 0)\n*(u8 *)(r0 + {}) = 0x5a\n\
                 none:\n{}",
                len - 1,
                digest()
            ));
        }
    }
    agree(ProgType::Xdp, texts);
}

#[test]
fn dynptrs_are_adjusted_and_asked_about() {
    let mut texts = Vec::new();
    for (size, flags) in [(32, 0), (0, 0), (32, 1)] {
        for (start, end) in [(0, 32), (4, 8), (8, 4), (32, 32), (0, 33), (33, 33), (-1, -1), (7, 7)]
        {
            let ask = |name: &str, at: i32| {
                // Of a truth value only the lowest byte is said.
                let cut = if name.contains("_is_") { "r0 &= 255\n" } else { "" };
                format!("r1 = r10\nr1 += {at}\ncall @{name}\n{cut}r7 *= 31\nr7 += r0\n")
            };
            let all = |at| {
                ["bpf_dynptr_size", "bpf_dynptr_is_null", "bpf_dynptr_is_rdonly"]
                    .map(|name| ask(name, at))
                    .concat()
            };
            texts.push(format!(
                "{}r1 = r10\nr1 += -24\nr2 = r10\nr2 += -80\ncall @bpf_dynptr_clone\nr7 = r0\n\
                 r1 = r10\nr1 += -24\nr2 = {start}\nr3 = {end}\ncall @bpf_dynptr_adjust\n\
                 r7 *= 31\nr7 += r0\n{}{}\
                 r1 = r10\nr1 += -64\nr2 = 4\nr3 = r10\nr3 += -24\nr4 = 0\nr5 = 0\n\
                 call bpf_dynptr_read\nr7 *= 31\nr7 += r0\n{}",
                from_mem(size, flags),
                all(-24),
                all(-80),
                digest()
            ));
        }
    }
    agree(ProgType::Xdp, texts);
}

#[test]
fn slices_are_what_they_are_of() {
    let mut texts = Vec::new();
    for (size, flags) in [(32, 0), (5, 0), (32, 1)] {
        for (offset, len) in [(0, 8), (24, 8), (25, 8), (4, 1), (-1, 2), (31, 1), (32, 1)] {
            for (name, buffer) in [
                ("bpf_dynptr_slice", "r3 = r10\nr3 += -64\n"),
                ("bpf_dynptr_slice_rdwr", "r3 = r10\nr3 += -64\n"),
                ("bpf_dynptr_slice", "r3 = 0\n"),
            ] {
                let write = match name.ends_with("rdwr") {
                    true => "*(u8 *)(r0 + 0) = 0x77\n",
                    false => "",
                };
                texts.push(format!(
                    "{}r1 = r10\nr1 += -24\nr2 = {offset}\n{buffer}r4 = {len}\ncall @{name}\n\
                     r7 = 1\nif r0 == 0 goto none\nr7 = *(u8 *)(r0 + {})\n{write}none:\n{}",
                    from_mem(size, flags),
                    len - 1,
                    digest()
                ));
            }
        }
    }
    agree(ProgType::Xdp, texts);
}

#[test]
fn bytes_are_copied_and_set() {
    let mut texts = Vec::new();
    let second =
        "r1 = r6\nr1 += 32\nr2 = 16\nr3 = SECOND\nr4 = r10\nr4 += -80\ncall bpf_dynptr_from_mem\n";
    for (first_flags, second_flags) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let begin =
            from_mem(32, first_flags) + &second.replace("SECOND", &second_flags.to_string());
        for (to, from, len) in [
            (0, 0, 16),
            (0, 0, 17),
            (16, 8, 16),
            (17, 0, 16),
            (0, 1, 16),
            (0, 16, 0),
            (32, 0, 0),
            (33, 17, 0),
        ] {
            texts.push(format!(
                "{begin}r1 = r10\nr1 += -80\nr2 = {from}\nr3 = r10\nr3 += -24\nr4 = {to}\nr5 = {len}\n\
                 call @bpf_dynptr_copy\nr7 = r0\nr1 = r10\nr1 += -24\nr2 = {to}\nr3 = r10\nr3 += -80\n\
                 r4 = {from}\nr5 = {len}\ncall @bpf_dynptr_copy\nr7 *= 31\nr7 += r0\n{}",
                digest()
            ));
            texts.push(format!(
                "{begin}r1 = r10\nr1 += -24\nr2 = {to}\nr3 = {len}\nr4 = 0x1ab\n\
                 call @bpf_dynptr_memset\nr7 = r0\n{}",
                digest()
            ));
        }
    }
    agree(ProgType::Xdp, texts);
}

/// A dynptr of the packet at r10 - 24; the context is in r9.
fn from_packet(name: &str, flags: u64) -> String {
    format!(
        "r9 = r1\n{VALUE_IN_R6}r1 = r9\nr2 = {flags}\nr3 = r10\nr3 += -24\ncall @{name}\nr8 = r0\n"
    )
}

#[test]
fn packets_are_read_and_written_through_dynptrs() {
    for (prog_type, name) in
        [(ProgType::Xdp, "bpf_dynptr_from_xdp"), (ProgType::SchedCls, "bpf_dynptr_from_skb")]
    {
        let mut texts = Vec::new();
        for flags in [0, 1] {
            let begin = from_packet(name, flags);
            for (offset, len, flags) in [
                (0, 8, 0),
                (72, 8, 0),
                (73, 8, 0),
                (80, 0, 0),
                (14, 32, 0),
                (-1, 1, 0),
                (0, 8, 1),
                (20, 4, 2),
            ] {
                let digest = digest();
                texts.push(format!(
                    "{begin}r1 = r10\nr1 += -64\nr2 = {len}\nr3 = r10\nr3 += -24\nr4 = {offset}\n\
                     r5 = {flags}\ncall bpf_dynptr_read\nr7 = r0\n{digest}"
                ));
                texts.push(format!(
                    "{begin}r1 = r10\nr1 += -24\nr2 = {offset}\nr3 = r6\nr4 = {len}\n\
                     r5 = {flags}\ncall bpf_dynptr_write\nr7 = r0\n{digest}"
                ));
                texts.push(format!(
                    "{begin}r1 = r10\nr1 += -24\nr2 = {offset}\nr3 = {}\ncall bpf_dynptr_data\n\
                     r7 = 1\nif r0 == 0 goto none\nr7 = *(u8 *)(r0 + 0)\nnone:\n{digest}",
                    len.max(1)
                ));
                let len = len.max(1);
                texts.push(format!(
                    "{begin}r1 = r10\nr1 += -24\nr2 = 2\nr3 = 70\ncall @bpf_dynptr_adjust\n\
                     r1 = r10\nr1 += -24\nr2 = {offset}\nr3 = r10\nr3 += -64\nr4 = {len}\n\
                     call @bpf_dynptr_slice_rdwr\nr7 = 1\nif r0 == 0 goto none\nr7 = *(u8 *)(r0 + {})\n\
                     *(u8 *)(r0 + 0) = 0x77\nnone:\nr1 = r10\nr1 += -24\ncall @bpf_dynptr_size\n\
                     r8 += r0\n{digest}",
                    len - 1
                ));
                texts.push(format!(
                    "{begin}r1 = r10\nr1 += -24\nr2 = {offset}\nr3 = {len}\nr4 = 0x3c\n\
                     call @bpf_dynptr_memset\nr7 = r0\n{digest}"
                ));
            }
        }
        agree(prog_type, texts);
    }
}

#[test]
fn records_are_reserved_as_dynptrs() {
    let mut texts = Vec::new();
    for (size, flags) in [(8, 0), (0, 0), (64, 0), (8, 1), (5000, 0), (u32::MAX, 0), (1 << 24, 0)] {
        for end in ["bpf_ringbuf_submit_dynptr", "bpf_ringbuf_discard_dynptr"] {
            texts.push(format!(
                "{VALUE_IN_R6}r1 = RING\nr2 = {size}\nr3 = {flags}\nr4 = r10\nr4 += -24\n\
                 call bpf_ringbuf_reserve_dynptr\nr8 = r0\n\
                 r1 = r10\nr1 += -24\nr2 = 0\nr3 = r6\nr4 = 8\nr5 = 0\ncall bpf_dynptr_write\nr7 = r0\n\
                 r1 = r10\nr1 += -24\nr2 = 1\nr3 = 6\ncall bpf_dynptr_data\nif r0 == 0 goto none\n\
                 r1 = *(u8 *)(r0 + 5)\nr7 += r1\n*(u8 *)(r0 + 2) = 0x11\nnone:\n\
                 r1 = r10\nr1 += -64\nr2 = 8\nr3 = r10\nr3 += -24\nr4 = 0\nr5 = 0\ncall bpf_dynptr_read\n\
                 r7 += r0\nr1 = r10\nr1 += -24\nr2 = 1\ncall {end}\n\
                 r1 = RING\nr2 = 0\ncall bpf_ringbuf_query\nr9 = r0\nr0 = 0\n{}",
                digest()
            ));
        }
    }
    agree(ProgType::Xdp, texts);
}

#[test]
fn strings_are_compared_and_searched() {
    // "abcab", a 0, then "bca" and a 0; "abd" and a 0.
    let fill = "*(u32 *)(r6 + 0) = 0x61636261\n*(u32 *)(r6 + 4) = 0x62000062\n\
                *(u32 *)(r6 + 8) = 0x6163\n*(u32 *)(r6 + 12) = 0x646241\n*(u32 *)(r6 + 16) = 0\n";
    let (mut texts, places) = (Vec::new(), ["r6 + 0", "r6 + 7", "r6 + 12", "0", "-1"]);
    let point = |reg: &str, place: &str| match place.strip_prefix("r6 + ") {
        Some(off) => format!("{reg} = r6\n{reg} += {off}\n"),
        None => format!("{reg} = {place}\n"),
    };
    let mut add = |arguments: String, name: &str| {
        texts.push(format!(
            "{VALUE_IN_R6}{fill}r8 = 0\n{arguments}call @{name}\nr7 = r0\n{}",
            digest()
        ));
    };
    for first in places {
        for second in places {
            for name in ["bpf_strcmp", "bpf_strcasecmp", "bpf_strspn", "bpf_strcspn", "bpf_strstr"]
            {
                add(point("r1", first) + &point("r2", second), name);
            }
            for len in [1, 3, 70_000] {
                let arguments = point("r1", first) + &point("r2", second);
                add(format!("{arguments}r3 = {len}\n"), "bpf_strnstr");
            }
        }
        add(point("r1", first), "bpf_strlen");
        for byte in [0, 0x62, 0x162] {
            for name in ["bpf_strchr", "bpf_strrchr", "bpf_strchrnul"] {
                add(format!("{}r2 = {byte}\n", point("r1", first)), name);
            }
            for count in [0, 2, 100_000] {
                let arguments = point("r1", first);
                add(format!("{arguments}r2 = {count}\nr3 = {byte}\n"), "bpf_strnchr");
            }
        }
        for count in [0, 1, 5, 100_000] {
            add(format!("{}r2 = {count}\n", point("r1", first)), "bpf_strnlen");
        }
    }
    agree(ProgType::Xdp, texts);
}

#[test]
fn sections_are_entered_and_left() {
    let pairs = [
        ("bpf_rcu_read_lock", "bpf_rcu_read_unlock"),
        ("bpf_preempt_disable", "bpf_preempt_enable"),
    ];
    let mut texts: Vec<String> = pairs
        .map(|(begin, end)| format!("r6 = r1\ncall @{begin}\nr7 = 5\ncall @{end}\nr0 = r7\nexit\n"))
        .into();
    texts.push(
        "r1 = r10\nr1 += -8\ncall @bpf_local_irq_save\nr7 = 6\nr1 = r10\nr1 += -8\n\
         call @bpf_local_irq_restore\nr0 = r7\nexit\n"
            .into(),
    );
    agree(ProgType::Xdp, texts);
}

#[test]
fn what_is_thrown_ends_the_program() {
    let texts = [
        "r1 = 7\ncall @bpf_throw\nr0 = 1\nexit\n".to_owned(),
        "r6 = r1\nr1 = 5\ncall thrower\nr0 = 1\nexit\nthrower:\nr1 += 4\ncall @bpf_throw\nexit\n"
            .to_owned(),
        // From the deepest frame.
        (1..7).fold("r1 = 5\ncall f1\nr0 = 1\nexit\n".to_owned(), |text, at| {
            text + &format!("f{at}:\nr1 += 1\ncall f{}\nr0 = 2\nexit\n", at + 1)
        }) + "f7:\ncall @bpf_throw\nr0 = 3\nexit\n",
    ];
    agree(ProgType::Xdp, texts);
}
