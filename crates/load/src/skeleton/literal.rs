//! The object's bytes, as the string literal that C and Rust both read.

use std::fmt::Write as _;

/// Columns of a line.
const WIDTH: usize = 100;

/// The bytes between quotation marks, each as an escape, so that none is taken for part of the
/// one before it.
pub(super) fn bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    text.push('"');
    let mut column = WIDTH;
    for &byte in bytes {
        if column + 4 > WIDTH {
            text.push_str("\\\n");
            column = 0;
        }
        column += match byte {
            0 => {
                text.push_str("\\0");
                2
            }
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
                4
            }
        };
    }
    text.push('"');
    text
}
