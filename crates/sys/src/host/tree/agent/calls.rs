//! System calls of the agent's own, and their numbers.

use core::arch::asm;

pub const OPEN: u64 = 2;
pub const CLOSE: u64 = 3;
pub const STAT: u64 = 4;
pub const FSTAT: u64 = 5;
pub const MMAP: u64 = 9;
pub const MPROTECT: u64 = 10;
pub const MUNMAP: u64 = 11;
pub const RT_SIGACTION: u64 = 13;
pub const RT_SIGPROCMASK: u64 = 14;
pub const RT_SIGRETURN: u64 = 15;
pub const IOCTL: u64 = 16;
pub const MREMAP: u64 = 25;
pub const NANOSLEEP: u64 = 35;
pub const GETPID: u64 = 39;
pub const CLONE: u64 = 56;
pub const VFORK: u64 = 58;
pub const EXECVE: u64 = 59;
pub const EXIT: u64 = 60;
pub const GETUID: u64 = 102;
pub const GETGID: u64 = 104;
pub const GETPPID: u64 = 110;
pub const RT_SIGSUSPEND: u64 = 130;
pub const PRCTL: u64 = 157;
pub const ARCH_PRCTL: u64 = 158;
pub const GETTID: u64 = 186;
pub const GETXATTR: u64 = 191;
pub const FGETXATTR: u64 = 193;
pub const FUTEX: u64 = 202;
pub const TGKILL: u64 = 234;
pub const NEWFSTATAT: u64 = 262;
pub const PSELECT6: u64 = 270;
pub const PPOLL: u64 = 271;
pub const EPOLL_PWAIT: u64 = 281;
pub const PROCESS_VM_READV: u64 = 310;
pub const SECCOMP: u64 = 317;
pub const EXECVEAT: u64 = 322;
pub const MEMBARRIER: u64 = 324;
pub const CLONE3: u64 = 435;
pub const FACCESSAT2: u64 = 439;
pub const EPOLL_PWAIT2: u64 = 441;

/// `EFAULT`, as system calls give it.
pub const EFAULT: i64 = -14;
/// `EINVAL`
pub const EINVAL: i64 = -22;

/// Makes a call.
///
/// # Safety
/// It does what it does: to memory, above all.
#[inline(always)]
pub unsafe fn call6(number: u64, args: [u64; 6]) -> i64 {
    let result;
    // SAFETY: the kernel changes rax, rcx and r11, and memory as the caller answers for.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1],
            in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// As [`call6`], with up to four arguments.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn call(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64 {
    // SAFETY: the caller's.
    unsafe { call6(number, [a, b, c, d, 0, 0]) }
}

/// What `memcpy` and `memset` are compiled to must be here.
///
/// # Safety
/// That of C's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: as the caller says; the direction flag is clear in all of the agent.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    to
}

/// # Safety
/// That of C's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: as the caller says; the direction flag is clear in all of the agent.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    to
}
