//! Statements in pseudo-C, as LLVM and Linux print them.

use super::cursor::{Cursor, Parsed};
use super::{Statement, aim, call, imm64};
use crate::opcode::LD_IMM64;
use crate::{
    AluOp, AtomicOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Order, Reg, Size, Width,
};

/// Reads a statement; `None` where it does not begin like pseudo-C. `code` is the
/// opcode that Linux prints in front, the only thing that tells its 64-bit immediate
/// loads from moves.
pub(super) fn parse<'a>(
    cursor: &mut Cursor<'a>,
    code: Option<u8>,
) -> Parsed<Option<Statement<'a>>> {
    if let Some((width, dst)) = cursor.any_register() {
        return assignment(cursor, width, dst, code).map(Some);
    }
    if cursor.eat("*") {
        return store(cursor).map(Statement::some);
    }
    let mut next = *cursor;
    let statement = match next.word() {
        Some("if") => branch(&mut next)?,
        Some("goto") => aim(&mut next, Insn::Ja { off: 0 })?,
        Some("gotol") => aim(&mut next, Insn::Gotol { off: 0 })?,
        Some("may_goto") => aim(&mut next, Insn::MayGoto { off: 0 })?,
        Some("call") => call::parse(&mut next)?,
        Some("callx") => {
            let callee = Callee::Register(next.register(Width::W64)?);
            next.annotation();
            Statement::new(Insn::Call(callee))
        }
        Some("exit") => Statement::new(Insn::Exit),
        Some("lock") if next.eat("*") => Statement::new(locked(&mut next)?),
        Some("store_release") => Statement::new(store_release(&mut next)?),
        Some("ld_pseudo") => Statement::new(ld_pseudo(&mut next)?),
        _ => return Ok(None),
    };
    *cursor = next;
    Ok(Some(statement))
}

/// What follows `rN` or `wN` at the start of a statement.
fn assignment<'a>(
    cursor: &mut Cursor<'a>,
    width: Width,
    dst: Reg,
    code: Option<u8>,
) -> Parsed<Statement<'a>> {
    match assignment_sign(cursor) {
        None => Err(cursor.expected("an assignment (=, +=, s>>= and the like)")),
        Some(AluOp::Mov) => value(cursor, width, dst, code),
        Some(op) => {
            let src = operand(cursor, width)?;
            Ok(Statement::new(Insn::Alu { op, width, dst, src }))
        }
    }
}

/// What follows `dst =`.
fn value<'a>(
    cursor: &mut Cursor<'a>,
    width: Width,
    dst: Reg,
    code: Option<u8>,
) -> Parsed<Statement<'a>> {
    let start = *cursor;
    if cursor.eat("*") {
        return load(cursor, width, dst).map(Statement::new);
    }
    if cursor.eat("(") {
        return extension(cursor, width, dst).map(Statement::new);
    }
    if cursor.eat("-") && cursor.any_register().is_some() {
        *cursor = start;
        cursor.eat("-");
        itself(cursor, width, dst)?;
        return Ok(Statement::new(Insn::Neg { width, dst }));
    }
    *cursor = start;
    if let Some((half, _)) = cursor.any_register() {
        // clang writes `r1 = w2` for the move that clears the upper half.
        let width = if width == Width::W64 { half } else { width };
        *cursor = start;
        let src = Operand::Reg(cursor.register(width)?);
        return Ok(Statement::new(Insn::Alu { op: AluOp::Mov, width, dst, src }));
    }
    if let Some(insn) = function(cursor, width, dst)? {
        return Ok(Statement::new(insn));
    }
    if width == Width::W64 {
        let (imm, pending) = imm64::parse(cursor)?;
        let number = imm.kind == ImmKind::Const && pending.is_none();
        if cursor.eat_word("ll") || code == Some(LD_IMM64) {
            cursor.annotation();
            return Ok(Statement { pending, ..Statement::new(Insn::LoadImm64 { dst, imm }) });
        }
        if !number {
            return Err(cursor.expected("`ll`"));
        }
        *cursor = start;
    }
    let src = Operand::Imm(cursor.imm32()?);
    Ok(Statement::new(Insn::Alu { op: AluOp::Mov, width, dst, src }))
}

/// What looks like a call of a function: `load_acquire(...)`, `bswap16 r1`.
fn function(cursor: &mut Cursor<'_>, width: Width, dst: Reg) -> Parsed<Option<Insn>> {
    let start = *cursor;
    let mut next = *cursor;
    let Some(word) = next.word() else { return Ok(None) };
    let insn = if let Some((order, size)) = byte_order(word) {
        itself(&mut next, Width::W64, dst)?;
        wide(width, &start)?;
        Insn::ByteSwap { order, size, dst }
    } else if let Some((op, size)) = fetching(word) {
        fetch(&mut next, op, size, (width, dst))?
    } else if word == "load_acquire" {
        next.expect("(")?;
        let size = unsigned_pointer(&mut next)?;
        let (base, off) = bracketed_address(&mut next)?;
        next.expect(")")?;
        fits(width, size, &start)?;
        Insn::LoadAcquire { size, dst, base, off }
    } else if word == "addr_space_cast" {
        next.expect("(")?;
        let src = next.register(Width::W64)?;
        let mut space = || {
            next.expect(",")?;
            Ok(next.ranged("an address space", 0, u16::MAX.into())? as u16)
        };
        let (to, from) = (space()?, space()?);
        next.expect(")")?;
        wide(width, &start)?;
        Insn::AddrSpaceCast { dst, src, to, from }
    } else {
        return Ok(None);
    };
    *cursor = next;
    Ok(Some(insn))
}

/// `be16` and the like.
pub(super) fn byte_order(word: &str) -> Option<(Order, Size)> {
    let orders = Order::ALL.into_iter().map(|order| (order, order.name()));
    let (order, bits) = orders
        .chain([(Order::Swap, "swap")])
        .find_map(|(order, name)| Some((order, word.strip_prefix(name)?)))?;
    let size = match bits {
        "16" => Size::H,
        "32" => Size::W,
        "64" => Size::DW,
        _ => return None,
    };
    Some((order, size))
}

/// The functions of LLVM and Linux that fetch; LLVM's exchanges have the size in
/// their names and no pointer type.
fn fetching(word: &str) -> Option<(AtomicOp, Option<Size>)> {
    match word {
        "xchg_64" => return Some((AtomicOp::Xchg, Some(Size::DW))),
        "xchg32_32" => return Some((AtomicOp::Xchg, Some(Size::W))),
        "cmpxchg_64" => return Some((AtomicOp::Cmpxchg, Some(Size::DW))),
        "cmpxchg32_32" => return Some((AtomicOp::Cmpxchg, Some(Size::W))),
        _ => {}
    }
    let name = word.strip_prefix("atomic64_").or(word.strip_prefix("atomic_"))?;
    let op = AtomicOp::ALL.into_iter().find(|op| match op {
        AtomicOp::Xchg | AtomicOp::Cmpxchg => op.name() == name,
        _ => op.fetches() && name.strip_prefix("fetch_") == Some(op.name()),
    })?;
    Some((op, None))
}

/// The arguments of a fetching function.
fn fetch(
    cursor: &mut Cursor<'_>,
    op: AtomicOp,
    size: Option<Size>,
    (width, dst): (Width, Reg),
) -> Parsed<Insn> {
    cursor.expect("(")?;
    let (size, (base, off)) = match size {
        Some(size) => (size, address(cursor)?),
        None => (atomic_pointer(cursor)?, bracketed_address(cursor)?),
    };
    cursor.expect(",")?;
    if op == AtomicOp::Cmpxchg {
        let at = *cursor;
        if cursor.holder(size)? != Reg::R0 || dst != Reg::R0 {
            return Err(at.expected("r0 here and as the register that receives the old value"));
        }
        cursor.expect(",")?;
    }
    let at = *cursor;
    let src = cursor.holder(size)?;
    if op != AtomicOp::Cmpxchg && src != dst {
        return Err(at.expected(format!("{dst}, which receives the old value")));
    }
    fits(width, size, &at)?;
    cursor.expect(")")?;
    Ok(Insn::Atomic { op, size, base, off, src })
}

/// What follows `dst = *`.
fn load(cursor: &mut Cursor<'_>, width: Width, dst: Reg) -> Parsed<Insn> {
    let start = *cursor;
    let (size, signed) = pointer(cursor)?;
    if cursor.eat_word("skb") {
        if signed || size == Size::DW || (width, dst) != (Width::W64, Reg::R0) {
            return Err(start.expected("r0 = *(u8 *), *(u16 *) or *(u32 *) of skb"));
        }
        return packet_load(cursor, size);
    }
    let (base, off) = bracketed_address(cursor)?;
    if signed {
        wide(width, &start)?;
    }
    fits(width, size, &start)?;
    Ok(Insn::Load { size, signed, dst, base, off })
}

/// What follows `skb`.
fn packet_load(cursor: &mut Cursor<'_>, size: Size) -> Parsed<Insn> {
    let (min, max) = (i32::MIN.into(), i32::MAX.into());
    cursor.expect("[")?;
    let insn = if let Some((Width::W64, src)) = cursor.any_register() {
        let bare = cursor.peek("]");
        let offset = if bare { 0 } else { signed_offset(cursor, min, max)? as i32 };
        Insn::LoadInd { size, src, offset }
    } else {
        Insn::LoadAbs { size, offset: cursor.ranged("an offset", min, max)? as i32 }
    };
    cursor.expect("]")?;
    Ok(insn)
}

/// What follows `dst = (`.
fn extension(cursor: &mut Cursor<'_>, width: Width, dst: Reg) -> Parsed<Insn> {
    let start = *cursor;
    let (from, signed) = kind(cursor)?;
    if !signed || (width, from) == (Width::W32, Size::W) {
        return Err(start.expected("a signed type narrower than the register"));
    }
    cursor.expect(")")?;
    Ok(Insn::MovSx { width, from, dst, src: cursor.register(width)? })
}

/// What follows `*` at the start of a statement.
fn store(cursor: &mut Cursor<'_>) -> Parsed<Insn> {
    let size = unsigned_pointer(cursor)?;
    let (base, off) = bracketed_address(cursor)?;
    cursor.expect("=")?;
    let src = match cursor.clone().any_register() {
        Some(_) => Operand::Reg(cursor.holder(size)?),
        None => Operand::Imm(cursor.imm32()?),
    };
    Ok(Insn::Store { size, base, off, src })
}

/// What follows `lock *`.
fn locked(cursor: &mut Cursor<'_>) -> Parsed<Insn> {
    let size = atomic_pointer(cursor)?;
    let (base, off) = bracketed_address(cursor)?;
    let op = AtomicOp::ALL.into_iter().find(|op| op.sign().is_some_and(|sign| cursor.eat(sign)));
    let op = op.ok_or_else(|| cursor.expected("+=, |=, &= or ^="))?;
    Ok(Insn::Atomic { op, size, base, off, src: cursor.holder(size)? })
}

/// What follows `store_release`.
fn store_release(cursor: &mut Cursor<'_>) -> Parsed<Insn> {
    cursor.expect("(")?;
    let size = unsigned_pointer(cursor)?;
    let (base, off) = bracketed_address(cursor)?;
    cursor.expect(",")?;
    let src = cursor.holder(size)?;
    cursor.expect(")")?;
    Ok(Insn::StoreRelease { size, base, off, src })
}

/// What follows `ld_pseudo`: LLVM's `r1, 0x1, 0x5`, of which it prints no upper half.
fn ld_pseudo(cursor: &mut Cursor<'_>) -> Parsed<Insn> {
    let dst = cursor.register(Width::W64)?;
    cursor.expect(",")?;
    let kind = ImmKind::ALL[cursor.ranged("a kind of immediate", 0, 6)? as usize];
    cursor.expect(",")?;
    let value = cursor.ranged("a 64-bit immediate", i64::MIN.into(), u64::MAX.into())? as u64;
    Ok(Insn::LoadImm64 { dst, imm: Imm64 { kind, ..Imm64::constant(value) } })
}

/// What follows `if`.
fn branch<'a>(cursor: &mut Cursor<'a>) -> Parsed<Statement<'a>> {
    let (width, dst) = cursor
        .any_register()
        .ok_or_else(|| cursor.expected("a register, r0 to r10 or w0 to w10"))?;
    // `>` is the start of `>=`: the longest sign that fits.
    let fits = Cond::ALL.into_iter().filter(|cond| cursor.peek(cond.sign()));
    let cond = fits
        .max_by_key(|cond| cond.sign().len())
        .ok_or_else(|| cursor.expected("a comparison (==, !=, s> and the like)"))?;
    cursor.eat(cond.sign());
    let src = operand(cursor, width)?;
    if !cursor.eat_word("goto") {
        return Err(cursor.expected("`goto`"));
    }
    aim(cursor, Insn::Branch { cond, width, dst, src, off: 0 })
}

/// `+=`, `=` and the like, not `==`.
pub(super) fn assignment_sign(cursor: &mut Cursor<'_>) -> Option<AluOp> {
    if cursor.peek("==") {
        return None;
    }
    AluOp::ALL.into_iter().find(|op| cursor.eat(op.sign()))
}

/// A register of this width or an immediate.
fn operand(cursor: &mut Cursor<'_>, width: Width) -> Parsed<Operand> {
    match cursor.clone().any_register() {
        Some(_) => cursor.register(width).map(Operand::Reg),
        None => cursor.imm32().map(Operand::Imm),
    }
}

/// The destination once more.
fn itself(cursor: &mut Cursor<'_>, width: Width, dst: Reg) -> Parsed<()> {
    let at = *cursor;
    match cursor.register(width)? {
        reg if reg == dst => Ok(()),
        _ => Err(at.expected(format!("{}{}", width.letter(), dst.number()))),
    }
}

/// Refuses `wN` as the destination.
fn wide(width: Width, at: &Cursor<'_>) -> Parsed<()> {
    match width {
        Width::W64 => Ok(()),
        Width::W32 => Err(at.expected("a 32-bit value for wN (rN takes this one)")),
    }
}

/// Refuses `wN` as the destination of 64 bits.
fn fits(width: Width, size: Size, at: &Cursor<'_>) -> Parsed<()> {
    if size == Size::DW { wide(width, at) } else { Ok(()) }
}

/// `u32` and the like: a size, and whether it is signed.
fn kind(cursor: &mut Cursor<'_>) -> Parsed<(Size, bool)> {
    let start = *cursor;
    let word = cursor.word().unwrap_or_default();
    for size in Size::ALL {
        if word == size.unsigned() {
            return Ok((size, false));
        }
        if word == size.signed() && size != Size::DW {
            return Ok((size, true));
        }
    }
    Err(start.expected("u8, u16, u32, u64, s8, s16 or s32"))
}

/// `(u32 *)`.
fn pointer(cursor: &mut Cursor<'_>) -> Parsed<(Size, bool)> {
    cursor.expect("(")?;
    let kind = kind(cursor)?;
    cursor.expect("*")?;
    cursor.expect(")")?;
    Ok(kind)
}

/// `(u32 *)` of a type without sign.
fn unsigned_pointer(cursor: &mut Cursor<'_>) -> Parsed<Size> {
    let start = *cursor;
    match pointer(cursor)? {
        (size, false) => Ok(size),
        (..) => Err(start.expected("a pointer to u8, u16, u32 or u64")),
    }
}

/// `(u32 *)` or `(u64 *)`.
fn atomic_pointer(cursor: &mut Cursor<'_>) -> Parsed<Size> {
    let start = *cursor;
    match pointer(cursor)? {
        (size @ (Size::W | Size::DW), false) => Ok(size),
        (..) => Err(start.expected("a pointer to u32 or u64")),
    }
}

/// `r1 + 8`, `r1 +8`, `r1 - 0x8` or `r1`.
fn address(cursor: &mut Cursor<'_>) -> Parsed<(Reg, i16)> {
    let base = cursor.register(Width::W64)?;
    if !cursor.peek("+") && !cursor.peek("-") {
        return Ok((base, 0));
    }
    Ok((base, signed_offset(cursor, i16::MIN.into(), i16::MAX.into())? as i16))
}

/// `(r1 + 8)`.
fn bracketed_address(cursor: &mut Cursor<'_>) -> Parsed<(Reg, i16)> {
    cursor.expect("(")?;
    let address = address(cursor)?;
    cursor.expect(")")?;
    Ok(address)
}

/// `+ 8`, `- 8` or, as Linux prints packet offsets and LLVM reads them, `+ -8`.
fn signed_offset(cursor: &mut Cursor<'_>, min: i128, max: i128) -> Parsed<i128> {
    let mut next = *cursor;
    if next.eat("+") && next.peek("-") {
        *cursor = next;
    }
    cursor.ranged("an offset", min, max)
}
