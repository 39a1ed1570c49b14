//! The state of a program at one instruction on one path: call frames, stack slots
//! down to the byte, references and sections. Frames are shared between states and
//! copied when one of them writes. Counterpart: `struct bpf_verifier_state`.

use std::rc::Rc;

use crate::memory::{Meter, PER_ALLOCATION, Share};
use crate::reg::{BtfId, Kind, MapId, Reg};

/// Bytes in a stack slot.
pub(crate) const SLOT: i32 = 8;

/// What one byte of stack holds (`enum bpf_stack_slot_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Byte {
    Invalid,
    Spill,
    Misc,
    Zero,
    Dynptr,
    Iter,
    IrqFlag,
}

impl Byte {
    /// Its letter in the log.
    pub(crate) fn letter(self) -> char {
        match self {
            Byte::Invalid => '?',
            Byte::Spill => 'r',
            Byte::Misc => 'm',
            Byte::Zero => '0',
            Byte::Dynptr => 'd',
            Byte::Iter => 'i',
            Byte::IrqFlag => 'f',
        }
    }

    /// Becomes unknown data, unless nothing was ever written.
    pub(crate) fn scrub(&mut self) {
        if *self != Byte::Invalid {
            *self = Byte::Misc;
        }
    }
}

/// Eight bytes of stack. `bytes[7]` is the one at the lowest address, as Linux counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    pub bytes: [Byte; 8],
    /// The spilled register, or the object whose part this slot is.
    pub reg: Reg,
}

impl Slot {
    pub(crate) const INVALID: Slot = Slot { bytes: [Byte::Invalid; 8], reg: Reg::UNINIT };

    pub(crate) fn is_spill(&self) -> bool {
        self.bytes[7] == Byte::Spill
    }

    pub(crate) fn is_scalar_spill(&self) -> bool {
        self.is_spill() && self.reg.is_scalar()
    }

    /// A scalar that fills the slot.
    pub(crate) fn is_scalar_spill64(&self) -> bool {
        self.bytes[0] == Byte::Spill && self.reg.is_scalar()
    }

    /// Spill, dynptr, iterator or IRQ flag.
    pub(crate) fn is_special(&self) -> bool {
        matches!(self.bytes[7], Byte::Spill | Byte::Dynptr | Byte::Iter | Byte::IrqFlag)
    }

    /// Ends whatever register or object was here; its bytes become unknown data.
    pub(crate) fn end_special(&mut self) {
        if self.is_special() {
            self.bytes.iter_mut().for_each(Byte::scrub);
        }
        self.reg.kind = Kind::Uninit;
    }

    pub(crate) fn clear(&mut self) {
        *self = Slot::INVALID;
    }
}

/// Index of the slot that holds the byte at this (negative) offset.
pub(crate) fn slot_of(off: i32) -> usize {
    ((-off - 1) / SLOT).max(0) as usize
}

/// One call frame (`struct bpf_func_state`).
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub regs: [Reg; 11],
    /// Slots from the frame pointer downwards, as many as were touched.
    pub stack: Vec<Slot>,
    /// The call instruction, -1 for the outermost frame.
    pub callsite: i32,
    pub number: u8,
    pub subprog: u32,
    /// Which entry into an asynchronous callback this is.
    pub async_entries: u32,
    /// Times that the callback which this frame calls was simulated.
    pub callback_depth: u32,
    /// What a callback may return.
    pub ret_range: (i32, i32),
    pub in_callback: bool,
    pub in_async_callback: bool,
    pub in_exception_callback: bool,
    /// What it takes of the memory for states.
    pub memory: Share,
}

impl Frame {
    /// A frame at the entry of a subprogram: only the frame pointer is known.
    pub(crate) fn new(meter: &Meter, callsite: i32, number: u8, subprog: u32) -> Frame {
        let mut regs = [Reg::UNINIT; 11];
        regs[10] = Reg::pointer(Kind::Stack { frame: number }, Default::default());
        Frame {
            regs,
            stack: Vec::new(),
            callsite,
            number,
            subprog,
            async_entries: 0,
            callback_depth: 0,
            ret_range: (0, 0),
            in_callback: false,
            in_async_callback: false,
            in_exception_callback: false,
            // Two allocations: the frame, and its stack.
            memory: meter.share(size_of::<Frame>() + 2 * PER_ALLOCATION),
        }
    }

    /// Has this many slots of stack, at least.
    pub(crate) fn grow(&mut self, slots: usize) {
        let more = slots.saturating_sub(self.stack.len());
        self.stack.resize(self.stack.len() + more, Slot::INVALID);
        self.memory.grow(more * size_of::<Slot>());
    }

    /// Bytes of stack that were touched.
    pub(crate) fn stack_size(&self) -> i32 {
        self.stack.len() as i32 * SLOT
    }

    /// All registers and spilled registers.
    pub(crate) fn for_each_reg(&mut self, mut f: impl FnMut(&mut Reg)) {
        self.regs.iter_mut().for_each(&mut f);
        for slot in self.stack.iter_mut().filter(|slot| slot.is_spill()) {
            f(&mut slot.reg);
        }
    }

    /// Whether any register or spilled register satisfies the condition.
    pub(crate) fn any_reg(&self, mut f: impl FnMut(&Reg) -> bool) -> bool {
        self.regs.iter().any(&mut f)
            || self.stack.iter().any(|slot| slot.is_spill() && f(&slot.reg))
    }
}

/// What a lock is in: a map's value, or an object of a BTF's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockHome {
    Map(MapId),
    Btf(BtfId),
}

/// What was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefKind {
    Pointer,
    Irq,
    Lock(LockHome),
    ResLock(LockHome),
    ResLockIrq(LockHome),
}

impl RefKind {
    pub(crate) fn lock_home(self) -> Option<LockHome> {
        match self {
            RefKind::Lock(home) | RefKind::ResLock(home) | RefKind::ResLockIrq(home) => Some(home),
            RefKind::Pointer | RefKind::Irq => None,
        }
    }
}

/// Something acquired and not yet given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acquired {
    pub kind: RefKind,
    pub id: u32,
    /// The instruction that acquired it.
    pub pc: u32,
}

/// Registers and slots that gained the same knowledge at a branch; at most six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Linked {
    entries: [LinkedReg; 6],
    len: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct LinkedReg {
    pub frame: u8,
    /// Register number or slot index.
    pub index: u8,
    pub is_reg: bool,
}

impl Linked {
    /// Adds one; false where there is no room.
    pub(crate) fn push(&mut self, entry: LinkedReg) -> bool {
        let Some(place) = self.entries.get_mut(usize::from(self.len)) else { return false };
        *place = entry;
        self.len += 1;
        true
    }

    pub(crate) fn entries(&self) -> &[LinkedReg] {
        &self.entries[..usize::from(self.len)]
    }
}

/// A step of the path that back-tracking cannot infer: a jump, or an access to a
/// stack slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub pc: u32,
    pub prev: i32,
    /// Frame and slot that were spilled to or filled from.
    pub access: Option<(u8, u8)>,
    pub src_is_stack: bool,
    pub dst_is_stack: bool,
    pub linked: Linked,
}

/// Index of a checkpoint.
pub(crate) type NodeId = u32;

/// Everything known at one point of one path.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub frames: Vec<Rc<Frame>>,
    pub refs: Vec<Acquired>,
    pub active_locks: u32,
    pub preempt_locks: u32,
    pub rcu_lock: bool,
    /// The innermost saved IRQ flag, 0 for none.
    pub irq_id: u32,
    /// The innermost lock.
    pub lock: Option<(u32, LockHome)>,
    pub speculative: bool,
    pub sleepable: bool,
    pub parent: Option<NodeId>,
    pub first_pc: u32,
    pub last_pc: i32,
    pub pc: u32,
    pub dfs_depth: u32,
    pub callback_unroll_depth: u32,
    pub may_goto_depth: u32,
    pub history: Vec<Step>,
}

impl State {
    /// A state with one frame.
    pub(crate) fn new(frame: Frame, first_pc: u32) -> State {
        State { frames: vec![Rc::new(frame)], first_pc, pc: first_pc, ..State::empty() }
    }

    /// A state without any frame, which stands for none.
    pub(crate) fn empty() -> State {
        State {
            frames: Vec::new(),
            refs: Vec::new(),
            active_locks: 0,
            preempt_locks: 0,
            rcu_lock: false,
            irq_id: 0,
            lock: None,
            speculative: false,
            sleepable: false,
            parent: None,
            first_pc: 0,
            last_pc: -1,
            pc: 0,
            dfs_depth: 0,
            callback_unroll_depth: 0,
            may_goto_depth: 0,
            history: Vec::new(),
        }
    }

    /// Bytes that it takes to keep this state, beside its frames.
    pub(crate) fn own_size(&self) -> usize {
        size_of::<State>()
            + size_of_val(self.frames.as_slice())
            + size_of_val(self.refs.as_slice())
            + size_of_val(self.history.as_slice())
            + 3 * PER_ALLOCATION
    }

    /// Index of the current frame.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    pub(crate) fn frame(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    pub(crate) fn frame_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        Rc::make_mut(&mut self.frames[last])
    }

    pub(crate) fn frame_at(&self, index: usize) -> &Frame {
        &self.frames[index]
    }

    pub(crate) fn frame_at_mut(&mut self, index: usize) -> &mut Frame {
        Rc::make_mut(&mut self.frames[index])
    }

    pub(crate) fn reg(&self, number: usize) -> &Reg {
        &self.frame().regs[number]
    }

    pub(crate) fn reg_mut(&mut self, number: usize) -> &mut Reg {
        &mut self.frame_mut().regs[number]
    }

    /// Changes all registers and spilled registers of all frames that satisfy the
    /// condition; frames without any stay shared.
    pub(crate) fn change_regs(
        &mut self,
        wanted: impl Fn(&Reg) -> bool,
        mut change: impl FnMut(&mut Reg),
    ) {
        for frame in &mut self.frames {
            if frame.any_reg(&wanted) {
                Rc::make_mut(frame).for_each_reg(|reg| {
                    if wanted(reg) {
                        change(reg);
                    }
                });
            }
        }
    }

    /// Whether both stand behind the same chain of calls.
    pub(crate) fn same_callsites(&self, other: &State) -> bool {
        self.frames.len() == other.frames.len()
            && self.frames.iter().zip(&other.frames).all(|(a, b)| a.callsite == b.callsite)
    }

    /// The instruction that a frame stands at.
    pub(crate) fn frame_pc(&self, index: usize) -> u32 {
        match self.frames.get(index + 1) {
            Some(callee) => callee.callsite as u32,
            None => self.pc,
        }
    }

    /// Remembers that something was acquired.
    pub(crate) fn acquire(&mut self, kind: RefKind, id: u32, pc: u32) {
        self.refs.push(Acquired { kind, id, pc });
        match kind {
            RefKind::Pointer => {}
            RefKind::Irq => self.irq_id = id,
            RefKind::Lock(home) | RefKind::ResLock(home) | RefKind::ResLockIrq(home) => {
                self.active_locks += 1;
                self.lock = Some((id, home));
            }
        }
    }

    pub(crate) fn holds(&self, id: u32) -> bool {
        self.refs.iter().any(|held| held.id == id)
    }

    /// Gives a reference back; false where it was not held.
    pub(crate) fn release(&mut self, id: u32) -> bool {
        let found =
            self.refs.iter().position(|held| held.kind == RefKind::Pointer && held.id == id);
        found.map(|index| self.refs.remove(index)).is_some()
    }

    /// Gives a lock back; false where it was not held.
    pub(crate) fn release_lock(&mut self, kind: RefKind, id: u32) -> bool {
        let Some(index) = self.refs.iter().position(|held| held.kind == kind && held.id == id)
        else {
            return false;
        };
        self.lock = self.refs[..index]
            .iter()
            .rev()
            .find_map(|held| Some((held.id, held.kind.lock_home()?)));
        self.refs.remove(index);
        self.active_locks -= 1;
        true
    }

    /// Restores IRQ flags; false where others were saved later.
    pub(crate) fn release_irq(&mut self, id: u32) -> bool {
        if id != self.irq_id {
            return false;
        }
        let irqs = |held: &&Acquired| held.kind == RefKind::Irq;
        let before: Vec<u32> = self.refs.iter().filter(irqs).map(|held| held.id).collect();
        self.refs.retain(|held| held.kind != RefKind::Irq || held.id != id);
        self.irq_id = before.iter().rev().find(|&&other| other != id).copied().unwrap_or(0);
        true
    }
}
