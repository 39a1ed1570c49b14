//! Words that the language knows: builtins, and names of types.

use super::kind::{Aggregate, Kind, Type};

/// Builtins without a number.
const BUILTINS: [&str; 17] = [
    "args",
    "ctx",
    "kstack",
    "nsecs",
    "pid",
    "tid",
    "ustack",
    "__builtin_comm",
    "__builtin_cpid",
    "__builtin_cpu",
    "__builtin_dw_ustack",
    "__builtin_elapsed",
    "__builtin_func",
    "__builtin_ncpus",
    "__builtin_probe",
    "__builtin_retval",
    "__builtin_usermode",
];

/// Whether a word is a builtin: no macro's parameter may have its name.
pub fn is_builtin(word: &str) -> bool {
    let numbered = |prefix: &str| {
        word.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    BUILTINS.contains(&word) || numbered("arg") || numbered("sarg")
}

/// The number of `argN`, if the word is one.
pub fn argument_number(word: &str) -> Option<u32> {
    let digits = word.strip_prefix("arg")?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain || digits.len() > 3 || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    digits.parse().ok().filter(|number| *number < 256)
}

/// The type that a word names.
pub fn type_of_word(word: &str) -> Option<Type> {
    let aggregate = |of| Some(Type::from(Kind::Aggregate(of)));
    let integer = |size, signed| Some(Type::int(size, signed));
    match word {
        "bool" => Some(Type::bool()),
        "int8" => integer(1, true),
        "int16" => integer(2, true),
        "int32" => integer(4, true),
        "int64" => integer(8, true),
        "uint8" => integer(1, false),
        "uint16" => integer(2, false),
        "uint32" => integer(4, false),
        "uint64" => integer(8, false),
        "void" => Some(Type::void()),
        "min_t" => aggregate(Aggregate::Min { signed: true }),
        "max_t" => aggregate(Aggregate::Max { signed: true }),
        "sum_t" => aggregate(Aggregate::Sum { signed: true }),
        "avg_t" => aggregate(Aggregate::Avg { signed: true }),
        "stats_t" => aggregate(Aggregate::Stats { signed: true }),
        "umin_t" => aggregate(Aggregate::Min { signed: false }),
        "umax_t" => aggregate(Aggregate::Max { signed: false }),
        "usum_t" => aggregate(Aggregate::Sum { signed: false }),
        "uavg_t" => aggregate(Aggregate::Avg { signed: false }),
        "ustats_t" => aggregate(Aggregate::Stats { signed: false }),
        "count_t" => aggregate(Aggregate::Count),
        "timestamp" => Some(Kind::Timestamp.into()),
        "macaddr_t" => Some(Kind::Mac.into()),
        "cgroup_path_t" => Some(Kind::CgroupPath.into()),
        "username_t" => Some(Kind::Username.into()),
        "string" => Some(Type::string(0)),
        "buffer" => Some(Kind::Buffer(0).into()),
        "inet" => Some(Kind::Inet(0).into()),
        _ => None,
    }
}
