//! The machine's own kernel: `bpf(2)` and its companions.
//!
//! Linux learns of a buffer's length from the map or from the attribute, not from
//! the slice. What it would write is therefore checked against the slice first:
//! safe code cannot make it write past the end of one.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skep_abi::MapType;

use crate::command::{Command, each};
use crate::kernel::possible_cpus;
use crate::wire::{ATTR_SIZE, Attr, Output};
use crate::{Errno, Host, Kernel, MapBatch, MapInfo, Mapping, ObjInfo, RawFd};

/// The running Linux.
#[derive(Debug)]
pub struct Linux {
    host: Host,
    cpus: u32,
    /// Sizes of the maps behind the fds that were used so far.
    sizes: Mutex<HashMap<RawFd, Sizes>>,
}

/// Bytes that Linux copies for one element.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    key: usize,
    value: usize,
}

impl Default for Linux {
    fn default() -> Linux {
        Linux::new()
    }
}

impl Linux {
    /// A handle to the running kernel.
    pub fn new() -> Linux {
        Linux { host: Host::default(), cpus: possible_cpus(), sizes: Mutex::default() }
    }

    fn sizes_table(&self) -> MutexGuard<'_, HashMap<RawFd, Sizes>> {
        // The table is valid at every step, so a panic elsewhere does not matter.
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sizes of the elements of a map; zero where `fd` is none, since Linux then
    /// refuses the command before it copies anything.
    fn sizes(&self, fd: u32) -> Sizes {
        let fd = fd as RawFd;
        if let Some(sizes) = self.sizes_table().get(&fd) {
            return *sizes;
        }
        let Ok(info) = MapInfo::query(self, fd) else { return Sizes { key: 0, value: 0 } };
        let slot = info.value_size as usize;
        let value = match MapType::from_number(info.map_type) {
            Some(
                MapType::PercpuHash
                | MapType::PercpuArray
                | MapType::LruPercpuHash
                | MapType::PercpuCgroupStorage,
            ) => slot.next_multiple_of(8) * self.cpus as usize,
            // Maps that hold objects take an fd and give an id, both of 4 bytes, and have
            // values of that size.
            _ => slot,
        };
        let sizes = Sizes { key: info.key_size as usize, value };
        self.sizes_table().insert(fd, sizes);
        sizes
    }

    /// Fails with `EFAULT` where Linux would copy more than a slice holds.
    fn check_lengths(&self, command: &Command<'_>) -> Result<(), Errno> {
        let writes = |memory: &Output<'_>, len: usize| memory.is_null() || memory.len() >= len;
        let reads = |memory: &crate::Input<'_>, len: usize| {
            memory.as_ref().is_none_or(|bytes| bytes.len() >= len)
        };
        let fits = match command {
            Command::MapLookup(elem)
            | Command::MapUpdate(elem)
            | Command::MapLookupAndDelete(elem) => {
                let sizes = self.sizes(elem.map_fd);
                reads(&elem.key, sizes.key) && writes(&elem.value, sizes.value)
            }
            Command::MapDelete(elem) => reads(&elem.key, self.sizes(elem.map_fd).key),
            Command::MapNextKey(next) => {
                let sizes = self.sizes(next.map_fd);
                reads(&next.key, sizes.key) && writes(&next.next_key, sizes.key)
            }
            Command::MapLookupBatch(batch)
            | Command::MapLookupAndDeleteBatch(batch)
            | Command::MapUpdateBatch(batch)
            | Command::MapDeleteBatch(batch) => self.batch_fits(batch),
            Command::ProgLoad(load) => {
                let records = |size: u32, count: u32| size as usize * count as usize;
                reads(&load.insns, records(8, load.insn_cnt))
                    && load.license.as_ref().is_none_or(|text| text.contains(&0))
                    && writes(&load.log_buf, load.log_size as usize)
                    && reads(&load.func_info, records(load.func_info_rec_size, load.func_info_cnt))
                    && reads(&load.line_info, records(load.line_info_rec_size, load.line_info_cnt))
                    && reads(&load.core_relos, records(load.core_relo_rec_size, load.core_relo_cnt))
                    && reads(&load.fd_array, records(4, load.fd_array_cnt))
                    && reads(&load.signature, load.signature_size as usize)
            }
            Command::TestRun(run) => {
                reads(&run.data_in, run.data_size_in as usize)
                    && writes(
                        &run.data_out,
                        self.test_run_room(run.data_size_out, run.data_size_in),
                    )
                    && reads(&run.ctx_in, run.ctx_size_in as usize)
                    && writes(&run.ctx_out, run.ctx_size_out as usize)
            }
            Command::ObjPin(pin) => pin.pathname.as_ref().is_none_or(|path| path.contains(&0)),
            Command::ObjGet(get) => get.pathname.as_ref().is_none_or(|path| path.contains(&0)),
            Command::ObjInfo(info) => writes(&info.info, info.info_len as usize),
            Command::BtfLoad(load) => {
                reads(&load.btf, load.btf_size as usize)
                    && writes(&load.btf_log_buf, load.btf_log_size as usize)
            }
            Command::MapCreate(create) => {
                reads(&create.excl_prog_hash, create.excl_prog_hash_size as usize)
            }
            Command::MapFreeze(_) | Command::GetById(..) | Command::NextId(..) => true,
        };
        if fits { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Room that TEST_RUN may fill. With a size of 0, Linux copies the whole packet
    /// without a limit, which can have grown by the head and tail room of a page.
    fn test_run_room(&self, size_out: u32, size_in: u32) -> usize {
        match size_out {
            0 => size_in as usize + 4096,
            size => size as usize,
        }
    }

    fn batch_fits(&self, batch: &MapBatch<'_>) -> bool {
        let sizes = self.sizes(batch.map_fd);
        let count = batch.count as usize;
        let holds = |len: usize, null: bool, each: usize| {
            null || each.checked_mul(count).is_some_and(|all| len >= all)
        };
        // A hash map's position is a 32-bit bucket number, whatever its keys.
        let position = sizes.key.max(4);
        holds(batch.keys.len(), batch.keys.is_null(), sizes.key)
            && holds(batch.values.len(), batch.values.is_null(), sizes.value)
            && (batch.out_batch.is_null() || batch.out_batch.len() >= position)
            && batch.in_batch.as_ref().is_none_or(|bytes| bytes.len() >= position)
    }
}

impl Kernel for Linux {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        self.check_lengths(command)?;
        let cmd = command.cmd() as u32;
        let nested = match command {
            Command::ObjInfo(info) => Some(NestedAddresses::patch(info)?),
            _ => None,
        };
        let mut attr = each!(&mut *command, fields => fields.encode());
        let result = syscall(cmd, &mut attr);
        if let (Some(nested), Command::ObjInfo(info)) = (nested, &mut *command) {
            nested.restore(info);
        }
        read_numbers(command, &attr);
        result
    }

    fn close(&self, fd: RawFd) {
        self.sizes_table().remove(&fd);
        // SAFETY: fds of this kernel are owned by the `Fd` that is being dropped.
        unsafe { libc::close(fd) };
    }

    fn mmap(&self, fd: RawFd, offset: u64, len: usize, writable: bool) -> Result<Mapping, Errno> {
        // SAFETY: the caller holds the `Fd`, so the descriptor stays open.
        Mapping::new(unsafe { BorrowedFd::borrow_raw(fd) }, offset, len, writable)
    }

    fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one pollfd, and the count says so.
        let ready = unsafe { libc::poll(&raw mut poll, 1, millis) };
        if ready < 0 { Err(last_errno()) } else { Ok(ready > 0) }
    }

    fn event(&self, fd: RawFd) -> Result<std::os::fd::OwnedFd, Errno> {
        // SAFETY: the caller holds the `Fd`, so the descriptor stays open.
        let map = unsafe { BorrowedFd::borrow_raw(fd) };
        map.try_clone_to_owned().map_err(|_| last_errno())
    }

    fn possible_cpus(&self) -> u32 {
        self.cpus
    }

    fn host(&self) -> &Host {
        &self.host
    }
}

/// The addresses that stood in an info structure before they were replaced by those
/// of the memory that they name.
struct NestedAddresses(Vec<(usize, u64)>);

impl NestedAddresses {
    /// Offsets of the pointers in `struct bpf_prog_info` and `struct bpf_btf_info`;
    /// `struct bpf_map_info` has none that Linux writes through but `hash`.
    const PROG: [usize; 10] = [24, 32, 56, 112, 120, 136, 152, 160, 184, 0];
    const BTF: [usize; 2] = [0, 16];
    const MAP: [usize; 1] = [88];

    fn patch(info: &mut ObjInfo<'_>) -> Result<NestedAddresses, Errno> {
        // The structure's size tells which of them it is.
        let offsets: &[usize] = match info.info.len() {
            0..64 => &Self::BTF,
            64..120 => &Self::MAP,
            _ => &Self::PROG[..9],
        };
        let mut replaced = Vec::new();
        for &offset in offsets {
            let Some(bytes) = info.info.get(offset..offset + 8) else { continue };
            let address = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
            if address == 0 {
                continue;
            }
            let Some(nested) = info.nested.iter_mut().find(|nested| nested.address == address)
            else {
                return Err(Errno::EFAULT);
            };
            let real = nested.memory.as_mut_ptr().addr() as u64;
            info.info[offset..offset + 8].copy_from_slice(&real.to_ne_bytes());
            replaced.push((offset, address));
        }
        Ok(NestedAddresses(replaced))
    }

    fn restore(self, info: &mut ObjInfo<'_>) {
        for (offset, address) in self.0 {
            info.info[offset..offset + 8].copy_from_slice(&address.to_ne_bytes());
        }
    }
}

fn read_numbers(command: &mut Command<'_>, attr: &Attr) {
    let number =
        |offset: usize| attr[offset..].first_chunk().copied().map_or(0, u32::from_ne_bytes);
    match command {
        Command::MapLookupBatch(batch)
        | Command::MapLookupAndDeleteBatch(batch)
        | Command::MapUpdateBatch(batch)
        | Command::MapDeleteBatch(batch) => batch.count = number(32),
        Command::ProgLoad(load) => load.log_true_size = number(140),
        Command::TestRun(run) => {
            run.retval = number(4);
            run.data_size_out = number(12);
            run.duration = number(36);
            run.ctx_size_out = number(44);
        }
        Command::NextId(_, next) => next.next_id = number(4),
        Command::ObjInfo(info) => info.info_len = number(4),
        Command::BtfLoad(load) => load.btf_log_true_size = number(28),
        _ => {}
    }
}

fn syscall(cmd: u32, attr: &mut Attr) -> Result<u32, Errno> {
    loop {
        // SAFETY: every pointer in `attr` is null or comes from a slice of the command,
        // which outlives the call, and `check_lengths` made sure that Linux writes no
        // more than the slice holds.
        let result = unsafe { libc::syscall(libc::SYS_bpf, cmd, attr.as_mut_ptr(), ATTR_SIZE) };
        match u32::try_from(result) {
            Ok(result) => return Ok(result),
            // PROG_LOAD gives EAGAIN when a signal interrupts the verifier.
            Err(_) if last_errno() == Errno::EAGAIN && cmd == skep_abi::Cmd::ProgLoad as u32 => {}
            Err(_) => return Err(last_errno()),
        }
    }
}

fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}
