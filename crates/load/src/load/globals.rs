//! Variables of an object's data sections, by their names: before it is loaded, in the
//! object, and afterwards, in the live map.
//!
//! They are found by BTF, so an object needs some. A name that several sections have is
//! told apart as `SECTION:NAME`.

use skep_btf::{Btf, Type};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Map, Skep};
use crate::error::AccessError;
use crate::object::{MapDef, Object};

/// Where a variable is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variable {
    /// Index of the data section's map in [`Object::maps`].
    pub map: usize,
    /// Bytes from the start of the section.
    pub offset: usize,
    /// Bytes that it has.
    pub size: usize,
    /// Its type in the object's BTF: a `BTF_KIND_VAR`.
    pub type_id: u32,
}

impl Object {
    /// Where a variable is, by its name or as `SECTION:NAME`.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn variable(&self, name: &str) -> Result<Variable, AccessError> {
        find(self.btf.as_deref(), self.maps.iter().enumerate(), name)
    }

    /// Sets a variable's first value. The verifier knows those of `const volatile`
    /// variables, which cannot be changed later.
    ///
    /// # Errors
    /// There is no such variable, or it has another size than `value`.
    pub fn set_global<T>(&mut self, name: &str, value: &T) -> Result<(), AccessError>
    where
        T: IntoBytes + Immutable + ?Sized,
    {
        let variable = self.variable(name)?;
        let bytes = value.as_bytes();
        expect_size(name, variable.size, bytes.len())?;
        let def = &mut self.maps[variable.map];
        def.contents.resize(def.value_size as usize, 0);
        match def.contents.get_mut(variable.offset..variable.offset + variable.size) {
            Some(place) => place.copy_from_slice(bytes),
            None => return Err(outside(name)),
        }
        Ok(())
    }
}

impl Skep {
    /// A variable's value now.
    ///
    /// # Errors
    /// There is no such variable, it has another size than `T`, or the kernel refuses.
    pub fn global<T: FromBytes>(&self, name: &str) -> Result<T, AccessError> {
        let (map, variable) = self.live(name)?;
        expect_size(name, variable.size, size_of::<T>())?;
        let mut bytes = vec![0; variable.size];
        match map.memory(false) {
            Ok(memory) if !memory.read(variable.offset, &mut bytes) => return Err(outside(name)),
            Ok(_) => {}
            // Not all kernels can map data sections, and none maps what it froze for writing.
            Err(_) => {
                let all = map.lookup(&0u32.to_ne_bytes()).map_err(|errno| AccessError::Map {
                    name: map.name().into(),
                    doing: "look-up",
                    errno,
                })?;
                let range = variable.offset..variable.offset + variable.size;
                match all.as_deref().and_then(|all| all.get(range)) {
                    Some(found) => bytes.copy_from_slice(found),
                    None => return Err(outside(name)),
                }
            }
        }
        T::read_from_bytes(&bytes).map_err(|_| outside(name))
    }

    /// Changes a variable while programs may be running. They see eight bytes in their
    /// place change at once, and anything else byte by byte.
    ///
    /// # Errors
    /// There is no such variable, it has another size than `value`, or it is constant.
    pub fn set_global<T>(&self, name: &str, value: &T) -> Result<(), AccessError>
    where
        T: IntoBytes + Immutable + ?Sized,
    {
        let (map, variable) = self.live(name)?;
        let bytes = value.as_bytes();
        expect_size(name, variable.size, bytes.len())?;
        let memory = map.memory(true).map_err(|errno| AccessError::Map {
            name: map.name().into(),
            doing: "mapping it for writing",
            errno,
        })?;
        let is_written = match bytes.try_into().map(u64::from_ne_bytes) {
            Ok(word) if memory.store_u64(variable.offset, word) => true,
            _ => memory.write(variable.offset, bytes),
        };
        match is_written {
            true => Ok(()),
            false => Err(outside(name)),
        }
    }

    fn live(&self, name: &str) -> Result<(&Map, Variable), AccessError> {
        let maps = self.maps.iter().enumerate();
        let defs = maps.filter_map(|(index, map)| Some((index, map.as_ref()?.def())));
        let variable = find(self.types.as_deref(), defs, name)?;
        match self.maps.get(variable.map) {
            Some(Some(map)) => Ok((map, variable)),
            _ => Err(outside(name)),
        }
    }
}

fn expect_size(name: &str, size: usize, given: usize) -> Result<(), AccessError> {
    match size == given {
        true => Ok(()),
        false => {
            let reason = format!("has {size} bytes, the value has {given}");
            Err(AccessError::Variable { name: name.into(), reason })
        }
    }
}

fn outside(name: &str) -> AccessError {
    AccessError::Variable { name: name.into(), reason: "lies outside of its section".into() }
}

fn find<'a>(
    btf: Option<&Btf>,
    defs: impl Iterator<Item = (usize, &'a MapDef)>,
    name: &str,
) -> Result<Variable, AccessError> {
    let Some(btf) = btf else {
        let reason = "the object has no types: compile with -g".into();
        return Err(AccessError::Variable { name: name.into(), reason });
    };
    let (wanted_section, wanted) = match name.rsplit_once(':') {
        Some((section, name)) => (Some(section), name),
        None => (None, name),
    };
    let (mut found, mut has) = (Vec::new(), Vec::new());
    for (map, def) in defs {
        let Some(section) = def.origin.section() else { continue };
        let Ok(Type::DataSec(data)) = btf.type_by_id(def.value_type_id) else { continue };
        for var in data.vars.iter() {
            let this = btf.type_by_id(var.type_id).map_or("", |ty| ty.name());
            if this == wanted && wanted_section.is_none_or(|wanted| wanted == section) {
                let (offset, size) = (var.offset as usize, var.size as usize);
                let variable = Variable { map, offset, size, type_id: var.type_id };
                found.push((section.to_owned(), variable));
            }
            has.push(this.to_owned());
        }
    }
    match found.len() {
        0 => Err(AccessError::Missing { what: "variable", name: name.into(), has }),
        1 => Ok(found[0].1),
        _ => {
            let sections = found.into_iter().map(|(section, _)| section).collect();
            Err(AccessError::Ambiguous { name: wanted.into(), sections })
        }
    }
}
