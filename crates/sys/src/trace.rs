//! A kernel that tells what passes through it.

use std::sync::Arc;

use crate::between::{Below, Between, Layer};
use crate::kernel::Kernel;
use crate::table::Command;
use skep_abi::Errno;

/// Called with each command after it ran, and what it gave.
type Watcher = dyn Fn(&Command<'_>, Result<u32, Errno>) + Send + Sync;

/// Passes every command on to another kernel and shows it to a watcher.
pub type Trace = Layer<Watch>;

/// What a [`Trace`] does.
pub struct Watch(Box<Watcher>);

impl Trace {
    /// Watches `kernel`.
    pub fn watch(
        kernel: Arc<dyn Kernel>,
        watch: impl Fn(&Command<'_>, Result<u32, Errno>) + Send + Sync + 'static,
    ) -> Trace {
        Layer::new(kernel, Watch(Box::new(watch)))
    }
}

impl Between for Watch {
    fn bpf(&self, below: &Below<'_>, command: &mut Command<'_>) -> Result<u32, Errno> {
        let result = below.bpf(command);
        (self.0)(command, result);
        result
    }
}
