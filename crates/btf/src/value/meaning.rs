//! What a number stands for where its C type does not say it.
//!
//! `__be32` and its like are numbers in network order. An unsigned 32-bit number
//! is an IPv4 address if it is a `struct in_addr`, or if its member's name says so.

use crate::layout::MAX_CHAIN;
use crate::{Btf, BtfError, Kind, Type};

/// How the bytes of a value are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// As their C type says.
    Plain,
    /// As a number in network order.
    Network,
    /// As an IPv4 address: 4 bytes in network order.
    Ipv4,
    /// As an IPv6 address: 16 bytes in network order.
    Ipv6,
    /// As a hardware address: 6 bytes.
    Mac,
}

impl Meaning {
    /// The meaning of a value of the type that is the member called `name`.
    pub fn of(btf: &Btf, id: u32, name: &str) -> Result<Meaning, BtfError> {
        if let Some(meaning) = by_type(btf, id)? {
            let is_address =
                meaning == Meaning::Network && is_4_bytes(btf, id) && names_an_address(name);
            return Ok(if is_address { Meaning::Ipv4 } else { meaning });
        }
        let resolved = btf.resolve_modifiers(id)?;
        Ok(match btf.type_by_id(resolved)? {
            Type::Int(int) if int.size == 4 && !int.is_signed() && names_an_address(name) => {
                Meaning::Ipv4
            }
            Type::Array(array) => {
                let size = btf.size_of(resolved).unwrap_or(0);
                let element = btf.size_of(array.element).unwrap_or(0);
                let whole_numbers =
                    btf.kind_of(btf.resolve_modifiers(array.element)?) == Some(Kind::Int);
                match (size, element) {
                    (16, 1 | 2 | 4 | 8) if whole_numbers && names_an_address(name) => Meaning::Ipv6,
                    (6, 1) if names_hardware(name) => Meaning::Mac,
                    _ => Meaning::Plain,
                }
            }
            _ => Meaning::Plain,
        })
    }
}

/// What the names of the type and of its typedefs say.
fn by_type(btf: &Btf, id: u32) -> Result<Option<Meaning>, BtfError> {
    let mut at = id;
    for _ in 0..MAX_CHAIN {
        let ty = btf.type_by_id(at)?;
        let size = || btf.size_of(at).unwrap_or(0);
        match (ty, ty.name()) {
            (Type::Typedef { .. }, "__be16" | "__be32" | "__be64") => {
                return Ok(Some(Meaning::Network));
            }
            (Type::Struct(_), "in_addr") if size() == 4 => return Ok(Some(Meaning::Ipv4)),
            (Type::Struct(_), "in6_addr") if size() == 16 => return Ok(Some(Meaning::Ipv6)),
            (
                Type::Typedef { target, .. }
                | Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. },
                _,
            ) => at = target,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

fn is_4_bytes(btf: &Btf, id: u32) -> bool {
    btf.size_of(id) == Ok(4)
}

/// `saddr`, `dst_ip`, `remote_ip4`, `addr`: one of the words is `ip` or ends in `addr`.
fn names_an_address(name: &str) -> bool {
    let is_address = |word: &str| {
        matches!(word, "ip" | "ip4" | "ip6" | "ipv4" | "ipv6" | "srcip" | "dstip")
            || word.ends_with("addr")
    };
    name.to_ascii_lowercase().split('_').any(is_address)
}

/// `mac`, `h_dest`, `h_source`, `src_mac`, `hwaddr`.
fn names_hardware(name: &str) -> bool {
    let is_hardware = |word: &str| {
        matches!(word, "mac" | "smac" | "dmac" | "eth" | "dest" | "source")
            || word.ends_with("addr")
    };
    name.to_ascii_lowercase().split('_').any(is_hardware)
}
