//! A script on its way through the steps.

use super::ast::{
    Block, Definition, Function, Ids, Import, Macro, MapDeclaration, Script, Setting,
};
use super::c::Definitions;
use super::config::Config;
use super::diagnostic::Diagnostics;
use super::options::Options;
use super::place::{Place, Sources};
use super::points::{Attach, Provider};
use super::world::World;

/// A script on its way.
pub struct Unit<'a> {
    /// What there is to trace.
    pub world: &'a dyn World,
    /// How it is checked.
    pub options: &'a Options,
    /// Its settings.
    pub config: Config,
    /// Numbers of nodes.
    pub ids: Ids,
    /// Texts.
    pub sources: Sources,
    /// What was found.
    pub diagnostics: Diagnostics,
    /// C text.
    pub definitions: Vec<Definition>,
    /// C definitions, read.
    pub c: Definitions,
    /// Entries of the config block.
    pub settings: Vec<Setting>,
    /// Imports at the root.
    pub imports: Vec<Import>,
    /// Probes.
    pub probes: Vec<Probe>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Macros, and whether each belongs to the language.
    pub macros: Vec<(Macro, bool)>,
    /// Declared maps.
    pub maps: Vec<MapDeclaration>,
}

/// A probe on its way.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it attaches to, as written.
    pub raw: Vec<super::ast::AttachPoint>,
    /// What it attaches to.
    pub points: Vec<Attach>,
    /// What it does.
    pub body: Block,
    /// Where.
    pub place: Place,
}

impl Probe {
    /// Its provider; of several points the first one's.
    pub fn provider(&self) -> Option<Provider> {
        self.points.first().map(|point| point.provider)
    }
}

impl<'a> Unit<'a> {
    /// Nothing yet.
    pub fn new(world: &'a dyn World, options: &'a Options) -> Unit<'a> {
        Unit {
            world,
            options,
            config: Config::default(),
            ids: Ids::default(),
            sources: Sources::default(),
            diagnostics: Diagnostics::default(),
            definitions: Vec::new(),
            c: Definitions::default(),
            settings: Vec::new(),
            imports: Vec::new(),
            probes: Vec::new(),
            functions: Vec::new(),
            macros: Vec::new(),
            maps: Vec::new(),
        }
    }

    /// Adds what a text says.
    pub fn add(&mut self, script: Script, of_language: bool) {
        self.definitions.extend(script.definitions);
        self.settings.extend(script.config);
        self.imports.extend(script.imports);
        for item in script.items {
            match item {
                super::ast::Item::Probe(probe) => self.probes.push(Probe {
                    raw: probe.points,
                    points: Vec::new(),
                    body: probe.body,
                    place: probe.place,
                }),
                super::ast::Item::Function(function) => self.functions.push(function),
                super::ast::Item::Macro(one) => self.macros.push((one, of_language)),
                super::ast::Item::MapDeclaration(map) => self.maps.push(map),
            }
        }
    }

    /// Whether nothing was wrong so far.
    pub fn is_ok(&self) -> bool {
        self.diagnostics.is_ok()
    }
}
