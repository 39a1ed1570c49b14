//! What a lowered script is: an object for a kernel, and what the numbers in its records mean.
//!
//! A record on the ring begins with a [`Head`]: which action sent it. What follows are the
//! action's values, each at the offset that stands beside its type.

use skep_load::Object;

use super::ast::Name;
use super::checked::{FormatId, MapId};
use super::kind::Type;
use super::place::Place;

/// A lowered script.
#[derive(Debug)]
pub struct Plan {
    /// Programs in the script's order, maps, types.
    pub object: Object,
    /// What records mean, by the number in their head.
    pub actions: Vec<Action>,
    /// Formats of `strftime`, by the number in a time's value.
    pub times: Vec<Name>,
    /// Filters of `cgroup_path`, by the number in a path's value.
    pub cgroups: Vec<Option<Name>>,
}

/// The name of the ring's map.
pub const RING: &str = "ring";
/// The name of the map that counts records which found no room, by program.
pub const LOST: &str = "lost";

/// The name of the map of processes that are seen, where not all are.
pub const ONLY: &str = "only";
/// The name of the program that adds to it what they start.
pub const FORKS: &str = "only_forks";

/// Bytes of a record's head: the action's number, and the program's.
pub const HEAD: u32 = 8;

/// The name of a script's map in the object: kernels take no `@`.
pub fn map_name(name: &str) -> String {
    format!("AT_{}", name.trim_start_matches('@'))
}

/// A value in a record.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its type.
    pub of: Type,
    /// Bytes from the start of the record.
    pub at: u32,
}

/// How grave what is printed is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Severity {
    Plain,
    Warning,
    Error,
}

/// What is done when a record comes.
#[derive(Clone, Debug)]
pub enum Action {
    /// Prints a format.
    Printf {
        /// The format.
        format: FormatId,
        /// Its values.
        values: Vec<Slot>,
        /// Where it goes to.
        severity: Severity,
        /// Where it stands.
        place: Place,
    },
    /// Runs what a format makes.
    System {
        /// The format.
        format: FormatId,
        /// Its values.
        values: Vec<Slot>,
    },
    /// Prints the file that a format names.
    Cat {
        /// The format.
        format: FormatId,
        /// Its values.
        values: Vec<Slot>,
    },
    /// Prints a value.
    Value(Slot),
    /// Prints a map.
    Map {
        /// Which.
        map: MapId,
        /// So many of the largest, 0 for all.
        top: u64,
        /// What values are divided by.
        div: u64,
    },
    /// Prints one element of a map.
    Element {
        /// Which map.
        map: MapId,
        /// Its key.
        key: Slot,
    },
    /// Deletes a map's elements.
    Clear(MapId),
    /// Sets a map's values to zero.
    Zero(MapId),
    /// Prints the time.
    Time(Name),
    /// Prints strings in a row.
    Join {
        /// What stands between them.
        separator: Name,
        /// At most so many.
        count: u32,
        /// Bytes of each.
        size: u32,
    },
    /// Ends the tracing, with a status of four bytes.
    Exit,
    /// Something failed in a program: the helper's result, four bytes.
    Failed {
        /// What.
        what: Failure,
        /// Where.
        place: Place,
    },
}

/// What can fail in a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A helper, by its number.
    Helper(u32),
    /// A division by zero.
    Division,
    /// An index beyond an array.
    Index,
}
