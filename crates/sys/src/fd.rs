//! File descriptors of a kernel, closed through the seam.

use std::fmt;
use std::sync::Arc;

use crate::Kernel;

/// A file descriptor as a number; it means something to the kernel that gave it.
pub type RawFd = i32;

/// An owned file descriptor of a kernel.
pub struct Fd {
    raw: RawFd,
    kernel: Arc<dyn Kernel>,
}

impl Fd {
    /// Takes ownership of what `bpf()` of `kernel` gave.
    pub fn new(kernel: Arc<dyn Kernel>, raw: RawFd) -> Fd {
        Fd { raw, kernel }
    }

    /// The number.
    pub fn raw(&self) -> RawFd {
        self.raw
    }

    /// The kernel that it belongs to.
    pub fn kernel(&self) -> &Arc<dyn Kernel> {
        &self.kernel
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        self.kernel.close(self.raw);
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fd({} of {})", self.raw, self.kernel.name())
    }
}
