//! An application's own extension points: programs in eBPF, verified, at native speed.
//!
//! A [`Hook`] says what its programs get (a structure with `#[derive(HookContext)]`), what they
//! may call (functions of the application), what they may return, and what counts where one
//! fails. Whoever writes one includes [`Hook::header`] and names his section `SEC("hook/NAME")`.
//! `docs/embedding.md` goes through it from the start.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use skep::Object;
//! use skep::hook::{Hook, Verdicts};
//!
//! #[derive(skep::HookContext)]
//! #[repr(C)]
//! struct Request {
//!     client: u32,
//!     port: u16,
//!     path_len: u16,
//!     #[hook(write)]
//!     status: u32,
//! }
//!
//! // Without a program all pass; where one fails none does.
//! let hook = Hook::<Request>::builder("request", Verdicts { without: 1, failed: 0 })
//!     .returns(0, 1)
//!     .helper("is_known", |client: u32| client < 1000)
//!     .build()?;
//! let mut request = Request { client: 7, port: 80, path_len: 0, status: 200 };
//! assert_eq!(hook.run(&mut request).value, 1);
//! # Ok(())
//! # }
//! ```
//!
//! What holds, whatever the program is: it reads and writes nothing but its context, its maps,
//! its stack and the bytes that came with the event; it ends; no address of the host becomes a
//! number in it. A program of another hook, or of an earlier definition of this one, is refused.

mod describe;
mod error;
mod helper;
mod member;
mod point;
mod version;

pub use error::HookError;
pub use helper::{Answer, Argument, Helper, Lending, Lent, Parameter};
pub use member::{DataEnd, DataStart, FieldRow, HookContext, Integer, Member, MemberType, Number};
pub use point::{Decider, Decision, Hook, HookBuilder, HookCounts, Nesting, Verdicts};
pub use skep_vm::hooks::{PointFailure as Failure, RunCounts};
pub use version::Version;

/// The snippets of the guide.
#[cfg(all(doctest, feature = "derive"))]
#[doc = include_str!("../../../../docs/embedding.md")]
struct Embedding;
