//! Interfaces by their names.

use skep_sys::host::packet;

use crate::error::LinkErrorKind as Kind;

/// The number of an interface in the network namespace of the calling thread.
///
/// # Errors
/// There is none of this name; the line says which there are.
pub fn interface(name: &str) -> Result<u32, Kind> {
    let all = packet::interfaces().map_err(|error| Kind::Missing(error.to_string()))?;
    match all.iter().find(|interface| interface.name == name) {
        Some(interface) => Ok(interface.index),
        None => {
            let names: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
            let names = names.join(", ");
            Err(Kind::Missing(format!("there is no interface {name:?}, but {names}")))
        }
    }
}

/// The name of an interface, or its number where it has gone.
pub(super) fn name_of(index: u32) -> String {
    let all = packet::interfaces().unwrap_or_default();
    let found = all.into_iter().find(|interface| interface.index == index);
    found.map_or_else(|| format!("interface {index}"), |interface| interface.name)
}
