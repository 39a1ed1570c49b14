//! Elements of maps, by system calls, on any kernel.

use skep_sys::{Command, Errno, Kernel, MapDelete, MapElem, MapNextKey, Output, RawFd};

/// A map: its fd, and bytes of a key and of a value as system calls take them.
#[derive(Clone, Copy)]
pub struct Map {
    pub fd: RawFd,
    pub key: usize,
    pub value: usize,
}

impl Map {
    /// Sets an element.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn update(&self, kernel: &dyn Kernel, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        let element = MapElem {
            map_fd: self.fd as u32,
            key: Some(key.into()),
            value: Output::Slice(&mut value.to_vec()),
            ..MapElem::default()
        };
        kernel.bpf(&mut Command::MapUpdate(element)).map(drop)
    }

    /// Removes an element.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn delete(&self, kernel: &dyn Kernel, key: &[u8]) -> Result<(), Errno> {
        let key = Some(key.into());
        let element = MapDelete { map_fd: self.fd as u32, key, ..MapDelete::default() };
        kernel.bpf(&mut Command::MapDelete(element)).map(drop)
    }

    /// The value of a key, if it can be read.
    pub fn value(&self, kernel: &dyn Kernel, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = vec![0; self.value];
        let element = MapElem {
            map_fd: self.fd as u32,
            key: Some(key.into()),
            value: Output::Slice(&mut value),
            ..MapElem::default()
        };
        kernel.bpf(&mut Command::MapLookup(element)).is_ok().then_some(value)
    }

    /// The keys, at most this many, in the map's own order.
    pub fn keys(&self, kernel: &dyn Kernel, most: usize) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while keys.len() < most {
            let mut next = vec![0; self.key];
            let command = MapNextKey {
                map_fd: self.fd as u32,
                key: keys.last().map(|key| (&key[..]).into()),
                next_key: Output::Slice(&mut next),
                ..MapNextKey::default()
            };
            if kernel.bpf(&mut Command::MapNextKey(command)).is_err() {
                break;
            }
            keys.push(next);
        }
        keys
    }
}
