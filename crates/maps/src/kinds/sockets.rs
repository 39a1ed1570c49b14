//! Maps of sockets. Answers to `net/xdp/xskmap.c`, `net/core/sock_map.c` and
//! `kernel/bpf/reuseport_array.c`. No fd of the embedded kernel is a socket but those of an
//! embedder's AF_XDP ones.

use std::sync::Arc;

use skep_abi::{Errno, MapType, flags};

use super::Caller;
use super::kind::{Kind, index_of, next_index};
use super::objects::{MapObject, ObjectArray, ObjectHash, Resolve};
use crate::grace::{self, Guard};

/// Bytes of a value that tells a socket's cookie.
const COOKIE: u32 = 8;

/// What system calls read of a socket: its cookie, where values have room for one.
fn read(value_size: u32) -> Result<(), Errno> {
    Err(if value_size == COOKIE { Errno::ENOENT } else { Errno::ENOSPC })
}

/// An array of sockets.
#[derive(Debug)]
pub struct Sockets {
    slots: ObjectArray,
    count: u32,
    map_type: MapType,
    value_size: u32,
}

impl Sockets {
    /// No sockets yet.
    pub fn new(map_type: MapType, count: u32, value_size: u32) -> Result<Sockets, Errno> {
        Ok(Sockets { slots: ObjectArray::new(count)?, count, map_type, value_size })
    }
}

impl Kind for Sockets {
    fn read(&self, _key: &[u8], _out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        if self.map_type == MapType::Xskmap {
            return Err(Errno::EOPNOTSUPP);
        }
        read(self.value_size)
    }

    fn set_object(&self, key: &[u8], flags: u64, resolve: Resolve<'_>) -> Result<(), Errno> {
        let index = index_of(key);
        if flags > flags::update::EXIST {
            return Err(Errno::EINVAL);
        }
        if index >= self.count {
            return Err(Errno::E2BIG);
        }
        let new = resolve()?;
        let guard = grace::pin();
        match (self.slots.get(index, &guard), flags) {
            // The same once more is fine.
            (Some(old), _) if Arc::ptr_eq(old, &new) => return Ok(()),
            (Some(_), flags::update::NOEXIST) => return Err(Errno::EEXIST),
            (None, flags::update::EXIST) => return Err(Errno::ENOENT),
            _ => {}
        }
        self.slots.set(index, Some(new));
        Ok(())
    }

    fn delete(&self, key: &[u8], _by: Caller) -> Result<(), Errno> {
        let there = index_of(key) < self.count;
        match self.map_type {
            // No fd here is a socket of these, so that there is none to take out.
            MapType::ReuseportSockarray if there => Err(Errno::ENOENT),
            MapType::ReuseportSockarray => Err(Errno::E2BIG),
            MapType::Sockmap => Err(Errno::EINVAL),
            _ if there => {
                self.slots.set(index_of(key), None);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        next_index(key, self.count, out)
    }

    fn object<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        self.slots.get(index_of(key), guard)
    }
}

/// Sockets by keys of any length (`BPF_MAP_TYPE_SOCKHASH`).
#[derive(Debug)]
pub struct SocketHash {
    sockets: ObjectHash,
    value_size: u32,
}

impl SocketHash {
    /// No sockets yet.
    pub fn new(sockets: ObjectHash, value_size: u32) -> SocketHash {
        SocketHash { sockets, value_size }
    }
}

impl Kind for SocketHash {
    fn read(&self, _key: &[u8], _out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        read(self.value_size)
    }

    fn set_object(&self, key: &[u8], flags: u64, resolve: Resolve<'_>) -> Result<(), Errno> {
        self.sockets.set_object(key, flags, resolve)
    }

    fn delete(&self, key: &[u8], by: Caller) -> Result<(), Errno> {
        Kind::delete(&self.sockets, key, by)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.sockets.next_key(key, out)
    }

    fn object<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        self.sockets.get(key, guard)
    }
}
