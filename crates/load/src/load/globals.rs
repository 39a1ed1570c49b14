//! Variables of an object's data sections, by their names: before it is loaded, in the
//! object, and afterwards, in the live map.
//!
//! They are found by BTF, so an object needs some. A name that several sections have is
//! told apart as `SECTION:NAME`.

use std::fmt;
use std::marker::PhantomData;

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

    /// The first values of all variables of a section (`.rodata`), as a structure of its size.
    ///
    /// # Errors
    /// There is no such section, or it has another size than `T`.
    pub fn section<T: FromBytes + IntoBytes>(&self, name: &str) -> Result<Box<T>, AccessError> {
        let def = self.map(name).ok_or_else(|| self.no_section(name))?;
        let mut value = zeroed::<T>(name, def)?;
        let given = def.contents.len().min(size_of::<T>());
        value.as_mut_bytes()[..given].copy_from_slice(&def.contents[..given]);
        Ok(value)
    }

    /// Sets the first values of all variables of a section.
    ///
    /// # Errors
    /// There is no such section, or it has another size than `value`.
    pub fn set_section<T>(&mut self, name: &str, value: &T) -> Result<(), AccessError>
    where
        T: IntoBytes + Immutable + ?Sized,
    {
        let bytes = value.as_bytes();
        let missing = self.no_section(name);
        let def = self.map_mut(name).ok_or(missing)?;
        expect_size(name, def.value_size as usize, bytes.len())?;
        def.contents = bytes.to_vec();
        Ok(())
    }

    fn no_section(&self, name: &str) -> AccessError {
        let sections = self.maps.iter().filter_map(|map| map.origin.section());
        let has = sections.map(str::to_owned).collect();
        AccessError::Missing { what: "section", name: name.into(), has }
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

/// A variable of a loaded object, by its Rust type.
pub struct Global<T> {
    map: Map,
    name: String,
    offset: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Global<T> {
    fn clone(&self) -> Global<T> {
        Global { map: self.map.clone(), name: self.name.clone(), ..*self }
    }
}

impl<T> fmt::Debug for Global<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Global").field("map", &self.map.name()).field("name", &self.name).finish()
    }
}

impl<T: FromBytes> Global<T> {
    /// Its value now.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn get(&self) -> Result<T, AccessError> {
        let mut bytes = vec![0; size_of::<T>()];
        read(&self.map, self.offset, &mut bytes, &self.name)?;
        T::read_from_bytes(&bytes).map_err(|_| outside(&self.name))
    }
}

impl<T: IntoBytes + Immutable> Global<T> {
    /// Changes it while programs may be running. They see eight bytes in their place change at
    /// once, and anything else byte by byte.
    ///
    /// # Errors
    /// It is constant, or the kernel refuses.
    pub fn set(&self, value: &T) -> Result<(), AccessError> {
        write(&self.map, self.offset, value.as_bytes(), &self.name)
    }
}

/// Reads bytes of a data section.
fn read(map: &Map, offset: usize, bytes: &mut [u8], name: &str) -> Result<(), AccessError> {
    match map.memory(false) {
        Ok(memory) if !memory.read(offset, bytes) => return Err(outside(name)),
        Ok(_) => {}
        // Not all kernels can map data sections, and none maps what it froze for writing.
        Err(_) => {
            let all = map.lookup(&0u32.to_ne_bytes()).map_err(|errno| AccessError::Map {
                name: map.name().into(),
                doing: "look-up",
                errno,
            })?;
            match all.as_deref().and_then(|all| all.get(offset..offset + bytes.len())) {
                Some(found) => bytes.copy_from_slice(found),
                None => return Err(outside(name)),
            }
        }
    }
    Ok(())
}

/// Writes bytes of a data section.
fn write(map: &Map, offset: usize, bytes: &[u8], name: &str) -> Result<(), AccessError> {
    let memory = map.memory(true).map_err(|errno| AccessError::Map {
        name: map.name().into(),
        doing: "mapping it for writing",
        errno,
    })?;
    let is_written = match bytes.try_into().map(u64::from_ne_bytes) {
        Ok(word) if memory.store_u64(offset, word) => true,
        _ => memory.write(offset, bytes),
    };
    match is_written {
        true => Ok(()),
        false => Err(outside(name)),
    }
}

impl Skep {
    /// A handle to a variable, by its name or as `SECTION:NAME`.
    ///
    /// # Errors
    /// There is no such variable, or it has another size than `T`.
    pub fn variable<T>(&self, name: &str) -> Result<Global<T>, AccessError> {
        let (map, variable) = self.live(name)?;
        expect_size(name, variable.size, size_of::<T>())?;
        let (map, name, offset) = (map.clone(), name.to_owned(), variable.offset);
        Ok(Global { map, name, offset, value: PhantomData })
    }

    /// A variable's value now.
    ///
    /// # Errors
    /// There is no such variable, it has another size than `T`, or the kernel refuses.
    pub fn global<T: FromBytes>(&self, name: &str) -> Result<T, AccessError> {
        self.variable(name)?.get()
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
        write(map, variable.offset, bytes, name)
    }

    /// All variables of a section (`.bss`) now, as a structure of its size.
    ///
    /// # Errors
    /// There is no such section, it has another size than `T`, or the kernel refuses.
    pub fn section<T: FromBytes + IntoBytes>(&self, name: &str) -> Result<Box<T>, AccessError> {
        let map = self.named(name)?;
        let mut value = zeroed::<T>(name, map.def())?;
        read(map, 0, value.as_mut_bytes(), name)?;
        Ok(value)
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

/// Room for a section's variables.
fn zeroed<T: FromBytes>(name: &str, def: &MapDef) -> Result<Box<T>, AccessError> {
    expect_size(name, def.value_size as usize, size_of::<T>())?;
    T::new_box_zeroed().map_err(|_| AccessError::Variable {
        name: name.into(),
        reason: "is larger than the memory that there is".into(),
    })
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
