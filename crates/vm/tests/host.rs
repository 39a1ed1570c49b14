//! Helpers that read or change what lies outside of the program reach nothing of the process that
//! the embedded kernel runs in: its memory, its signals, its file descriptors.

use std::fs::read_link;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use skep_abi::{Errno, MapType, ProgType};
use skep_isa::{Slot, assemble, encode};
use skep_sys::{Command, Fd, Kernel, MapCreate, MapElem, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// What the host has in memory that programs are told the address of.
const SECRET: [u8; 16] = *b"the host's own.\0";
/// Bytes of the value that programs leave what they got in.
const VALUE: u32 = 64;

struct Bed {
    kernel: Arc<dyn Kernel>,
    map: Fd,
}

impl Bed {
    fn new(engine: Engine) -> Bed {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new().with_engine(engine));
        let create = MapCreate {
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: VALUE,
            max_entries: 1,
            ..MapCreate::default()
        };
        let map = Fd::open(&kernel, &mut Command::MapCreate(create)).expect("a map");
        Bed { kernel, map }
    }

    /// Runs `text`, which leaves what it was given in r0; gives that, and the value.
    fn run(&self, kind: ProgType, text: &str) -> (u64, Vec<u8>) {
        let value = |at: u32| format!("map[fd:{}][0]+{at} ll", self.map.raw());
        let text = text.replace("TARGET", &value(8));
        let text = format!("{text}r1 = {}\n*(u64 *)(r1 + 0) = r0\nr0 = 0\nexit\n", value(0));
        let slots = encode(&assemble(&text).unwrap_or_else(|error| panic!("{error}\n{text}")));
        let bytes = Slot::join(&slots);
        let mut log = vec![0u8; 1 << 16];
        let sleepable = kind == ProgType::Syscall;
        let load = ProgLoad {
            prog_type: kind as u32,
            prog_flags: if sleepable { skep_abi::flags::prog::SLEEPABLE } else { 0 },
            insn_cnt: slots.len() as u32,
            insns: Some((&bytes[..]).into()),
            license: Some((&b"GPL\0"[..]).into()),
            log_level: 1,
            log_size: log.len() as u32,
            log_buf: log.as_mut_slice().into(),
            ..ProgLoad::default()
        };
        let program = Fd::open(&self.kernel, &mut Command::ProgLoad(Box::new(load)))
            .unwrap_or_else(|errno| panic!("{errno}\n{text}{}", String::from_utf8_lossy(&log)));
        let mut value = vec![0x5a; VALUE as usize];
        self.elem(&mut value, true);
        let run = TestRun { prog_fd: program.raw() as u32, ..TestRun::default() };
        let ran = self.kernel.bpf(&mut Command::TestRun(Box::new(run)));
        ran.unwrap_or_else(|errno| panic!("{errno}\n{text}"));
        self.elem(&mut value, false);
        let gave = value.first_chunk().copied().map_or(0, u64::from_ne_bytes);
        (gave, value[8..].to_vec())
    }

    fn elem(&self, value: &mut [u8], update: bool) {
        let elem = MapElem {
            map_fd: self.map.raw() as u32,
            key: Some((&[0; 4][..]).into()),
            value: value.into(),
            ..MapElem::default()
        };
        let mut command = if update { Command::MapUpdate(elem) } else { Command::MapLookup(elem) };
        self.kernel.bpf(&mut command).expect("an element");
    }
}

fn beds() -> impl Iterator<Item = Bed> {
    [Engine::Interpreter, Engine::Guarded, Engine::Auto].into_iter().map(Bed::new)
}

fn is(gave: u64, errno: Errno) -> bool {
    gave as i64 == -i64::from(errno.0)
}

#[test]
fn memory_of_the_host_is_neither_read_nor_written() {
    let mut secret = Box::new(SECRET);
    let address = secret.as_mut_ptr() as u64;
    let reads = [
        ("bpf_probe_read", ProgType::RawTracepoint),
        ("bpf_probe_read_user", ProgType::RawTracepoint),
        ("bpf_probe_read_kernel", ProgType::RawTracepoint),
        ("bpf_probe_read_str", ProgType::RawTracepoint),
        ("bpf_probe_read_user_str", ProgType::RawTracepoint),
        ("bpf_probe_read_kernel_str", ProgType::RawTracepoint),
        ("bpf_copy_from_user", ProgType::Syscall),
    ];
    for bed in beds() {
        for (helper, kind) in reads {
            let text = format!("r1 = TARGET\nr2 = 16\nr3 = {address:#x} ll\ncall {helper}\n");
            let (gave, value) = bed.run(kind, &text);
            assert!(is(gave, Errno::EFAULT) || is(gave, Errno::ERANGE), "{helper}: {gave:#x}");
            assert_eq!(value[..16], [0; 16], "{helper}");
        }
        let text =
            format!("r1 = {address:#x} ll\nr2 = TARGET\nr3 = 16\ncall bpf_probe_write_user\n");
        let (gave, _) = bed.run(ProgType::RawTracepoint, &text);
        assert!((gave as i64) < 0, "{gave:#x}");
        assert_eq!(*secret, SECRET);
        // A value's text reads where it is told to, too.
        let text = format!(
            "r1 = {address:#x} ll\n*(u64 *)(r10 - 16) = r1\n*(u64 *)(r10 - 8) = 1\nr1 = TARGET\n\
             r2 = 48\nr3 = r10\nr3 += -16\nr4 = 16\nr5 = 0\ncall bpf_snprintf_btf\n"
        );
        let (gave, value) = bed.run(ProgType::RawTracepoint, &text);
        assert!((gave as i64) < 0, "{gave:#x}");
        assert_eq!(value[..48], [0x5a; 48]);
    }
}

#[test]
fn no_signal_reaches_the_host() {
    static CAUGHT: AtomicU32 = AtomicU32::new(0);
    extern "C" fn caught(_: i32) {
        CAUGHT.fetch_add(1, SeqCst);
    }
    // SAFETY: the handler adds to a number.
    unsafe { libc::signal(libc::SIGUSR1, caught as extern "C" fn(i32) as libc::sighandler_t) };
    for bed in beds() {
        for helper in ["bpf_send_signal", "bpf_send_signal_thread"] {
            let text = format!("r1 = {}\ncall {helper}\n", libc::SIGUSR1);
            assert_eq!(bed.run(ProgType::RawTracepoint, &text).0, 0, "{helper}");
        }
    }
    assert_eq!(CAUGHT.load(SeqCst), 0);
}

#[test]
fn what_helpers_give_is_no_address_of_the_host() {
    for bed in beds() {
        let (gave, _) = bed.run(ProgType::RawTracepoint, "call bpf_get_current_task\n");
        assert!((gave as i64) < 0, "{gave:#x} is in the half of user space");
        // What it leads to is not the host's either.
        let text = "call bpf_get_current_task\nr3 = r0\nr1 = TARGET\nr2 = 8\n\
                    call bpf_probe_read_user\n";
        let (gave, value) = bed.run(ProgType::RawTracepoint, text);
        assert!(is(gave, Errno::EFAULT), "{gave:#x}");
        assert_eq!(value[..8], [0; 8]);
    }
}

#[test]
fn system_calls_of_programs_are_not_made() {
    let open = std::fs::File::open("/dev/null").expect("a file");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&open);
    let link = format!("/proc/self/fd/{fd}");
    let before = read_link(&link).expect("it is open");
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new().with_engine(engine));
        let text = format!("r1 = {fd}\ncall bpf_sys_close\nr0 = 0\nexit\n");
        let slots = encode(&assemble(&text).expect("code"));
        let bytes = Slot::join(&slots);
        let load = ProgLoad {
            prog_type: ProgType::Syscall as u32,
            prog_flags: skep_abi::flags::prog::SLEEPABLE,
            insn_cnt: slots.len() as u32,
            insns: Some((&bytes[..]).into()),
            license: Some((&b"GPL\0"[..]).into()),
            ..ProgLoad::default()
        };
        let program = Fd::open(&kernel, &mut Command::ProgLoad(Box::new(load))).expect("verified");
        let run = TestRun { prog_fd: program.raw() as u32, ..TestRun::default() };
        let ran = kernel.bpf(&mut Command::TestRun(Box::new(run)));
        assert_eq!(ran, Err(Errno::EFAULT), "the helper is not here");
    }
    assert_eq!(read_link(&link).expect("it is still open"), before);
}
