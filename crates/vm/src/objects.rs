//! What fds and ids of the embedded kernel mean: maps, programs, BTF, pins.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use skep_abi::flags::{map as map_flags, prog as prog_flags};
use skep_abi::{Errno, MapType, ProgType};
use skep_btf::Btf;
use skep_sys::RawFd;
use skep_verify::MapDef;

use crate::maps::{Map, MapObject, grace};
use crate::program::Program;

/// A map with what user space knows of it.
pub(crate) struct MapHandle {
    /// Its storage.
    pub map: Arc<Map>,
    /// Id.
    pub id: u32,
    /// Name, zero-terminated.
    pub name: [u8; 16],
    /// BTF of the types below.
    pub btf: Option<Arc<BtfObject>>,
    /// BTF type of the key.
    pub btf_key_type_id: u32,
    /// BTF type of the value.
    pub btf_value_type_id: u32,
    /// What the maps in a map of maps are to the verifier.
    pub inner: Option<Arc<MapDef>>,
    /// Which programs a program array is for; the first one decides.
    pub owner: OnceLock<Owner>,
}

/// What programs that share a program array have in common (`struct bpf_map_owner`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    prog_type: ProgType,
    expected_attach_type: u32,
    xdp_has_frags: bool,
    sleepable: bool,
}

impl Owner {
    /// The kind of a program.
    pub fn of(prog: &Program) -> Owner {
        Owner {
            prog_type: prog.prog_type,
            expected_attach_type: prog.expected_attach_type,
            xdp_has_frags: prog.flags & prog_flags::XDP_HAS_FRAGS != 0,
            sleepable: prog.flags & prog_flags::SLEEPABLE != 0,
        }
    }
}

impl MapObject for MapHandle {
    fn id(&self) -> u32 {
        self.id
    }

    fn raw(&self) -> *const () {
        (&raw const *self).cast()
    }

    fn map(&self) -> Option<&Map> {
        Some(&self.map)
    }
}

impl MapObject for Program {
    fn id(&self) -> u32 {
        self.id
    }

    fn raw(&self) -> *const () {
        (&raw const *self).cast()
    }
}

impl MapHandle {
    /// The program in slot `index` of a program array.
    pub fn program(&self, index: u32) -> Option<Arc<Program>> {
        self.held(&index.to_ne_bytes())
    }

    /// Whether a program may stand in this program array, or use it
    /// (`bpf_prog_map_compatible`).
    pub fn admits(&self, prog: &Program) -> bool {
        let owner = Owner::of(prog);
        self.map.map_type() != MapType::ProgArray || *self.owner.get_or_init(|| owner) == owner
    }

    /// The map that a key of a map of maps leads to.
    pub fn inner(&self, key: &[u8]) -> Option<Arc<MapHandle>> {
        self.held(key)
    }

    /// Whether a map to redirect by has an entry.
    pub fn has_target(&self, index: u32) -> bool {
        let key = index.to_ne_bytes();
        let guard = grace::pin();
        self.map.object(&key, &guard).is_some() || self.map.lookup(&key, 0).is_some()
    }

    /// The map as the verifier knows it: its contents count where neither programs nor
    /// system calls can change them any more.
    pub fn definition(&self) -> MapDef {
        let map = &self.map;
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        let constant = map.map_type() == MapType::Array
            && map.flags() & map_flags::RDONLY_PROG != 0
            && map.frozen();
        let contents = constant.then(|| {
            let mut value = vec![0; map.user_value_size()];
            // An array has a first element.
            let _ = map.lookup_copy(&0u32.to_ne_bytes(), &mut value, 0);
            value
        });
        MapDef {
            name: String::from_utf8_lossy(&self.name[..end]).into_owned(),
            kind: map.map_type(),
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries: map.max_entries(),
            flags: map.flags(),
            extra: 0,
            btf: self.btf.as_ref().map(|btf| Arc::clone(&btf.types)),
            key_type: self.btf_key_type_id,
            value_type: self.btf_value_type_id,
            inner: self.inner.clone(),
            frozen: contents.map(Arc::from),
        }
    }

    /// What a map of maps that is made with this one knows of its maps (`bpf_map_meta_alloc`).
    pub fn as_inner(&self) -> MapDef {
        MapDef { name: String::new(), frozen: None, ..self.definition() }
    }

    fn held<T: MapObject>(&self, key: &[u8]) -> Option<Arc<T>> {
        let guard = grace::pin();
        let object: Arc<dyn Any + Send + Sync> = self.map.object(key, &guard)?.clone();
        object.downcast().ok()
    }
}

/// Loaded BTF.
pub(crate) struct BtfObject {
    /// Id.
    pub id: u32,
    /// The bytes as they were loaded.
    pub bytes: Box<[u8]>,
    /// The types.
    pub types: Arc<Btf>,
}

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
    /// An open file that is none of bpf's.
    Foreign,
}

/// The tables of fds, ids and pins.
#[derive(Default)]
pub(crate) struct Objects {
    fds: BTreeMap<RawFd, Object>,
    pins: HashMap<Vec<u8>, Object>,
    maps: Ids<MapHandle>,
    progs: Ids<Program>,
    btfs: Ids<BtfObject>,
    next_fd: RawFd,
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
    /// An id for an object that is about to be made.
    pub fn reserve(&mut self) -> u32 {
        self.table.retain(|_, object| object.strong_count() > 0);
        let id = self.next;
        self.next += 1;
        id
    }

    /// Enters an object under its id.
    pub fn insert(&mut self, id: u32, object: &Arc<T>) {
        self.table.insert(id, Arc::downgrade(object));
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

impl Objects {
    /// Gives an fd to an object: the lowest free number, as Linux does.
    pub fn open(&mut self, object: Object) -> RawFd {
        let mut fd = self.next_fd.max(FIRST_FD);
        while self.fds.contains_key(&fd) {
            fd += 1;
        }
        self.fds.insert(fd, object);
        self.next_fd = fd + 1;
        fd
    }

    /// Closes an fd.
    pub fn close(&mut self, fd: RawFd) {
        if self.fds.remove(&fd).is_some() {
            self.next_fd = self.next_fd.min(fd);
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

    /// Maps by id.
    pub fn maps(&mut self) -> &mut Ids<MapHandle> {
        &mut self.maps
    }

    /// Programs by id.
    pub fn progs(&mut self) -> &mut Ids<Program> {
        &mut self.progs
    }

    /// BTF by id.
    pub fn btfs(&mut self) -> &mut Ids<BtfObject> {
        &mut self.btfs
    }

    /// Objects by the path they are pinned to.
    pub fn pins(&mut self) -> &mut HashMap<Vec<u8>, Object> {
        &mut self.pins
    }
}
