//! The printed header compiles, and compilers lay its types out as BTF says.

mod common;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

use common::{VMLINUX, compile, debian_objects, run, scratch, section, stdout_of, vmlinux};
use skep_btf::{Btf, Composite, Kind, Type, c};

fn header(btf: &Btf) -> String {
    let mut out = Vec::new();
    c::write_header(btf, &mut out).expect("the types can be written as C");
    String::from_utf8(out).expect("the header is UTF-8")
}

/// Structs and unions whose name is theirs alone, as `struct name`.
fn unique_composites(btf: &Btf) -> Vec<(String, Composite<'_>)> {
    let mut tags: HashMap<&str, u32> = HashMap::new();
    for (_, ty) in btf.types() {
        if ty.composite().is_some() || ty.enumeration().is_some() {
            *tags.entry(ty.name()).or_default() += 1;
        }
    }
    btf.types()
        .filter_map(|(_, ty)| Some((ty.kind().name(), ty.composite()?)))
        .filter(|(_, composite)| tags[composite.name] == 1 && !composite.name.is_empty())
        .map(|(keyword, composite)| (format!("{keyword} {}", composite.name), composite))
        .collect()
}

/// The members by name with their bit offsets and bitfield sizes, those of
/// anonymous members included.
fn members(btf: &Btf, composite: &Composite<'_>, start: u32, out: &mut Vec<(String, u32, u8)>) {
    for member in composite.members.iter() {
        let offset = start + member.bit_offset;
        if !member.name.is_empty() {
            out.push((member.name.to_string(), offset, member.bitfield_size));
        } else if let Some(inner) = btf.resolved(member.type_id).expect("a type").composite() {
            members(btf, &inner, offset, out);
        }
    }
}

/// C that compiles only if all sizes and offsets are those of `btf`.
fn assertions(btf: &Btf) -> String {
    let mut text = String::new();
    for (tag, composite) in unique_composites(btf) {
        writeln!(
            text,
            "_Static_assert(sizeof({tag}) == {}, \"{tag}\");",
            composite.size
        )
        .unwrap();
        let mut named = Vec::new();
        members(btf, &composite, 0, &mut named);
        for (name, offset, _) in named.iter().filter(|member| member.2 == 0) {
            writeln!(
                text,
                "_Static_assert(__builtin_offsetof({tag}, {name}) == {}, \"{tag}.{name}\");",
                offset / 8,
            )
            .unwrap();
        }
    }
    text
}

/// Compiles C without output, or says why it does not compile.
fn check_syntax(compiler: &str, arguments: &[&str], file: &Path) {
    let file = file.to_string_lossy();
    let mut all = vec!["-fsyntax-only", "-w", "-x", "c"];
    all.extend(arguments);
    all.push(&file);
    let Some(output) = run(compiler, &all) else {
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = errors.lines().take(20).collect();
    assert!(
        output.status.success(),
        "{compiler} {file}:\n{}",
        first.join("\n")
    );
}

#[test]
fn vmlinux_h_compiles_with_the_layouts_of_the_btf() {
    let Some(btf) = vmlinux() else { return };
    let directory = scratch("vmlinux_h");
    let file = directory.join("check.c");
    std::fs::write(directory.join("vmlinux.h"), header(&btf)).expect("write");
    let text = format!("#include \"vmlinux.h\"\n{}", assertions(&btf));
    assert!(text.lines().count() > 10_000, "the kernel has many structs");
    std::fs::write(&file, text).expect("write");
    check_syntax("clang-19", &["--target=bpf", "-g"], &file);
    check_syntax("gcc", &["-std=gnu11"], &file);
}

#[test]
fn bpftools_vmlinux_h_has_the_same_layouts() {
    let Some(btf) = vmlinux() else { return };
    let arguments = ["btf", "dump", "file", VMLINUX, "format", "c"];
    let Some(theirs) = stdout_of("bpftool", &arguments) else {
        return;
    };
    let directory = scratch("bpftool_vmlinux_h");
    let file = directory.join("check.c");
    std::fs::write(directory.join("vmlinux.h"), theirs).expect("write");
    let text = assertions(&btf);
    std::fs::write(&file, format!("#include \"vmlinux.h\"\n{text}")).expect("write");
    let path = file.to_string_lossy();
    let arguments = ["--target=bpf", "-fsyntax-only", "-ferror-limit=0", &path];
    let Some(output) = run("clang-19", &arguments) else {
        return;
    };
    // bpftool 7.1 gives packed enums four bytes, and va_list the size that it has for BPF; what
    // holds such a member is laid out otherwise than the kernel does.
    let errors = String::from_utf8_lossy(&output.stderr);
    let different: HashSet<&str> = errors
        .lines()
        .filter_map(|line| line.split_once("due to requirement")?.1.rsplit_once(": "))
        .map(|(_, what)| what.split('.').next().unwrap_or(what))
        .collect();
    println!("laid out otherwise by bpftool's header: {different:?}");
    let all = text.matches("sizeof").count();
    assert!(
        different.len() < all / 100,
        "{} of {all} differ",
        different.len()
    );
}

/// Every type by kind and name, with what C says of it.
fn described(btf: &Btf) -> HashMap<(Kind, String), String> {
    let mut all = HashMap::new();
    for (tag, composite) in unique_composites(btf) {
        let mut named = Vec::new();
        members(btf, &composite, 0, &mut named);
        let text = format!("size {} members {named:?}", composite.size);
        let kind = if tag.starts_with('s') {
            Kind::Struct
        } else {
            Kind::Union
        };
        all.insert((kind, composite.name.to_string()), text);
    }
    for (_, ty) in btf.types() {
        if let Type::Enum(view) | Type::Enum64(view) = ty {
            let values: Vec<_> = view.enumerators.iter().collect();
            let text = format!("size {} values {values:?}", view.size);
            all.insert((ty.kind(), view.name.to_string()), text);
        }
    }
    all
}

#[test]
fn clang_makes_the_same_btf_again_from_the_header() {
    let Some(btf) = vmlinux() else { return };
    let mut source = header(&btf);
    for (index, (tag, composite)) in unique_composites(&btf).iter().enumerate() {
        // A struct that ends in a flexible array of its own kind cannot be a variable.
        if composite.size < 1 << 16 {
            writeln!(source, "{tag} v{index};").unwrap();
        }
    }
    let Some(object) = compile("header_again", &source) else {
        return;
    };
    let again = Btf::parse(section(&object, ".BTF").expect("a .BTF section")).expect("clang's BTF");
    let (ours, theirs) = (described(&btf), described(&again));
    let mut compared = 0;
    for (key, their) in &theirs {
        let Some(our) = ours.get(key).filter(|_| key.0.is_composite()) else {
            continue;
        };
        assert_eq!(our, their, "{key:?}");
        compared += 1;
    }
    assert!(compared > 5_000, "only {compared} types compared");
}

#[test]
fn headers_of_debians_objects_compile() {
    let directory = scratch("objects_h");
    for path in debian_objects() {
        let object = std::fs::read(&path).expect("read the object");
        let Some(bytes) = section(&object, ".BTF") else {
            continue;
        };
        let btf = Btf::parse(bytes).expect("Debian's BTF parses");
        let file = directory
            .join(path.file_stem().expect("a name"))
            .with_extension("c");
        std::fs::write(&file, header(&btf) + &assertions(&btf)).expect("write");
        check_syntax("clang-19", &["--target=bpf"], &file);
        check_syntax("gcc", &["-std=gnu11"], &file);
    }
}

#[test]
fn every_name_of_bpftools_header_is_in_ours() {
    let Some(btf) = vmlinux() else { return };
    let arguments = ["btf", "dump", "file", VMLINUX, "format", "c"];
    let Some(theirs) = stdout_of("bpftool", &arguments) else {
        return;
    };
    let definitions = |text: &str| -> HashSet<String> {
        text.lines()
            .filter(|line| line.ends_with('{') && !line.starts_with([' ', '\t', '}']))
            .map(str::to_string)
            .collect()
    };
    let (ours, theirs) = (definitions(&header(&btf)), definitions(&theirs));
    let missing: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
