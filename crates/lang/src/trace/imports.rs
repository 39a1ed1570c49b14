//! `import` of other files, and probes that have nothing to attach to.

use super::ast::Definition;
use super::config::MissingProbes;
use super::parse;
use super::unit::Unit;
use super::world::Import;

/// Files of one script, at most.
const MOST: usize = 100;

/// Takes in what imports name; each once.
pub fn take(unit: &mut Unit<'_>) {
    let mut seen: Vec<String> = Vec::new();
    while !unit.imports.is_empty() {
        for import in std::mem::take(&mut unit.imports) {
            let path = import.path;
            let of_language = path == "stdlib" || path.starts_with("stdlib/");
            if of_language || seen.contains(&path) {
                continue;
            }
            seen.push(path.clone());
            if seen.len() > MOST {
                unit.diagnostics.error(import.place, "too many imports");
                return;
            }
            match unit.world.import(&path) {
                Import::Files(files) => {
                    for (name, text) in files {
                        add(unit, &name, &text, import.place);
                    }
                }
                Import::Refused(why) => {
                    unit.diagnostics.error(import.place, why);
                }
                Import::Missing => {
                    let text = format!("Unable to find import: {path}");
                    unit.diagnostics.error(import.place, text);
                }
            }
        }
    }
}

fn add(unit: &mut Unit<'_>, name: &str, text: &str, place: super::place::Place) {
    if name.ends_with(".h") {
        unit.definitions.push(Definition { text: text.to_owned(), place });
        return;
    }
    let source = unit.sources.add(name, text);
    let script = parse::script(text, source, &mut unit.ids, &mut unit.diagnostics);
    if let Some(setting) = script.config.first() {
        unit.diagnostics.error(setting.place, "An imported script cannot have a config block");
    }
    unit.add(script, false);
}

/// Says of probes that have no points left, and drops them where that is allowed.
pub fn prune(unit: &mut Unit<'_>) {
    let missing = unit.config.missing_probes;
    for probe in unit.probes.iter().filter(|probe| probe.points.is_empty()) {
        match missing {
            MissingProbes::Error => {
                unit.diagnostics.error(
                    probe.place,
                    "Probe has no valid attach points. If this is expected, set the \
                     'missing_probes' config variable to 'warn'.",
                );
            }
            MissingProbes::Warn => {
                unit.diagnostics.warning(
                    probe.place,
                    "Probe has no valid attach points. It is being removed which may cause \
                     issues with program behavior.",
                );
            }
            MissingProbes::Ignore => {}
        }
    }
    if missing != MissingProbes::Error {
        unit.probes.retain(|probe| !probe.points.is_empty());
    }
}
