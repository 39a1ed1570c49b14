//! A map as an object of the kernel: its storage, and what user space and programs know of it.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use skep_abi::flags::{map as map_flags, prog as prog_flags};
use skep_abi::{Errno, MapType, ProgType};
use skep_maps::{Cursor, Element, Map, MapObject, Model, grace};
use skep_verify::MapDef;

use super::btf::BtfObject;
use super::heap::Heap;
use super::program::Program;

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
    /// Where the objects are that fields of its values own, where they have such fields.
    pub owned: Option<Arc<Heap>>,
}

impl Drop for MapHandle {
    fn drop(&mut self) {
        let Some(heap) = &self.owned else { return };
        let mut cursor = Cursor::default();
        while let Some(element) = self.map.walk(&mut cursor, 0) {
            heap.clear(self.element_region(&element));
        }
    }
}

/// What programs that share a program array have in common (`struct bpf_map_owner`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    prog_type: ProgType,
    expected_attach_type: u32,
    xdp_has_frags: bool,
    sleepable: bool,
    /// The hook that they are for.
    hook: Option<u64>,
}

impl Owner {
    /// The kind of a program.
    pub fn of(prog: &Program) -> Owner {
        Owner {
            prog_type: prog.prog_type,
            expected_attach_type: prog.expected_attach_type,
            xdp_has_frags: prog.flags & prog_flags::XDP_HAS_FRAGS != 0,
            sleepable: prog.flags & prog_flags::SLEEPABLE != 0,
            hook: prog.hook.as_ref().map(|hook| hook.identity()),
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

    fn model(&self) -> Option<Model> {
        Some(self.map.model())
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

    /// Updates an element; what its fields own goes with the old value.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        self.map.update(key, value, flags, cpu)?;
        self.clear_fields(key, cpu);
        Ok(())
    }

    /// Deletes an element, and what its fields own.
    pub fn delete(&self, key: &[u8], cpu: u32) -> Result<(), Errno> {
        self.clear_fields(key, cpu);
        self.map.delete(key, cpu)
    }

    /// What fields of an element own is nobody's any more.
    pub fn clear_fields(&self, key: &[u8], cpu: u32) {
        if let Some(heap) = &self.owned
            && let Some(region) = self.lookup_region(key, cpu)
        {
            heap.clear(region);
        }
    }

    /// The element whose value is at an address.
    pub fn element_at(&self, value: u64, cpu: u32) -> Option<Element> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| self.map.walk(&mut cursor, cpu))
            .find(|element| element.value.addr().get() as u64 == value)
    }

    /// The device at a place of a map to redirect by, and the program that runs there.
    pub fn device(&self, index: u32) -> Option<(u32, Option<Arc<Program>>)> {
        let key = index.to_ne_bytes();
        let mut value = [0; 8];
        let _guard = grace::pin();
        self.map.lookup_copy(&key, &mut value[..self.map.user_value_size().min(8)], 0).ok()?;
        let device = u32::from_ne_bytes(value[..4].first_chunk().copied()?);
        Some((device, self.held(&key)))
    }

    /// The places of a map to redirect by that have an entry.
    pub fn targets(&self) -> Vec<u32> {
        let mut places = Vec::new();
        let mut next = [0; 4];
        let mut last: Option<[u8; 4]> = None;
        while places.len() < self.map.max_entries() as usize
            && self.map.next_key(last.as_ref().map(|key| &key[..]), &mut next).is_ok()
        {
            let place = u32::from_ne_bytes(next);
            if self.has_target(place) {
                places.push(place);
            }
            last = Some(next);
        }
        places
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
            // Where user space has an arena, of which it is the same to all.
            extra: map.arena().map_or(0, |arena| arena.address(0)),
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
