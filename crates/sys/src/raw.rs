//! `bpf(2)` from raw bytes, for kernels that are not Linux: the size and tail
//! checks of `__sys_bpf` and of each command, then the typed command.

use skep_abi::{Cmd, Errno};

use crate::Kernel;
use crate::command::{Command, ObjectKind, each};
use crate::info::NestedBuffer;
use crate::wire::{ATTR_SIZE, Attr, Output};

/// The largest attribute that Linux looks at.
const PAGE_SIZE: usize = 4096;

/// The memory of a caller: the buffers that its raw attributes may point to, each
/// at the address that it says it has.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    buffers: Vec<(u64, Vec<u8>)>,
}

impl Memory {
    /// Adds a buffer at an address.
    pub fn add(&mut self, address: u64, bytes: Vec<u8>) {
        self.buffers.push((address, bytes));
    }

    /// The buffers with their addresses.
    pub fn buffers(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.buffers.iter().map(|(address, bytes)| (*address, bytes.as_slice()))
    }

    /// The buffer that an address is in, and the offset there. An address right behind a
    /// buffer is in it only where no other begins there: nothing can be read or written
    /// at it then, but that is no fault.
    fn find(&self, address: u64) -> Option<(usize, usize)> {
        let offset = |start: u64| usize::try_from(address.checked_sub(start)?).ok();
        let inside = |is_in: fn(usize, usize) -> bool| {
            self.buffers.iter().enumerate().find_map(|(number, (start, bytes))| {
                offset(*start).filter(|&at| is_in(at, bytes.len())).map(|at| (number, at))
            })
        };
        inside(|at, len| at < len).or_else(|| inside(|at, len| at == len))
    }

    /// From `address` to the end of its buffer; empty where there is none.
    pub(crate) fn rest(&self, address: u64) -> &[u8] {
        self.find(address).map_or(&[], |(number, offset)| &self.buffers[number].1[offset..])
    }

    /// Writes what differs between `from` and `before`, which is what was there when the
    /// command started: two outputs may lie in the same buffer, and each is a copy of all
    /// that follows its address.
    pub(crate) fn write(&mut self, address: u64, from: &[u8], before: &Memory) {
        let Some((number, offset)) = self.find(address) else { return };
        let to = &mut self.buffers[number].1[offset..];
        for ((to, from), before) in to.iter_mut().zip(from).zip(before.rest(address)) {
            if from != before {
                *to = *from;
            }
        }
    }
}

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
    encode_numbers(&mut command, &mut full);
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

/// Writes the numbers back, keeping the pointers as the caller gave them.
fn encode_numbers(command: &mut Command<'_>, attr: &mut Attr) {
    let mut put = |offset: usize, number: u32| {
        attr[offset..offset + 4].copy_from_slice(&number.to_ne_bytes());
    };
    match command {
        Command::MapLookupBatch(batch)
        | Command::MapLookupAndDeleteBatch(batch)
        | Command::MapUpdateBatch(batch)
        | Command::MapDeleteBatch(batch) => put(32, batch.count),
        Command::ProgLoad(load) => put(140, load.log_true_size),
        Command::TestRun(run) => {
            put(4, run.retval);
            put(12, run.data_size_out);
            put(36, run.duration);
            put(44, run.ctx_size_out);
        }
        Command::NextId(_, next) => put(4, next.next_id),
        Command::ObjInfo(info) => put(4, info.info_len),
        Command::BtfLoad(load) => put(28, load.btf_log_true_size),
        _ => {}
    }
}

/// Linux's CHECK_ATTR and the typed command.
fn decode<'a>(cmd: Cmd, attr: &Attr, memory: &Memory) -> Result<Command<'a>, Errno> {
    macro_rules! read {
        ($structure:ident) => {{
            if attr[crate::$structure::END..].iter().any(|&byte| byte != 0) {
                return Err(Errno::EINVAL);
            }
            crate::$structure::decode(attr, memory)
        }};
    }
    // Commands that share a structure may use fewer of its fields.
    let ends_at = |end: usize| {
        if attr[end..].iter().any(|&byte| byte != 0) { Err(Errno::EINVAL) } else { Ok(()) }
    };
    Ok(match cmd {
        Cmd::MapCreate => Command::MapCreate(read!(MapCreate)),
        Cmd::MapLookupElem => Command::MapLookup(read!(MapElem)),
        Cmd::MapUpdateElem => Command::MapUpdate(read!(MapElem)),
        Cmd::MapDeleteElem => Command::MapDelete(read!(MapDelete)),
        Cmd::MapGetNextKey => Command::MapNextKey(read!(MapNextKey)),
        Cmd::MapLookupAndDeleteElem => Command::MapLookupAndDelete(read!(MapElem)),
        Cmd::MapLookupBatch => Command::MapLookupBatch(read!(MapBatch)),
        Cmd::MapLookupAndDeleteBatch => Command::MapLookupAndDeleteBatch(read!(MapBatch)),
        Cmd::MapUpdateBatch => Command::MapUpdateBatch(read!(MapBatch)),
        Cmd::MapDeleteBatch => Command::MapDeleteBatch(read!(MapBatch)),
        Cmd::MapFreeze => Command::MapFreeze(read!(MapFreeze)),
        Cmd::ProgLoad => Command::ProgLoad(Box::new(read!(ProgLoad))),
        Cmd::ProgTestRun => Command::TestRun(Box::new(read!(TestRun))),
        Cmd::ObjPin => Command::ObjPin(read!(ObjPin)),
        Cmd::ObjGet => Command::ObjGet(read!(ObjGet)),
        Cmd::ProgGetFdById => {
            ends_at(4)?;
            Command::GetById(ObjectKind::Prog, read!(GetById))
        }
        Cmd::MapGetFdById => {
            ends_at(12)?;
            Command::GetById(ObjectKind::Map, read!(GetById))
        }
        Cmd::BtfGetFdById => Command::GetById(ObjectKind::Btf, read!(GetById)),
        Cmd::ProgGetNextId => Command::NextId(ObjectKind::Prog, read!(NextId)),
        Cmd::MapGetNextId => Command::NextId(ObjectKind::Map, read!(NextId)),
        Cmd::BtfGetNextId => Command::NextId(ObjectKind::Btf, read!(NextId)),
        Cmd::ObjGetInfoByFd => {
            let mut info = read!(ObjInfo);
            info.nested = memory
                .buffers()
                .map(|(address, bytes)| NestedBuffer {
                    address,
                    memory: Output::Owned { address, bytes: bytes.to_vec() },
                })
                .collect();
            Command::ObjInfo(info)
        }
        Cmd::BtfLoad => Command::BtfLoad(read!(BtfLoad)),
        // Links and their kin: no kernel but Linux has them.
        _ => return Err(Errno::EINVAL),
    })
}
