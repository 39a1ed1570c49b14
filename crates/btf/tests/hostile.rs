//! Bad input is an error with a place in it: no panic, no hang, no run on memory.

mod common;

use std::sync::Arc;

use common::{compile_file, section};
use skep_btf::core::{Resolver, Targets};
use skep_btf::{Btf, BtfError, Builder, Ext, Int, Kind, Member, c, dump, value};

fn member(name: &'static str, type_id: u32, bit_offset: u32) -> Member<'static> {
    Member { name, type_id, bit_offset, bitfield_size: 0 }
}

/// All that can be asked of an object, whatever the answers.
fn exercise(btf: &Arc<Btf>) {
    exercise_types(btf, 0..btf.len().min(2_000));
}

fn exercise_types(btf: &Arc<Btf>, ids: impl IntoIterator<Item = u32>) {
    let _ = dump::write_raw(btf, &mut std::io::sink());
    let _ = c::write_header(btf, &mut std::io::sink());
    for id in ids {
        let _ = btf.size_of(id);
        let _ = btf.align_of(id);
        let _ = btf.resolve_modifiers(id);
        let _ = c::declaration(btf, id, "x");
        let _ = value::decode(btf, id, &[0x5a; 64]);
        let _ = value::encode(btf, id, "{ a: 1, b: [1, 2, {}] }");
        let _ = value::encode(btf, id, "7");
    }
}

fn exercise_records(btf: &Arc<Btf>, ext: &Ext, kernel: &Arc<Btf>) {
    let targets = Targets::new(kernel.clone());
    let mut resolver = Resolver::new(btf, &targets);
    for record in ext.core_relos.iter().flat_map(|section| &section.records) {
        let _ = resolver.resolve(record);
    }
}

/// A small object with a type of each kind and records of each kind.
fn sample() -> Option<(Vec<u8>, Vec<u8>)> {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let object = compile_file(&manifest.join("tests/core/program.c"), &["-DHOSTILE"])?;
    Some((section(&object, ".BTF")?, section(&object, ".BTF.ext")?))
}

#[test]
fn each_truncation_is_an_error() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, Int::SIGNED);
    builder.structure("s", 8, &[member("a", int, 0), member("b", int, 32)]);
    let whole = builder.to_bytes(skep_btf::Endian::Little);
    for len in 0..whole.len() {
        assert!(Btf::parse(&whole[..len]).is_err(), "{len} of {} bytes", whole.len());
    }
    assert!(Btf::parse(whole).is_ok());
}

#[test]
fn errors_say_where_and_what() {
    let mut builder = Builder::new();
    builder.ptr(7);
    let error = builder.build().expect_err("there is no [7]").to_string();
    assert_eq!(error, "type [1] at offset 24: target: no type [7] among 2");

    let mut bytes = Builder::new().to_bytes(skep_btf::Endian::Little);
    bytes[0] = 0;
    let error = Btf::parse(bytes).expect_err("no magic").to_string();
    assert_eq!(error, "magic at offset 0 is 0xeb00, expected 0xeb9f, the mark of BTF");

    let mut builder = Builder::new();
    builder.ptr(0);
    let mut bytes = builder.to_bytes(skep_btf::Endian::Little);
    bytes[24 + 7] = 31;
    let error = Btf::parse(bytes).expect_err("no such kind").to_string();
    assert_eq!(error, "type [1] at offset 24: unknown kind 31");
}

#[test]
fn cycles_are_errors() {
    let mut builder = Builder::new();
    let typedef = builder.typedef("t", 2);
    let constant = builder.qualifier(Kind::Const, 1);
    let within = builder.structure("within_itself", 4, &[member("s", 3, 0)]);
    let array = builder.array(4, 4, 0);
    let anonymous = builder.structure("", 4, &[member("", 5, 0)]);
    let pointer = builder.ptr(6);
    let btf = Arc::new(builder.build().expect("all ids exist"));
    for id in [typedef, constant, array] {
        assert!(matches!(btf.size_of(id), Err(BtfError::Nesting { .. })), "[{id}]");
    }
    for id in [typedef, within, array, anonymous] {
        assert!(matches!(btf.align_of(id), Err(BtfError::Nesting { .. })), "[{id}]");
    }
    for id in [array, anonymous, pointer] {
        assert!(c::declaration(&btf, id, "x").is_err(), "[{id}]");
    }
    assert!(c::write_header(&btf, &mut std::io::sink()).is_err());
    exercise(&btf);
}

#[test]
fn types_that_fan_out_do_not_fan_out_here() {
    // Each level mentions the one below it many times: 200^60 members in all.
    let mut builder = Builder::new();
    let int = builder.int("int", 4, Int::SIGNED);
    let mut level = builder.structure("", 0, &[member("", int, 0)]);
    for _ in 0..60 {
        let members = vec![member("", level, 0); 200];
        level = builder.union("", 0, &members);
    }
    let mut proto = builder.func_proto(0, &[]);
    for _ in 0..60 {
        proto = builder.func_proto(proto, &vec![("", proto); 200]);
    }
    let top = builder.structure("top", 0, &[member("", level, 0), member("fan", proto, 0)]);
    let typedef = builder.typedef("fan", proto);
    let access = builder.string("0:1");
    let btf = Arc::new(builder.build().expect("all ids exist"));
    exercise_types(&btf, [level, proto, top, typedef]);
    let targets = Targets::new(btf.clone());
    for kind in 0..13 {
        for type_id in [top, proto] {
            let record = skep_btf::core::Relocation {
                insn_off: 0,
                type_id,
                access_str_off: access,
                kind: skep_btf::core::RelocationKind::from_number(kind),
            };
            let _ = Resolver::new(&btf, &targets).resolve(&record);
        }
    }
}

#[test]
fn long_chains_and_deep_nests_end() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, Int::SIGNED);
    let (mut chain, mut nest, mut pointers, mut named) = (int, int, int, int);
    for index in 0..100_000 {
        chain = builder.qualifier(Kind::Const, chain);
        pointers = builder.ptr(pointers);
        nest = builder.structure("", 4, &[member("", nest, 0)]);
        named = builder.structure(&format!("s{index}"), 4, &[member("m", named, 0)]);
    }
    let btf = Arc::new(builder.build().expect("all ids exist"));
    for id in [chain, nest, pointers, named] {
        let _ = btf.size_of(id);
        let _ = btf.align_of(id);
        let _ = c::declaration(&btf, id, "x");
        let _ = value::decode(&btf, id, &[0; 4]);
    }
    let _ = c::write_header(&btf, &mut std::io::sink());
}

#[test]
fn counts_larger_than_the_input_cost_nothing() {
    // 65535 members announced, none there.
    let mut builder = Builder::new();
    builder.structure("s", 4, &[]);
    let mut bytes = builder.to_bytes(skep_btf::Endian::Little);
    bytes[28..30].copy_from_slice(&u16::MAX.to_le_bytes());
    assert!(matches!(Btf::parse(bytes), Err(BtfError::Truncated { .. })));

    let mut builder = Builder::new();
    let int = builder.int("int", 4, 0);
    let empty = builder.structure("empty", 0, &[]);
    let array = builder.array(empty, int, u32::MAX);
    let gap = builder.structure("gap", u32::MAX, &[member("a", int, 0)]);
    let btf = builder.build().expect("all ids exist");
    let decoded = value::decode(&btf, array, &[]).expect("nothing to read");
    assert_eq!(decoded.to_string(), "[]");
    assert!(value::encode(&btf, gap, "{}").is_err());
    assert!(matches!(c::write_header(&btf, &mut std::io::sink()), Err(BtfError::TooLarge { .. })));
}

#[test]
fn btf_ext_that_lies_about_its_lengths_is_an_error() {
    let Some((btf, good)) = sample() else { return };
    let btf = Btf::parse(btf).expect("parses");
    assert!(Ext::parse(&good, &btf).is_ok());
    for len in 0..good.len() {
        assert!(Ext::parse(&good[..len], &btf).is_err(), "{len} of {} bytes", good.len());
    }
    // Each header field and each record size and count, one larger than it should be.
    let first_part = 32;
    for at in [4, 12, 20, 28, first_part, first_part + 8] {
        let mut bad = good.clone();
        bad[at] = bad[at].wrapping_add(1);
        assert!(Ext::parse(&bad, &btf).is_err(), "byte {at}");
        let mut bad = good.clone();
        bad[at..at + 4].fill(0xff);
        assert!(Ext::parse(&bad, &btf).is_err(), "word at {at}");
    }
}

#[test]
fn changed_bytes_are_errors_or_other_types_and_nothing_else() {
    let Some((btf, ext)) = sample() else { return };
    let kernel = Arc::new(Btf::parse(btf.clone()).expect("parses"));
    // A fixed sequence, so that a failure comes again.
    let mut numbers = fastrand::Rng::with_seed(1);
    let mut random = |below: usize| numbers.usize(..below);
    let mut parsed = 0;
    for _ in 0..400 {
        let (mut bad, mut bad_ext) = (btf.clone(), ext.clone());
        for _ in 0..1 + random(6) {
            let at = random(bad.len());
            bad[at] = match random(3) {
                0 => random(256) as u8,
                1 => bad[at] ^ 1 << random(8),
                _ => bad[random(bad.len())],
            };
            let at = random(bad_ext.len());
            bad_ext[at] ^= 1 << random(8);
        }
        let Ok(types) = Btf::parse(bad).map(Arc::new) else {
            continue;
        };
        parsed += 1;
        exercise(&types);
        for bytes in [&ext, &bad_ext] {
            if let Ok(records) = Ext::parse(bytes, &types) {
                exercise_records(&types, &records, &kernel);
                exercise_records(&types, &records, &types);
            }
        }
        if let Ok(records) = Ext::parse(&ext, &kernel) {
            exercise_records(&kernel, &records, &types);
        }
    }
    assert!(parsed > 50, "only {parsed} of 400 changed objects were parsed");
}
