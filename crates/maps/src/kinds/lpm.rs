//! Longest-prefix-match tries.
//!
//! A key is `u32 prefixlen` and data in network order. Nodes stand in one mapping, by
//! number:
//!
//! ```text
//!   u32 child[2]   0 for none
//!   u32 prefixlen
//!   u32 kind       1 a key, 2 a branch that is no key
//!   data, value    each rounded up to 8 bytes
//! ```
//!
//! A branch that is no key always has two children. Readers take no lock: they walk,
//! and walk again if a writer was there meanwhile. An update makes a new node, as on
//! Linux; nodes are recycled, the longest unused first. Answers to
//! `kernel/bpf/lpm_trie.c`.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_abi::{Errno, flags};

use super::Caller;
use super::batch::BatchKind;
use super::kind::Kind;
use crate::mem::{Mapping, words};
use crate::spin::window;

/// A trie.
#[derive(Debug)]
pub struct LpmTrie {
    nodes: Mapping,
    stride: usize,
    data_size: usize,
    value_size: usize,
    max_entries: u32,
    root: AtomicU32,
    /// Odd while a writer is at work.
    version: AtomicU64,
    writer: Mutex<Writer>,
}

/// What only writers know.
#[derive(Debug)]
struct Writer {
    entries: u32,
    /// The next node never used, and the number behind the last.
    fresh: u32,
    end: u32,
    /// Recycled nodes, linked by their first child: the oldest and the newest.
    oldest: u32,
    newest: u32,
    recycled: u32,
}

/// Nodes rest at least for so many deletions while there are others.
const RESTING: u32 = 32;

const HEADER: usize = 16;
const KEY: u32 = 1;
const BRANCH: u32 = 2;

/// A key of a system call or a program.
#[derive(Clone, Copy)]
struct Prefix<'a> {
    len: u32,
    /// The data's first word, the first bit highest: all of it of an IPv4 prefix.
    first: u64,
    data: &'a [u8],
}

/// Up to 8 bytes as a number, the first bit highest.
fn word_of(data: &[u8]) -> u64 {
    match *data {
        [a, b, c, d] => u64::from(u32::from_be_bytes([a, b, c, d])) << 32,
        _ => {
            let mut bytes = [0; 8];
            bytes[..data.len()].copy_from_slice(data);
            u64::from_be_bytes(bytes)
        }
    }
}

impl Prefix<'_> {
    fn bit(self, index: u32) -> usize {
        if index < 64 {
            return (self.first << index >> 63) as usize;
        }
        let byte = self.data.get(index as usize / 8).copied().unwrap_or(0);
        usize::from(byte >> (7 - index % 8) & 1)
    }
}

impl LpmTrie {
    /// Bytes per key: its node, and a branch.
    pub fn node_bytes(key_size: u32, value_size: u32) -> u64 {
        let data = u64::from(key_size).saturating_sub(4).next_multiple_of(8);
        HEADER as u64 + data + u64::from(value_size).next_multiple_of(8)
    }

    /// An empty trie with `nodes` nodes at most.
    pub fn new(
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        nodes: u32,
    ) -> Result<LpmTrie, Errno> {
        let stride = LpmTrie::node_bytes(key_size, value_size);
        let bytes = stride.checked_mul(u64::from(nodes) + 1).ok_or(Errno::ENOMEM)?;
        Ok(LpmTrie {
            nodes: Mapping::new(bytes)?,
            stride: stride as usize,
            data_size: key_size as usize - 4,
            value_size: value_size as usize,
            max_entries,
            root: AtomicU32::new(0),
            version: AtomicU64::new(0),
            writer: Mutex::new(Writer {
                entries: 0,
                fresh: 1,
                end: nodes.saturating_add(1),
                oldest: 0,
                newest: 0,
                recycled: 0,
            }),
        })
    }

    /// Nodes that so many keys can need: a branch for each but one, and the new node of an
    /// update.
    pub fn most_nodes(max_entries: u32) -> u32 {
        max_entries.saturating_mul(2).min(u32::MAX - 1)
    }

    fn prefix<'a>(&self, key: &'a [u8]) -> Option<Prefix<'a>> {
        let (len, data) = key.split_first_chunk()?;
        let len = u32::from_ne_bytes(*len);
        let data = &data[..self.data_size];
        let first = word_of(&data[..data.len().min(8)]);
        (len as usize <= self.data_size * 8).then_some(Prefix { len, first, data })
    }

    fn node(&self, number: u32) -> Node<'_> {
        debug_assert!((number as usize + 1) * self.stride <= self.nodes.len());
        // SAFETY: numbers in the trie and in the list are below `end`, for which there is
        // room.
        let at = unsafe { self.nodes.base().add(number as usize * self.stride) };
        Node { trie: self, at }
    }

    /// The value of the longest prefix that matches; its address stays valid while the map
    /// lives.
    pub fn lookup(&self, key: &[u8]) -> Option<NonNull<u8>> {
        let key = self.prefix(key)?;
        for _ in 0..64 {
            let version = self.version.load(Ordering::Acquire);
            if version & 1 == 0 {
                let found = self.walk(key);
                fence(Ordering::Acquire);
                if self.version.load(Ordering::Relaxed) == version {
                    return found;
                }
            }
            std::hint::spin_loop();
        }
        // One writer after the other: wait for a turn.
        let _writer = self.write();
        self.walk(key)
    }

    fn walk(&self, key: Prefix<'_>) -> Option<NonNull<u8>> {
        let mut found = None;
        let mut number = self.root.load(Ordering::Acquire);
        // Each node's prefix is longer than its parent's, unless writers interfere.
        for _ in 0..=self.data_size * 8 {
            if number == 0 {
                break;
            }
            window();
            let node = self.node(number);
            let len = node.len();
            if node.common(key) < len {
                break;
            }
            if node.kind() == KEY {
                found = Some(number);
            }
            if len >= key.len {
                break;
            }
            number = node.child(key.bit(len)).load(Ordering::Acquire);
        }
        NonNull::new(self.node(found?).value())
    }

    /// Copies out the value of the longest matching prefix.
    pub fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let key = self.prefix(key).ok_or(Errno::ENOENT)?;
        let _writer = self.write();
        let value = self.walk(key).ok_or(Errno::ENOENT)?;
        // SAFETY: the value is inside the node, 8-byte aligned.
        unsafe { words::load(&mut out[..self.value_size], value.as_ptr()) };
        Ok(())
    }

    fn write(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets readers walk again whatever they have walked until the end of `change`.
    fn changing<T>(&self, change: impl FnOnce() -> T) -> T {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let result = change();
        self.version.store(version + 2, Ordering::Release);
        result
    }

    /// Stores a prefix's value. ENOSPC when full.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > flags::update::EXIST {
            return Err(Errno::EINVAL);
        }
        let key = self.prefix(key).ok_or(Errno::EINVAL)?;
        let mut writer = self.write();
        let (slot, number) = self.descend(key);
        let node = (number != 0).then(|| self.node(number));
        let common = node.map_or(0, |node| node.common(key));
        // The node with this very prefix, which may be a branch so far.
        let same = node.filter(|node| node.len() == common && common == key.len);
        match (same.is_some_and(|node| node.kind() == KEY), flags) {
            (true, flags::update::NOEXIST) => return Err(Errno::EEXIST),
            (false, flags::update::EXIST) => return Err(Errno::ENOENT),
            (false, _) if writer.entries == self.max_entries => return Err(Errno::ENOSPC),
            _ => {}
        }
        let adds = same.is_none_or(|node| node.kind() != KEY);
        let parts = node.filter(|_| same.is_none() && common < key.len);
        let new = writer.take(self).ok_or(Errno::ENOMEM)?;
        let branch = match parts {
            Some(_) => match writer.take(self) {
                Some(branch) => branch,
                None => {
                    writer.give(self, new);
                    return Err(Errno::ENOMEM);
                }
            },
            None => 0,
        };
        self.changing(|| {
            let made = self.node(new);
            made.fill(KEY, key.len, key.data);
            // SAFETY: the value is inside the node, 8-byte aligned.
            unsafe { words::store(made.value(), &value[..self.value_size]) };
            let top = match (node, same, parts) {
                (None, ..) => new,
                (_, Some(same), _) => {
                    for side in 0..2 {
                        made.child(side)
                            .store(same.child(side).load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                    new
                }
                (_, _, Some(other)) => {
                    let fork = self.node(branch);
                    fork.fill(BRANCH, common, key.data);
                    let side = key.bit(common);
                    fork.child(side).store(new, Ordering::Relaxed);
                    fork.child(1 - side).store(number, Ordering::Relaxed);
                    debug_assert_ne!(other.bit(common), side);
                    branch
                }
                // The new prefix is a part of the node's.
                (Some(other), ..) => {
                    made.child(other.bit(key.len)).store(number, Ordering::Relaxed);
                    new
                }
            };
            slot.store(top, Ordering::Release);
        });
        if same.is_some() {
            writer.give(self, number);
        }
        writer.entries += u32::from(adds);
        Ok(())
    }

    /// The slot at which the walk for a prefix ends, and the node in it: the one with this
    /// prefix, or the first that does not contain it.
    fn descend(&self, key: Prefix<'_>) -> (&AtomicU32, u32) {
        let mut slot = &self.root;
        loop {
            let number = slot.load(Ordering::Relaxed);
            if number == 0 {
                return (slot, 0);
            }
            let node = self.node(number);
            if node.common(key) != node.len() || node.len() == key.len {
                return (slot, number);
            }
            slot = node.child(key.bit(node.len()));
        }
    }

    /// Deletes exactly this prefix.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let key = self.prefix(key).ok_or(Errno::EINVAL)?;
        let mut writer = self.write();
        let path = self.path(key).ok_or(Errno::ENOENT)?;
        let number = *path.last().ok_or(Errno::ENOENT)?;
        let node = self.node(number);
        let children = [0, 1].map(|side| node.child(side).load(Ordering::Relaxed));
        let slot_of = |depth: usize| match depth.checked_sub(1) {
            None => &self.root,
            Some(above) => {
                let parent = self.node(path[above]);
                let side = usize::from(parent.child(1).load(Ordering::Relaxed) == path[depth]);
                parent.child(side)
            }
        };
        let depth = path.len() - 1;
        let parent = depth.checked_sub(1).map(|above| path[above]);
        let mut gone = [number, 0];
        self.changing(|| match children {
            [0, 0] => match parent.filter(|&parent| self.node(parent).kind() == BRANCH) {
                // The branch above has one side left, which takes its place.
                Some(parent) => {
                    let sides = [0, 1].map(|side| self.node(parent).child(side));
                    let sides = sides.map(|side| side.load(Ordering::Relaxed));
                    let sibling = if sides[0] == number { sides[1] } else { sides[0] };
                    slot_of(depth - 1).store(sibling, Ordering::Release);
                    gone[1] = parent;
                }
                None => slot_of(depth).store(0, Ordering::Release),
            },
            [only, 0] | [0, only] => slot_of(depth).store(only, Ordering::Release),
            _ => {
                node.kind_field().store(BRANCH, Ordering::Relaxed);
                gone[0] = 0;
            }
        });
        for number in gone.into_iter().filter(|&number| number != 0) {
            writer.give(self, number);
        }
        writer.entries -= 1;
        Ok(())
    }

    /// The nodes from the root to the key with exactly this prefix.
    fn path(&self, key: Prefix<'_>) -> Option<Vec<u32>> {
        let mut path = Vec::new();
        let mut number = self.root.load(Ordering::Relaxed);
        while number != 0 {
            path.push(number);
            let node = self.node(number);
            if node.common(key) != node.len() {
                return None;
            }
            if node.len() == key.len {
                return (node.kind() == KEY).then_some(path);
            }
            number = node.child(key.bit(node.len())).load(Ordering::Relaxed);
        }
        None
    }

    /// The prefix behind `key` in postorder, longer prefixes before the ones that contain
    /// them; the first for none or an unknown one.
    pub fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let _writer = self.write();
        let root = self.root.load(Ordering::Relaxed);
        if root == 0 {
            return Err(Errno::ENOENT);
        }
        let mut found = 0;
        let mut start = root;
        if let Some(path) = key.and_then(|key| self.prefix(key)).and_then(|key| self.path(key)) {
            start = 0;
            for (child, parent) in path.iter().zip(path.iter().skip(1)).rev().map(|(p, c)| (*c, *p))
            {
                let parent_node = self.node(parent);
                let right = parent_node.child(1).load(Ordering::Relaxed);
                if right != child && right != 0 {
                    start = right;
                    break;
                }
                if parent_node.kind() == KEY {
                    found = parent;
                    break;
                }
            }
            if start == 0 && found == 0 {
                return Err(Errno::ENOENT);
            }
        }
        while start != 0 {
            let node = self.node(start);
            found = start;
            let left = node.child(0).load(Ordering::Relaxed);
            start = if left != 0 { left } else { node.child(1).load(Ordering::Relaxed) };
        }
        let node = self.node(found);
        let (len, data) = out.split_first_chunk_mut().ok_or(Errno::EINVAL)?;
        *len = node.len().to_ne_bytes();
        // SAFETY: the data is inside the node, 8-byte aligned.
        unsafe { words::load(data, node.data()) };
        Ok(())
    }
}

impl Kind for LpmTrie {
    #[inline]
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        self.lookup(key)
    }

    fn read(&self, key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        self.read(key, out)
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _by: Caller) -> Result<(), Errno> {
        self.update(key, value, flags)
    }

    fn delete(&self, key: &[u8], _by: Caller) -> Result<(), Errno> {
        self.delete(key)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.next_key(key, out)
    }

    fn has_batch(&self, kind: BatchKind) -> bool {
        kind != BatchKind::LookupAndDelete
    }
}

impl Writer {
    fn take(&mut self, trie: &LpmTrie) -> Option<u32> {
        if self.fresh < self.end && self.recycled <= RESTING {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        let oldest = self.oldest;
        if oldest == 0 {
            return None;
        }
        self.oldest = trie.node(oldest).child(0).load(Ordering::Relaxed);
        self.recycled -= 1;
        if self.oldest == 0 {
            self.newest = 0;
        }
        Some(oldest)
    }

    fn give(&mut self, trie: &LpmTrie, number: u32) {
        trie.node(number).child(0).store(0, Ordering::Relaxed);
        match self.newest {
            0 => self.oldest = number,
            newest => trie.node(newest).child(0).store(number, Ordering::Relaxed),
        }
        self.newest = number;
        self.recycled += 1;
    }
}

#[derive(Clone, Copy)]
struct Node<'a> {
    trie: &'a LpmTrie,
    at: *mut u8,
}

impl<'a> Node<'a> {
    fn word(self, index: usize) -> &'a AtomicU32 {
        // SAFETY: one of the header's four words, 4-byte aligned.
        unsafe { AtomicU32::from_ptr(self.at.cast::<u32>().add(index)) }
    }

    fn child(self, side: usize) -> &'a AtomicU32 {
        self.word(side & 1)
    }

    fn len(self) -> u32 {
        self.word(2).load(Ordering::Relaxed)
    }

    fn kind_field(self) -> &'a AtomicU32 {
        self.word(3)
    }

    fn kind(self) -> u32 {
        self.kind_field().load(Ordering::Relaxed)
    }

    fn data(self) -> *mut u8 {
        // SAFETY: the data stands behind the header.
        unsafe { self.at.add(HEADER) }
    }

    fn value(self) -> *mut u8 {
        // SAFETY: the value stands behind the data.
        unsafe { self.data().add(self.trie.data_size.next_multiple_of(8)) }
    }

    /// The data's word, the first bit highest.
    fn data_word(self, index: usize) -> u64 {
        // SAFETY: callers stay within the data, which is rounded up to whole words.
        let at = unsafe { AtomicU64::from_ptr(self.data().cast::<u64>().add(index)) };
        u64::from_be(at.load(Ordering::Relaxed))
    }

    fn bit(self, index: u32) -> usize {
        if index as usize >= self.trie.data_size * 8 {
            return 0;
        }
        (self.data_word(index as usize / 64) >> (63 - index % 64) & 1) as usize
    }

    /// How many leading bits the node's prefix and the key's have in common.
    fn common(self, key: Prefix<'_>) -> u32 {
        let limit = self.len().min(key.len);
        let mut common = (self.data_word(0) ^ key.first).leading_zeros();
        for (index, chunk) in key.data.chunks(8).enumerate().skip(1) {
            if common >= limit || common < 64 * index as u32 {
                break;
            }
            common += (self.data_word(index) ^ word_of(chunk)).leading_zeros();
        }
        common.min(limit)
    }

    /// Makes it a node without children.
    fn fill(self, kind: u32, len: u32, data: &[u8]) {
        self.child(0).store(0, Ordering::Relaxed);
        self.child(1).store(0, Ordering::Relaxed);
        self.word(2).store(len, Ordering::Relaxed);
        self.kind_field().store(kind, Ordering::Relaxed);
        // SAFETY: the data is inside the node, 8-byte aligned.
        unsafe { words::store(self.data(), data) };
    }
}
