//! From text to the syntax tree.
//!
//! The language has no separate words and signs: `/` may be a path's, a predicate's or a
//! division's, so the grammar reads the text itself. Errors are collected; a block with an
//! error in it ends the reading. Depth and length are bounded.

mod cursor;
mod expressions;
mod items;
mod literals;
mod operators;
mod statements;
mod types;

use super::ast::{Expr, Ids, Script};
use super::diagnostic::Diagnostics;
use super::place::SourceId;

/// Texts longer than this are refused.
pub const LARGEST: usize = 4 << 20;

/// Reads a script. What it gives is whole only where there are no errors.
pub fn script(
    text: &str,
    source: SourceId,
    ids: &mut Ids,
    diagnostics: &mut Diagnostics,
) -> Script {
    let mut parser = cursor::Parser::new(text, source, ids, diagnostics);
    if text.len() > LARGEST {
        parser.error_between(0, 1, format!("script longer than {LARGEST} bytes"));
        return Script::default();
    }
    parser.script()
}

/// Reads one expression, which must be the whole text.
pub fn expression(
    text: &str,
    source: SourceId,
    ids: &mut Ids,
    diagnostics: &mut Diagnostics,
) -> Option<Expr> {
    let mut parser = cursor::Parser::new(text, source, ids, diagnostics);
    parser.lone_expression()
}
