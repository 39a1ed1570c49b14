//! The machine that this runs on, beside `bpf(2)`: files of the kernel's that are mapped
//! rather than read, packets of its interfaces ([`packet`]), filters of system calls
//! ([`seccomp`]), and its tracepoints ([`tracefs`]).
//!
//! A mapping is handed out as a slice only where nobody can change or cut what is mapped:
//! the types of the running kernel are part of its own image. It is made once, and stays.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod packet;
#[cfg(target_os = "linux")]
pub mod seccomp;
#[cfg(target_os = "linux")]
pub mod tracefs;

use std::fs::File;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// The types of the running kernel.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// A kernel's BTF, raw.
#[derive(Clone, Debug)]
pub enum KernelTypes {
    /// Of the running kernel; the same bytes for as long as the process lives.
    Own(&'static [u8]),
    /// What stands in for them.
    Given(Arc<[u8]>),
}

impl Deref for KernelTypes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            KernelTypes::Own(bytes) => bytes,
            KernelTypes::Given(bytes) => bytes,
        }
    }
}

/// The running kernel's types, mapped; read where they cannot be.
pub(crate) fn vmlinux() -> Option<&'static [u8]> {
    static BYTES: OnceLock<Option<&'static [u8]>> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let file = File::open(VMLINUX).ok()?;
        mapped(&file).or_else(|| Some(Vec::leak(std::fs::read(VMLINUX).ok()?)))
    })
}

/// Maps a file of sysfs whole, for good.
#[cfg(target_os = "linux")]
fn mapped(file: &File) -> Option<&'static [u8]> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    /// `SYSFS_MAGIC`
    const SYSFS: i64 = 0x6265_6572;
    // Another file may have been mounted there, which someone can cut.
    if rustix::fs::fstatfs(file).ok()?.f_type as i64 != SYSFS {
        return None;
    }
    let len = usize::try_from(file.metadata().ok()?.len()).ok().filter(|&len| len > 0)?;
    let (access, flags) = (ProtFlags::READ, MapFlags::PRIVATE);
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that
    // Rust knows of.
    let start = unsafe { mmap(std::ptr::null_mut(), len, access, flags, file, 0) }.ok()?;
    // SAFETY: `len` bytes are mapped from `start` and never unmapped. Files of sysfs
    // that can be mapped and have a length are parts of the kernel's image, which it
    // neither writes nor frees: no byte changes under the slice, and none goes away.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}

/// Has the whole process go on as another user, in no groups but that one's own, for good.
///
/// # Errors
/// `EPERM` where the process may not: that needs root, or CAP_SETUID and CAP_SETGID.
#[cfg(target_os = "linux")]
pub fn become_user(user: u32, group: u32) -> std::io::Result<()> {
    let done = |result: i32| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // Rights over groups go with the user: that comes last.
    // SAFETY: the calls take numbers, and a list of one group that outlives its call; libc
    // has each thread of the process do the same.
    unsafe {
        done(libc::setgroups(1, &raw const group))?;
        done(libc::setresgid(group, group, group))?;
        done(libc::setresuid(user, user, user))
    }
}

#[cfg(not(target_os = "linux"))]
fn mapped(_: &File) -> Option<&'static [u8]> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_is_what_is_read() {
        let Ok(read) = std::fs::read(VMLINUX) else {
            println!("skipped: {VMLINUX} cannot be read");
            return;
        };
        assert_eq!(vmlinux(), Some(&read[..]));
        let again = vmlinux().map(<[u8]>::as_ptr);
        assert_eq!(again, vmlinux().map(<[u8]>::as_ptr));
    }

    #[test]
    fn a_file_that_can_be_cut_is_not_mapped() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        assert!(mapped(&file).is_none());
    }
}
