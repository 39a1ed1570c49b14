//! Symbols: those of one file stay its own, globals of one name are one.

use std::collections::HashMap;

use super::sections::Placed;
use super::{Input, LinkObjectsError};
use crate::elf::{Symbol, st};

/// `STT_FILE`.
const FILE: u8 = 4;

/// A symbol of the linked file.
pub(super) struct Out {
    pub name: String,
    pub value: u64,
    pub size: u64,
    /// Index into the linked sections; `None` for what is undefined.
    pub section: Option<usize>,
    /// One of [`st`].
    pub kind: u8,
    /// One of [`st`]; 0 for a local one.
    pub bind: u8,
    pub hidden: bool,
    /// The file that defines it.
    pub input: usize,
}

/// All symbols, and which of them those of each input are.
pub(super) struct Symbols {
    pub all: Vec<Out>,
    pub of: Vec<Vec<Option<usize>>>,
    /// Globals by name.
    pub globals: HashMap<String, usize>,
}

impl Symbols {
    /// The file that a global is defined in; `None` for what is defined in none.
    pub fn defined_by(&self, name: &str) -> Option<usize> {
        let symbol = &self.all[*self.globals.get(name)?];
        symbol.section.map(|_| symbol.input)
    }
}

/// Puts the symbols of all inputs together.
pub(super) fn resolve(inputs: &[Input<'_>], placed: &Placed) -> Result<Symbols, LinkObjectsError> {
    let mut symbols = Symbols { all: Vec::new(), of: Vec::new(), globals: HashMap::new() };
    // One for each section stands for all that inputs had of it.
    for section in 0..placed.sections.len() {
        symbols.all.push(Out {
            name: String::new(),
            value: 0,
            size: 0,
            section: Some(section),
            kind: st::SECTION,
            bind: 0,
            hidden: false,
            input: 0,
        });
    }
    for (number, input) in inputs.iter().enumerate() {
        let mut of = vec![None; input.elf.symbols.len()];
        for (place, symbol) in of.iter_mut().zip(&input.elf.symbols).skip(1) {
            *place =
                add(&mut symbols, placed, number, symbol).map_err(|reason| input.clash(reason))?;
        }
        symbols.of.push(of);
    }
    Ok(symbols)
}

/// The symbol of the linked file that an input's symbol is.
fn add(
    symbols: &mut Symbols,
    placed: &Placed,
    number: usize,
    symbol: &Symbol<'_>,
) -> Result<Option<usize>, String> {
    let name = &symbol.name;
    let went = placed.went[number].get(&symbol.section);
    if symbol.kind == FILE {
        return Ok(None);
    }
    let out = match went {
        Some(went) if symbol.kind == st::SECTION => return Ok(Some(went.section)),
        Some(went) => Out {
            name: name.to_string(),
            value: symbol.value.wrapping_add(went.offset),
            size: symbol.size,
            section: Some(went.section),
            kind: symbol.kind,
            bind: symbol.bind,
            hidden: symbol.hidden,
            input: number,
        },
        None if symbol.section == st::UNDEFINED && symbol.is_global() => Out {
            name: name.to_string(),
            value: 0,
            size: 0,
            section: None,
            kind: symbol.kind,
            bind: symbol.bind,
            hidden: symbol.hidden,
            input: number,
        },
        None if symbol.is_global() => {
            return Err(format!("global symbol {name:?} is in no section that stays"));
        }
        None => return Ok(None),
    };
    if !symbol.is_global() {
        symbols.all.push(out);
        return Ok(Some(symbols.all.len() - 1));
    }
    // Of what all files say alike, the first one's symbol is for all.
    let is_said_once = out.section.is_some_and(|at| placed.sections[at].is_said_once());
    let Some(&known) = symbols.globals.get(&**name) else {
        symbols.globals.insert(name.to_string(), symbols.all.len());
        symbols.all.push(out);
        return Ok(Some(symbols.all.len() - 1));
    };
    if !(is_said_once && symbols.all[known].section == out.section) {
        merge(&mut symbols.all[known], out)?;
    }
    Ok(Some(known))
}

/// Makes one symbol of two globals of a name.
fn merge(known: &mut Out, new: Out) -> Result<(), String> {
    let hidden = known.hidden || new.hidden;
    match (known.section, new.section) {
        (Some(_), Some(_)) if known.bind == st::WEAK && new.bind != st::WEAK => *known = new,
        (Some(_), Some(_)) if new.bind == st::WEAK => {}
        (Some(_), Some(_)) => {
            return Err(format!("{:?} is defined in a file before as well", known.name));
        }
        (Some(_), None) => {}
        (None, Some(_)) => *known = new,
        // Who needs it says so for all.
        (None, None) if new.bind != st::WEAK => known.bind = new.bind,
        (None, None) => {}
    }
    known.hidden = hidden;
    Ok(())
}
