//! The bodies of structs, unions and enums.
//!
//! A C compiler's layout is followed bit by bit: where it would put a member
//! earlier than BTF says, unnamed bitfields fill the gap. They never change an
//! alignment in the ABIs that Linux has BPF for, so the result is the same
//! with gcc and clang.

use super::names::{c_name, is_builtin_typedef};
use super::{MAX_DEPTH, Printer, keyword};
use crate::{BtfError, Composite, Enum, Kind, Type};

impl Printer<'_> {
    /// `struct name { ... }` and its attributes.
    pub(super) fn composite(
        &mut self,
        id: u32,
        indent: usize,
        depth: u32,
    ) -> Result<String, BtfError> {
        let ty = self.btf.type_by_id(id)?;
        let Some(composite) = ty.composite() else {
            return Ok(String::new());
        };
        let mut text = match composite.name {
            "" => keyword(ty.kind()).to_string(),
            _ => self.tag(id)?,
        };
        text.push_str(" {");
        match ty.kind() {
            Kind::Struct => self.struct_members(id, &composite, indent + 1, depth, &mut text)?,
            _ => self.union_members(id, &composite, indent + 1, depth, &mut text)?,
        }
        if !text.ends_with('{') {
            new_line(&mut text, indent);
        }
        text.push('}');
        if self.shapes.of(id)?.packed {
            text.push_str(" __attribute__((packed))");
        }
        self.spend(id, text.len() as u64)?;
        Ok(text)
    }

    fn struct_members(
        &mut self,
        id: u32,
        composite: &Composite<'_>,
        indent: usize,
        depth: u32,
        text: &mut String,
    ) -> Result<(), BtfError> {
        let shape = self.shapes.of(id)?;
        // The first bit that the compiler has not used.
        let mut at: u64 = 0;
        for member in composite.members.iter() {
            let bitfield = self.btf.bitfield(&member)?;
            let (wanted, natural, end) = match bitfield {
                Some(bits) => {
                    let last = at + u64::from(bits.size).saturating_sub(1);
                    let natural = match shape.packed || bits.unit(at) == bits.unit(last) {
                        true => at,
                        false => at.next_multiple_of(bits.type_bits.max(1).into()),
                    };
                    (bits.offset, natural, bits.end())
                }
                None => {
                    let align = match shape.packed {
                        true => 1,
                        false => self.shapes.member_align(&member)?,
                    };
                    // What has no size (a declared struct, a function) takes no room.
                    let size = self.btf.size_of(member.type_id).unwrap_or(0);
                    let offset = u64::from(member.bit_offset);
                    let natural = at.next_multiple_of(8 * u64::from(align));
                    (offset, natural, offset + 8 * size)
                }
            };
            if natural < wanted {
                self.padding(id, at, wanted, indent, text)?;
            }
            new_line(text, indent);
            let type_id = self.embedded(member.type_id)?;
            let declared = self.declare(type_id, member_name(member.name), indent, depth)?;
            text.push_str(&declared);
            if let Some(bits) = bitfield {
                text.push_str(&format!(": {}", bits.size));
            }
            text.push(';');
            at = end;
        }
        let end = 8 * u64::from(composite.size);
        if at.next_multiple_of(8 * u64::from(shape.align)) < end {
            self.padding(id, at, end, indent, text)?;
        }
        Ok(())
    }

    fn union_members(
        &mut self,
        id: u32,
        composite: &Composite<'_>,
        indent: usize,
        depth: u32,
        text: &mut String,
    ) -> Result<(), BtfError> {
        let mut widest = 0;
        for member in composite.members.iter() {
            new_line(text, indent);
            let type_id = self.embedded(member.type_id)?;
            let declared = self.declare(type_id, member_name(member.name), indent, depth)?;
            text.push_str(&declared);
            match self.btf.bitfield(&member)? {
                Some(bits) => {
                    text.push_str(&format!(": {}", bits.size));
                    widest = widest.max(u64::from(bits.size).div_ceil(8));
                }
                None => widest = widest.max(self.btf.size_of(member.type_id).unwrap_or(0)),
            }
            text.push(';');
        }
        let align = self.shapes.of(id)?.align;
        if widest.next_multiple_of(align.into()) < composite.size.into() {
            // No bitfield is wide enough, but a struct of them is.
            new_line(text, indent);
            text.push_str("struct {");
            self.padding(id, 0, 8 * u64::from(composite.size), indent + 1, text)?;
            new_line(text, indent);
            text.push_str("};");
        }
        Ok(())
    }

    /// What to declare a member as: of its type, but for compilers' own `va_list`, which
    /// has another size for BPF than in the kernel, where it is an array of a struct.
    fn embedded(&self, id: u32) -> Result<u32, BtfError> {
        let mut at = id;
        for _ in 0..MAX_DEPTH {
            match self.btf.type_by_id(at)? {
                Type::Typedef { name, target } if is_builtin_typedef(name) => return Ok(target),
                Type::Typedef { target, .. } => at = target,
                _ => break,
            }
        }
        Ok(id)
    }

    /// Unnamed bitfields from one bit to another, each within a unit of its type.
    fn padding(
        &mut self,
        id: u32,
        from: u64,
        to: u64,
        indent: usize,
        text: &mut String,
    ) -> Result<(), BtfError> {
        let widest = match self.btf.pointer_size() {
            8 => "long",
            _ => "long long",
        };
        let types = [(8, "char"), (16, "short"), (32, "int"), (64, widest)];
        let mut at = from;
        while at < to {
            let bits = (to - at).min(64 - at % 64);
            let fits = |unit: u64| at / unit == (at + bits - 1) / unit;
            let name = types.iter().find(|row| fits(row.0)).map_or(widest, |row| row.1);
            new_line(text, indent);
            text.push_str(&format!("{name}: {bits};"));
            self.spend(id, 16)?;
            at += bits;
        }
        Ok(())
    }

    /// `enum name { ... }` and its attributes.
    pub(super) fn enumeration(&mut self, id: u32, view: &Enum<'_>, indent: usize) -> String {
        let is_wide = matches!(self.btf.type_by_id(id), Ok(Type::Enum64(_)));
        let mut text = match view.name {
            "" => "enum".to_string(),
            name => format!("enum {}", self.names.tag_of(id, "enum", name)),
        };
        if view.enumerators.is_empty() {
            return text;
        }
        text.push_str(" {");
        let mut needs_64_bits = false;
        for enumerator in view.enumerators.iter() {
            let (name, value) = (self.names.identifier(enumerator.name), enumerator.value);
            new_line(&mut text, indent + 1);
            text.push_str(&match (view.signed, is_wide) {
                (true, false) => format!("{name} = {},", value as i64),
                // C has no literal for the least number.
                (true, true) if value == 1 << 63 => format!("{name} = (-{}LL - 1),", i64::MAX),
                (true, true) => format!("{name} = {}LL,", value as i64),
                (false, false) => format!("{name} = {value},"),
                (false, true) => format!("{name} = {value}ULL,"),
            });
            needs_64_bits |= match view.signed {
                true => i32::try_from(value as i64).is_err(),
                false => u32::try_from(value).is_err(),
            };
        }
        new_line(&mut text, indent);
        text.push('}');
        text.push_str(match view.size {
            1 => " __attribute__((mode(byte)))",
            2 => " __attribute__((mode(HI)))",
            8 if !needs_64_bits => " __attribute__((mode(DI)))",
            _ => "",
        });
        text
    }
}

fn new_line(text: &mut String, indent: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n('\t', indent));
}

fn member_name(name: &str) -> String {
    match name {
        "" => String::new(),
        name => c_name(name),
    }
}
