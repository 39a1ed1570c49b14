//! Hooks of an application: what programs at one get and may do, with every engine.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;

use skep::hook::{
    DataEnd, DataStart, Decider, Decision, Failure, Hook, HookBuilder, HookError, Nesting, Verdicts,
};
use skep::isa::assemble;
use skep::isa::encode;
use skep::load::{Reference, Symbol};
use skep::vm::Engine;
use skep::{Errno, HookContext, Object, Vm};

const ENGINES: [Engine; 3] = [Engine::Interpreter, Engine::Guarded, Engine::Auto];

/// Where there is no program, and where one failed.
const NONE: i32 = 1000;
const FAILED: i32 = -1000;
const VERDICTS: Verdicts = Verdicts { without: NONE, failed: FAILED };

#[derive(HookContext, Clone, Debug, PartialEq, Eq, Default)]
#[repr(C)]
struct Probe {
    number: u64,
    small: i32,
    half: u16,
    pair: [u8; 2],
    #[hook(write)]
    out: u64,
    #[hook(write)]
    words: [u32; 4],
    data: DataStart,
    data_end: DataEnd,
}

fn probe() -> Probe {
    Probe {
        number: 0x1122_3344_5566_7788,
        small: -5,
        half: 0xabcd,
        pair: [3, 4],
        out: 7,
        words: [1, 2, 3, 4],
        ..Probe::default()
    }
}

fn object(name: &str) -> Object {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hooks");
    Object::open(folder.join(name)).expect("a committed object")
}

/// The blank object with these instructions; `map NAME` is the address of a map.
fn program(text: &str) -> Object {
    let mut object = object("blank.bpf.o");
    let mut references = Vec::new();
    let mut lines = Vec::new();
    let mut at = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let map = line.split_once(" = map ");
        let line = match map {
            Some((register, name)) => {
                let map = object.maps.iter().position(|map| map.name == name).expect("a map");
                references.push(Reference { at, to: Symbol::Map(map) });
                format!("{register} = 0 ll")
            }
            None => line.to_owned(),
        };
        at += if line.ends_with(" ll") { 2 } else { u32::from(!line.ends_with(':')) };
        lines.push(line);
    }
    let insns = assemble(&lines.join("\n")).unwrap_or_else(|error| panic!("{text}: {error}"));
    let function = object.programs[0].function;
    let function = &mut object.functions[function];
    function.insns = encode(&insns);
    function.references = references;
    function.line_info.clear();
    object
}

fn builder(engine: Engine) -> HookBuilder<Probe> {
    Hook::builder("probe", VERDICTS).kernel(&Vm::with_cpus(2).with_engine(engine))
}

fn installed(builder: HookBuilder<Probe>, text: &str) -> Hook<Probe> {
    let hook = builder.build().expect("a hook");
    hook.replace(&program(text)).unwrap_or_else(|error| panic!("{text}\n{error}"));
    hook
}

fn by_program(value: i32) -> Decision {
    Decision { value, by: Decider::Program }
}

/// Why the verifier refuses a program.
fn refused(builder: HookBuilder<Probe>, text: &str) -> String {
    let hook = builder.build().expect("a hook");
    let error = hook.load(&program(text)).expect_err(text);
    assert_eq!(hook.counts().refused, 1);
    error.to_string()
}

#[test]
fn fields_are_read_and_written_by_every_engine() {
    for engine in ENGINES {
        let hook = installed(
            builder(engine),
            "r6 = *(u64 *)(r1 + 0)
             r7 = *(u32 *)(r1 + 8)
             r8 = *(u16 *)(r1 + 12)
             r9 = *(u8 *)(r1 + 15)
             r2 = *(u16 *)(r1 + 2)
             r6 += r8
             *(u64 *)(r1 + 16) = r6
             r3 = *(u64 *)(r1 + 16)
             *(u32 *)(r1 + 28) = r7
             *(u16 *)(r1 + 32) = r2
             *(u8 *)(r1 + 39) = r9
             r0 = 0
             if r3 != r6 goto +1
             r0 = r9
             exit",
        );
        for _ in 0..3 {
            let mut context = probe();
            assert_eq!(hook.run(&mut context), by_program(4), "{engine:?}");
            let out = 0x1122_3344_5566_7788 + 0xabcd;
            let words = [1, -5i32 as u32, 0x5566, 4 | 4 << 24];
            assert_eq!(context, Probe { out, words, ..probe() }, "{engine:?}");
        }
        let version = hook.version().expect("it is installed");
        assert_eq!(version.counts().returned, 3);
        let expected = if engine == Engine::Interpreter { None } else { Some(()) };
        let native = hook_checks(&hook);
        assert_eq!(native.map(|_| ()), expected, "{engine:?}");
        assert_eq!(native == Some(true), engine == Engine::Guarded, "{engine:?}");
    }
}

/// Whether the program that is installed was compiled with checks; `None` where it is
/// interpreted.
fn hook_checks(hook: &Hook<Probe>) -> Option<bool> {
    let version = hook.version().expect("it is installed");
    version.checks().map(|checks| checks == skep::vm::jit::Checks::Guarded)
}

#[test]
fn what_a_field_does_not_allow_is_refused_as_linux_would() {
    for (text, off, size) in [
        ("*(u64 *)(r1 + 0) = r1\nr0 = 0\nexit", 0, 8),
        ("r2 = 0\n*(u32 *)(r1 + 8) = r2\nr0 = 0\nexit", 8, 4),
        ("r0 = *(u32 *)(r1 + 14)\nexit", 14, 4),
        ("r0 = *(u64 *)(r1 + 8)\nexit", 8, 8),
        ("r0 = *(u64 *)(r1 + 56)\nexit", 56, 8),
        ("r0 = *(u32 *)(r1 + 40)\nr0 = 0\nexit", 40, 4),
        ("r0 = *(u8 *)(r1 - 1)\nexit", -1, 1),
    ] {
        let why = refused(builder(Engine::Auto), text);
        let said = format!("invalid bpf_context access off={off} size={size}");
        let leaks = why.contains("R1 leaks addr into ctx");
        assert!(why.contains(&said) || off == 0 && leaks, "{text}: {why}");
    }
}

#[test]
fn no_address_becomes_a_number() {
    for text in [
        "r0 = r1\nexit",
        "r0 = r10\nexit",
        "*(u64 *)(r1 + 16) = r10\nr0 = 0\nexit",
        "r0 = *(u64 *)(r10 - 8)\nexit",
        "r2 = *(u64 *)(r1 + 40)\nr0 = r2\nexit",
        "r0 = 0\nr10 -= r1\nexit",
    ] {
        refused(builder(Engine::Auto), text);
    }
}

#[test]
fn what_programs_return_is_what_the_hook_says() {
    let returns = || builder(Engine::Auto).returns(-1000, 1000);
    let why = refused(returns(), "r0 = 1001\nexit");
    assert!(why.contains("has smin=1001 smax=1001 should have been in [-1000, 1000]"), "{why}");
    refused(returns(), "r0 = *(u64 *)(r1 + 0)\nexit");
    let hook = installed(returns(), "r0 = *(u8 *)(r1 + 14)\nexit");
    assert_eq!(hook.run(&mut probe()), by_program(3));
    let wrong = Hook::<Probe>::builder("probe", VERDICTS).returns(0, 1).build();
    assert!(matches!(wrong.err(), Some(HookError::Range { value: NONE, .. })));
}

#[test]
fn without_a_program_the_hook_decides() {
    let hook = builder(Engine::Auto).build().expect("a hook");
    let mut context = probe();
    assert_eq!(hook.run(&mut context), Decision { value: NONE, by: Decider::Nobody });
    hook.replace(&program("r0 = 5\nexit")).expect("a program");
    assert_eq!(hook.run(&mut context), by_program(5));
    assert!(hook.uninstall().is_some());
    assert_eq!(hook.run(&mut context), Decision { value: NONE, by: Decider::Nobody });
    assert_eq!(hook.counts().without, 2);
    assert_eq!(context, probe());
}

/// Reads the byte at an index of the data, or gives 255 where there is none.
const BYTE: &str = "r2 = *(u64 *)(r1 + 40)
                    r3 = *(u64 *)(r1 + 48)
                    r0 = 255
                    r4 = r2
                    r4 += 4
                    if r4 > r3 goto +1
                    r0 = *(u8 *)(r2 + 3)
                    exit";

#[test]
fn bytes_of_an_event_are_seen_by_its_run_alone() {
    for engine in ENGINES {
        let hook = installed(builder(engine), BYTE);
        assert_eq!(hook.run_on(&mut probe(), b"abcdef"), by_program(i32::from(b'd')));
        assert_eq!(hook.run_on(&mut probe(), b"abc"), by_program(255));
        assert_eq!(hook.run_on(&mut probe(), b"wxyz"), by_program(i32::from(b'z')));
        assert_eq!(hook.run(&mut probe()), by_program(255), "nothing is left: {engine:?}");
    }
    // Written only where the hook says so.
    let write = BYTE.replace("r0 = *(u8 *)(r2 + 3)", "*(u8 *)(r2 + 3) = 33");
    let why = refused(builder(Engine::Auto), &write);
    assert!(why.contains("cannot write into packet"), "{why}");
    for engine in ENGINES {
        let hook = installed(builder(engine).data_may_be_written(), &write);
        let mut data = *b"abcdef";
        assert_eq!(hook.run_on_mut(&mut probe(), &mut data), by_program(255), "{engine:?}");
        assert_eq!(&data, b"abc!ef");
        assert_eq!(hook.run_on(&mut probe(), &data), by_program(255));
    }
}
