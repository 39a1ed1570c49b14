//! Which things of the world an attach point names.

use super::table::UNITS;
use super::{Attach, Provider, hardware, software};
use crate::trace::options::Options;
use crate::trace::world::{World, is_pattern, matches};

/// All that a point names: `module:function`, `category:event`, `path:function`,
/// `path:provider:name`, or a function alone.
pub fn matching(point: &Attach, world: &dyn World, options: &Options) -> Vec<String> {
    let (target, function) = (&point.target, &point.function);
    let mut found: Vec<String> = match point.provider {
        Provider::Begin
        | Provider::End
        | Provider::SelfProbe
        | Provider::Test
        | Provider::Bench => {
            return vec![format!("{target}:")];
        }
        Provider::Watchpoint => return Vec::new(),
        Provider::Kprobe | Provider::Kretprobe => kernel_functions(point, world),
        Provider::Fentry | Provider::Fexit if target == "bpf" => {
            let number = match point.program {
                0 => "*".to_owned(),
                number => number.to_string(),
            };
            let pattern = format!("bpf:{number}:{function}");
            let all = world.programs();
            let all = all.iter().map(|(number, name)| format!("bpf:{number}:{name}"));
            all.filter(|one| matches(&pattern, one)).collect()
        }
        Provider::Fentry | Provider::Fexit => {
            pairs_matching(&world.functions(), target, function, |name| {
                !world.has_types() || world.function(name).is_some()
            })
        }
        Provider::RawTracepoint => {
            pairs_matching(&world.raw_tracepoints(), target, function, |_| true)
        }
        Provider::Tracepoint => {
            if function.is_empty() {
                return vec![format!("{target}:")];
            }
            pairs_matching(&world.tracepoints(), target, function, |_| true)
        }
        Provider::Uprobe | Provider::Uretprobe => {
            if function.is_empty() {
                return vec![format!("{target}:")];
            }
            binary_functions(point, world)
        }
        Provider::Usdt => usdt(point, world, options),
        Provider::Iter => {
            let all = world.iterators();
            let all = all.iter().filter(|one| matches(function, one));
            all.map(|one| (**one).to_owned()).collect()
        }
        Provider::Software | Provider::Hardware => {
            let events = match point.provider {
                Provider::Software => software(),
                _ => hardware(),
            };
            let names = events.iter().flat_map(|event| [event.name, event.alias]);
            let names = names.filter(|name| !name.is_empty() && matches(target, name));
            names.map(|name| format!("{name}:")).collect()
        }
        Provider::Profile | Provider::Interval => {
            let units = UNITS.iter().filter(|unit| matches(target, unit));
            units.map(|unit| format!("{unit}:")).collect()
        }
    };
    found.sort();
    found.dedup();
    found
}

fn kernel_functions(point: &Attach, world: &dyn World) -> Vec<String> {
    let all = world.functions();
    let traceable = |name: &str| !name.contains(".part.");
    if point.target.is_empty() {
        return all
            .iter()
            .filter(|(_, name)| matches(&point.function, name) && traceable(name))
            .map(|(_, name)| (**name).to_owned())
            .collect();
    }
    pairs_matching(&all, &point.target, &point.function, traceable)
}

fn pairs_matching(
    all: &[(crate::trace::ast::Name, crate::trace::ast::Name)],
    first: &str,
    second: &str,
    also: impl Fn(&str) -> bool,
) -> Vec<String> {
    let pattern = format!("{first}:{second}");
    all.iter()
        .filter(|(_, name)| also(name))
        .map(|(group, name)| format!("{group}:{name}"))
        .filter(|one| matches(&pattern, one))
        .collect()
}

fn binary_functions(point: &Attach, world: &dyn World) -> Vec<String> {
    let mut found = Vec::new();
    for path in world.binaries(&point.target) {
        // A name that the search path found stands for the path.
        let by_name = !is_pattern(&point.target) && !point.target.contains('/');
        let target = if by_name { &*path } else { &*point.target };
        let pattern = format!("{target}:{}", point.function);
        for function in world.binary_functions(&path) {
            let whole = format!("{path}:{function}");
            let cpp = point.language == "cpp" && cpp_matches(&pattern, &path, &function);
            if matches(&pattern, &whole) || cpp {
                found.push(whole);
            }
        }
    }
    found
}

/// Whether a C++ name, as people read it, matches; without parameters unless the pattern
/// has some.
fn cpp_matches(pattern: &str, path: &str, function: &str) -> bool {
    let Some(name) = demangle(function) else {
        return false;
    };
    let shown =
        if pattern.contains('(') { name } else { name.split('(').next().unwrap_or("").to_owned() };
    matches(pattern, &format!("{path}:{shown}"))
}

/// Plain C++ functions: `_Z3fooi` is `foo(int)`.
fn demangle(name: &str) -> Option<String> {
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    symbol.demangle().ok()
}

fn usdt(point: &Attach, world: &dyn World, options: &Options) -> Vec<String> {
    let target = match (&*point.target, options.pid) {
        ("", Some(_)) => "*",
        (target, _) => target,
    };
    let namespace = match &*point.namespace {
        "" => "*",
        namespace => namespace,
    };
    let mut found = Vec::new();
    for path in world.binaries(target) {
        let shown = if is_pattern(target) || target.contains('/') { target } else { &*path };
        let pattern = format!("{shown}:{namespace}:{}", point.function);
        for (provider, name) in world.usdt(&path) {
            let whole = format!("{path}:{provider}:{name}");
            if matches(&pattern, &whole) {
                found.push(whole);
            }
        }
    }
    found
}
