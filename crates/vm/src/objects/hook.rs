//! What an embedded kernel knows of an application's hook: its row, which the verifier goes by,
//! and what does the work of its helpers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_abi::{HookRow, TrapKind};

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
    /// A hook with this row, and a function for each of its helpers; `None` where there are not
    /// as many.
    pub fn new(row: HookRow, functions: Vec<HookFunction>) -> Option<HookDef> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let identity = NEXT.fetch_add(1, Ordering::Relaxed);
        let complete = row.helpers.len() == functions.len();
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
