//! What fds of a process mean, and ids and pins of the embedded kernel.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use skep_abi::Errno;
use skep_maps::PerfEvent;
use skep_sys::RawFd;

use super::btf::BtfObject;
use super::map::MapHandle;
use super::program::Program;

/// A map and what its fd may do.
#[derive(Clone)]
pub(crate) struct MapFd {
    /// The map.
    pub map: Arc<MapHandle>,
    /// MAP_LOOKUP_ELEM and its like are allowed.
    pub readable: bool,
    /// MAP_UPDATE_ELEM and its like are allowed.
    pub writable: bool,
}

/// What an fd is.
#[derive(Clone)]
pub(crate) enum Object {
    /// A map.
    Map(MapFd),
    /// A program.
    Prog(Arc<Program>),
    /// BTF.
    Btf(Arc<BtfObject>),
    /// A perf event.
    Event(Arc<PerfEvent>),
    /// An open file that is none of bpf's.
    Foreign,
}

/// The fds of one process.
#[derive(Default)]
pub(crate) struct Files {
    fds: BTreeMap<RawFd, Object>,
    next: RawFd,
}

/// The ids and pins of a kernel, which all of its processes see.
#[derive(Default)]
pub(crate) struct Objects {
    pub pins: HashMap<Vec<u8>, Object>,
    pub maps: Ids<MapHandle>,
    pub progs: Ids<Program>,
    pub btfs: Ids<BtfObject>,
}

/// Objects by id. Ids go up and are not given twice; what nobody holds is gone.
pub(crate) struct Ids<T> {
    table: BTreeMap<u32, std::sync::Weak<T>>,
    next: u32,
}

impl<T> Default for Ids<T> {
    fn default() -> Ids<T> {
        Ids { table: BTreeMap::new(), next: 1 }
    }
}

impl<T> Ids<T> {
    /// Makes an object and enters it under the id that it is made with.
    ///
    /// # Errors
    /// What making it says.
    pub fn enter(&mut self, make: impl FnOnce(u32) -> Result<T, Errno>) -> Result<Arc<T>, Errno> {
        self.table.retain(|_, object| object.strong_count() > 0);
        let id = self.next;
        self.next += 1;
        let object = Arc::new(make(id)?);
        self.table.insert(id, Arc::downgrade(&object));
        Ok(object)
    }

    /// The object with this id.
    pub fn get(&self, id: u32) -> Option<Arc<T>> {
        self.table.get(&id)?.upgrade()
    }

    /// The first id after `id`.
    pub fn after(&self, id: u32) -> Option<u32> {
        let start = id.checked_add(1)?;
        self.table.range(start..).find(|(_, object)| object.strong_count() > 0).map(|(&id, _)| id)
    }
}

/// The first fd that is given out: the first three are open in every process.
const FIRST_FD: RawFd = 3;

impl Files {
    /// Gives an fd to an object: the lowest free number, as Linux does.
    pub fn open(&mut self, object: Object) -> RawFd {
        let mut fd = self.next.max(FIRST_FD);
        while self.fds.contains_key(&fd) {
            fd += 1;
        }
        self.fds.insert(fd, object);
        self.next = fd + 1;
        fd
    }

    /// Closes an fd.
    pub fn close(&mut self, fd: RawFd) {
        if self.fds.remove(&fd).is_some() {
            self.next = self.next.min(fd);
        }
    }

    /// What an fd is.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get(&self, fd: u32) -> Result<&Object, Errno> {
        match self.fds.get(&(fd as RawFd)) {
            Some(object) => Ok(object),
            // Standard input, output and error.
            None if fd < FIRST_FD as u32 => Ok(&Object::Foreign),
            None => Err(Errno::EBADF),
        }
    }

    /// The map behind an fd.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` where it is something else.
    pub fn map(&self, fd: u32) -> Result<Arc<MapHandle>, Errno> {
        Ok(self.map_fd(fd)?.map)
    }

    /// The map behind an fd, and the fd's rights.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` where it is something else.
    pub fn map_fd(&self, fd: u32) -> Result<MapFd, Errno> {
        match self.get(fd)? {
            Object::Map(map) => Ok(map.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The program behind an fd.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` where it is something else.
    pub fn prog(&self, fd: u32) -> Result<Arc<Program>, Errno> {
        match self.get(fd)? {
            Object::Prog(prog) => Ok(prog.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The BTF behind an fd.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` where it is something else.
    pub fn btf(&self, fd: u32) -> Result<Arc<BtfObject>, Errno> {
        match self.get(fd)? {
            Object::Btf(btf) => Ok(btf.clone()),
            _ => Err(Errno::EINVAL),
        }
    }
}
