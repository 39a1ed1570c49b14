//! Which types and literals functions want, and formats with literals put in.

use super::ast::{Expr, ExprKind};
use super::checked::{Format, Piece};

/// What an argument must be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The kind of its type.
    pub base: &'static str,
    /// Whether it must be a literal.
    pub literal: bool,
}

const ANY: Option<Wanted> = None;
const INT: Option<Wanted> = of("int", false);
const TEXT: Option<Wanted> = of("string", false);
const POINTER: Option<Wanted> = of("pointer", false);
const INT_LITERAL: Option<Wanted> = of("int", true);
const TEXT_LITERAL: Option<Wanted> = of("string", true);
const CLOCK: Option<Wanted> = of("timestamp_mode", false);

const fn of(base: &'static str, literal: bool) -> Option<Wanted> {
    Some(Wanted { base, literal })
}

/// What a function wants of each of its arguments.
pub fn wanted(function: &str) -> &'static [Option<Wanted>] {
    match function {
        "buf" | "str" => &[ANY, INT],
        "cat" | "cgroupid" | "debugf" | "errorf" | "fail" | "kaddr" | "printf" | "reg"
        | "system" | "time" | "warnf" | "__builtin_uaddr" => &[TEXT_LITERAL],
        "cgroup_path" => &[INT, TEXT],
        "exit" | "unwatch" => &[INT],
        "hist" => &[ANY, ANY, INT, INT_LITERAL],
        "join" => &[ANY, TEXT_LITERAL],
        "lhist" => &[ANY, ANY, INT, INT_LITERAL, INT_LITERAL, INT_LITERAL],
        "tseries" => &[ANY, ANY, INT, INT_LITERAL, INT_LITERAL, TEXT_LITERAL],
        "nsecs" => &[CLOCK],
        "path" => &[ANY, INT_LITERAL],
        "percpu_kaddr" => &[TEXT_LITERAL, INT],
        "print" => &[ANY, INT_LITERAL, INT_LITERAL],
        "skboutput" => &[TEXT_LITERAL, POINTER, INT, INT],
        "strftime" => &[TEXT_LITERAL, INT],
        "strncmp" => &[TEXT, TEXT, INT_LITERAL],
        "socket_cookie" => &[POINTER],
        _ => &[],
    }
}

/// A format with literals in it, for `fail`.
pub fn shown(format: &Format, arguments: &[Expr]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    for piece in &format.pieces {
        match piece {
            Piece::Text(text) => out += &String::from_utf8_lossy(text),
            Piece::Conversion(conversion) => {
                let Some(argument) = arguments.next() else {
                    continue;
                };
                let number = matches!(&*conversion.letter, "d" | "i" | "u" | "x");
                out += &match &argument.kind {
                    ExprKind::Bool(truth) if number => u8::from(*truth).to_string(),
                    ExprKind::Bool(truth) => truth.to_string(),
                    ExprKind::Int(value, _) if conversion.letter == "x" => format!("{value:x}"),
                    ExprKind::Int(value, _) => value.to_string(),
                    ExprKind::Negative(value) => value.to_string(),
                    ExprKind::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    _ => String::new(),
                };
            }
        }
    }
    out
}
