//! Files whose functions are probed get their jumps, when they are mapped and before anything
//! of them can run: the program itself before its first instruction, libraries behind the
//! `mmap` that brings their text.
//!
//! What goes where was laid out by the reader, from the file; here addresses are filled in.
//! What does not look as the file did stays as it is.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::calls::{self, call, call6};
use crate::entry::{Frame, address};
use crate::functions::TABLE;
use crate::layout::{Count, Module, PROBES, Patch, Probes, RETURNS, Stub, TRAPS};
use crate::patch::{barrier, jump, mapping, store_bytes};
use crate::state::{Instance, base, count, gone, private, quiet, read, write};

const PAGE: u64 = 4096;
/// `PROT_READ | PROT_WRITE`, `PROT_READ | PROT_EXEC`
const RW: u64 = 3;
const RX: u64 = 5;
/// `MAP_PRIVATE | MAP_ANONYMOUS`
const OWN: u64 = 2 | 0x20;
/// Bytes of a breakpoint.
const TRAP: u32 = 1;

/// The program has not begun yet.
pub fn begin(stub: &Stub) {
    if stub.probes == 0 {
        return;
    }
    // The code is the beginning of a sealed file: of it a mapping of any length can be made.
    // SAFETY: at an address of the kernel's choice; what lies before the part that is needed is
    // given back.
    let at = unsafe {
        let all = PROBES as u64 + stub.probes;
        let at = call6(calls::MREMAP, [base() as u64, 0, all, 1, 0, 0]);
        if at < 0 {
            return;
        }
        call(calls::MUNMAP, at as u64, PROBES as u64, 0, 0);
        at as u64 + PROBES as u64
    };
    private().probes.store(at, Relaxed);
    let Some(probes) = probes() else { return };
    if probes.flags & TRAPS != 0 {
        private().trapped.store(1, Relaxed);
    }
    if probes.flags & RETURNS != 0 {
        // SAFETY: at an address of the kernel's choice.
        let table = unsafe { call6(calls::MMAP, [0, TABLE, RW, OWN, !0, 0]) };
        private().returns.store(if table > 0 { table as u64 } else { 0 }, Relaxed);
    }
    let mut stat = [0u64; 18];
    let own = *b"/proc/self/exe\0";
    // SAFETY: both lie on the stack.
    let known = unsafe { call(calls::STAT, &raw const own as u64, &raw mut stat as u64, 0, 0) };
    if known == 0 {
        of_file(stat[0], stat[1], |module| {
            Some((stub.program.wrapping_sub(module.entry), 0, stat[6]))
        });
    }
    if stub.linker != 0
        && let Some(linker) = mapping(stub.linker, 1)
    {
        let [major, minor] = linker.device;
        let device = u64::from(minor & 0xff | major << 8) | u64::from(minor & !0xff) << 12;
        of_file(device, linker.inode, |_| Some((stub.linker, 0, u64::MAX)));
    }
}

/// The program has mapped something.
pub fn mapped(f: &Frame, at: u64) {
    /// `PROT_READ | PROT_EXEC`
    const TEXT: u64 = RX;
    /// `MAP_TYPE | MAP_ANONYMOUS`
    const KIND: u64 = 0xf | 0x20;
    const PRIVATE: u64 = 2;
    let [_, len, access, flags, file, offset] = f.regs;
    let is_text = access & 7 == TEXT && flags & KIND == PRIVATE;
    if !is_text || gone() || quiet() || probes().is_none() {
        return;
    }
    let mut stat = [0u64; 18];
    // SAFETY: what is written lies on the stack.
    if unsafe { call(calls::FSTAT, file, &raw mut stat as u64, 0, 0) } != 0 {
        return;
    }
    let end = offset.saturating_add(len).min(stat[6]);
    of_file(stat[0], stat[1], |module| {
        let first = patches(module).iter().find(|of| of.offset >= offset && of.offset < end)?;
        Some((at.wrapping_add(first.offset - offset).wrapping_sub(first.address), offset, end))
    });
}

/// What is known of functions.
fn probes() -> Option<&'static Probes> {
    let at = private().probes.load(Relaxed) as *const Probes;
    // SAFETY: it is mapped for as long as the agent is, from a file that nobody can change.
    unsafe { at.as_ref() }
}

/// `count` things at an offset behind the probes.
fn table<T>(offset: u32, count: u32) -> &'static [T] {
    let at = private().probes.load(Relaxed) + u64::from(offset);
    // SAFETY: the reader has laid them there, aligned; nobody can change them.
    unsafe { core::slice::from_raw_parts(at as *const T, count as usize) }
}

fn modules() -> &'static [Module] {
    probes().map_or(&[], |probes| table(size_of::<Probes>() as u32, probes.modules))
}

fn patches(module: &Module) -> &'static [Patch] {
    table(module.patches, module.patch_count)
}

/// Changes a file's copy in memory. `place` gives what to add to its addresses, and between
/// which offsets of the file it is there.
fn of_file(device: u64, inode: u64, place: impl Fn(&Module) -> Option<(u64, u64, u64)>) {
    for (index, module) in modules().iter().enumerate() {
        if module.device != device || module.inode != inode {
            continue;
        }
        let Some((bias, from, to)) = place(module) else { continue };
        let is_there = |of: &&Patch| of.offset >= from && of.offset.saturating_add(8) <= to;
        let all = patches(module);
        let skipped = all.iter().take_while(|of| !is_there(of)).count();
        let there = all.iter().skip(skipped).take_while(is_there).count();
        let Some(all) = all.get(skipped..skipped + there).filter(|all| !all.is_empty()) else {
            continue;
        };
        if !lock() {
            unplanted(all.len());
            continue;
        }
        if !plant(module, index as u64, bias, all) {
            unplanted(all.len());
        }
        private().planting.store(0, Release);
    }
}

fn unplanted(how_many: usize) {
    for _ in 0..how_many {
        count(Count::Unplanted);
    }
}

/// One thread at a time. A handler that interrupted the one that has it does not wait forever.
fn lock() -> bool {
    for _ in 0..200 {
        if private().planting.swap(1, Acquire) == 0 {
            return true;
        }
        let time = [0u64, 1_000_000];
        // SAFETY: the time lies on the stack.
        unsafe { call(calls::NANOSLEEP, &raw const time as u64, 0, 0, 0) };
    }
    false
}

fn plant(module: &Module, index: u64, bias: u64, all: &[Patch]) -> bool {
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return true;
    };
    let (start, end) = (bias.wrapping_add(first.address), bias.wrapping_add(last.address) + 8);
    let Some(place) = room(start, end) else {
        return false;
    };
    let Some(area) = area(module, bias, start, end) else {
        return false;
    };
    place.bias.store(bias, Relaxed);
    place.start.store(start, Relaxed);
    place.end.store(end, Relaxed);
    place.module.store(index, Relaxed);
    place.area.store(area, Release);
    let mut open = Pages { from: 0, to: 0, access: RW };
    for patch in all {
        let site = bias.wrapping_add(patch.address);
        // SAFETY: it is text that was just mapped, of that length; only pages are written that
        // could be made writable.
        unsafe {
            if !is_as_was(site, patch) || !open.cover(site, 8) {
                count(Count::Unplanted);
                continue;
            }
            match patch.len {
                TRAP => store_bytes(site, &[0xcc]),
                _ => store_bytes(site, &jump(site, area + u64::from(patch.thunk))),
            }
        }
        count(Count::Planted);
    }
    open.close();
    true
}

/// Whether the bytes are those of the file.
///
/// # Safety
/// They can be read.
unsafe fn is_as_was(site: u64, patch: &Patch) -> bool {
    // SAFETY: the caller's.
    let there = unsafe { read(site) }.to_le_bytes();
    there.iter().zip(patch.old).take(patch.len as usize).all(|(there, old)| *there == old)
}

/// A place for an instance: that of what was there before, or a free one.
fn room(start: u64, end: u64) -> Option<&'static Instance> {
    let all = &private().instances;
    let old = all.iter().find(|of| {
        of.area.load(Relaxed) != 0
            && of.start.load(Relaxed) < end
            && start < of.end.load(Relaxed)
    });
    if let Some(old) = old {
        let area = old.area.swap(0, Relaxed);
        let module = modules().get(old.module.load(Relaxed) as usize)?;
        // SAFETY: what jumped there has been unmapped.
        unsafe { call(calls::MUNMAP, area, module.image_len.into(), 0, 0) };
        return Some(old);
    }
    all.iter().find(|of| of.area.load(Relaxed) == 0)
}

/// Memory near the text with the thunks.
fn area(module: &Module, bias: u64, start: u64, end: u64) -> Option<u64> {
    /// `MAP_FIXED_NOREPLACE`
    const NEW: u64 = OWN | 0x10_0000;
    const STEP: u64 = 1 << 20;
    let len = u64::from(module.image_len);
    let (below, above) = (start & !(STEP - 1), (end + STEP) & !(STEP - 1));
    let down = (1..1000u64).filter_map(|k| below.checked_sub(k * STEP + (len & !(STEP - 1))));
    // Behind a program is its heap.
    let up = (64..1000u64).map(|k| above + k * STEP);
    let at = down.filter(|&at| at >= 0x1_0000).chain(up).find(|&at| {
        // SAFETY: nothing is there, or the kernel says so.
        let there = unsafe { call6(calls::MMAP, [at, len, RW, NEW, !0, 0]) };
        if there > 0 && there as u64 != at {
            // SAFETY: it was just mapped.
            unsafe { call(calls::MUNMAP, there as u64, len, 0, 0) };
        }
        there as u64 == at
    })?;
    let image = private().probes.load(Relaxed) + u64::from(module.image);
    let moved = at.wrapping_sub(bias.wrapping_add(module.area));
    // SAFETY: the area is new and as long as the image; the reader's offsets lie in it.
    unsafe {
        core::ptr::copy_nonoverlapping(image as *const u8, at as *mut u8, len as usize);
        write(at, address!("agent_function"));
        write(at + 8, address!("agent_function_full"));
        for &offset in table::<u32>(module.near, module.near_count) {
            let near = (at + u64::from(offset)) as *mut u32;
            near.write_unaligned(near.read_unaligned().wrapping_sub(moved as u32));
        }
        for &offset in table::<u32>(module.far, module.far_count) {
            let far = at + u64::from(offset);
            write(far, read(far).wrapping_add(bias));
        }
        match call(calls::MPROTECT, at, len, RX, 0) {
            0 => Some(at),
            _ => {
                call(calls::MUNMAP, at, len, 0, 0);
                None
            }
        }
    }
}

/// Pages of text that are writable for a while.
struct Pages {
    from: u64,
    to: u64,
    access: u64,
}

impl Pages {
    /// Makes these bytes writable, too. False where that cannot be.
    fn cover(&mut self, at: u64, len: u64) -> bool {
        let (from, to) = (at & !(PAGE - 1), (at + len + PAGE - 1) & !(PAGE - 1));
        if self.from <= from && to <= self.to {
            return true;
        }
        let from = if from >= self.from && from < self.to { self.to } else { from };
        // SAFETY: pages of text; what they hold stays.
        if unsafe { call(calls::MPROTECT, from, to - from, self.access, 0) } != 0 {
            return false;
        }
        if from != self.to {
            self.close();
            self.from = from;
        }
        self.to = to;
        true
    }

    fn close(&mut self) {
        if self.from != self.to {
            // SAFETY: as they were.
            unsafe { call(calls::MPROTECT, self.from, self.to - self.from, RX, 0) };
        }
        (self.from, self.to) = (0, 0);
    }
}

/// The thunk of a breakpoint.
pub fn thunk_of(site: u64) -> Option<u64> {
    let mut all = private().instances.iter();
    let is_there = |of: &&Instance| {
        of.area.load(Acquire) != 0
            && (of.start.load(Relaxed)..of.end.load(Relaxed)).contains(&site)
    };
    let instance = all.find(is_there)?;
    let module = modules().get(instance.module.load(Relaxed) as usize)?;
    let address = site.wrapping_sub(instance.bias.load(Relaxed));
    let patches = patches(module);
    let at = patches.partition_point(|of| of.address < address);
    let patch = patches.get(at).filter(|of| of.address == address && of.len == TRAP)?;
    Some(instance.area.load(Relaxed) + u64::from(patch.thunk))
}

/// Takes breakpoints away: the signal will be the program's own. Where somebody reads, he is told.
pub fn untrap() {
    if private().trapped.load(Relaxed) == 0 || quiet() || !lock() {
        return;
    }
    for instance in &private().instances {
        let area = instance.area.load(Relaxed);
        let module = modules().get(instance.module.load(Relaxed) as usize);
        let (Some(module), true) = (module, area != 0) else { continue };
        let (start, end) = (instance.start.load(Relaxed), instance.end.load(Relaxed));
        // Other threads may be there.
        let mut open = Pages { from: 0, to: 0, access: 7 };
        for patch in patches(module).iter().filter(|of| of.len == TRAP) {
            let site = instance.bias.load(Relaxed).wrapping_add(patch.address);
            if site < start || site >= end || !open.cover(site, 1) {
                continue;
            }
            // SAFETY: the page has just been made writable; one byte is changed at once.
            unsafe {
                if (site as *const u8).read_volatile() == 0xcc {
                    store_bytes(site, &patch.old[..1]);
                }
            }
            if !gone() {
                count(Count::Unplanted);
            }
        }
        open.close();
    }
    barrier(true);
    private().planting.store(0, Release);
}
