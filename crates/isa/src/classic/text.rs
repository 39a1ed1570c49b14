//! Classic programs as text: `tcpdump -d` (a listing), `-dd` (C) and `-ddd` (decimal,
//! also with commas, as iptables takes it). All three are read back.

use std::fmt::Write;

use super::{Ancillary, CONDS, Cond, Filter, Insn, OPS, Op, Operand, Reg};
use crate::Size;

/// Why a text is no classic program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: expected {what}, found `{}`", found.escape_debug())]
pub struct TextError {
    /// Counted from 1.
    pub line: u32,
    /// What was expected.
    pub what: &'static str,
    /// What stands there.
    pub found: String,
}

/// A listing as `tcpdump -d` prints it, jump targets as indexes.
pub fn listing(filters: &[Filter]) -> String {
    let mut text = String::new();
    for (index, filter) in filters.iter().enumerate() {
        let (name, operand) = match filter.decode() {
            Some(insn) => (name(insn), operand(insn, index)),
            None => ("unimp", format!("{:#x}", filter.code)),
        };
        let _ = write!(text, "({index:03}) {name:<8} ");
        let _ = match filter.decode() {
            Some(Insn::Branch { jt, jf, .. }) => {
                let target = |skip: u8| index + 1 + usize::from(skip);
                writeln!(text, "{operand:<16} jt {}\tjf {}", target(jt), target(jf))
            }
            _ => writeln!(text, "{operand}"),
        };
    }
    text
}

/// Numbers as `tcpdump -ddd` prints them.
pub fn decimal(filters: &[Filter]) -> String {
    let mut text = format!("{}\n", filters.len());
    for Filter { code, jt, jf, k } in filters {
        let _ = writeln!(text, "{code} {jt} {jf} {k}");
    }
    text
}

/// A C initializer as `tcpdump -dd` prints it.
pub fn c_source(filters: &[Filter]) -> String {
    let mut text = String::new();
    for Filter { code, jt, jf, k } in filters {
        let _ = writeln!(text, "{{ {code:#x}, {jt}, {jf}, {k:#010x} }},");
    }
    text
}

fn name(insn: Insn) -> &'static str {
    match insn {
        Insn::LoadAbs { size, .. }
        | Insn::LoadInd { size, .. }
        | Insn::LoadAncillary { size, .. } => load_name(size),
        Insn::LoadLen(Reg::A) | Insn::LoadImm(Reg::A, _) | Insn::LoadMem(Reg::A, _) => "ld",
        Insn::LoadLen(Reg::X) | Insn::LoadImm(Reg::X, _) | Insn::LoadMem(Reg::X, _) => "ldx",
        Insn::LoadHeaderLen { .. } => "ldxb",
        Insn::Store(Reg::A, _) => "st",
        Insn::Store(Reg::X, _) => "stx",
        Insn::Alu(op, _) => op_name(op),
        Insn::Neg => "neg",
        Insn::Ja(_) => "ja",
        Insn::Branch { cond, .. } => cond_name(cond),
        Insn::Tax => "tax",
        Insn::Txa => "txa",
        Insn::RetK(_) | Insn::RetA => "ret",
    }
}

fn load_name(size: Size) -> &'static str {
    match size {
        Size::B => "ldb",
        Size::H => "ldh",
        Size::W | Size::DW => "ld",
    }
}

fn op_name(op: Op) -> &'static str {
    match op {
        Op::Add => "add",
        Op::Sub => "sub",
        Op::Mul => "mul",
        Op::Div => "div",
        Op::Or => "or",
        Op::And => "and",
        Op::Lsh => "lsh",
        Op::Rsh => "rsh",
        Op::Mod => "mod",
        Op::Xor => "xor",
    }
}

fn cond_name(cond: Cond) -> &'static str {
    match cond {
        Cond::Eq => "jeq",
        Cond::Gt => "jgt",
        Cond::Ge => "jge",
        Cond::Set => "jset",
    }
}

fn operand(insn: Insn, index: usize) -> String {
    match insn {
        Insn::LoadAbs { offset, .. } => format!("[{offset}]"),
        Insn::LoadInd { offset, .. } => format!("[x + {offset}]"),
        Insn::LoadAncillary { what, .. } => format!("[{}]", what.name()),
        Insn::LoadLen(_) => "#pktlen".into(),
        Insn::LoadImm(_, k) => format!("#{k:#x}"),
        Insn::LoadMem(_, cell) | Insn::Store(_, cell) => format!("M[{}]", cell as i32),
        Insn::LoadHeaderLen { offset } => format!("4*([{offset}]&0xf)"),
        Insn::Alu(_, Operand::X) | Insn::Branch { src: Operand::X, .. } => "x".into(),
        Insn::Alu(Op::And | Op::Or | Op::Xor, Operand::K(k))
        | Insn::Branch { src: Operand::K(k), .. } => format!("#{k:#x}"),
        Insn::Alu(_, Operand::K(k)) | Insn::RetK(k) => format!("#{}", k as i32),
        Insn::Ja(off) => (index as i32 + 1).wrapping_add(off as i32).to_string(),
        Insn::Neg | Insn::Tax | Insn::Txa | Insn::RetA => String::new(),
    }
}

/// Reads any of the three forms.
///
/// # Errors
/// The first line that is none of them.
pub fn parse(text: &str) -> Result<Vec<Filter>, TextError> {
    match text.trim_start().chars().next() {
        Some('(') => parse_listing(text),
        Some('{') => parse_numbers(text, "`{ code, jt, jf, k },`"),
        _ => parse_decimal(text),
    }
}

fn parse_decimal(text: &str) -> Result<Vec<Filter>, TextError> {
    // The count and each instruction stand on a line of their own, or before a comma.
    let first = text.trim_start().split(['\n', ',']).next().unwrap_or_default().trim();
    let rest = text.trim_start()[first.len()..].trim_start_matches([' ', '\t', '\r', ',']);
    let mistake = |found: String| TextError { line: 1, what: "the number of instructions", found };
    let count: usize = first.parse().map_err(|_| mistake(first.into()))?;
    let filters = parse_numbers(rest, "`code jt jf k`")?;
    if filters.len() != count {
        return Err(mistake(format!("{first}, with {} instructions", filters.len())));
    }
    Ok(filters)
}

fn parse_numbers(text: &str, what: &'static str) -> Result<Vec<Filter>, TextError> {
    let mut filters = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let fields: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || "{},".contains(c))
            .filter(|field| !field.is_empty())
            .collect();
        let mut groups = fields.chunks_exact(4);
        for group in groups.by_ref() {
            let filter = filter(group);
            let mistake = || TextError { line: number, what, found: group.join(" ") };
            filters.push(filter.ok_or_else(mistake)?);
        }
        if !groups.remainder().is_empty() {
            return Err(TextError { line: number, what, found: groups.remainder().join(" ") });
        }
    }
    Ok(filters)
}

fn filter(fields: &[&str]) -> Option<Filter> {
    let [code, jt, jf, k] = fields else { return None };
    Some(Filter {
        code: integer(code)?.try_into().ok()?,
        jt: integer(jt)?.try_into().ok()?,
        jf: integer(jf)?.try_into().ok()?,
        k: integer(k)?,
    })
}

fn parse_listing(text: &str) -> Result<Vec<Filter>, TextError> {
    let mut filters = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mistake = |what, found: &str| TextError { line: number, what, found: found.into() };
        let Some((index, rest)) = line.trim().split_once(')') else {
            match line.trim() {
                "" => continue,
                found => return Err(mistake("`(index) instruction`", found)),
            }
        };
        let index: Option<usize> = index.strip_prefix('(').and_then(|index| index.parse().ok());
        if index != Some(filters.len()) {
            return Err(mistake("the index of the instruction in parentheses", line.trim()));
        }
        let insn = statement(rest, filters.len());
        filters.push(insn.ok_or_else(|| mistake("an instruction", rest.trim()))?.encode());
    }
    Ok(filters)
}

/// `jeq #0x800 jt 9 jf 19` and the like, at this index.
fn statement(text: &str, index: usize) -> Option<Insn> {
    let mut words = text.split_whitespace();
    let name = words.next()?;
    let words: Vec<&str> = words.collect();
    let (operand, targets) = match words.iter().position(|&word| word == "jt") {
        Some(at) => words.split_at(at),
        None => (&words[..], &[][..]),
    };
    // `[x + 14]` has blanks within.
    let operand = operand.concat();
    let cond = CONDS.iter().find(|row| cond_name(row.1) == name);
    if let Some(&(_, cond)) = cond {
        let ["jt", jt, "jf", jf] = targets else { return None };
        let skip =
            |target: &str| target.parse::<usize>().ok()?.checked_sub(index + 1)?.try_into().ok();
        return Some(Insn::Branch { cond, src: source(&operand)?, jt: skip(jt)?, jf: skip(jf)? });
    }
    if !targets.is_empty() {
        return None;
    }
    if let Some(&(_, op)) = OPS.iter().find(|row| op_name(row.1) == name) {
        return Some(Insn::Alu(op, source(&operand)?));
    }
    Some(match (name, operand.as_str()) {
        ("ld", operand) => load(Size::W, operand).or_else(|| plain_load(Reg::A, operand))?,
        ("ldh", operand) => load(Size::H, operand)?,
        ("ldb", operand) => load(Size::B, operand)?,
        ("ldx", operand) => plain_load(Reg::X, operand)?,
        ("ldxb", operand) => {
            let offset = operand.strip_prefix("4*([")?.strip_suffix("]&0xf)")?;
            Insn::LoadHeaderLen { offset: integer(offset)? as i32 }
        }
        ("st", operand) => Insn::Store(Reg::A, cell(operand)?),
        ("stx", operand) => Insn::Store(Reg::X, cell(operand)?),
        ("ja", target) => Insn::Ja(integer(target)?.wrapping_sub(u32::try_from(index + 1).ok()?)),
        ("ret", "" | "a") => Insn::RetA,
        ("ret", constant) => Insn::RetK(integer(constant.strip_prefix('#')?)?),
        ("neg", "") => Insn::Neg,
        ("tax", "") => Insn::Tax,
        ("txa", "") => Insn::Txa,
        _ => return None,
    })
}

/// `[14]`, `[x+14]`, `[vlan_tci]`.
fn load(size: Size, operand: &str) -> Option<Insn> {
    let place = operand.strip_prefix('[')?.strip_suffix(']')?;
    if let Some(offset) = place.strip_prefix("x+") {
        return Some(Insn::LoadInd { size, offset: integer(offset)? as i32 });
    }
    if let Some(what) = Ancillary::ALL.into_iter().find(|what| what.name() == place) {
        return Some(Insn::LoadAncillary { size, what });
    }
    Filter { k: integer(place)?, ..Insn::LoadAbs { size, offset: 0 }.encode() }.decode()
}

/// `#pktlen`, `#0x5`, `M[3]`.
fn plain_load(reg: Reg, operand: &str) -> Option<Insn> {
    match operand.strip_prefix('#') {
        Some("pktlen") => Some(Insn::LoadLen(reg)),
        Some(constant) => Some(Insn::LoadImm(reg, integer(constant)?)),
        None => Some(Insn::LoadMem(reg, cell(operand)?)),
    }
}

/// `x`, `#0x5`.
fn source(operand: &str) -> Option<Operand> {
    match operand {
        "x" => Some(Operand::X),
        _ => Some(Operand::K(integer(operand.strip_prefix('#')?)?)),
    }
}

/// `M[3]`.
fn cell(operand: &str) -> Option<u32> {
    integer(operand.strip_prefix("M[")?.strip_suffix(']')?)
}

/// A number of 32 bits, signed or unsigned.
fn integer(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    match text.starts_with('-') {
        true => text.parse::<i32>().ok().map(|value| value as u32),
        false => text.parse().ok(),
    }
}
