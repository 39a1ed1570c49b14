//! What an embedded kernel knows of an application's hook: its row, which the verifier goes by,
//! and what does the work of its helpers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_abi::hook::Shape;
use skep_abi::{ArgKind, Helper, HookRow, RetKind, TrapKind, TypeFlags};

/// What a helper of an application gets: the words and the memory that its row says it takes,
/// by their places from 0.
pub trait Arguments {
    /// The number in an argument.
    ///
    /// # Errors
    /// The run is to end.
    fn number(&self, at: usize) -> Result<u64, HelperEnd>;

    /// Copies out of the memory that an argument points to: other threads may write to it.
    ///
    /// # Errors
    /// The run is to end: there are not as many bytes.
    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<(), HelperEnd>;

    /// Copies into it.
    ///
    /// # Errors
    /// The run is to end: there are not as many bytes, or they are not to be written.
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), HelperEnd>;

    /// The context's fields.
    fn context(&mut self) -> &mut [u8];
}

/// A run ends at a helper. What is to be done about it is the kernel's.
#[derive(Debug)]
pub struct HelperEnd(pub(crate) Stopped);

/// Why it does.
#[derive(Debug)]
pub(crate) enum Stopped {
    Trap(TrapKind),
    Budget,
}

/// Does the work of a helper; gives r0.
pub type HookFunction =
    Box<dyn Fn(&mut dyn Arguments) -> Result<u64, HelperEnd> + Send + Sync + 'static>;

/// Whether a verifier that goes by this row of a helper promises its program nothing that the
/// helper's function could break.
fn is_plain(index: usize, helper: &Helper) -> bool {
    let [proto] = helper.protos else { return false };
    let shape = Shape::of(helper.id);
    let known = shape.is_some_and(|shape| {
        shape.words as usize == proto.args.len() && shape.number(index) == helper.id
    });
    let args = (0..).zip(proto.args).all(|(at, arg): (usize, _)| {
        let read_or_write = arg.flags == TypeFlags::READ_ONLY || arg.flags == TypeFlags::WRITE;
        match arg.kind {
            ArgKind::Anything | ArgKind::Context => arg.flags.is_empty(),
            ArgKind::FixedMem(size) => size > 0 && read_or_write,
            ArgKind::Mem => {
                let next = proto.args.get(at + 1).map(|arg| arg.kind);
                read_or_write && matches!(next, Some(ArgKind::Size | ArgKind::SizeOrZero))
            }
            ArgKind::Size | ArgKind::SizeOrZero => {
                let before = at.checked_sub(1).map(|at| proto.args[at].kind);
                arg.flags.is_empty() && before == Some(ArgKind::Mem)
            }
            _ => false,
        }
    });
    let gives = matches!(proto.ret.kind, RetKind::Integer | RetKind::Void);
    known
        && args
        && gives
        && proto.ret.flags.is_empty()
        && !proto.fastcall
        && *helper == Helper::of_hook(helper.id, helper.name, helper.protos)
}

/// A hook of an application: programs are loaded for one, and run at no other.
pub struct HookDef {
    row: Arc<HookRow>,
    functions: Vec<HookFunction>,
    /// Whether its programs have a budget that counts.
    counted: bool,
    /// No other hook of this process has it.
    identity: u64,
}

impl HookDef {
    /// A hook with this row, and a function for each of its helpers. `None` where there are not
    /// as many, or one of the helpers is none that a function is trusted to be: they take
    /// numbers, the context, and memory with its size, and give a number or nothing.
    pub fn new(row: HookRow, functions: Vec<HookFunction>) -> Option<HookDef> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let identity = NEXT.fetch_add(1, Ordering::Relaxed);
        let sound = (0..).zip(&row.helpers).all(|(index, helper)| is_plain(index, helper));
        let complete = sound && row.helpers.len() == functions.len();
        complete.then(|| HookDef { row: Arc::new(row), functions, counted: false, identity })
    }

    /// Has all code of its programs spend from the budget. (Verified programs end by
    /// themselves, but may take their time; code without checks does not count otherwise.)
    pub fn counting(self) -> HookDef {
        HookDef { counted: true, ..self }
    }

    /// Whether it does.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted
    }

    /// Its row.
    pub fn row(&self) -> &Arc<HookRow> {
        &self.row
    }

    /// What does the work of the helper with this index.
    pub(crate) fn function(&self, index: usize) -> Option<&HookFunction> {
        self.functions.get(index)
    }

    /// What tells it from every other hook.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }
}
