//! C types as types of the language: those a script defines, and the world's.

use std::sync::Arc;

use crate::trace::ast::{Name, TypeName};
use crate::trace::builtins::REGISTERS;
use crate::trace::c::{CRecord, CType, Definitions, Lookup, declare, tokens};
use crate::trace::kind::{Kind, RecordId, Space, Type};
use crate::trace::points::{Attach, Provider};
use crate::trace::records::{Bits, Field, Record, Records};
use crate::trace::words;
use crate::trace::world::{TracepointField, World};

/// The name of what a function returned, among its arguments.
pub const RETVAL: &str = "$retval";

/// Finds types.
pub struct Finder<'a> {
    pub script: &'a Definitions,
    pub world: &'a dyn World,
    pub records: Records,
}

/// Types nest at most so deep.
const DEEPEST: u32 = 64;

impl Lookup for Finder<'_> {
    fn record(&self, name: &str) -> Option<Arc<CRecord>> {
        self.script.record(name).or_else(|| self.world.record(name))
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        let own = self.script.typedefs.get(name).cloned();
        own.or_else(|| self.world.typedef(name)).or_else(|| self.script.typedef(name))
    }

    fn enumeration(&self, name: &str) -> Option<Arc<crate::trace::c::CEnum>> {
        self.script.enumeration(name).or_else(|| self.world.enumeration(name))
    }
}

impl Finder<'_> {
    /// A C type. Those of a script and the kernel's differ in `char` arrays.
    pub fn of(&mut self, c: &CType, of_script: bool) -> Type {
        self.of_deep(c, of_script, DEEPEST)
    }

    fn of_deep(&mut self, c: &CType, of_script: bool, left: u32) -> Type {
        let Some(left) = left.checked_sub(1) else {
            return Type::none();
        };
        match c {
            CType::Void => Type::void(),
            CType::Bool if of_script => Type::int(1, false),
            CType::Bool => Type::bool(),
            CType::Char => Type::int(1, true),
            CType::Int { size, .. } if *size > 8 => {
                Type::array(Type::int(1, false), u32::from(*size))
            }
            CType::Int { size, signed } => Type::int(*size, *signed),
            CType::Float(_) => Type::none(),
            CType::Enum(name) if name.is_empty() => Type::int(4, false),
            CType::Enum(name) => Type::enumeration(name.clone(), 4),
            CType::Record(name) => self.record_type(name),
            CType::Typedef(name) => {
                let own = self.script.typedefs.contains_key(name);
                match self.typedef(name) {
                    Some(of) => self.of_deep(&of, of_script || own, left),
                    None => Type::none(),
                }
            }
            CType::Pointer(to, tags) => {
                let to = self.of_deep(to, of_script, left);
                Type { tags: tags.clone(), ..Type::pointer(to, Space::None) }
            }
            CType::Array(of, count) => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                let plain = of.plain(self);
                if plain == Some(CType::Char) {
                    return Type::string(if of_script { count.saturating_add(1) } else { count });
                }
                let element = self.of_deep(of, of_script, left);
                if !of_script && element.is_int() && element.size() == 1 {
                    return Type::string(count);
                }
                Type::array(element, count)
            }
        }
    }

    fn record_type(&mut self, name: &Name) -> Type {
        let id = match self.records.find(name) {
            Some(id) => id,
            None => {
                let known = self.record(name);
                self.records.add(Record {
                    name: name.clone(),
                    size: known
                        .as_ref()
                        .map_or(0, |known| u32::try_from(known.size).unwrap_or(u32::MAX)),
                    fields: Vec::new(),
                    tracepoint: false,
                    complete: false,
                    anonymous: known.is_some_and(|known| known.anonymous),
                })
            }
        };
        self.records.type_of(id)
    }

    /// Loads a record's members; whether it has any.
    pub fn complete(&mut self, id: RecordId) -> bool {
        let record = self.records.get(id);
        if record.complete {
            return true;
        }
        let name = record.name.clone();
        let Some(known) = self.record(&name) else {
            return false;
        };
        let of_script = self.script.records.contains_key(&name);
        let mut fields = Vec::new();
        self.members(&known, 0, of_script, &mut fields, DEEPEST);
        let record = self.records.get_mut(id);
        record.fields = fields;
        record.complete = true;
        true
    }

    fn members(
        &mut self,
        of: &CRecord,
        base: u64,
        of_script: bool,
        fields: &mut Vec<Field>,
        left: u32,
    ) {
        let Some(left) = left.checked_sub(1) else {
            return;
        };
        for member in &of.members {
            let bit = base + member.bit;
            if member.name.is_empty() {
                if let CType::Record(name) = &member.of
                    && let Some(inner) = self.record(name)
                {
                    self.members(&inner, bit, of_script, fields, left);
                }
                continue;
            }
            let bits = member.width.map(|width| {
                let shift = (bit % 8) as u8;
                let bytes = (shift + width).div_ceil(8);
                Bits { read: bytes.next_power_of_two().min(8), shift, width }
            });
            fields.push(Field {
                name: member.name.clone(),
                of: self.of(&member.of, of_script),
                offset: u32::try_from(bit / 8).unwrap_or(u32::MAX),
                bits,
                data_loc: false,
            });
        }
    }

    /// A type by its C name: `struct task_struct`, `uint64_t`.
    pub fn named(&mut self, name: &str) -> Option<Type> {
        if name.starts_with("struct ") || name.starts_with("union ") {
            if self.records.find(name).is_none() && self.record(name).is_none() {
                return None;
            }
            return Some(self.record_type(&name.into()));
        }
        let of = self.typedef(name)?;
        let of_script = self.script.typedefs.contains_key(name);
        Some(self.of(&of, of_script))
    }

    /// A type as a script writes it; the name that is unknown, if one is.
    pub fn written(&mut self, name: &TypeName) -> Result<Type, String> {
        match name {
            TypeName::Plain(word) => match words::type_of_word(word) {
                Some(of) => Ok(of),
                None => self.named(word).ok_or_else(|| (**word).to_owned()),
            },
            TypeName::Struct(word) => self.tagged("struct", word),
            TypeName::Union(word) => self.tagged("union", word),
            TypeName::Enum(word) => Ok(Type::enumeration(word.clone(), 8)),
            TypeName::Pointer(to) => Ok(Type::pointer(self.written(to)?, Space::None)),
            TypeName::Array(of, count) => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                let of = self.written(of)?;
                Ok(match of.kind {
                    Kind::String(0) => Type::string(count),
                    Kind::Buffer(0) => Kind::Buffer(count).into(),
                    Kind::Inet(0) => Kind::Inet(count).into(),
                    _ => Type::array(of, count),
                })
            }
        }
    }

    fn tagged(&mut self, kind: &str, word: &str) -> Result<Type, String> {
        let name = format!("{kind} {word}");
        self.named(&name).ok_or(name)
    }

    /// The record of a point's arguments, made if it is not there.
    pub fn arguments(&mut self, point: &Attach) -> Result<RecordId, String> {
        let name = format!("struct {}_args", point.name());
        if let Some(id) = self.records.find(&name) {
            return Ok(id);
        }
        let function = &point.function;
        let fields = match point.provider {
            Provider::Fentry | Provider::Fexit => {
                let ret = point.provider == Provider::Fexit;
                self.function_arguments(function, function, ret, 0)?
            }
            Provider::RawTracepoint => self.raw_arguments(function)?,
            Provider::Tracepoint => self.tracepoint_arguments(point)?,
            Provider::Uprobe => self.binary_arguments(point)?,
            _ => Vec::new(),
        };
        let size = fields
            .iter()
            .map(|field| field.offset.saturating_add(field.of.size()))
            .max()
            .unwrap_or(0);
        Ok(self.records.add(Record {
            name: name.into(),
            size,
            fields,
            tracepoint: point.provider == Provider::Tracepoint,
            complete: true,
            anonymous: false,
        }))
    }

    fn function_arguments(
        &mut self,
        function: &str,
        shown: &str,
        ret: bool,
        skip: usize,
    ) -> Result<Vec<Field>, String> {
        let fails = |why: &str| Err(format!("Could not parse arguments of \"{shown}\": {why}"));
        if !self.world.has_types() {
            return fails("BTF data not available");
        }
        let Some(known) = self.world.function(function) else {
            return fails("BTF data for the function not found");
        };
        if known.parameters.len() > REGISTERS as usize {
            return fails(&format!(
                "functions with more than {REGISTERS} parameters are not supported."
            ));
        }
        Ok(self.registers(&known, ret, skip))
    }

    /// Arguments by the eight-byte words that hold them.
    fn registers(
        &mut self,
        known: &crate::trace::c::CFunction,
        ret: bool,
        skip: usize,
    ) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut word = 0;
        let mut add = |finder: &mut Self, name: Name, of: &CType| {
            let of = finder.of(of, false);
            let words = of.size().div_ceil(8).max(1);
            fields.push(Field { name, of, offset: word * 8, bits: None, data_loc: false });
            word += words;
        };
        for (name, of) in known.parameters.iter().skip(skip) {
            add(self, name.clone(), of);
        }
        if ret {
            add(self, RETVAL.into(), &known.result);
        }
        fields
    }

    fn raw_arguments(&mut self, event: &str) -> Result<Vec<Field>, String> {
        for prefix in ["__probestub_", "__traceiter_", "btf_trace_"] {
            let function = format!("{prefix}{event}");
            if let Ok(fields) = self.function_arguments(&function, event, false, 1) {
                return Ok(fields);
            }
        }
        Err(format!(
            "Could not parse arguments of \"{event}\": BTF data for the tracepoint not found"
        ))
    }

    fn tracepoint_arguments(&mut self, point: &Attach) -> Result<Vec<Field>, String> {
        let (category, event) = (&point.target, &point.function);
        let known = self.world.tracepoint_fields(category, event);
        let Some(known) = known else {
            return Err(format!("tracepoint not found: {category}:{event}"));
        };
        Ok(known.iter().map(|field| self.tracepoint_field(field)).collect())
    }

    fn tracepoint_field(&mut self, field: &TracepointField) -> Field {
        let data_loc = field.of.contains("__data_loc");
        let mut of = if data_loc {
            Type::int64().at(Space::Kernel)
        } else {
            self.c_text(&field.of).unwrap_or_default()
        };
        if of.space == Space::None {
            of.space = Space::Kernel;
        }
        if !data_loc {
            match field.count {
                Some(count) if field.of == "char" => of = Type::string(count).at(of.space),
                Some(count) => of = Type::array(of, count),
                None => {
                    if let Kind::Int { size, signed, .. } = &mut of.kind {
                        let given = u8::try_from(field.size).unwrap_or(8);
                        *size = given.next_power_of_two().min(8);
                        *signed = field.signed;
                    }
                }
            }
        }
        Field { name: field.name.clone(), of, offset: field.offset, bits: None, data_loc }
    }

    /// A type as C text says it.
    fn c_text(&mut self, text: &str) -> Option<Type> {
        let mut read = Definitions::default();
        let words = tokens(&format!("typedef {text} it;"));
        declare(&words, &mut read, self, false).ok()?;
        let of = read.typedefs.get("it")?.clone();
        Some(self.of(&of, false))
    }

    fn binary_arguments(&mut self, point: &Attach) -> Result<Vec<Field>, String> {
        let known = self.world.binary_function(&point.target, &point.function);
        match known {
            Some(known) => Ok(self.registers(&known, false, 0)),
            None => Err(format!(
                "Could not parse arguments of \"{}\": no debuginfo found for {}",
                point.name(),
                point.target
            )),
        }
    }
}
