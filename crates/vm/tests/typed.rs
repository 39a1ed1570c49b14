//! What goes by the types of the kernel: values as text, on every engine and on Linux; what
//! iterators print; programs of `struct_ops`.

use std::sync::Arc;

use skep_abi::flags::test_run::OWN;
use skep_abi::{AttachType, Errno, MapType, ProgType};
use skep_btf::{Btf, Kind, Type};
use skep_isa::{Slot, assemble, encode};
use skep_sys::{Command, Fd, Kernel, Linux, MapCreate, MapElem, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// Bytes of a value to show: behind the number of its type and the flags.
const DATA: usize = 256;
/// Bytes of a text.
const TEXT: usize = 3072;
/// Where both are in the map.
const AT_DATA: usize = 16;
const AT_TEXT: usize = AT_DATA + DATA;
const VALUE: usize = AT_TEXT + TEXT;

fn kernel_types() -> Option<Arc<Btf>> {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: no types of the running kernel");
        return None;
    };
    Some(Arc::new(Btf::parse(bytes).expect("the kernel's types")))
}

fn load(
    kernel: &Arc<dyn Kernel>,
    text: &str,
    kind: (ProgType, u32),
    attach_btf_id: u32,
) -> Result<Fd, (Errno, String)> {
    let slots = encode(&assemble(text).unwrap_or_else(|error| panic!("{error}\n{text}")));
    let bytes = Slot::join(&slots);
    let mut log = vec![0u8; 1 << 16];
    let load = ProgLoad {
        prog_type: kind.0 as u32,
        expected_attach_type: kind.1,
        attach_btf_id,
        insn_cnt: slots.len() as u32,
        insns: Some((&bytes[..]).into()),
        license: Some((&b"GPL\0"[..]).into()),
        log_level: 1,
        log_size: log.len() as u32,
        log_buf: log.as_mut_slice().into(),
        ..ProgLoad::default()
    };
    let loaded = Fd::open(kernel, &mut Command::ProgLoad(Box::new(load)));
    loaded.map_err(|errno| (errno, String::from_utf8_lossy(&log).into_owned()))
}

/// A kernel with a program that shows what is in its map.
struct Bed {
    kernel: Arc<dyn Kernel>,
    name: String,
    map: Fd,
    program: Fd,
}

impl Bed {
    fn new(kernel: Arc<dyn Kernel>, name: &str) -> Result<Bed, Errno> {
        let create = MapCreate {
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: VALUE as u32,
            max_entries: 1,
            ..MapCreate::default()
        };
        let map = Fd::open(&kernel, &mut Command::MapCreate(create))?;
        let value = |at: usize| format!("map[fd:{}][0]+{at} ll", map.raw());
        let text = format!(
            "r6 = {}\nr1 = {}\n*(u64 *)(r10 - 16) = r1\nr1 = *(u32 *)(r6 + 0)\n\
             *(u64 *)(r10 - 8) = r1\nr1 = {}\nr2 = {TEXT}\nr3 = r10\nr3 += -16\nr4 = 16\n\
             r5 = *(u64 *)(r6 + 8)\ncall bpf_snprintf_btf\nexit\n",
            value(0),
            value(AT_DATA),
            value(AT_TEXT)
        );
        let program = load(&kernel, &text, (ProgType::RawTracepoint, 0), 0);
        let program = program.map_err(|(errno, log)| {
            println!("{name}: {log}");
            errno
        })?;
        Ok(Bed { name: name.to_owned(), kernel, map, program })
    }

    /// What the helper gave, and the text.
    fn show(&self, type_id: u32, flags: u64, data: &[u8]) -> (i32, String) {
        let mut value = vec![0; VALUE];
        value[..4].copy_from_slice(&type_id.to_ne_bytes());
        value[8..16].copy_from_slice(&flags.to_ne_bytes());
        value[AT_DATA..][..data.len()].copy_from_slice(data);
        let elem = |value: &mut [u8], update: bool| {
            let elem = MapElem {
                map_fd: self.map.raw() as u32,
                key: Some((&[0; 4][..]).into()),
                value: value.into(),
                ..MapElem::default()
            };
            let mut command =
                if update { Command::MapUpdate(elem) } else { Command::MapLookup(elem) };
            self.kernel.bpf(&mut command).expect("an element");
        };
        elem(&mut value, true);
        let run = TestRun { prog_fd: self.program.raw() as u32, ..TestRun::default() };
        let mut command = Command::TestRun(Box::new(run));
        let ran = self.kernel.bpf(&mut command);
        let Command::TestRun(run) = command else { panic!("a test run stays one") };
        ran.unwrap_or_else(|errno| panic!("{}: {errno} {:?}", self.name, run.diagnostic));
        elem(&mut value, false);
        let text = value[AT_TEXT..].split(|&byte| byte == 0).next().unwrap_or_default();
        (run.retval as i32, String::from_utf8_lossy(text).into_owned())
    }
}

/// A text without the numbers that stand for pointers.
fn without_pointers(text: &str) -> String {
    const DIGITS: usize = 16;
    let mut parts = text.split("0x");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        let zero = part.bytes().take(digits).all(|byte| byte == b'0');
        plain += "0x";
        plain += if digits == DIGITS && !zero { &part[digits..] } else { part };
    }
    plain
}

/// Types whose values are shown: those of data, of any size that fits.
fn shown_types(types: &Btf) -> Vec<u32> {
    let fits = |id: &u32| {
        let Ok(of) = types.resolved(*id) else { return false };
        let data = matches!(
            of,
            Type::Int(_) | Type::Struct(_) | Type::Union(_) | Type::Enum(_) | Type::Array(_)
        ) || matches!(of, Type::Enum64(_) | Type::Ptr { .. });
        data && types.size_of(*id).is_ok_and(|size| (1..=DATA as u64).contains(&size))
    };
    let all: Vec<u32> = (1..types.len()).filter(fits).collect();
    let step = all.len() / 1500 + 1;
    all.into_iter().step_by(step).collect()
}

#[test]
fn values_are_shown_as_linux_shows_them() {
    let Some(types) = kernel_types() else { return };
    let engines = [Engine::Interpreter, Engine::Guarded, Engine::Auto];
    let mut beds: Vec<Bed> = engines
        .into_iter()
        .map(|engine| Bed::new(Arc::new(Vm::new().with_engine(engine)), &format!("{engine:?}")))
        .collect::<Result<_, _>>()
        .expect("the embedded kernel");
    match Bed::new(Arc::new(Linux::new()), "Linux") {
        Ok(linux) => beds.push(linux),
        Err(errno) => println!("skipped: Linux: {errno}"),
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut texts = 0;
    for type_id in shown_types(&types) {
        let mut data = [0; DATA];
        let zeros = random.u8(1..8);
        data.fill_with(|| if random.u8(0..8) < zeros { 0 } else { random.u8(..) });
        let flags = random.u64(0..16) & !4;
        let [first, rest @ ..] = &beds[..] else { return };
        let expected = first.show(type_id, flags, &data);
        texts += usize::from(expected.0 > 0);
        for other in rest {
            let given = other.show(type_id, flags, &data);
            let same = given.0 == expected.0
                && without_pointers(&given.1) == without_pointers(&expected.1);
            assert!(
                same,
                "type {type_id}, flags {flags:#x}, {data:x?}\n{}: {given:?}\n{}: {expected:?}",
                other.name, first.name
            );
        }
    }
    assert!(texts > 1000, "{texts} texts");
    for (type_id, flags) in [(0, 0), (1, 16), (types.len() + 5, 0), (u32::MAX, 0)] {
        let given: Vec<i32> = beds.iter().map(|bed| bed.show(type_id, flags, &[]).0).collect();
        assert!(given.iter().all(|one| *one == given[0] && *one < 0), "{type_id}: {given:?}");
    }
}

#[test]
fn an_iterator_of_tasks_prints_the_worlds() {
    let Some(types) = kernel_types() else { return };
    let task = types.find("task_struct", Kind::Struct).expect("tasks");
    let Ok(Type::Struct(task)) = types.type_by_id(task) else { panic!("tasks are structures") };
    let pid = task.members.iter().find(|member| member.name == "pid").expect("an id");
    let text = format!(
        "r6 = *(u64 *)(r1 + 0)\nr7 = *(u64 *)(r1 + 8)\nr8 = map[fd:FORMAT][0]+0 ll\n\
         if r7 == 0 goto done\nr1 = *(u32 *)(r7 + {})\n*(u64 *)(r10 - 16) = r1\n\
         r1 = *(u64 *)(r6 + 16)\n*(u64 *)(r10 - 8) = r1\nr1 = *(u64 *)(r6 + 0)\nr2 = r8\nr3 = 9\n\
         r4 = r10\nr4 += -16\nr5 = 16\ncall bpf_seq_printf\ngoto out\n\
         done:\nr1 = *(u64 *)(r6 + 0)\nr2 = r8\nr2 += 9\nr3 = 4\ncall bpf_seq_write\n\
         out:\nr0 = 0\nexit\n",
        pid.bit_offset / 8
    );
    let target = types.find("bpf_iter_task", Kind::Func).expect("an iterator");
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new().with_engine(engine));
        let create = MapCreate {
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: 16,
            max_entries: 1,
            map_flags: skep_abi::flags::map::RDONLY_PROG,
            ..MapCreate::default()
        };
        let format = Fd::open(&kernel, &mut Command::MapCreate(create)).expect("a map");
        let mut value = *b"%d %llu\n\0end\n\0\0\0";
        let elem = MapElem {
            map_fd: format.raw() as u32,
            key: Some((&[0; 4][..]).into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        kernel.bpf(&mut Command::MapUpdate(elem)).expect("a format");
        let text = text.replace("FORMAT", &format.raw().to_string());
        let kind = (ProgType::Tracing, AttachType::TraceIter as u32);
        let program = load(&kernel, &text, kind, target)
            .unwrap_or_else(|(errno, log)| panic!("{errno}\n{log}"));
        let mut out = vec![0; 4096];
        let run = TestRun {
            prog_fd: program.raw() as u32,
            flags: OWN,
            data_size_out: out.len() as u32,
            data_out: out.as_mut_slice().into(),
            ..TestRun::default()
        };
        let mut command = Command::TestRun(Box::new(run));
        let ran = kernel.bpf(&mut command);
        let Command::TestRun(run) = command else { panic!("a test run stays one") };
        ran.unwrap_or_else(|errno| panic!("{engine:?}: {errno} {:?}", run.diagnostic));
        let len = run.data_size_out as usize;
        drop(run);
        // SAFETY: it asks for a number.
        let thread = unsafe { libc::gettid() } as u32;
        let mut tasks = vec![std::process::id(), thread];
        tasks.sort_unstable();
        tasks.dedup();
        let lines = tasks.iter().enumerate().map(|(number, pid)| format!("{pid} {number}\n"));
        let expected = lines.collect::<String>() + "end\n";
        assert_eq!(String::from_utf8_lossy(&out[..len]), expected, "{engine:?}");
    }
}

#[test]
fn a_program_of_struct_ops_runs_on_the_arguments_of_its_function() {
    let Some(types) = kernel_types() else { return };
    let Some(table) = types.find("bpf_dummy_ops", Kind::Struct) else {
        println!("skipped: the running kernel has no bpf_dummy_ops");
        return;
    };
    /// `test_2`, of a state, an int, a short, a char and a long.
    const MEMBER: u32 = 1;
    let text = "r0 = *(u32 *)(r1 + 8)\nr2 = *(u64 *)(r1 + 32)\nr0 += r2\nexit\n";
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new().with_engine(engine));
        let program = load(&kernel, text, (ProgType::StructOps, MEMBER), table)
            .unwrap_or_else(|(errno, log)| panic!("{errno}\n{log}"));
        let context: Vec<u8> = [0u64, 40, 3, 4, 2].iter().flat_map(|at| at.to_ne_bytes()).collect();
        let run = TestRun {
            prog_fd: program.raw() as u32,
            flags: OWN,
            ctx_size_in: context.len() as u32,
            ctx_in: Some((&context[..]).into()),
            ..TestRun::default()
        };
        let mut command = Command::TestRun(Box::new(run));
        let ran = kernel.bpf(&mut command);
        let Command::TestRun(run) = command else { panic!("a test run stays one") };
        ran.unwrap_or_else(|errno| panic!("{engine:?}: {errno} {:?}", run.diagnostic));
        assert_eq!(run.retval, 42, "{engine:?}");
    }
}
