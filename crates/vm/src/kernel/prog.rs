//! PROG_LOAD.

use skep_abi::limits::MAX_INSNS;
use std::sync::{Arc, OnceLock};

use skep_abi::flags::prog as prog_flags;
use skep_abi::{Diagnostic, Kfunc, ProgType, Sleeps};
use skep_btf::Type;
use skep_isa::{Imm64, ImmKind, Slot};
use skep_sys::{Errno, Output, ProgLoad};

use super::vm::Vm;
use super::{check_name, input};
use crate::objects::program::{LinkedCode, Program, Proof, link};
use crate::objects::table::Object;

const KNOWN_FLAGS: u32 = prog_flags::STRICT_ALIGNMENT
    | prog_flags::ANY_ALIGNMENT
    | prog_flags::TEST_RND_HI32
    | prog_flags::TEST_STATE_FREQ
    | prog_flags::SLEEPABLE
    | prog_flags::XDP_HAS_FRAGS
    | prog_flags::XDP_DEV_BOUND_ONLY
    | prog_flags::TEST_REG_INVARIANTS
    | prog_flags::TOKEN_FD;

pub(super) fn load(vm: &Vm, attr: &mut ProgLoad<'_>) -> Result<u32, Errno> {
    if attr.prog_flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if attr.prog_flags & prog_flags::TOKEN_FD != 0 {
        // There are no tokens here: no fd can be one.
        vm.files().get(attr.prog_token_fd as u32)?;
        return Err(Errno::EINVAL);
    }
    if attr.insn_cnt == 0 || attr.insn_cnt > MAX_INSNS as u32 {
        return Err(Errno::E2BIG);
    }
    if attr.attach_prog_fd != 0 {
        let files = vm.files();
        if files.prog(attr.attach_prog_fd).is_err() {
            return Err(match files.btf(attr.attach_prog_fd) {
                Ok(_) => Errno::ENOTSUPP,
                Err(_) => Errno::EINVAL,
            });
        }
    }
    let prog_type = check_attach(vm, attr)?;
    let insns = input(&attr.insns, attr.insn_cnt as usize * Slot::SIZE)?;
    let license = attr.license.as_deref().ok_or(Errno::EFAULT)?;
    if !license.iter().take(128).any(|&byte| byte == 0) && license.len() < 127 {
        return Err(Errno::EFAULT);
    }
    if attr.signature.is_some() {
        // There are no keys to check a signature with.
        return Err(Errno::EOPNOTSUPP);
    }
    check_device(attr)?;
    let Some(prog_type) = prog_type else { return Err(Errno::EINVAL) };
    check_name(&attr.prog_name)?;
    check_sleepable(prog_type, attr.prog_flags)?;
    check_log(attr.log_level, attr.log_size, attr.log_buf.is_null())?;

    let slots = Slot::split(insns).ok_or(Errno::EINVAL)?;
    let (proof, linked) = match vm.verifies() {
        true => {
            let (proof, linked) = super::verify::check(vm, attr, prog_type, &slots)?;
            (Some(Arc::new(proof)), linked)
        }
        false => (None, link_unverified(vm, attr, &slots)?),
    };
    // Without records to check, Linux does not look at the BTF.
    let btf_id = match attr.func_info_cnt | attr.line_info_cnt {
        0 => 0,
        _ => vm.files().btf(attr.prog_btf_fd)?.id,
    };
    let tag = skep_verify::tag(&slots);
    publish(vm, attr, prog_type, linked, btf_id, proof, tag)
}

/// Links what no verifier looks at.
fn link_unverified(vm: &Vm, attr: &mut ProgLoad<'_>, slots: &[Slot]) -> Result<LinkedCode, Errno> {
    let fds = attr.fd_array.as_deref().unwrap_or_default();
    let fd_array: Vec<u32> = fds.as_chunks().0.iter().map(|&fd| u32::from_ne_bytes(fd)).collect();
    let map = |imm: Imm64| {
        let fd = match imm.kind {
            ImmKind::MapIdx | ImmKind::MapIdxValue => {
                *fd_array.get(imm.lo as usize).ok_or(Errno::EFAULT)?
            }
            _ => imm.lo,
        };
        vm.files().map(fd)
    };
    let kfunc = |btf_id: i32| {
        let types = vm.verifier_env().vmlinux?;
        match types.type_by_id(u32::try_from(btf_id).ok()?).ok()? {
            Type::Func { name, .. } => Kfunc::from_name(name),
            _ => None,
        }
    };
    link(slots, map, kfunc).map_err(|error| {
        let message = error.to_string();
        let text = format!("{message}\n");
        attr.diagnostic = Some(Diagnostic { pc: Some(error.pc()), message, trap: None });
        let (level, size) = (attr.log_level, attr.log_size);
        let written = write_log(&mut attr.log_buf, level, size, &mut attr.log_true_size, &text);
        written.err().unwrap_or(error.errno())
    })
}

fn publish(
    vm: &Vm,
    attr: &ProgLoad<'_>,
    prog_type: ProgType,
    linked: LinkedCode,
    btf_id: u32,
    proof: Option<Arc<Proof>>,
    tag: [u8; 8],
) -> Result<u32, Errno> {
    let program = vm.objects().progs.enter(|id| {
        let program = Program {
            prog_type,
            expected_attach_type: attr.expected_attach_type,
            flags: attr.prog_flags,
            insns: linked.insns,
            maps: linked.maps,
            kfuncs: linked.kfuncs,
            exception_callback: linked.exception_callback,
            name: attr.prog_name,
            tag,
            id,
            btf_id,
            proof,
            hook: vm.hook().filter(|_| prog_type == ProgType::Unspec).cloned(),
            code: OnceLock::new(),
        };
        let admitted = program.maps.iter().all(|map| map.admits(&program));
        if admitted { Ok(program) } else { Err(Errno::EINVAL) }
    })?;
    Ok(vm.files().open(Object::Prog(program)) as u32)
}

/// `bpf_prog_load_check_attach`: which attach types a program type may expect. Gives
/// the type, `None` where its number is unknown: that is found out later.
fn check_attach(vm: &Vm, attr: &ProgLoad<'_>) -> Result<Option<ProgType>, Errno> {
    // Programs without a type are those of a hook; a process for one loads no others.
    let fits = |&known: &ProgType| (known == ProgType::Unspec) == vm.hook().is_some();
    let prog_type = ProgType::from_number(attr.prog_type).filter(fits);
    let row = prog_type.unwrap_or(ProgType::Unspec).row();
    let names_btf = attr.attach_btf_id != 0 || attr.attach_prog_fd != 0;
    if row.settle(attr.expected_attach_type).is_none() || (names_btf && !row.names_btf) {
        return Err(Errno::EINVAL);
    }
    Ok(prog_type)
}

/// `bpf_prog_dev_bound_init`: no device here takes programs.
fn check_device(attr: &ProgLoad<'_>) -> Result<(), Errno> {
    let bound_only = attr.prog_flags & prog_flags::XDP_DEV_BOUND_ONLY != 0;
    let frags = attr.prog_flags & prog_flags::XDP_HAS_FRAGS != 0;
    let others = attr.prog_flags & !(prog_flags::XDP_DEV_BOUND_ONLY | prog_flags::XDP_HAS_FRAGS);
    let consistent = others == 0
        && (!frags || bound_only)
        && match ProgType::from_number(attr.prog_type) {
            Some(ProgType::Xdp) => true,
            Some(ProgType::SchedCls) => !bound_only,
            _ => false,
        };
    match attr.prog_ifindex {
        0 => Ok(()),
        ifindex if consistent && super::interface_exists(ifindex) => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}

/// `can_be_sleepable`, by program type.
fn check_sleepable(prog_type: ProgType, flags: u32) -> Result<(), Errno> {
    let can_sleep = prog_type.row().sleeps != Sleeps::Never;
    if flags & prog_flags::SLEEPABLE != 0 && !can_sleep { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `bpf_verifier_log_attr_valid`.
pub(super) fn check_log(level: u32, size: u32, null: bool) -> Result<(), Errno> {
    const LEVELS: u32 = 1 | 2 | 4 | 8;
    // A buffer without a size or a level, and a size without a buffer, mean nothing.
    let consistent = null == (size == 0) && (level != 0 || null);
    if !consistent || level & !LEVELS != 0 || size > u32::MAX >> 2 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `bpf_vlog_finalize`: writes a log, zero-terminated, of which the end counts most;
/// puts the size it needs into `true_size`.
///
/// # Errors
/// `EFAULT` where the buffer is not there, `ENOSPC` where the log was cut.
pub(super) fn write_log(
    log: &mut Output<'_>,
    level: u32,
    size: u32,
    true_size: &mut u32,
    text: &str,
) -> Result<(), Errno> {
    if level == 0 || text.is_empty() {
        *true_size = 0;
        return Ok(());
    }
    let needed = text.len() + 1;
    *true_size = needed as u32;
    if log.is_null() {
        return Ok(());
    }
    let kept = text.len().min((size as usize).saturating_sub(1));
    log.write(0, &text.as_bytes()[text.len() - kept..])?;
    log.write(kept, &[0])?;
    if needed > size as usize { Err(Errno::ENOSPC) } else { Ok(()) }
}
