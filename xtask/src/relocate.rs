//! `parity relocate`: the instructions that skep makes of every program of Debian's
//! objects, beside those that libbpf would load, byte for byte.
//!
//! Map references are compared by the maps' names. Definitions and first contents of
//! the maps are compared as well, and reported on a line of their own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use skep_isa::Slot;
use skep_load::{Linked, LinkedProgram, MapDef, MapOrigin, Object, Target, relocate};
use skep_sys::Host;

use crate::cargo;
use crate::corpus;

/// What became of it.
#[derive(Default)]
struct Tally {
    agree: usize,
    judged: usize,
    not_judgeable: usize,
    maps_agree: usize,
    maps: usize,
    report: String,
}

/// Compares, writes `target/parity/relocate.txt`, and prints the figures. Gives whether
/// all agree.
///
/// # Errors
/// A missing package, or a judge that cannot be built or understood.
pub fn run() -> Result<bool> {
    let oracle = build_oracle()?;
    let target = Target::new(Host::default());
    let mut own = Tally::default();
    for path in own_objects()? {
        let name = path.display().to_string();
        compare_object(&name, &path, &target, &oracle, &mut own).with_context(|| name.clone())?;
    }
    let mut tally = Tally::default();
    for object in corpus::objects()? {
        let name = format!("{}/{}", object.package, object.name);
        compare_object(&name, &object.path, &target, &oracle, &mut tally)
            .with_context(|| name.clone())?;
    }
    std::fs::write("target/parity/relocate.txt", tally.report.clone() + &own.report)?;
    println!(
        "parity relocate: own objects: programs agree {} of {}, maps {} of {}",
        own.agree, own.judged, own.maps_agree, own.maps
    );
    println!("parity relocate: maps agree {} of {}", tally.maps_agree, tally.maps);
    println!("parity relocate: not judgeable {}", tally.not_judgeable);
    println!("parity relocate: agree {} of {}", tally.agree, tally.judged);
    Ok(tally.all_agree() && own.all_agree())
}

impl Tally {
    fn all_agree(&self) -> bool {
        self.agree == self.judged && self.maps_agree == self.maps
    }
}

/// The objects of our own: those of the loader's tests, and the examples.
fn own_objects() -> Result<Vec<PathBuf>> {
    let mut objects = Vec::new();
    for folder in ["crates/load/tests/objects", "examples"] {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "o") {
                objects.push(path);
            }
        }
    }
    objects.sort();
    Ok(objects)
}

fn build_oracle() -> Result<PathBuf> {
    let built = cargo::programs(&["skep-oracle"], None);
    Ok(built.context("apt-get install libelf-dev zlib1g-dev pkg-config")?.join("skep-oracle"))
}

fn libbpf_links(oracle: &Path, path: &Path) -> Result<Vec<Value>> {
    let output = Command::new(oracle).arg("relocate").arg(path).output()?;
    if !output.status.success() {
        bail!("skep-oracle: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn compare_object(
    name: &str,
    path: &Path,
    target: &Target,
    oracle: &Path,
    tally: &mut Tally,
) -> Result<()> {
    let object = Object::open(path).map_err(|error| error.to_string());
    let all = object.clone().and_then(|mut object| link(&mut object, target, |_| true));
    let mut programs = 0;
    for line in libbpf_links(oracle, path)? {
        if let Some(map) = line["map"].as_str() {
            tally.maps += 1;
            let ours = object.as_ref().ok().and_then(|object| object.map(map));
            match ours.map_or_else(|| Some("missing".into()), |map| map_difference(map, &line)) {
                None => tally.maps_agree += 1,
                Some(what) => writeln!(tally.report, "{name}: map {map}: {what}")?,
            }
            continue;
        }
        if let Some(map) = line["configuration"].as_str() {
            tally.maps += 1;
            let ours = all.as_ref().ok().and_then(configuration);
            match ours.as_deref() == line["contents"].as_str() {
                true => tally.maps_agree += 1,
                false => {
                    let theirs = &line["contents"];
                    writeln!(
                        tally.report,
                        "{name}: map {map}: holds {ours:?} here, {theirs} there"
                    )?;
                }
            }
            continue;
        }
        let Some(program) = line["program"].as_str() else {
            writeln!(tally.report, "{name}: not judgeable: {}", line["error"])?;
            tally.not_judgeable += 1;
            continue;
        };
        if let Some(error) = line["error"].as_str() {
            writeln!(tally.report, "{name}: {program}: not judgeable: {error}")?;
            tally.not_judgeable += 1;
            programs += 1;
            continue;
        }
        tally.judged += 1;
        let alone = || {
            let mut object = object.clone()?;
            link(&mut object, target, |index| index == programs)
        };
        let ours = all.clone().or_else(|_| alone());
        match program_difference(ours, programs, &line) {
            None => tally.agree += 1,
            Some(what) => writeln!(tally.report, "{name}: {program}: {what}")?,
        }
        programs += 1;
    }
    Ok(())
}

fn link(
    object: &mut Object,
    target: &Target,
    wanted: impl Fn(usize) -> bool,
) -> Result<Linked, String> {
    for (index, program) in object.programs.iter_mut().enumerate() {
        program.autoload = wanted(index);
    }
    relocate(object, target).map_err(|error| error.to_string())
}

/// How a program differs from the judge's.
fn program_difference(
    ours: Result<Linked, String>,
    index: usize,
    theirs: &Value,
) -> Option<String> {
    let linked = match ours {
        Ok(linked) => linked,
        Err(error) => return Some(format!("refused: {error}")),
    };
    let Some(program) = linked.programs.iter().find(|program| program.index == index) else {
        return Some(format!("there is no program {index}"));
    };
    if theirs["program"] != program.def.name.as_str() {
        return Some(format!("program {index} is {:?} here", program.def.name));
    }
    if theirs["section"] != program.def.section.as_str() {
        return Some(format!("its section is {:?} here", program.def.section));
    }
    let (ours, names) = normalised(&linked, program);
    let theirs_insns = theirs["insns"].as_str().unwrap_or_default();
    let theirs_names = theirs["maps"].to_string();
    let names = Value::from(names).to_string();
    if ours != theirs_insns {
        let slot = |text: &str, at: usize| text.get(16 * at..16 * at + 16).map(str::to_owned);
        let count = theirs_insns.len() / 16;
        let at = (0..count).find(|&at| slot(&ours, at) != slot(theirs_insns, at));
        return Some(match at {
            Some(at) => format!(
                "slot {at} of {count} is {} here, {} there",
                slot(&ours, at).unwrap_or_default(),
                slot(theirs_insns, at).unwrap_or_default(),
            ),
            None => format!("{} slots here, {count} there", ours.len() / 16),
        });
    }
    (names != theirs_names).then(|| format!("maps {names} here, {theirs_names} there"))
}

/// The instructions with indices of maps zeroed, and the maps' names.
fn normalised(linked: &Linked, program: &LinkedProgram) -> (String, Vec<Value>) {
    let mut slots = program.insns.clone();
    let mut names = Vec::new();
    for reference in &program.map_references {
        slots[reference.at as usize].imm = 0;
        let name = linked.maps[reference.map].name.as_str();
        names.push(Value::from(vec![Value::from(reference.at), Value::from(name)]));
    }
    (hex(&Slot::join(&slots)), names)
}

/// The contents of the map `.kconfig`.
fn configuration(linked: &Linked) -> Option<String> {
    let map = linked.maps.iter().find(|map| map.origin == MapOrigin::Kconfig)?;
    Some(hex(&map.contents))
}

/// How a map differs from the judge's.
fn map_difference(ours: &MapDef, theirs: &Value) -> Option<String> {
    let fields = [
        ("type", ours.map_type.into()),
        ("key_size", ours.key_size.into()),
        ("value_size", ours.value_size.into()),
        ("max_entries", ours.max_entries.into()),
        ("flags", ours.flags.into()),
        ("extra", ours.extra),
        ("numa_node", ours.numa_node.into()),
        ("key_type_id", ours.key_type_id.into()),
        ("value_type_id", ours.value_type_id.into()),
    ];
    for (name, value) in fields {
        if theirs[name].as_u64() != Some(value) {
            return Some(format!("{name} is {value} here, {} there", theirs[name]));
        }
    }
    // The configuration is filled in later, on both sides; in structures of operations
    // libbpf keeps pointers of its own.
    if matches!(ours.origin, MapOrigin::Kconfig | MapOrigin::StructOps(_)) {
        return None;
    }
    let mut contents = ours.contents.clone();
    if ours.origin.section().is_some() {
        contents.resize(ours.value_size as usize, 0);
    }
    let initial = theirs["initial"].as_str().unwrap_or_default();
    (hex(&contents) != initial).then(|| "its first contents differ".into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
