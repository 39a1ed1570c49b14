//! Links, and programs that are attached without one.
//!
//! No hook of the embedded kernel is reached by a system call yet: its sources of events are
//! given programs by who embeds it ([`crate::hooks`]). What Linux would attach is refused here
//! by the errno that says "not here", after the fds were looked at.

use skep_sys::{Command, Errno};

use super::vm::Vm;

/// Runs a command about links.
pub(super) fn command(vm: &Vm, command: &mut Command<'_>) -> Result<u32, Errno> {
    let program = match command {
        Command::LinkCreate(link) => link.prog_fd,
        Command::LinkCreatePerf(link) => link.prog_fd,
        Command::LinkCreateNetfilter(link) => link.prog_fd,
        Command::LinkCreateIter(link) => link.prog_fd,
        Command::LinkCreateKprobes(link) => link.prog_fd,
        Command::LinkCreateUprobes(link) => link.prog_fd,
        Command::RawTracepointOpen(open) => open.prog_fd,
        Command::ProgAttach(attach) => attach.attach_bpf_fd,
        Command::ProgBindMap(bind) => bind.prog_fd,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    vm.program(program as i32)?;
    Err(Errno::EOPNOTSUPP)
}
