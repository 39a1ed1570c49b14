//! Attach points: what their texts say, whether that can be, and which there are.

mod attach;
mod check;
mod expand;
mod matching;
mod parse;
mod table;

pub use attach::Attach;
pub use check::check;
pub use expand::expand;
pub use matching::matching;
pub use parse::parse;
pub use table::{Context, Event, Provider, hardware, software};
