//! What the embedded kernel has, and what an object uses that it does not have.
//!
//! Helpers and kernel functions go by the kernel's own tables, map types by creating one of
//! each.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use skep::abi::{Helper, Kfunc, MapType, ProgType};
use skep::isa::{Callee, Insn, Slot, decode_at};
use skep::load::{ExternKind, Linked, Object, Symbol};
use skep::sys::Kernel;
use skep::vm::{Vm, has_helper, has_kfunc};

use crate::doctor::probe;
use crate::run::select::takes_packets;

/// Whether the embedded kernel has maps of this type.
pub fn has_map(kind: MapType) -> bool {
    static TYPES: OnceLock<Vec<MapType>> = OnceLock::new();
    let find = || {
        let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
        probe::map_types(&kernel)
    };
    TYPES.get_or_init(find).contains(&kind)
}

/// Whether the embedded kernel has a function of this name; libbpf ignores what comes behind
/// three underscores.
fn has_function(name: &str) -> bool {
    Kfunc::from_name(plain(name)).is_some_and(has_kfunc)
}

fn plain(name: &str) -> &str {
    name.split_once("___").map_or(name, |(plain, _)| plain)
}

/// Why something is left to Linux, behind its name.
fn reason(why: Option<&str>) -> String {
    why.map_or(String::new(), |why| format!(" ({why})"))
}

/// Why the helper with this name is.
fn because(name: &str) -> String {
    reason(Helper::from_name(name).and_then(|of| of.linux_only))
}

/// `bpf_fib_lookup`, or the number of what is no helper.
pub fn helper_name(id: u32) -> String {
    Helper::from_id(id).map_or_else(|| format!("helper #{id}"), |of| of.name.to_owned())
}

/// What some instructions call that is not here: helpers by their names.
fn helpers_of(insns: &[Slot]) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for at in 0..insns.len() {
        if let Ok(Insn::Call(Callee::Helper(id))) = decode_at(insns, at)
            && Helper::from_id(id).is_some()
            && !has_helper(id)
        {
            missing.insert(helper_name(id));
        }
    }
    missing
}

/// What the programs of an object use that the embedded kernel lacks: a line each.
pub fn lacks(object: &Object) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for function in &object.functions {
        for name in helpers_of(&function.insns) {
            lines.insert(format!("helper {name}{}", because(&name)));
        }
        for reference in &function.references {
            match reference.to {
                Symbol::Extern(index) => {
                    let of = object.externs.get(index);
                    if let Some(of) = of.filter(|of| matches!(of.kind, ExternKind::Function { .. }))
                        && !has_function(&of.name)
                    {
                        let row = Kfunc::from_name(plain(&of.name));
                        let why = reason(row.and_then(|row| row.linux_only));
                        lines.insert(format!("kernel function {}{why}", of.name));
                    }
                }
                Symbol::Map(index) => {
                    let kind = object.maps.get(index).and_then(|map| map.kind());
                    if let Some(kind) = kind.filter(|kind| !has_map(*kind)) {
                        lines.insert(format!("map type {kind}"));
                    }
                }
                _ => {}
            }
        }
    }
    lines.into_iter().collect()
}

/// The helpers that programs lack which are about to run, each with its name. (One that lacks
/// a kernel function is not run at all, and says so.)
pub fn notes(linked: &Linked) -> Vec<String> {
    let mut notes = Vec::new();
    for program in &linked.programs {
        let missing: BTreeSet<String> = helpers_of(&program.insns);
        if !missing.is_empty() {
            let told = |name: String| format!("{name}{}", because(&name));
            let names: Vec<String> = missing.into_iter().map(told).collect();
            notes.push(format!(
                "program {} calls {}, which the embedded kernel does not have: a run that gets \
                 there ends; --kernel linux has it",
                program.def.name,
                names.join(", ")
            ));
        }
    }
    notes
}

fn left_out(why: Option<&str>) -> String {
    why.map_or(String::new(), |why| format!(": {why}"))
}

/// All that it has, as `docs/helpers.md`.
pub fn write(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# What the embedded kernel has\n\n`skep inspect --embedded` prints this page from the \
         tables of the embedded kernel;\n`skep inspect OBJ` names what an object uses beyond it. \
         What is not here runs with\n`skep run --kernel linux`.\n\n## Programs that run on packets\n"
    )?;
    for kind in ProgType::ALL.iter().filter(|kind| takes_packets(Some(**kind))) {
        writeln!(out, "- `{kind}`")?;
    }
    writeln!(out, "\n## Map types\n")?;
    for kind in MapType::ALL.iter().filter(|kind| **kind != MapType::Unspec && has_map(**kind)) {
        writeln!(out, "- `{kind}`")?;
    }
    let absent: Vec<String> = MapType::ALL
        .iter()
        .filter(|kind| **kind != MapType::Unspec && !has_map(**kind))
        .map(|kind| format!("`{kind}`"))
        .collect();
    writeln!(out, "\nNot here: {}.", absent.join(", "))?;
    let (here, absent): (Vec<&Helper>, Vec<&Helper>) =
        Helper::all().iter().partition(|of| has_helper(of.id));
    writeln!(out, "\n## Helpers\n\n{} of {}:\n", here.len(), here.len() + absent.len())?;
    for of in here {
        writeln!(out, "- `{}` ({})", of.name, of.id)?;
    }
    writeln!(out, "\nNot here:\n")?;
    for of in absent {
        writeln!(out, "- `{}` ({}){}", of.name, of.id, left_out(of.linux_only))?;
    }
    let (here, absent): (Vec<&Kfunc>, Vec<&Kfunc>) =
        Kfunc::all().iter().partition(|of| has_kfunc(of));
    let all = Kfunc::all().len();
    writeln!(out, "\n## Kernel functions (kfuncs)\n\n{} of {all}:\n", here.len())?;
    for of in here {
        writeln!(out, "- `{}`", of.name)?;
    }
    writeln!(out, "\nNot here:\n")?;
    for of in absent {
        writeln!(out, "- `{}`{}", of.name, left_out(of.linux_only))?;
    }
    Ok(())
}
