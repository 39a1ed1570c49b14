//! Our text against LLVM 19's: what `llvm-objdump` prints is what we print, and what
//! `llvm-mc` makes of a text is what we make of it. Skipped, saying so, where the
//! tools are not installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use arbtest::arbitrary::Unstructured;
use skep_isa::arbitrary::Program;
use skep_isa::{
    AtomicOp, Callee, ImmKind, Insn, Size, Slot, SlotText, Style, assemble, assemble_unit, decode,
    disassemble, encode,
};

/// One line of `llvm-objdump -d`.
struct Line {
    slots: Vec<Slot>,
    text: String,
}

/// Runs a tool of LLVM 19; `None`, with a note, where it is not installed.
fn llvm(tool: &str, args: &[&str]) -> Option<String> {
    let tool = format!("{tool}-19");
    let Ok(output) = Command::new(&tool).args(args).output() else {
        println!("skipped: {tool} is not installed");
        return None;
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {args:?}: {error}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn objdump(object: &Path, mcpu: Option<&str>) -> Option<Vec<Line>> {
    let object = object.to_str().unwrap();
    let mcpu = mcpu.map(|version| format!("--mcpu={version}"));
    let mut args = vec!["-d", object];
    args.extend(mcpu.as_deref());
    let text = llvm("llvm-objdump", &args)?;
    let parsed = text.lines().filter_map(|line| {
        let (index, rest) = line.split_once(":\t")?;
        index.trim().parse::<u32>().ok()?;
        let (bytes, text) = rest.split_once('\t')?;
        let bytes: Vec<u8> =
            bytes.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let named = text.ends_with('>').then(|| text.rsplit_once(" <")).flatten();
        let text = named.map_or(text, |(text, _)| text);
        Some(Line { slots: Slot::split(&bytes)?, text: text.into() })
    });
    Some(parsed.collect())
}

/// A file in cargo's directory for tests.
fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Assembles with `llvm-mc` into an object.
fn llvm_object(name: &str, source: &str) -> Option<PathBuf> {
    let (input, output) = (temporary(&format!("{name}.s")), temporary(&format!("{name}.o")));
    std::fs::write(&input, format!(".text\n{source}")).unwrap();
    let (input, object) = (input.to_str().unwrap(), output.to_str().unwrap());
    llvm("llvm-mc", &["-triple=bpfel", "-mcpu=v4", "-filetype=obj", "-o", object, input])?;
    Some(output)
}

/// Whether LLVM's text says less than the instruction, or LLVM 19 takes it for
/// another one: the places where ours differs.
fn llvm_loses(insn: &Insn) -> bool {
    match *insn {
        Insn::Call(callee) => !matches!(callee, Callee::Helper(id) if id < 1 << 31),
        Insn::LoadImm64 { imm, .. } => imm.kind != ImmKind::Const,
        Insn::LoadInd { offset, .. } => offset != 0,
        Insn::LoadAcquire { .. } | Insn::StoreRelease { .. } => true,
        _ => false,
    }
}

fn random_insns(count: usize) -> Vec<Insn> {
    let mut numbers = fastrand::Rng::with_seed(1);
    let bytes: Vec<u8> = std::iter::repeat_with(|| numbers.u8(..)).take(count * 64).collect();
    let mut source = Unstructured::new(&bytes);
    let mut insns = Vec::new();
    while insns.len() < count {
        let Program(program) = source.arbitrary().unwrap();
        insns.extend(program);
    }
    insns
}

/// The instructions one by one, with their second slots.
fn each(insns: &[Insn]) -> impl Iterator<Item = &[Insn]> {
    insns.chunk_by(|_, next| *next == Insn::Hole)
}

#[test]
fn debians_objects_print_as_llvm_prints_them_and_assemble_back() {
    let Ok(folder) = std::fs::read_dir("/usr/lib/x86_64-linux-gnu/bpf") else {
        println!("skipped: libxdp1 is not installed");
        return;
    };
    let mut lines = 0;
    for entry in folder {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "o") {
            continue;
        }
        let Some(listing) = objdump(&path, None) else { return };
        for Line { slots, text } in listing {
            let insns = decode(&slots).unwrap();
            if !llvm_loses(&insns[0]) {
                assert_eq!(disassemble(&insns, Style::Llvm).trim_end(), text, "{path:?}");
            }
            assert_eq!(
                Slot::join(&encode(&assemble(&text).unwrap())),
                Slot::join(&slots),
                "{text}"
            );
            lines += 1;
        }
    }
    println!("{lines} lines");
    assert!(lines > 1_000);
}

#[test]
fn random_instructions_print_as_llvm_prints_them() {
    let insns = random_insns(20_000);
    let bytes = |insns: &[Insn]| {
        let bytes = Slot::join(&encode(insns));
        let bytes: Vec<String> = bytes.iter().map(u8::to_string).collect();
        format!(".byte {}\n", bytes.join(","))
    };
    let source: String = each(&insns).map(bytes).collect();
    let Some(object) = llvm_object("random-bytes", &source) else { return };
    let plain = objdump(&object, None).unwrap();
    let newer = objdump(&object, Some("v4")).unwrap();
    assert_eq!(plain.len(), each(&insns).count());
    let mut seen = BTreeSet::new();
    for ((insn, plain), newer) in each(&insns).zip(plain).zip(newer) {
        if llvm_loses(&insn[0]) {
            continue;
        }
        // Without --mcpu, LLVM knows of the 32-bit atomics only `+=` without fetch and
        // takes others for it.
        let atomic32 = matches!(insn[0], Insn::Atomic { op, size: Size::W, .. }
            if op != AtomicOp::Add { fetch: false });
        let line = if atomic32 { newer } else { plain };
        let printed = disassemble(insn, Style::Llvm);
        assert_eq!(printed.trim_end(), line.text, "{insn:?}");
        assert_eq!(assemble(&line.text).as_deref(), Ok(insn), "{}", line.text);
        seen.insert(encode(insn)[0].code);
    }
    println!("{} opcodes", seen.len());
    assert!(seen.len() > 110, "{}", seen.len());
}

const SOURCE: &str = "
typedef unsigned char u8; typedef unsigned int u32; typedef unsigned long long u64;
struct packet { u8 bytes[64]; int numbers[8]; signed char small[4]; u64 count; };
static long (*random)(void) = (void *)7;
__attribute__((noinline)) long scale(long a, int b) { return a / (b | 1) + a % 13 * b; }
__attribute__((section(\"xdp\"))) long first(struct packet *p)
{
    long sum = 0;
    for (int i = 0; i < 8; i++)
        sum += p->numbers[i] > (int)p->bytes[i] ? scale(p->numbers[i], i) : p->small[i & 3];
    __sync_fetch_and_add(&p->count, sum);
    switch (p->bytes[5]) {
    case 1: return __builtin_bswap32(sum);
    case 2: return sum >> p->bytes[6];
    case 3: return -sum ^ 0x123456789abcdefll;
    case 9: return random();
    }
    return (u32)sum << 3 | (sum < -5);
}
__attribute__((section(\"socket\"))) int second(struct packet *p)
{
    p->numbers[2] = (short)p->numbers[1] / p->small[2];
    return __sync_val_compare_and_swap(&p->count, 1, 2) == __sync_lock_test_and_set(&p->count, 3);
}
";

#[test]
fn clangs_assembly_assembles_to_clangs_instructions() {
    let source = temporary("source.c");
    std::fs::write(&source, SOURCE).unwrap();
    let source = source.to_str().unwrap();
    for version in ["v1", "v2", "v3", "v4"] {
        // Before v3 there is no fetching atomic, before v4 no signed division.
        let mut compiled = SOURCE.to_string();
        if version < "v3" {
            compiled = compiled.replace("__sync_val_compare_and_swap(&p->count, 1, 2)", "p->count");
            compiled = compiled.replace("__sync_lock_test_and_set(&p->count, 3)", "3");
        }
        if version < "v4" {
            compiled = compiled.replace("long a", "u64 a").replace("/ p->small", "* p->small");
        }
        std::fs::write(source, compiled).unwrap();
        let assembly = temporary(&format!("source-{version}.s"));
        let object = temporary(&format!("source-{version}.o"));
        let mcpu = format!("-mcpu={version}");
        let base = ["--target=bpf", "-O2", &mcpu, source, "-o"];
        let (text, binary) = (assembly.to_str().unwrap(), object.to_str().unwrap());
        if llvm("clang", &[&base[..], &[text, "-S"]].concat()).is_none() {
            return;
        }
        llvm("clang", &[&base[..], &[binary, "-c"]].concat());
        let ours = assemble_unit(&std::fs::read_to_string(&assembly).unwrap()).unwrap();
        let names: Vec<_> = ours.sections.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, [".text", "xdp", "socket"], "{version}");
        // In the object, calls of functions wait for relocation.
        let call = Insn::Call(Callee::Local(-1));
        let insns = ours.insns.into_iter().map(|insn| match insn {
            Insn::Call(Callee::Local(_)) => call,
            insn => insn,
        });
        let theirs: Vec<Slot> =
            objdump(&object, None).unwrap().into_iter().flat_map(|line| line.slots).collect();
        assert_eq!(disassemble(&insns.collect::<Vec<_>>(), Style::Llvm), {
            disassemble(&decode(&theirs).unwrap(), Style::Llvm)
        });
    }
}

#[test]
fn slots_that_are_no_instructions_print_as_llvm_prints_them() {
    let fields = [
        (1, 2, 8, 16),
        (1, 0, 0, 16),
        (1, 2, 0, 0),
        (0, 0, 3, 0),
        (1, 2, 1, 0),
        (1, 0, 1, 5),
        (1, 2, -8, 1),
        (2, 0, -4, -2),
        (1, 2, 8, 0x41),
    ];
    let exit = Slot { code: 0x95, ..Slot::default() };
    let slots: Vec<Slot> = (0..=255)
        .flat_map(|code| fields.map(|(dst, src, off, imm)| Slot { code, dst, src, off, imm }))
        .flat_map(|slot| [slot, exit])
        .collect();
    let bytes = |bytes: &u8| format!(".byte {bytes}\n");
    let source: String = Slot::join(&slots).iter().map(bytes).collect();
    let Some(object) = llvm_object("slots", &source) else { return };
    let mut compared = 0;
    for Line { slots, text } in objdump(&object, None).unwrap() {
        let ours = SlotText::new(&slots, 0, Style::Llvm);
        // LLVM takes any atomic for an addition, and 32-bit ones for unknown.
        let atomic = matches!(slots[0].code, 0xc3 | 0xdb);
        if atomic || ours.insn().is_some_and(|insn| llvm_loses(&insn)) {
            continue;
        }
        assert_eq!(ours.to_string(), text, "{slots:?}");
        compared += 1;
    }
    println!("{compared} slots");
    assert!(compared > 4_000);
}

#[test]
fn llvm_assembles_our_text_to_the_same_bytes() {
    let insns: Vec<Insn> = each(&random_insns(20_000))
        .filter(|insn| !llvm_loses(&insn[0]))
        .flat_map(<[Insn]>::to_vec)
        .collect();
    let text = disassemble(&insns, Style::Llvm);
    let Some(object) = llvm_object("random-text", &text) else { return };
    let theirs: Vec<Slot> =
        objdump(&object, None).unwrap().into_iter().flat_map(|line| line.slots).collect();
    assert_eq!(theirs.len(), insns.len());
    for (slot, (theirs, insn)) in encode(&insns).iter().zip(theirs.iter().zip(&insns)) {
        assert_eq!(slot, theirs, "{insn:?}");
    }
}
