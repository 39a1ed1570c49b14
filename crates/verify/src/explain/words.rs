//! What is known of a value, in plain words.

use crate::checker::Checker;
use crate::domain::Scalar64;
use crate::reg::{Kind, Reg};

impl Checker<'_> {
    /// `a number from 0 to 65535`, `a pointer to a value of map counts (8 bytes), which
    /// may be null`.
    pub(crate) fn in_words(&self, reg: &Reg) -> String {
        let mut text = match reg.kind {
            Kind::Uninit => return "not written to on this path".into(),
            Kind::Scalar => return number(&reg.value),
            Kind::Stack { .. } => format!("a pointer to the stack, {}", frame_offset(reg)),
            Kind::Ctx => format!("the context{}", at_offset(reg)),
            Kind::MapPtr { map, .. } => format!("the map {}", self.map_name(map)),
            Kind::MapValue { map, .. } => {
                let def = &self.code.maps[usize::from(map)].def;
                let (name, size) = (self.map_name(map), bytes(def.value_size.into()));
                format!("a pointer into a value of map {name} ({size}){}", at_offset(reg))
            }
            Kind::MapKey { map } => {
                format!("a pointer to a key of map {}{}", self.map_name(map), at_offset(reg))
            }
            Kind::Packet { .. } | Kind::PacketMeta { .. } => {
                let what = match reg.kind {
                    Kind::Packet { .. } => "the packet",
                    _ => "the packet's metadata",
                };
                let checked = match reg.range() {
                    0 => "no byte of it was compared with its end".to_owned(),
                    range if range < 0 => "and it is at the end".to_owned(),
                    range => {
                        format!("{} from its start are known to be there", bytes(range.into()))
                    }
                };
                format!("a pointer into {what}{}; {checked}", at_offset(reg))
            }
            Kind::PacketEnd => "the end of the packet".into(),
            Kind::Mem { size, .. } => {
                format!("a pointer to {} of memory{}", bytes(size.into()), at_offset(reg))
            }
            Kind::Btf { btf, id } => {
                format!(
                    "a pointer to the kernel's struct {}{}",
                    self.type_name(btf, id),
                    at_offset(reg)
                )
            }
            Kind::Func { subprog } => {
                format!("the function {}", self.subprog_name(subprog as usize))
            }
            _ => format!("of the kind {}{}", reg.type_name(), at_offset(reg)),
        };
        if reg.maybe_null() {
            text += ", or NULL: it was not compared with NULL";
        }
        text
    }

    fn map_name(&self, map: u16) -> &str {
        &self.code.maps[usize::from(map)].def.name
    }
}

/// `a number from 0 to 65535`.
pub(crate) fn number(value: &Scalar64) -> String {
    if let Some(constant) = value.as_constant() {
        return format!("the number {}", constant as i64);
    }
    let step = match value.tnum.value.0.trailing_zeros().min(value.tnum.mask.0.trailing_zeros()) {
        0 => String::new(),
        zeros => format!(", a multiple of {}", 1u64 << zeros.min(63)),
    };
    match range(value) {
        Some((min, max)) => format!("a number from {min} to {max}{step}"),
        None => format!("any number{step}"),
    }
}

/// The tighter of the signed and the unsigned range, if there is one.
pub(crate) fn range(value: &Scalar64) -> Option<(i128, i128)> {
    let unsigned = (i128::from(value.umin()), i128::from(value.umax()));
    let signed = (i128::from(value.smin()), i128::from(value.smax()));
    let width = |(min, max): (i128, i128)| max - min;
    let tighter = if width(signed) < width(unsigned) { signed } else { unsigned };
    (width(tighter) < i128::from(u64::MAX)).then_some(tighter)
}

/// `, at offset 4`, `, at an offset from 4 to 19`, or nothing at offset 0.
fn at_offset(reg: &Reg) -> String {
    let fixed = i128::from(reg.off);
    match (reg.value.as_constant(), range(&reg.value)) {
        (Some(variable), _) => match fixed + i128::from(variable as i64) {
            0 => String::new(),
            offset => format!(", at offset {offset}"),
        },
        (None, Some((min, max))) => {
            format!(", at an offset from {} to {}", min + fixed, max + fixed)
        }
        (None, None) => ", at an unknown offset".into(),
    }
}

fn frame_offset(reg: &Reg) -> String {
    let fixed = i128::from(reg.off);
    match (reg.value.as_constant(), range(&reg.value)) {
        (Some(variable), _) => format!("fp{:+}", fixed + i128::from(variable as i64)),
        (None, Some((min, max))) => format!("fp{:+} to fp{:+}", min + fixed, max + fixed),
        (None, None) => "at an unknown offset".into(),
    }
}

fn bytes(count: i64) -> String {
    if count == 1 { "1 byte".into() } else { format!("{count} bytes") }
}
