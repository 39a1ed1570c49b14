//! Tail calls: what is called, how often, and what the program that is called finds, is
//! the same on every engine and on Linux. (Those of subprograms need BTF; they are in
//! `tests/programs/xdp_tail_call.bpf.c`.) What is in a program array may change at any
//! time, between runs and while programs run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skep_abi::{Errno, MapType, ProgType};
use skep_isa::{Slot, assemble, encode};
use skep_sys::{Command, Fd, Kernel, Linux, MapCreate, MapDelete, MapElem, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// A kernel with a program array of 8 slots.
struct Bed {
    kernel: Arc<dyn Kernel>,
    name: String,
    array: Fd,
}

impl Bed {
    fn new(kernel: Arc<dyn Kernel>, name: &str) -> Result<Bed, Errno> {
        let array = create(&kernel, MapType::ProgArray, 4, 4)?;
        Ok(Bed { kernel, name: name.to_owned(), array })
    }

    /// `text` with the array as `NEXT`.
    fn load_as(&self, prog_type: ProgType, text: &str) -> Fd {
        let text = text.replace("NEXT", &format!("map[fd:{}] ll", self.array.raw()));
        let insns = assemble(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let slots = encode(&insns);
        let bytes = Slot::join(&slots);
        let load = ProgLoad {
            prog_type: prog_type as u32,
            insn_cnt: slots.len() as u32,
            insns: Some((&bytes[..]).into()),
            license: Some((&b"GPL\0"[..]).into()),
            ..ProgLoad::default()
        };
        let loaded = Fd::open(&self.kernel, &mut Command::ProgLoad(Box::new(load)));
        loaded.unwrap_or_else(|errno| panic!("{}: {errno}\n{text}", self.name))
    }

    fn load(&self, text: &str) -> Fd {
        self.load_as(ProgType::Xdp, text)
    }

    fn put(&self, index: u32, program: &Fd) {
        let (key, mut value) = (index.to_ne_bytes(), (program.raw() as u32).to_ne_bytes());
        let elem = MapElem {
            map_fd: self.array.raw() as u32,
            key: Some((&key[..]).into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        self.kernel.bpf(&mut Command::MapUpdate(elem)).unwrap();
    }

    fn delete(&self, index: u32) {
        let key = index.to_ne_bytes();
        let map_fd = self.array.raw() as u32;
        let key = Some((&key[..]).into());
        let delete = MapDelete { map_fd, key, ..MapDelete::default() };
        self.kernel.bpf(&mut Command::MapDelete(delete)).unwrap();
    }

    /// What the program returns of so many runs on a packet whose first bytes these are.
    fn run(&self, program: &Fd, repeat: u32, head: &[u8]) -> u32 {
        let mut packet = [0; 64];
        packet[..head.len()].copy_from_slice(head);
        let run = TestRun {
            prog_fd: program.raw() as u32,
            data_size_in: packet.len() as u32,
            data_in: Some((&packet[..]).into()),
            repeat,
            ..TestRun::default()
        };
        let mut command = Command::TestRun(Box::new(run));
        self.kernel.bpf(&mut command).unwrap_or_else(|errno| panic!("{}: {errno}", self.name));
        let Command::TestRun(run) = command else { panic!("a test run stays one") };
        run.retval
    }
}

fn create(
    kernel: &Arc<dyn Kernel>,
    map_type: MapType,
    key_size: u32,
    value_size: u32,
) -> Result<Fd, Errno> {
    let map_type = map_type as u32;
    let create = MapCreate { map_type, key_size, value_size, max_entries: 8, ..Default::default() };
    Fd::open(kernel, &mut Command::MapCreate(create))
}

/// Every engine, and Linux where that is permitted.
fn beds() -> Vec<Bed> {
    let engines = [Engine::Interpreter, Engine::Guarded, Engine::Auto];
    let vm = |engine: Engine| {
        Bed::new(Arc::new(Vm::new().with_engine(engine)), &format!("{engine:?}")).unwrap()
    };
    let mut beds: Vec<Bed> = engines.into_iter().map(vm).collect();
    match Bed::new(Arc::new(Linux::new()), "Linux") {
        Ok(linux) => beds.push(linux),
        Err(errno) => println!("Linux skipped: bpf(2) is not permitted ({errno})"),
    }
    beds
}

/// Calls the program in a slot; returns 100 where there is none.
fn call(index: u32) -> String {
    format!("r2 = NEXT\nr3 = {index}\ncall bpf_tail_call\nr0 = 100\nexit\n")
}

fn returns(number: u32) -> String {
    format!("r0 = {number}\nexit\n")
}

/// r2 = start and r3 = end of the packet; returns 50 if that has less than 8 bytes.
const PACKET: &str = "r6 = r1\nr2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 8\n\
                      if r4 <= r3 goto +2\nr0 = 50\nexit\n";

#[test]
fn a_call_leads_to_what_is_in_its_slot_when_it_is_made() {
    for bed in beds() {
        let constant = bed.load(&call(1));
        let dynamic = format!("{PACKET}r3 = *(u32 *)(r2 + 0)\nr1 = r6\nr2 = NEXT\n");
        let dynamic = bed.load(&format!("{dynamic}call bpf_tail_call\nr0 = 100\nexit\n"));
        let beyond = bed.load(&call(8));
        let run = |index: u8| (bed.run(&constant, 3, &[]), bed.run(&dynamic, 3, &[index]));
        assert_eq!(run(1), (100, 100), "{}: empty", bed.name);
        bed.put(1, &bed.load(&returns(7)));
        assert_eq!(run(1), (7, 7), "{}: filled", bed.name);
        bed.put(1, &bed.load(&returns(8)));
        assert_eq!(run(1), (8, 8), "{}: replaced", bed.name);
        assert_eq!(run(2), (8, 100), "{}: another slot is empty", bed.name);
        bed.delete(1);
        assert_eq!(run(1), (100, 100), "{}: deleted", bed.name);
        assert_eq!(run(8), (100, 100), "{}: past the end", bed.name);
        assert_eq!(bed.run(&dynamic, 1, &[1, 0, 0, 0x80]), 100, "{}: negative", bed.name);
        assert_eq!(bed.run(&beyond, 1, &[]), 100, "{}: a constant past the end", bed.name);
    }
}

#[test]
fn each_run_ends_after_33_calls() {
    for bed in beds() {
        let counts = format!(
            "{PACKET}r7 = *(u32 *)(r2 + 0)\nr7 += 1\n*(u32 *)(r2 + 0) = r7\nr1 = r6\nr2 = NEXT\n\
             r3 = 3\ncall bpf_tail_call\nr0 = r7\nexit\n"
        );
        let again = bed.load(&counts);
        bed.put(3, &again);
        assert_eq!(bed.run(&again, 1, &[]), 34, "{}", bed.name);
        // The packet keeps what earlier runs counted.
        assert_eq!(bed.run(&again, 100, &[]), 3400, "{}", bed.name);
    }
}

#[test]
fn a_target_finds_its_fields_of_the_context_as_they_are_now() {
    let len = "r2 = *(u32 *)(r1 + 4)\nr3 = *(u32 *)(r1 + 0)\nr2 -= r3\nr0 = r2\nexit\n";
    // 14 bytes less, and on.
    let shorter = format!(
        "{PACKET}r7 = r3\nr7 -= r2\nr1 = r6\nr2 = 14\ncall bpf_xdp_adjust_head\nr1 = r6\n\
         r2 = NEXT\nr3 = 2\ncall bpf_tail_call\nr0 = 100\nexit\n"
    );
    for bed in beds() {
        bed.put(2, &bed.load(len));
        bed.put(1, &bed.load(&shorter));
        // From a program that asks for no field, one that asks for another one, and one that
        // asks for the same ones in the same order.
        assert_eq!(bed.run(&bed.load(&call(2)), 2, &[]), 64, "{}", bed.name);
        let other = format!("r2 = *(u32 *)(r1 + 16)\n{}", call(1));
        assert_eq!(bed.run(&bed.load(&other), 1, &[]), 50, "{}", bed.name);
        let same = bed.load(&format!("{PACKET}r1 = r6\n{}", call(1)));
        assert_eq!(bed.run(&same, 1, &[]), 50, "{}", bed.name);
        assert_eq!(bed.run(&same, 2, &[]), 36, "{}", bed.name);
    }
}

#[test]
fn a_target_has_its_own_maps() {
    for bed in beds() {
        let queue = create(&bed.kernel, MapType::Queue, 0, 8).unwrap();
        let queue = format!("map[fd:{}] ll", queue.raw());
        let push = format!(
            "r6 = r1\nr7 = 77\n*(u64 *)(r10 - 8) = r7\nr1 = {queue}\nr2 = r10\nr2 += -8\nr3 = 0\n\
             call bpf_map_push_elem\nr1 = r6\n{}",
            call(2)
        );
        let pop = format!(
            "r7 = 0\n*(u64 *)(r10 - 8) = r7\nr1 = {queue}\nr2 = r10\nr2 += -8\n\
             call bpf_map_pop_elem\nr0 = *(u64 *)(r10 - 8)\nexit\n"
        );
        bed.put(1, &bed.load(&push));
        bed.put(2, &bed.load(&pop));
        assert_eq!(bed.run(&bed.load(&call(1)), 5, &[]), 77, "{}", bed.name);
    }
}

#[test]
fn a_target_may_end_the_run_by_itself() {
    for bed in beds() {
        let load = |text: &str| bed.load_as(ProgType::SocketFilter, text);
        // A load past the packet returns 0.
        let past = "r6 = r1\nr0 = *(u32 *)skb[1000]\nr0 = 9\nexit\n";
        let first = load(&call(1));
        bed.put(1, &load(past));
        assert_eq!(bed.run(&first, 3, &[]), 0, "{}", bed.name);
        bed.put(1, &load(&call(2)));
        bed.put(2, &load(past));
        assert_eq!(bed.run(&first, 3, &[]), 0, "{}", bed.name);
        bed.put(2, &load(&returns(9)));
        assert_eq!(bed.run(&first, 3, &[]), 9, "{}", bed.name);
    }
}

#[test]
fn calls_lead_through_programs_of_all_kinds() {
    // Reads any address, so that its code checks what it does.
    let checked = format!(
        "r6 = r1\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_probe_read_kernel\nr1 = r6\n{}",
        call(2)
    );
    // Too large to be compiled.
    let large = format!("{}{}", "r0 = 1\n".repeat(100_001), call(3));
    for bed in beds() {
        bed.put(1, &bed.load(&checked));
        bed.put(2, &bed.load(&large));
        bed.put(3, &bed.load(&call(4)));
        bed.put(4, &bed.load(&returns(5)));
        assert_eq!(bed.run(&bed.load(&call(1)), 2, &[]), 5, "{}", bed.name);
        bed.put(3, &bed.load(&call(1)));
        let again = bed.run(&bed.load(&call(1)), 2, &[]);
        assert_eq!(again, 100, "{}: 33 calls in a circle", bed.name);
    }
}

#[test]
fn targets_are_replaced_while_programs_run() {
    for bed in beds() {
        let first = bed.load(&call(1));
        bed.put(1, &bed.load(&call(2)));
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // Each program is gone from the tables, and soon from memory.
                for round in 0..400 {
                    bed.put(2, &bed.load(&returns(1 + round % 2)));
                    bed.put(1, &bed.load(&call(2)));
                    if round % 16 == 0 {
                        bed.delete(2);
                    }
                }
                over.store(true, Ordering::Release);
            });
            while !over.load(Ordering::Acquire) {
                let verdict = bed.run(&first, 200, &[]);
                assert!(matches!(verdict, 1 | 2 | 100), "{}: {verdict}", bed.name);
            }
        });
        assert_eq!(bed.run(&first, 1, &[]), 2, "{}", bed.name);
    }
}

/// Unverified programs give it any map: one whose keys are longer than an index, too.
#[test]
fn other_maps_are_no_program_arrays() {
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new().unverified().with_engine(engine));
        let inner = create(&kernel, MapType::Array, 4, 4).unwrap();
        let outer = MapCreate {
            map_type: MapType::HashOfMaps as u32,
            key_size: 12,
            value_size: 4,
            max_entries: 8,
            inner_map_fd: inner.raw() as u32,
            ..MapCreate::default()
        };
        let array = Fd::open(&kernel, &mut Command::MapCreate(outer)).unwrap();
        let bed = Bed { kernel, name: format!("{engine:?}"), array };
        let program = bed.load(&call(1));
        let packet = [0; 64];
        let run = TestRun {
            prog_fd: program.raw() as u32,
            data_size_in: 64,
            data_in: Some((&packet[..]).into()),
            ..TestRun::default()
        };
        let mut command = Command::TestRun(Box::new(run));
        assert!(bed.kernel.bpf(&mut command).is_err(), "{}", bed.name);
        let Command::TestRun(run) = command else { panic!("a test run stays one") };
        let said = format!("{:?}", run.diagnostic);
        assert!(said.contains("is no program array"), "{}: {said}", bed.name);
    }
}
