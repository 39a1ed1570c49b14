//! What scripts print, as text or as lines of JSON: pure functions from bytes and their types.
//!
//! ```text
//! bytes ── decode ──> Value ── format ──> text of printf
//! elements ── maps ──> MapContent ── text, json ──> a map as it is printed
//! ```

pub mod decode;
pub mod format;
pub mod gfp;
pub mod histogram;
pub mod json;
pub mod maps;
pub mod series;
pub mod text;
pub mod value;
