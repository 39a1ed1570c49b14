//! Maps that hold objects: arrays and hashes of maps, devices and CPUs against the
//! running kernel's; program arrays by their rules.

use std::sync::Arc;

use skep_abi::{Errno, MapType};

use super::linux::{LinuxMap, permitted};
use super::{Random, Subject};
use crate::{Map, MapAttr, MapObject, grace};

/// A program with an id, and something that lives as long.
struct Program {
    id: u32,
    _alive: Arc<()>,
}

impl MapObject for Program {
    fn id(&self) -> u32 {
        self.id
    }

    fn raw(&self) -> *const () {
        (&raw const *self).cast()
    }
}

#[test]
fn program_arrays_hold_programs_as_long_as_somebody_may_use_them() {
    let map = Map::create(&MapAttr::new(MapType::ProgArray, 4, 4, 4), 2).unwrap();
    let alive = Arc::new(());
    let key = 2u32.to_ne_bytes();
    let program: Arc<dyn MapObject> = Arc::new(Program { id: 7, _alive: alive.clone() });
    let mut resolve = || Ok(program.clone());
    assert_eq!(map.update_object(&key, 1, &mut resolve), Err(Errno::EINVAL));
    assert_eq!(map.update_object(&4u32.to_ne_bytes(), 0, &mut resolve), Err(Errno::E2BIG));
    assert_eq!(map.update_object(&key, 0, &mut resolve), Ok(()));
    drop(program);
    let mut id = [0; 4];
    assert_eq!(map.lookup_copy(&key, &mut id, 0), Ok(()));
    assert_eq!(id, 7u32.to_ne_bytes());
    assert_eq!(map.lookup_copy(&[0; 4], &mut id, 0), Err(Errno::ENOENT));
    let guard = grace::pin();
    let found = map.object(&key, &guard).unwrap();
    assert_eq!(map.delete(&key, 0), Ok(()));
    assert_eq!(map.delete(&key, 0), Err(Errno::ENOENT));
    assert!(map.object(&key, &guard).is_none());
    assert_eq!(found.id(), 7, "still there under the guard");
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(guard);
    // Guards of other tests may be in the way for a while.
    while Arc::strong_count(&alive) > 1 {
        std::thread::yield_now();
        drop(grace::pin());
    }
}

#[test]
fn maps_let_their_objects_go_with_them() {
    let alive = Arc::new(());
    for map_type in [MapType::ProgArray, MapType::Xskmap] {
        let map = Map::create(&MapAttr::new(map_type, 4, 4, 4), 2).unwrap();
        for index in 0..4u32 {
            let program: Arc<dyn MapObject> =
                Arc::new(Program { id: index, _alive: alive.clone() });
            map.update_object(&index.to_ne_bytes(), 0, &mut || Ok(program.clone())).unwrap();
        }
    }
    while Arc::strong_count(&alive) > 1 {
        std::thread::yield_now();
        drop(grace::pin());
    }
}

/// Inner maps by number, on both kernels.
struct Inners {
    ours: Vec<Arc<Map>>,
    linux: Vec<LinuxMap>,
}

impl Inners {
    /// Arrays of 3 elements, the last one of 5: not the same, for Linux.
    fn new() -> Inners {
        let attr = |entries| MapAttr::new(MapType::Array, 4, 8, entries);
        let sizes = [3, 3, 3, 5];
        let ours = sizes.map(|entries| Map::create(&attr(entries), 2).unwrap());
        for (id, map) in (1..).zip(&ours) {
            map.set_id(id);
        }
        let linux = sizes.map(|entries| LinuxMap::create(&attr(entries), 8, -1).unwrap());
        Inners { ours: ours.into(), linux: linux.into() }
    }
}

#[test]
fn maps_of_maps_answer_as_linux() {
    if !permitted() {
        return;
    }
    let inners = Inners::new();
    let linux_ids: Vec<u32> = inners.linux.iter().map(LinuxMap::id).collect();
    for (map_type, max_entries) in
        [(MapType::ArrayOfMaps, 5), (MapType::HashOfMaps, 5), (MapType::HashOfMaps, 40)]
    {
        let mut attr = MapAttr::new(map_type, 4, 4, max_entries);
        attr.inner = Some(inners.ours[0].clone());
        let ours = Map::create(&attr, 2).unwrap();
        let mut linux = LinuxMap::create(&attr, 4, inners.linux[0].fd()).unwrap();
        let mut random = Random::new(5);
        let number = |ids: &[u32], id: &[u8]| {
            let id = u32::from_ne_bytes([id[0], id[1], id[2], id[3]]);
            ids.iter().position(|other| *other == id)
        };
        for step in 0..600 {
            let key = (random.below(u64::from(max_entries) + 3) as u32).to_ne_bytes();
            let (mine, theirs) = match random.below(10) {
                0..4 => {
                    let flags = [0, 0, 1, 2, 3][random.below(5) as usize];
                    let inner = random.below(5) as usize;
                    let fd = inners.linux.get(inner).map_or(1_000_000, LinuxMap::fd);
                    let mut resolve = || {
                        let inner = inners.ours.get(inner).ok_or(Errno::EBADF)?;
                        Ok(inner.clone() as Arc<dyn MapObject>)
                    };
                    let mine = ours.update_object(&key, flags, &mut resolve);
                    (
                        mine.map(|()| vec![]),
                        linux.update(&key, &fd.to_ne_bytes(), flags).map(|()| vec![]),
                    )
                }
                4 | 5 => {
                    (ours.delete(&key, 0).map(|()| vec![]), linux.delete(&key).map(|()| vec![]))
                }
                6..9 => {
                    let mut id = [0; 4];
                    let mine = ours.lookup_copy(&key, &mut id, 0);
                    let mine = mine.map(|()| vec![number(&[1, 2, 3, 4], &id)]);
                    (mine, linux.lookup(&key).map(|id| vec![number(&linux_ids, &id)]))
                }
                _ => {
                    let mut keys = vec![0; 64 * 4];
                    let mut ids = vec![0; 64 * 4];
                    let delete = map_type == MapType::HashOfMaps && step % 5 == 0;
                    let mine = ours.lookup_batch(None, &mut keys, &mut ids, 0, 0, delete);
                    let count = mine.count.unwrap_or(0) as usize;
                    let mut pairs: Vec<_> = keys
                        .chunks(4)
                        .zip(ids.chunks(4))
                        .take(count)
                        .map(|(key, id)| (key.to_vec(), number(&[1, 2, 3, 4], id)))
                        .collect();
                    let (result, theirs) = linux.read_batch(64, delete);
                    let mut theirs: Vec<_> = theirs
                        .into_iter()
                        .map(|(key, id)| (key, number(&linux_ids, &id)))
                        .collect();
                    pairs.sort();
                    theirs.sort();
                    assert_eq!((mine.result, pairs), (result, theirs), "step {step}");
                    continue;
                }
            };
            assert_eq!(mine, theirs, "step {step}, {map_type}, key {key:?}");
        }
    }
}

#[test]
fn inner_maps_of_another_kind_are_refused() {
    let inner = Map::create(&MapAttr::new(MapType::Array, 4, 8, 3), 2).unwrap();
    let mut attr = MapAttr::new(MapType::ArrayOfMaps, 4, 4, 2);
    assert_eq!(Map::create(&attr, 2).err(), Some(Errno::EBADF));
    attr.inner = Some(inner);
    let outer = Map::create(&attr, 2).unwrap();
    attr.inner = Some(outer.clone());
    assert_eq!(Map::create(&attr, 2).err(), Some(Errno::EINVAL), "one level only");
    attr.inner = Some(Map::create(&MapAttr::new(MapType::ProgArray, 4, 4, 2), 2).unwrap());
    assert_eq!(Map::create(&attr, 2).err(), Some(Errno::ENOTSUPP));
    let other: Arc<dyn MapObject> = Map::create(&MapAttr::new(MapType::Hash, 4, 8, 3), 2).unwrap();
    let refused = outer.update_object(&[0; 4], 0, &mut || Ok(other.clone()));
    assert_eq!(refused, Err(Errno::EINVAL));
}

#[test]
fn device_and_cpu_maps_answer_as_linux() {
    if !permitted() {
        return;
    }
    let cpus = super::sequences::possible_cpus();
    for map_type in [MapType::Devmap, MapType::DevmapHash, MapType::Cpumap] {
        for value_size in [4, 8] {
            let attr = MapAttr::new(map_type, 4, value_size, 4);
            let ours = Map::create(&attr, cpus).unwrap();
            let mut linux = LinuxMap::create(&attr, value_size as usize, -1).unwrap();
            let mut random = Random::new(3);
            let steps = if map_type == MapType::Cpumap { 150 } else { 2000 };
            for step in 0..steps {
                let key = (random.below(7) as u32).to_ne_bytes();
                // Interface 1 is the loopback; no other is sure to be there.
                let first = [0u32, 1, 1, 1, 0x7fff_fff0][random.below(5) as usize];
                let fd = [0i32, -1, 1_000_000][random.below(3) as usize];
                let mut value = first.to_ne_bytes().to_vec();
                value.extend(fd.to_ne_bytes());
                value.truncate(value_size as usize);
                let flags = [0, 0, 0, 1, 2, 3][random.below(6) as usize];
                let (mine, theirs) = match random.below(4) {
                    0 | 1 => {
                        let mut resolve = |target: crate::Target| {
                            let device = map_type == MapType::Cpumap || target.first == 1;
                            if device && target.program_fd <= 0 {
                                Ok(None)
                            } else {
                                Err(Errno::EINVAL)
                            }
                        };
                        let mine = ours.update_target(&key, &value, flags, &mut resolve);
                        (mine.map(|()| vec![]), linux.update(&key, &value, flags).map(|()| vec![]))
                    }
                    2 => {
                        let mine = ours.delete_from_user(&key);
                        (mine.map(|()| vec![]), linux.delete(&key).map(|()| vec![]))
                    }
                    _ => {
                        let mut out = vec![0; value_size as usize];
                        let mine = ours.lookup_copy(&key, &mut out, 0).map(|()| out);
                        (mine, linux.lookup(&key))
                    }
                };
                assert_eq!(
                    mine, theirs,
                    "step {step}, {map_type}, key {key:?}, {value:?}, {flags}"
                );
            }
        }
    }
}
