//! What is wrong with a text, and where.

use std::fmt;

/// Why a text does not assemble.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct AsmError {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is wrong there.
    pub kind: AsmErrorKind,
}

/// What is wrong with a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AsmErrorKind {
    /// Something else was expected.
    Expected {
        /// What could stand there.
        what: String,
        /// What stands there; empty at the end of the line.
        found: String,
    },
    /// A number that the field cannot hold.
    Range {
        /// What the number is.
        what: &'static str,
        /// The number.
        value: i128,
        /// Smallest and largest that fit.
        fits: (i128, i128),
    },
    /// A name that nothing defines.
    Undefined(String),
    /// A label that stands twice.
    Duplicate(String),
    /// A target that the instruction's field cannot reach.
    Far {
        /// The target.
        label: String,
        /// Its distance in slots.
        distance: i64,
    },
    /// The opcode in front of the instruction is not the one that the text means.
    Opcode {
        /// Written.
        written: u8,
        /// Meant by the text.
        meant: u8,
    },
    /// More instructions than a program counter can count.
    TooLong,
}

impl fmt::Display for AsmErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsmErrorKind::Expected { what, found } if found.is_empty() => {
                write!(f, "expected {what}, found the end of the line")
            }
            AsmErrorKind::Expected { what, found } => {
                write!(f, "expected {what}, found `{}`", found.escape_debug())
            }
            AsmErrorKind::Range { what, value, fits: (min, max) } => {
                write!(f, "{what} {value} does not fit ({min} to {max})")
            }
            AsmErrorKind::Undefined(name) => {
                write!(f, "`{}` is not defined", name.escape_debug())
            }
            AsmErrorKind::Duplicate(name) => {
                write!(f, "label `{}` stands twice", name.escape_debug())
            }
            AsmErrorKind::Far { label, distance } => {
                let label = label.escape_debug();
                write!(f, "`{label}` is {distance} slots away, further than this jump reaches")
            }
            AsmErrorKind::Opcode { written, meant } => {
                write!(f, "opcode ({written:02x}) before an instruction of opcode ({meant:02x})")
            }
            AsmErrorKind::TooLong => f.write_str("too many instructions"),
        }
    }
}
