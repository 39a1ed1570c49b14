//! From the typed tree to the checked one: names become numbers, conversions are written
//! out, calls become what they mean.

mod calls;
mod exprs;
mod points;
mod statements;

use std::collections::{HashMap, HashSet};

use super::ast::{Expr, ExprId, ExprKind, Name};
use super::c::{Definitions, Lookup};
use super::checked::{
    Enumeration, Format, FormatId, Map, MapId, Parameter, ParameterId, Program, Script, Shape,
    Variable, VariableId,
};
use super::kind::{Kind, Type};
use super::params::NamedParameters;
use super::place::Place;
use super::sugar::MapUses;
use super::types::{Slot, Typed, map_kind};
use super::unit::Unit;
use super::walk::{self, Visitor};

/// Builds the checked script; errors that only show here go to the unit.
pub fn build(
    unit: &mut Unit<'_>,
    typed: &Typed,
    uses: &MapUses,
    parameters: &NamedParameters,
) -> Script {
    let c = std::mem::take(&mut unit.c);
    let mut builder = Builder {
        typed,
        c: &c,
        world: unit.world,
        config: unit.config.clone(),
        uses,
        given: parameters,
        script: Script::default(),
        maps: HashMap::new(),
        parameters: HashMap::new(),
        variables: HashMap::new(),
        program: Vec::new(),
        named: HashSet::new(),
        errors: Vec::new(),
        declared: unit.maps.iter().map(|map| (map.name.clone(), map.clone())).collect(),
    };
    let mut names: Vec<&Name> = parameters.keys().collect();
    names.sort();
    for name in names {
        let id = ParameterId(builder.script.parameters.len() as u32);
        builder.parameters.insert(name.clone(), id);
        let given = &parameters[name];
        builder.script.parameters.push(Parameter {
            name: name.clone(),
            description: given.description.clone(),
            value: given.value.clone(),
        });
    }
    for probe in &mut unit.probes {
        let uses_arguments = uses_arguments(&mut probe.body);
        builder.probe(probe, uses_arguments);
    }
    builder.enumerations();
    let Builder { mut script, errors, .. } = builder;
    for (place, text) in errors {
        unit.diagnostics.error(place, text);
    }
    script.records = typed.records.clone();
    script.config = unit.config.clone();
    script.sources = unit.sources.clone();
    unit.c = c;
    script
}

fn uses_arguments(body: &mut super::ast::Block) -> bool {
    struct Uses(bool);
    impl Visitor for Uses {
        fn expr(&mut self, expr: &mut Expr) {
            if let ExprKind::Builtin(word) = &expr.kind {
                self.0 |= matches!(&**word, "args" | "__builtin_retval");
            }
            walk::expr_parts(self, expr);
        }
    }
    let mut uses = Uses(false);
    uses.block(body);
    uses.0
}

struct Builder<'b> {
    typed: &'b Typed,
    c: &'b Definitions,
    world: &'b dyn super::world::World,
    config: super::config::Config,
    uses: &'b MapUses,
    given: &'b NamedParameters,
    script: Script,
    maps: HashMap<Name, MapId>,
    parameters: HashMap<Name, ParameterId>,
    /// Of this program.
    variables: HashMap<(ExprId, Name), VariableId>,
    program: Vec<Variable>,
    /// Enumerations that types name.
    named: HashSet<Name>,
    errors: Vec<(Place, String)>,
    declared: HashMap<Name, super::ast::MapDeclaration>,
}

impl Builder<'_> {
    fn probe(&mut self, probe: &super::unit::Probe, uses_arguments: bool) {
        let Some(point) = probe.points.first() else {
            return;
        };
        self.variables.clear();
        self.program.clear();
        let body = self.block_statements(&probe.body);
        let arguments = uses_arguments
            .then(|| self.typed.records.find(&format!("struct {}_args", point.name())))
            .flatten();
        self.script.programs.push(Program {
            name: point.name().into(),
            points: points::points(point),
            session: point.session,
            arguments,
            variables: std::mem::take(&mut self.program),
            body,
            place: probe.place,
        });
    }

    fn note(&mut self, of: &Type) {
        match &of.kind {
            Kind::Int { enumeration: Some(name), .. } => {
                self.named.insert(name.clone());
            }
            Kind::Pointer(of) | Kind::Array(of, _) => self.note(of),
            Kind::Tuple(_) | Kind::Named(_) => {
                for part in of.parts() {
                    self.note(part);
                }
            }
            _ => {}
        }
    }

    /// Names of enumerations' values, for all that types name.
    fn enumerations(&mut self) {
        for (_, record) in self.typed.records.iter() {
            for field in &record.fields {
                self.note(&field.of.clone());
            }
        }
        let mut named: Vec<Name> = self.named.drain().collect();
        named.sort();
        for name in named {
            let known = self.c.enumeration(&name);
            let Some(known) = known.or_else(|| self.world.enumeration(&name)) else {
                continue;
            };
            let values = known.values.iter().map(|(word, value)| (*value as u64, word.clone()));
            self.script.enumerations.push(Enumeration { name, values: values.collect() });
        }
    }

    /// A map's number; the map begins with its first use.
    fn map(&mut self, name: &Name) -> MapId {
        if let Some(id) = self.maps.get(name) {
            return *id;
        }
        let id = MapId(self.script.maps.len() as u32);
        let scalar = self.uses.scalar.get(name).copied().unwrap_or(false);
        let (key, value) = (self.typed.key(name), self.typed.value(name));
        self.note(&key);
        self.note(&value);
        let declared = self.declared.get(name);
        let entries = match declared {
            Some(declared) => declared.entries,
            None if scalar => 1,
            None => self.config.max_map_keys,
        };
        self.script.maps.push(Map {
            name: name.clone(),
            scalar,
            key,
            value,
            declared: declared.and_then(|declared| map_kind(&declared.kind)),
            entries,
            shape: Shape::Plain,
        });
        self.maps.insert(name.clone(), id);
        id
    }

    /// Sets an aggregation's constants, which all of a map's uses share.
    fn shape(&mut self, map: MapId, shape: Shape, place: Place) {
        let map = &mut self.script.maps[map.0 as usize];
        if map.shape == Shape::Plain {
            map.shape = shape;
        } else if map.shape != shape {
            let what = match shape {
                Shape::Hist { .. } => "Different bits in a single hist unsupported",
                Shape::LHist { .. } => "Different lhist bounds in a single map unsupported",
                _ => "Different tseries bounds in a single map unsupported",
            };
            self.errors.push((place, what.to_owned()));
        }
    }

    /// The variable that a use means.
    fn variable(&mut self, id: ExprId) -> VariableId {
        let Some(key) = self.typed.variables.get(&id).cloned() else {
            return VariableId(0);
        };
        if let Some(found) = self.variables.get(&key) {
            return *found;
        }
        let variable = VariableId(self.program.len() as u32);
        let of = self.typed.find(&Slot::Variable(key.0, key.1.clone()));
        self.note(&of);
        self.program.push(Variable { name: key.1.clone(), of, addressed: false });
        self.variables.insert(key, variable);
        variable
    }

    /// A variable's type.
    fn variable_type(&self, id: VariableId) -> Type {
        self.program.get(id.0 as usize).map(|variable| variable.of.clone()).unwrap_or_default()
    }

    fn format(&mut self, format: Format) -> FormatId {
        self.script.formats.push(format);
        FormatId(self.script.formats.len() as u32 - 1)
    }
}
