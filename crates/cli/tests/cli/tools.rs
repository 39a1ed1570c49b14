//! `asm`, `dis`, `inspect`, `btf dump`, `doctor`, `completions`, `man`, each against
//! what other tools say of the same files.

use std::process::Command;

use crate::harness::{Folder, skep, workspace};

/// What a tool of this machine prints; `None`, and a line about it, where there is none.
fn tool(names: &[&str], args: &[&str]) -> Option<String> {
    for name in names {
        let output = Command::new(name).args(args).current_dir(workspace()).output();
        if let Ok(output) = output {
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name} {args:?}: {err}");
            return Some(String::from_utf8_lossy(&output.stdout).into_owned());
        }
    }
    eprintln!("skipped: no {} on this machine", names[0]);
    None
}

/// The instructions of a listing, without their numbers, names and bytes.
fn instructions(listing: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in listing.lines() {
        let Some((number, rest)) = line.split_once(':') else { continue };
        if number.trim().parse::<u32>().is_err() {
            continue;
        }
        // A name at the end; `<<=` has none.
        let named = rest.rsplit_once('<').filter(|(_, name)| name.ends_with('>'));
        let text = named.map_or(rest, |(text, _)| text);
        found.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    found
}

#[test]
fn dis_prints_what_llvm_objdump_prints() {
    for object in ["examples/hello.bpf.o", "examples/syn_guard.bpf.o", "examples/per_ip.bpf.o"] {
        let args = ["-d", "--no-show-raw-insn", object];
        let Some(theirs) = tool(&["llvm-objdump-19", "llvm-objdump"], &args) else { return };
        let ours = skep(&["dis", object]).done();
        let (ours, theirs) = (instructions(&ours), instructions(&theirs));
        assert_eq!(ours.len(), theirs.len(), "{object}");
        assert!(!ours.is_empty());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            // What LLVM 19 does not know without being told of a newer processor.
            assert!(ours == theirs || theirs.is_empty(), "{object}: {ours}, not {theirs}");
        }
    }
}

#[test]
fn dis_knows_names_and_source_lines() {
    let out = skep(&["dis", "examples/hello.bpf.o"]).done();
    assert!(out.contains("<hello>:"), "{out}");
    assert!(out.contains("; return XDP_PASS;\n"), "{out}");
    assert!(out.contains("r3 = 0x0 ll <packets>"), "{out}");
    assert!(out.contains("call 0x6 <bpf_trace_printk>"), "{out}");
    let out = skep(&["dis", "examples/hello.bpf.o", "--style", "linux", "--no-source"]).done();
    assert!(out.contains("(85) call bpf_trace_printk#6"), "{out}");
    assert!(!out.contains(';'), "{out}");
    let json = skep(&["dis", "examples/hello.bpf.o", "--json"]).json();
    let first = &json["functions"][0]["insns"][0];
    assert_eq!(first["source"]["text"], "int hello(struct xdp_md *ctx)");
    assert_eq!(first["source"]["file"].as_str().unwrap().rsplit('/').next(), Some("hello.bpf.c"));
}

#[test]
fn dis_takes_one_section_or_one_program_with_what_it_calls() {
    let folder = Folder::new();
    let source = ".section xdp\n.globl one\none:\ncall helper\nexit\n.globl two\ntwo:\nr0 = 2\nexit\n\
                  .text\nhelper:\nr0 = 1\nexit\n";
    let object = folder.object("calls", source);
    let names = |out: &str| -> Vec<String> {
        out.lines()
            .filter_map(|line| Some(line.split_once('<')?.1.strip_suffix(">:")?.into()))
            .collect()
    };
    let dis = |args: &[&str]| names(&skep(&[&["dis", &object], args].concat()).done());
    assert_eq!(dis(&[]), ["one", "two", "helper"]);
    assert_eq!(dis(&["--program", "one"]), ["one", "helper"]);
    assert_eq!(dis(&["--program", "two"]), ["two"]);
    assert_eq!(dis(&["--section", ".text"]), ["helper"]);
    let (error, hint) = skep(&["dis", &object, "--section", "tc"]).failed(2);
    assert!(error.contains("no code in a section \"tc\""), "{error}");
    assert_eq!(hint, "there is code in xdp, .text");
}

/// A source with everything: maps, constants, a subprogram, a licence.
const SOURCE: &str = "\
.license \"GPL\"
.map hits, type=array, key=4, value=8, entries=4
.section xdp
count:
    *(u32 *)(r10 - 4) = 0
    r1 = map[hits] ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    call verdict
    exit
.text
verdict:
    r1 = verdicts ll
    r0 = *(u32 *)(r1 + 4)
    exit
.section .rodata
verdicts:
    .long 1, 2
";

#[test]
fn llvm_reads_the_objects_that_asm_writes() {
    let folder = Folder::new();
    let object = folder.object("count", SOURCE);
    let Some(theirs) = tool(&["llvm-objdump-19", "llvm-objdump"], &["-dr", &object]) else {
        return;
    };
    for expected in
        ["R_BPF_64_64\thits", "R_BPF_64_64\tverdicts", "R_BPF_64_32\tverdict", "<count>:"]
    {
        assert!(theirs.contains(expected), "{expected} in\n{theirs}");
    }
}

#[test]
fn bpftool_reads_the_types_that_asm_writes() {
    let folder = Folder::new();
    let object = folder.object("count", SOURCE);
    let Some(theirs) = tool(&["bpftool", "/usr/sbin/bpftool"], &["btf", "dump", "file", &object])
    else {
        return;
    };
    assert_eq!(skep(&["btf", "dump", &object]).done(), theirs);
    assert!(theirs.contains("VAR 'hits'") && theirs.contains("DATASEC '.maps'"), "{theirs}");
}

#[test]
fn an_assembled_object_runs() {
    let folder = Folder::new();
    let object = folder.object("count", SOURCE);
    let json =
        skep(&["run", &object, "--pcap", crate::harness::CAPTURE, "--limit", "10", "--json"])
            .json();
    let run = &json["runs"][0];
    assert_eq!(run["verdicts"][0]["verdict"], "XDP_PASS");
    assert_eq!(run["maps"][0]["elements"][0], serde_json::json!({"key": 0, "value": 10}));
}

#[test]
fn clang_and_asm_make_the_same_instructions_of_the_same_text() {
    let folder = Folder::new();
    // What `clang -S` writes, as it writes it.
    let source = "\t.text\n\t.file\t\"x.c\"\n\t.section\txdp,\"ax\",@progbits\n\t.globl\tpass\n\
                  \t.p2align\t3\n\t.type\tpass,@function\npass:                   # @pass\n# %bb.0:\n\
                  \tr1 = *(u32 *)(r1 + 0)\n\tif r1 == 0 goto LBB0_2\n\tr0 = 1\n\texit\nLBB0_2:\n\
                  \tr0 = 2\n\texit\n.Lfunc_end0:\n\t.size\tpass, .Lfunc_end0-pass\n\
                  \t.section\tlicense,\"aw\",@progbits\n\t.globl\tLICENSE\nLICENSE:\n\t.asciz\t\"GPL\"\n\
                  \t.size\tLICENSE, 4\n\t.addrsig\n";
    let ours = folder.object("clang", source);
    let file = folder.path("clang.s");
    let theirs = folder.path("theirs.o");
    let args = ["--target=bpf", "-c", &file, "-o", &theirs];
    if tool(&["clang-19", "clang"], &args).is_none() {
        return;
    }
    let code = |object: &str| {
        let json = skep(&["dis", object, "--json", "--section", "xdp"]).json();
        let insns = json["functions"][0]["insns"].as_array().unwrap().clone();
        let bytes: Vec<String> = insns.iter().map(|insn| insn["bytes"].to_string()).collect();
        (json["functions"][0]["name"].clone(), bytes)
    };
    assert_eq!(code(&ours), code(&theirs));
    assert_eq!(skep(&["inspect", &ours, "--json"]).json()["license"], "GPL");
}

#[test]
fn inspect_tells_programs_maps_and_records() {
    let json = skep(&["inspect", "examples/per_ip.bpf.o", "--json"]).json();
    assert_eq!(json["programs"][0]["name"], "per_ip");
    assert_eq!(json["programs"][0]["type"], "xdp");
    let names: Vec<&str> =
        json["maps"].as_array().unwrap().iter().filter_map(|map| map["name"].as_str()).collect();
    for name in ["traffic", "blocked", "alerts"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let text = skep(&["inspect", "examples/per_ip.bpf.o"]).done();
    assert!(text.contains("key struct in6_addr (16)"), "{text}");
    assert!(text.contains("licence \"Dual MIT/GPL\""), "{text}");

    let poisoned = "crates/cli/tests/objects/poisoned.bpf.o";
    let json = skep(&["inspect", poisoned, "--json"]).json();
    assert_eq!(json["core_records"][0]["function"], "poisoned");
    let record = json["core_records"][0]["record"].as_str().unwrap();
    assert!(record.contains("struct no_such_structure.no_such_field"), "{record}");
    let listing = skep(&["dis", poisoned]).done();
    assert!(listing.contains(&format!("; CO-RE {record}\n")), "{listing}");
}

#[test]
fn btf_dumps_are_those_of_bpftool() {
    let bpftool = ["bpftool", "/usr/sbin/bpftool"];
    for object in ["examples/syn_guard.bpf.o", "examples/per_ip.bpf.o"] {
        let args = ["btf", "dump", "file", object];
        let Some(raw) = tool(&bpftool, &args) else { return };
        assert_eq!(skep(&["btf", "dump", object]).done(), raw);
        let Some(json) = tool(&bpftool, &[&args[..], &["-j"]].concat()) else { return };
        let theirs: serde_json::Value = serde_json::from_str(&json).unwrap();
        let ours = skep(&["btf", "dump", object, "--format", "json"]).json();
        let (ours, theirs) =
            (ours["types"].as_array().unwrap(), theirs["types"].as_array().unwrap());
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn a_dumped_header_compiles() {
    let folder = Folder::new();
    let header = skep(&["btf", "dump", "examples/syn_guard.bpf.o", "--format", "c"]).done();
    let source = folder.file("header.c", header + "\nstruct alert an_alert;\n");
    let object = folder.path("header.o");
    let args = ["-O2", "-g", "--target=bpf", "-c", &source, "-o", &object];
    if tool(&["clang-19", "clang"], &args).is_none() {
        return;
    }
    let dump = skep(&["btf", "dump", &object]).done();
    assert!(dump.contains("STRUCT 'alert' size=48"), "{dump}");
}

#[test]
fn the_kernels_own_types_can_be_dumped() {
    if !std::fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false) {
        eprintln!("skipped: no /sys/kernel/btf/vmlinux on this machine");
        return;
    }
    let dump = skep(&["btf", "dump", "/sys/kernel/btf/vmlinux"]).done();
    assert!(dump.starts_with("[1] "), "{}", &dump[..80]);
    assert!(dump.contains("STRUCT 'task_struct' size="));
}

#[test]
fn doctor_has_a_word_for_each_part() {
    let json = skep(&["doctor", "--json"]).json();
    for part in ["machine", "permission", "tools", "program_types", "map_types"] {
        let checks = json[part].as_array().unwrap();
        assert!(!checks.is_empty(), "{part}");
        for check in checks {
            let state = check["state"].as_str().unwrap();
            assert!(["ok", "missing", "info"].contains(&state), "{check}");
        }
    }
    assert_eq!(json["machine"][0]["name"], "embedded kernel");
    assert_eq!(json["machine"][0]["state"], "ok");
    let text = skep(&["doctor"]).done();
    assert!(text.contains("embedded kernel") && !text.contains('\x1b'), "{text}");
}

#[test]
fn doctor_finds_the_map_types_that_bpftool_finds() {
    let args = ["-j", "feature", "probe", "kernel"];
    let Some(theirs) = tool(&["bpftool", "/usr/sbin/bpftool"], &args) else { return };
    if !crate::harness::linux_is_permitted() {
        return;
    }
    let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
    let ours = skep(&["doctor", "--json"]).json();
    let mut compared = 0;
    for (part, prefix, feature) in
        [("map_types", "have_", "_map_type"), ("program_types", "have_", "_prog_type")]
    {
        let theirs = &theirs[if part == "map_types" { "map_types" } else { "program_types" }];
        for check in ours[part].as_array().unwrap() {
            let name = check["name"].as_str().unwrap();
            // An older bpftool does not know them all.
            let Some(theirs) = theirs[format!("{prefix}{name}{feature}")].as_bool() else {
                continue;
            };
            assert_eq!(check["state"] == "ok", theirs, "{name}");
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared} types compared");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let bash = skep(&["completions", "bash"]).done();
    let folder = Folder::new();
    let dir = folder.path("man1");
    skep(&["man", &dir]).done();
    for command in ["run", "dis", "asm", "inspect", "btf", "doctor"] {
        assert!(bash.contains(command), "{command}");
        let page = std::fs::read_to_string(format!("{dir}/skep-{command}.1")).unwrap();
        assert!(page.contains(&format!("skep {command}")), "{page}");
    }
}

/// LLVM's mnemonics for bytes of x86-64, with prefixes as instructions of their own.
#[cfg(target_arch = "x86_64")]
fn mnemonics(bytes: &str) -> Option<Vec<String>> {
    let folder = Folder::new();
    let file = folder.file("code.txt", bytes);
    let args = ["--disassemble", "--triple=x86_64-unknown-linux-gnu", &file];
    let text = tool(&["llvm-mc-19", "llvm-mc"], &args)?;
    let lines = text.lines().filter(|line| line.starts_with('\t') && !line.contains(".text"));
    Some(lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn dis_native_prints_the_instructions_that_llvm_reads_in_the_same_bytes() {
    for checks in ["elided", "guarded"] {
        let object = "examples/syn_guard.bpf.o";
        let json = skep(&["dis", object, "--native", "--checks", checks, "--json"]).json();
        let program = &json["programs"][0];
        assert_eq!(program["checks"], checks);
        let (mut hex, mut ours) = (String::new(), Vec::new());
        for function in program["functions"].as_array().unwrap() {
            for line in function["native"].as_array().unwrap() {
                let bytes = line["bytes"].as_str().unwrap();
                let text = line["text"].as_str().unwrap();
                // Constants behind the last instruction.
                if text.starts_with(".byte") {
                    continue;
                }
                for at in (0..bytes.len()).step_by(2) {
                    hex.push_str(&format!("0x{} ", &bytes[at..at + 2]));
                }
                let mut words = text.split_whitespace();
                let first = words.next().unwrap().to_owned();
                if first == "lock" {
                    ours.push(first);
                    ours.push(words.next().unwrap().to_owned());
                } else {
                    ours.push(first);
                }
            }
        }
        let Some(theirs) = mnemonics(&hex) else { return };
        assert_eq!(ours.len(), theirs.len(), "{checks}");
        assert!(ours.len() > 100, "{checks}: {}", ours.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            // LLVM writes the size behind each.
            assert!(theirs.starts_with(ours.as_str()), "{checks}: {ours}, not {theirs}");
        }
    }
}

#[test]
fn dis_native_stands_below_source_lines_and_instructions() {
    let out = skep(&["dis", "examples/hello.bpf.o", "--native"]).done();
    let order = ["program \"hello\": ", "<hello>:", "; __sync_fetch_and_add("];
    let places: Vec<_> = order.iter().map(|text| out.find(text).expect(text)).collect();
    assert!(places.is_sorted(), "{out}");
    assert!(out.contains("lock *(u64 *)(r3 + 0x0) += r2\n"), "{out}");
    let bare = skep(&["dis", "examples/hello.bpf.o", "--native", "--no-source"]).done();
    assert!(!bare.contains("__sync"), "{bare}");
    let small = skep(&["dis", "examples/hello.bpf.o", "--native", "--passes", "none"]).done();
    assert_ne!(out, small, "passes are heard");
    let (error, hint) = skep(&["dis", "examples/hello.bpf.o", "--checks", "guarded"]).failed(2);
    assert!(error.contains("machine code") && hint.contains("--native"), "{error} {hint}");
    let (error, _) =
        skep(&["dis", "examples/hello.bpf.o", "--native", "--program", "other"]).failed(2);
    assert!(error.contains("no program \"other\""), "{error}");
}
