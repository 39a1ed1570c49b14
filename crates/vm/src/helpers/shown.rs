//! Values as text by their types, as Linux shows them: `.member = (type)value`, of structures
//! only what is not zero, unless all is asked for. Counterpart: `btf_type_show` in
//! `kernel/bpf/btf.c`, quirks of its text included; sections of variables it shows, and this does
//! not.

use std::fmt::Write as _;

use skep_abi::limits::MAX_ERRNO;
use skep_btf::{Array, Btf, Enum, Int, Member, Type};

/// All on one line, without indents.
pub(super) const COMPACT: u64 = 1;
/// No names of members and types.
pub(super) const NO_NAMES: u64 = 2;
/// Pointers as they are.
pub(super) const RAW_POINTERS: u64 = 4;
/// What is zero, too.
pub(super) const ZEROS: u64 = 8;
/// All of these.
pub(super) const ALL: u64 = COMPACT | NO_NAMES | RAW_POINTERS | ZEROS;

/// Deepest nesting: that of types is no deeper than readers of BTF let it be.
const DEEPEST: usize = 64;
/// Longest text: of any type's values it is shorter but for the largest arrays.
const LONGEST: usize = 1 << 22;

/// A value's text.
pub(super) struct Shown<'t> {
    types: &'t Btf,
    flags: u64,
    /// What stands for a pointer.
    pointer: &'t dyn Fn(u64) -> u64,
    text: Vec<u8>,
    depth: usize,
    /// Nothing is printed: this is to find out whether anything would be.
    dry: bool,
    /// Whether there was anything.
    any: bool,
    /// An element has no name; what is in it neither, until an array in it has ended.
    in_element: bool,
    /// The array is one of characters, and has not ended with a zero yet.
    characters: Option<bool>,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'t> {
    /// Its type as it was declared.
    type_id: u32,
    /// The member that it is.
    member: Option<Member<'t>>,
}

/// The text of the value of a type that these are the bytes of; what is missing is zero. `pointer`
/// gives the number that is shown for one.
pub(super) fn text(
    types: &Btf,
    type_id: u32,
    bytes: &[u8],
    flags: u64,
    pointer: &dyn Fn(u64) -> u64,
) -> Vec<u8> {
    let mut shown = Shown {
        types,
        flags,
        pointer,
        text: Vec::new(),
        depth: 0,
        dry: false,
        any: false,
        in_element: false,
        characters: None,
    };
    shown.value(Place { type_id, member: None }, bytes, 0);
    shown.text
}

/// So many bytes, and zeros behind those that there are.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    let len = bytes.len().min(N);
    all[..len].copy_from_slice(&bytes[..len]);
    all
}

/// Bytes from an offset on, as far as there are any.
fn from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// The character's, which Linux's table of Latin-1 has a shape for.
fn is_printed(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | 0xa0..=0xff)
}

impl<'t> Shown<'t> {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    fn put(&mut self, text: &[u8]) {
        if !self.dry && self.text.len() + text.len() <= LONGEST {
            self.text.extend_from_slice(text);
        }
    }

    fn line(&mut self, text: &[u8], ends: &str) {
        /// Deeper than this, text is indented no more.
        const INDENT: usize = 32;
        let indent = if self.has(COMPACT) { 0 } else { self.depth.min(INDENT) };
        let delimiter = if self.depth == 0 { "" } else { ends };
        let newline = if self.has(COMPACT) { "" } else { "\n" };
        let line = [&[b' '; INDENT][..indent], text, delimiter.as_bytes(), newline.as_bytes()];
        self.put(&line.concat());
    }

    /// A number or a name; zeros are left out unless they are asked for, or are all there is.
    fn scalar(&mut self, place: Place<'t>, text: &[u8], zero: bool) {
        if zero && !self.has(ZEROS) && self.depth != 0 {
            return;
        }
        let mut line = self.name(place).into_bytes();
        line.extend_from_slice(text);
        self.line(&line, ",");
        self.any = true;
    }

    /// What stands before a value: its member and its type, and the bracket that opens it.
    fn name(&self, place: Place<'t>) -> String {
        /// Bytes that a name may have.
        const MOST: usize = 79;
        /// Pointers, arrays and names that are followed.
        const STEPS: usize = 10;
        if self.in_element {
            return String::new();
        }
        let types = self.types;
        let mut id = place.member.map_or(place.type_id, |member| member.type_id);
        let (mut alias, mut stars, mut arrays, mut steps) = (None, 0, 0, 0);
        let last = loop {
            let Ok(of) = types.type_by_id(id) else { return String::new() };
            id = match of {
                Type::Typedef { name, target } => {
                    alias.get_or_insert(name);
                    target
                }
                Type::Array(array) => {
                    arrays += 1;
                    array.element
                }
                Type::Ptr { target } => {
                    stars += 1;
                    target
                }
                of => break of,
            };
            if id == 0 {
                break of;
            }
            id = self.unqualified(id);
            steps += 1;
            if steps == STEPS {
                return String::new();
            }
        };
        let (word, bracket) = match last {
            Type::Struct(_) => ("struct", "{"),
            Type::Union(_) => ("union", "{"),
            Type::Enum(_) | Type::Enum64(_) => ("enum", ""),
            _ => ("", ""),
        };
        let bracket = match (stars, arrays) {
            (0, 0) => bracket,
            (0, _) => "[",
            _ => "",
        };
        if self.has(NO_NAMES) {
            return bracket.into();
        }
        let word = if alias.is_some() { "" } else { word };
        let own = alias.unwrap_or_else(|| last.name());
        let mut name = String::new();
        if let Some(member) = place.member.filter(|member| !member.name.is_empty()) {
            let _fits = write!(name, ".{} = ", member.name);
        }
        let space = if word.is_empty() || own.is_empty() { "" } else { " " };
        let stars = if stars == 0 { String::new() } else { format!(" {}", "*".repeat(stars)) };
        let _fits = write!(name, "({word}{space}{own}{stars}{}){bracket}", "[]".repeat(arrays));
        name.truncate(name.floor_char_boundary(MOST));
        name
    }

    /// The type behind qualifiers, which are no names.
    fn unqualified(&self, id: u32) -> u32 {
        let mut at = id;
        // As deep as Linux lets types be.
        for _ in 0..DEEPEST {
            at = match self.types.type_by_id(at) {
                Ok(
                    Type::Const { target }
                    | Type::Volatile { target }
                    | Type::Restrict { target }
                    | Type::TypeTag { target, .. },
                ) => target,
                _ => break,
            };
        }
        at
    }

    /// The value at `bit` of the first byte.
    fn value(&mut self, place: Place<'t>, bytes: &[u8], bit: u32) {
        let types = self.types;
        let Ok(of) = types.resolved(place.type_id) else { return };
        if self.depth > DEEPEST {
            return;
        }
        match of {
            Type::Var { target, .. } => {
                let place = Place { type_id: target, ..place };
                self.value(place, bytes, bit);
            }
            Type::Int(int) => self.int(place, int, bytes, bit),
            Type::Ptr { .. } => {
                let address = u64::from_le_bytes(first(bytes));
                let shown = self.pointer_text(address);
                self.scalar(place, shown.as_bytes(), address == 0);
            }
            Type::Enum(of) => {
                let value = i32::from_le_bytes(first(bytes));
                let number = if of.signed { value.into() } else { i64::from(value as u32) };
                self.enumerator(place, of, number as u64);
            }
            Type::Enum64(of) => self.enumerator(place, of, u64::from_le_bytes(first(bytes))),
            Type::Struct(of) | Type::Union(of) => {
                self.aggregate(place, "}", |shown| {
                    for member in of.members.iter() {
                        shown.member(member, bytes);
                    }
                });
            }
            Type::Array(array) => self.array(place, array, bytes, bit),
            of => {
                let text = format!("<unsupported kind:{}>", of.kind() as u8);
                self.put(text.as_bytes());
            }
        }
    }

    fn pointer_text(&self, address: u64) -> String {
        let plain = address == 0 || address >= u64::from(MAX_ERRNO).wrapping_neg();
        let shown = if plain { address } else { (self.pointer)(address) };
        format!("0x{shown:016x}")
    }

    fn enumerator(&mut self, place: Place<'t>, of: Enum<'t>, value: u64) {
        // What has a name is shown, zero or not.
        if let Some(known) = of.enumerators.iter().find(|known| known.value == value) {
            return self.scalar(place, known.name.as_bytes(), false);
        }
        let text = if of.signed { (value as i64).to_string() } else { value.to_string() };
        self.scalar(place, text.as_bytes(), value == 0);
    }

    fn int(&mut self, place: Place<'t>, int: Int<'t>, bytes: &[u8], bit: u32) {
        if bit != 0 || int.bit_offset != 0 || !matches!(int.bits, 8 | 16 | 32 | 64 | 128) {
            return self.bits(place, bytes, bit + u32::from(int.bit_offset), int.bits);
        }
        if int.bits == 128 {
            return self.wide(place, u128::from_le_bytes(first(bytes)));
        }
        let byte = bytes.first().copied().unwrap_or(0);
        if let (8, Some(ended)) = (int.bits, &mut self.characters) {
            *ended |= byte == 0;
            if *ended {
                return;
            }
            if is_printed(byte) {
                return self.scalar(place, &[b'\'', byte, b'\''], false);
            }
        }
        let unused = 64 - u32::from(int.bits);
        let number = u64::from_le_bytes(first(bytes)) << unused;
        let text = match int.is_signed() {
            true => (number as i64 >> unused).to_string(),
            false => (number >> unused).to_string(),
        };
        self.scalar(place, text.as_bytes(), number == 0);
    }

    /// Some bits, which are shown as they are.
    fn bits(&mut self, place: Place<'t>, bytes: &[u8], bit: u32, len: u8) {
        let bytes = from(bytes, bit as usize / 8);
        let word = u128::from_le_bytes(first(bytes)) >> (bit % 8);
        let unused = 128 - u32::from(len).clamp(1, 128);
        self.wide(place, word << unused >> unused);
    }

    fn wide(&mut self, place: Place<'t>, number: u128) {
        self.scalar(place, format!("{number:#x}").as_bytes(), number == 0);
    }

    fn member(&mut self, member: Member<'t>, bytes: &[u8]) {
        let place = Place { type_id: member.type_id, member: Some(member) };
        let bytes = from(bytes, member.bit_offset as usize / 8);
        let bit = member.bit_offset % 8;
        match member.bitfield_size {
            0 => self.value(place, bytes, bit),
            size => self.bits(place, bytes, bit, size),
        }
    }

    fn array(&mut self, place: Place<'t>, array: Array, bytes: &[u8], bit: u32) {
        let types = self.types;
        let element = types.resolved(array.element).ok();
        let size = types.size_of(array.element).unwrap_or(0) as usize;
        let sized = !matches!(element, Some(Type::Array(_) | Type::Ptr { .. }) | None);
        let characters = match element {
            Some(Type::Int(int)) => int.size == 1 || int.encoding == Int::CHAR,
            _ => false,
        };
        // Of arrays of arrays and of pointers, Linux shows the first element again and again.
        let step = if sized { size } else { 0 };
        self.aggregate(place, "]", |shown| {
            shown.characters = characters.then_some(false);
            for index in 0..array.len as usize {
                shown.in_element = true;
                let place = Place { type_id: array.element, member: None };
                shown.value(place, from(bytes, index.saturating_mul(step)), bit);
                shown.in_element = false;
                let full = shown.text.len() >= LONGEST || shown.dry && shown.any;
                if shown.characters == Some(true) || full {
                    break;
                }
            }
            shown.characters = None;
        });
    }

    /// Values in brackets, unless there is nothing to be shown.
    fn aggregate(&mut self, place: Place<'t>, closes: &str, mut values: impl FnMut(&mut Self)) {
        if self.depth > 0 && !self.has(ZEROS) {
            let outermost = !self.dry;
            if outermost {
                (self.dry, self.any) = (true, false);
            }
            self.depth += 1;
            values(self);
            self.depth -= 1;
            if !outermost {
                return;
            }
            self.dry = false;
            if !self.any {
                return;
            }
        }
        let name = self.name(place);
        let depth = self.depth;
        // What opens has no comma behind it, however deep it is.
        self.line(name.as_bytes(), "");
        self.depth = depth + 1;
        values(self);
        self.depth = depth;
        self.line(closes.as_bytes(), ",");
    }
}

#[cfg(test)]
mod tests {
    use skep_btf::{Builder, Endian};

    use super::*;

    fn shown(make: fn(&mut Builder) -> u32, bytes: &[u8], flags: u64) -> String {
        let mut types = Builder::new();
        let id = make(&mut types);
        let types = Btf::parse(types.to_bytes(Endian::Little)).expect("types");
        String::from_utf8(text(&types, id, bytes, flags, &|_| 0x1234)).expect("a text")
    }

    fn member(name: &'static str, type_id: u32, bit_offset: u32) -> Member<'static> {
        Member { name, type_id, bit_offset, bitfield_size: 0 }
    }

    #[test]
    fn a_number_alone_is_shown_though_it_is_zero() {
        let int = |types: &mut Builder| types.int("int", 4, Int::SIGNED);
        assert_eq!(shown(int, &[0; 4], 0), "(int)0\n");
    }

    #[test]
    fn of_structures_what_is_not_zero_is_shown() {
        let outer = |types: &mut Builder| {
            let int = types.int("int", 4, Int::SIGNED);
            let inner = types.structure("inner", 4, &[member("number", int, 0)]);
            let pointer = types.ptr(inner);
            let members =
                [member("zero", int, 0), member("in", inner, 32), member("to", pointer, 64)];
            types.structure("outer", 16, &members)
        };
        let bytes = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            shown(outer, &bytes, 0),
            "(struct outer){\n .in = (struct inner){\n  .number = (int)-1,\n },\n \
             .to = (struct inner *)0x0000000000001234,\n}\n"
        );
        assert_eq!(
            shown(outer, &[0; 16], COMPACT | NO_NAMES | ZEROS),
            "{0,{0,},0x0000000000000000,}"
        );
    }

    #[test]
    fn characters_end_with_their_zero() {
        let array = |types: &mut Builder| {
            let char = types.int("char", 1, Int::SIGNED);
            types.array(char, char, 8)
        };
        assert_eq!(shown(array, b"hi\0there", COMPACT), "(char[])['h','i',]");
    }
}
