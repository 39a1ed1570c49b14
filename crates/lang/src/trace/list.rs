//! What there is to trace, by a pattern, with parameters where they are known.

use super::c::{CFunction, CType};
use super::options::Options;
use super::points::{Provider, matching};
use super::unit::Unit;
use super::world::{World, is_pattern};
use super::{place::Sources, points, types_list as types};

/// Words that a list of types begins with.
const RECORDS: [&str; 3] = ["struct ", "union ", "enum "];

/// All that a pattern names, a line each, as an attach point writes it; with `details` the
/// parameters of each, indented.
///
/// # Errors
/// The pattern is no attach point; the text says why.
pub fn list(
    pattern: &str,
    world: &dyn World,
    options: &Options,
    details: bool,
) -> Result<Vec<String>, String> {
    let whole = if pattern.is_empty() { "*" } else { pattern };
    if RECORDS.iter().any(|word| whole.starts_with(word)) {
        return Ok(types::list(whole, world, details));
    }
    let options = &Options { listing: true, ..options.clone() };
    let mut unit = Unit::new(world, options);
    let mut sources = Sources::default();
    let source = sources.add("pattern", whole);
    let place = super::place::Place { source, ..Default::default() };
    let raw = if is_pattern(whole) || whole.contains(':') {
        whole.to_owned()
    } else {
        // A provider alone lists all that is its.
        match Provider::of(whole) {
            Some(Provider::Uprobe | Provider::Usdt | Provider::Uretprobe) | None => {
                whole.to_owned()
            }
            Some(Provider::Tracepoint) => format!("{whole}:*:*"),
            Some(Provider::Iter) => return Ok(iterators(world)),
            Some(provider) if provider.is_special() => return Ok(Vec::new()),
            Some(_) => format!("{whole}:*"),
        }
    };
    let none = super::ast::Expr { id: unit.ids.fresh(), kind: super::ast::ExprKind::None, place };
    let body = super::ast::Block {
        id: unit.ids.fresh(),
        statements: Vec::new(),
        value: Box::new(none),
        place,
    };
    let raw = vec![super::ast::AttachPoint { raw, place }];
    unit.probes.push(super::unit::Probe { raw, points: Vec::new(), body, place });
    listed(&mut unit, details)
}

/// All that the probes of a script name.
///
/// # Errors
/// The script is none; the text says why.
pub fn list_script(
    text: &str,
    name: &str,
    world: &dyn World,
    options: &Options,
    details: bool,
) -> Result<Vec<String>, String> {
    let options = &Options { listing: true, ..options.clone() };
    let mut unit = Unit::new(world, options);
    let source = unit.sources.add(name, text);
    let script = super::parse::script(text, source, &mut unit.ids, &mut unit.diagnostics);
    if !unit.diagnostics.is_ok() {
        return Err(unit.diagnostics.show_all(&unit.sources));
    }
    unit.add(script, false);
    listed(&mut unit, details)
}

/// What a unit's probes name.
fn listed(unit: &mut Unit<'_>, details: bool) -> Result<Vec<String>, String> {
    let (world, options) = (unit.world, unit.options);
    points::parse(unit);
    if let Some(wrong) = unit.diagnostics.iter().next() {
        return Err(wrong.text.clone());
    }
    let mut lines = Vec::new();
    for point in unit.probes.iter().flat_map(|probe| &probe.points) {
        let name = point.provider.name();
        for found in matching(point, world, options) {
            lines.push(format!("{name}:{found}"));
            let found = found.trim_end_matches(':');
            if details {
                let parameters = parameters(point.provider, found, world);
                lines.extend(parameters.into_iter().map(|one| format!("    {one}")));
            }
        }
    }
    Ok(lines)
}

fn iterators(world: &dyn World) -> Vec<String> {
    world.iterators().iter().map(|name| format!("iter:{name}")).collect()
}

fn parameters(provider: Provider, found: &str, world: &dyn World) -> Vec<String> {
    let name = found.rsplit(':').next().unwrap_or(found);
    match provider {
        Provider::Tracepoint => {
            let Some((category, event)) = found.split_once(':') else {
                return Vec::new();
            };
            let fields = world.tracepoint_fields(category, event).unwrap_or_default();
            fields
                .iter()
                .filter(|field| !field.name.starts_with("common_"))
                .map(|field| match field.count {
                    Some(count) => format!("{} {}[{count}]", field.of, field.name),
                    None => format!("{} {}", field.of, field.name),
                })
                .collect()
        }
        Provider::Fentry | Provider::Kprobe => of_function(world.function(name), false, 0),
        Provider::Fexit => of_function(world.function(name), true, 0),
        Provider::RawTracepoint => {
            let by = ["btf_trace_", "__probestub_"];
            let known = by.iter().find_map(|prefix| world.function(&format!("{prefix}{name}")));
            of_function(known, false, 1)
        }
        _ => Vec::new(),
    }
}

fn of_function(known: Option<CFunction>, ret: bool, skip: usize) -> Vec<String> {
    let Some(known) = known else {
        return Vec::new();
    };
    let parameters = known.parameters.iter().skip(skip);
    let mut lines: Vec<String> =
        parameters.map(|(name, of)| format!("{} {name}", c_text(of))).collect();
    if ret && known.result != CType::Void {
        lines.push(format!("{} retval", c_text(&known.result)));
    }
    lines
}

/// A C type as C writes it.
pub(super) fn c_text(of: &CType) -> String {
    match of {
        CType::Void => "void".to_owned(),
        CType::Bool => "bool".to_owned(),
        CType::Char => "char".to_owned(),
        CType::Int { size, signed } => {
            let word = match size {
                1 => "char",
                2 => "short",
                4 => "int",
                _ => "long",
            };
            if *signed { word.to_owned() } else { format!("unsigned {word}") }
        }
        CType::Float(4) => "float".to_owned(),
        CType::Float(_) => "double".to_owned(),
        CType::Enum(name) => format!("enum {name}"),
        CType::Record(name) | CType::Typedef(name) => (**name).to_owned(),
        CType::Pointer(to, _) => format!("{} *", c_text(to)),
        CType::Array(of, count) => format!("{}[{count}]", c_text(of)),
    }
}
