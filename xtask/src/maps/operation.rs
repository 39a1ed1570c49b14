//! Operations on maps, by system calls.

use skep_abi::{Errno, MapType};
use skep_sys::{Command, Fd, Kernel, MapBatch, MapDelete, MapElem, MapFreeze, MapNextKey};

use super::Side;
use super::shape::Shape;
use crate::inputs::Random;

/// What is done.
#[derive(Clone, Copy, Debug)]
enum What {
    Lookup,
    Update,
    Delete,
    NextKey,
    LookupAndDelete,
    LookupBatch,
    LookupAndDeleteBatch,
    UpdateBatch,
    DeleteBatch,
    Freeze,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Operation {
    what: What,
    kind: MapType,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    flags: u64,
    count: u32,
    key_size: usize,
    /// Whether the order of keys is the kernel's own.
    unordered: bool,
}

/// What came of one.
pub type Outcome = (Result<u32, Errno>, Vec<u8>, u32);

/// CPUs that this machine may have.
fn cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    text.trim().rsplit('-').next().and_then(|last| last.parse::<usize>().ok()).map_or(1, |n| n + 1)
}

impl Operation {
    /// Any, on a map like this.
    pub fn any(shape: &Shape, random: &mut Random) -> Operation {
        let what = match random.below(100) {
            0..26 => What::Lookup,
            26..58 => What::Update,
            58..74 => What::Delete,
            74..84 => What::NextKey,
            84..90 => What::LookupAndDelete,
            90..93 => What::LookupBatch,
            93..95 => What::LookupAndDeleteBatch,
            95..97 => What::UpdateBatch,
            97..99 => What::DeleteBatch,
            _ if random.chance(20) => What::Freeze,
            _ => What::Lookup,
        };
        let key = key(shape, random);
        let value_size = shape.user_value(cpus());
        let mut value = vec![0; value_size];
        for byte in &mut value {
            *byte = random.below(4) as u8;
        }
        let holds_fds = shape.kind.row().values != skep_abi::Values::Bytes;
        if holds_fds && value.len() >= 4 {
            // No such fd, or one that is no socket, program, device.
            let fd = random.choose(&[0x7fff_fff0u32, 9999, u32::MAX]);
            value.fill(0);
            value[..4].copy_from_slice(&fd.to_ne_bytes());
        }
        let flags = match random.below(10) {
            0..6 => 0,
            6 => 1,
            7 => 2,
            8 => 4,
            _ => random.choose(&[3u64, 5, 6, 8, 16, 1 << 40]),
        };
        let has_key = shape.key > 0 || random.chance(12);
        Operation {
            what,
            kind: shape.kind,
            key: has_key.then_some(key),
            value,
            flags,
            count: random.below(6) as u32,
            key_size: shape.key as usize,
            unordered: is_unordered(shape.kind),
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        format!("{:?} {:x?} {:x?} flags {:#x}", self.what, self.key, self.value, self.flags)
    }

    /// Does it.
    pub fn run(&self, kernel: &dyn Kernel, map: &Fd, side: &Side) -> Outcome {
        let fd = map.raw() as u32;
        let mut value = self.value.clone();
        // A map of the right kind, where one is stored.
        let stores = matches!(self.what, What::Update | What::UpdateBatch);
        let of_maps = matches!(self.kind, MapType::ArrayOfMaps | MapType::HashOfMaps);
        if stores && of_maps && self.count.is_multiple_of(2) && value.len() == 4 {
            value.copy_from_slice(&(side.inner.raw() as u32).to_ne_bytes());
        }
        match self.what {
            What::Lookup => {
                let result = kernel.bpf(&mut Command::MapLookup(self.element(fd, &mut value)));
                let shown = if of_maps { Vec::new() } else { value };
                (result, shown, 0)
            }
            What::Update => {
                let result = kernel.bpf(&mut Command::MapUpdate(self.element(fd, &mut value)));
                (result, Vec::new(), 0)
            }
            What::LookupAndDelete => {
                let result =
                    kernel.bpf(&mut Command::MapLookupAndDelete(self.element(fd, &mut value)));
                (result, value, 0)
            }
            What::Delete => {
                let key = self.key.clone().map(Into::into);
                let delete = MapDelete { map_fd: fd, key, ..MapDelete::default() };
                (kernel.bpf(&mut Command::MapDelete(delete)), Vec::new(), 0)
            }
            What::NextKey => {
                let mut next = vec![0; self.key_size];
                let key = self.key.clone().filter(|_| !self.unordered).map(Into::into);
                let ask = MapNextKey {
                    map_fd: fd,
                    key,
                    next_key: next.as_mut_slice().into(),
                    ..MapNextKey::default()
                };
                let result = kernel.bpf(&mut Command::MapNextKey(ask));
                (result, if self.unordered { Vec::new() } else { next }, 0)
            }
            What::Freeze => {
                let freeze = MapFreeze { map_fd: fd, ..MapFreeze::default() };
                (kernel.bpf(&mut Command::MapFreeze(freeze)), Vec::new(), 0)
            }
            _ => self.run_batch(kernel, fd, of_maps),
        }
    }

    fn element<'v>(&self, fd: u32, value: &'v mut Vec<u8>) -> MapElem<'v> {
        MapElem {
            map_fd: fd,
            key: self.key.clone().map(Into::into),
            value: value.as_mut_slice().into(),
            flags: self.flags,
            ..MapElem::default()
        }
    }

    fn run_batch(&self, kernel: &dyn Kernel, fd: u32, of_maps: bool) -> Outcome {
        let all = 128;
        let looks = matches!(self.what, What::LookupBatch | What::LookupAndDeleteBatch);
        // Of what has no order all is asked for, so that how much there is counts.
        let count = if looks && self.unordered { all } else { self.count };
        let mut keys = Vec::new();
        for index in 0..count {
            let mut key = self.key.clone().unwrap_or_default();
            if let Some(first) = key.first_mut() {
                *first = first.wrapping_add(index as u8) % 8;
            }
            keys.extend(key);
        }
        let mut values = self.value.repeat(count as usize);
        let mut cursor = vec![0; self.key_size.max(4)];
        let batch = MapBatch {
            map_fd: fd,
            out_batch: cursor.as_mut_slice().into(),
            keys: keys.as_mut_slice().into(),
            values: values.as_mut_slice().into(),
            count,
            elem_flags: self.flags,
            ..MapBatch::default()
        };
        let mut command = match self.what {
            What::LookupBatch => Command::MapLookupBatch(batch),
            What::LookupAndDeleteBatch => Command::MapLookupAndDeleteBatch(batch),
            What::UpdateBatch => Command::MapUpdateBatch(batch),
            _ => Command::MapDeleteBatch(batch),
        };
        let result = kernel.bpf(&mut command);
        let (Command::MapLookupBatch(batch)
        | Command::MapLookupAndDeleteBatch(batch)
        | Command::MapUpdateBatch(batch)
        | Command::MapDeleteBatch(batch)) = command
        else {
            return (result, Vec::new(), 0);
        };
        let done = batch.count;
        drop(batch);
        let shown = looks && !self.unordered && !of_maps && result.is_ok();
        let shown = if shown { [keys, values].concat() } else { Vec::new() };
        (result, shown, done)
    }
}

fn is_unordered(kind: MapType) -> bool {
    use MapType::{DevmapHash, Hash, HashOfMaps, LruHash, LruPercpuHash, PercpuHash, Sockhash};
    matches!(kind, Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps | DevmapHash | Sockhash)
}

/// A key, mostly one of few.
fn key(shape: &Shape, random: &mut Random) -> Vec<u8> {
    let mut key = vec![0; shape.key as usize];
    if shape.kind == MapType::LpmTrie && key.len() == 8 {
        let prefix = random.choose(&[0u32, 1, 8, 16, 24, 31, 32, 33]);
        key[..4].copy_from_slice(&prefix.to_ne_bytes());
        for byte in &mut key[4..] {
            *byte = random.choose(&[0, 1, 128]);
        }
        return key;
    }
    if let Some(first) = key.first_mut() {
        *first = random.below(11) as u8;
    }
    if let Some(fd) = key.first_chunk_mut::<4>()
        && (shape.kind.row().structure == "bpf_local_storage_map" || random.chance(40))
    {
        *fd = random.choose(&[9999u32, 0x7fff_fff0, u32::MAX]).to_ne_bytes();
    }
    key
}
