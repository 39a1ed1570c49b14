//! Reading and writing the format: every kind, both byte orders, split BTF, `.BTF.ext`.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{
    VMLINUX, assert_same_lines, compile_file, debian_objects, scratch, section, stdout_of, vmlinux,
};
use skep_btf::{
    Btf, Builder, Endian, Ext, FuncLinkage, Int, Kind, Member, SecVar, Type, VarLinkage, dump,
};

fn kinds() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/kinds.c")
}

fn raw(btf: &Btf) -> String {
    let mut out = Vec::new();
    dump::write_raw(btf, &mut out).expect("writing to memory");
    String::from_utf8(out).expect("names are UTF-8")
}

/// Objects of clang and of Debian: the bytes of `.BTF` and `.BTF.ext`.
fn objects() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = debian_objects()
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read(path).expect("read")))
        .collect();
    all.extend(compile_file(&kinds(), &[]).map(|object| ("kinds.c".to_string(), object)));
    all.into_iter()
        .filter_map(|(name, object)| {
            Some((name, section(&object, ".BTF")?, section(&object, ".BTF.ext")?))
        })
        .collect()
}

#[test]
fn every_kind_is_read_as_bpftool_reads_it_in_both_byte_orders() {
    for (name, arguments) in [("little", &[][..]), ("big", &["--target=bpfeb"][..])] {
        let Some(object) = compile_file(&kinds(), arguments) else {
            return;
        };
        let path = scratch(&format!("kinds_{name}")).join("kinds.o");
        std::fs::write(&path, &object).expect("write");
        let btf = Btf::parse(section(&object, ".BTF").expect("a .BTF section")).expect("parses");
        let path = path.to_string_lossy();
        let Some(theirs) = stdout_of("bpftool", &["btf", "dump", "file", &path]) else {
            return;
        };
        assert_same_lines(&raw(&btf), &theirs);
        let is_big = name == "big";
        assert_eq!(btf.endian() == Endian::Big, is_big);
        let kinds: Vec<Kind> = btf.types().map(|(_, ty)| ty.kind()).collect();
        for kind in (1..=19).filter_map(Kind::from_number) {
            assert!(kinds.contains(&kind), "no {kind} was tested");
        }
        // The other order and back.
        let other = if is_big { Endian::Little } else { Endian::Big };
        let turned = Btf::parse(btf.to_bytes(other)).expect("parses the other way round");
        assert_eq!(turned.endian(), other);
        assert_eq!(raw(&turned), raw(&btf));
        assert_eq!(turned.to_bytes(btf.endian()), btf.raw_bytes());
    }
}

#[test]
fn copying_each_type_makes_the_same_object() {
    let mut all: Vec<Arc<Btf>> = vmlinux().into_iter().collect();
    all.extend(objects().into_iter().map(|(_, btf, _)| Arc::new(Btf::parse(btf).expect("parses"))));
    for btf in &all {
        let mut builder = Builder::new();
        for (id, ty) in btf.types() {
            assert_eq!(builder.copy(&ty, |id| id), id);
        }
        let copy = builder.build().expect("what was copied is whole");
        assert_eq!(raw(&copy), raw(btf));
    }
}

#[test]
fn a_builder_that_starts_from_an_object_keeps_its_bytes_and_its_strings() {
    for (name, bytes, _) in objects() {
        let btf = Btf::parse(bytes.clone()).expect("parses");
        let mut builder = Builder::from_btf(&btf);
        assert_eq!(builder.to_bytes(btf.endian()), bytes, "{name}");
        let int = btf.find("int", Kind::Int).expect("an int");
        assert_eq!(builder.next_id(), btf.len());
        builder.var("int", int, VarLinkage::Global);
        let more = builder.build().expect("whole");
        // The string "int" was there already.
        assert_eq!(more.raw_bytes().len(), bytes.len() + 16, "{name}");
    }
}

#[test]
fn a_loader_can_complete_sections_variables_functions_and_parameters() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, Int::SIGNED);
    let var = builder.var("v", int, VarLinkage::Extern);
    let missing = SecVar { type_id: var, offset: 0, size: 0 };
    let section = builder.datasec(".ksyms", 0, &[missing]);
    let proto = builder.func_proto(int, &[("", int)]);
    let func = builder.func("f", proto, FuncLinkage::Global);

    let placed = SecVar { offset: 8, size: 4, ..missing };
    builder.set_datasec(section, 16, &[placed]).expect("a section");
    builder.set_var(var, int, VarLinkage::Global).expect("a variable");
    builder.set_func(func, proto, FuncLinkage::Static).expect("a function");
    builder.set_param_name(proto, 0, "argument").expect("a parameter");
    builder.set_name(section, ".data").expect("a type");
    for wrong in [
        builder.set_datasec(section, 16, &[]),
        builder.set_datasec(int, 16, &[]),
        builder.set_var(func, int, VarLinkage::Global),
        builder.set_param_name(proto, 1, "none"),
        builder.set_name(99, "none"),
        builder.set_name(0, "void"),
    ] {
        assert!(wrong.is_err());
    }
    let expected = "\
[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED
[2] VAR 'v' type_id=1, linkage=global
[3] DATASEC '.data' size=16 vlen=1
\ttype_id=2 offset=8 size=4 (VAR 'v')
[4] FUNC_PROTO '(anon)' ret_type_id=1 vlen=1
\t'argument' type_id=1
[5] FUNC 'f' type_id=4 linkage=static
";
    assert_eq!(raw(&builder.build().expect("whole")), expected);
}

#[test]
fn split_btf_continues_its_base_as_bpftool_reads_it() {
    let Some(base) = vmlinux() else { return };
    let task = base.find("task_struct", Kind::Struct).expect("task_struct");
    let mut builder = Builder::with_base(base.clone());
    let pointer = builder.ptr(task);
    assert_eq!(pointer, base.len());
    let member = Member { name: "task", type_id: pointer, bit_offset: 0, bitfield_size: 0 };
    let own = builder.structure("module_struct", 8, &[member]);
    let split = builder.build().expect("whole");
    assert_eq!((split.start_id(), split.len()), (base.len(), base.len() + 2));
    assert_eq!(split.find("module_struct", Kind::Struct), Some(own));
    assert_eq!(split.find("task_struct", Kind::Struct), Some(task));
    assert_eq!(split.size_of(own), Ok(8));
    let Type::Struct(composite) = split.type_by_id(own).expect("a type") else {
        panic!("not a struct");
    };
    assert_eq!(composite.members.get(0).map(|member| member.name), Some("task"));

    let path = scratch("split").join("split.btf");
    std::fs::write(&path, split.raw_bytes()).expect("write");
    let path = path.to_string_lossy();
    let Some(theirs) = stdout_of("bpftool", &["-B", VMLINUX, "btf", "dump", "file", &path]) else {
        return;
    };
    assert_same_lines(&raw(&split), &theirs);
    // Without its base it is refused, not misread.
    assert!(Btf::parse(split.raw_bytes()).is_err());
}

#[test]
fn btf_ext_is_written_as_clang_wrote_it() {
    let mut records = 0;
    for (name, btf, bytes) in objects() {
        let btf = Btf::parse(btf).expect("parses");
        let ext = Ext::parse(&bytes, &btf).expect("parses");
        assert_eq!(ext.to_bytes(btf.endian()), bytes, "{name}");
        let big = Ext::parse(&ext.to_bytes(Endian::Big), &btf).expect("parses the other way round");
        assert_eq!(big, ext, "{name}");
        for section in &ext.line_info {
            for line in &section.records {
                btf.string(line.file_name_off).expect("a file name");
                btf.string(line.line_off).expect("a line of source");
            }
            records += section.records.len();
        }
        for section in &ext.func_info {
            for function in &section.records {
                assert_eq!(btf.type_by_id(function.type_id).expect("a type").kind(), Kind::Func);
            }
        }
    }
    println!("{records} lines read and written");
}

#[test]
fn records_longer_than_known_are_read_and_the_rest_of_them_is_skipped() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 0);
    let name_off = builder.string(".text");
    let btf = builder.build().expect("whole");
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let header = [0x0001_eb9f, 24, 0, 4 + 8 + 2 * 12, 36, 0];
    let body = [12, name_off, 2, 0, int, 0xdead, 8, int, 0xdead];
    let ext = Ext::parse(&words(&[&header[..], &body[..]].concat()), &btf).expect("parses");
    let starts: Vec<u32> = ext.func_info[0].records.iter().map(|of| of.insn_off).collect();
    assert_eq!(starts, [0, 8]);
    assert!(ext.core_relos.is_empty());
}

#[test]
fn names_are_found_by_kind_and_with_all_their_flavours() {
    let mut builder = Builder::new();
    let first = builder.structure("s", 0, &[]);
    let flavour = builder.structure("s___other", 0, &[]);
    let typedef = builder.typedef("s", first);
    let other = builder.structure("t", 0, &[]);
    let btf = builder.build().expect("whole");
    assert_eq!(btf.find("s", Kind::Struct), Some(first));
    assert_eq!(btf.find("s", Kind::Typedef), Some(typedef));
    assert_eq!(btf.find("s___other", Kind::Struct), Some(flavour));
    assert_eq!(btf.find("s", Kind::Union), None);
    assert_eq!(btf.find("", Kind::Struct), None);
    assert_eq!(btf.flavors("s").collect::<Vec<_>>(), [first, flavour, typedef]);
    assert_eq!(btf.flavors("t").collect::<Vec<_>>(), [other]);
}

#[test]
fn sizes_follow_arrays_and_typedefs_and_nothing_has_the_size_of_a_function() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, Int::SIGNED);
    let array = builder.array(int, int, 5);
    let matrix = builder.array(array, int, 3);
    let typedef = builder.typedef("matrix", matrix);
    let constant = builder.qualifier(Kind::Const, typedef);
    let pointer = builder.ptr(constant);
    let proto = builder.func_proto(0, &[]);
    let forward = builder.forward("f", false);
    let vast = builder.array(constant, int, u32::MAX);
    let btf = builder.build().expect("whole");
    assert_eq!(btf.size_of(constant), Ok(60));
    assert_eq!(btf.size_of(pointer), Ok(8));
    assert_eq!(btf.align_of(constant), Ok(4));
    assert_eq!(btf.resolve_modifiers(constant), Ok(matrix));
    for none in [0, proto, forward, vast, 99] {
        assert!(btf.size_of(none).is_err(), "[{none}]");
    }
}
