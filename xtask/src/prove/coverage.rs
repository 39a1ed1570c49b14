//! Whether each function of the domain has an obligation: read from its source, so
//! that one that is added cannot be forgotten.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use skep_verify::domain::obligations::Obligation;

/// The files whose functions are to be proved.
const FILES: [&str; 7] =
    ["alu.rs", "branch.rs", "convert.rs", "range.rs", "scalar.rs", "sync.rs", "tnum.rs"];

/// Functions that need no proof of their own, by file.
const EXEMPT: &[(&str, &str, &[&str])] = &[
    ("alu.rs", "says what `transfer` and `shift` do, and is contained in them", &["is_followed"]),
    ("branch.rs", "reads the bits of `outcome_bits`", &["outcome"]),
    ("range.rs", "construct or choose", &["new", "constant", "full", "pick"]),
    (
        "range.rs",
        "are what the claims are made of",
        &["contains", "is_proper", "is_constant", "same"],
    ),
    ("range.rs", "are `meet`, if a bit is set", &["meet_if", "meet_proper", "meet_proper_if"]),
    (
        "range.rs",
        "only mean something within a step of `sync`, whose proofs contain them",
        &["cast", "lower", "same_upper", "crosses_zero_of_lower"],
    ),
    ("scalar.rs", "construct or choose", &["constant", "unknown", "of_tnum", "pick", "choose"]),
    ("scalar.rs", "construct, and synchronise", &["number", "between", "with_signed_bounds"]),
    ("scalar.rs", "only forget", &["unbounded", "unbounded32"]),
    ("scalar.rs", "are what the claims are made of", &["contains", "is_consistent"]),
    ("scalar.rs", "puts `is_consistent` in words", &["violation"]),
    (
        "scalar.rs",
        "read a field",
        &[
            "is_constant",
            "is_constant32",
            "as_constant",
            "constant_in",
            "umin",
            "umax",
            "smin",
            "smax",
            "umin32",
            "umax32",
            "smin32",
            "smax32",
            "width",
        ],
    ),
    ("tnum.rs", "construct or choose", &["constant", "unknown", "pick"]),
    ("tnum.rs", "are what the claims are made of", &["contains", "well_formed"]),
    ("tnum.rs", "read a field", &["is_constant", "greatest"]),
    (
        "tnum.rs",
        "split and join, which every proof of 32 bits contains",
        &["lower", "with_lower", "zero_extend", "truncate"],
    ),
];

/// Prints each function without a proof, and each exemption of none; whether there is
/// neither.
///
/// # Errors
/// If the sources cannot be read.
pub fn check() -> Result<bool> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/verify/src/domain");
    let mut declared = HashSet::new();
    for file in FILES {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        let names = text.lines().filter_map(transfer_function);
        declared.extend(names.map(|name| (file, name.to_owned())));
    }
    let covered = |file: &str, name: &str| {
        Obligation::all().iter().any(|one| one.file() == file && one.function() == name)
    };
    let exempt = |file: &str, name: &str| {
        EXEMPT.iter().any(|(at, _, names)| *at == file && names.contains(&name))
    };
    let mut missing: Vec<String> = declared
        .iter()
        .filter(|(file, name)| !covered(file, name) && !exempt(file, name))
        .map(|(file, name)| format!("{file}: {name} has no proof"))
        .collect();
    for (file, reason, names) in EXEMPT {
        let stale = names.iter().filter(|name| !declared.contains(&(*file, (**name).to_owned())));
        missing.extend(stale.map(|name| format!("{file}: there is no {name} ({reason})")));
    }
    missing.sort();
    missing.iter().for_each(|line| println!("{line}"));
    Ok(missing.is_empty())
}

/// The name of the function that the line declares.
fn transfer_function(line: &str) -> Option<&str> {
    let declaration = line.trim_start().strip_prefix("pub")?;
    let (_, rest) = declaration.split_once("fn ")?;
    let end = rest.find(['(', '<'])?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::{check, transfer_function};

    #[test]
    fn every_function_of_the_domain_is_proved_or_exempt() {
        assert!(check().unwrap());
    }

    #[test]
    fn functions_are_found_by_their_declarations() {
        assert_eq!(
            transfer_function("    pub(super) fn deduce32(self) -> Self {"),
            Some("deduce32")
        );
        assert_eq!(transfer_function("pub const fn new<W>(min: W) -> Self {"), Some("new"));
        assert_eq!(transfer_function("    fn private(self) {"), None);
    }
}
