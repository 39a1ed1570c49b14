//! Statements of the form `mnemonic operand, operand`, as in uBPF's assembler and the
//! conformance vectors; registers with or without `%`, widths as `32` and `64`.

use super::cursor::{Cursor, Parsed};
use super::{Statement, aim, imm64, pseudo};
use crate::{AluOp, AtomicOp, Cond, Insn, Operand, Order, Reg, Size, Width};

/// What a mnemonic says, before its operands.
enum Form {
    Alu(AluOp, Width),
    Neg(Width),
    ByteSwap(Order, Size),
    MovSx(Size, Width),
    AddrSpaceCast,
    LoadImm64,
    LoadAbs(Size),
    LoadInd(Size),
    Load { size: Size, signed: bool },
    StoreImm(Size),
    StoreReg(Size),
    Lock,
    LoadAcquire(Size),
    StoreRelease(Size),
    Jump(Insn),
    Branch(Cond, Width),
}

/// Reads a statement; `None` where it does not begin with a mnemonic.
pub(super) fn parse<'a>(cursor: &mut Cursor<'a>) -> Parsed<Option<Statement<'a>>> {
    let mut next = *cursor;
    let Some(form) = next.word().and_then(form) else { return Ok(None) };
    let statement = operands(&mut next, form)?;
    *cursor = next;
    Ok(Some(statement))
}

fn form(word: &str) -> Option<Form> {
    let form = match word {
        "lddw" => Form::LoadImm64,
        "lock" => Form::Lock,
        "addr_space_cast" => Form::AddrSpaceCast,
        "ja" => Form::Jump(Insn::Ja { off: 0 }),
        "ja32" | "jal" => Form::Jump(Insn::Gotol { off: 0 }),
        _ => return sized(word).or_else(|| operation(word)),
    };
    Some(form)
}

/// Mnemonics that end in the size of what they load or store.
fn sized(word: &str) -> Option<Form> {
    // `movsx832` is no store; `load_acquire` counts bits.
    let by_suffix = |name: &str| Size::ALL.into_iter().find(|size| size.suffix() == name);
    let by_bits = |name: &str| Size::ALL.into_iter().find(|size| size.bits().to_string() == name);
    let after = |prefix| word.strip_prefix(prefix);
    let signed = |size: &Size| *size < Size::DW;
    let packet = |size: &Size| *size < Size::DW;
    None.or_else(|| after("ldxs").and_then(by_suffix).filter(signed))
        .map(|size| Form::Load { size, signed: true })
        .or_else(|| Some(Form::Load { size: by_suffix(after("ldx")?)?, signed: false }))
        .or_else(|| Some(Form::LoadAbs(by_suffix(after("ldabs")?).filter(packet)?)))
        .or_else(|| Some(Form::LoadInd(by_suffix(after("ldind")?).filter(packet)?)))
        .or_else(|| Some(Form::StoreReg(by_suffix(after("stx")?)?)))
        .or_else(|| Some(Form::StoreImm(by_suffix(after("st")?)?)))
        .or_else(|| Some(Form::LoadAcquire(by_bits(after("load_acquire")?)?)))
        .or_else(|| Some(Form::StoreRelease(by_bits(after("store_release")?)?)))
}

/// Mnemonics that begin with an operation's name.
fn operation(word: &str) -> Option<Form> {
    if let Some((order, size)) = pseudo::byte_order(word) {
        return Some(Form::ByteSwap(order, size));
    }
    if let Some(sizes) = word.strip_prefix("movsx") {
        return [
            ("832", Size::B, Width::W32),
            ("1632", Size::H, Width::W32),
            ("864", Size::B, Width::W64),
            ("1664", Size::H, Width::W64),
            ("3264", Size::W, Width::W64),
        ]
        .into_iter()
        .find_map(|(name, from, width)| (name == sizes).then_some(Form::MovSx(from, width)));
    }
    let width = |name: &str| match word.strip_prefix(name)? {
        "" | "64" => Some(Width::W64),
        "32" => Some(Width::W32),
        _ => None,
    };
    let neg = width("neg").map(Form::Neg);
    let mut alu = AluOp::ALL.into_iter();
    let mut branch = Cond::ALL.into_iter();
    neg.or_else(|| alu.find_map(|op| Some(Form::Alu(op, width(op.name())?))))
        .or_else(|| branch.find_map(|cond| Some(Form::Branch(cond, width(cond.name())?))))
}

fn operands<'a>(cursor: &mut Cursor<'a>, form: Form) -> Parsed<Statement<'a>> {
    let insn = match form {
        Form::Alu(op, width) => {
            let dst = register(cursor)?;
            cursor.expect(",")?;
            Insn::Alu { op, width, dst, src: operand(cursor)? }
        }
        Form::Neg(width) => Insn::Neg { width, dst: register(cursor)? },
        Form::ByteSwap(order, size) => Insn::ByteSwap { order, size, dst: register(cursor)? },
        Form::MovSx(from, width) => {
            let (dst, src) = (register(cursor)?, after_comma(cursor, register)?);
            Insn::MovSx { width, from, dst, src }
        }
        Form::AddrSpaceCast => {
            let (dst, src) = (register(cursor)?, after_comma(cursor, register)?);
            let space = |cursor: &mut Cursor<'a>| cursor.ranged("an address space", 0, 0xffff);
            let to = after_comma(cursor, space)? as u16;
            let from = after_comma(cursor, space)? as u16;
            Insn::AddrSpaceCast { dst, src, to, from }
        }
        Form::LoadImm64 => {
            let dst = register(cursor)?;
            cursor.expect(",")?;
            let (imm, pending) = imm64::parse(cursor)?;
            return Ok(Statement { pending, ..Statement::new(Insn::LoadImm64 { dst, imm }) });
        }
        Form::LoadAbs(size) => Insn::LoadAbs { size, offset: cursor.imm32()? },
        Form::LoadInd(size) => {
            let (src, offset) = (register(cursor)?, after_comma(cursor, Cursor::imm32)?);
            Insn::LoadInd { size, src, offset }
        }
        Form::Load { size, signed } => {
            let (dst, (base, off)) = (register(cursor)?, after_comma(cursor, address)?);
            Insn::Load { size, signed, dst, base, off }
        }
        Form::LoadAcquire(size) => {
            let (dst, (base, off)) = (register(cursor)?, after_comma(cursor, address)?);
            Insn::LoadAcquire { size, dst, base, off }
        }
        Form::StoreImm(size) => {
            let ((base, off), imm) = (address(cursor)?, after_comma(cursor, Cursor::imm32)?);
            Insn::Store { size, base, off, src: Operand::Imm(imm) }
        }
        Form::StoreReg(size) => {
            let ((base, off), src) = (address(cursor)?, after_comma(cursor, register)?);
            Insn::Store { size, base, off, src: Operand::Reg(src) }
        }
        Form::StoreRelease(size) => {
            let ((base, off), src) = (address(cursor)?, after_comma(cursor, register)?);
            Insn::StoreRelease { size, base, off, src }
        }
        Form::Lock => {
            let (op, size) = atomic(cursor)?;
            let ((base, off), src) = (address(cursor)?, after_comma(cursor, register)?);
            Insn::Atomic { op, size, base, off, src }
        }
        Form::Jump(insn) => return aim(cursor, insn),
        Form::Branch(cond, width) => {
            let (dst, src) = (register(cursor)?, after_comma(cursor, operand)?);
            cursor.expect(",")?;
            return aim(cursor, Insn::Branch { cond, width, dst, src, off: 0 });
        }
    };
    Ok(Statement::new(insn))
}

/// `fetch add32` and the like.
fn atomic(cursor: &mut Cursor<'_>) -> Parsed<(AtomicOp, Size)> {
    let fetch = cursor.eat_word("fetch");
    let start = *cursor;
    let word = cursor.word().unwrap_or_default();
    for op in AtomicOp::ALL {
        let exchange = matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg);
        if !exchange && op.fetches() != fetch {
            continue;
        }
        match word.strip_prefix(op.name()) {
            Some("" | "64") => return Ok((op, Size::DW)),
            Some("32") => return Ok((op, Size::W)),
            _ => {}
        }
    }
    Err(start.expected("add, or, and, xor, xchg or cmpxchg"))
}

fn after_comma<'a, T>(
    cursor: &mut Cursor<'a>,
    parse: impl FnOnce(&mut Cursor<'a>) -> Parsed<T>,
) -> Parsed<T> {
    cursor.expect(",")?;
    parse(cursor)
}

fn register(cursor: &mut Cursor<'_>) -> Parsed<Reg> {
    let start = *cursor;
    cursor.eat("%");
    cursor.register(Width::W64).map_err(|_| start.expected("a register, %r0 to %r10"))
}

fn operand(cursor: &mut Cursor<'_>) -> Parsed<Operand> {
    if cursor.peek("%") || cursor.clone().any_register().is_some() {
        return register(cursor).map(Operand::Reg);
    }
    cursor.imm32().map(Operand::Imm)
}

/// `[%r10-8]`.
fn address(cursor: &mut Cursor<'_>) -> Parsed<(Reg, i16)> {
    cursor.expect("[")?;
    let base = register(cursor)?;
    let off = match cursor.peek("]") {
        true => 0,
        false => cursor.ranged("an offset", i16::MIN.into(), i16::MAX.into())? as i16,
    };
    cursor.expect("]")?;
    Ok((base, off))
}
