//! What Linux's eBPF has many of, as tables, and the diagnostics that cross the
//! seam between user and kernel.
//!
//! Nothing here computes: each module is rows and the enum that names them. The
//! numbers are those of `include/uapi/linux/bpf.h`; the names are bpftool's and
//! libbpf's.
#![forbid(unsafe_code)]

mod capability;
pub mod context;
mod diagnostic;
mod errno;
mod field;
pub mod flags;
pub mod helper;
pub mod hook;
pub mod kfunc;
mod kinds;
mod licence;
pub mod limits;
mod map;
pub mod perf;
mod program;
mod reason;
pub mod ring;
mod section;
mod typed;
mod version;

pub use capability::Capabilities;
pub use context::Context;
pub use diagnostic::{Diagnostic, Frame, Trap, TrapKind};
pub use errno::Errno;
pub use field::{FieldKind, SpecialField};
pub use helper::{
    Allowed, Arg, ArgKind, Callback, Called, Caller, Effects, Family, Given, Helper, Proto, Ret,
    RetKind, TypeFlags, When, Yield,
};
pub use hook::HookRow;
pub use kfunc::{Kfunc, KfuncFilter, KfuncFlags, KfuncHook};
pub use kinds::{AttachType, Cmd, LinkType, MapType, ProgType};
pub use licence::is_gpl_compatible;
pub use map::{MapRow, SpecialFields, Typed, Values};
pub use program::{Attaches, PacketAccess, ProgRow, Runs, Sleeps};
pub use reason::Reason;
pub use section::{Loader, SectionDef, SectionFlags, SectionTarget};
pub use typed::{CONNECTION_WRITES, IterArg, StructOps, TracepointArg, Writable};
pub use version::Version;
