//! What the programs share: kernels, maps, programs, packets, in as few words as possible.
#![allow(dead_code, reason = "each program takes what it needs")]

use std::sync::Arc;

use skep::sys::{Command, Errno, Fd, Kernel, Linux, MapCreate, MapElem, ProgLoad, TestRun};

/// The machine's kernel, where it permits bpf(2); else says `skipped: `.
pub fn linux() -> Option<Arc<dyn Kernel>> {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    match Fd::open(&kernel, &mut creating(2, 4, 1, 0)) {
        Ok(_) => Some(kernel),
        Err(_) => {
            println!("skipped: bpf(2) is not permitted");
            None
        }
    }
}

/// An instruction from its fields.
pub fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let mut bytes = [code, src << 4 | dst, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&off.to_ne_bytes());
    bytes[4..].copy_from_slice(&imm.to_ne_bytes());
    bytes
}

/// A PROG_LOAD.
pub fn loading(prog_type: u32, insns: &[[u8; 8]]) -> Command<'static> {
    Command::ProgLoad(Box::new(ProgLoad {
        prog_type,
        insn_cnt: insns.len() as u32,
        insns: Some(insns.concat().into()),
        license: Some(b"GPL\0"[..].into()),
        ..ProgLoad::default()
    }))
}

/// PROG_LOAD; gives the fd's number.
pub fn load(kernel: &dyn Kernel, prog_type: u32, insns: &[[u8; 8]]) -> Result<u32, Errno> {
    kernel.bpf(&mut loading(prog_type, insns))
}

/// A MAP_CREATE with keys of 4 bytes.
pub fn creating(
    map_type: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
) -> Command<'static> {
    Command::MapCreate(MapCreate {
        map_type,
        key_size: 4,
        value_size,
        max_entries,
        map_flags,
        ..MapCreate::default()
    })
}

/// MAP_CREATE; gives the fd's number.
pub fn map(
    kernel: &dyn Kernel,
    map_type: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
) -> Result<u32, Errno> {
    kernel.bpf(&mut creating(map_type, value_size, max_entries, map_flags))
}

/// MAP_LOOKUP_ELEM into `value`.
pub fn lookup(kernel: &dyn Kernel, map_fd: u32, key: u32, value: &mut [u8]) -> Result<u32, Errno> {
    let key = key.to_ne_bytes();
    kernel.bpf(&mut Command::MapLookup(MapElem {
        map_fd,
        key: Some(key[..].into()),
        value: value.into(),
        ..MapElem::default()
    }))
}

/// MAP_UPDATE_ELEM.
pub fn update(kernel: &dyn Kernel, map_fd: u32, key: u32, value: &mut [u8]) -> Result<u32, Errno> {
    let key = key.to_ne_bytes();
    kernel.bpf(&mut Command::MapUpdate(MapElem {
        map_fd,
        key: Some(key[..].into()),
        value: value.into(),
        ..MapElem::default()
    }))
}

/// PROG_TEST_RUN on a packet of 64 zeroes; the error tells the trap where there is one.
pub fn run(kernel: &dyn Kernel, prog_fd: u32) -> (Result<u32, Errno>, Option<String>) {
    let packet = [0u8; 64];
    let mut command = Command::TestRun(Box::new(TestRun {
        prog_fd,
        data_size_in: 64,
        data_in: Some(packet[..].into()),
        ..TestRun::default()
    }));
    let result = kernel.bpf(&mut command);
    let Command::TestRun(run) = command else { unreachable!("it was made above") };
    (result, run.diagnostic.map(|diagnostic| diagnostic.message.to_string()))
}
