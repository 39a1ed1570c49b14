//! `cargo xtask house`: which way the modules lean, as their sources say.
//!
//! No circle of files that name each other reaches over folders, in any crate. The rooms of
//! `vm` stand in an order, and each names only what stands above it. Some crates depend on
//! next to nothing. What does not hold yet is listed; a line of the list that is needed no more is an error, too.

mod face;
mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use modules::Imports;
use serde_json::Value;

use crate::cargo::cargo;

/// The rooms of `vm`: each leans only on those above it. Rooms of one line are beside each
/// other, and do not know each other.
const ROOMS: &[&[&str]] = &[
    &["memory"],
    &["objects"],
    &["contexts"],
    &["run"],
    &["helpers"],
    &["kfuncs"],
    &["interp", "compiled"],
    &["engine"],
    &["kernel"],
    &["hooks"],
];

/// Folders of a crate that lean on each other still; the first is the crate's root.
const CIRCLES: &[(&str, &[&str])] = &[
    ("btf", &["", "core"]),
    (
        "cli",
        &[
            "",
            "asm",
            "btf",
            "dis",
            "doctor",
            "filter",
            "run",
            "seccomp",
            "seccomp/supervise",
            "tool",
            "trace",
            "verify",
        ],
    ),
    ("lang", &["pcap", "pcap/gen"]),
    ("lang", &["pcap", "pcap/lex"]),
    ("load", &["", "parse"]),
];

/// Rooms of `vm` that name one below them, or the one beside them, still.
const UPWARDS: &[(&str, &str)] = &[];

/// Crates that depend on these alone (but for what only tests take), so that they can be built
/// and understood by themselves.
const LEAN: &[(&str, &[&str])] = &[
    ("skep-maps", &["skep-abi", "libc", "rustix"]),
    // No table of helpers or maps: it is told what they are.
    (
        "skep-jit",
        &[
            "skep-isa",
            "skep-verify",
            "cranelift-codegen",
            "cranelift-frontend",
            "cranelift-native",
            "wasmtime-internal-jit-icache-coherence",
            "rustc-hash",
            "rustix",
            "thiserror",
        ],
    ),
];

/// Crates whose public items are kept as text.
const FACES: &[&str] = &["jit", "maps", "vm"];

/// What to check.
#[derive(Args)]
pub struct Options {
    /// Keep the public items as they are now
    #[arg(long)]
    bless: bool,
}

impl Options {
    /// Checks, and keeps nothing.
    pub fn check() -> Options {
        Options { bless: false }
    }
}

/// Checks all crates. Gives whether all is well.
///
/// # Errors
/// Sources that cannot be read.
pub fn execute(options: &Options) -> Result<bool> {
    let mut crates: Vec<PathBuf> =
        std::fs::read_dir("crates")?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    crates.sort();
    let (mut faults, mut found) = (Vec::new(), BTreeSet::new());
    for folder in crates {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = folder.join("src");
        let root = if folder.join("lib.rs").exists() { "lib.rs" } else { "main.rs" };
        let imports = modules::read(&folder, root)?;
        for circle in circles(&imports) {
            let folders: Vec<String> = folders(&circle).into_iter().collect();
            let listed = CIRCLES.iter().find(|(of, known)| {
                *of == name && folders.iter().all(|folder| known.contains(&folder.as_str()))
            });
            match listed {
                Some(listed) => drop(found.insert(listed)),
                None => faults.push(told(&name, &folders, &circle, &imports)),
            }
        }
        if name == "vm" {
            faults.extend(upwards(&imports, UPWARDS));
        }
    }
    faults.extend(heavy()?);
    faults.extend(faces(options.bless)?);
    for listed in CIRCLES.iter().filter(|listed| !found.contains(listed)) {
        faults.push(format!("{}: no circle any more of {}", listed.0, listed.1.join(", ")));
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    let listed = CIRCLES.len() + UPWARDS.len();
    println!("house: {} faults, and {listed} that are listed", faults.len());
    Ok(faults.is_empty())
}

/// What crates depend on that are to be [`LEAN`].
fn heavy() -> Result<Vec<String>> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let output = cargo().args(arguments).output().context("cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let named = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let packages = named(&metadata["packages"]);
    let mut faults = Vec::new();
    for (name, allowed) in LEAN {
        let Some(package) = packages.iter().find(|package| package["name"] == *name) else {
            faults.push(format!("{name}: there is no such crate"));
            continue;
        };
        for needed in named(&package["dependencies"]) {
            // Under loom nothing but its models is built.
            let counts = needed["kind"].is_null() && needed["target"] != "cfg(loom)";
            let needed = needed["name"].as_str().unwrap_or_default();
            if counts && !allowed.contains(&needed) {
                faults.push(format!("{name}: depends on {needed}"));
            }
        }
    }
    Ok(faults)
}

/// Compares public items with those that are kept.
fn faces(bless: bool) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for name in FACES {
        let now = face::read(&Path::new("crates").join(name).join("src"))?;
        let kept = Path::new("xtask/faces").join(format!("{name}.txt"));
        if bless {
            std::fs::write(&kept, &now).with_context(|| kept.display().to_string())?;
            continue;
        }
        let before = std::fs::read_to_string(&kept).unwrap_or_default();
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let (was, is) = (lines(&before), lines(&now));
        if before != now {
            let (kept, name) = (kept.display(), name);
            faults.push(format!("{name}: the public items are not those of {kept}; if they are"));
            faults.push("meant so: cargo xtask house --bless".into());
            faults.extend(was.difference(&is).map(|line| format!("- {line}")));
            faults.extend(is.difference(&was).map(|line| format!("+ {line}")));
        }
    }
    Ok(faults)
}

/// The folder that a file is in.
fn folder(file: &Path) -> String {
    file.parent().map(|folder| folder.display().to_string()).unwrap_or_default()
}

fn folders(files: &BTreeSet<PathBuf>) -> BTreeSet<String> {
    files.iter().map(|file| folder(file)).collect()
}

/// A circle as people read it: every import in it that leads to another folder.
fn told(name: &str, folders: &[String], circle: &BTreeSet<PathBuf>, imports: &Imports) -> String {
    let mut text = format!("{name}: a circle over {}", folders.join(", "));
    for from in circle {
        for to in imports[from].iter().filter(|to| circle.contains(*to)) {
            if folder(from) != folder(to) {
                text.push_str(&format!("\n  {} -> {}", from.display(), to.display()));
            }
        }
    }
    text
}

/// Files that name each other, of more than one folder.
fn circles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reach(imports, file))).collect();
    let mut all: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, from) in &reached {
        let mutual: BTreeSet<PathBuf> =
            from.iter().filter(|to| reached[*to].contains(file)).map(|to| (*to).clone()).collect();
        if folders(&mutual).len() > 1 && !all.contains(&mutual) {
            all.push(mutual);
        }
    }
    all
}

/// What a file leads to.
fn reach<'i>(imports: &'i Imports, file: &PathBuf) -> BTreeSet<&'i PathBuf> {
    let mut found = BTreeSet::new();
    let mut work: Vec<&PathBuf> = imports[file].iter().collect();
    while let Some(file) = work.pop() {
        if found.insert(file) {
            work.extend(&imports[file]);
        }
    }
    found
}

/// Imports of `vm` that lead from a room to one below it, or to the one beside it, but for
/// those that are `listed`, and what of the list is needed no more.
fn upwards(imports: &Imports, listed: &[(&str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut left: BTreeSet<_> = listed.iter().collect();
    for (from, named) in imports {
        let Some((row, own)) = room(from) else {
            if from != Path::new("lib.rs") {
                faults.push(format!("vm: {} is in no room", from.display()));
            }
            continue;
        };
        for to in named {
            match room(to) {
                Some((other, name)) if other > row || other == row && name != own => {
                    let known = listed.iter().find(|pair| **pair == (own, name));
                    match known {
                        Some(pair) => drop(left.remove(pair)),
                        None => {
                            let (from, to) = (from.display(), to.display());
                            faults.push(format!("vm: {from} names {to}"));
                        }
                    }
                }
                None => faults.push(format!("vm: {} names the root", from.display())),
                _ => {}
            }
        }
    }
    faults.extend(left.iter().map(|(from, to)| format!("vm: {from} does not name {to} any more")));
    faults
}

/// The room that a file is in, and its row.
fn room(file: &Path) -> Option<(usize, &str)> {
    let first = file.components().next()?.as_os_str().to_str()?;
    let row = ROOMS.iter().position(|row| row.contains(&first))?;
    Some((row, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(all: &[(&str, &[&str])]) -> Imports {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        all.iter().map(|(file, named)| (PathBuf::from(file), paths(named))).collect()
    }

    #[test]
    fn a_circle_counts_where_it_leaves_its_folder() {
        let within = imports(&[("run/a.rs", &["run/b.rs"]), ("run/b.rs", &["run/a.rs"])]);
        assert!(circles(&within).is_empty());
        let over = imports(&[
            ("run/a.rs", &["run/b.rs"]),
            ("run/b.rs", &["maps/c.rs"]),
            ("maps/c.rs", &["run/a.rs"]),
        ]);
        assert_eq!(circles(&over).len(), 1);
        assert_eq!(circles(&over)[0].len(), 3);
    }

    #[test]
    fn a_room_names_what_stands_above_it_and_not_its_neighbour() {
        let imports = imports(&[
            ("run/mod.rs", &["objects/mod.rs", "helpers/mod.rs"]),
            ("objects/mod.rs", &[]),
            ("helpers/mod.rs", &["run/mod.rs"]),
            ("interp/mod.rs", &["compiled/mod.rs"]),
            ("compiled/mod.rs", &[]),
        ]);
        let beside = "vm: interp/mod.rs names compiled/mod.rs".to_owned();
        let below = "vm: run/mod.rs names helpers/mod.rs".to_owned();
        assert_eq!(upwards(&imports, &[]), [beside.clone(), below]);
        let listed = [("helpers", "hooks"), ("run", "helpers")];
        let stale = "vm: helpers does not name hooks any more".to_owned();
        assert_eq!(upwards(&imports, &listed), [beside, stale]);
    }
}
