//! The stack of a run: frames of 512 bytes, and beside them what the 8-byte slots
//! hold besides bits, so that a spilled pointer is one again when it is filled. Nothing
//! can be accessed right before the first frame and behind the last.

use skep_isa::Size;
use skep_jit::State;
use skep_maps::mem::Mapping;

use super::value::{Fault, Kind, Region, Value};

pub use skep_jit::{FRAME_SIZE, MAX_FRAMES, PROGRAM_FRAMES, STACK_SIZE};

const SLOTS: usize = FRAME_SIZE as usize / 8;

/// Stack memory for one run at a time.
pub struct Stack {
    frames: Mapping,
    /// What was spilled, of as many frames as something was spilled to.
    spills: Vec<[Value; SLOTS]>,
    /// A bit for each slot of a frame that holds a spilled pointer.
    spilled: [u64; MAX_FRAMES],
    /// A word for each frame, which helpers lend to their callbacks.
    cells: Box<[u64; MAX_FRAMES]>,
    /// Frames that were entered since it was cleared.
    entered: usize,
}

impl Default for Stack {
    fn default() -> Stack {
        Stack::new()
    }
}

impl Stack {
    /// A zeroed stack.
    ///
    /// # Panics
    /// The host has no memory.
    pub fn new() -> Stack {
        let frames = Mapping::new(STACK_SIZE).expect("memory for a stack");
        frames.base().expose_provenance();
        let mut cells = Box::new([0; MAX_FRAMES]);
        cells.as_mut_ptr().expose_provenance();
        Stack { frames, cells, spills: Vec::new(), spilled: [0; MAX_FRAMES], entered: 0 }
    }

    /// Enters a frame: forgets what was spilled there and gives its r10.
    #[inline]
    pub fn enter(&mut self, frame: usize) -> Value {
        self.spilled[frame] = 0;
        self.entered = self.entered.max(frame + 1);
        self.frame(frame)
    }

    /// r10 of a frame.
    #[inline]
    pub fn frame(&mut self, frame: usize) -> Value {
        self.region(frame).pointer(FRAME_SIZE.into())
    }

    /// What compiled code works with on these frames. It is run while nobody else works on
    /// them, and never when the stack is gone: whoever has the one has the other.
    pub fn state<'r>(&mut self) -> State<'r> {
        // SAFETY: as many bytes are mapped at the start of a page, for as long as the stack is
        // there, and only accessed by address.
        unsafe { State::on(self.start()) }
    }

    /// First address of all frames.
    pub fn start(&self) -> u64 {
        self.frames.base().addr() as u64
    }

    /// A frame as a region.
    #[inline]
    pub fn region(&self, frame: usize) -> Region {
        assert!(frame < MAX_FRAMES);
        // SAFETY: as many frames lie in the mapping, which outlives the run, and nothing
        // but values of the run accesses it, by address.
        let region = unsafe {
            let start = self.frames.base().add(frame * FRAME_SIZE as usize);
            Region::new(start, FRAME_SIZE, Kind::Stack, true)
        };
        region.with_epoch(frame as u64)
    }

    /// A word of a frame as memory that programs may read.
    pub fn cell(&mut self, frame: usize, word: u32) -> Value {
        let start = (&raw mut self.cells[frame]).cast::<u8>();
        // SAFETY: as in `frame`.
        let region = unsafe { Region::new(start, 4, Kind::Memory, true) };
        let cell = region.pointer(0);
        let stored = cell.store(0, Size::W, word.into());
        debug_assert!(stored.is_ok());
        cell
    }

    /// Zeroes every frame that was entered.
    pub fn clear(&mut self) {
        for frame in 0..std::mem::take(&mut self.entered) {
            let start = self.enter(frame);
            for slot in 0..SLOTS as i64 {
                let stored = start.store(slot * 8 - i64::from(FRAME_SIZE), Size::DW, 0);
                debug_assert!(stored.is_ok());
            }
        }
    }

    /// Stores through a stack pointer, remembering pointers.
    #[inline]
    pub fn store(
        &mut self,
        pointer: Value,
        offset: i64,
        size: Size,
        value: Value,
    ) -> Result<(), Fault> {
        pointer.store(offset, size, value.bits)?;
        let frame = pointer.epoch() as usize;
        let at = (pointer.offset() + offset) as usize;
        let (slot, aligned) = (at / 8, at.is_multiple_of(8));
        if size == Size::DW && aligned && value.kind() != Kind::Scalar {
            self.spill(frame, slot, value);
        } else if self.spilled[frame] != 0 {
            self.forget(frame, at, size.bytes() as usize);
        }
        Ok(())
    }

    fn spill(&mut self, frame: usize, slot: usize, value: Value) {
        self.spilled[frame] |= 1 << slot;
        if self.spills.len() <= frame {
            self.spills.resize(frame + 1, [Value::UNINIT; SLOTS]);
        }
        self.spills[frame][slot] = value;
    }

    /// Loads through a stack pointer, giving spilled pointers back.
    #[inline]
    pub fn load(&self, pointer: Value, offset: i64, size: Size) -> Result<Value, Fault> {
        let bits = pointer.load(offset, size)?;
        let frame = pointer.epoch() as usize;
        let spilled = self.spilled[frame];
        if spilled != 0 && size == Size::DW {
            let at = (pointer.offset() + offset) as usize;
            if at.is_multiple_of(8) && spilled >> (at / 8) & 1 == 1 {
                return Ok(self.spills[frame][at / 8].with_bits(bits));
            }
        }
        Ok(Value::scalar(bits))
    }

    /// Forgets the pointers in slots that were written otherwise (by a helper, say).
    pub fn overwritten(&mut self, pointer: Value, len: u64) {
        if pointer.kind() == Kind::Stack && len > 0 {
            let frame = pointer.epoch() as usize;
            let at = pointer.offset().max(0) as usize;
            self.forget(frame, at, len as usize);
        }
    }

    fn forget(&mut self, frame: usize, at: usize, len: usize) {
        let last = (at + len - 1) / 8;
        for slot in at / 8..=last.min(SLOTS - 1) {
            self.spilled[frame] &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spilled_pointer_is_one_again_unless_a_byte_of_it_was_overwritten() {
        let mut stack = Stack::new();
        let fp = stack.enter(0);
        stack.store(fp, -8, Size::DW, fp).unwrap();
        let filled = stack.load(fp, -8, Size::DW).unwrap();
        assert_eq!((filled.kind(), filled.bits), (Kind::Stack, fp.bits));
        stack.store(fp, -3, Size::B, Value::scalar(0)).unwrap();
        assert_eq!(stack.load(fp, -8, Size::DW).unwrap().kind(), Kind::Scalar);
    }
}
