//! The verifier's part of PROG_LOAD: what it is asked, and what it answers.

use std::sync::Arc;

use skep_abi::{Diagnostic, Errno, ProgType};
use skep_isa::Slot;
use skep_sys::{Input, ProgLoad};
use skep_verify::{FuncInfo, LineInfo, Log, MapDef, Program, verify_with};

use super::prog::write_log;
use super::vm::Vm;
use crate::objects::map::MapHandle;
use crate::objects::program::{LinkedCode, Proof};

/// Verifies what PROG_LOAD was given; writes the log either way. Gives what engines run.
///
/// # Errors
/// The verdict's errno; `EBADF` for a BTF fd that is none, `ENOSPC` for a log that does
/// not fit its buffer.
pub(super) fn check(
    vm: &Vm,
    attr: &mut ProgLoad<'_>,
    kind: ProgType,
    slots: &[Slot],
) -> Result<(Proof, LinkedCode), Errno> {
    let program = Arc::new(program(vm, attr, kind, slots)?);
    let mut log = Log::new(attr.log_level);
    let mut judged = Judged::default();
    let resolve = &mut |fd| judged.resolve(vm, fd);
    let verdict = verify_with(&program, &vm.verifier_env(), resolve, &mut log);
    if let Err(error) = &verdict {
        let message = error.reason.to_string();
        attr.diagnostic = Some(Diagnostic { pc: error.pc, message, trap: None });
    }
    let (level, size) = (attr.log_level, attr.log_size);
    let written = write_log(&mut attr.log_buf, level, size, &mut attr.log_true_size, log.text());
    // A log that was cut is told before the verdict is, as `bpf_vlog_finalize` does.
    written?;
    let verified = verdict.map_err(|error| error.errno)?;
    let maps = verified.facts().maps.iter().map(|map| judged.handle(map)).collect();
    let linked = verified.linked();
    let code = LinkedCode {
        insns: linked.insns.as_slice().into(),
        maps: linked.maps.iter().filter_map(|map| judged.handle(map)).collect(),
        kfuncs: linked.kfuncs.clone(),
        exception_callback: linked.exception_callback,
    };
    Ok((Proof { verified, maps }, code))
}

/// The maps that a program is judged with: an fd may become another map's meanwhile, and the
/// program gets the one that was looked at.
#[derive(Default)]
struct Judged(Vec<(Arc<MapDef>, Arc<MapHandle>)>);

impl Judged {
    /// The map of an fd. Two fds of one map are one map; what is none is the verifier's to
    /// report.
    fn resolve(&mut self, vm: &Vm, fd: i32) -> Option<Arc<MapDef>> {
        let handle = vm.files().map(fd as u32).ok()?;
        if let Some((map, _)) = self.0.iter().find(|(_, known)| Arc::ptr_eq(known, &handle)) {
            return Some(Arc::clone(map));
        }
        let map = Arc::new(handle.definition());
        self.0.push((Arc::clone(&map), handle));
        Some(map)
    }

    /// The map with this definition; `None` for a pattern of what maps of maps hold.
    fn handle(&self, map: &Arc<MapDef>) -> Option<Arc<MapHandle>> {
        let found = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, map))?;
        Some(Arc::clone(&found.1))
    }
}

fn program(vm: &Vm, attr: &ProgLoad<'_>, kind: ProgType, slots: &[Slot]) -> Result<Program, Errno> {
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
    let end = attr.prog_name.iter().position(|&byte| byte == 0).unwrap_or(attr.prog_name.len());
    Ok(Program {
        slots: slots.to_vec(),
        kind,
        attach_type: attr.expected_attach_type,
        flags: attr.prog_flags,
        gpl: skep_abi::is_gpl_compatible(attr.license.as_deref().unwrap_or_default()),
        name: String::from_utf8_lossy(&attr.prog_name[..end]).into_owned(),
        maps: Vec::new(),
        fd_array,
        btf,
        func_info,
        line_info,
        modules: Vec::new(),
        attach_btf_id: attr.attach_btf_id,
        hook: vm.hook().filter(|_| kind == ProgType::Unspec).map(|hook| Arc::clone(hook.row())),
    })
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
