//! 64-bit immediates: numbers, and what stands for an address that only a loader or
//! the kernel knows.

use super::cursor::{Cursor, Parsed};
use super::{Pending, ReferenceKind};
use crate::{Imm64, ImmKind};

/// A 64-bit immediate, and the name that it waits for.
pub(super) type Value<'a> = (Imm64, Option<Pending<'a>>);

/// Reads `0x10`, `map[fd:5]`, `map[NAME][0]+16`, `subprog[+4]`, `ksym[id:7 fd:3]` or
/// `NAME + 8`.
pub(super) fn parse<'a>(cursor: &mut Cursor<'a>) -> Parsed<Value<'a>> {
    let (min, max) = (i64::MIN.into(), u64::MAX.into());
    let start = cursor.after_blanks();
    let Some(name) = cursor.word() else {
        let value = cursor.ranged("a 64-bit immediate", min, max)?;
        return Ok((Imm64::constant(value as u64), None));
    };
    let plain = match name {
        "map" if cursor.eat("[") => return map(cursor),
        "subprog" if cursor.eat("[") => {
            let (min, max) = (i32::MIN.into(), i32::MAX.into());
            let lo = cursor.ranged("a distance in slots", min, max)? as u32;
            cursor.expect("]")?;
            Imm64 { kind: ImmKind::Func, lo, hi: upper(cursor)?.unwrap_or(0) }
        }
        "ksym" if cursor.eat("[") => {
            let lo = field(cursor, "id")?.ok_or_else(|| cursor.expected("`id:` and a BTF id"))?;
            let hi = field(cursor, "fd")?.unwrap_or(0);
            cursor.expect("]")?;
            Imm64 { kind: ImmKind::BtfId, lo, hi }
        }
        _ => {
            let signed = cursor.after_blanks().rest().starts_with(['+', '-']);
            let addend = if signed { cursor.ranged("a 64-bit addend", min, max)? } else { 0 };
            let pending = Pending { kind: ReferenceKind::Symbol, name, at: start };
            return Ok((Imm64::constant(addend as u64), Some(pending)));
        }
    };
    Ok((plain, None))
}

/// What follows `map[`.
fn map<'a>(cursor: &mut Cursor<'a>) -> Parsed<Value<'a>> {
    let at = cursor.after_blanks();
    let (kinds, lo, pending) = if let Some(fd) = field(cursor, "fd")? {
        ((ImmKind::MapFd, ImmKind::MapValue), fd, None)
    } else if let Some(index) = field(cursor, "idx")? {
        ((ImmKind::MapIdx, ImmKind::MapIdxValue), index, None)
    } else {
        let expected = || at.expected("a map's name, `fd:N` or `idx:N`");
        let name = cursor.word().ok_or_else(expected)?;
        if cursor.eat(":") {
            return Err(expected());
        }
        let pending = Pending { kind: ReferenceKind::Map, name, at };
        ((ImmKind::MapFd, ImmKind::MapValue), 0, Some(pending))
    };
    cursor.expect("]")?;
    let kind = if cursor.eat("[") {
        cursor.expect("0")?;
        cursor.expect("]")?;
        kinds.1
    } else {
        kinds.0
    };
    Ok((Imm64 { kind, lo, hi: upper(cursor)?.unwrap_or(0) }, pending))
}

/// `name:N`.
fn field(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Option<u32>> {
    let mut next = *cursor;
    if !next.eat_word(name) || !next.eat(":") {
        return Ok(None);
    }
    let value = next.ranged("a 32-bit number", 0, u32::MAX.into())?;
    *cursor = next;
    Ok(Some(value as u32))
}

/// `+N`: the upper half.
fn upper(cursor: &mut Cursor<'_>) -> Parsed<Option<u32>> {
    if !cursor.eat("+") {
        return Ok(None);
    }
    Ok(Some(cursor.ranged("a 32-bit number", 0, u32::MAX.into())? as u32))
}
