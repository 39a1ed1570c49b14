//! Options of TCP headers, which programs of `sock_ops` look for, make room for and write: the
//! data of such a context is the header with its options. Counterpart: `bpf_sock_ops_*_hdr_opt`
//! in `net/core/filter.c`.

use skep_abi::context::at::sock_ops;
use skep_abi::helper::id;
use skep_abi::limits::{TCP_HEADER, TCP_OPTIONS};
use skep_abi::{Errno, ProgType};
use skep_isa::Reg;

use super::{Function, failure, number, status};
use crate::contexts::plain::Plain;
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] =
    &[(id::LOAD_HDR_OPT, load), (id::STORE_HDR_OPT, store), (id::RESERVE_HDR_OPT, reserve)];

/// Kinds of options: the end of them, one that is nothing, and two for experiments, which a number
/// behind kind and length tells apart (RFC 6994).
const END: u8 = 0;
const NOTHING: u8 = 1;
const EXPERIMENTS: [u8; 2] = [253, 254];
/// Kind and length.
const HEAD: usize = 2;

/// Calls of a `sock_ops` program that are about options (`BPF_SOCK_OPS_*_OPT_CB`).
const MAKES_ROOM: u32 = 14;
const WRITES: u32 = 15;

/// Why an option was not found.
enum Missing {
    /// There is none.
    None,
    /// There is none, and the options were ended.
    Ended,
    /// They are no options.
    Broken,
}

impl From<Missing> for Errno {
    fn from(missing: Missing) -> Errno {
        match missing {
            Missing::None | Missing::Ended => Errno::ENOMSG,
            Missing::Broken => Errno::EFAULT,
        }
    }
}

/// The option of a kind, with these bytes behind its length.
fn find<'o>(options: &'o [u8], kind: u8, magic: &[u8]) -> Result<&'o [u8], Missing> {
    let mut rest = options;
    loop {
        rest = match *rest {
            [] => return Err(Missing::None),
            [END, ..] => return Err(Missing::Ended),
            [NOTHING, ref rest @ ..] => rest,
            [_, len, ..] if usize::from(len) >= HEAD && usize::from(len) <= rest.len() => {
                let (option, rest) = rest.split_at(len.into());
                if option[0] == kind {
                    match option[HEAD..].get(..magic.len()) {
                        None => return Err(Missing::None),
                        Some(own) if own == magic => return Ok(option),
                        Some(_) => {}
                    }
                }
                rest
            }
            _ => return Err(Missing::Broken),
        }
    }
}

fn context<'r>(run: &'r mut Run<'_>, helper: &'static str) -> Result<&'r mut Plain, Stop> {
    run.context_argument(helper)?;
    let missing = run.bad_argument(helper, 1, "is of no socket's operation");
    run.context.plain().filter(|plain| plain.kind() == ProgType::SockOps).ok_or(missing)
}

/// The options of the header that a context comes with.
fn options(context: &Plain) -> &[u8] {
    context.data().get(TCP_HEADER..).unwrap_or_default()
}

/// What is looked for: a kind, and what has to stand behind its length.
fn wanted(sought: &[u8]) -> Result<(u8, &[u8]), Errno> {
    let [kind, len, ..] = *sought else { return Err(Errno::EINVAL) };
    let len = usize::from(len);
    if len > sought.len() || matches!(kind, END | NOTHING) {
        return Err(Errno::EINVAL);
    }
    match (EXPERIMENTS.contains(&kind), len) {
        (true, 4 | 6) => Ok((kind, &sought[HEAD..len])),
        (false, 0) => Ok((kind, &[])),
        _ => Err(Errno::EINVAL),
    }
}

/// `bpf_load_hdr_opt(ctx, option, len, flags)`: gives the option's length. Nobody keeps the first
/// packet of a connection here.
fn load(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_load_hdr_opt";
    const OF_FIRST: u64 = 1;
    let len = run.size_argument(Reg::R3)?;
    let flags = run.read(Reg::R4)?.bits;
    run.writable_argument(NAME, Reg::R2, len)?;
    let sought = run.bytes_argument(NAME, Reg::R2, len)?;
    let context = context(run, NAME)?;
    if flags & !OF_FIRST != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let (kind, magic) = match wanted(&sought) {
        Ok(wanted) => wanted,
        Err(errno) => return Ok(failure(errno)),
    };
    if flags & OF_FIRST != 0 {
        return Ok(failure(Errno::ENOENT));
    }
    if context.data().is_empty() || context.word(sock_ops::OP) == MAKES_ROOM {
        return Ok(failure(Errno::EPERM));
    }
    let option = match find(options(context), kind, magic) {
        Ok(option) => option.to_vec(),
        Err(missing) => return Ok(failure(missing.into())),
    };
    let kept = option.len().min(len as usize);
    run.write_argument(NAME, Reg::R2, &option[..kept])?;
    Ok(number(if kept < option.len() { Err(Errno::ENOSPC) } else { Ok(kept as u64) }))
}

/// Bytes that options may still take: of those that a header has room for, without what it has
/// and what was reserved.
fn room(context: &Plain, reserved: usize) -> usize {
    TCP_OPTIONS.saturating_sub(options(context).len() + reserved)
}

/// `bpf_reserve_hdr_opt(ctx, len, flags)`.
fn reserve(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_reserve_hdr_opt";
    let len = run.size_argument(Reg::R2)? as usize;
    let flags = run.read(Reg::R3)?.bits;
    let reserved = run.held.rare().reserved_options;
    let context = context(run, NAME)?;
    let result = match context.word(sock_ops::OP) {
        MAKES_ROOM if flags != 0 || len < HEAD => Err(Errno::EINVAL),
        MAKES_ROOM if len > room(context, reserved) => Err(Errno::ENOSPC),
        MAKES_ROOM => Ok(()),
        _ => Err(Errno::EPERM),
    };
    if result.is_ok() {
        run.held.rare().reserved_options += len;
    }
    Ok(status(result))
}

/// `bpf_store_hdr_opt(ctx, option, len, flags)`.
fn store(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_store_hdr_opt";
    let len = run.size_argument(Reg::R3)?;
    let flags = run.read(Reg::R4)?.bits;
    let option = run.bytes_argument(NAME, Reg::R2, len)?;
    let context = context(run, NAME)?;
    if context.word(sock_ops::OP) != WRITES {
        return Ok(failure(Errno::EPERM));
    }
    if flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    Ok(status(added(context, &option)))
}

/// Writes an option behind those that there are.
fn added(context: &mut Plain, option: &[u8]) -> Result<(), Errno> {
    /// Bytes of what tells experiments apart, at least.
    const MAGIC: usize = 2;
    let [kind, len, ..] = *option else { return Err(Errno::EINVAL) };
    let len = usize::from(len);
    if len > option.len() || matches!(kind, END | NOTHING) {
        return Err(Errno::EINVAL);
    }
    if len > room(context, 0) {
        return Err(Errno::ENOSPC);
    }
    let magic = match EXPERIMENTS.contains(&kind) {
        true if len < HEAD + MAGIC => return Err(Errno::EINVAL),
        true => &option[HEAD..HEAD + MAGIC],
        false => &[],
    };
    match find(options(context), kind, magic) {
        Ok(_) => return Err(Errno::EEXIST),
        Err(Missing::Ended) => return Err(Errno::ENOSPC),
        Err(Missing::Broken) => return Err(Errno::EFAULT),
        Err(Missing::None) => {}
    }
    let frame = context.frame_mut();
    let end = frame.len();
    frame.reserve(0, len);
    frame.move_end(len as isize);
    frame.bytes_mut()[end..].copy_from_slice(&option[..len]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use skep_abi::AttachType;

    use super::*;
    use crate::contexts::plain::Filling;

    const WINDOW: [u8; 3] = [3, 3, 7];
    const TRIED: [u8; 6] = [254, 6, 0xeb, 0x9f, 1, 2];

    fn context(options: &[u8]) -> Plain {
        let mut context = Plain::new(ProgType::SockOps, AttachType::CgroupSockOps as u32).unwrap();
        let data = [&[0; TCP_HEADER][..], options].concat();
        context.fill(Filling { data: &data, ..Filling::default() });
        context
    }

    #[test]
    fn options_are_found_by_kind_and_magic() {
        let all = [&[NOTHING][..], &WINDOW, &TRIED, &[END, 3]].concat();
        assert_eq!(find(&all, 3, &[]).ok(), Some(&WINDOW[..]));
        assert_eq!(find(&all, 254, &[0xeb, 0x9f]).ok(), Some(&TRIED[..]));
        assert!(matches!(find(&all, 254, &[0xeb, 0]), Err(Missing::Ended)));
        assert!(matches!(find(&WINDOW, 254, &[1, 2]), Err(Missing::None)));
        for broken in [&[2, 1][..], &[2], &[2, 4, 0]] {
            assert!(matches!(find(broken, 3, &[]), Err(Missing::Broken)));
        }
    }

    #[test]
    fn an_option_is_written_once_and_no_further_than_there_is_room() {
        let mut context = context(&WINDOW);
        assert_eq!(added(&mut context, &TRIED), Ok(()));
        assert_eq!(options(&context), [&WINDOW[..], &TRIED].concat());
        assert_eq!(added(&mut context, &TRIED), Err(Errno::EEXIST));
        assert_eq!(added(&mut context, &[254, 3, 1]), Err(Errno::EINVAL));
        assert_eq!(added(&mut context, &[9, 4, 1]), Err(Errno::EINVAL));
        assert_eq!(added(&mut context, &[[9, 32], [0; 2]].concat().repeat(8)), Err(Errno::ENOSPC));
    }
}
