//! What the kernel has: programs, maps, BTF, and the fds, ids and pins that they are known by.

pub(crate) mod alarms;
pub(crate) mod btf;
pub(crate) mod heap;
pub(crate) mod hook;
pub(crate) mod map;
pub(crate) mod program;
pub(crate) mod regions;
pub(crate) mod table;
