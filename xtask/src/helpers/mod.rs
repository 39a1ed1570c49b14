//! `parity helpers`: for each helper that Linux runs by TEST_RUN here, small programs made from
//! its row, with many sets of arguments, on Linux and on the embedded kernel with each of its
//! engines. What a program returns, what the helper gave and wrote, the packet and the maps have
//! to be the same. What Linux accepts decides which programs count.

mod kernels;
mod kfuncs;
mod program;
mod skipped;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::Args;
use skep_abi::{AttachType, Caller, Capabilities, Helper, Kfunc, ProgType, Proto};
use skep_btf::Btf;

use crate::inputs::Random;
use crate::run::pin_to_cpu_0;
use kernels::{Bed, Ran};
use program::Given;

/// Types that are run by TEST_RUN, those first whose helpers do most.
const TYPES: [ProgType; 8] = [
    ProgType::SchedCls,
    ProgType::Xdp,
    ProgType::CgroupSkb,
    ProgType::SocketFilter,
    ProgType::LwtIn,
    ProgType::Syscall,
    ProgType::RawTracepoint,
    ProgType::FlowDissector,
];
/// Types that a helper is judged with, where so many have it.
const TYPES_EACH: usize = 3;
/// Sets of arguments that Linux has to accept.
const SETS: usize = 24;
/// Sets that are tried for that.
const TRIED: usize = 160;

/// How much to compare.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Only helpers whose name has this in it
    #[arg(long)]
    only: Option<String>,
    /// Sets of arguments for each helper and type of program
    #[arg(long, default_value_t = SETS)]
    sets: usize,
    /// Print what differs
    #[arg(long)]
    show: bool,
}

impl Options {
    /// What the tests compare.
    pub fn short() -> Options {
        Options { only: None, sets: 4, show: false }
    }
}

/// What came of one helper.
enum Judged {
    /// As on Linux, with so many sets of arguments.
    Agrees(usize),
    /// Not as on Linux: the first difference.
    Differs(String),
    /// It cannot be judged.
    Not(&'static str),
    /// Linux runs it, the embedded kernel does not have it.
    Missing,
}

/// Compares, writes `target/parity/helpers.txt`, and prints the figures. Gives whether there was
/// no difference.
///
/// # Errors
/// Kernels that do not make the maps.
pub fn execute(options: &Options) -> Result<bool> {
    if let Some(ended) = apart(options)? {
        return Ok(ended);
    }
    pin_to_cpu_0()?;
    let mut beds = kernels::beds()?;
    let (mut agree, mut judged, mut sets) = (0, 0, 0);
    let mut reasons = BTreeMap::<&str, usize>::new();
    let mut report = String::new();
    let mut differ = false;
    for row in Helper::all() {
        if options.only.as_ref().is_some_and(|only| !row.name.contains(only.as_str())) {
            continue;
        }
        match judge(row, &mut beds, options).with_context(|| row.name)? {
            Judged::Agrees(count) => {
                (agree, judged, sets) = (agree + 1, judged + 1, sets + count);
                writeln!(report, "{}: agrees, {count} sets", row.name)?;
            }
            Judged::Differs(how) => {
                judged += 1;
                differ = true;
                println!("parity helpers: {} differs: {how}", row.name);
                writeln!(report, "{}: differs: {how}", row.name)?;
            }
            Judged::Missing => {
                judged += 1;
                println!("parity helpers: {} is not in the embedded kernel", row.name);
                writeln!(report, "{}: missing", row.name)?;
            }
            Judged::Not(why) => {
                *reasons.entry(why).or_default() += 1;
                writeln!(report, "{}: not judged: {why}", row.name)?;
            }
        }
    }
    let of_kfuncs = judge_kfuncs(&mut beds, options, &mut report)?;
    std::fs::write("target/parity/helpers.txt", &report)?;
    for (why, count) in &reasons {
        println!("parity helpers: not judged: {count}: {why}");
    }
    println!("parity helpers: {sets} programs compared");
    println!("parity helpers: kernel functions: agree {} of {}", of_kfuncs.0, of_kfuncs.1);
    let rest = Kfunc::all().len() - of_kfuncs.1;
    println!("parity helpers: kernel functions: not judged here: {rest}: {REST}");
    println!("parity helpers: agree {agree} of {judged}");
    Ok(!differ && judged > 0 && of_kfuncs.0 == of_kfuncs.1)
}

/// Says that the process is in a network of its own.
const APART: &str = "SKEP_XTASK_NETWORK";

/// Does the same in a network of its own, where packets that programs copy go nowhere; `None`
/// in there.
fn apart(options: &Options) -> Result<Option<bool>> {
    if std::env::var_os(APART).is_some() {
        return Ok(None);
    }
    let script = "ip link set lo up && exec \"$@\"";
    let mut again = std::process::Command::new("unshare");
    again.args(["-n", "sh", "-c", script, "sh"]).arg(std::env::current_exe()?);
    // Whatever this process is asked for besides.
    again.args(["parity", "helpers", "--sets", &options.sets.to_string()]);
    if let Some(only) = &options.only {
        again.args(["--only", only]);
    }
    if options.show {
        again.arg("--show");
    }
    let ran = again.env(APART, "1").status().context("unshare")?;
    Ok(Some(ran.success()))
}

/// The signature that a helper has for programs of a type.
fn proto_for(row: &Helper, kind: ProgType) -> Option<&'static Proto> {
    let attach_type = match kind {
        ProgType::CgroupSkb => AttachType::CgroupInetIngress,
        ProgType::FlowDissector => AttachType::FlowDissector,
        _ => AttachType::from_number(0)?,
    };
    let capabilities = Capabilities::all();
    row.proto(&Caller { prog_type: kind, attach_type, capabilities, target: None })
}

fn judge(row: &'static Helper, beds: &mut [Bed], options: &Options) -> Result<Judged> {
    if let Some(why) = skipped::why(row.id) {
        return Ok(Judged::Not(why));
    }
    let offered = TYPES.into_iter().filter_map(|kind| Some((kind, proto_for(row, kind)?)));
    let offered: Vec<_> = offered.collect();
    if offered.is_empty() {
        return Ok(Judged::Not("no type of program that has it is run by TEST_RUN"));
    }
    // What may sleep is for programs that may.
    let runs = |(kind, proto): &(ProgType, &Proto)| {
        program::can_make(proto) && (!proto.might_sleep || *kind == ProgType::Syscall)
    };
    let made: Vec<_> = offered.into_iter().filter(runs).collect();
    if made.is_empty() {
        return Ok(Judged::Not("it takes an object that only BTF-typed programs have"));
    }
    let mut compared = 0;
    for (kind, proto) in made.into_iter().take(TYPES_EACH) {
        if skipped::crashes(row.id, kind) {
            continue;
        }
        let mut random = Random::new(u64::from(row.id));
        let mut accepted = 0;
        for index in 0..TRIED {
            if accepted >= options.sets {
                break;
            }
            let given = Given::new(row, proto, kind, index, &mut random);
            let (linux, others) = beds.split_last_mut().context("kernels")?;
            let expected = match linux.run(&given) {
                Ok(expected) => expected,
                Err(why) => {
                    if options.show && accepted == 0 {
                        println!("{kind:?}: {why}");
                    }
                    continue;
                }
            };
            accepted += 1;
            if !skep_vm::has_helper(row.id) {
                return Ok(Judged::Missing);
            }
            for bed in others {
                let ours = bed.run(&given);
                if let Some(how) = difference(&expected, ours, row.id) {
                    let text = given.text();
                    if options.show {
                        println!("{kind:?}, {}: {how}\n{text}", bed.name);
                    }
                    return Ok(Judged::Differs(format!("{kind:?}, {}: {how}: {text}", bed.name)));
                }
            }
        }
        compared += accepted;
    }
    Ok(match compared {
        0 => Judged::Not("Linux accepts none of the programs that are made from the row"),
        count => Judged::Agrees(count),
    })
}

/// Why there is no program here for the other kernel functions.
const REST: &str = "they take objects of the program's own types, packets or tracing contexts \
                    (parity retval has those), or are not for programs that TEST_RUN runs";

/// Compares kernel functions; gives how many agree, and how many were compared.
fn judge_kfuncs(
    beds: &mut [Bed],
    options: &Options,
    report: &mut String,
) -> Result<(usize, usize)> {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").context("/sys/kernel/btf/vmlinux")?;
    let types = Btf::parse(types)?;
    let (mut agree, mut judged) = (0, 0);
    for name in kfuncs::judged() {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let mut random = Random::new(name.len() as u64 + 77);
        let (mut accepted, mut how) = (0, None);
        for _ in 0..TRIED {
            if accepted >= options.sets || how.is_some() {
                break;
            }
            let Some(case) = kfuncs::Case::draw(name, &mut random) else { break };
            let run = |bed: &mut Bed| {
                let insns = case.program(bed.results_fd(), &types);
                let insns = insns.ok_or_else(|| "no such function".to_owned())?;
                bed.run_program(&insns, case.kind, 0)
            };
            let (linux, others) = beds.split_last_mut().context("kernels")?;
            let expected = match run(linux) {
                Ok(expected) => expected,
                Err(why) => {
                    if options.show && accepted == 0 {
                        println!("{name}: {why}");
                    }
                    continue;
                }
            };
            accepted += 1;
            how = others.iter_mut().find_map(|bed| {
                let ours = run(bed);
                let how = difference(&expected, ours, 0)?;
                Some(format!("{}: {how}: {}", bed.name, case.text()))
            });
        }
        if accepted == 0 {
            writeln!(report, "{name}: Linux accepts none")?;
            continue;
        }
        judged += 1;
        match how {
            Some(how) => {
                println!("parity helpers: {name} differs: {how}");
                writeln!(report, "{name}: differs: {how}")?;
            }
            None => {
                agree += 1;
                writeln!(report, "{name}: agrees, {accepted} sets")?;
            }
        }
    }
    Ok((agree, judged))
}

/// What is not the same.
fn difference(linux: &Ran, ours: std::result::Result<Ran, String>, id: u32) -> Option<String> {
    let mut ours = match ours {
        Ok(ours) => ours,
        Err(why) => return Some(format!("not run: {why}")),
    };
    let mut linux = linux.clone();
    skipped::forget(id, &mut linux, &mut ours);
    if linux.gave != ours.gave {
        return Some(format!("gives {:#x}, on Linux {:#x}", ours.gave, linux.gave));
    }
    if linux.result != ours.result {
        return Some(format!("returns {:?}, on Linux {:?}", ours.result, linux.result));
    }
    if linux.memory != ours.memory {
        return Some(format!("leaves {:x?}, on Linux {:x?}", ours.memory, linux.memory));
    }
    (linux.packet != ours.packet)
        .then(|| format!("packet {:x?}, on Linux {:x?}", ours.packet, linux.packet))
}
