//! systemd's sets of calls, by name (`sets.txt`, the names and members that
//! `systemd-analyze syscall-filter` prints, with those of newer releases).

use std::collections::BTreeSet;

use crate::seccomp::arch;

const TEXT: &str = include_str!("sets.txt");
/// The set of all calls that are known.
const KNOWN: &str = "@known";

fn members(name: &str) -> Option<impl Iterator<Item = &'static str>> {
    let row = |line: &'static str| line.split_once(' ').filter(|row| row.0 == name);
    let (_, members) = TEXT.lines().find_map(row)?;
    Some(members.split(' '))
}

/// The calls of a set, those of the sets in it included.
pub fn calls(name: &str) -> Option<BTreeSet<&'static str>> {
    if name == KNOWN {
        return Some(arch::names().collect());
    }
    let mut calls = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<&'static str> = members(name)?.collect();
    while let Some(member) = waiting.pop() {
        match member.starts_with('@') {
            false => {
                calls.insert(member);
            }
            true if seen.insert(member) => waiting.extend(members(member)?),
            true => {}
        }
    }
    Some(calls)
}

/// The names of all sets.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter_map(|line| line.split(' ').next()).chain([KNOWN])
}

pub(super) fn hint() -> String {
    format!("sets are {}", names().collect::<Vec<_>>().join(", "))
}
