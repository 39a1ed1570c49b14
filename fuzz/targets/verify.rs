//! Any bytes as a program, with any types, maps and capabilities: a verdict and a log,
//! never a panic, a hang or more memory than libFuzzer allows; the same verdict with and
//! without a log, and with an explanation.
#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use skep_abi::{Capabilities, MapType, ProgType};
use skep_btf::Btf;
use skep_isa::arbitrary::Program as Insns;
use skep_isa::{Slot, encode};
use skep_verify::explain::explain;
use skep_verify::{Env, FuncInfo, LineInfo, Log, MapDef, MapRef, Program, message, verify};

static KERNEL: LazyLock<Option<Arc<Btf>>> = LazyLock::new(|| {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Some(Arc::new(Btf::parse(bytes).ok()?))
});

fn program(input: &mut Unstructured<'_>) -> Result<(Program, Env, u32)> {
    let map = |fd, kind, key_size, value_size, flags| MapRef {
        fd,
        map: Arc::new(MapDef {
            kind,
            key_size,
            value_size,
            max_entries: 4,
            flags,
            ..MapDef::default()
        }),
    };
    let kind = input.int_in_range(0..=33u32)?;
    let caps = Capabilities::from_bits_truncate(u8::arbitrary(input)?);
    let level = input.int_in_range(0..=7u32)?;
    let flags = u32::from(u8::arbitrary(input)?);
    let mut program = Program {
        kind: ProgType::from_number(kind).unwrap_or(ProgType::Xdp),
        attach_type: u32::from(u8::arbitrary(input)?),
        flags,
        gpl: bool::arbitrary(input)?,
        maps: vec![
            map(3, MapType::Array, 4, 16, 0),
            map(4, MapType::Hash, 8, 40, 0),
            map(5, MapType::Ringbuf, 0, 0, 0),
            map(6, MapType::ProgArray, 4, 4, 0),
            map(7, MapType::PercpuArray, 4, 8, 0),
        ],
        attach_btf_id: input.int_in_range(0..=200_000)?,
        ..Program::default()
    };
    if bool::arbitrary(input)? {
        let types = Vec::<u8>::arbitrary(input)?;
        program.btf = Btf::parse(types).ok().map(Arc::new);
        let infos = Vec::<(u8, u8)>::arbitrary(input)?;
        program.func_info =
            infos.iter().map(|&(pc, id)| FuncInfo { pc: pc.into(), type_id: id.into() }).collect();
        program.line_info = infos
            .iter()
            .map(|&(pc, at)| LineInfo {
                pc: pc.into(),
                file_name_off: at.into(),
                line_off: at.into(),
                line: 1,
                column: 1,
            })
            .collect();
    }
    program.slots = match bool::arbitrary(input)? {
        true => encode(&Insns::arbitrary(input)?.0),
        false => {
            let bytes = input.bytes(input.len())?;
            Slot::split(&bytes[..bytes.len() & !7]).unwrap_or_default()
        }
    };
    let env = Env { caps, vmlinux: KERNEL.clone(), cpus: 2, mitigations: flags & 128 == 0 };
    Ok((program, env, level))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((program, env, level)) = program(&mut Unstructured::new(bytes)) else { return };
    let program = Arc::new(program);
    let mut log = Log::new(level);
    let verdict = verify(&program, &env, &mut log);
    let silent = verify(&program, &env, &mut Log::silent());
    assert_eq!(verdict.as_ref().err(), silent.as_ref().err(), "the log changes nothing");
    if let Err(error) = verdict {
        let said = error.reason.to_string();
        if level & 3 != 0 && !said.is_empty() && !said.contains('\n') {
            assert_eq!(message(log.text()), said);
        }
        let again = explain(&program, &env).expect("refused again");
        assert_eq!(again.0, error);
    }
});
