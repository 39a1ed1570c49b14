//! The printed header compiles, and compilers lay its types out as BTF says.

mod common;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

use common::{
    VMLINUX, compile, compile_file, debian_objects, run, scratch, section, stdout_of, vmlinux,
};
use skep_btf::{Btf, Builder, Composite, Kind, Member, Type, c};

fn header(btf: &Btf) -> String {
    let mut out = Vec::new();
    c::write_header(btf, &mut out).expect("the types can be written as C");
    String::from_utf8(out).expect("the header is UTF-8")
}

/// Structs and unions whose name is C's and theirs alone, as `struct name`.
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
        .filter(|(_, composite)| !composite.name.contains(':'))
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
        writeln!(text, "_Static_assert(sizeof({tag}) == {}, \"{tag}\");", composite.size).unwrap();
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
    assert!(output.status.success(), "{compiler} {file}:\n{}", first.join("\n"));
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
    assert!(different.len() < all / 100, "{} of {all} differ", different.len());
}

/// Every type by kind and name, with what C says of it.
fn described(btf: &Btf) -> HashMap<(Kind, String), String> {
    let mut all = HashMap::new();
    for (tag, composite) in unique_composites(btf) {
        let mut named = Vec::new();
        members(btf, &composite, 0, &mut named);
        let text = format!("size {} members {named:?}", composite.size);
        let kind = if tag.starts_with('s') { Kind::Struct } else { Kind::Union };
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
        let file = directory.join(path.file_stem().expect("a name")).with_extension("c");
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

/// Compiles a header with its assertions, with both compilers.
fn check_header(name: &str, btf: &Btf) -> String {
    let text = header(btf);
    let file = scratch(name).join("check.c");
    std::fs::write(&file, text.clone() + &assertions(btf)).expect("write");
    check_syntax("clang-19", &["--target=bpf"], &file);
    check_syntax("gcc", &["-std=gnu11"], &file);
    text
}

#[test]
fn every_kind_comes_back_from_its_c() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds.c");
    let Some(object) = compile_file(&source, &["-DHEADER"]) else {
        return;
    };
    let btf = Btf::parse(section(&object, ".BTF").expect("a .BTF section")).expect("parses");
    let text = check_header("kinds_h", &btf)
        + "struct everything a; struct aligned b; struct bits c; enum wide_negative d;\n\
           enum wide e; enum negative f; enum plain g;";
    let Some(object) = compile("kinds_again", &text) else {
        return;
    };
    let again = Btf::parse(section(&object, ".BTF").expect("a .BTF section")).expect("parses");
    let (ours, theirs) = (described(&again), described(&btf));
    for name in ["everything", "packed", "aligned", "bits", "aligned_union"] {
        let kind = if name.contains("union") { Kind::Union } else { Kind::Struct };
        let key = (kind, name.to_string());
        assert!(ours.contains_key(&key), "{name}");
        assert_eq!(ours[&key], theirs[&key], "{name}");
    }
    for name in ["wide", "wide_negative"] {
        let key = (Kind::Enum64, name.to_string());
        assert_eq!(ours[&key], theirs[&key], "{name}");
    }
    for line in [
        "\tint (*fn)(const char *, ...);",
        "\tint (*(*fn_fn)(void (*)(int), long *))(void);",
        "\tconst volatile int *restrict cv;",
        "\tint *const *volatile pp;",
        "\tchar (*matrix[2])[5][6];",
        "\tint __attribute__((btf_type_tag(\"user\"))) *tagged;",
        "\tstruct everything *self;",
        "\tint flexible[0];",
        "typedef callback *callbacks[2];",
    ] {
        let found = text.lines().any(|of| of.replace("long int", "long") == line);
        assert!(found, "no line {line:?} in:\n{text}");
    }
}

#[test]
fn names_that_c_does_not_take_are_made_to_fit() {
    let mut builder = Builder::new();
    let unsigned = builder.int("u32", 4, 0);
    let wide = builder.int("usize", 8, 0);
    let field = |name, type_id, bit_offset| Member { name, type_id, bit_offset, bitfield_size: 0 };
    let members = [field("int", unsigned, 0), field("__0", wide, 64), field("2nd", unsigned, 128)];
    builder.structure("core::option::Option<u32>", 24, &members);
    builder.structure("same", 4, &[field("a", unsigned, 0)]);
    builder.structure("same", 8, &[field("b", wide, 0)]);
    builder.union("same", 8, &[field("c", wide, 0)]);
    builder.typedef("same", unsigned);
    builder.forward("same", true);
    builder.forward("later", false);
    builder.union("later", 4, &[field("u", unsigned, 0)]);
    builder.enumeration("first", 4, false, &[("A", 0), ("same", 1)]);
    builder.enumeration("second", 4, false, &[("A", 2)]);
    builder.type_tag("\"))) injected ((", unsigned, true);
    let text = check_header("names_h", &builder.build().expect("whole"));
    for expected in [
        "typedef unsigned int u32;",
        "struct core__option__Option_u32_ {\n\tu32 int_;\n\tusize __0;\n\tu32 _2nd;\n}",
        "struct same {\n\tu32 a;\n}",
        "struct same___2 {\n\tusize b;\n}",
        "union same___3 {\n\tusize c;\n}",
        "typedef u32 same;",
        "union same___union;",
        "struct later___struct;",
        "union later {",
        "\tA = 0,\n\tsame___2 = 1,",
        "\tA___2 = 2,",
    ] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    assert!(!text.contains("injected"));
}

#[test]
fn bitfields_of_old_compilers_are_printed_as_bitfields() {
    let mut builder = Builder::new();
    let unsigned = builder.int("unsigned int", 4, 0);
    // Three bits, from bit 5 of an unsigned int on.
    let mut bytes = builder.to_bytes(skep_btf::Endian::Little);
    bytes[24 + 12..24 + 16].copy_from_slice(&[3, 0, 5, 0]);
    let old = Btf::parse(bytes).expect("parses");
    let mut builder = Builder::from_btf(&old);
    let member = |name, type_id| Member { name, type_id, bit_offset: 0, bitfield_size: 0 };
    builder.structure("old", 4, &[member("field", unsigned)]);
    let text = header(&builder.build().expect("whole"));
    let expected = "struct old {\n\tchar: 5;\n\tunsigned int field: 3;\n};";
    assert!(text.contains(expected), "{text}");
}
