//! Directives: where sections begin and which names are visible. The rest of what
//! clang writes around instructions says nothing about them and is passed over.

use super::cursor::{Cursor, Parsed};
use super::{Assembly, Label};
use crate::Pc;

const PASSED_OVER: [&str; 13] = [
    ".addrsig",
    ".addrsig_sym",
    ".align",
    ".balign",
    ".file",
    ".hidden",
    ".ident",
    ".loc",
    ".local",
    ".p2align",
    ".size",
    ".type",
    ".weak",
];

/// Reads a directive; `false` where there is none.
pub(super) fn parse(cursor: &mut Cursor<'_>, assembly: &mut Assembly) -> Parsed<bool> {
    let mut next = *cursor;
    let Some(word) = next.word().filter(|word| word.starts_with('.')) else { return Ok(false) };
    match word {
        ".text" => open(assembly, ".text"),
        ".section" => {
            let name = section_name(&mut next)?;
            open(assembly, name);
            // Flags and type follow the name.
            next.line_end();
        }
        ".globl" | ".global" => {
            let name = next.word().ok_or_else(|| next.expected("a name"))?;
            assembly.globals.push(name.into());
        }
        _ if PASSED_OVER.contains(&word) || word.starts_with(".cfi_") => next.line_end(),
        _ => return Err(cursor.expected("an instruction, .text, .section or .globl")),
    }
    *cursor = next;
    Ok(true)
}

fn open(assembly: &mut Assembly, name: &str) {
    let pc = assembly.insns.len() as Pc;
    assembly.sections.push(Label { name: name.into(), pc });
}

/// `xdp`, `tracepoint/syscalls/sys_enter_execve`, or the same in quotes.
fn section_name<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    let quoted = cursor.eat("\"");
    cursor.blanks();
    let rest = cursor.rest();
    let end = match quoted {
        true => rest.find('"'),
        false => Some(rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len())),
    };
    let name = end.map(|end| &rest[..end]).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| cursor.expected("the name of a section"))?;
    cursor.eat_adjacent(name);
    if quoted {
        cursor.expect("\"")?;
    }
    Ok(name)
}
