//! Whether each function of the domain has an obligation: read from its source, so
//! that one that is added cannot be forgotten.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use skep_verify::domain::obligations::Obligation;

/// The files whose functions are to be proved.
const FILES: [&str; 7] =
    ["alu.rs", "branch.rs", "convert.rs", "range.rs", "scalar.rs", "sync.rs", "tnum.rs"];

/// Functions that compute nothing to be proved, or that another's proof contains.
const EXEMPT: &[(&str, &str)] = &[
    ("constant", "constructs"),
    ("unknown", "constructs"),
    ("full", "constructs"),
    ("new", "constructs"),
    ("number", "constructs"),
    ("of_tnum", "constructs"),
    ("between", "constructs, and synchronises"),
    ("with_signed_bounds", "constructs, and synchronises"),
    ("pick", "chooses"),
    ("unbounded", "forgets"),
    ("unbounded32", "forgets"),
    ("contains", "is what the claims are made of"),
    ("well_formed", "is what the claims are made of"),
    ("is_consistent", "is what the claims are made of"),
    ("is_proper", "is what the claims are made of"),
    ("is_constant", "reads a field"),
    ("is_constant32", "reads a field"),
    ("greatest", "reads a field"),
    ("truncate_bits", "is a part of truncate"),
];

/// Prints each function without a proof; whether there is none.
///
/// # Errors
/// If the sources cannot be read.
pub fn check() -> Result<bool> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/verify/src/domain");
    let proved: HashSet<&str> = Obligation::all().iter().map(|one| one.function()).collect();
    let mut good = true;
    for file in FILES {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        for name in text.lines().filter_map(transfer_function) {
            let exempt = EXEMPT.iter().any(|(exempt, _)| *exempt == name);
            if !exempt && !proved.contains(name) {
                println!("{file}: {name} has no proof");
                good = false;
            }
        }
    }
    Ok(good)
}

/// The name of the function that the line declares.
fn transfer_function(line: &str) -> Option<&str> {
    let declaration = line.trim_start().strip_prefix("pub")?;
    let (_, rest) = declaration.split_once("fn ")?;
    let end = rest.find(['(', '<'])?;
    Some(&rest[..end])
}
