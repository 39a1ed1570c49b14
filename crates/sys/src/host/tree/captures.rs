//! What is worth capturing of which call: a row per argument.

use super::options::Capture;

/// A path, or another text.
const PATH: Capture = Capture::Text(512);
/// `argv`: as much as fits into a record.
const LIST: Capture = Capture::List(60);
/// The beginning of a buffer.
const fn buffer(length: u8) -> Capture {
    Capture::Bytes { length, most: 512 }
}
/// An address of a socket: `struct sockaddr_storage` has 128 bytes.
const fn address(length: u8) -> Capture {
    Capture::Bytes { length, most: 128 }
}

/// Number, argument from 0, what.
#[rustfmt::skip]
const CAPTURES: [(i64, u8, Capture); 92] = [
    (libc::SYS_open, 0, PATH), (libc::SYS_stat, 0, PATH), (libc::SYS_lstat, 0, PATH),
    (libc::SYS_access, 0, PATH), (libc::SYS_chdir, 0, PATH), (libc::SYS_mkdir, 0, PATH),
    (libc::SYS_rmdir, 0, PATH), (libc::SYS_creat, 0, PATH), (libc::SYS_unlink, 0, PATH),
    (libc::SYS_readlink, 0, PATH), (libc::SYS_chmod, 0, PATH), (libc::SYS_chown, 0, PATH),
    (libc::SYS_lchown, 0, PATH), (libc::SYS_truncate, 0, PATH), (libc::SYS_statfs, 0, PATH),
    (libc::SYS_umount2, 0, PATH), (libc::SYS_swapon, 0, PATH), (libc::SYS_swapoff, 0, PATH),
    (libc::SYS_chroot, 0, PATH), (libc::SYS_mknod, 0, PATH), (libc::SYS_utime, 0, PATH),
    (libc::SYS_utimes, 0, PATH), (libc::SYS_acct, 0, PATH), (libc::SYS_delete_module, 0, PATH),
    (libc::SYS_sethostname, 0, buffer(1)), (libc::SYS_setdomainname, 0, buffer(1)),
    (libc::SYS_memfd_create, 0, PATH), (libc::SYS_fsopen, 0, PATH), (libc::SYS_uselib, 0, PATH),
    (libc::SYS_rename, 0, PATH), (libc::SYS_rename, 1, PATH),
    (libc::SYS_link, 0, PATH), (libc::SYS_link, 1, PATH),
    (libc::SYS_symlink, 0, PATH), (libc::SYS_symlink, 1, PATH),
    (libc::SYS_pivot_root, 0, PATH), (libc::SYS_pivot_root, 1, PATH),
    (libc::SYS_mount, 0, PATH), (libc::SYS_mount, 1, PATH), (libc::SYS_mount, 2, PATH),
    (libc::SYS_mount, 4, PATH),
    (libc::SYS_execve, 0, PATH), (libc::SYS_execve, 1, LIST),
    (libc::SYS_execveat, 1, PATH), (libc::SYS_execveat, 2, LIST),
    (libc::SYS_openat, 1, PATH), (libc::SYS_openat2, 1, PATH), (libc::SYS_openat2, 2, Capture::Fixed(64)),
    (libc::SYS_mkdirat, 1, PATH), (libc::SYS_mknodat, 1, PATH), (libc::SYS_fchownat, 1, PATH),
    (libc::SYS_futimesat, 1, PATH), (libc::SYS_newfstatat, 1, PATH), (libc::SYS_unlinkat, 1, PATH),
    (libc::SYS_readlinkat, 1, PATH), (libc::SYS_fchmodat, 1, PATH), (libc::SYS_faccessat, 1, PATH),
    (libc::SYS_faccessat2, 1, PATH), (libc::SYS_utimensat, 1, PATH), (libc::SYS_statx, 1, PATH),
    (libc::SYS_name_to_handle_at, 1, PATH), (libc::SYS_inotify_add_watch, 1, PATH),
    (libc::SYS_open_tree, 1, PATH), (libc::SYS_fspick, 1, PATH), (libc::SYS_quotactl, 1, PATH),
    (libc::SYS_renameat, 1, PATH), (libc::SYS_renameat, 3, PATH),
    (libc::SYS_renameat2, 1, PATH), (libc::SYS_renameat2, 3, PATH),
    (libc::SYS_linkat, 1, PATH), (libc::SYS_linkat, 3, PATH),
    (libc::SYS_symlinkat, 0, PATH), (libc::SYS_symlinkat, 2, PATH),
    (libc::SYS_setxattr, 0, PATH), (libc::SYS_setxattr, 1, PATH),
    (libc::SYS_getxattr, 0, PATH), (libc::SYS_getxattr, 1, PATH),
    (libc::SYS_listxattr, 0, PATH), (libc::SYS_removexattr, 0, PATH), (libc::SYS_removexattr, 1, PATH),
    (libc::SYS_write, 1, buffer(2)), (libc::SYS_pwrite64, 1, buffer(2)),
    (libc::SYS_sendto, 1, buffer(2)), (libc::SYS_sendto, 4, address(5)),
    (libc::SYS_connect, 1, address(2)), (libc::SYS_bind, 1, address(2)),
    (libc::SYS_nanosleep, 0, Capture::Fixed(64)), (libc::SYS_clock_nanosleep, 2, Capture::Fixed(64)),
    (libc::SYS_setsockopt, 3, address(4)), (libc::SYS_prctl, 1, Capture::Text(16)),
    (libc::SYS_finit_module, 1, PATH), (libc::SYS_fanotify_mark, 4, PATH),
];

/// The rows of a call.
pub(super) fn of(number: u32) -> impl Iterator<Item = (u8, Capture)> {
    let rows = CAPTURES.iter().filter(move |row| row.0 == i64::from(number));
    rows.map(|&(_, argument, what)| (argument, what))
}
