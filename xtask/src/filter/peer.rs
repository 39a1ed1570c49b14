//! Random expressions beside the installed tcpdump, which speaks libpcap 1.10's language.
//! Its unoptimised program judges; where its own optimised one decides otherwise, that is
//! counted apart, by what is wrong with it.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Result;
use skep_isa::classic::{Packet, Program, listing, parse};
use skep_lang::pcap::{Equality, Libpcap, Options as Compile, compile, prove};

use super::packets::{start, steer};
use super::{Offline, Options, expressions};
use crate::inputs::Random;

/// What tcpdump makes of an expression; `None` where it refuses it.
pub(super) fn theirs(expr: &str, optimize: bool) -> Result<Option<Program>> {
    let mut command = Command::new("tcpdump");
    command.args(["-y", "EN10MB", "-d"]);
    if !optimize {
        command.arg("-O");
    }
    let output = command.arg(expr).output()?;
    if !output.status.success() {
        return Ok(None);
    }
    let filters = parse(&String::from_utf8_lossy(&output.stdout))?;
    Ok(Program::of_libpcap(&filters))
}

/// What is wrong with tcpdump's optimised program where it decides otherwise than its
/// unoptimised one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fault {
    /// With more bytes behind the packet both decide alike: a read was dropped.
    ReadDropped,
    /// The expression computes with constants alone, or compares with all ones.
    Folding,
    /// Another mistake.
    Other,
}

impl Fault {
    fn of(expr: &str, wanted: &Program, optimized: Option<&Program>, data: &[u8]) -> Fault {
        /// Bytes that no expression here reads past.
        const MORE: usize = 1 << 12;
        let len = data.len() as u32;
        let mut longer = data.to_vec();
        longer.resize(data.len() + MORE, 0);
        let packet = Packet { data: &longer, len, metadata: None };
        if optimized.map_or(0, |theirs| theirs.run(&packet)) == wanted.run(&packet) {
            return Fault::ReadDropped;
        }
        match expr.contains(['/', '%', '*', '<', '>', '^', '|', '&']) {
            true => Fault::Folding,
            false => Fault::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Fault::ReadDropped => "a read behind the end of the packet is left out",
            Fault::Folding => "a computation or comparison is folded wrongly",
            Fault::Other => "another mistake",
        }
    }
}

pub(super) fn execute(options: &Options) -> Result<bool> {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        println!("skipped: parity filter: tcpdump is not installed");
        return Ok(true);
    }
    let mut random = Random::new(options.seed);
    let (mut agree, mut all, mut refused, mut taken) = (0, 0, 0, 0u64);
    let (mut open, mut faults) = (0, BTreeMap::<Fault, (u32, String)>::new());
    for _ in 0..options.count {
        let expr = expressions::expression(&mut random);
        let settings = Compile { libpcap: Libpcap::V1_10, names: &Offline, ..Compile::default() };
        let plain = compile(&expr, &Compile { optimize: false, ..settings });
        let (wanted, plain) = match (theirs(&expr, false)?, plain) {
            (None, Err(_)) => {
                refused += 1;
                continue;
            }
            (Some(wanted), Ok(plain)) => (wanted, plain),
            (wanted, plain) => {
                all += 1;
                let which = if wanted.is_some() { "tcpdump" } else { "skep" };
                println!("{expr:?}: only {which} takes it; {:?}", plain.err());
                continue;
            }
        };
        all += 1;
        let optimized = theirs(&expr, true)?;
        let ours = match compile(&expr, &settings) {
            Err(error) if error.text == "expression rejects all packets" => plain.clone(),
            ours => ours?,
        };
        let (mut same, mut fault) = (true, None);
        match prove(&expr, &settings)? {
            Equality::Equal => {}
            Equality::Unknown(_) => open += 1,
            Equality::Differ(witness) => {
                same = false;
                println!("{expr:?}: the optimiser is wrong on {witness:02x?}");
            }
        }
        for _ in 0..options.inputs {
            let mut data = start(&[], &mut random);
            data.resize(data.len().max(random.index(120)), 0);
            for _ in 0..random.index(3) {
                steer(&wanted, &mut data, &mut random);
            }
            let packet = Packet::of(&data);
            let expected = wanted.run(&packet);
            taken += u64::from(expected != 0);
            let theirs = optimized.as_ref();
            if theirs.map_or(0, |theirs| theirs.run(&packet)) != expected {
                let found = Fault::of(&expr, &wanted, theirs, &data);
                fault = fault.max(Some(found));
            }
            for filter in [&plain, &ours] {
                if same && filter.program().run(&packet) != expected {
                    same = false;
                    let program = listing(filter.filters());
                    println!("{expr:?} on {data:02x?}: {expected} is right\n{program}");
                }
            }
        }
        agree += u32::from(same);
        if let Some(fault) = fault {
            let (count, shortest) = faults.entry(fault).or_insert_with(|| (0, expr.clone()));
            *count += 1;
            if expr.len() < shortest.len() {
                *shortest = expr;
            }
        }
    }
    println!("{refused} refused by both, {taken} packets taken");
    println!("{open} optimised programs not proved");
    for (fault, (count, expr)) in &faults {
        println!("tcpdump's optimised program, {count} expressions: {}; {expr:?}", fault.name());
    }
    println!("parity filter-random: agree {agree} of {all}");
    Ok(agree == all)
}
