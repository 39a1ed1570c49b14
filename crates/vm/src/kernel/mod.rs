//! `bpf(2)` of the embedded kernel: one function for each command, with Linux's
//! checks in Linux's order (`kernel/bpf/syscall.c`).

mod btf;
mod info;
mod link;
mod map;
mod object;
mod prog;
mod test_lookup;
mod test_own;
mod test_packet;
mod test_run;
mod test_tracing;
mod value_types;
mod verify;
pub(crate) mod vm;

use skep_sys::{Command, Errno};

use vm::Vm;

/// Runs a command.
pub(crate) fn bpf(vm: &Vm, command: &mut Command<'_>) -> Result<u32, Errno> {
    match command {
        Command::MapCreate(attr) => map::create(vm, attr),
        Command::MapLookup(attr) => map::lookup(vm, attr),
        Command::MapUpdate(attr) => map::update(vm, attr),
        Command::MapDelete(attr) => map::delete(vm, attr),
        Command::MapNextKey(attr) => map::next_key(vm, attr),
        Command::MapLookupAndDelete(attr) => map::lookup_and_delete(vm, attr),
        Command::MapLookupBatch(attr) => map::lookup_batch(vm, attr, false),
        Command::MapLookupAndDeleteBatch(attr) => map::lookup_batch(vm, attr, true),
        Command::MapUpdateBatch(attr) => map::update_batch(vm, attr),
        Command::MapDeleteBatch(attr) => map::delete_batch(vm, attr),
        Command::MapFreeze(attr) => map::freeze(vm, attr),
        Command::ProgLoad(attr) => prog::load(vm, attr),
        Command::TestRun(attr) => test_run::run(vm, attr),
        Command::ObjPin(attr) => object::pin(vm, attr),
        Command::ObjGet(attr) => object::get(vm, attr),
        Command::GetById(kind, attr) => object::by_id(vm, *kind, attr),
        Command::NextId(kind, attr) => object::next_id(vm, *kind, attr),
        Command::ObjInfo(attr) => info::info(vm, attr),
        Command::BtfLoad(attr) => btf::load(vm, attr),
        other => link::command(vm, other),
    }
}

/// The first `len` bytes that a command points to.
///
/// # Errors
/// `EFAULT` where they are not there.
fn input<'i>(input: &'i skep_sys::Input<'_>, len: usize) -> Result<&'i [u8], Errno> {
    match input.as_deref() {
        _ if len == 0 => Ok(&[]),
        Some(bytes) => bytes.get(..len).ok_or(Errno::EFAULT),
        None => Err(Errno::EFAULT),
    }
}

/// Checks a name as Linux does: letters, digits, `_` and `.`, and a zero among its
/// 16 bytes.
///
/// # Errors
/// `EINVAL`.
fn check_name(name: &[u8; 16]) -> Result<(), Errno> {
    let end = name.iter().position(|&byte| byte == 0).ok_or(Errno::EINVAL)?;
    // Linux's `isalnum` knows the letters of Latin-1.
    let letter =
        |byte: u8| byte.is_ascii_alphanumeric() || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7);
    let good = |&byte: &u8| letter(byte) || matches!(byte, b'_' | b'.');
    if name[..end].iter().all(good) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether the machine has a network interface of this number.
fn interface_exists(ifindex: u32) -> bool {
    let Ok(interfaces) = std::fs::read_dir("/sys/class/net") else { return false };
    interfaces.flatten().any(|interface| {
        let index = std::fs::read_to_string(interface.path().join("ifindex"));
        index.is_ok_and(|index| index.trim().parse() == Ok(ifindex))
    })
}
