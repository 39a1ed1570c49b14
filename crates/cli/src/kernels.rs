//! The machine's kernel, where it is Linux.

use std::sync::Arc;

use skep::sys::Kernel;

use crate::failure::Failure;

/// The running Linux.
///
/// # Errors
/// The machine has another kernel.
#[cfg(target_os = "linux")]
pub fn linux() -> Result<Arc<dyn Kernel>, Failure> {
    Ok(Arc::new(skep::sys::Linux::new()))
}

/// The running Linux.
///
/// # Errors
/// The machine has another kernel.
#[cfg(not(target_os = "linux"))]
pub fn linux() -> Result<Arc<dyn Kernel>, Failure> {
    let failure = Failure::unusable("this machine does not run Linux");
    Err(failure.hint("--kernel embedded needs no Linux"))
}

/// Stays on CPU 0, so that both kernels count into the same slot of per-CPU values. A
/// machine that does not let us may show differences in them.
pub fn pin_to_cpu_0() {
    #[cfg(target_os = "linux")]
    {
        let mut cpus = rustix::thread::CpuSet::new();
        cpus.set(0);
        let _ = rustix::thread::sched_setaffinity(None, &cpus);
    }
}
