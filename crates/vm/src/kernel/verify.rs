//! The verifier's part of PROG_LOAD: what it is asked, and what it answers.

use std::sync::Arc;

use skep_abi::{Diagnostic, Errno, ProgType};
use skep_isa::Slot;
use skep_sys::{Input, ProgLoad};
use skep_verify::{FuncInfo, LineInfo, Log, MapDef, MapRef, Program, verify};

use super::prog::write_log;
use super::vm::Vm;
use crate::objects::map::MapHandle;
use crate::objects::program::Proof;

/// The maps that a program was judged with, by the fds that it names them by.
pub(super) type Judged = Vec<(i32, Arc<MapHandle>)>;

/// Verifies what PROG_LOAD was given; writes the log either way.
///
/// # Errors
/// The verdict's errno; `EBADF` for a BTF fd that is none, `ENOSPC` for a log that does
/// not fit its buffer.
pub(super) fn check(
    vm: &Vm,
    attr: &mut ProgLoad<'_>,
    kind: ProgType,
    slots: &[Slot],
) -> Result<(Proof, Judged), Errno> {
    let (program, handles) = program(vm, attr, kind, slots)?;
    let program = Arc::new(program);
    let mut log = Log::new(attr.log_level);
    let verdict = verify(&program, &vm.verifier_env(), &mut log);
    if let Err(error) = &verdict {
        let message = error.reason.to_string();
        attr.diagnostic = Some(Diagnostic { pc: error.pc, message, trap: None });
    }
    let (level, size) = (attr.log_level, attr.log_size);
    let written = write_log(&mut attr.log_buf, level, size, &mut attr.log_true_size, log.text());
    // A log that was cut is told before the verdict is, as `bpf_vlog_finalize` does.
    written?;
    let verified = verdict.map_err(|error| error.errno)?;
    let handle_of = |definition: &Arc<MapDef>| {
        let at = program.maps.iter().position(|map| Arc::ptr_eq(&map.map, definition))?;
        Some(Arc::clone(&handles[at]))
    };
    let maps = verified.facts().maps.iter().map(handle_of).collect();
    let judged = program.maps.iter().map(|map| map.fd).zip(handles.iter().cloned()).collect();
    Ok((Proof { verified, maps }, judged))
}

fn program(
    vm: &Vm,
    attr: &ProgLoad<'_>,
    kind: ProgType,
    slots: &[Slot],
) -> Result<(Program, Vec<Arc<MapHandle>>), Errno> {
    let fd_array: Option<Vec<i32>> = attr.fd_array.is_some().then(|| {
        let bytes = attr.fd_array.as_deref().unwrap_or_default();
        bytes.chunks_exact(4).map(|word| word_at(word, 0) as i32).collect()
    });
    // Without records to check, Linux does not look at the BTF.
    let btf = match attr.func_info_cnt | attr.line_info_cnt {
        0 => None,
        _ => Some(vm.files().btf(attr.prog_btf_fd)?.types.clone()),
    };
    let func_info = records(&attr.func_info, attr.func_info_rec_size, attr.func_info_cnt)
        .map(|record| FuncInfo { pc: word_at(record, 0), type_id: word_at(record, 4) })
        .collect();
    let line_info = records(&attr.line_info, attr.line_info_rec_size, attr.line_info_cnt)
        .map(|record| LineInfo {
            pc: word_at(record, 0),
            file_name_off: word_at(record, 4),
            line_off: word_at(record, 8),
            line: word_at(record, 12) >> 10,
            column: word_at(record, 12) & 0x3ff,
        })
        .collect();
    let (maps, handles) = maps(vm, slots, fd_array.as_deref().unwrap_or_default());
    let end = attr.prog_name.iter().position(|&byte| byte == 0).unwrap_or(attr.prog_name.len());
    let program = Program {
        slots: slots.to_vec(),
        kind,
        attach_type: attr.expected_attach_type,
        flags: attr.prog_flags,
        gpl: skep_abi::is_gpl_compatible(attr.license.as_deref().unwrap_or_default()),
        name: String::from_utf8_lossy(&attr.prog_name[..end]).into_owned(),
        maps,
        fd_array,
        btf,
        func_info,
        line_info,
        modules: Vec::new(),
        attach_btf_id: attr.attach_btf_id,
    };
    Ok((program, handles))
}

/// The maps that immediates name. An fd that is no map is the verifier's to report.
fn maps(vm: &Vm, slots: &[Slot], fd_array: &[i32]) -> (Vec<MapRef>, Vec<Arc<MapHandle>>) {
    const LD_IMM64: u8 = 0x18;
    let mut maps: Vec<MapRef> = Vec::new();
    let mut handles: Vec<Arc<MapHandle>> = Vec::new();
    for slot in slots.iter().filter(|slot| slot.code == LD_IMM64) {
        let fd = match slot.src {
            1 | 2 => Some(slot.imm),
            5 | 6 => usize::try_from(slot.imm).ok().and_then(|at| fd_array.get(at).copied()),
            _ => None,
        };
        let Some(fd) = fd.filter(|&fd| maps.iter().all(|known| known.fd != fd)) else { continue };
        let Ok(handle) = vm.files().map(fd as u32) else { continue };
        // Two fds of one map are one map.
        let same = handles.iter().position(|known| Arc::ptr_eq(known, &handle));
        let map = match same {
            Some(at) => Arc::clone(&maps[at].map),
            None => Arc::new(handle.definition()),
        };
        maps.push(MapRef { fd, map });
        handles.push(handle);
    }
    (maps, handles)
}

/// Records of `size` bytes, of which the first 16 count.
fn records<'i>(input: &'i Input<'_>, size: u32, count: u32) -> impl Iterator<Item = &'i [u8]> {
    let bytes = input.as_deref().unwrap_or_default();
    bytes.chunks_exact(size.max(4) as usize).take(count as usize)
}

/// The word at an offset; 0 beyond the end.
fn word_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_ne_bytes)
}
