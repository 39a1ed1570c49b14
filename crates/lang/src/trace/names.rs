//! How types are written, in messages and for `typeinfo`.

use super::ast::TypeName;
use super::kind::{Aggregate, Kind, Type};
use super::records::Records;

/// The word for a kind of type: `int`, `string`, `c_type`.
pub fn base(of: &Type) -> &'static str {
    match &of.kind {
        Kind::None => "none",
        Kind::Void => "void",
        Kind::Bool => "bool",
        Kind::Int { .. } => "int",
        Kind::String(_) => "string",
        Kind::Buffer(_) => "buffer",
        Kind::Pointer(_) => "pointer",
        Kind::Array(..) => "array",
        Kind::Record { .. } => "c_type",
        Kind::Tuple(_) => "tuple",
        Kind::Named(_) => "record",
        Kind::Stack(stack) if stack.kernel => "kstack",
        Kind::Stack(_) => "ustack",
        Kind::Inet(_) => "inet",
        Kind::Mac => "mac_address",
        Kind::Ksym => "ksym_t",
        Kind::Usym => "usym_t",
        Kind::Username => "username_t",
        Kind::CgroupPath => "cgroup_path_t",
        Kind::Timestamp => "timestamp",
        Kind::TimestampMode => "timestamp_mode",
        Kind::Aggregate(of) => aggregate(*of),
    }
}

fn aggregate(of: Aggregate) -> &'static str {
    match of {
        Aggregate::Count => "count_t",
        Aggregate::Sum { .. } => "sum_t",
        Aggregate::Min { .. } => "min_t",
        Aggregate::Max { .. } => "max_t",
        Aggregate::Avg { .. } => "avg_t",
        Aggregate::Stats { .. } => "stats_t",
        Aggregate::Hist => "hist_t",
        Aggregate::LHist => "lhist_t",
        Aggregate::TSeries => "tseries_t",
    }
}

/// A type in full: `uint64`, `string[16]`, `struct task_struct *`.
pub fn full(of: &Type, records: &Records) -> String {
    match &of.kind {
        Kind::Int { enumeration: Some(name), .. } => format!("enum {name}"),
        Kind::Int { size, signed, .. } => {
            let sign = if *signed { "int" } else { "uint" };
            format!("{sign}{}", u32::from(*size) * 8)
        }
        Kind::String(0) => "string".to_owned(),
        Kind::String(_) | Kind::Inet(_) | Kind::Buffer(_) => {
            format!("{}[{}]", base(of), of.size())
        }
        Kind::Pointer(to) => format!("{} *", full(to, records)),
        Kind::Array(of, count) => format!("{}[{count}]", full(of, records)),
        Kind::Record { id, name, .. } => match records.anonymous(*id) {
            false => (**name).to_owned(),
            true => {
                let kind = name.split(' ').next().unwrap_or("struct");
                let fields = &records.get(*id).fields;
                let parts: Vec<_> = fields.iter().map(|f| full(&f.of, records)).collect();
                format!("{kind} {{{}}}", parts.join(","))
            }
        },
        Kind::Tuple(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| full(part, records)).collect();
            format!("({})", parts.join(","))
        }
        Kind::Named(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|(name, part)| format!(".{name} = {}", full(part, records)))
                .collect();
            format!("record {{ {} }}", parts.join(", "))
        }
        Kind::Stack(stack) => {
            let letter = if stack.kernel { 'k' } else { 'u' };
            format!("{letter}stack_{}_{}", stack.mode.name(), stack.limit)
        }
        Kind::Aggregate(
            kind @ (Aggregate::Sum { .. }
            | Aggregate::Min { .. }
            | Aggregate::Max { .. }
            | Aggregate::Avg { .. }
            | Aggregate::Stats { .. }),
        ) => {
            let sign = if of.is_signed() { "" } else { "u" };
            format!("{sign}{}", aggregate(*kind))
        }
        _ => base(of).to_owned(),
    }
}

/// A type as it was written.
pub fn type_name(name: &TypeName) -> String {
    match name {
        TypeName::Plain(word) => (**word).to_owned(),
        TypeName::Struct(word) => format!("struct {word}"),
        TypeName::Union(word) => format!("union {word}"),
        TypeName::Enum(word) => format!("enum {word}"),
        TypeName::Pointer(of) => format!("{} *", type_name(of)),
        TypeName::Array(of, 0) => format!("{}[]", type_name(of)),
        TypeName::Array(of, count) => format!("{}[{count}]", type_name(of)),
    }
}
