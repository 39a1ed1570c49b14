//! Declarations: from words and signs to definitions.

use std::sync::Arc;

use super::lex::Token;
use super::model::{CEnum, CFunction, CMember, CRecord, CType, Definitions, Lookup};
use crate::trace::ast::Name;
use crate::trace::number;

/// Why a text is no C that is understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CError {
    /// Another word or sign should stand there.
    #[error("expected {expected}, found '{found}'")]
    Expected {
        /// What should.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A name that nothing defines.
    #[error("unknown type name '{0}'")]
    Unknown(String),
    /// A structure that nothing here says the members of.
    #[error("error: field has incomplete type '{0}'")]
    Incomplete(String),
    /// A name that is defined twice, differently.
    #[error("redefinition of '{0}'")]
    Again(String),
    /// Too deep, or too large.
    #[error("{0}")]
    Bound(&'static str),
}

/// Structures nest at most so deep.
const DEEPEST: u32 = 32;

/// An array has at most so many bytes.
const LARGEST: u64 = 1 << 40;

/// Reads declarations into `into`. Names that are not defined there are asked from `known`.
/// Where `lenient`, what is not understood is passed over (headers hold functions and
/// extensions that do not matter here).
pub fn declare(
    tokens: &[Token],
    into: &mut Definitions,
    known: &dyn Lookup,
    lenient: bool,
) -> Result<(), CError> {
    let mut reader = Reader { tokens, at: 0, into, known, depth: 0, redefines: false };
    while reader.at < tokens.len() {
        let from = reader.at;
        if let Err(error) = reader.declaration() {
            if !lenient {
                return Err(error);
            }
            reader.at = from;
            reader.depth = 0;
            reader.pass_over();
        }
    }
    Ok(())
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    into: &'a mut Definitions,
    known: &'a dyn Lookup,
    depth: u32,
    /// A structure is defined that is known otherwise: the known ones are not mixed with those
    /// here, since they may contain it.
    redefines: bool,
}

impl Lookup for Reader<'_> {
    fn record(&self, name: &str) -> Option<Arc<CRecord>> {
        let known = || if self.redefines { None } else { self.known.record(name) };
        self.into.record(name).or_else(known)
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        let own = self.into.typedefs.get(name).cloned();
        own.or_else(|| self.known.typedef(name)).or_else(|| super::model::base_typedef(name))
    }

    fn enumeration(&self, name: &str) -> Option<Arc<CEnum>> {
        self.into.enumeration(name).or_else(|| self.known.enumeration(name))
    }
}

/// What attributes asked for.
#[derive(Clone, Copy, Default)]
struct Attributes {
    packed: bool,
    aligned: u64,
}

/// Words that say nothing about a type here.
const QUALIFIERS: [&str; 22] = [
    "const",
    "volatile",
    "restrict",
    "__restrict",
    "__restrict__",
    "extern",
    "static",
    "inline",
    "__inline",
    "__inline__",
    "register",
    "__extension__",
    "__const",
    "__volatile__",
    "_Noreturn",
    "__user",
    "__rcu",
    "__percpu",
    "__iomem",
    "__always_inline",
    "noinline",
    "auto",
];

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn is(&self, text: &str) -> bool {
        self.peek().is_some_and(|token| token.text() == text)
    }

    fn takes(&mut self, text: &str) -> bool {
        let found = self.is(text);
        self.at += usize::from(found);
        found
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, CError> {
        Err(CError::Expected {
            expected,
            found: self.peek().map_or("end", |token| token.text()).to_owned(),
        })
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), CError> {
        if self.takes(sign) {
            return Ok(());
        }
        self.expected(sign)
    }

    fn word(&mut self) -> Option<&'a str> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Some(word)
            }
            _ => None,
        }
    }

    /// To the end of a declaration that is not understood.
    fn pass_over(&mut self) {
        let mut depth = 0u32;
        while let Some(token) = self.peek() {
            self.at += 1;
            match token.text() {
                "{" | "(" => depth += 1,
                "}" | ")" => {
                    depth = depth.saturating_sub(1);
                    // A function's body ends without a semicolon.
                    if depth == 0 && token.text() == "}" && !self.continues() {
                        return;
                    }
                }
                ";" if depth == 0 => return,
                _ => {}
            }
        }
    }

    fn continues(&self) -> bool {
        self.is(";") || self.is("__attribute__") || self.is("*") || self.is(",")
    }

    fn skip_group(&mut self, open: &str, close: &str) -> &'a [Token] {
        let from = self.at;
        let mut depth = 0;
        while let Some(token) = self.peek() {
            self.at += 1;
            if token.text() == open {
                depth += 1;
            } else if token.text() == close {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
        }
        &self.tokens[from..self.at]
    }

    /// Qualifiers and attributes, wherever they may stand.
    fn noise(&mut self, attributes: &mut Attributes) {
        loop {
            match self.peek() {
                Some(Token::Word(word)) if QUALIFIERS.contains(&&**word) => self.at += 1,
                Some(Token::Word(word)) if word == "__attribute__" || word == "__attribute" => {
                    self.at += 1;
                    let group = self.skip_group("(", ")");
                    read_attributes(group, attributes);
                }
                Some(Token::Word(word))
                    if matches!(&**word, "__asm__" | "asm" | "__declspec" | "_Alignas") =>
                {
                    self.at += 1;
                    self.skip_group("(", ")");
                }
                _ => return,
            }
        }
    }

    fn declaration(&mut self) -> Result<(), CError> {
        if self.takes(";") {
            return Ok(());
        }
        if self.is("_Static_assert") {
            return self.expected("declaration");
        }
        let mut attributes = Attributes::default();
        self.noise(&mut attributes);
        let typedef = self.takes("typedef");
        let base = self.base_type()?;
        if self.takes(";") {
            return Ok(());
        }
        loop {
            let declared = self.declarator(base.clone())?;
            self.noise(&mut attributes);
            self.define(declared, typedef);
            if self.takes(",") {
                continue;
            }
            if self.is("=") {
                self.pass_over();
                return Ok(());
            }
            return self.expect(";");
        }
    }

    fn define(&mut self, declared: Declared, typedef: bool) {
        let name: Name = declared.name.into();
        if name.is_empty() {
            return;
        }
        if typedef {
            let of = match declared.parameters {
                Some(_) => CType::Void,
                None => declared.of,
            };
            self.into.typedefs.insert(name, of);
        } else if let Some(parameters) = declared.parameters {
            let function = CFunction { parameters, result: declared.of };
            self.into.functions.insert(name, function);
        } else {
            self.into.variables.insert(name, declared.of);
        }
    }

    fn base_type(&mut self) -> Result<CType, CError> {
        let mut attributes = Attributes::default();
        self.noise(&mut attributes);
        let of = match self.peek() {
            Some(Token::Word(word)) => match &**word {
                "struct" => self.record(false)?,
                "union" => self.record(true)?,
                "enum" => self.enumeration_type()?,
                "typeof" | "__typeof__" => return self.expected("type"),
                _ => self.words()?,
            },
            _ => return self.expected("type"),
        };
        self.noise(&mut attributes);
        Ok(of)
    }

    /// `unsigned long int` and its like, or a typedef.
    fn words(&mut self) -> Result<CType, CError> {
        let (mut signed, mut longs, mut base) = (None, 0, None);
        let mut any = false;
        let mut attributes = Attributes::default();
        while let Some(Token::Word(word)) = self.peek() {
            match &**word {
                "unsigned" | "__unsigned__" => signed = Some(false),
                "signed" | "__signed__" | "__signed" => signed = Some(true),
                "long" => longs += 1,
                "short" | "int" | "char" | "float" | "double" | "void" | "_Bool" | "bool"
                | "__int128" => {
                    if base != Some("short") {
                        base = Some(word.as_str());
                    }
                }
                _ => break,
            }
            any = true;
            self.at += 1;
            self.noise(&mut attributes);
        }
        if any {
            return Ok(arithmetic(signed, longs, base));
        }
        let Some(word) = self.word() else {
            return self.expected("type");
        };
        if self.typedef(word).is_none() {
            return Err(CError::Unknown(word.to_owned()));
        }
        Ok(CType::Typedef(word.into()))
    }

    fn record(&mut self, union: bool) -> Result<CType, CError> {
        self.at += 1;
        let kind = if union { "union" } else { "struct" };
        let mut attributes = Attributes::default();
        self.noise(&mut attributes);
        let tag = match self.peek() {
            Some(Token::Word(_)) => self.word(),
            _ => None,
        };
        self.noise(&mut attributes);
        let anonymous = tag.is_none();
        let name: Name = match tag {
            Some(tag) => format!("{kind} {tag}").into(),
            None => format!("{kind} (unnamed {})", self.into.records.len()).into(),
        };
        if !self.is("{") {
            if anonymous {
                return self.expected("name or '{'");
            }
            return Ok(CType::Record(name));
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(CError::Bound("structures nested too deep"));
        }
        if self.into.records.contains_key(&name) {
            return Err(CError::Again(tag.unwrap_or_default().to_owned()));
        }
        if anonymous {
            // Holds the name while members are read.
            let empty =
                CRecord { name: name.clone(), anonymous, size: 0, align: 1, members: Vec::new() };
            self.into.records.insert(name.clone(), Arc::new(empty));
        }
        self.redefines |= !anonymous && self.known.record(&name).is_some();
        let raw = self.members()?;
        self.noise(&mut attributes);
        let record = self.lay_out(name.clone(), anonymous, union, raw, attributes)?;
        self.into.records.insert(name.clone(), Arc::new(record));
        self.depth -= 1;
        Ok(CType::Record(name))
    }

    fn members(&mut self) -> Result<Vec<Member>, CError> {
        let mut members = Vec::new();
        self.expect("{")?;
        while !self.takes("}") {
            if self.takes(";") {
                continue;
            }
            let base = self.base_type()?;
            if self.takes(";") {
                if matches!(base, CType::Record(_)) {
                    members.push(Member {
                        name: String::new(),
                        of: base,
                        width: None,
                        attributes: Attributes::default(),
                    });
                }
                continue;
            }
            loop {
                members.push(self.member(base.clone())?);
                if !self.takes(",") {
                    break;
                }
            }
            // The last one may be without, as compilers let it.
            if !self.is("}") {
                self.expect(";")?;
            }
        }
        Ok(members)
    }

    fn member(&mut self, base: CType) -> Result<Member, CError> {
        let declared = if self.is(":") {
            Declared { name: String::new(), of: base, parameters: None }
        } else {
            self.declarator(base)?
        };
        let mut attributes = Attributes::default();
        let mut width = None;
        if self.takes(":") {
            let bits = self.constant()?;
            width = Some(
                u8::try_from(bits)
                    .ok()
                    .filter(|bits| *bits <= 64)
                    .ok_or(CError::Bound("a bit field of more than 64 bits"))?,
            );
        }
        self.noise(&mut attributes);
        Ok(Member { name: declared.name, of: declared.of, width, attributes })
    }

    fn lay_out(
        &self,
        name: Name,
        anonymous: bool,
        union: bool,
        raw: Vec<Member>,
        attributes: Attributes,
    ) -> Result<CRecord, CError> {
        let mut record = CRecord { name, anonymous, size: 0, align: 1, members: Vec::new() };
        // Bits used so far; of a union the largest member's.
        let (mut bits, mut most) = (0u64, 0u64);
        for member in raw {
            let (size, mut align) = member.of.layout(self).ok_or_else(|| match &member.of {
                CType::Record(name) => CError::Incomplete(name.to_string()),
                of => CError::Unknown(type_word(of)),
            })?;
            if size > LARGEST {
                return Err(CError::Bound("a member is too large"));
            }
            if attributes.packed || member.attributes.packed {
                align = 1;
            }
            align = align.max(member.attributes.aligned).max(1);
            if union {
                bits = 0;
            }
            match member.width {
                Some(0) => {
                    bits = bits.next_multiple_of(size.max(1) * 8);
                    continue;
                }
                Some(width) => {
                    let unit = size.max(1) * 8;
                    let width = u64::from(width);
                    if !attributes.packed && bits / unit != (bits + width - 1) / unit {
                        bits = bits.next_multiple_of(unit);
                    }
                    if !member.name.is_empty() {
                        record.members.push(CMember {
                            name: member.name.into(),
                            of: member.of,
                            bit: bits,
                            width: member.width,
                        });
                        record.align = record.align.max(align);
                    }
                    bits += width;
                }
                None => {
                    bits = bits.next_multiple_of(align * 8);
                    record.members.push(CMember {
                        name: member.name.into(),
                        of: member.of,
                        bit: bits,
                        width: None,
                    });
                    bits += size * 8;
                    record.align = record.align.max(align);
                }
            }
            most = most.max(bits);
            if most > LARGEST * 8 {
                return Err(CError::Bound("a structure is too large"));
            }
        }
        record.align = record.align.max(attributes.aligned).max(1);
        record.size = most.div_ceil(8).next_multiple_of(record.align);
        Ok(record)
    }

    fn enumeration_type(&mut self) -> Result<CType, CError> {
        self.at += 1;
        let mut attributes = Attributes::default();
        self.noise(&mut attributes);
        let tag = self.word();
        // One without a name has one by which its values' names are found.
        let tag: Name = match tag {
            Some(tag) => tag.into(),
            None => format!("(unnamed {})", self.into.enums.len()).into(),
        };
        if !self.takes("{") {
            return Ok(CType::Enum(tag));
        }
        let mut values: Vec<(Name, i64)> = Vec::new();
        let mut next = 0i64;
        while !self.takes("}") {
            let Some(word) = self.word() else {
                return self.expected("name");
            };
            self.noise(&mut attributes);
            if self.takes("=") {
                next = self.constant_with(&values)?;
            }
            values.push((word.into(), next));
            next = next.wrapping_add(1);
            if !self.takes(",") {
                self.expect("}")?;
                break;
            }
        }
        for (word, value) in &values {
            self.into.constants.insert(word.clone(), (*value, tag.clone()));
        }
        let made = CEnum { name: tag.clone(), values };
        self.into.enums.insert(tag.clone(), Arc::new(made));
        Ok(CType::Enum(tag))
    }

    /// `*name[3]`, `(*name)(int)`, `name(int a)`.
    fn declarator(&mut self, base: CType) -> Result<Declared, CError> {
        let mut attributes = Attributes::default();
        let mut of = base;
        self.noise(&mut attributes);
        let mut stars = 0;
        while self.takes("*") {
            of = CType::Pointer(Box::new(of), Arc::from([]));
            stars += 1;
            if stars > DEEPEST {
                return Err(CError::Bound("pointers nested too deep"));
            }
            self.noise(&mut attributes);
        }
        let mut name = String::new();
        let mut inner: Option<&'a [Token]> = None;
        if self.is("(") && self.opens_declarator() {
            let group = self.skip_group("(", ")");
            inner = Some(&group[1..group.len() - 1]);
        } else if let Some(Token::Word(word)) = self.peek() {
            name.clone_from(word);
            self.at += 1;
        }
        self.noise(&mut attributes);
        let mut parameters = None;
        if self.is("(") {
            parameters = Some(self.parameters()?);
        }
        let mut counts = Vec::new();
        while self.takes("[") {
            let count = if self.is("]") { 0 } else { self.constant()? };
            self.expect("]")?;
            counts.push(u64::try_from(count).map_err(|_| CError::Bound("a negative size"))?);
            if counts.len() > DEEPEST as usize {
                return Err(CError::Bound("arrays nested too deep"));
            }
        }
        for count in counts.into_iter().rev() {
            of = CType::Array(Box::new(of), count);
        }
        let Some(inner) = inner else {
            return Ok(Declared { name, of, parameters });
        };
        // A pointer to a function or to an array: what it points to stands outside.
        let outside = if parameters.is_some() { CType::Void } else { of };
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(CError::Bound("declarators nested too deep"));
        }
        let after = std::mem::replace(&mut self.tokens, inner);
        let at = std::mem::replace(&mut self.at, 0);
        let declared = self.declarator(outside);
        self.tokens = after;
        self.at = at;
        self.depth -= 1;
        declared
    }

    /// Whether `(` here opens `(*name)` and not parameters.
    fn opens_declarator(&self) -> bool {
        matches!(self.tokens.get(self.at + 1), Some(Token::Sign("*" | "(")))
    }

    fn parameters(&mut self) -> Result<Vec<(Name, CType)>, CError> {
        let mut parameters = Vec::new();
        self.expect("(")?;
        while !self.takes(")") {
            if self.takes("...") {
                continue;
            }
            let base = self.base_type()?;
            let declared = self.declarator(base)?;
            let of = match declared.of {
                CType::Array(of, _) => CType::Pointer(of, Arc::from([])),
                of => of,
            };
            let nothing = of == CType::Void && declared.name.is_empty();
            if !nothing {
                parameters.push((declared.name.into(), of));
            }
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(parameters)
    }

    fn constant(&mut self) -> Result<i64, CError> {
        self.constant_with(&[])
    }

    /// A number that is known: literals, constants, `sizeof`, and the usual operators.
    fn constant_with(&mut self, own: &[(Name, i64)]) -> Result<i64, CError> {
        self.sum(0, own)
    }

    fn sum(&mut self, least: u8, own: &[(Name, i64)]) -> Result<i64, CError> {
        let mut left = self.factor(own)?;
        loop {
            let Some((sign, binds)) = self.peek().and_then(|token| binds(token.text())) else {
                return Ok(left);
            };
            if binds < least {
                return Ok(left);
            }
            self.at += 1;
            let right = self.sum(binds + 1, own)?;
            left = operate(sign, left, right)
                .ok_or(CError::Bound("a constant that cannot be worked out"))?;
        }
    }

    fn factor(&mut self, own: &[(Name, i64)]) -> Result<i64, CError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(CError::Bound("a constant nested too deep"));
        }
        let value = self.factor_here(own);
        self.depth -= 1;
        value
    }

    fn factor_here(&mut self, own: &[(Name, i64)]) -> Result<i64, CError> {
        let Some(token) = self.peek() else {
            return self.expected("constant");
        };
        self.at += 1;
        match token {
            Token::Number(digits) => {
                let digits = digits.trim_end_matches(['u', 'U', 'l', 'L']);
                number::unsigned(digits)
                    .map(|value| value as i64)
                    .map_err(|_| CError::Bound("a number that is none"))
            }
            Token::Word(word) if word == "sizeof" => {
                self.expect("(")?;
                let base = self.base_type()?;
                let declared = self.declarator(base)?;
                self.expect(")")?;
                let (size, _) = declared
                    .of
                    .layout(self)
                    .ok_or_else(|| CError::Unknown(type_word(&declared.of)))?;
                Ok(size as i64)
            }
            Token::Word(word) => {
                let here = own.iter().find(|(name, _)| **name == **word);
                here.map(|(_, value)| *value)
                    .or_else(|| self.into.constants.get(&**word).map(|(value, _)| *value))
                    .ok_or_else(|| CError::Unknown(word.clone()))
            }
            Token::Sign("(") => {
                let value = self.sum(0, own)?;
                self.expect(")")?;
                Ok(value)
            }
            Token::Sign("-") => Ok(self.factor(own)?.wrapping_neg()),
            Token::Sign("+") => self.factor(own),
            Token::Sign("~") => Ok(!self.factor(own)?),
            _ => {
                self.at -= 1;
                self.expected("constant")
            }
        }
    }
}

struct Declared {
    name: String,
    of: CType,
    parameters: Option<Vec<(Name, CType)>>,
}

struct Member {
    name: String,
    of: CType,
    width: Option<u8>,
    attributes: Attributes,
}

fn read_attributes(group: &[Token], attributes: &mut Attributes) {
    for (at, token) in group.iter().enumerate() {
        match token.text() {
            "packed" | "__packed__" => attributes.packed = true,
            "aligned" | "__aligned__" => {
                let given = group.get(at + 2).map(|token| token.text());
                let value = given.and_then(|digits| number::unsigned(digits).ok());
                let value = value.filter(|value| value.is_power_of_two() && *value <= 4096);
                attributes.aligned = attributes.aligned.max(value.unwrap_or(16));
            }
            _ => {}
        }
    }
}

fn arithmetic(signed: Option<bool>, longs: u32, base: Option<&str>) -> CType {
    let sign = signed.unwrap_or(true);
    let int = |size| CType::Int { size, signed: sign };
    match base {
        Some("void") => CType::Void,
        Some("_Bool" | "bool") => CType::Bool,
        Some("char") if signed.is_none() => CType::Char,
        Some("char") => int(1),
        Some("short") => int(2),
        Some("float") => CType::Float(4),
        Some("double") if longs > 0 => CType::Float(16),
        Some("double") => CType::Float(8),
        Some("__int128") => int(16),
        _ if longs > 0 => int(8),
        _ => int(4),
    }
}

fn type_word(of: &CType) -> String {
    match of {
        CType::Record(name) | CType::Typedef(name) | CType::Enum(name) => (**name).to_owned(),
        CType::Array(of, _) | CType::Pointer(of, _) => type_word(of),
        _ => String::new(),
    }
}

fn binds(sign: &str) -> Option<(&'static str, u8)> {
    Some(match sign {
        "|" => ("|", 1),
        "^" => ("^", 2),
        "&" => ("&", 3),
        "<<" => ("<<", 4),
        ">>" => (">>", 4),
        "+" => ("+", 5),
        "-" => ("-", 5),
        "*" => ("*", 6),
        "/" => ("/", 6),
        "%" => ("%", 6),
        _ => return None,
    })
}

fn operate(sign: &str, left: i64, right: i64) -> Option<i64> {
    Some(match sign {
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "<<" => left.checked_shl(u32::try_from(right).ok()?)?,
        ">>" => left.checked_shr(u32::try_from(right).ok()?)?,
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" => left.checked_div(right)?,
        "%" => left.checked_rem(right)?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::lex::tokens;
    use super::*;

    fn read(text: &str) -> Definitions {
        let mut into = Definitions::default();
        declare(&tokens(text), &mut into, &Definitions::default(), false).unwrap();
        into
    }

    #[test]
    fn layout_of_structures() {
        let read = read(
            "struct Foo1 { int a; char b; long c; };
             struct Foo2 { int a; union { struct Foo1 f; struct { char g; }; }; };
             struct Foo4 { int pid; int pgid; unsigned int : 12; unsigned int a : 8;
                           unsigned int b : 1, c : 3, d : 20; };
             struct __attribute__((packed)) P { char a; int b; };
             typedef struct { int a; } T; struct U { T t[8]; void (*f)(int, char *); };",
        );
        let size = |name| read.records[name].size;
        assert_eq!(size("struct Foo1"), 16);
        assert_eq!(size("struct Foo2"), 24);
        assert_eq!(size("struct Foo4"), 16);
        assert_eq!(size("struct P"), 5);
        assert_eq!(size("struct U"), 40);
        let bits: Vec<_> = read.records["struct Foo4"].members.iter().map(|m| m.bit).collect();
        assert_eq!(bits, [0, 32, 76, 84, 85, 96]);
    }

    #[test]
    fn functions_and_constants() {
        let read = read(
            "enum E { A, B = 1 << 3, C }; struct S *f(int a, struct S *b); int g(void);
             struct S { char name[C + 1]; };",
        );
        assert_eq!(read.constants["C"], (9, "E".into()));
        assert_eq!(read.functions["f"].parameters.len(), 2);
        assert!(read.functions["g"].parameters.is_empty());
        assert_eq!(read.records["struct S"].size, 10);
    }
}
