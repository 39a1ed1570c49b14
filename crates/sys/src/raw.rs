//! `bpf(2)` from raw bytes, for kernels that are not Linux: the size and tail
//! checks of `__sys_bpf` and of each command, then the typed command.

use skep_abi::{Cmd, Errno};

use crate::kernel::Kernel;
use crate::table::NestedBuffer;
use crate::table::{ATTR_SIZE, Attr, Command, Memory, Output, Row, each};

/// The largest attribute that Linux looks at.
const PAGE_SIZE: usize = 4096;

/// Runs the command `cmd` with the raw attribute `attr`, as `bpf(cmd, attr, len)`
/// would, on a kernel that is not Linux. Numbers that the command gives back are
/// written into `attr`, memory into `memory`.
///
/// # Errors
/// `E2BIG` for an attribute of more than a page or with bytes set beyond what
/// Linux 6.18 knows; `EINVAL` for an unknown command or for bytes set beyond what
/// the command uses; else the command's own.
pub fn raw_bpf(
    kernel: &dyn Kernel,
    cmd: u32,
    attr: &mut [u8],
    memory: &mut Memory,
) -> Result<u32, Errno> {
    if attr.len() > PAGE_SIZE || attr.iter().skip(ATTR_SIZE).any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let len = attr.len().min(ATTR_SIZE);
    let mut full: Attr = [0; ATTR_SIZE];
    full[..len].copy_from_slice(&attr[..len]);

    let cmd = Cmd::from_number(cmd).ok_or(Errno::EINVAL)?;
    let mut command = decode(cmd, &full, memory)?;
    let result = kernel.bpf(&mut command);
    command.put_numbers(&mut full);
    let before = memory.clone();
    if let Command::ObjInfo(info) = &command {
        for nested in &info.nested {
            if let Output::Owned { address, bytes } = &nested.memory {
                memory.write(*address, bytes, &before);
            }
        }
    }
    each!(&command, fields => fields.write_back(memory, &before));
    attr[..len].copy_from_slice(&full[..len]);
    result
}

/// Linux's CHECK_ATTR and the typed command.
fn decode<'a>(cmd: Cmd, attr: &Attr, memory: &Memory) -> Result<Command<'a>, Errno> {
    let row = Row::of(cmd).ok_or(Errno::EINVAL)?;
    if attr[row.end..].iter().any(|&byte| byte != 0) {
        return Err(Errno::EINVAL);
    }
    let mut command = Command::decode(cmd, attr, memory).ok_or(Errno::EINVAL)?;
    if let Command::ObjInfo(info) = &mut command {
        info.nested = memory
            .buffers()
            .map(|(address, bytes)| NestedBuffer {
                address,
                memory: Output::Owned { address, bytes: bytes.to_vec() },
            })
            .collect();
    }
    if let Command::LinkCreateKprobes(link) = &mut command
        && let Some(array) = link.syms.take()
    {
        link.syms = Some(texts(&array, link.cnt as usize, memory)?.into());
    }
    Ok(command)
}

/// The texts that an array of addresses names, one after the other.
fn texts(array: &[u8], count: usize, memory: &Memory) -> Result<Vec<u8>, Errno> {
    let (addresses, _) = array.as_chunks::<8>();
    let addresses = addresses.get(..count).ok_or(Errno::EFAULT)?;
    let mut all = Vec::new();
    for address in addresses {
        let text = memory.rest(u64::from_ne_bytes(*address));
        let end = text.iter().position(|&byte| byte == 0).ok_or(Errno::EFAULT)?;
        all.extend_from_slice(&text[..=end]);
    }
    Ok(all)
}
