//! The call that executed the tree's first program. It began before anybody could see it, but
//! what it was given is known.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use super::event::{Captured, Enter};
use super::options::Options;

/// Where it is said to have lain: an address of user space at which nothing is mapped.
const PLACE: u64 = 0x1000;

/// The call, if it is wanted.
pub(super) fn of(command: &Command, options: &Options) -> Option<Box<Enter>> {
    let number = libc::SYS_execve as u32;
    if !options.begins(number) {
        return None;
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let texts: Vec<Box<[u8]>> = words.map(|word| [word.as_bytes(), &[0]].concat().into()).collect();
    let list_len = 8 * (texts.len() as u64 + 1);
    let mut at = PLACE + list_len;
    let (mut list, mut memory) = (Vec::new(), Vec::new());
    for bytes in texts {
        list.extend(at.to_le_bytes());
        let next = at + bytes.len() as u64;
        memory.push(Captured { argument: 1, address: at, bytes });
        at = next;
    }
    list.extend(0u64.to_le_bytes());
    let path = memory.first().map(|first| Captured { argument: 0, ..first.clone() })?;
    let args = [path.address, PLACE, 0, 0, 0, 0];
    memory.insert(0, Captured { argument: 1, address: PLACE, bytes: list.into() });
    memory.insert(0, path);
    if !options.captures(number) {
        memory.clear();
    }
    Some(Box::new(Enter { number, args, memory, ..Enter::default() }))
}
