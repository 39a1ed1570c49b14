//! Objects that programs make (`bpf_obj_new`), and who owns them: a run, a field of a map's value
//! or of another object, a list or a tree. The kernel keeps all of that here, by address, and
//! believes nothing that stands in the memory of programs. Each object is freed once, when its
//! last owner is gone. Counterpart: `kernel/bpf/helpers.c`, `bpf_obj_free_fields`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_isa::Size;

use super::alarms::Alarms;
use crate::memory::blocks::{Block, Blocks};
use crate::memory::value::Region;

/// What programs of a kernel made.
#[derive(Default)]
pub(crate) struct Heap {
    state: Mutex<State>,
    /// Whether anything was ever made or kept: what asks often asks this first.
    used: AtomicBool,
    /// Timers and work in values.
    pub alarms: Arc<Alarms>,
}

impl Drop for Heap {
    fn drop(&mut self) {
        self.alarms.stop();
    }
}

/// Objects made and freed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// How many were made.
    pub made: u64,
    /// How many were freed.
    pub freed: u64,
}

#[derive(Default)]
struct State {
    blocks: Blocks,
    /// By their first address.
    objects: BTreeMap<u64, Object>,
    /// What fields hold that own what they point to, by the address of the field.
    kept: BTreeMap<u64, u64>,
    /// Nodes in order, by the address of the list's head or the tree's root.
    members: BTreeMap<u64, VecDeque<u64>>,
    /// What each node is in.
    within: BTreeMap<u64, u64>,
    counts: Objects,
}

struct Object {
    block: Block,
    /// Bytes of all of it.
    len: u32,
    /// Bytes of one of it.
    size: u32,
    /// Bytes from one CPU's to the next, for those that each has one of.
    stride: Option<u32>,
    owners: u32,
}

impl State {
    /// First address of the object that an address is in.
    fn base(&self, address: u64) -> Option<u64> {
        let (&base, object) = self.objects.range(..=address).next_back()?;
        (address - base < self.region(object).size().into()).then_some(base)
    }

    fn region(&self, object: &Object) -> Region {
        self.blocks.region(object.block, object.len)
    }

    /// One owner less; the last one frees it, and what its fields own.
    fn release(&mut self, address: u64) {
        let mut left = vec![address];
        while let Some(address) = left.pop() {
            let Some(base) = self.base(address) else { continue };
            let Some(object) = self.objects.get_mut(&base) else { continue };
            object.owners -= 1;
            if object.owners > 0 {
                continue;
            }
            if let Some(object) = self.objects.remove(&base) {
                let region = self.region(&object);
                self.blocks.give_back(object.block);
                self.counts.freed += 1;
                self.disown(region, &mut left);
            }
        }
    }

    /// Takes what fields in a region own; it goes to `left`.
    fn disown(&mut self, region: Region, left: &mut Vec<u64>) {
        let range = region.start()..region.start() + u64::from(region.size());
        let fields: Vec<u64> = self.kept.range(range.clone()).map(|(&at, _)| at).collect();
        for at in fields {
            left.extend(self.kept.remove(&at));
            let cleared = region.pointer(at - region.start()).store(0, Size::DW, 0);
            debug_assert!(cleared.is_ok(), "a field is inside");
        }
        let heads: Vec<u64> = self.members.range(range.clone()).map(|(&at, _)| at).collect();
        for node in heads.into_iter().filter_map(|at| self.members.remove(&at)).flatten() {
            self.within.remove(&node);
            left.push(node);
        }
        // Its own nodes are in nothing: what they are in owns it.
        let nodes: Vec<u64> = self.within.range(range).map(|(&at, _)| at).collect();
        for node in nodes {
            self.leave(node);
        }
    }

    /// Takes a node out of what it is in.
    fn leave(&mut self, node: u64) -> bool {
        let Some(head) = self.within.remove(&node) else { return false };
        if let Some(members) = self.members.get_mut(&head) {
            members.retain(|member| *member != node);
        }
        true
    }
}

impl Heap {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.used.load(Relaxed)
    }

    /// Objects made and freed so far.
    pub fn counts(&self) -> Objects {
        self.state().counts
    }

    /// A new object of zeros, with one owner; one for each of `cpus`, where there are any.
    pub fn make(&self, size: u32, cpus: Option<u32>) -> Region {
        self.used.store(true, Relaxed);
        let mut state = self.state();
        let stride = cpus.map(|_| size.next_multiple_of(8));
        let len = stride.zip(cpus).map_or(size, |(stride, cpus)| stride.saturating_mul(cpus));
        let block = state.blocks.take(len);
        let object = Object { block, len, size, stride, owners: 1 };
        let region = state.region(&object);
        state.counts.made += 1;
        state.objects.insert(region.start(), object);
        region
    }

    /// The object that an address is in.
    pub fn object(&self, address: u64) -> Option<Region> {
        if self.is_empty() {
            return None;
        }
        let state = self.state();
        let base = state.base(address)?;
        state.objects.get(&base).map(|object| state.region(object))
    }

    /// What a CPU has of an object that each has one of.
    pub fn of_cpu(&self, address: u64, cpu: u32) -> Option<Region> {
        let state = self.state();
        let object = state.objects.get(&address)?;
        let offset = u64::from(object.stride?) * u64::from(cpu);
        state.region(object).part(offset, object.size, true)
    }

    /// One owner more; false where there is no object.
    pub fn acquire(&self, address: u64) -> bool {
        let mut state = self.state();
        let base = state.base(address);
        let object = base.and_then(|base| state.objects.get_mut(&base));
        object.map(|object| object.owners += 1).is_some()
    }

    /// One owner less.
    pub fn release(&self, address: u64) {
        self.state().release(address);
    }

    /// Has a field own what `new` points to, if anything; gives what it owned before.
    pub fn exchange(&self, field: u64, new: u64) -> u64 {
        self.used.store(true, Relaxed);
        let mut state = self.state();
        let old = match new {
            0 => state.kept.remove(&field),
            new => state.kept.insert(field, new),
        };
        old.unwrap_or(0)
    }

    /// What fields in a region own is nobody's any more: the value that they are in was
    /// replaced, or is gone.
    pub fn clear(&self, region: Region) {
        self.alarms.forget(region.start()..region.start() + u64::from(region.size()));
        if self.is_empty() {
            return;
        }
        let mut state = self.state();
        let mut left = Vec::new();
        state.disown(region, &mut left);
        left.into_iter().for_each(|address| state.release(address));
    }

    /// Puts a node at an end of a list, which owns its object from now on; false where it is in
    /// one already.
    pub fn push(&self, head: u64, node: u64, front: bool) -> bool {
        self.insert(head, node, if front { 0 } else { usize::MAX })
    }

    /// Puts a node before the one with this number.
    pub fn insert(&self, head: u64, node: u64, at: usize) -> bool {
        let mut state = self.state();
        // What is in no object is no node: only a program that no verifier saw has such.
        if state.within.contains_key(&node) || state.base(node).is_none() {
            return false;
        }
        state.within.insert(node, head);
        let members = state.members.entry(head).or_default();
        members.insert(at.min(members.len()), node);
        true
    }

    /// Takes the node at an end of a list: its object is the caller's.
    pub fn pop(&self, head: u64, front: bool) -> Option<u64> {
        let mut state = self.state();
        let members = state.members.get_mut(&head)?;
        let node = if front { members.pop_front() } else { members.pop_back() }?;
        state.within.remove(&node);
        Some(node)
    }

    /// Takes a node out of a tree: its object is the caller's. False where it is not in it.
    pub fn remove(&self, root: u64, node: u64) -> bool {
        let mut state = self.state();
        state.within.get(&node) == Some(&root) && state.leave(node)
    }

    /// The nodes of a list or a tree, in their order.
    pub fn members(&self, head: u64) -> Vec<u64> {
        let state = self.state();
        state.members.get(&head).map(|nodes| nodes.iter().copied().collect()).unwrap_or_default()
    }

    /// The first or the last node.
    pub fn end(&self, head: u64, front: bool) -> Option<u64> {
        let state = self.state();
        let members = state.members.get(&head)?;
        if front { members.front() } else { members.back() }.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_freed_with_all_that_it_owns_and_once() {
        let heap = Heap::default();
        let [outer, inner, listed] = [64, 32, 48].map(|size| heap.make(size, None).start());
        assert_eq!(heap.exchange(outer + 8, inner), 0);
        assert!(heap.push(outer + 16, listed + 8, true));
        assert!(!heap.push(outer + 16, listed + 8, false), "it is in one");
        assert!(heap.acquire(outer + 3));
        heap.release(outer);
        assert_eq!(heap.counts(), Objects { made: 3, freed: 0 });
        heap.release(outer);
        assert_eq!(heap.counts(), Objects { made: 3, freed: 3 });
        heap.release(outer);
        assert!(!heap.acquire(inner));
        assert_eq!(heap.counts(), Objects { made: 3, freed: 3 });
    }

    #[test]
    fn a_value_that_goes_gives_up_what_it_owns() {
        let heap = Heap::default();
        let value = heap.make(64, None);
        let object = heap.make(16, None);
        assert_eq!(heap.exchange(value.start(), object.start()), 0);
        value.pointer(0).store(0, Size::DW, object.start()).expect("a field");
        heap.clear(value);
        assert_eq!(value.pointer(0).load(0, Size::DW), Ok(0));
        assert_eq!(heap.counts(), Objects { made: 2, freed: 1 });
    }

    #[test]
    fn nodes_are_taken_in_their_order() {
        let heap = Heap::default();
        let nodes: Vec<u64> = (0..3).map(|_| heap.make(64, None).start()).collect();
        for node in &nodes {
            assert!(heap.push(8, *node, false));
        }
        assert_eq!(heap.members(8), nodes);
        assert_eq!(heap.end(8, false), Some(nodes[2]));
        assert!(!heap.remove(16, nodes[1]), "it is in another");
        assert!(heap.remove(8, nodes[1]));
        assert_eq!(heap.pop(8, true), Some(nodes[0]));
        assert_eq!(heap.pop(8, true), Some(nodes[2]));
        assert_eq!(heap.pop(8, true), None);
        let each = heap.make(20, Some(3));
        assert_eq!(heap.of_cpu(each.start(), 2).map(|of| of.start()), Some(each.start() + 48));
        assert_eq!(heap.of_cpu(each.start(), 3).map(|of| of.start()), None);
    }
}
