//! BTF types as Rust types of the same size, with every field where it is there: plain data that
//! bytes are read as and written from (`zerocopy`), without padding that the compiler would put.
//!
//! Pointers are numbers, since they are the kernel's. Unions and bitfields are bytes with
//! functions that read and write a member. A structure that Rust could not lay out so (members
//! that overlap) is its bytes.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use skep_btf::{Bitfield, Btf, BtfError, Composite, Enum, Member, Type};

use super::names::{self, Taken};
use super::{Section, Variable};

/// How deep types may nest, and how many names may stand for one another.
const MAX_DEPTH: u32 = 64;

/// In front of every type.
const DERIVES: &str = "#[derive(Clone, Copy, Debug, skep::zerocopy::FromBytes, \
                       skep::zerocopy::IntoBytes, skep::zerocopy::Immutable)]\n\
                       #[zerocopy(crate = \"skep::zerocopy\")]\n\
                       #[allow(dead_code, missing_docs, non_camel_case_types, non_snake_case)]\n";

/// A type as Rust has it.
#[derive(Clone)]
pub(super) struct Spelt {
    pub name: String,
    /// In bytes.
    pub size: u64,
    align: u64,
}

impl Spelt {
    fn plain(name: impl Into<String>, size: u64) -> Spelt {
        Spelt { name: name.into(), size, align: size.clamp(1, 16) }
    }

    /// So many bytes.
    pub fn bytes(size: u64) -> Spelt {
        Spelt { name: format!("[u8; {size}]"), size, align: 1 }
    }
}

/// Definitions, each written once.
pub(super) struct Types<'a> {
    btf: &'a Btf,
    known: HashMap<u32, Spelt>,
    /// Those that are being written: meeting one again is a cycle.
    open: HashSet<u32>,
    pub taken: Taken,
    pub text: String,
}

/// A field of a structure.
struct Field {
    name: String,
    offset: u64,
    spelt: Spelt,
}

/// A member that is some bits of a field of bytes.
struct Bits {
    name: String,
    field: String,
    /// From the start of the field.
    bits: Bitfield,
    signed: bool,
}

/// What a structure consists of.
#[derive(Default)]
struct Layout {
    fields: Vec<Field>,
    bits: Vec<Bits>,
}

impl<'a> Types<'a> {
    pub fn new(btf: &'a Btf, taken: Taken) -> Types<'a> {
        Types { btf, known: HashMap::new(), open: HashSet::new(), taken, text: String::new() }
    }

    /// A type in Rust; types that it needs are defined. `hint` names what has no name.
    ///
    /// # Errors
    /// Types that are broken.
    pub fn spell(&mut self, id: u32, hint: &str) -> Result<Spelt, BtfError> {
        self.spell_at(id, hint, 0)
    }

    fn spell_at(&mut self, id: u32, hint: &str, depth: u32) -> Result<Spelt, BtfError> {
        let (mut at, mut hint) = (id, hint.to_owned());
        for _ in depth..MAX_DEPTH {
            match self.btf.type_by_id(at)? {
                Type::Typedef { name, target } => (at, hint) = (target, name.to_owned()),
                Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. } => at = target,
                Type::Array(array) => {
                    let of = self.spell_at(array.element, &hint, depth + 1)?;
                    let size = self.btf.size_of(at)?;
                    return Ok(Spelt { name: format!("[{}; {}]", of.name, array.len), size, ..of });
                }
                ty => return self.spell_end(at, &ty, &hint, depth),
            }
        }
        Err(BtfError::Nesting { id, limit: MAX_DEPTH })
    }

    fn spell_end(
        &mut self,
        id: u32,
        ty: &Type<'_>,
        hint: &str,
        depth: u32,
    ) -> Result<Spelt, BtfError> {
        Ok(match ty {
            Type::Int(int) => match (int.size, int.is_signed()) {
                (size @ (1 | 2 | 4 | 8 | 16), true) => {
                    Spelt::plain(format!("i{}", 8 * size), size.into())
                }
                (size @ (1 | 2 | 4 | 8 | 16), false) => {
                    Spelt::plain(format!("u{}", 8 * size), size.into())
                }
                (size, _) => Spelt::bytes(size.into()),
            },
            Type::Float { size: size @ (4 | 8), .. } => {
                Spelt::plain(format!("f{}", 8 * size), u64::from(*size))
            }
            Type::Float { size, .. } => Spelt::bytes((*size).into()),
            Type::Ptr { .. } => Spelt::plain("u64", 8),
            Type::Enum(view) | Type::Enum64(view) => self.enumeration(id, view, hint),
            Type::Struct(of) => self.defined(id, of, hint, depth, false)?,
            Type::Union(of) => self.defined(id, of, hint, depth, true)?,
            // What has no size stands for nothing.
            _ => Spelt::bytes(0),
        })
    }

    fn enumeration(&mut self, id: u32, view: &Enum<'_>, hint: &str) -> Spelt {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let sign = if view.signed { 'i' } else { 'u' };
        let bits = 8 * view.size;
        let number = match view.size {
            1 | 2 | 4 | 8 => format!("{sign}{bits}"),
            // An enumeration of which only the name is known.
            size => return Spelt::bytes(size.into()),
        };
        let name = if view.name.is_empty() { hint } else { view.name };
        let name = self.taken.take(names::rust(name));
        let _ = write!(
            self.text,
            "{DERIVES}#[derive(PartialEq, Eq)]\n#[repr(transparent)]\npub struct {name}(pub {number});\n\n\
             #[allow(dead_code, missing_docs, non_upper_case_globals)]\nimpl {name} {{\n"
        );
        let mut taken = Taken::default();
        for of in view.enumerators.iter() {
            let of_name = taken.take(names::rust(of.name));
            let shift = 64 - bits;
            let value = match view.signed {
                true => ((of.value << shift) as i64 >> shift).to_string(),
                false => (of.value << shift >> shift).to_string(),
            };
            let _ = writeln!(self.text, "    pub const {of_name}: {name} = {name}({value});");
        }
        self.text.push_str("}\n\n");
        let spelt = Spelt::plain(name, view.size.into());
        self.known.insert(id, spelt.clone());
        spelt
    }

    fn defined(
        &mut self,
        id: u32,
        of: &Composite<'_>,
        hint: &str,
        depth: u32,
        is_union: bool,
    ) -> Result<Spelt, BtfError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        if depth >= MAX_DEPTH || !self.open.insert(id) {
            return Err(BtfError::Nesting { id, limit: MAX_DEPTH });
        }
        let name = if of.name.is_empty() { hint } else { of.name };
        let name = self.taken.take(names::rust(name));
        let spelt = match is_union {
            true => self.union(&name, of, depth)?,
            false => match self.layout(&name, of, depth)? {
                Some(layout) => self.structure(&name, u64::from(of.size), layout),
                None => self.only_bytes(&name, u64::from(of.size)),
            },
        };
        self.open.remove(&id);
        self.known.insert(id, spelt.clone());
        Ok(spelt)
    }

    /// The structure of a section's variables.
    ///
    /// # Errors
    /// Types that are broken.
    pub fn section(&mut self, name: &str, section: &Section<'_>) -> Result<Spelt, BtfError> {
        let mut layout = Layout::default();
        let mut taken = Taken::default();
        let mut end = 0;
        for Variable { name: var, at, type_id, .. } in &section.vars {
            let spelt = self.spell(*type_id, &format!("{name}_{var}"))?;
            let offset = u64::from(at.offset);
            if offset < end || offset + spelt.size > u64::from(section.size) {
                return Ok(self.only_bytes(name, section.size.into()));
            }
            end = offset + spelt.size;
            layout.fields.push(Field { name: taken.take(names::rust(var)), offset, spelt });
        }
        Ok(self.structure(name, section.size.into(), layout))
    }

    /// Where the members of a structure are; `None` where they overlap.
    fn layout(
        &mut self,
        name: &str,
        of: &Composite<'_>,
        depth: u32,
    ) -> Result<Option<Layout>, BtfError> {
        let mut layout = Layout::default();
        let mut taken = Taken::default();
        // The first byte that no field has, and where the field of bits starts that is open.
        let (mut end, mut open): (u64, Option<u64>) = (0, None);
        for (index, member) in of.members.iter().enumerate() {
            let member_name = match member.name {
                "" => format!("anon_{index}"),
                name => name.to_owned(),
            };
            let offset = u64::from(member.bit_offset);
            if let Some(bits) = self.btf.bitfield(&member)? {
                let start = *open.get_or_insert(end);
                let last = (bits.offset + u64::from(bits.size)).div_ceil(8);
                if bits.offset < 8 * start || bits.size > 64 || last > of.size.into() {
                    return Ok(None);
                }
                end = end.max(last);
                let bits = Bitfield { offset: bits.offset - 8 * start, ..bits };
                // Unnamed ones are gaps.
                if !member.name.is_empty() {
                    layout.bits.push(Bits {
                        name: taken.take(names::plain(&member_name)),
                        field: format!("_bits_{start}"),
                        bits,
                        signed: self.is_signed(&member),
                    });
                }
                continue;
            }
            if let Some(start) = open.take() {
                let (name, spelt) = (format!("_bits_{start}"), Spelt::bytes(end - start));
                layout.fields.push(Field { name, offset: start, spelt });
            }
            let spelt =
                self.spell_at(member.type_id, &format!("{name}_{member_name}"), depth + 1)?;
            if !offset.is_multiple_of(8) || offset / 8 < end {
                return Ok(None);
            }
            end = offset / 8 + spelt.size;
            let name = taken.take(names::rust(&member_name));
            layout.fields.push(Field { name, offset: offset / 8, spelt });
        }
        if let Some(start) = open {
            let (name, spelt) = (format!("_bits_{start}"), Spelt::bytes(end - start));
            layout.fields.push(Field { name, offset: start, spelt });
        }
        Ok((end <= of.size.into()).then_some(layout))
    }

    fn is_signed(&self, member: &Member<'_>) -> bool {
        match self.btf.resolved(member.type_id) {
            Ok(Type::Int(int)) => int.is_signed(),
            Ok(Type::Enum(view) | Type::Enum64(view)) => view.signed,
            _ => false,
        }
    }

    /// Writes a structure; what lies between fields is fields, too.
    fn structure(&mut self, name: &str, size: u64, layout: Layout) -> Spelt {
        let aligns = layout.fields.iter().map(|field| field.spelt.align);
        let most = aligns.max().unwrap_or(1);
        let fits = |field: &Field| field.offset.is_multiple_of(field.spelt.align);
        let packed = !layout.fields.iter().all(fits) || !size.is_multiple_of(most);
        let repr = if packed { "C, packed" } else { "C" };
        let _ = write!(self.text, "{DERIVES}#[repr({repr})]\npub struct {name} {{\n");
        let mut at = 0;
        for field in &layout.fields {
            self.gap(at, field.offset);
            let _ = writeln!(self.text, "    pub {}: {},", field.name, field.spelt.name);
            at = field.offset + field.spelt.size;
        }
        self.gap(at, size);
        self.text.push_str("}\n\n");
        self.checks(name, size, &layout.fields);
        if !layout.bits.is_empty() {
            self.accessors(name, &layout.bits);
        }
        let align = if packed { 1 } else { most };
        Spelt { name: name.into(), size, align }
    }

    fn gap(&mut self, from: u64, to: u64) {
        if from < to {
            let _ = writeln!(self.text, "    pub _gap_{from}: [u8; {}],", to - from);
        }
    }

    /// What the compiler is to agree on.
    fn checks(&mut self, name: &str, size: u64, fields: &[Field]) {
        let _ = writeln!(self.text, "const _: () = {{");
        let _ = writeln!(self.text, "    assert!(::core::mem::size_of::<{name}>() == {size});");
        for Field { name: field, offset, .. } in fields {
            let _ = writeln!(
                self.text,
                "    assert!(::core::mem::offset_of!({name}, {field}) == {offset});"
            );
        }
        self.text.push_str("};\n\n");
    }

    fn only_bytes(&mut self, name: &str, size: u64) -> Spelt {
        let bytes = Spelt::bytes(size);
        let _ = write!(
            self.text,
            "{DERIVES}#[repr(C)]\npub struct {name} {{\n    pub bytes: {},\n}}\n\n",
            bytes.name
        );
        Spelt { name: name.into(), ..bytes }
    }

    fn accessors(&mut self, name: &str, bits: &[Bits]) {
        let _ = writeln!(self.text, "#[allow(dead_code, missing_docs, non_snake_case)]");
        let _ = writeln!(self.text, "impl {name} {{");
        for Bits { name, field, bits, signed } in bits {
            let (number, value) =
                if *signed { ("i64", "(value as u64)") } else { ("u64", "value") };
            let mask = match bits.size {
                64 => u64::MAX,
                size => (1 << size) - 1,
            };
            let (offset, size) = (bits.offset, bits.size);
            let _ = writeln!(
                self.text,
                "    pub fn get_{name}(&self) -> {number} {{\n        \
                 let bits = skep::load::skeleton::bits(&self.{field}, {offset}, {size});"
            );
            match signed {
                true => {
                    let shift = 64 - size.max(1);
                    let _ = writeln!(self.text, "        (bits << {shift}) as i64 >> {shift}");
                }
                false => self.text.push_str("        bits\n"),
            }
            let _ = writeln!(
                self.text,
                "    }}\n\n    pub fn set_{name}(&mut self, value: {number}) {{\n        \
                 let bits = {value} & {mask:#x};\n        \
                 skep::load::skeleton::set_bits(&mut self.{field}, {offset}, {size}, bits);\n    }}\n",
            );
        }
        self.text.push_str("}\n\n");
    }

    /// A union: words, and a function for each member.
    fn union(&mut self, name: &str, of: &Composite<'_>, depth: u32) -> Result<Spelt, BtfError> {
        let size = u64::from(of.size);
        let mut members = Vec::new();
        let mut taken = Taken::default();
        for (index, member) in of.members.iter().enumerate() {
            let member_name = match member.name {
                "" => format!("anon_{index}"),
                name => name.to_owned(),
            };
            if member.bit_offset != 0 || self.btf.bitfield(&member)?.is_some() {
                continue;
            }
            let hint = format!("{name}_{member_name}");
            let spelt = self.spell_at(member.type_id, &hint, depth + 1)?;
            if spelt.size <= size {
                members.push((taken.take(names::plain(&member_name)), spelt));
            }
        }
        let most = members.iter().map(|(_, spelt)| spelt.align).max().unwrap_or(1);
        let align = if size.is_multiple_of(most) { most } else { 1 };
        let _ = write!(
            self.text,
            "{DERIVES}#[repr(C)]\npub struct {name} {{\n    pub words: [u{}; {}],\n}}\n\n",
            8 * align,
            size / align
        );
        self.checks(name, size, &[]);
        self.text.push_str("#[allow(dead_code, missing_docs, non_snake_case)]\n");
        let _ = writeln!(self.text, "impl {name} {{");
        for (member, Spelt { name: spelt, size, .. }) in members {
            let _ = write!(
                self.text,
                "    pub fn get_{member}(&self) -> {spelt} {{\n        \
                 let bytes = skep::zerocopy::IntoBytes::as_bytes(self);\n        \
                 skep::load::skeleton::read(&bytes[..{size}])\n    }}\n\n    \
                 pub fn set_{member}(&mut self, value: {spelt}) {{\n        \
                 let bytes = skep::zerocopy::IntoBytes::as_mut_bytes(self);\n        \
                 bytes[..{size}].copy_from_slice(skep::zerocopy::IntoBytes::as_bytes(&value));\n    }}\n\n"
            );
        }
        self.text.push_str("}\n\n");
        Ok(Spelt { name: name.into(), size, align })
    }
}
