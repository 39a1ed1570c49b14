//! Text and instructions are two forms of one thing: each style's text assembles back
//! to the instructions it was printed from.

use std::path::Path;

use arbtest::arbtest;
use skep_abi::Helper;
use skep_isa::arbitrary::Program;
use skep_isa::{
    Callee, Imm64, Insn, Names, Pc, Style, assemble, classic, decode, disassemble, encode, vector,
};

const STYLES: [Style; 3] = [Style::Llvm, Style::Linux, Style::Mnemonic];

#[test]
fn printed_instructions_assemble_back() {
    arbtest(|u| {
        let insn: Insn = u.arbitrary()?;
        let insns = match insn.slots() {
            2 => vec![insn, Insn::Hole],
            _ => vec![insn],
        };
        for style in STYLES {
            let text = disassemble(&insns, style);
            let back = assemble(&text).unwrap_or_else(|error| panic!("{text}{error}"));
            assert_eq!(back, insns, "{text}");
            assert_eq!(disassemble(&back, style), text);
        }
        Ok(())
    })
    .budget_ms(1_000);
}

#[test]
fn printed_programs_assemble_and_decode_back() {
    arbtest(|u| {
        let Program(insns) = u.arbitrary()?;
        assert_eq!(decode(&encode(&insns)), Ok(insns.clone()));
        for style in STYLES {
            let text = disassemble(&insns, style);
            assert_eq!(assemble(&text), Ok(insns.clone()), "{text}");
        }
        Ok(())
    })
    .budget_ms(1_000);
}

/// Statement by statement what people write, and what it means in LLVM's style.
#[test]
fn spellings_of_the_same_instruction() {
    let cases = [
        ("r1=5", "r1 = 0x5"),
        ("  r1 = 0b101 # comment", "r1 = 0x5"),
        ("r1 = /* five */ 5 // comment", "r1 = 0x5"),
        ("mov r1, 5 ; comment", "r1 = 0x5"),
        ("mov64 %r1, 5", "r1 = 0x5"),
        ("0: (b7) r1 = 5                     ; R1_w=5", "r1 = 0x5"),
        ("       7:\tb7 01 00 00 05 00 00 00\tr1 = 0x5", "r1 = 0x5"),
        ("here: there: r1 = 5", "r1 = 0x5"),
        ("r1 = 0xffffffff", "r1 = -0x1"),
        ("r1 = 0xffffffffffffffff", "r1 = -0x1"),
        ("r1 = w2", "w1 = w2"),
        ("(18) r1 = 0x5", "r1 = 0x5 ll"),
        ("lddw %r1, 0xffffffffffffffff", "r1 = -0x1 ll"),
        ("r1 = -0x8000000000000000 ll", "r1 = -0x8000000000000000 ll"),
        ("ld_pseudo r1, 0x4, 0x5", "r1 = subprog[+5] ll"),
        ("r1 = map[fd:3][0]+16 ll <counters>", "r1 = map[fd:3][0]+16 ll"),
        ("w1 = *(u32*)(r2+8)", "r1 = *(u32 *)(r2 + 0x8)"),
        ("r1 = *(u32 *)(r2 + -8)", "r1 = *(u32 *)(r2 - 0x8)"),
        ("r1 = *(u32 *)(r2)", "r1 = *(u32 *)(r2 + 0x0)"),
        ("*(u8 *)(r1 + 1) = w2", "*(u8 *)(r1 + 0x1) = r2"),
        ("lock *(u32 *)(r1 + 0) += w2", "lock *(u32 *)(r1 + 0x0) += r2"),
        ("lock fetch add32 [%r1-8], %r2", "w2 = atomic_fetch_add((u32 *)(r1 - 0x8), w2)"),
        ("r2 = atomic64_xchg((u64 *)(r1 +0), r2)", "r2 = xchg_64(r1 + 0x0, r2)"),
        ("r0 = *(u16 *)skb[r1 + -5]", "r0 = *(u16 *)skb[r1 - 0x5]"),
        ("if r1 s>= 0xffffffff goto pc-2", "if r1 s>= -0x1 goto -0x2"),
        ("if w1 &1 goto +1 <LBB0_1>", "if w1 & 0x1 goto +0x1"),
        ("goto 5", "goto +0x5"),
        ("x: goto x", "goto -0x1"),
        ("1: goto 1b", "goto -0x1"),
        ("call bpf_map_lookup_elem#1", "call 0x1"),
        ("call bpf_map_lookup_elem", "call 0x1"),
        ("call unknown#-1", "call 0xffffffff"),
        ("call -0x1", "call -0x1"),
        ("call pc+5#bpf_prog_0123_helper", "call +0x5"),
        ("call bpf_rbtree_add#1234", "call kernel-function#1234"),
        ("callx r3", "callx r3"),
    ];
    for (text, printed) in cases {
        let insns = assemble(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(disassemble(&insns, Style::Llvm).trim_end(), printed, "{text}");
    }
}

#[test]
fn statements_behind_a_semicolon_are_read_and_comments_are_not() {
    let text = "r0 = 1; r0 += 2; exit ; r0 is three\n; exit\nr1 = 1 ; if the packet is short\n";
    assert_eq!(disassemble(&assemble(text).unwrap(), Style::Linux), {
        "(b7) r0 = 1\n(07) r0 += 2\n(95) exit\n(b7) r1 = 1\n"
    });
}

#[test]
fn labels_are_found_behind_and_ahead() {
    let text = "\
        1: r1 = 1 ll
           if r1 == 0 goto 1f
           goto 1b
        1: call sub
           ja exit
           exit
        sub:
           gotol sub
           exit
        ";
    let insns = assemble(text).unwrap();
    let jumps: Vec<i32> = insns.iter().filter_map(Insn::jump).collect();
    assert_eq!(jumps, [1, -4, 0, -1]);
    assert!(insns.contains(&Insn::Call(Callee::Local(2))));
}

#[test]
fn what_nothing_defines_is_a_reference_or_an_error() {
    use skep_isa::ReferenceKind::{Function, Map, Symbol};
    let text = "r1 = map[hits] ll\nr2 = map[conf][0]+8 ll\nr3 = limit + 4 ll\ncall parse\nexit";
    let unit = skep_isa::assemble_unit(text).unwrap();
    let found: Vec<_> = unit.references.iter().map(|r| (r.pc, r.kind, r.name.as_str())).collect();
    assert_eq!(
        found,
        [(0, Map, "hits"), (2, Map, "conf"), (4, Symbol, "limit"), (6, Function, "parse")]
    );
    assert_eq!(unit.lines, [1, 1, 2, 2, 3, 3, 4, 5]);
    assert_eq!(assemble(text).unwrap_err().to_string(), "line 1, column 10: `hits` is not defined");
}

#[test]
fn errors_say_where_and_what_was_expected() {
    let cases = [
        ("r1 = r2 +", "1:9: expected the end of the statement, found `+`"),
        ("exit\n  r11 = 5", "2:3: expected an instruction, found `r11`"),
        ("r1 + 5", "1:4: expected an assignment (=, +=, s>>= and the like), found `+`"),
        ("w1 = r2", "1:6: expected the lower half of a register, w0 to w10, found `r2`"),
        ("r1 = ", "1:6: expected a 64-bit immediate, found the end of the line"),
        ("r1 = -r2", "1:7: expected r1, found `r2`"),
        ("r1 = 0x1ffffffff", "1:6: a 32-bit immediate 8589934591 does not fit"),
        ("r1 = 077", "1:6: expected a decimal, 0x or 0b number of at most 64 bits, found `077`"),
        ("r1 = hits", "1:10: expected `ll`, found the end of the line"),
        ("r1 = map[id:5] ll", "1:10: expected a map's name, `fd:N` or `idx:N`, found `id:5]`"),
        ("r1 = *(u32 *)(r2 + 40000)", "1:18: an offset 40000 does not fit"),
        ("r1 = *(u24 *)(r2 + 4)", "1:8: expected u8, u16, u32, u64, s8, s16 or s32, found `u24`"),
        ("if r1 = 5 goto +1", "1:7: expected a comparison"),
        ("if r1 == 5 jump +1", "1:12: expected `goto`, found `jump`"),
        ("goto nowhere", "1:6: `nowhere` is not defined"),
        ("goto 1f", "1:6: `1f` is not defined"),
        ("a: exit\na: exit", "2:1: label `a` stands twice"),
        ("mov %r11, 1", "1:5: expected a register, %r0 to %r10, found `%r11,`"),
        ("stxw [%r1+8] %r2", "1:14: expected `,`, found `%r2`"),
        ("(b7) r1 += 5", "1:1: opcode (b7) before an instruction of opcode (07)"),
        ("r2 = atomic_fetch_add((u64 *)(r1 + 0), r3)", "1:40: expected r2"),
        ("frobnicate r1", "1:1: expected an instruction, found `frobnicate`"),
        (".ascii \"GPL\"", "1:1: expected an instruction, .text, .section or .globl"),
        (".section \"xdp", "1:11: expected the name of a section, found `xdp`"),
    ];
    for (text, expected) in cases {
        let error = skep_isa::assemble_unit(text).expect_err(text);
        let shown = format!("{}:{}: {}", error.line, error.column, error.kind);
        assert!(shown.starts_with(expected), "{text}\n  expected {expected}\n  found    {shown}");
    }
}

#[test]
fn sections_and_global_names_are_noted() {
    let text = "\
        .text
        .section xdp/first,\"ax\",@progbits
        .globl first # visible
        .p2align 3
        .type first,@function
        first:
            r0 = 2
            exit
        .size first, .-first
        .section \"tc\"
        second: exit
        ";
    let unit = skep_isa::assemble_unit(text).unwrap();
    let places: Vec<_> = unit.sections.iter().map(|s| (s.name.as_str(), s.pc)).collect();
    assert_eq!(places, [(".text", 0), ("xdp/first", 0), ("tc", 2)]);
    assert_eq!(unit.globals, ["first"]);
    assert_eq!(unit.insns.len(), 3);
}

/// Names things as a loader would.
struct Loader;

impl Names for Loader {
    fn target(&self, pc: Pc) -> Option<String> {
        Some(format!("main+{:#x}", 8 * pc))
    }

    fn callee(&self, _: Pc, callee: Callee) -> Option<String> {
        match callee {
            Callee::Helper(id) => Helper::from_id(id).map(|helper| helper.name.into()),
            Callee::Local(_) => Some("parse".into()),
            _ => Some("bpf_rbtree_add".into()),
        }
    }

    fn imm64(&self, _: Pc, _: Imm64) -> Option<String> {
        Some("map[id:7]".into())
    }
}

#[test]
fn names_stand_where_the_tools_put_them() {
    let cases = [
        ("goto -3", "goto -0x3 <main+0x10>", "(05) goto pc-3"),
        ("goto -9", "goto -0x9", "(05) goto pc-9"),
        ("call 1", "call 0x1 <bpf_map_lookup_elem>", "(85) call bpf_map_lookup_elem#1"),
        ("call +5", "call +0x5 <parse>", "(85) call pc+5#parse"),
        (
            "call kernel-function#7 module 1",
            "call kernel-function#7 module 1 <bpf_rbtree_add>",
            "(85) call bpf_rbtree_add#7",
        ),
        ("r1 = map[fd:3] ll", "r1 = map[fd:3] ll <map[id:7]>", "(18) r1 = map[id:7]"),
    ];
    for (text, llvm, linux) in cases {
        let insn = assemble(text).unwrap()[0];
        assert_eq!(insn.display(Style::Llvm).at(4, &Loader).to_string(), llvm);
        assert_eq!(insn.display(Style::Linux).at(4, &Loader).to_string(), linux);
        assert_eq!(assemble(llvm).unwrap()[0], insn);
    }
}

#[test]
fn a_jump_too_far_is_an_error() {
    let far = format!("goto end\n{}end: exit", "r0 = 0\n".repeat(32768));
    let error = assemble(&far).unwrap_err().to_string();
    assert!(error.contains("`end` is 32768 slots away"), "{error}");
    assert!(assemble(&far.replace("goto", "gotol")).is_ok());
}

#[test]
fn every_conformance_vector_assembles() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(folder) = vector::folder(&workspace) else {
        println!("skipped: no conformance vectors; set SKEP_CONFORMANCE to their folder");
        return;
    };
    let vectors = vector::read_folder(&folder).unwrap();
    println!("{} vectors", vectors.len());
    for (name, vector) in vectors {
        assert_eq!(decode(&encode(&vector.insns)).as_ref(), Ok(&vector.insns), "{name}");
        for style in STYLES {
            let text = disassemble(&vector.insns, style);
            assert_eq!(assemble(&text).as_ref(), Ok(&vector.insns), "{name}:\n{text}");
        }
    }
}

#[test]
fn any_text_assembles_or_fails() {
    let words = [
        "r1",
        "w1",
        "=",
        "+=",
        "s>>=",
        "*",
        "(",
        "u32",
        "*)",
        ")",
        "[",
        "]",
        "skb",
        "map",
        "-",
        "+",
        "5",
        "0x",
        "1f",
        "ll",
        "if",
        "goto",
        "call",
        "lock",
        "%r1",
        ",",
        ":",
        ";",
        "#",
        "<",
        ">",
        "atomic_fetch_add",
        "xchg_64",
        "ldxw",
        "exit",
        "x",
        "(b7)",
        "b7 00",
        "é",
        "/*",
        "*/",
        "\n",
    ];
    arbtest(|u| {
        let mut text = String::new();
        for _ in 0..u.int_in_range(0..=12)? {
            text.push_str(u.choose(&words)?);
            text.push_str(u.choose(&[" ", "", "\t"])?);
        }
        if let Ok(insns) = assemble(&text) {
            assert_eq!(decode(&encode(&insns)), Ok(insns));
        }
        Ok(())
    })
    .budget_ms(1_000);
}

/// Texts of every kind with a few bytes changed, cut or doubled.
#[test]
fn damaged_texts_are_read_or_refused() {
    let texts = [
        "1: (18) r1 = map[fd:3][0]+16 ll <hits>\nif w1 s>= 0xffffffff goto 1b ; r2 = 5\n",
        "r2 = atomic_fetch_add((u64 *)(r1 - 0x8), r2)\ncall kernel-function#5 module 3\n",
        ".section xdp,\"ax\"\nx: lock fetch add32 [%r10-8], %r1\ncall pc+5#name\nja 1f\n",
        "       7:\tb7 01 00 00 05 00 00 00\tr1 = 0x5 /* five */ # é\n",
        "(000) ldh      [x + 14]\n(001) jeq      #0x800           jt 2\tjf 3\n(002) ret #-1\n",
        "{ 0x28, 0, 0, 0x0000000c },\n{ 0x6, 0, 0, 0x00040000 },\n",
        "2,40 0 0 12,6 0 0 262144",
        "-- asm\nmov %r0, 1\nexit\n-- raw\n0x95\n-- mem\nff 00\n-- result\n0x1\n-- error\nx\n",
    ];
    arbtest(|u| {
        let mut text = u.choose(&texts)?.as_bytes().to_vec();
        for _ in 0..u.int_in_range(1..=4)? {
            let (from, to) = (u.choose_index(text.len())?, u.choose_index(text.len())?);
            match u.int_in_range(0..=2)? {
                0 => text[from] = u.arbitrary()?,
                1 if from < to => drop(text.drain(from..to - 1)),
                _ => text.extend_from_within(from.min(to)..from.max(to)),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let _ = skep_isa::assemble_unit(&text);
        let _ = vector::parse(&text);
        if let Ok(filters) = classic::parse(&text) {
            let _ = classic::translate(&filters);
            let _ = classic::parse(&classic::listing(&filters));
        }
        Ok(())
    })
    .budget_ms(1_000);
}
