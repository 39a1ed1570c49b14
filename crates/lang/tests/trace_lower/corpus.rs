//! bpftrace's own scripts: every one that is accepted and lowered verifies, and its tests of
//! itself (`test:` probes) pass, on the embedded kernel and on Linux where the user may.
//!
//! The scripts are not part of the repository: without them a line says so.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use skep_lang::trace::checked::{Point, Script};
use skep_lang::trace::lower::{Machine, lower};
use skep_lang::trace::run::{Mode, Printer, Settings, run};
use skep_lang::trace::world;
use skep_lang::trace::{Options, check};
use skep_sys::{Kernel, Linux};
use skep_vm::Vm;

/// The lines of a file of the shared data, from `SKEP_DATA` or beside the checkout.
fn lines(name: &str) -> Vec<Value> {
    let named = std::env::var_os("SKEP_DATA").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let above = here.ancestors().map(|folder| folder.join("shared/data")).collect::<Vec<_>>();
    let mut files = named.into_iter().chain(above).map(|folder| folder.join(name));
    let Some(file) = files.find(|file| file.is_file()) else {
        println!("skipped: {name} is not there (SKEP_DATA)");
        return Vec::new();
    };
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn checked(text: &str, world: &world::Machine) -> Option<Script> {
    let options = Options { allow_unsafe: true, ..Options::default() };
    check(text, "stdin", world, &options).script
}

/// Whether the embedded kernel can load a program of this probe without the machine's types.
fn is_plain(point: &Point) -> bool {
    !matches!(point, Point::Fentry { .. } | Point::FentryProgram { .. } | Point::Iter { .. })
}

#[test]
fn what_is_lowered_verifies() {
    let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
    // Read once: the kernel's types are large.
    let world = world::Machine::default();
    let (mut accepted, mut lowered, mut refused) = (0, 0, Vec::new());
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for line in lines("bpftrace-runtime.jsonl") {
        let Some(text) = line["prog"].as_str() else { continue };
        let Some(mut script) = checked(text, &world) else { continue };
        script.programs.retain(|program| program.points.iter().all(is_plain));
        accepted += 1;
        let machine = Machine { cpus: kernel.possible_cpus(), ..Machine::default() };
        let plan = match lower(&script, &machine) {
            Ok(plan) => plan,
            Err(error) => {
                *reasons.entry(error.to_string()).or_default() += 1;
                continue;
            }
        };
        lowered += 1;
        if let Err(error) = plan.object.load(&kernel) {
            let text: String = format!("{text}\n    {error}").chars().take(600).collect();
            refused.push(text);
        }
    }
    println!("accepted {accepted}, lowered {lowered}, refused by the verifier {}", refused.len());
    for (reason, count) in reasons {
        println!("    {count} not lowered: {reason}");
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn tests_of_itself_pass() {
    for line in lines("bpftrace-self.jsonl") {
        let (file, text) = (line["file"].as_str().unwrap(), line["script"].as_str().unwrap());
        let world = world::Machine::default();
        let script = checked(text, &world).unwrap_or_else(|| panic!("{file} is refused"));
        let kernels: [Arc<dyn Kernel>; 2] = [Arc::new(Vm::new()), Arc::new(Linux::new())];
        for kernel in kernels {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut printer = Printer { out: &mut out, err: &mut err, json: false };
            let settings = Settings { mode: Mode::Test, ..Settings::default() };
            let result = run(&script, &kernel, &settings, &mut printer, &|| None);
            let text = String::from_utf8_lossy(&out);
            match result {
                Ok(status) => assert_eq!(status, 0, "{file} on {}:\n{text}", kernel.name()),
                Err(error) if error.to_string().contains("EPERM") => println!("skipped: {error}"),
                Err(error) => panic!("{file} on {}: {error}", kernel.name()),
            }
        }
    }
}

/// What people's scripts do with the function that a probe is in: keep it at entry, print it at
/// return.
#[test]
fn functions_of_processes_are_kept_in_maps() {
    let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
    let me = std::env::current_exe().unwrap();
    let me = me.display();
    let text = format!(
        "uprobe:{me}:main {{ @func[tid] = func; $f = func; print($f); }}\n\
         uretprobe:{me}:main /has_key(@func, tid)/ {{\n\
             printf(\"%s %s\\n\", @func[tid], func); delete(@func, tid);\n\
         }}\n"
    );
    let script = checked(&text, &world::Machine::default()).expect("it is accepted");
    let machine = Machine { cpus: kernel.possible_cpus(), ..Machine::default() };
    let plan = lower(&script, &machine).unwrap_or_else(|error| panic!("{error}"));
    plan.object.load(&kernel).unwrap_or_else(|error| panic!("{error}"));
}
