//! The raw dump: one line for each type, in the form of `bpftool btf dump`.

use std::io::{self, Write};

use crate::{Btf, Enum, FuncLinkage, Int, Type, VarLinkage};

/// Writes all types; of a split BTF its own only.
pub fn write_raw(btf: &Btf, out: &mut dyn Write) -> io::Result<()> {
    btf.types().try_for_each(|(id, ty)| write_type(btf, id, &ty, out))
}

/// Writes these types alone.
pub fn write_types(btf: &Btf, ids: &[u32], out: &mut dyn Write) -> io::Result<()> {
    let each = |&id: &u32| match btf.type_by_id(id) {
        Ok(ty) => write_type(btf, id, &ty, out),
        Err(error) => Err(io::Error::other(error)),
    };
    ids.iter().try_for_each(each)
}

/// Writes one type: its line, and a line for each of its members.
pub fn write_type(btf: &Btf, id: u32, ty: &Type<'_>, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "[{id}] {} '{}'", ty.kind().dump_name(), shown(ty.name()))?;
    match *ty {
        Type::Void => {}
        Type::Int(int) => write!(
            out,
            " size={} bits_offset={} nr_bits={} encoding={}",
            int.size,
            int.bit_offset,
            int.bits,
            encoding(int.encoding),
        )?,
        Type::Ptr { target }
        | Type::Typedef { target, .. }
        | Type::Volatile { target }
        | Type::Const { target }
        | Type::Restrict { target }
        | Type::TypeTag { target, .. } => write!(out, " type_id={target}")?,
        Type::Array(array) => write!(
            out,
            " type_id={} index_type_id={} nr_elems={}",
            array.element, array.index, array.len,
        )?,
        Type::Struct(composite) | Type::Union(composite) => {
            write!(out, " size={} vlen={}", composite.size, composite.members.len())?;
            for member in composite.members.iter() {
                write!(
                    out,
                    "\n\t'{}' type_id={} bits_offset={}",
                    shown(member.name),
                    member.type_id,
                    member.bit_offset,
                )?;
                if member.bitfield_size != 0 {
                    write!(out, " bitfield_size={}", member.bitfield_size)?;
                }
            }
        }
        Type::Enum(view) => write_enum(&view, ["", ""], out)?,
        Type::Enum64(view) => write_enum(&view, ["LL", "ULL"], out)?,
        Type::Fwd { is_union, .. } => {
            write!(out, " fwd_kind={}", if is_union { "union" } else { "struct" })?;
        }
        Type::Func { proto, linkage, .. } => {
            write!(out, " type_id={proto} linkage={}", func_linkage(linkage))?;
        }
        Type::FuncProto(proto) => {
            write!(out, " ret_type_id={} vlen={}", proto.ret, proto.params.len())?;
            for param in proto.params.iter() {
                write!(out, "\n\t'{}' type_id={}", shown(param.name), param.type_id)?;
            }
        }
        Type::Var { target, linkage, .. } => {
            write!(out, " type_id={target}, linkage={}", var_linkage(linkage))?;
        }
        Type::DataSec(section) => {
            write!(out, " size={} vlen={}", section.size, section.vars.len())?;
            for var in section.vars.iter() {
                write!(out, "\n\ttype_id={} offset={} size={}", var.type_id, var.offset, var.size,)?;
                if let Ok(of) = btf.type_by_id(var.type_id) {
                    write!(out, " ({} '{}')", of.kind().dump_name(), shown(of.name()))?;
                }
            }
        }
        Type::Float { size, .. } => write!(out, " size={size}")?,
        Type::DeclTag { target, component, .. } => {
            write!(out, " type_id={target} component_idx={component}")?
        }
    }
    writeln!(out)
}

/// `suffixes` follow signed and unsigned values.
fn write_enum(view: &Enum<'_>, suffixes: [&str; 2], out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        " encoding={} size={} vlen={}",
        if view.signed { "SIGNED" } else { "UNSIGNED" },
        view.size,
        view.enumerators.len(),
    )?;
    for enumerator in view.enumerators.iter() {
        let (name, value) = (shown(enumerator.name), enumerator.value);
        match view.signed {
            true => write!(out, "\n\t'{name}' val={}{}", value as i64, suffixes[0])?,
            false => write!(out, "\n\t'{name}' val={value}{}", suffixes[1])?,
        }
    }
    Ok(())
}

fn shown(name: &str) -> &str {
    match name {
        "" => "(anon)",
        name => name,
    }
}

fn encoding(encoding: u8) -> &'static str {
    match encoding {
        0 => "(none)",
        Int::SIGNED => "SIGNED",
        Int::CHAR => "CHAR",
        Int::BOOL => "BOOL",
        _ => "UNKN",
    }
}

fn func_linkage(linkage: FuncLinkage) -> &'static str {
    match linkage {
        FuncLinkage::Static => "static",
        FuncLinkage::Global => "global",
        FuncLinkage::Extern => "extern",
        FuncLinkage::Unknown(_) => "(unknown)",
    }
}

fn var_linkage(linkage: VarLinkage) -> &'static str {
    match linkage {
        VarLinkage::Static => "static",
        VarLinkage::Global => "global",
        VarLinkage::Extern => "extern",
        VarLinkage::Unknown(_) => "(unknown)",
    }
}
