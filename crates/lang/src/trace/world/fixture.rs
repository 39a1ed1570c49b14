//! A described world: a JSON file that says what there is to trace, so that scripts can be
//! checked without a kernel, and the same everywhere.
//!
//! ```json
//! { "types": "struct Foo { int a; }; struct Foo *get(int a);",
//!   "functions": { "vmlinux": ["get"] },
//!   "raw_tracepoints": { "vmlinux": ["event"] },
//!   "tracepoints": { "sched": { "sched_one": [
//!       { "name": "a", "type": "int", "offset": 8, "size": 4, "signed": true } ] } },
//!   "programs": [ [123, "prog"] ],
//!   "iterators": ["task"],
//!   "binaries": { "/bin/sh": { "functions": ["main"], "usdt": [["provider", "name"]] } } }
//! ```
//!
//! `types` is C: kernel types, functions and variables. All parts may be left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Feature, Import, TracepointField, World, matches};
use crate::trace::ast::Name;
use crate::trace::c::{
    CEnum, CFunction, CRecord, CType, Definitions, Headers, Lookup, NoHeaders, declare, preprocess,
};

/// A described world.
#[derive(Clone, Debug, Default)]
pub struct Fixture {
    types: Option<Definitions>,
    functions: Vec<(Name, Name)>,
    raw_tracepoints: Vec<(Name, Name)>,
    tracepoints: BTreeMap<Name, BTreeMap<Name, Vec<TracepointField>>>,
    programs: Vec<(u32, Name)>,
    iterators: Vec<Name>,
    modules: Vec<Name>,
    binaries: BTreeMap<Name, Binary>,
    kfuncs: Vec<Name>,
    imports: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
struct Binary {
    functions: Vec<Name>,
    usdt: Vec<(Name, Name)>,
    symbols: BTreeMap<Name, u64>,
}

/// Why a text describes no world.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FixtureError {
    /// It is no JSON.
    #[error("fixture: {0}")]
    Json(String),
    /// A part has the wrong form.
    #[error("fixture: {0} should be {1}")]
    Form(&'static str, &'static str),
    /// The types are no C.
    #[error("fixture: types: {0}")]
    Types(String),
}

impl Fixture {
    /// Reads a description.
    pub fn read(text: &str) -> Result<Fixture, FixtureError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| FixtureError::Json(error.to_string()))?;
        if !value.is_object() {
            return Err(FixtureError::Form("the whole", "an object"));
        }
        let mut fixture = Fixture {
            functions: pairs(&value["functions"], "functions")?,
            raw_tracepoints: pairs(&value["raw_tracepoints"], "raw_tracepoints")?,
            iterators: names(&value["iterators"], "iterators")?,
            modules: names(&value["modules"], "modules")?,
            kfuncs: names(&value["kfuncs"], "kfuncs")?,
            ..Fixture::default()
        };
        if let Some(types) = value.get("types") {
            let types = types.as_str().ok_or(FixtureError::Form("types", "a text"))?;
            fixture.types = Some(read_types(types)?);
        }
        for (category, events) in entries(&value["tracepoints"], "tracepoints")? {
            let mut read = BTreeMap::new();
            for (event, fields) in entries(events, "tracepoints")? {
                read.insert(event.as_str().into(), read_fields(fields)?);
            }
            fixture.tracepoints.insert(category.as_str().into(), read);
        }
        for (path, binary) in entries(&value["binaries"], "binaries")? {
            let binary = read_binary(binary)?;
            fixture.binaries.insert(path.as_str().into(), binary);
        }
        for (path, text) in entries(&value["imports"], "imports")? {
            let text = text.as_str().ok_or(FixtureError::Form("imports", "paths with texts"))?;
            fixture.imports.insert(path.clone(), text.to_owned());
        }
        for program in list(&value["programs"], "programs")? {
            let number = program[0].as_u64().and_then(|n| u32::try_from(n).ok());
            match (number, program[1].as_str()) {
                (Some(number), Some(name)) => fixture.programs.push((number, name.into())),
                _ => return Err(FixtureError::Form("programs", "pairs of number and name")),
            }
        }
        Ok(fixture)
    }
}

fn read_types(text: &str) -> Result<Definitions, FixtureError> {
    let read = preprocess(text, &[], &NoHeaders);
    let mut types = Definitions::default();
    declare(&read.tokens, &mut types, &Definitions::default(), false)
        .map_err(|error| FixtureError::Types(error.to_string()))?;
    Ok(types)
}

fn list<'a>(value: &'a Value, part: &'static str) -> Result<&'a [Value], FixtureError> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(list) => Ok(list),
        _ => Err(FixtureError::Form(part, "a list")),
    }
}

fn entries<'a>(
    value: &'a Value,
    part: &'static str,
) -> Result<Vec<(&'a String, &'a Value)>, FixtureError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(entries) => Ok(entries.iter().collect()),
        _ => Err(FixtureError::Form(part, "an object")),
    }
}

fn names(value: &Value, part: &'static str) -> Result<Vec<Name>, FixtureError> {
    list(value, part)?
        .iter()
        .map(|name| name.as_str().map(Name::from))
        .collect::<Option<_>>()
        .ok_or(FixtureError::Form(part, "a list of names"))
}

fn pairs(value: &Value, part: &'static str) -> Result<Vec<(Name, Name)>, FixtureError> {
    let mut out = Vec::new();
    for (first, seconds) in entries(value, part)? {
        for second in names(seconds, part)? {
            out.push((first.as_str().into(), second));
        }
    }
    Ok(out)
}

fn read_fields(value: &Value) -> Result<Vec<TracepointField>, FixtureError> {
    const PART: &str = "a tracepoint's fields";
    let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let mut out = Vec::new();
    for field in list(value, PART)? {
        let (Some(name), Some(of)) = (field["name"].as_str(), field["type"].as_str()) else {
            return Err(FixtureError::Form(PART, "objects with name and type"));
        };
        let (Some(offset), Some(size)) = (number(&field["offset"]), number(&field["size"])) else {
            return Err(FixtureError::Form(PART, "objects with offset and size"));
        };
        out.push(TracepointField {
            name: name.into(),
            of: of.to_owned(),
            count: number(&field["count"]),
            offset,
            size,
            signed: field["signed"].as_bool().unwrap_or(false),
        });
    }
    Ok(out)
}

fn read_binary(value: &Value) -> Result<Binary, FixtureError> {
    const PART: &str = "a binary";
    let mut binary = Binary { functions: names(&value["functions"], PART)?, ..Binary::default() };
    for probe in list(&value["usdt"], PART)? {
        match (probe[0].as_str(), probe[1].as_str()) {
            (Some(provider), Some(name)) => binary.usdt.push((provider.into(), name.into())),
            _ => return Err(FixtureError::Form("usdt", "pairs of provider and name")),
        }
    }
    for (name, size) in entries(&value["symbols"], PART)? {
        let size = size.as_u64().ok_or(FixtureError::Form("symbols", "names with sizes"))?;
        binary.symbols.insert(name.as_str().into(), size);
    }
    Ok(binary)
}

impl Lookup for Fixture {
    fn record(&self, name: &str) -> Option<Arc<CRecord>> {
        self.types.as_ref()?.record(name)
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        self.types.as_ref()?.typedef(name)
    }

    fn enumeration(&self, name: &str) -> Option<Arc<CEnum>> {
        self.types.as_ref()?.enumeration(name)
    }
}

impl World for Fixture {
    fn has_types(&self) -> bool {
        self.types.is_some()
    }

    fn modules(&self) -> Vec<Name> {
        let mut modules = self.modules.clone();
        modules.extend(self.functions.iter().map(|(module, _)| module.clone()));
        modules.sort();
        modules.dedup();
        modules
    }

    fn functions(&self) -> Vec<(Name, Name)> {
        self.functions.clone()
    }

    fn raw_tracepoints(&self) -> Vec<(Name, Name)> {
        self.raw_tracepoints.clone()
    }

    fn tracepoints(&self) -> Vec<(Name, Name)> {
        self.tracepoints
            .iter()
            .flat_map(|(category, events)| {
                events.keys().map(move |event| (category.clone(), event.clone()))
            })
            .collect()
    }

    fn tracepoint_fields(&self, category: &str, event: &str) -> Option<Vec<TracepointField>> {
        let fields = self.tracepoints.get(category)?.get(event)?;
        (!fields.is_empty()).then(|| fields.clone())
    }

    fn programs(&self) -> Vec<(u32, Name)> {
        self.programs.clone()
    }

    fn function(&self, name: &str) -> Option<CFunction> {
        self.types.as_ref()?.functions.get(name).cloned()
    }

    fn variable(&self, name: &str) -> Option<CType> {
        self.types.as_ref()?.variables.get(name).cloned()
    }

    fn iterators(&self) -> Vec<Name> {
        self.iterators.clone()
    }

    fn binaries(&self, pattern: &str) -> Vec<Name> {
        let paths = self.binaries.keys();
        paths
            .filter(|path| {
                matches(pattern, path)
                    || (!pattern.contains('/')
                        && path.rsplit('/').next().is_some_and(|file| matches(pattern, file)))
            })
            .cloned()
            .collect()
    }

    fn library(&self, name: &str) -> Option<Name> {
        let file = format!("/{name}.so");
        self.binaries.keys().find(|path| path.contains(&*file)).cloned()
    }

    fn binary_functions(&self, path: &str) -> Vec<Name> {
        self.binaries.get(path).map(|binary| binary.functions.clone()).unwrap_or_default()
    }

    fn usdt(&self, path: &str) -> Vec<(Name, Name)> {
        self.binaries.get(path).map(|binary| binary.usdt.clone()).unwrap_or_default()
    }

    fn symbol_size(&self, path: &str, name: &str) -> Option<u64> {
        let binary = self.binaries.get(path)?;
        let known = binary.symbols.get(name).copied();
        known.or_else(|| {
            let function = binary.functions.iter().any(|one| **one == *name);
            function.then_some(4)
        })
    }

    fn binary_function(&self, _path: &str, _name: &str) -> Option<CFunction> {
        None
    }

    fn has_debug_info(&self, _path: &str) -> bool {
        false
    }

    fn line_address(&self, _path: &str, _file: &str, _line: u64, _column: u64) -> Option<u64> {
        None
    }

    fn kfunc(&self, name: &str) -> bool {
        self.kfuncs.iter().any(|kfunc| **kfunc == *name)
    }

    fn has(&self, _feature: Feature) -> bool {
        true
    }

    fn headers(&self) -> &dyn Headers {
        &NoHeaders
    }

    fn import(&self, path: &str) -> Import {
        match self.imports.get(path) {
            Some(text) => Import::Files(vec![(path.to_owned(), text.clone())]),
            None => Import::Missing,
        }
    }
}
