//! Formats of `bpf_snprintf`, `bpf_trace_printk` and `bpf_trace_vprintk`: what they give, and
//! the bytes that they leave in a buffer, are the same on every engine and on Linux. Where a
//! pointer is printed, only the shape is: neither kernel shows addresses, and ours not even
//! where `%px` asks for one.

use std::sync::{Arc, Mutex};

use skep_abi::Errno;
use skep_sys::{Command, Fd, Kernel, Linux, MapCreate, MapElem, MapFreeze, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// Bytes of the buffer, and of the map that it is in behind the result.
const ROOM: usize = 120;
/// What the buffer is filled with before.
const FILL: u8 = 0xee;
/// What pointers lead to: a string, behind it addresses.
const DATA: &[u8; 48] = b"skep \xc3\xa9 bee\0\0\0\0\0\x7f\0\0\x01\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\xab\xcd\0\0\0\0\0\0\0\0\0\0\0\0";
const ADDRESS: i32 = 16;
const ADDRESS6: i32 = 20;

const SNPRINTF: i32 = 165;
const PRINTK: i32 = 6;
const VPRINTK: i32 = 177;

/// An argument.
#[derive(Clone, Copy, Debug)]
enum Arg {
    Number(u64),
    /// An address in the map with the data.
    Data(i32),
    /// The top of the stack.
    Stack,
}
use Arg::{Data, Number, Stack};

/// A call.
#[derive(Clone, Debug)]
struct Call {
    helper: i32,
    format: Vec<u8>,
    args: Vec<Arg>,
    /// Bytes of the arguments, where they are others than there are.
    bytes: Option<i32>,
    /// Size of the buffer; `None` for a null one.
    size: Option<i32>,
}

fn snprintf(format: &[u8], args: &[Arg]) -> Call {
    let (format, args) = (format.to_vec(), args.to_vec());
    Call { helper: SNPRINTF, format, args, bytes: None, size: Some(ROOM as i32) }
}

/// What a call gave: the errno of the load, or its result and the buffer.
type Answer = Result<(i64, Vec<u8>), Errno>;

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let mut bytes = [code, src << 4 | dst, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&off.to_ne_bytes());
    bytes[4..].copy_from_slice(&imm.to_ne_bytes());
    bytes
}

/// The address of a byte of a map's value, or a number.
fn wide(dst: u8, src: u8, low: u32, high: u32) -> [[u8; 8]; 2] {
    [insn(0x18, dst, src, 0, low as i32), insn(0, 0, 0, 0, high as i32)]
}

/// A kernel with the maps of a call.
struct Bed {
    name: String,
    kernel: Arc<dyn Kernel>,
    printed: Option<Arc<Mutex<String>>>,
}

impl Bed {
    fn vm(engine: Engine) -> Bed {
        let vm = Vm::with_cpus(1).with_engine(engine);
        let printed = Arc::new(Mutex::new(String::new()));
        let into = printed.clone();
        vm.environment().set_printer(move |text| text.clone_into(&mut into.lock().unwrap()));
        Bed { name: format!("{engine:?}"), kernel: Arc::new(vm), printed: Some(printed) }
    }

    fn array(&self, value: &[u8], map_flags: u32) -> Result<Fd, Errno> {
        const ARRAY: u32 = 2;
        let create = MapCreate {
            map_type: ARRAY,
            key_size: 4,
            value_size: value.len() as u32,
            max_entries: 1,
            map_flags,
            ..MapCreate::default()
        };
        let map = Fd::open(&self.kernel, &mut Command::MapCreate(create))?;
        let map_fd = map.raw() as u32;
        let (key, mut value) = ([0; 4], value.to_vec());
        let elem = MapElem {
            map_fd,
            key: Some(key[..].into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        self.kernel.bpf(&mut Command::MapUpdate(elem))?;
        Ok(map)
    }

    fn answer(&self, call: &Call) -> Answer {
        const RDONLY_PROG: u32 = 1 << 7;
        let out = self.array(&[FILL; ROOM + 8], 0)?;
        let data = self.array(DATA, 0)?;
        let format = self.array(&call.format, RDONLY_PROG)?;
        let freeze = MapFreeze { map_fd: format.raw() as u32, ..MapFreeze::default() };
        self.kernel.bpf(&mut Command::MapFreeze(freeze))?;
        let value = |dst: u8, map: &Fd, at: i32| wide(dst, 2, map.raw() as u32, at as u32);
        let mut code: Vec<[u8; 8]> = Vec::new();
        let list = -8 * call.args.len().max(14) as i32;
        for at in 0..call.args.len().max(14) {
            match call.args.get(at).copied().unwrap_or(Number(0)) {
                Number(number) => code.extend(wide(1, 0, number as u32, (number >> 32) as u32)),
                Data(at) => code.extend(value(1, &data, at)),
                Stack => code.push(insn(0xbf, 1, 10, 0, 0)),
            }
            code.push(insn(0x7b, 10, 1, (list + 8 * at as i32) as i16, 0));
        }
        let bytes = call.bytes.unwrap_or(8 * call.args.len() as i32);
        match call.helper {
            SNPRINTF => {
                match call.size {
                    Some(size) => {
                        code.extend(value(1, &out, 8));
                        code.push(insn(0xb7, 2, 0, 0, size));
                    }
                    None => code.extend([insn(0xb7, 1, 0, 0, 0), insn(0xb7, 2, 0, 0, 0)]),
                }
                code.extend(value(3, &format, 0));
                code.extend([insn(0xbf, 4, 10, 0, 0), insn(0x07, 4, 0, 0, list)]);
                code.push(insn(0xb7, 5, 0, 0, bytes));
            }
            _ => {
                code.extend(value(1, &format, 0));
                code.push(insn(0xb7, 2, 0, 0, call.format.len() as i32));
                if call.helper == VPRINTK {
                    code.extend([insn(0xbf, 3, 10, 0, 0), insn(0x07, 3, 0, 0, list)]);
                    code.push(insn(0xb7, 4, 0, 0, bytes));
                } else {
                    let loads =
                        (0..3).map(|at| insn(0x79, 3 + at, 10, list as i16 + 8 * i16::from(at), 0));
                    code.extend(loads);
                }
            }
        }
        code.push(insn(0x85, 0, 0, 0, call.helper));
        code.extend(value(1, &out, 0));
        code.extend([insn(0x7b, 1, 0, 0, 0), insn(0xb7, 0, 0, 0, 2), insn(0x95, 0, 0, 0, 0)]);
        let load = ProgLoad {
            prog_type: 6,
            insn_cnt: code.len() as u32,
            insns: Some(code.concat().into()),
            license: Some(b"GPL\0"[..].into()),
            ..ProgLoad::default()
        };
        let program = Fd::open(&self.kernel, &mut Command::ProgLoad(Box::new(load)))?;
        let packet = [0u8; 64];
        let run = TestRun {
            prog_fd: program.raw() as u32,
            data_size_in: 64,
            data_in: Some(packet[..].into()),
            ..TestRun::default()
        };
        let mut run = Command::TestRun(Box::new(run));
        if let Err(errno) = self.kernel.bpf(&mut run) {
            panic!("{}: {errno} of {call:?}", self.name);
        }
        let (key, mut value) = ([0; 4], vec![0; ROOM + 8]);
        let elem = MapElem {
            map_fd: out.raw() as u32,
            key: Some(key[..].into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        self.kernel.bpf(&mut Command::MapLookup(elem)).unwrap();
        let result = i64::from_ne_bytes(*value.first_chunk().unwrap());
        Ok((result, value.split_off(8)))
    }
}

fn engines() -> [Bed; 3] {
    [Engine::Interpreter, Engine::Guarded, Engine::Auto].map(Bed::vm)
}

fn linux() -> Option<Bed> {
    let bed = Bed { name: "Linux".into(), kernel: Arc::new(Linux::new()), printed: None };
    match bed.array(&[0; 8], 0) {
        Ok(_) => Some(bed),
        Err(errno) => {
            println!("skipped: bpf(2) is not permitted ({errno})");
            None
        }
    }
}

/// Compares all kernels, but for what `mask` hides.
fn compare(calls: &[Call], mask: impl Fn(Answer) -> Answer) {
    let (engines, linux) = (engines(), linux());
    for call in calls {
        let first = engines[0].answer(call);
        let text = String::from_utf8_lossy(&call.format).into_owned();
        for bed in engines[1..].iter().chain(&linux) {
            let other = bed.answer(call);
            assert_eq!(mask(first.clone()), mask(other), "{}: {text:?}, {call:?}", bed.name);
        }
    }
}

fn zero_ended(format: &str) -> Vec<u8> {
    [format.as_bytes(), b"\0"].concat()
}

#[test]
fn numbers_and_strings_are_formatted_as_on_linux() {
    let numbers = [0, 1, 42, u64::MAX, 1 << 31, 1 << 63, 0x1234_5678_9abc_def0];
    let mut calls = Vec::new();
    for conversion in ["d", "i", "u", "x", "X", "ld", "li", "lu", "lx", "lX", "lld", "llu", "llx"] {
        for flags in ["", "5", "-12", "012", "+", " ", "+012", "-+9", "-09", " 20", "0", "00020"] {
            let format = zero_ended(&format!("<%{flags}{conversion}|%{conversion}>"));
            let args = [numbers[calls.len() % 7], numbers[calls.len() / 7 % 7]].map(Number);
            calls.push(snprintf(&format, &args));
        }
    }
    for format in
        ["%s", "[%20s]", "[%-20s]", "[%020s]", "%pks", "[%20pks]", "%pus", "%s%s", "%s %pks"]
    {
        for pointer in [Data(0), Data(5), Data(11), Number(0), Number(0x1234), Number(u64::MAX)] {
            calls.push(snprintf(&zero_ended(format), &[pointer, Data(2)]));
        }
    }
    for format in ["%c%c", "[%5c]", "[%-5c]", "[%05c]%d", "%c%d%c%ld", "%c%x%c%c"] {
        calls.push(snprintf(
            &zero_ended(format),
            &[Number(65), Number(0x141), Number(66), Number(67)],
        ));
    }
    compare(&calls, |answer| answer);
}

#[test]
fn network_addresses_are_formatted_as_on_linux() {
    let mut calls = Vec::new();
    for format in ["%pI4", "%pi4", "[%20pI4]", "%pI4abc d", "%pI4%pI4"] {
        for pointer in [Data(ADDRESS), Number(0), Number(0x10), Number(u64::MAX - 2)] {
            calls.push(snprintf(&zero_ended(format), &[pointer, Data(ADDRESS)]));
        }
    }
    for format in ["%pI6", "%pi6", "[%50pI6]", "%pI6c", "%pi6 %pI6"] {
        for pointer in [Data(ADDRESS6), Number(0), Number(0x10)] {
            calls.push(snprintf(&zero_ended(format), &[pointer, Data(ADDRESS6)]));
        }
    }
    compare(&calls, |answer| answer);
}

#[test]
fn pointers_have_the_shape_of_linux_and_are_no_addresses() {
    // What is no address is shown by both.
    let none = [0, u64::MAX, -1i64 as u64, -4095i64 as u64].map(Number);
    let mut calls = Vec::new();
    for format in
        ["%p", "%pK", "%px", "[%20p]", "[%-20p]", "[%020p]", "[%-p]", "[%5px]", "[%p,]", "%pKabc-"]
    {
        calls.extend(none.map(|arg| snprintf(&zero_ended(format), &[arg])));
    }
    for format in ["%ps", "%pS", "%pB", "[%20ps]", "[%-20pS]", "[%20pB]", "%pSb", "%psR."] {
        calls.extend(none.map(|arg| snprintf(&zero_ended(format), &[arg])));
    }
    compare(&calls, |answer| answer);
    // Of addresses only the shape.
    let mut calls = Vec::new();
    for format in ["%p", "%pK", "%px", "<%p>", "%p %pK."] {
        for pointer in [Data(0), Stack, Number(4096)] {
            calls.push(snprintf(&zero_ended(format), &[pointer, Data(0)]));
        }
    }
    compare(&calls, |answer| {
        let hidden = |byte: &u8| if byte.is_ascii_hexdigit() { b'h' } else { *byte };
        answer.map(|(result, buffer)| (result, buffer.iter().map(hidden).collect()))
    });
    // The same pointer shows the same, others another; and no address is told.
    for bed in engines() {
        let shown = |format: &str, arg: Arg| {
            let (_, buffer) = bed.answer(&snprintf(&zero_ended(format), &[arg, arg])).unwrap();
            let text = buffer.split(|&byte| byte == 0).next().unwrap().to_vec();
            String::from_utf8(text).unwrap()
        };
        let both = shown("%p %px", Number(0x7fff_dead_0000));
        let (hashed, raw) = both.split_once(' ').unwrap();
        assert_eq!(hashed, raw, "{}", bed.name);
        assert!(hashed.starts_with("00000000") && hashed.len() == 16, "{hashed}");
        assert_ne!(shown("%p", Number(0x7fff_dead_0000)), shown("%p", Number(0x7fff_dead_0008)));
        for format in ["%p", "%pK", "%px", "%ps", "%pS", "%pB"] {
            let text = shown(format, Number(0x7fff_dead_0000));
            assert!(!text.contains("7fffdead"), "{}: {format} shows {text}", bed.name);
        }
    }
}

#[test]
fn buffers_are_filled_as_far_as_they_go() {
    let mut calls = Vec::new();
    for format in ["plain text", "%d and %s", "%s%s%d", "%20d|%c|%lx", "%pI4 %d %d", "100%%"] {
        for size in [0, 1, 2, 3, 4, 5, 8, 11, 12, 13, 64] {
            let args = [Data(ADDRESS), Data(0), Number(7)];
            let args =
                if format.starts_with("%p") { &args } else { &[Data(0), Data(1), Number(7)] };
            let args =
                if format.starts_with("%d") { &[Number(5), Data(0), Number(7)] } else { args };
            let args =
                if format.starts_with("%2") { &[Number(9), Number(65), Number(7)] } else { args };
            let args =
                if format.starts_with("%pI4") { &[args[0], Number(3), Number(4)] } else { args };
            let call = snprintf(&zero_ended(format), args);
            calls.push(Call { size: Some(size), ..call });
        }
        let call = snprintf(&zero_ended(format), &[Number(0); 3]);
        calls.push(Call { size: None, ..call });
    }
    // Wider than any buffer.
    for width in [1000u64, 70_000, 8_388_607, 8_388_608, 16_777_300, 1 << 31, (1 << 32) + 5] {
        let format = zero_ended(&format!("%{width}d"));
        calls.push(snprintf(&format, &[Number(1)]));
        calls.push(Call { size: None, ..snprintf(&format, &[Number(1)]) });
    }
    compare(&calls, |answer| answer);
}

#[test]
fn what_linux_refuses_is_refused() {
    let mut calls = Vec::new();
    for format in [
        "%",
        "%%",
        "%%%",
        "%a",
        "%f",
        "%e",
        "%n",
        "%o",
        "%#x",
        "%.5d",
        "%.*s",
        "%*d",
        "%hd",
        "%hhx",
        "%zd",
        "%lc",
        "%ls",
        "%lllx",
        "%l",
        "%10",
        "%-",
        "%pk",
        "%pu",
        "%pks1",
        "%pusx",
        "%pksa",
        "%s1",
        "%sx",
        "%s_",
        "%s,",
        "%s%%",
        "%p%",
        "%p%%",
        "%p%d",
        "%pI",
        "%pI5",
        "%pi",
        "%pI4",
        "%pM",
        "%pU",
        "%pE",
        "%pa",
        "%pd",
        "%pV",
        "%pe",
        "%pN",
        "%pC",
        "%pt",
        "%pf",
        "%p1",
        "%pKs",
        "%pBB",
        "%pB1",
        "\x01",
        "\x7f",
        "\t\n",
        "\u{e9}",
        "%\u{e9}",
        "%d\u{2192}",
        "%p\u{2192}",
        "%s\u{2192}",
        "%c\u{2192}",
    ] {
        for helper in [SNPRINTF, PRINTK, VPRINTK] {
            // Nothing is printed that the kernels differ in.
            let args = vec![Number(0), Number(0), Number(0)];
            calls.push(Call { helper, args, ..snprintf(&zero_ended(format), &[]) });
        }
    }
    for (format, args) in
        [("%d", 0), ("%d %d", 1), ("%d%d%d%d", 4), ("%d%d%d%d", 3), ("x", 12), ("x", 13), ("x", 0)]
    {
        for helper in [SNPRINTF, PRINTK, VPRINTK] {
            let args = vec![Number(1); args];
            calls.push(Call { helper, args, ..snprintf(&zero_ended(format), &[]) });
        }
    }
    for bytes in [1, 7, 9, 96, 104] {
        for helper in [SNPRINTF, VPRINTK] {
            let args = vec![Number(1); 2];
            let call = Call { helper, args, ..snprintf(b"%d\0", &[]) };
            calls.push(Call { bytes: Some(bytes), ..call });
        }
    }
    // No zero at the end.
    for helper in [SNPRINTF, PRINTK, VPRINTK] {
        calls.push(Call { helper, ..snprintf(b"text", &[]) });
    }
    // More than the 512 bytes that arguments are copied to.
    let long = |count: usize| format!("{}%s%d%c%pI4", "%s".repeat(count));
    for count in [1, 2, 8] {
        let mut args = vec![Data(0); count + 4];
        args[count + 1] = Number(1);
        args[count + 2] = Number(65);
        calls.push(snprintf(&zero_ended(&long(count)), &args));
    }
    compare(&calls, |answer| answer);
}

#[test]
fn lines_are_printed_as_they_are_formatted() {
    let line =
        |helper, format: &str, args: &[Arg]| Call { helper, ..snprintf(&zero_ended(format), args) };
    let calls = [
        (line(PRINTK, "a %d b %s c", &[Number(5), Data(0), Number(0)]), "a 5 b skep \u{e9} bee c"),
        (line(PRINTK, "%pI4 %pks", &[Data(ADDRESS), Data(5), Number(0)]), "127.0.0.1 \u{e9} bee"),
        (
            line(VPRINTK, "%d %d %d %d %s", &[Number(1), Number(2), Number(3), Number(4), Data(0)]),
            "1 2 3 4 skep \u{e9} bee",
        ),
        (line(VPRINTK, "%pus%s|", &[Data(0), Number(0)]), "|"),
    ];
    for (call, text) in &calls {
        for bed in engines() {
            let (result, _) = bed.answer(call).unwrap();
            let printed = bed.printed.unwrap().lock().unwrap().clone();
            assert_eq!((printed.as_str(), result), (*text, text.len() as i64), "{}", bed.name);
        }
    }
    let calls = calls.map(|(call, _)| call);
    compare(&calls, |answer| answer);
}
