//! C definitions: those of a script, of headers, and of a fixture's world.
//!
//! Declarations only: structures, unions, enumerations, typedefs, functions and variables.
//! Sizes and offsets are those of x86-64 and arm64 Linux.

mod declare;
mod lex;
mod model;
mod preprocess;

pub use declare::{CError, declare};
pub use lex::{Token, tokens};
pub use model::{CEnum, CFunction, CMember, CRecord, CType, Definitions, Lookup};
pub use preprocess::{Headers, NoHeaders, Preprocessed, preprocess};
