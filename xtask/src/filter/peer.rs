//! Random expressions beside the installed tcpdump, which speaks libpcap 1.10's language.
//! Its unoptimised program judges; where its own optimised one decides otherwise, that is
//! counted apart.

use std::process::Command;

use anyhow::Result;
use skep_isa::classic::{Packet, Program, listing, parse};
use skep_lang::pcap::{Libpcap, Options as Compile, compile};

use super::packets::{start, steer};
use super::{Offline, Options, expressions};
use crate::inputs::Random;

/// What tcpdump makes of an expression; `None` where it refuses it.
fn theirs(expr: &str, optimize: bool) -> Result<Option<Program>> {
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

pub(super) fn execute(options: &Options) -> Result<bool> {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        println!("skipped: parity filter: tcpdump is not installed");
        return Ok(true);
    }
    let mut random = Random::new(options.seed);
    let (mut agree, mut all, mut refused, mut faults, mut taken) = (0, 0, 0, 0, 0u64);
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
        let ours = compile(&expr, &settings)?;
        let (mut same, mut fault) = (true, false);
        for _ in 0..options.inputs {
            let mut data = start(&[], &mut random);
            data.resize(data.len().max(random.index(120)), 0);
            for _ in 0..random.index(3) {
                steer(&wanted, &mut data, &mut random);
            }
            let packet = Packet::of(&data);
            let expected = wanted.run(&packet);
            taken += u64::from(expected != 0);
            fault |= optimized.as_ref().map_or(0, |theirs| theirs.run(&packet)) != expected;
            for filter in [&plain, &ours] {
                if same && filter.program().run(&packet) != expected {
                    same = false;
                    let program = listing(filter.filters());
                    println!("{expr:?} on {data:02x?}: {expected} is right\n{program}");
                }
            }
        }
        agree += u32::from(same);
        faults += u32::from(fault);
    }
    println!("{refused} refused by both, {taken} packets taken");
    println!("{faults} where tcpdump's own optimised program decides otherwise");
    println!("parity filter-random: agree {agree} of {all}");
    Ok(agree == all)
}
