//! Programs of all types on contexts: where Linux has TEST_RUN, both kernels give the same errno,
//! value, data and context; elsewhere the embedded kernel's own runs do what the rows say.

use skep_abi::flags::test_run::{ON_CPU, OWN};
use skep_abi::{Errno, ProgType};
use skep_sys::{Command, Kernel, Linux, MapCreate, MapElem, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// An instruction: code, registers, offset, immediate.
fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let mut bytes = [code, src << 4 | dst, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&off.to_ne_bytes());
    bytes[4..].copy_from_slice(&imm.to_ne_bytes());
    bytes
}

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

fn mov(dst: u8, src: u8) -> [u8; 8] {
    insn(0xbf, dst, src, 0, 0)
}

fn set(dst: u8, imm: i32) -> [u8; 8] {
    insn(0xb7, dst, 0, 0, imm)
}

/// `dst = *(u64 *)(src + off)`
fn load(dst: u8, src: u8, off: i16) -> [u8; 8] {
    insn(0x79, dst, src, off, 0)
}

/// `dst = *(u32 *)(src + off)`
fn load32(dst: u8, src: u8, off: i16) -> [u8; 8] {
    insn(0x61, dst, src, off, 0)
}

/// `*(u64 *)(dst + off) = src`
fn store(dst: u8, off: i16, src: u8) -> [u8; 8] {
    insn(0x7b, dst, src, off, 0)
}

fn call(helper: u32) -> [u8; 8] {
    insn(0x85, 0, 0, 0, helper as i32)
}

/// A program of a kind.
#[derive(Clone, Copy, Default)]
struct Kind {
    prog_type: u32,
    attach: u32,
    flags: u32,
}

fn kind(of: ProgType) -> Kind {
    let sleepable = skep_abi::flags::prog::SLEEPABLE;
    Kind {
        prog_type: of as u32,
        flags: if of == ProgType::Syscall { sleepable } else { 0 },
        ..Kind::default()
    }
}

fn load_program(kernel: &dyn Kernel, of: Kind, insns: &[[u8; 8]]) -> Result<u32, (Errno, String)> {
    let mut log = vec![0; 1 << 16];
    let load = ProgLoad {
        prog_type: of.prog_type,
        expected_attach_type: of.attach,
        prog_flags: of.flags,
        insn_cnt: insns.len() as u32,
        insns: Some(insns.concat().into()),
        license: Some(b"GPL\0"[..].into()),
        log_level: 1,
        log_size: 1 << 16,
        log_buf: log.as_mut_slice().into(),
        ..ProgLoad::default()
    };
    let result = kernel.bpf(&mut Command::ProgLoad(Box::new(load)));
    result.map_err(|errno| (errno, String::from_utf8_lossy(&log).trim_end_matches('\0').into()))
}

/// What a run gives: errno or value, the data and the context.
type Answer = (Result<u32, Errno>, Vec<u8>, Vec<u8>);

/// A run to ask for.
#[derive(Clone, Default)]
struct Ask {
    context: Vec<u8>,
    data: Vec<u8>,
    flags: u32,
    cpu: u32,
    repeat: u32,
    /// Room for the context that comes out, and for the data.
    context_room: usize,
    data_room: usize,
}

fn run(kernel: &dyn Kernel, prog_fd: u32, ask: &Ask) -> Answer {
    let (mut data_out, mut ctx_out) = (vec![0; ask.data_room], vec![0; ask.context_room]);
    let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec().into());
    let mut test = TestRun {
        prog_fd,
        ctx_size_in: ask.context.len() as u32,
        ctx_in: some(&ask.context),
        data_size_in: ask.data.len() as u32,
        data_in: some(&ask.data),
        flags: ask.flags,
        cpu: ask.cpu,
        repeat: ask.repeat,
        ..TestRun::default()
    };
    if ask.data_room > 0 {
        (test.data_size_out, test.data_out) =
            (ask.data_room as u32, data_out.as_mut_slice().into());
    }
    if ask.context_room > 0 {
        (test.ctx_size_out, test.ctx_out) =
            (ask.context_room as u32, ctx_out.as_mut_slice().into());
    }
    let mut command = Command::TestRun(Box::new(test));
    let result = kernel.bpf(&mut command);
    let Command::TestRun(test) = command else { unreachable!("the command stays what it is") };
    let (retval, size) = (test.retval, test.data_size_out as usize);
    let back = test.ctx_in.as_deref().map(<[u8]>::to_vec).unwrap_or_default();
    drop(test);
    data_out.truncate(size);
    let context = if ask.context_room > 0 { ctx_out } else { back };
    (result.map(|_| retval), data_out, context)
}

const ENGINES: [Engine; 3] = [Engine::Interpreter, Engine::Guarded, Engine::Auto];

/// Whether Linux lets us; a test that it does not is skipped.
fn linux() -> Option<Linux> {
    let linux = Linux::new();
    let of = kind(ProgType::RawTracepoint);
    match load_program(&linux, of, &[set(0, 0), EXIT]) {
        Ok(fd) => {
            // SAFETY: it was just made, and nobody uses it any more.
            unsafe { linux.close(fd as i32) };
            Some(linux)
        }
        Err((errno, _)) => {
            eprintln!("skipped: Linux loads no programs here: {errno}");
            None
        }
    }
}

/// Loads a program into Linux and into our kernel with each engine, and compares each run.
fn compare(of: Kind, insns: &[[u8; 8]], asks: &[Ask]) {
    let Some(linux) = linux() else { return };
    let judge = load_program(&linux, of, insns).expect("Linux takes the program");
    for engine in ENGINES {
        let vm = Vm::new().with_engine(engine);
        let ours = load_program(&vm, of, insns).expect("we take the program");
        for ask in asks {
            let expected = run(&linux, judge, ask);
            let found = run(&vm, ours, ask);
            let show = (ask.flags, ask.cpu, ask.repeat, ask.context.len(), ask.data.len());
            assert_eq!(
                found, expected,
                "{engine:?}, type {}, {show:?}: {:02x?}",
                of.prog_type, ask.context
            );
        }
    }
    // SAFETY: it was made above, and nobody uses it any more.
    unsafe { linux.close(judge as i32) };
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[test]
fn a_raw_tracepoint_gets_its_arguments_and_linux_errors() {
    let sum = [load(2, 1, 0), load(0, 1, 16), insn(0x0f, 0, 2, 0, 0), EXIT];
    let base = Ask { context: words(&[1, 2, 3]), ..Ask::default() };
    let mut asks = vec![
        base.clone(),
        Ask { context: words(&[u64::MAX, 0, 7]), ..Ask::default() },
        Ask { context: words(&[1, 2]), ..Ask::default() },
        Ask { context: words(&[0; 13]), ..Ask::default() },
        Ask::default(),
        Ask { repeat: 1, ..base.clone() },
        Ask { data: vec![0; 64], ..base.clone() },
        Ask { data_room: 8, ..base.clone() },
        Ask { context_room: 8, ..base.clone() },
    ];
    for (flags, cpu) in [(0, 1), (ON_CPU, 0), (ON_CPU, 100_000), (2, 0), (0, 0)] {
        asks.push(Ask { flags, cpu, ..base.clone() });
    }
    // What other flags mean to it Linux does not ask.
    compare(kind(ProgType::RawTracepoint), &sum, &asks);
}

#[test]
fn a_run_on_a_cpu_is_on_that_cpu() {
    let last = skep_sys::possible_cpus() - 1;
    let asks = [0, last].map(|cpu| Ask { flags: ON_CPU, cpu, ..Ask::default() });
    compare(kind(ProgType::RawTracepoint), &[call(8), EXIT], &asks);
}

#[test]
fn a_syscall_program_gives_its_context_back() {
    let add = [load(2, 1, 8), insn(0x07, 2, 0, 0, 1), store(1, 0, 2), set(0, 7), EXIT];
    let base = Ask { context: words(&[0, 41]), ..Ask::default() };
    compare(
        kind(ProgType::Syscall),
        &add,
        &[
            base.clone(),
            Ask { context: words(&[9, 9, 9, 9]), ..Ask::default() },
            Ask { context: vec![0; 15], ..Ask::default() },
            Ask { flags: ON_CPU, ..base.clone() },
            Ask { repeat: 2, ..base.clone() },
            Ask { context: vec![0; 0x1_0000], ..Ask::default() },
        ],
    );
}

#[test]
fn helpers_on_the_current_task_give_what_linux_gives() {
    let of = kind(ProgType::RawTracepoint);
    for helper in [14, 15, 80, 42, 17] {
        for shift in [0, 32] {
            let shifted = [call(helper), insn(0x77, 0, 0, 0, shift), EXIT];
            compare(of, &shifted, &[Ask::default()]);
        }
    }
    // The name, in two words.
    for at in [-16, -8] {
        for shift in [0, 32] {
            let name = [
                set(2, 0),
                store(10, -16, 2),
                store(10, -8, 2),
                mov(1, 10),
                insn(0x07, 1, 0, 0, -16),
                set(2, 16),
                call(16),
                load(0, 10, at),
                insn(0x77, 0, 0, 0, shift),
                EXIT,
            ];
            compare(of, &name, &[Ask::default()]);
        }
    }
    for level in [-1, 0, 1, 40] {
        compare(of, &[set(1, level), call(123), EXIT], &[Ask::default()]);
    }
}

#[test]
fn addresses_that_lead_nowhere_give_linux_errors() {
    let addresses = [
        0,
        1,
        4096,
        0x7fff_ffff_f000,
        0x0000_8000_0000_0000,
        0x8000_0000_0000_0000,
        0xffff_ffff_ffff_f000,
        u64::MAX,
    ];
    let asks = addresses.map(|address| Ask { context: words(&[address]), ..Ask::default() });
    for helper in [4, 45, 112, 113, 114, 115] {
        for size in [1, 8] {
            let read = [
                load(3, 1, 0),
                mov(1, 10),
                insn(0x07, 1, 0, 0, -8),
                set(2, size),
                call(helper),
                EXIT,
            ];
            compare(kind(ProgType::RawTracepoint), &read, &asks);
        }
    }
}

#[test]
fn numbers_in_texts_are_read_as_linux_reads_them() {
    let texts = [
        "12",
        "-12",
        " \t7",
        "0x1f",
        "0X1F",
        "0x",
        "017",
        "08",
        "",
        "-",
        "--1",
        "abc",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775808",
        "000000000000000000000000000001",
        "1 2",
        "\u{a0}3",
        "+4",
        "0",
    ];
    let asks: Vec<Ask> = texts
        .iter()
        .flat_map(|text| [0u64, 8, 10, 16, 2, 32].map(|flags| (text, flags)))
        .map(|(text, flags)| {
            let mut context = vec![0; 48];
            context[..text.len()].copy_from_slice(text.as_bytes());
            context[40..48].copy_from_slice(&flags.to_ne_bytes());
            Ask { context, ..Ask::default() }
        })
        .collect();
    for (helper, result) in [(105, false), (106, false), (105, true), (106, true)] {
        // The text goes to the stack first: fp - 56 and on; the result to fp - 8.
        let copied = (0..5).flat_map(|word| [load(2, 1, word * 8), store(10, word * 8 - 56, 2)]);
        let mut convert: Vec<[u8; 8]> = copied.collect();
        convert.extend([
            set(2, 0),
            store(10, -8, 2),
            load(3, 1, 40),
            set(2, 40),
            mov(4, 10),
            insn(0x07, 4, 0, 0, -8),
            mov(1, 10),
            insn(0x07, 1, 0, 0, -56),
            call(helper),
            if result { load(0, 10, -8) } else { mov(0, 0) },
            EXIT,
        ]);
        compare(kind(ProgType::RawTracepoint), &convert, &asks);
    }
}

/// An IPv4 packet of TCP between 10.1.2.3 and 10.4.5.6, on Ethernet.
fn frame() -> Vec<u8> {
    let mut frame = vec![0; 74];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[17] = 60;
    frame[22..24].copy_from_slice(&[64, 6]);
    frame[26..34].copy_from_slice(&[10, 1, 2, 3, 10, 4, 5, 6]);
    frame[34..38].copy_from_slice(&[0x30, 0x39, 0, 80]);
    frame[46] = 0x50;
    frame
}

#[test]
fn packets_of_every_type_have_the_socket_of_test_run() {
    let ask = Ask { data: frame(), data_room: 128, ..Ask::default() };
    for of in [
        ProgType::SocketFilter,
        ProgType::SchedCls,
        ProgType::CgroupSkb,
        ProgType::LwtIn,
        ProgType::LwtOut,
        ProgType::LwtSeg6local,
    ] {
        // struct bpf_sock: family, type, protocol, mark, priority, addresses, ports, state, queue.
        for at in [4, 24, 28, 44, 48, 52, 56, 72, 76] {
            let field = [
                load(1, 1, 168),
                set(0, -1),
                insn(0x15, 1, 0, 1, 0),
                load32(0, 1, at),
                if of == ProgType::CgroupSkb { insn(0x57, 0, 0, 0, 1) } else { mov(0, 0) },
                EXIT,
            ];
            compare(kind(of), &field, std::slice::from_ref(&ask));
        }
        if !matches!(of, ProgType::SchedCls | ProgType::CgroupSkb) {
            continue;
        }
        let full = [
            load(1, 1, 168),
            insn(0x15, 1, 0, 2, 0),
            call(95),
            insn(0x55, 0, 0, 2, 0),
            set(0, 0),
            EXIT,
            load32(0, 0, 8),
            set(0, 1),
            EXIT,
        ];
        compare(kind(of), &full, std::slice::from_ref(&ask));
    }
    for at in [88, 92, 96, 100, 116, 132, 136] {
        let field = [
            load32(2, 1, at),
            set(0, 0),
            insn(0x77, 2, 0, 0, 1),
            insn(0x57, 2, 0, 0, 1),
            mov(0, 2),
            EXIT,
        ];
        compare(kind(ProgType::CgroupSkb), &field, std::slice::from_ref(&ask));
    }
}

#[test]
fn a_flow_dissector_says_where_the_headers_are() {
    // keys->thoff = nhoff + 20, keys->ip_proto = 6, sport of the packet's bytes 34 and 35.
    let dissect = [
        load(6, 1, 144),
        load32(2, 1, 76),
        load32(3, 1, 80),
        mov(4, 2),
        insn(0x07, 4, 0, 0, 40),
        set(0, 2),
        insn(0x2d, 4, 3, 6, 0),
        insn(0x69, 0, 6, 0, 0),
        insn(0x07, 0, 0, 0, 20),
        insn(0x6b, 6, 0, 2, 0),
        insn(0x69, 0, 2, 34, 0),
        insn(0x6b, 6, 0, 12, 0),
        set(0, 0),
        EXIT,
    ];
    let mut keys = vec![0; 56];
    keys[48] = 1;
    let base = Ask { data: frame(), data_room: 64, ..Ask::default() };
    compare(
        kind(ProgType::FlowDissector),
        &dissect,
        &[
            base.clone(),
            Ask { context: keys.clone(), context_room: 56, ..base.clone() },
            Ask { context: vec![1; 56], ..base.clone() },
            Ask { data: frame()[..20].to_vec(), ..base.clone() },
            Ask { data: vec![0; 13], ..base.clone() },
            Ask { data_room: 8, ..base.clone() },
            Ask { repeat: 3, ..base.clone() },
            Ask { flags: 1, ..base.clone() },
        ],
    );
}

/// A context of a look-up: family, protocol, remote address and port, local ones.
fn lookup(family: u32, local_port: u32) -> Vec<u8> {
    let mut context = vec![0; 72];
    context[8..12].copy_from_slice(&family.to_ne_bytes());
    context[12..16].copy_from_slice(&6u32.to_ne_bytes());
    context[16..20].copy_from_slice(&[127, 0, 0, 2]);
    context[20..24].copy_from_slice(&[1, 2, 3, 4]);
    context[36..38].copy_from_slice(&[0x30, 0x39]);
    context[40..44].copy_from_slice(&[127, 0, 0, 1]);
    context[60..64].copy_from_slice(&local_port.to_ne_bytes());
    context
}

#[test]
fn a_socket_look_up_has_the_fields_of_its_family() {
    let of = Kind { attach: 36, ..kind(ProgType::SkLookup) };
    let mut long = lookup(2, 80);
    long[68] = 1;
    let mut with_socket = lookup(2, 80);
    with_socket[0] = 1;
    let asks: Vec<Ask> = [
        lookup(2, 80),
        lookup(10, 80),
        lookup(1, 80),
        lookup(2, 0x1_0000),
        lookup(0x1_0002, 80),
        long,
        with_socket,
        Vec::new(),
    ]
    .into_iter()
    .map(|context| Ask { context, ..Ask::default() })
    .chain([Ask { data: vec![0; 64], context: lookup(2, 80), ..Ask::default() }])
    .chain([Ask { flags: 1, context: lookup(2, 80), ..Ask::default() }])
    .collect();
    for at in [8, 12, 16, 20, 40, 44, 60] {
        // Passes where the field is not 0.
        let field = [load32(2, 1, at), set(0, 1), insn(0x55, 2, 0, 1, 0), set(0, 0), EXIT];
        compare(of, &field, &asks);
    }
}

#[test]
fn a_netfilter_hook_has_linux_errors() {
    let of = Kind { attach: 45, ..kind(ProgType::Netfilter) };
    let state = |hook: u8, family: u8| {
        let mut state = vec![0; 48];
        (state[0], state[1]) = (hook, family);
        state
    };
    let mut six = frame();
    six[12..14].copy_from_slice(&[0x86, 0xdd]);
    let mut other = frame();
    other[12..14].copy_from_slice(&[8, 6]);
    let mut asks = vec![Ask { data: frame(), ..Ask::default() }];
    for data in [frame(), six, other, vec![0; 19], vec![0; 20], vec![0; 33]] {
        for (hook, family) in [(3, 2), (0, 2), (0, 10), (1, 10), (3, 10), (0, 1), (7, 2)] {
            asks.push(Ask { data: data.clone(), context: state(hook, family), ..Ask::default() });
        }
    }
    let mut bad = state(0, 2);
    bad[20] = 1;
    asks.push(Ask { data: frame(), context: bad, ..Ask::default() });
    compare(of, &[set(0, 1), EXIT], &asks);
}

/// Runs a program by a run of ours with each engine.
fn own(of: Kind, insns: &[[u8; 8]], ask: &Ask, expected: Result<u32, Errno>) {
    for engine in ENGINES {
        let vm = Vm::new().with_engine(engine);
        let fd = load_program(&vm, of, insns).expect("we take the program");
        let ask = Ask { flags: ask.flags | OWN, ..ask.clone() };
        let (found, ..) = run(&vm, fd, &ask);
        assert_eq!(found, expected, "{engine:?}, type {}", of.prog_type);
    }
}

#[test]
fn types_that_linux_does_not_test_run_on_a_context_of_ours() {
    let context = words(&(1..=21).collect::<Vec<u64>>());
    let ask = |context: &[u8]| Ask { context: context.into(), ..Ask::default() };
    // Registers, a record, the data of a sample.
    for of in [ProgType::Kprobe, ProgType::Tracepoint, ProgType::PerfEvent] {
        own(kind(of), &[load(0, 1, 112), EXIT], &ask(&context), Ok(15));
        own(kind(of), &[load(0, 1, 112), EXIT], &Ask::default(), Ok(0));
        let too_long = Ask { context: vec![0; 8193], ..Ask::default() };
        own(kind(of), &[set(0, 0), EXIT], &too_long, Err(Errno::E2BIG));
    }
    // Bytes of the context are memory for helpers: bpf_probe_read_kernel(fp - 8, 8, ctx + 16).
    let read = [
        mov(3, 1),
        insn(0x07, 3, 0, 0, 16),
        mov(1, 10),
        insn(0x07, 1, 0, 0, -8),
        set(2, 8),
        call(113),
        load(0, 10, -8),
        EXIT,
    ];
    own(kind(ProgType::Kprobe), &read, &ask(&context), Ok(3));
    // Fields: what is written is read again.
    let device = [load32(0, 1, 4), load32(2, 1, 8), insn(0x57, 0, 0, 0, 1), EXIT];
    own(kind(ProgType::CgroupDevice), &device, &ask(&[0, 0, 0, 0, 3, 0, 0, 0]), Ok(1));
    let sysctl = Kind { attach: 18, ..kind(ProgType::CgroupSysctl) };
    let position =
        [set(2, 1), insn(0x63, 1, 2, 4, 0), load32(0, 1, 4), insn(0x57, 0, 0, 0, 1), EXIT];
    own(sysctl, &position, &Ask::default(), Ok(1));
    // An option: optval[0], within its bounds.
    let option = [
        load(2, 1, 8),
        load(3, 1, 16),
        mov(4, 2),
        insn(0x07, 4, 0, 0, 1),
        set(0, 0),
        insn(0x2d, 4, 3, 2, 0),
        insn(0x71, 0, 2, 0, 0),
        insn(0x57, 0, 0, 0, 1),
        EXIT,
    ];
    let setsockopt = Kind { attach: 22, ..kind(ProgType::CgroupSockopt) };
    own(setsockopt, &option, &Ask { data: vec![5], ..Ask::default() }, Ok(1));
    own(setsockopt, &option, &Ask::default(), Ok(0));
    // Without the flag, types that Linux does not run say so as Linux does.
    compare(kind(ProgType::Kprobe), &[set(0, 0), EXIT], &[Ask::default()]);
    compare(kind(ProgType::Tracepoint), &[set(0, 0), EXIT], &[Ask::default()]);
}

#[test]
fn samples_reach_the_reader_of_a_perf_event_array() {
    let attr = || MapCreate {
        map_type: 4,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapCreate::default()
    };
    // bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, fp - 8, 8)
    let output = |map: u32| {
        [
            load(2, 1, 0),
            store(10, -8, 2),
            insn(0x18, 2, 1, 0, map as i32),
            insn(0, 0, 0, 0, 0),
            insn(0x18, 3, 0, 0, -1),
            insn(0, 0, 0, 0, 0),
            mov(4, 10),
            insn(0x07, 4, 0, 0, -8),
            set(5, 8),
            call(25),
            EXIT,
        ]
    };
    for engine in ENGINES {
        let vm = Vm::with_cpus(1).with_engine(engine);
        let map = vm.bpf(&mut Command::MapCreate(attr())).expect("a map");
        let fd = load_program(&vm, kind(ProgType::RawTracepoint), &output(map)).expect("a program");
        let ask = Ask { context: words(&[0x1234]), ..Ask::default() };
        let (nothing, ..) = run(&vm, fd, &ask);
        assert_eq!(nothing, Ok(-Errno::ENOENT.0 as u32));
        let event = vm.perf_event(0, 1).expect("an event");
        let (key, mut value) = ([0; 4], event.to_ne_bytes());
        let element = MapElem {
            map_fd: map,
            key: Some(key[..].into()),
            value: (&mut value[..]).into(),
            ..MapElem::default()
        };
        assert_eq!(vm.bpf(&mut Command::MapUpdate(element)), Ok(0));
        assert_eq!(run(&vm, fd, &ask).0, Ok(0));
        // SAFETY: it is open, and this kernel's.
        let memory = unsafe { vm.mmap(event, 0, 2 * 4096, true) }.expect("its memory");
        assert_eq!(memory.load_u64(1024), Some(24), "how far the writer is");
        let mut record = [0; 24];
        assert!(memory.read(4096, &mut record));
        let expected = [9, 0, 0, 0, 1, 0, 24, 0, 12, 0, 0, 0, 0x34, 0x12];
        assert_eq!(record[..14], expected);
    }
}
