//! What is attached to a place, by PROG_QUERY.

use std::sync::Arc;

use skep::abi::{AttachType, Errno};
use skep::sys::{Command, Kernel, Output, ProgQuery};

/// A program at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    pub program: u32,
    pub flags: u32,
    pub link: u32,
    pub link_flags: u32,
}

/// More programs at one place than a kernel has.
const MOST: usize = 1024;

/// The programs at a place, in their order.
///
/// # Errors
/// The kernel's: `EINVAL` for what it does not know.
pub fn attached(
    kernel: &Arc<dyn Kernel>,
    target_fd: u32,
    attach_type: AttachType,
    query_flags: u32,
) -> Result<Vec<At>, Errno> {
    let is_ordered = matches!(
        attach_type,
        AttachType::TcxIngress
            | AttachType::TcxEgress
            | AttachType::NetkitPrimary
            | AttachType::NetkitPeer
    );
    let [mut ids, mut flags, mut links, mut link_flags] =
        std::array::from_fn(|_| vec![0u8; 4 * MOST]);
    let effective = query_flags != 0;
    let mut command = Command::ProgQuery(ProgQuery {
        target_fd,
        attach_type: attach_type as u32,
        query_flags,
        prog_ids: Output::Slice(&mut ids),
        prog_cnt: MOST as u32,
        // Who asks for what runs gets no flags.
        prog_attach_flags: if effective { Output::Null } else { Output::Slice(&mut flags) },
        link_ids: if is_ordered { Output::Slice(&mut links) } else { Output::Null },
        link_attach_flags: if is_ordered { Output::Slice(&mut link_flags) } else { Output::Null },
        ..ProgQuery::default()
    });
    kernel.bpf(&mut command)?;
    let (count, all) = match &command {
        Command::ProgQuery(query) => (query.prog_cnt as usize, query.attach_flags),
        _ => (0, 0),
    };
    drop(command);
    let word = |bytes: &[u8], at: usize| {
        bytes[4 * at..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
    };
    let one = |at: usize| At {
        program: word(&ids, at),
        flags: match word(&flags, at) {
            0 => all,
            own => own,
        },
        link: word(&links, at),
        link_flags: word(&link_flags, at),
    };
    Ok((0..count.min(MOST)).map(one).collect())
}
