//! Named parameters: `getopt("name", default, "description")`.

use std::collections::HashMap;

use super::ast::{Element, Expr, ExprKind, Map, Name};
use super::checked::Value;
use super::kind::Type;
use super::number;
use super::unit::Unit;
use super::walk::{self, Visitor};

/// A named parameter of a script.
#[derive(Clone, Debug)]
pub struct NamedParameter {
    /// Its default.
    pub default: Value,
    /// What help says.
    pub description: String,
    /// What the command line says, or the default.
    pub value: Value,
    /// Its type.
    pub of: Type,
}

/// By name; the maps of these names hold them.
pub type NamedParameters = HashMap<Name, NamedParameter>;

/// Replaces all calls of `getopt`.
pub fn resolve(unit: &mut Unit<'_>) -> NamedParameters {
    let mut probes = std::mem::take(&mut unit.probes);
    let mut functions = std::mem::take(&mut unit.functions);
    let mut resolver = Resolver { unit, known: HashMap::new() };
    for function in &mut functions {
        resolver.block(&mut function.body);
    }
    for probe in &mut probes {
        resolver.block(&mut probe.body);
    }
    let known = resolver.known;
    unit.probes = probes;
    unit.functions = functions;
    known
}

struct Resolver<'r, 'a> {
    unit: &'r mut Unit<'a>,
    known: NamedParameters,
}

impl Resolver<'_, '_> {
    fn default_of(&self, argument: Option<&Expr>) -> Option<(Value, Type)> {
        let max_strlen = u32::try_from(self.unit.config.max_strlen).unwrap_or(u32::MAX);
        Some(match argument.map(|argument| &argument.kind) {
            None => (Value::Bool(false), Type::bool()),
            Some(ExprKind::Bool(truth)) => (Value::Bool(*truth), Type::bool()),
            Some(ExprKind::Str(bytes)) => (Value::Str(bytes.clone()), Type::string(max_strlen)),
            Some(ExprKind::Int(value, _)) => (Value::Int(*value), Type::uint64()),
            Some(ExprKind::Negative(value)) => (Value::Negative(*value), Type::int64()),
            Some(_) => return None,
        })
    }

    fn getopt(&mut self, expr: &Expr, arguments: &[Expr]) -> Option<ExprKind> {
        let place = expr.place;
        let diagnostics = &mut self.unit.diagnostics;
        if arguments.is_empty() || arguments.len() > 3 {
            diagnostics.error(
                place,
                "The 'getopt' function can take a maximum of three arguments and a minimum of \
                 one argument.",
            );
            return None;
        }
        let Some(name) = arguments[0].as_text() else {
            diagnostics
                .error(arguments[0].place, "First argument to 'getopt' must be a string literal.");
            return None;
        };
        let mut description = String::new();
        if let Some(third) = arguments.get(2) {
            let Some(text) = third.as_text() else {
                diagnostics.warning(
                    third.place,
                    "Function 'getopt' requires the third parameter to be a string literal.",
                );
                return None;
            };
            description = text.into_owned();
        }
        let Some((default, of)) = self.default_of(arguments.get(1)) else {
            self.unit.diagnostics.error(
                arguments[1].place,
                "Second argument to 'getopt' must be a string literal, integer literal, or a \
                 boolean literal.",
            );
            return None;
        };
        let name: Name = name.into_owned().into();
        if let Some(before) = self.known.get(&name) {
            if before.default != default {
                let text = format!(
                    "Command line option '{name}' needs to have the same default value in all \
                     places it is used. Previous default value: {}",
                    shown(&before.default)
                );
                self.unit.diagnostics.error(place, text);
                return None;
            }
            let differs = !description.is_empty()
                && !before.description.is_empty()
                && before.description != description;
            if differs {
                let text = format!(
                    "Command line option '{name}' must have the same description in all places \
                     it's used. Hint: You can wrap it in a macro"
                );
                self.unit.diagnostics.error(place, text);
                return None;
            }
            if description.is_empty() {
                description.clone_from(&before.description);
            }
        }
        let value = self.given(&name, &default, place);
        self.known.insert(name.clone(), NamedParameter { default, description, value, of });
        let map = Map { id: self.unit.ids.fresh(), name, place };
        let zero = Expr { id: self.unit.ids.fresh(), kind: ExprKind::Int(0, None), place };
        Some(ExprKind::Element(Element { map, key: Box::new(zero), place }))
    }

    /// What the command line says about it.
    fn given(&mut self, name: &str, default: &Value, place: super::place::Place) -> Value {
        let given = self.unit.options.named.iter().find(|(one, _)| one == name);
        let Some((_, given)) = given else {
            return default.clone();
        };
        let text = given.as_deref();
        let lower = text.map(str::to_ascii_lowercase);
        let value = match (default, text) {
            (Value::Bool(_), _) => match lower.as_deref() {
                None | Some("true" | "1") => Some(Value::Bool(true)),
                Some("false" | "0") => Some(Value::Bool(false)),
                _ => None,
            },
            (Value::Int(_) | Value::Negative(_), Some(text)) => number::unsigned(text)
                .map(Value::Int)
                .ok()
                .or_else(|| number::signed(text).map(Value::Negative)),
            (Value::Str(_), Some(text)) => Some(Value::Str(text.as_bytes().into())),
            _ => None,
        };
        value.unwrap_or_else(|| {
            let kind = match default {
                Value::Bool(_) => "boolean (e.g. 'true')",
                Value::Int(_) | Value::Negative(_) => "number",
                Value::Str(_) => "string",
            };
            let text = format!(
                "Command line option '{name}' is expecting a {kind}. Got: {}",
                text.unwrap_or("")
            );
            self.unit.diagnostics.error(place, text);
            default.clone()
        })
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Negative(value) => value.to_string(),
        Value::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

impl Visitor for Resolver<'_, '_> {
    fn expr(&mut self, expr: &mut Expr) {
        let arguments = match &expr.kind {
            ExprKind::Call(call) if &*call.function == "getopt" => call.arguments.clone(),
            _ => {
                walk::expr_parts(self, expr);
                return;
            }
        };
        if let Some(kind) = self.getopt(expr, &arguments) {
            expr.id = self.unit.ids.fresh();
            expr.kind = kind;
        }
    }
}
