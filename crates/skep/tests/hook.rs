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
use skep::sys::{Command, Fd, GetById, MapInfo, NextId, ObjectKind, ProgInfo};
use skep::vm::Engine;
use skep::{Errno, HookContext, Kernel, Object, Vm};

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

/// What the helpers of [`helpful`] saw.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// A hook with a helper for each kind of argument.
fn helpful(engine: Engine) -> HookBuilder<Probe> {
    builder(engine)
        .helper("add", |small: u8, number: i64, word: i32| {
            i64::from(small) + number + i64::from(word)
        })
        .helper("next", |number: &u64| number + 1)
        .helper("fill", |words: &mut [u32; 4]| words.iter_mut().for_each(|word| *word *= 2))
        .helper("sum", |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>())
        .helper("upper", |bytes: &mut [u8], _unused: u32| bytes.make_ascii_uppercase())
        .helper("change", |context: &mut Probe, by: u64| {
            context.out += by;
            context.words[3] = 9;
        })
        .helper("length", |context: &Probe| context.half)
        .helper("fails", || Err::<u32, Errno>(Errno::EAGAIN))
        .helper("is_even", |number: u32| number.is_multiple_of(2))
        .helper("panics", |number: u32| -> u32 { panic!("no {number}") })
        .helper("copy", |to: &mut [u8; 4], from: &[u8; 4], bytes: &[u8]| {
            SEEN.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            *to = *from;
        })
}

/// The text with the numbers of the hook's helpers.
fn numbered(hook: &Hook<Probe>, text: &str) -> Object {
    let mut text = text.to_owned();
    for helper in &hook.row().helpers {
        text = text.replace(&format!("call {}\n", helper.name), &format!("call {}\n", helper.id));
    }
    program(&text)
}

fn run_helpful(engine: Engine, text: &str) -> (Decision, Probe) {
    let hook = helpful(engine).build().expect("a hook");
    hook.replace(&numbered(&hook, text)).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let mut context = probe();
    let decision = hook.run_on(&mut context, b"data");
    // Another time it is the same.
    assert_eq!(hook.run_on(&mut probe(), b"data"), decision, "{engine:?}");
    (decision, context)
}

#[test]
fn helpers_get_what_they_take_and_give_what_they_give() {
    for engine in ENGINES {
        let value = |text: &str| run_helpful(engine, text).0;
        // Numbers are cut to their types: 300 of 8 bits is 44.
        let numbers = "r1 = 300\nr2 = -100\nr3 = 0xfffffff6 ll\ncall add\nexit";
        assert_eq!(value(numbers), by_program(44 - 100 - 10), "{engine:?}");
        let stack = "r1 = 41\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -8\ncall next\nexit";
        assert_eq!(value(stack), by_program(42), "{engine:?}");
        let array = "r1 = 3
                     *(u32 *)(r10 - 16) = r1
                     *(u32 *)(r10 - 12) = r1
                     *(u32 *)(r10 - 8) = r1
                     r1 = 10
                     *(u32 *)(r10 - 4) = r1
                     r1 = r10
                     r1 += -16
                     call fill
                     r0 = *(u32 *)(r10 - 4)
                     r1 = *(u32 *)(r10 - 16)
                     r0 += r1
                     exit";
        assert_eq!(value(array), by_program(26), "{engine:?}");
        let packet = "r6 = *(u64 *)(r1 + 40)
                      r2 = *(u64 *)(r1 + 48)
                      r0 = 0
                      r1 = r6
                      r1 += 4
                      if r1 > r2 goto +3
                      r1 = r6
                      r2 = 4
                      call sum
                      exit";
        assert_eq!(value(packet), by_program(b"data".iter().map(|&b| i32::from(b)).sum()));
        let context = "r6 = r1
                       r7 = *(u64 *)(r6 + 16)
                       r2 = 100
                       call change
                       r1 = r6
                       call length
                       r8 = r0
                       r0 = *(u64 *)(r6 + 16)
                       r0 -= r7
                       r1 = *(u32 *)(r6 + 36)
                       r0 += r1
                       if r8 == 0xabcd goto +1
                       r0 = 0
                       exit";
        let (decision, after) = run_helpful(engine, context);
        assert_eq!(decision, by_program(109), "{engine:?}");
        assert_eq!(after, Probe { out: 107, words: [1, 2, 3, 9], ..probe() }, "{engine:?}");
        let errno = -Errno::EAGAIN.0;
        assert_eq!(value("call fails\nexit"), by_program(errno), "{engine:?}");
        assert_eq!(value("r1 = 6\ncall is_even\nexit"), by_program(1), "{engine:?}");
    }
}

/// r6 = the value of element 0 of `values`.
const VALUE: &str = "r1 = 0
                     *(u32 *)(r10 - 4) = r1
                     r2 = r10
                     r2 += -4
                     r1 = map values
                     call 1
                     r6 = r0
                     r0 = 0
                     if r6 == 0 goto end
                     ";

#[test]
fn values_of_maps_are_memory_for_helpers() {
    for engine in ENGINES {
        let text = format!(
            "{VALUE}
             r1 = r6
             r2 = 8
             r3 = 0
             call upper
             r1 = r6
             call next
             end:
             exit"
        );
        let hook = helpful(engine).build().expect("a hook");
        hook.replace(&numbered(&hook, &text)).unwrap_or_else(|error| panic!("{error}"));
        let version = hook.version().expect("it is installed");
        let values = version.skep().typed::<u32, [u8; 8]>("values").expect("a map");
        values.insert(&0, b"abc\0\0\0\0\0").expect("an element");
        let decision = hook.run(&mut probe());
        let value = values.get(&0).expect("a look-up");
        assert_eq!(value, Some(*b"ABC\0\0\0\0\0"), "{engine:?}");
        assert_eq!(decision, by_program(i32::from_le_bytes(*b"ABC\0") + 1), "{engine:?}");
    }
}

#[test]
fn a_wrong_use_of_a_helper_is_refused() {
    let written = |at: &str| format!("r1 = 7\n*(u64 *)(r10 - 8) = r1\n{at}");
    for (text, said) in [
        (
            "r1 = r10\nr2 = 0\nr3 = 0\ncall add\nr0 = 0\nexit".to_owned(),
            "R1 leaks addr into helper",
        ),
        ("r1 = 0\ncall add\nexit".to_owned(), "R2 !read_ok"),
        ("r1 = 5\ncall next\nexit".to_owned(), "R1 type=scalar expected=fp"),
        ("call next\nexit".to_owned(), "R1 type=ctx expected=fp"),
        ("r1 = r10\nr1 += -8\ncall next\nexit".to_owned(), "invalid read from stack R1"),
        (written("r1 = r10\nr1 += -4\ncall next\nexit"), "invalid read from stack"),
        (written("r1 = r10\ncall length\nexit"), "R1 type=fp expected=ctx"),
        ("r1 += 8\ncall length\nexit".to_owned(), "dereference of modified ctx ptr"),
        (written("r1 = r10\nr1 += -8\nr2 = 9\ncall sum\nexit"), "invalid"),
        ("r2 = *(u64 *)(r1 + 0)\nr1 = r10\nr1 += -8\ncall sum\nexit".to_owned(), "R2"),
        ("r2 = 1\ncall change\nr0 += 1\nexit".to_owned(), "R0 !read_ok"),
        ("call 40000\nexit".to_owned(), "invalid func unknown#40000"),
        ("call 33000\nexit".to_owned(), "invalid func unknown#33000"),
        ("call 6\nexit".to_owned(), "program of this type cannot use helper"),
    ] {
        let hook = helpful(Engine::Auto).build().expect("a hook");
        let why = hook.load(&numbered(&hook, &text)).expect_err(&text).to_string();
        assert!(why.contains(said), "{text}\n{why}");
    }
    // Bytes of an event are not written by a helper where programs may not write them.
    let packet = "r6 = *(u64 *)(r1 + 40)
                  r2 = *(u64 *)(r1 + 48)
                  r0 = 0
                  r1 = r6
                  r1 += 4
                  if r1 > r2 goto +4
                  r1 = r6
                  r2 = 4
                  r3 = 0
                  call upper
                  r0 = 0
                  exit";
    let hook = helpful(Engine::Auto).build().expect("a hook");
    let why = hook.load(&numbered(&hook, packet)).expect_err("it writes").to_string();
    assert!(why.contains("helper access to the packet is not allowed"), "{why}");
}

#[test]
fn a_helper_that_panics_fails_the_run_and_nothing_else() {
    for engine in ENGINES {
        let hook = helpful(engine).build().expect("a hook");
        let text = "r6 = *(u8 *)(r1 + 14)
                    r2 = 1
                    *(u64 *)(r1 + 16) = r2
                    r0 = 1
                    if r6 == 0 goto end
                    r1 = r6
                    call panics
                    end:
                    exit";
        hook.replace(&numbered(&hook, text)).unwrap_or_else(|error| panic!("{error}"));
        for round in 1..=3 {
            let mut context = probe();
            let decision = hook.run(&mut context);
            assert_eq!(decision.value, FAILED, "{engine:?}");
            let Decider::Failure(Failure::Trapped(trap)) = decision.by else {
                panic!("{engine:?}: {decision:?}");
            };
            assert!(trap.to_string().contains("no 3"), "{engine:?}: {trap}");
            assert_eq!((trap.pc, context), (6, probe()), "nothing changed: {engine:?}");
            assert_eq!(hook.run(&mut Probe { pair: [0, 0], ..probe() }), by_program(1));
            let counts = hook.version().expect("it is installed").counts();
            assert_eq!((counts.returned, counts.trapped), (round, round));
        }
        assert_eq!(hook.counts().failed, 3);
    }
}

#[test]
fn a_hook_whose_parts_do_not_fit_is_not_made() {
    #[derive(HookContext, Default)]
    #[repr(C)]
    struct Other {
        one: u32,
    }
    let error = |builder: HookBuilder<Probe>| builder.build().err().expect("it is refused");
    let with = builder(Engine::Auto).helper("other", |other: &Other| other.one);
    assert_eq!(
        error(with).to_string(),
        "helper other takes the context Other, and the hook's is Probe"
    );
    for name in ["", "2nd", "a-b"] {
        let with = builder(Engine::Auto).helper(name, || 0u32);
        assert!(matches!(error(with), HookError::HelperName(_)), "{name}");
    }
    let twice = builder(Engine::Auto).helper("one", || 0u32).helper("one", || 1u32);
    assert!(matches!(error(twice), HookError::HelperName(_)));
    for name in ["", "a/b", "a b", "\0"] {
        assert!(matches!(error(Hook::builder(name, VERDICTS)), HookError::Name(_)), "{name}");
    }
    let unverified = Hook::<Probe>::builder("probe", VERDICTS).kernel(&Vm::new().unverified());
    assert!(matches!(error(unverified), HookError::Unverified));
}

#[test]
fn a_run_ends_with_its_budget() {
    for engine in ENGINES {
        let text = "r2 = 0
                    again:
                    r2 += 1
                    *(u64 *)(r1 + 16) = r2
                    if r2 < 100 goto again
                    r0 = 1
                    exit";
        let hook = installed(builder(engine).budget(50), text);
        let mut context = probe();
        let decision = hook.run(&mut context);
        let by = Decider::Failure(Failure::OutOfBudget);
        assert_eq!(decision, Decision { value: FAILED, by }, "{engine:?}");
        assert_eq!(context, probe(), "nothing changed: {engine:?}");
        let counts = hook.version().expect("it is installed").counts();
        assert_eq!((counts.returned, counts.out_of_budget), (0, 1));
        let hook = installed(builder(engine).budget(1000), text);
        assert_eq!(hook.run(&mut context), by_program(1), "{engine:?}");
        assert_eq!(context.out, 100);
    }
}

/// A hook whose helper `again` runs it once more, with one less in `out`.
fn recursive(engine: Engine, nesting: Nesting) -> Arc<Hook<Probe>> {
    let itself: Arc<OnceLock<std::sync::Weak<Hook<Probe>>>> = Arc::default();
    let hook = {
        let itself = Arc::clone(&itself);
        let again = move |context: &Probe| {
            let hook = itself.get().and_then(|hook| hook.upgrade()).expect("it runs");
            let mut inner = Probe { out: context.out - 1, ..context.clone() };
            i64::from(hook.run(&mut inner).value)
        };
        Arc::new(builder(engine).nesting(nesting).helper("again", again).build().expect("a hook"))
    };
    itself.set(Arc::downgrade(&hook)).expect("it is set once");
    let text = "r6 = r1
                r0 = 0
                r1 = *(u64 *)(r6 + 16)
                if r1 == 0 goto end
                r1 = r6
                call again
                r1 = *(u64 *)(r6 + 16)
                r0 += r1
                end:
                exit";
    hook.replace(&numbered(&hook, text)).unwrap_or_else(|error| panic!("{error}"));
    hook
}

#[test]
fn runs_nest_as_the_hook_says() {
    for engine in ENGINES {
        let nested = recursive(engine, Nesting::Allowed);
        let sum = |out: u64| nested.run(&mut Probe { out, ..probe() }).value;
        assert_eq!((sum(0), sum(3), sum(6)), (0, 6, 21), "{engine:?}");
        // The ninth is one too many.
        assert_eq!(sum(8), FAILED + 36, "{engine:?}");
        assert_eq!(nested.counts().failed, 1);
        let flat = recursive(engine, Nesting::Refused);
        assert_eq!(flat.run(&mut Probe { out: 2, ..probe() }), by_program(FAILED + 2));
        assert_eq!(flat.run(&mut Probe { out: 0, ..probe() }), by_program(0), "{engine:?}");
    }
}

#[test]
fn a_program_of_another_hook_does_not_run_at_this_one() {
    let kernel = Vm::with_cpus(2);
    let make =
        || Hook::<Probe>::builder("probe", VERDICTS).kernel(&kernel).build().expect("a hook");
    let (one, other) = (make(), make());
    let version = one.load(&program("r0 = 1\nexit")).expect("a program");
    // As like as two hooks can be.
    let refused = other.install(&version).expect_err("it is another hook's");
    assert!(matches!(refused, HookError::Point(_)), "{refused}");
    assert_eq!(other.run(&mut probe()).by, Decider::Nobody);
    let decision = other.run_version(&version, &mut probe());
    assert_eq!(decision, Decision { value: FAILED, by: Decider::Failure(Failure::OtherHook) });
    assert_eq!(one.run_version(&version, &mut probe()), by_program(1));
    one.install(&version).expect("its own");

    // Nor by its section, nor elsewhere.
    let named = Hook::<Probe>::builder("another", VERDICTS).build().expect("a hook");
    let error = named.load(&object("blank.bpf.o")).expect_err("another section").to_string();
    assert!(error.contains("no program in section \"hook/another\""), "{error}");
    let elsewhere: Arc<dyn Kernel> = Arc::new(Vm::new());
    let error = object("blank.bpf.o").load(&elsewhere).expect_err("a hook's").to_string();
    assert!(error.contains("\"hook/probe\" is for a hook of an application"), "{error}");
}

#[test]
fn programs_of_two_hooks_do_not_call_each_other() {
    let vm = Arc::new(Vm::with_cpus(2));
    let kernel: Arc<dyn Kernel> = vm.clone();
    let make = || Hook::<Probe>::builder("probe", VERDICTS).kernel(&vm).build().expect("a hook");
    let (one, other) = (make(), make());
    let text = "r2 = map jumps
                r3 = 0
                call 12
                r0 = 7
                exit";
    let jumps = one.load(&program(text)).expect("a program");
    one.install(&jumps).expect("its own");
    assert_eq!(one.run(&mut probe()), by_program(7), "there is no target");
    // One of the same hook may stand there, one of the other may not. The kernel's own process
    // sees the objects of both.
    let target = one.load(&program("r0 = 8\nexit")).expect("a program");
    let foreign = other.load(&program("r0 = 9\nexit")).expect("a program");
    let set = |index: u32, version: &skep::hook::Version| {
        let array = open(&kernel, ObjectKind::Map, id_of_map(&jumps, "jumps"));
        let fd = open(&kernel, ObjectKind::Prog, id_of(version));
        let array = skep::Map::from_fd(array).expect("a map");
        array.update(&index.to_ne_bytes(), &fd.raw().to_ne_bytes(), 0)
    };
    assert_eq!(set(0, &foreign), Err(Errno::EINVAL));
    assert_eq!(one.run(&mut probe()), by_program(7));
    assert_eq!(set(0, &target), Ok(()));
    assert_eq!(one.run(&mut probe()), by_program(8));
    assert_eq!(other.run_version(&foreign, &mut probe()), by_program(9));
}

fn id_of(version: &skep::hook::Version) -> u32 {
    let fd = version.skep().programs()[0].fd();
    ProgInfo::query(&**fd.kernel(), fd.raw()).expect("its own").id
}

fn id_of_map(version: &skep::hook::Version, name: &str) -> u32 {
    let fd = version.skep().map(name).expect("a map").fd();
    MapInfo::query(&**fd.kernel(), fd.raw()).expect("its own").id
}

fn open(kernel: &Arc<dyn Kernel>, kind: ObjectKind, id: u32) -> Fd {
    let mut by_id = Command::GetById(kind, GetById { id, ..GetById::default() });
    Fd::open(kernel, &mut by_id).expect("it is there")
}

#[test]
fn versions_run_side_by_side() {
    let hook = builder(Engine::Auto).build().expect("a hook");
    let load = |value: i32| hook.load(&program(&format!("r0 = {value}\nexit"))).expect("a program");
    let versions: Vec<_> = (0..4).map(load).collect();
    hook.install(&versions[0]).expect("its own");
    thread::scope(|scope| {
        for (value, version) in (0..).zip(&versions) {
            let hook = &hook;
            scope.spawn(move || {
                for _ in 0..500 {
                    assert_eq!(hook.run_version(version, &mut probe()), by_program(value));
                    assert_eq!(hook.run(&mut probe()), by_program(0));
                }
            });
        }
    });
    let counts: Vec<u64> = versions.iter().map(|version| version.counts().returned).collect();
    assert_eq!(counts, [2500, 500, 500, 500]);
}

/// Counts a run in both maps, and returns `value`.
fn counting(value: i32) -> String {
    let count = |map: &str| {
        format!(
            "r1 = 0
             *(u32 *)(r10 - 4) = r1
             r2 = r10
             r2 += -4
             r1 = map {map}
             call 1
             r1 = 1
             if r0 == 0 goto +1
             lock *(u64 *)(r0 + 0) += r1
             "
        )
    };
    format!("{}{}r0 = {value}\nexit", count("values"), count("runs"))
}

#[test]
fn replaced_under_load_no_event_is_lost_and_each_is_decided_by_one_version() {
    const THREADS: usize = 4;
    const RUNS: u64 = 20_000;
    for engine in ENGINES {
        let hook = &installed(builder(engine), &counting(0));
        let first = hook.version().expect("it is installed");
        let decided: Mutex<Vec<u64>> = Mutex::new(Vec::new());
        let start = &Barrier::new(THREADS + 1);
        let (versions, replaced) = thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut mine = Vec::<u64>::new();
                    start.wait();
                    let mut last = 0;
                    for _ in 0..RUNS {
                        let decision = hook.run(&mut probe());
                        assert_eq!(decision.by, Decider::Program);
                        // Nobody goes back to an old one.
                        assert!(decision.value >= last, "{decision:?} after {last}");
                        last = decision.value;
                        mine.resize(mine.len().max(last as usize + 1), 0);
                        mine[last as usize] += 1;
                    }
                    let mut all = decided.lock().expect("no panic");
                    let len = all.len().max(mine.len());
                    all.resize(len, 0);
                    all.iter_mut().zip(mine).for_each(|(sum, of)| *sum += of);
                });
            }
            start.wait();
            let mut versions = vec![Arc::clone(&first)];
            let mut replaced = 0;
            for value in 1..=20 {
                versions.push(hook.replace(&program(&counting(value))).expect("a program"));
                // One that is refused changes nothing.
                hook.replace(&program("r0 = r1\nexit")).expect_err("it leaks");
                replaced += 1;
            }
            (versions, replaced)
        });
        let decided = decided.into_inner().expect("no panic");
        let total = THREADS as u64 * RUNS;
        assert_eq!(decided.iter().sum::<u64>(), total, "{engine:?}");
        for (value, version) in versions.iter().enumerate() {
            let by_it = decided.get(value).copied().unwrap_or(0);
            assert_eq!(version.counts().returned, by_it, "{engine:?}: {value}");
        }
        // The maps went from each to the next one.
        let last = versions.last().expect("one").skep();
        let shared = last.typed::<u32, u64>("values").expect("a map").get(&0).expect("a look-up");
        assert_eq!(shared, Some(total), "{engine:?}");
        let runs = last.typed::<u32, skep::PerCpu<u64>>("runs").expect("a map");
        let runs = runs.get(&0).expect("a look-up").expect("an element");
        assert_eq!(runs.iter().sum::<u64>(), total, "{engine:?}");
        assert_eq!(hook.counts().installed, replaced + 1);
        assert_eq!((hook.counts().refused, hook.counts().failed), (replaced, 0));
    }
}

#[test]
fn an_object_that_does_not_fit_leaves_the_program_running() {
    let hook = installed(builder(Engine::Auto), &counting(1));
    let mut unlike = program(&counting(2));
    unlike.map_mut("values").expect("a map").max_entries += 1;
    let error = hook.replace(&unlike).expect_err("another map").to_string();
    assert!(error.contains("values") && error.contains("max_entries"), "{error}");
    let mut section = program(&counting(2));
    section.programs[0].section = "xdp".into();
    assert!(matches!(hook.replace(&section), Err(HookError::NoProgram { .. })));
    hook.replace(&program("r0 = *(u64 *)(r1 + 999)\nexit")).expect_err("no such field");
    assert_eq!(hook.run(&mut probe()), by_program(1));
    assert_eq!(hook.counts().refused, 3);
    let values = hook.version().expect("one").skep().typed::<u32, u64>("values").expect("a map");
    assert_eq!(values.get(&0).expect("a look-up"), Some(1));
    hook.replace(&program(&counting(2))).expect("it fits");
    assert_eq!(hook.run(&mut probe()), by_program(2));
    assert_eq!(values.get(&0).expect("a look-up"), Some(2));
}

#[test]
fn what_was_replaced_goes_when_no_run_has_it_any_more() {
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let wait = {
        let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
        move || {
            entered.wait();
            leave.wait();
        }
    };
    let kernel = Vm::with_cpus(4);
    let hook = Hook::<Probe>::builder("probe", VERDICTS).kernel(&kernel).helper("wait", wait);
    let hook = hook.build().expect("a hook");
    hook.replace(&numbered(&hook, "call wait\nr0 = 1\nexit")).expect("a program");
    assert_eq!(programs(&kernel), 1);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(hook.run(&mut probe()), by_program(1)));
        entered.wait();
        hook.replace(&numbered(&hook, "r0 = 2\nexit")).expect("a program");
        assert_eq!(hook.run(&mut probe()), by_program(2), "the other one still runs");
        assert_eq!(programs(&kernel), 2, "it runs");
        leave.wait();
    });
    assert_eq!(programs(&kernel), 1, "it is gone");
    hook.uninstall();
    assert_eq!(programs(&kernel), 0);
}

/// Programs that a kernel has.
fn programs(kernel: &Vm) -> usize {
    let (mut id, mut count) = (0, 0);
    loop {
        let mut next =
            Command::NextId(ObjectKind::Prog, NextId { start_id: id, ..NextId::default() });
        if kernel.bpf(&mut next).is_err() {
            return count;
        }
        let Command::NextId(_, after) = next else { return count };
        (id, count) = (after.next_id, count + 1);
    }
}

/// The context of the example's server, in another order and with more in it.
mod later {
    use super::{DataEnd, DataStart, HookContext};

    #[derive(HookContext, Default)]
    #[repr(C)]
    pub struct Request {
        pub path: DataStart,
        pub path_end: DataEnd,
        pub method: [u8; 8],
        #[hook(write)]
        pub retry_after: u64,
        #[hook(write)]
        pub status: u16,
        pub port: u16,
        pub client: u32,
        pub time: u64,
    }
}

/// The same with a field less.
mod lacking {
    use super::HookContext;

    #[derive(HookContext, Default)]
    #[repr(C)]
    pub struct Request {
        pub time: u64,
        pub client: u32,
        #[hook(write)]
        pub status: u32,
    }
}

fn example(name: &str) -> Object {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    Object::open(folder.join(name)).expect("a committed object")
}

#[test]
fn an_object_fits_a_context_that_has_changed_as_far_as_names_go() {
    let hook = Hook::<later::Request>::builder("request", Verdicts { without: 1, failed: -1 })
        .helper("note", |request: &later::Request, why: &[u8]| {
            assert_eq!((request.port, why), (80, &b"closed"[..]));
        })
        .helper("is_trusted", |client: u32| client == 9)
        .build()
        .expect("a hook");
    hook.replace(&example("request_paths.bpf.o")).expect("it is relocated");
    let request = |client: u32| later::Request { client, port: 80, ..Default::default() };
    let ask = |request: &mut later::Request, path: &str| {
        let decision = hook.run_on(request, path.as_bytes());
        assert_eq!(decision.by, Decider::Program);
        (decision.value, request.status, request.retry_after)
    };
    assert_eq!(ask(&mut request(9), "/admin"), (1, 0, 0));
    assert_eq!(ask(&mut request(1), "/admin"), (0, 403, 0));
    for _ in 0..8 {
        assert_eq!(ask(&mut request(1), "/index"), (1, 0, 0));
    }
    assert_eq!(ask(&mut request(1), "/index"), (0, 429, 1));
    assert_eq!(ask(&mut request(2), "/"), (1, 0, 0), "another client");
    let mut second_later = later::Request { time: 1_000_000_000, ..request(1) };
    assert_eq!(ask(&mut second_later, "/"), (1, 0, 0));

    let lacking = Hook::<lacking::Request>::builder("request", Verdicts { without: 1, failed: -1 })
        .helper("note", |_: &lacking::Request, _: &[u8]| ())
        .helper("is_trusted", |client: u32| client == 9);
    let error = lacking.build().expect("a hook").replace(&example("request_paths.bpf.o"));
    let error = error.expect_err("a field is missing").to_string();
    assert!(error.contains("path"), "{error}");

    let none = Hook::<later::Request>::builder("request", Verdicts { without: 1, failed: -1 });
    let error = none.build().expect("a hook").replace(&example("request_rates.bpf.o"));
    let error = error.expect_err("a helper is missing").to_string();
    assert!(error.contains("is_trusted"), "{error}");
    let other = Hook::<later::Request>::builder("request", Verdicts { without: 1, failed: -1 })
        .helper("is_trusted", |client: &[u8; 4]| client[0] == 9);
    let error = other.build().expect("a hook").replace(&example("request_rates.bpf.o"));
    let error = error.expect_err("it takes something else").to_string();
    assert!(error.contains("is_trusted"), "{error}");
}

#[test]
fn a_hooks_row_promises_nothing_that_its_functions_could_break() {
    use skep::abi::helper;
    use skep::abi::hook::Shape;
    use skep::abi::{
        Arg, ArgKind, Effects, Helper, HookRow, PacketAccess, Proto, Ret, RetKind, TypeFlags, Yield,
    };
    use skep::vm::{Arguments, HelperEnd, HookDef};

    const fn arg(kind: ArgKind, flags: TypeFlags) -> Arg {
        Arg { kind, flags }
    }
    const NONE: TypeFlags = TypeFlags::empty();
    const READ: TypeFlags = TypeFlags::READ_ONLY;
    const NUMBER: Ret = Ret { kind: RetKind::Integer, flags: NONE };
    const RECORD: Ret = Ret { kind: RetKind::RingbufRecord, flags: NONE };
    const GOOD: Proto = helper::proto(&[arg(ArgKind::FixedMem(8), READ)], NUMBER);
    const UNREAD: Proto = helper::proto(&[arg(ArgKind::FixedMem(8), TypeFlags::UNINIT)], NUMBER);
    const SIZES: Proto = helper::proto(&[arg(ArgKind::Mem, READ)], NUMBER);
    const POINTER: Proto = helper::proto(&[arg(ArgKind::AllocSize, NONE)], RECORD);
    const SOCKET: Proto = helper::proto(&[arg(ArgKind::Socket, NONE)], NUMBER);
    let shape = Shape { words: 1, changes_context: false };
    let made = |helper: Helper| {
        let row = HookRow {
            name: "probe".into(),
            context: <Probe as HookContext>::ROW,
            packet: PacketAccess::None,
            returns: None,
            helpers: vec![helper],
        };
        let function = |_: &mut dyn Arguments| -> Result<u64, HelperEnd> { Ok(0) };
        HookDef::new(row, vec![Box::new(function)]).is_some()
    };
    let of = |protos| Helper::of_hook(shape.number(0), "one", protos);
    assert!(made(of(&[GOOD])));
    for (index, bad) in [
        of(&[UNREAD]),
        of(&[SIZES]),
        of(&[POINTER]),
        of(&[SOCKET]),
        of(&[]),
        of(&[GOOD, GOOD]),
        Helper { id: 1, ..of(&[GOOD]) },
        Helper { id: shape.number(1), ..of(&[GOOD]) },
        Helper { id: Shape { words: 2, ..shape }.number(0), ..of(&[GOOD]) },
        Helper { yields: Yield::Cpu, ..of(&[GOOD]) },
        Helper { effects: Effects::ACQUIRES, ..of(&[GOOD]) },
    ]
    .into_iter()
    .enumerate()
    {
        assert!(!made(bad), "{index}");
    }
}

#[test]
fn a_function_gets_no_more_of_a_program_than_its_row_says() {
    use skep::abi::helper;
    use skep::abi::hook::Shape;
    use skep::abi::{Arg, ArgKind, Helper, HookRow, PacketAccess, Proto, Ret, RetKind, TypeFlags};
    use skep::vm::hooks::{HookPoint, Occasion, PointFailure};
    use skep::vm::{Arguments, HelperEnd, HookDef};

    const ARGS: &[Arg] = &[
        Arg { kind: ArgKind::FixedMem(8), flags: TypeFlags::READ_ONLY },
        Arg { kind: ArgKind::Context, flags: TypeFlags::empty() },
    ];
    const PROTO: Proto =
        helper::proto(ARGS, Ret { kind: RetKind::Integer, flags: TypeFlags::empty() });
    type Attack = fn(&mut dyn Arguments) -> Result<u64, HelperEnd>;
    let attacks: [(Attack, Option<&str>); 8] = [
        (|call| call.read(0, &mut [0; 8]).map(|()| 1), None),
        (|call| call.read(0, &mut [0; 9]).map(|()| 1), Some("has fewer bytes")),
        (|call| call.write(0, &[0; 8]).map(|()| 1), Some("is not to be written")),
        (|call| call.number(0), Some("is no number")),
        (|call| call.number(1), Some("is no number")),
        (|call| call.read(1, &mut [0; 1]).map(|()| 1), Some("is no memory")),
        (|call| call.write(2, &[0; 1]).map(|()| 1), Some("is no memory")),
        (|call| call.number(usize::MAX), Some("is no number")),
    ];
    struct Nothing;
    impl Occasion for Nothing {
        fn fill(&self, _fields: &mut [u8]) {}
        fn take(&mut self, _fields: &[u8], _data: &[u8]) {}
    }
    let number = Shape { words: 2, changes_context: false }.number(0);
    let text =
        format!("r2 = r1\nr1 = 7\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -8\ncall {number}\nexit");
    for engine in ENGINES {
        for (attack, said) in attacks {
            let row = HookRow {
                name: "probe".into(),
                context: <Probe as HookContext>::ROW,
                packet: PacketAccess::None,
                returns: None,
                helpers: vec![Helper::of_hook(number, "attack", &[PROTO])],
            };
            let def = Arc::new(HookDef::new(row, vec![Box::new(attack)]).expect("a sound row"));
            let vm = Arc::new(Vm::with_cpus(1).with_engine(engine).for_hook(&def));
            let mut object = program(&text);
            object.programs[0].prog_type = Some(skep::abi::ProgType::Unspec);
            let loaded = object.load(&(vm.clone() as Arc<dyn Kernel>)).expect("it is verified");
            let point = HookPoint::new(&vm, false).expect("it is for a hook");
            let ready = point.program(loaded.programs()[0].fd().raw()).expect("its own");
            point.exchange(Some(Arc::new(ready))).expect("its own");
            match (point.run(&mut Nothing), said) {
                (Ok(Some(1)), None) => {}
                (Err(PointFailure::Trapped(trap)), Some(said)) => {
                    let text = trap.to_string();
                    assert!(text.contains(said), "{engine:?}: {text}");
                }
                (ran, said) => panic!("{engine:?}: {ran:?}, not {said:?}"),
            }
        }
    }
}

#[test]
fn threads_that_install_remove_run_and_drop_do_not_disturb_each_other() {
    const ROUNDS: i32 = 60;
    let kernel = Vm::with_cpus(2);
    let hook = &Hook::<Probe>::builder("probe", VERDICTS).kernel(&kernel).build().expect("a hook");
    let load = |value: i32| hook.load(&program(&counting(value))).expect("a program");
    thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    match (round + thread) % 3 {
                        0 => drop(hook.uninstall()),
                        1 => drop(hook.install(&load(round)).expect("its own")),
                        _ => drop(hook.replace(&program(&counting(round))).expect("it fits")),
                    }
                }
            });
        }
        for _ in 0..3 {
            scope.spawn(move || {
                // More threads than vCPUs, with a version of their own and whichever there is.
                let mine = load(ROUNDS);
                for _ in 0..3000 {
                    let decision = hook.run(&mut probe());
                    let fits = match decision.by {
                        Decider::Program => (0..ROUNDS).contains(&decision.value),
                        Decider::Nobody => decision.value == NONE,
                        Decider::Failure(_) => false,
                    };
                    assert!(fits, "{decision:?}");
                    assert_eq!(hook.run_version(&mine, &mut probe()), by_program(ROUNDS));
                }
                assert_eq!(mine.counts().returned, 3000);
            });
        }
    });
    assert_eq!(hook.counts().failed, 0);
    hook.uninstall();
    assert_eq!(programs(&kernel), 0, "nothing is left");
}
