//! CO-RE records resolve to what libbpf makes of them.
//!
//! `core/*.txt` hold the outcome for each record of `core/program.c`; each line was
//! compared with the log of libbpf 1.7. (`UPDATE_EXPECT=1` writes them anew: then
//! compare again.)

mod common;

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use common::{compile_file, run, scratch, section, vmlinux};
use expect_test::expect_file;
use skep_btf::core::{
    Access, Relocation, RelocationKind, Resolved, Resolver, Targets, essential_name,
};
use skep_btf::{Btf, Ext};

fn source(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/core").join(name)
}

fn btf_of(object: &[u8]) -> Btf {
    Btf::parse(section(object, ".BTF").expect("a .BTF section")).expect("clang's BTF parses")
}

/// The object's types, and its CO-RE records in order with the code that they are about.
fn records(object: &[u8]) -> (Btf, Vec<(Vec<u8>, Relocation)>) {
    let btf = btf_of(object);
    let bytes = section(object, ".BTF.ext").expect("a .BTF.ext section");
    let ext = Ext::parse(&bytes, &btf).expect("clang's .BTF.ext parses");
    let mut all = Vec::new();
    for of in &ext.core_relos {
        let code = section(object, btf.string(of.name_off).expect("a name")).expect("code");
        for record in &of.records {
            let insn = code[record.insn_off as usize..].to_vec();
            all.push((insn, *record));
        }
    }
    (btf, all)
}

fn word(insn: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(insn[at..at + 4].try_into().expect("4 bytes"))
}

fn is_load_or_store(insn: &[u8]) -> bool {
    matches!(insn[0] & 7, 1..=3)
}

/// What the instruction holds where a record is about it.
fn holds(insn: &[u8]) -> u64 {
    match insn[0] & 7 {
        0 => u64::from(word(insn, 4) as u32) | (word(insn, 12) as u64) << 32,
        _ if is_load_or_store(insn) => i16::from_le_bytes([insn[2], insn[3]]) as u64,
        _ => word(insn, 4) as u64,
    }
}

/// What a loader does to the instruction of each record: a line for each.
fn resolved(object: &[u8], targets: &Targets) -> String {
    let (local, records) = records(object);
    let mut resolver = Resolver::new(&local, targets);
    let mut out = String::new();
    for (insn, record) in &records {
        write!(out, "{} => ", resolver.describe(record)).unwrap();
        match resolver.resolve(record) {
            Ok(Resolved::Poison(_)) => out.push_str("poison"),
            Err(_) => out.push_str("error"),
            Ok(Resolved::Patch(patch)) => match patch.access {
                _ if patch.expected.is_some_and(|expected| expected != holds(insn)) => {
                    out.push_str("error");
                }
                Access::Forbidden if is_load_or_store(insn) => out.push_str("poison"),
                Access::Resize { from, to } if is_load_or_store(insn) => {
                    write!(out, "{}, a load of {from} bytes becomes one of {to}", patch.value)
                        .unwrap();
                }
                _ => write!(out, "{}", patch.value).unwrap(),
            },
        }
        out.push('\n');
    }
    out
}

#[test]
fn records_resolve_as_in_libbpf_against_types_that_changed() {
    let Some(program) = compile_file(&source("program.c"), &[]) else {
        return;
    };
    for (arguments, expected) in [
        (&[][..], expect_file!["core/kernel.txt"]),
        (&["-DOTHER"][..], expect_file!["core/other_kernel.txt"]),
    ] {
        let Some(kernel) = compile_file(&source("kernel.c"), arguments) else {
            return;
        };
        let targets = Targets::new(Arc::new(btf_of(&kernel)));
        expected.assert_eq(&resolved(&program, &targets));
    }
}

#[test]
fn against_its_own_types_each_instruction_keeps_what_clang_put_there() {
    let Some(program) = compile_file(&source("program.c"), &["-DSELF"]) else {
        return;
    };
    let (local, records) = records(&program);
    let targets = Targets::new(Arc::new(btf_of(&program)));
    let mut resolver = Resolver::new(&local, &targets);
    let mut checked = 0;
    for (insn, record) in &records {
        let what = resolver.describe(record);
        // clang sizes what a pointer's element [3] starts, not the element.
        if what.contains("<byte_sz>") && what.contains("many[3]") {
            continue;
        }
        let holds = holds(insn);
        let Ok(Resolved::Patch(patch)) = resolver.resolve(record) else {
            // All flavours of one struct are candidates, and one lacks the field.
            assert!(what.contains("gone") || what.contains("ambiguous"), "{what}");
            continue;
        };
        if let Some(expected) = patch.expected {
            assert_eq!(expected, holds, "{what}");
            // libbpf lets no float match another, so `many` does not match itself.
            if record.kind != RelocationKind::TypeMatches {
                assert_eq!(patch.value, holds, "{what}");
            }
            assert_eq!(patch.access, Access::Keep, "{what}");
            checked += 1;
        }
    }
    assert!(checked > 200, "only {checked} records say what stands there");
}

#[test]
fn records_about_the_running_kernel_resolve_as_bpftools_libbpf_resolves_them() {
    let (Some(kernel), Some(program)) = (vmlinux(), compile_file(&source("vmlinux.c"), &[])) else {
        return;
    };
    let path = scratch("vmlinux_core").join("program.o");
    std::fs::write(&path, &program).expect("write the object");
    // Loading fails: the program reads through a bare number. The records are resolved before.
    let arguments = ["-d", "prog", "load", &path.to_string_lossy(), "/sys/fs/bpf/skep-btf-test"];
    let Some(output) = run("bpftool", &arguments) else {
        return;
    };
    let log = String::from_utf8_lossy(&output.stderr);
    let theirs = outcomes_in_log(&log);
    if theirs.is_empty() {
        println!(
            "skipped: bpftool cannot load programs here: {}",
            log.lines().last().unwrap_or("")
        );
        return;
    }
    let ours = resolved(&program, &Targets::new(kernel));
    assert_eq!(ours.lines().count(), theirs.len(), "{log}");
    for (our, their) in ours.lines().zip(&theirs) {
        assert_eq!(our, their);
    }
}

/// The outcome for each record, in our words, from libbpf's debug log.
fn outcomes_in_log(log: &str) -> Vec<String> {
    let mut outcomes: Vec<String> = Vec::new();
    for line in log.lines() {
        let Some((_, line)) = line.split_once(": relo #") else {
            continue;
        };
        let Some((_, line)) = line.split_once(": ") else {
            continue;
        };
        if line.starts_with('<') {
            outcomes.push(format!("{line} => "));
        } else if let (Some(last), Some((_, value))) =
            (outcomes.last_mut(), line.split_once(" -> "))
        {
            if line.contains(" mem_sz ") {
                let old = line.split(" mem_sz ").nth(1).and_then(|rest| rest.split(' ').next());
                let old = old.unwrap_or("?");
                last.push_str(&format!(", a load of {old} bytes becomes one of {value}"));
            } else {
                last.push_str(value);
            }
        } else if let (Some(last), true) = (outcomes.last_mut(), line.starts_with("substituting")) {
            // Both slots of an ld_imm64 are substituted.
            if !last.ends_with("poison") {
                last.push_str("poison");
            }
        }
    }
    outcomes
}

#[test]
fn an_essential_name_ends_before_the_last_triple_underscore() {
    for (name, essential) in [
        ("task_struct", "task_struct"),
        ("task_struct___v2", "task_struct"),
        ("a___b___c", "a___b"),
        ("a____b", "a____b"),
        ("___a", "___a"),
        ("a___", "a___"),
        ("a___b", "a"),
        ("", ""),
        ("é___b", "é"),
    ] {
        assert_eq!(essential_name(name), essential, "{name}");
    }
}
