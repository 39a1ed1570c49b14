//! OBJ_GET_INFO: a structure that holds addresses.
//!
//! Which words of it are addresses is a matter of the object's kind, and the kind one of
//! the fd. So the command goes to a duplicate of the fd that nobody else knows the number
//! of, the kind of that is asked for, and each word that the kind says is an address is
//! replaced by that of a guarded copy of the memory that it names: Linux finds out by
//! itself where the counts beside the addresses promise more than there is. A structure
//! of zeroes has no address, whatever the kind, and needs none of this.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::guarded::Guarded;
use super::{last_errno, object_type};
use crate::info::{BTF_INFO_SIZE, MAP_INFO_SIZE, PROG_INFO_SIZE};
use crate::link_info::LINK_INFO_SIZE;
use crate::table::NestedBuffer;
use skep_abi::{Errno, LinkType};

/// What a kind's structure is.
struct Layout {
    /// What Linux calls the file.
    link: &'static str,
    /// Bytes that 6.18 knows; a newer one may know addresses behind them.
    size: usize,
    /// Offsets of addresses.
    addresses: &'static [usize],
    /// The type of link that has these, for links.
    of: Option<LinkType>,
}

const fn link(of: LinkType, addresses: &'static [usize]) -> Layout {
    Layout { link: LINK, size: LINK_INFO_SIZE, addresses, of: Some(of) }
}

/// What Linux calls the file of a link: a new one, and one that was opened again.
const LINK: &str = "bpf_link";
const LINK_AGAIN: &str = "bpf-link";

const LAYOUTS: [Layout; 17] = [
    Layout { link: "bpf-map", size: MAP_INFO_SIZE, addresses: &[88], of: None },
    Layout {
        link: "bpf-prog",
        size: PROG_INFO_SIZE,
        addresses: &[24, 32, 56, 112, 120, 136, 152, 160, 184],
        of: None,
    },
    Layout { link: "btf", size: BTF_INFO_SIZE, addresses: &[0, 16], of: None },
    link(LinkType::RawTracepoint, &[16]),
    link(LinkType::Iter, &[16]),
    link(LinkType::PerfEvent, &[24]),
    link(LinkType::KprobeMulti, &[16, 40]),
    link(LinkType::UprobeMulti, &[16, 24, 32, 40]),
    link(LinkType::Tracing, &[]),
    link(LinkType::Cgroup, &[]),
    link(LinkType::Netns, &[]),
    link(LinkType::Xdp, &[]),
    link(LinkType::StructOps, &[]),
    link(LinkType::Netfilter, &[]),
    link(LinkType::Tcx, &[]),
    link(LinkType::Netkit, &[]),
    link(LinkType::Sockmap, &[]),
];

/// The memory that a structure's addresses were replaced for.
#[derive(Default)]
pub(super) struct Nested {
    /// Whose fd the command has to go to.
    duplicate: Option<OwnedFd>,
    /// Offset of each address, what it was, and what it was replaced by.
    replaced: Vec<(usize, u64, u64)>,
    /// Copies of the buffers of these numbers.
    copies: Vec<(usize, Guarded)>,
}

impl Nested {
    /// Replaces the addresses in `info`, which is a copy that Linux will get.
    ///
    /// # Errors
    /// `EFAULT` for an address that no buffer starts at, or a kind that is not known to
    /// have no more addresses; `E2BIG` for bytes that 6.18 does not know.
    pub(super) fn patch(
        fd: u32,
        info: &mut [u8],
        buffers: &[NestedBuffer<'_>],
    ) -> Result<Nested, Errno> {
        let mut nested = Nested::default();
        if info.iter().all(|&byte| byte == 0) {
            return Ok(nested);
        }
        let duplicate = duplicate(fd)?;
        let layout = layout_of(&duplicate).ok_or(Errno::EFAULT)?;
        nested.duplicate = Some(duplicate);
        if info.iter().skip(layout.size).any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
        for &offset in layout.addresses {
            let Some(rest) = info.get_mut(offset..).filter(|rest| !rest.is_empty()) else {
                continue;
            };
            let Some(word) = rest.first_chunk_mut::<8>() else {
                // Linux takes what is missing for zeroes.
                if rest.iter().any(|&byte| byte != 0) {
                    return Err(Errno::EFAULT);
                }
                continue;
            };
            let address = u64::from_ne_bytes(*word);
            if address == 0 {
                continue;
            }
            let copy = nested.copy_of(address, buffers)?;
            *word = copy.to_ne_bytes();
            nested.replaced.push((offset, address, copy));
        }
        Ok(nested)
    }

    /// The address of the copy of the buffer at `address`; one for each buffer.
    fn copy_of(&mut self, address: u64, buffers: &[NestedBuffer<'_>]) -> Result<u64, Errno> {
        let found = buffers.iter().position(|buffer| buffer.address == address);
        let number = found.ok_or(Errno::EFAULT)?;
        if let Some((_, copy)) = self.copies.iter().find(|(of, _)| *of == number) {
            return Ok(copy.address());
        }
        let copy = Guarded::copy(&buffers[number].memory)?;
        let at = copy.address();
        self.copies.push((number, copy));
        Ok(at)
    }

    /// The fd that the command has to go to.
    pub(super) fn fd(&self) -> Option<u32> {
        self.duplicate.as_ref().map(|fd| fd.as_raw_fd() as u32)
    }

    /// Puts the addresses back and what Linux wrote into the buffers.
    pub(super) fn restore(self, info: &mut [u8], buffers: &mut [NestedBuffer<'_>]) {
        for (offset, address, copy) in self.replaced {
            // Of some kinds of events Linux writes a number where others have an address.
            let word = &mut info[offset..offset + 8];
            if *word == copy.to_ne_bytes() {
                word.copy_from_slice(&address.to_ne_bytes());
            }
        }
        for (number, copy) in self.copies {
            buffers[number].memory.copy_from_slice(copy.bytes());
        }
    }
}

/// A descriptor of the same file, whose number no one else knows.
pub(super) fn duplicate(fd: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: an fd that is none gives EBADF.
    let new = unsafe { libc::fcntl(fd as i32, libc::F_DUPFD_CLOEXEC, 0) };
    if new < 0 {
        return Err(last_errno());
    }
    // SAFETY: it was made just now.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// What the object behind an fd fills in; `None` for what is not known.
fn layout_of(fd: &OwnedFd) -> Option<&'static Layout> {
    let path = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    let link = std::fs::read_link(path).ok()?;
    let name = link.to_str()?.strip_prefix("anon_inode:")?.trim_matches(['[', ']']);
    let name = if name == LINK_AGAIN { LINK } else { name };
    let of = match name {
        LINK => Some(LinkType::from_number(object_type(fd.as_raw_fd()).ok()?)?),
        _ => None,
    };
    LAYOUTS.iter().find(|layout| layout.link == name && layout.of == of)
}
