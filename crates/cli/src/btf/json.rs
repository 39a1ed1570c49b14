//! Types as JSON, in the shape of `bpftool btf dump -j`: `{"types":[{"id":1,...},...]}`,
//! one at a time, since a kernel has some 150,000.

use std::io::{self, Write};

use serde_json::{Value, json};
use skep::btf::{Btf, Enum, FuncLinkage, Int, Type, VarLinkage};

/// Writes all types; of a split BTF its own only.
pub fn write(btf: &Btf, out: &mut dyn Write) -> io::Result<()> {
    write_some(btf, &[], out)
}

/// Writes these types; all of them if none is named.
pub fn write_some(btf: &Btf, ids: &[u32], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{\"types\":[")?;
    let wanted = |(id, _): &(u32, Type<'_>)| ids.is_empty() || ids.contains(id);
    for (index, (id, ty)) in btf.types().filter(wanted).enumerate() {
        if index > 0 {
            out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *out, &value(id, &ty))?;
    }
    out.write_all(b"]}\n")
}

fn value(id: u32, ty: &Type<'_>) -> Value {
    let mut value = json!({"id": id, "kind": ty.kind().dump_name(), "name": shown(ty.name())});
    let fields = match *ty {
        Type::Void => json!({}),
        Type::Int(int) => json!({
            "size": int.size,
            "bits_offset": int.bit_offset,
            "nr_bits": int.bits,
            "encoding": encoding(int.encoding),
        }),
        Type::Ptr { target }
        | Type::Typedef { target, .. }
        | Type::Volatile { target }
        | Type::Const { target }
        | Type::Restrict { target }
        | Type::TypeTag { target, .. } => json!({ "type_id": target }),
        Type::Array(array) => json!({
            "type_id": array.element,
            "index_type_id": array.index,
            "nr_elems": array.len,
        }),
        Type::Struct(composite) | Type::Union(composite) => {
            let member = |member: skep::btf::Member<'_>| {
                let mut value = json!({
                    "name": shown(member.name),
                    "type_id": member.type_id,
                    "bits_offset": member.bit_offset,
                });
                if member.bitfield_size != 0 {
                    value["bitfield_size"] = member.bitfield_size.into();
                }
                value
            };
            json!({
                "size": composite.size,
                "vlen": composite.members.len(),
                "members": composite.members.iter().map(member).collect::<Vec<_>>(),
            })
        }
        Type::Enum(view) | Type::Enum64(view) => enumeration(&view),
        Type::Fwd { is_union, .. } => {
            json!({"fwd_kind": if is_union { "union" } else { "struct" }})
        }
        Type::Func { proto, linkage, .. } => json!({
            "type_id": proto,
            "linkage": match linkage {
                FuncLinkage::Static => "static",
                FuncLinkage::Global => "global",
                FuncLinkage::Extern => "extern",
                FuncLinkage::Unknown(_) => "(unknown)",
            },
        }),
        Type::FuncProto(proto) => {
            let param = |param: skep::btf::Param<'_>| json!({"name": shown(param.name), "type_id": param.type_id});
            json!({
                "ret_type_id": proto.ret,
                "vlen": proto.params.len(),
                "params": proto.params.iter().map(param).collect::<Vec<_>>(),
            })
        }
        Type::Var { target, linkage, .. } => json!({
            "type_id": target,
            "linkage": match linkage {
                VarLinkage::Static => "static",
                VarLinkage::Global => "global",
                VarLinkage::Extern => "extern",
                VarLinkage::Unknown(_) => "(unknown)",
            },
        }),
        Type::DataSec(section) => {
            let var = |var: skep::btf::SecVar| json!({"type_id": var.type_id, "offset": var.offset, "size": var.size});
            json!({
                "size": section.size,
                "vlen": section.vars.len(),
                "vars": section.vars.iter().map(var).collect::<Vec<_>>(),
            })
        }
        Type::Float { size, .. } => json!({ "size": size }),
        Type::DeclTag { target, component, .. } => {
            json!({"type_id": target, "component_idx": component})
        }
    };
    if let (Value::Object(value), Value::Object(fields)) = (&mut value, fields) {
        value.extend(fields);
    }
    value
}

fn enumeration(view: &Enum<'_>) -> Value {
    let enumerator = |enumerator: skep::btf::Enumerator<'_>| {
        let value = match view.signed {
            true => json!(enumerator.value as i64),
            false => json!(enumerator.value),
        };
        json!({"name": shown(enumerator.name), "val": value})
    };
    json!({
        "encoding": if view.signed { "SIGNED" } else { "UNSIGNED" },
        "size": view.size,
        "vlen": view.enumerators.len(),
        "values": view.enumerators.iter().map(enumerator).collect::<Vec<_>>(),
    })
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
