//! What a call can name: a helper by number or name, a subprogram by distance or
//! label, a kernel function by BTF id, a register.

use skep_abi::Helper;

use super::cursor::{Cursor, Parsed};
use super::{Statement, aim};
use crate::{Callee, Insn, Width};

/// Reads what follows `call`. A plain name is a label, a helper or a function
/// elsewhere: which one shows when all labels are known.
pub(super) fn parse<'a>(cursor: &mut Cursor<'a>) -> Parsed<Statement<'a>> {
    let local = Insn::Call(Callee::Local(-1));
    let callee = if cursor.eat("%") {
        Callee::Register(cursor.register(Width::W64)?)
    } else if cursor.peek("+") || cursor.peek("-") {
        return aim(cursor, local);
    } else {
        let mut next = *cursor;
        let callee = match next.word() {
            None => Callee::Helper(next.ranged("a function", 0, u32::MAX.into())? as u32),
            Some("local") if !next.at_end() => {
                *cursor = next;
                return aim(cursor, local);
            }
            Some("helper") if !next.at_end() => {
                Callee::Helper(next.ranged("a helper's number", 0, u32::MAX.into())? as u32)
            }
            Some("runtime") if !next.at_end() => {
                let btf_id = id(&mut next)?;
                let module = if next.eat(",") { module(&mut next)? } else { 0 };
                Callee::Kfunc { btf_id, module }
            }
            Some("kernel") if next.eat_adjacent("-function#") => {
                let btf_id = id(&mut next)?;
                let module = if next.eat_word("module") { module(&mut next)? } else { 0 };
                Callee::Kfunc { btf_id, module }
            }
            Some(name) if name != "pc" && next.eat_adjacent("#") => numbered(name, id(&mut next)?),
            _ => {
                let statement = aim(cursor, local)?;
                // bpftool adds the name: `call pc+5#NAME`.
                if cursor.eat_adjacent("#") {
                    cursor.word();
                }
                return Ok(statement);
            }
        };
        *cursor = next;
        callee
    };
    cursor.annotation();
    Ok(Statement::new(Insn::Call(callee)))
}

/// Linux's `NAME#ID`: a helper if that is the helper's number, else a kernel function.
fn numbered(name: &str, id: i32) -> Callee {
    let helper = Helper::from_name(name).is_some_and(|helper| helper.id == id as u32);
    if helper || name == "unknown" || (name, id) == ("bpf_unspec", 0) {
        Callee::Helper(id as u32)
    } else {
        Callee::Kfunc { btf_id: id, module: 0 }
    }
}

fn id(cursor: &mut Cursor<'_>) -> Parsed<i32> {
    Ok(cursor.ranged("a number", i32::MIN.into(), i32::MAX.into())? as i32)
}

fn module(cursor: &mut Cursor<'_>) -> Parsed<i16> {
    Ok(cursor.ranged("an index into fd_array", i16::MIN.into(), i16::MAX.into())? as i16)
}
