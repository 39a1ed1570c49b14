//! Objects from parts, for those who make programs themselves: no file is behind them, all
//! else is as of objects that a compiler wrote.

use skep_abi::{MapType, SectionDef};
use skep_isa::{Insn, encode};

use crate::object::{Function, MapDef, Object, ProgramDef};
use crate::parse;

impl Object {
    /// An object without anything in it, with a name for messages and a licence.
    pub fn empty(name: &str, license: &str) -> Object {
        Object {
            name: name.into(),
            file: name.into(),
            license: license.into(),
            ..Object::default()
        }
    }

    /// Adds a program whose code is a function of the object: its section says what it is.
    ///
    /// # Errors
    /// A section name that nobody knows.
    pub fn add_program(
        &mut self,
        name: &str,
        section: &str,
        function: usize,
    ) -> Result<(), String> {
        let Some((def, target)) = SectionDef::find(section) else {
            return Err(format!("no program has the section {section:?}"));
        };
        self.programs.push(ProgramDef {
            name: name.into(),
            section: section.into(),
            function,
            autoload: true,
            section_def: Some(def),
            prog_type: Some(def.prog_type),
            attach_type: def.attach_type,
            target: target.map(str::to_owned),
            flags: parse::prog_flags(def.flags),
        });
        Ok(())
    }
}

impl Function {
    /// A function with these instructions, without references and records.
    pub fn new(name: &str, section: &str, insns: &[Insn]) -> Function {
        Function {
            name: name.into(),
            section: section.into(),
            section_index: 0,
            start: 0,
            insns: encode(insns),
            references: Vec::new(),
            global: false,
            hidden: false,
            func_info: Vec::new(),
            line_info: Vec::new(),
        }
    }
}

impl MapDef {
    /// A map without types and contents, to be completed.
    pub fn new(name: &str, kind: MapType, key_size: u32, value_size: u32, entries: u32) -> MapDef {
        MapDef {
            name: name.into(),
            map_type: kind as u32,
            key_size,
            value_size,
            max_entries: entries,
            autocreate: true,
            ..MapDef::default()
        }
    }
}
